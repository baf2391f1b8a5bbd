# One function with all that belongs to it alone: archive, role, logs, alarms.

data "aws_partition" "current" {}

locals {
  statements = concat(
    [{
      Sid      = "WriteOwnLogs"
      Effect   = "Allow"
      Action   = ["logs:CreateLogStream", "logs:PutLogEvents"]
      Resource = ["${aws_cloudwatch_log_group.this.arn}:*"]
    }],
    var.failures == null ? [] : [{
      Sid      = "ReportFailedRuns"
      Effect   = "Allow"
      Action   = ["sqs:SendMessage"]
      Resource = [var.failures.queue_arn]
    }],
    # Lambda puts network interfaces into the subnets with this role. These actions know no narrower resource.
    var.vpc == null ? [] : [{
      Sid    = "JoinNetwork"
      Effect = "Allow"
      Action = [
        "ec2:AssignPrivateIpAddresses", "ec2:CreateNetworkInterface", "ec2:DeleteNetworkInterface",
        "ec2:DescribeNetworkInterfaces", "ec2:DescribeSubnets", "ec2:UnassignPrivateIpAddresses",
      ]
      Resource = ["*"]
    }],
  )

  # The statements differ in shape, so the lists are joined as text.
  policy = jsonencode({
    Version   = "2012-10-17"
    Statement = flatten([local.statements, jsondecode(var.statements)])
  })
}

resource "aws_cloudwatch_log_group" "this" {
  name              = "/aws/lambda/${var.name}"
  retention_in_days = var.log_retention_days
  tags              = var.tags
}

resource "aws_iam_role" "this" {
  name        = var.name
  description = "${var.description}: what the function ${var.name} may do."
  tags        = var.tags

  assume_role_policy = jsonencode({
    Version = "2012-10-17"
    Statement = [{
      Effect    = "Allow"
      Action    = "sts:AssumeRole"
      Principal = { Service = "lambda.amazonaws.com" }
    }]
  })
}

resource "aws_iam_role_policy" "this" {
  name   = "function"
  role   = aws_iam_role.this.id
  policy = local.policy
}

resource "aws_iam_role_policy_attachment" "more" {
  # By position: the ARNs may not be known before apply.
  for_each = { for position, arn in var.policy_arns : position => arn }

  role       = aws_iam_role.this.name
  policy_arn = each.value
}

resource "aws_s3_object" "package" {
  bucket = var.bucket
  # A key per content: the function changes when its archive does, and an old one is never replaced under a running update.
  key           = "functions/${var.name}/${filemd5(var.package)}.zip"
  source        = var.package
  source_hash   = filemd5(var.package)
  content_type  = "application/zip"
  force_destroy = var.object_lock
  # S3 refuses what is to be locked without one.
  checksum_algorithm = var.object_lock ? "SHA256" : null
  tags               = var.tags

  lifecycle {
    # The bucket's default retention sets them.
    ignore_changes = [object_lock_mode, object_lock_retain_until_date]
  }
}

resource "aws_lambda_function" "this" {
  function_name                  = var.name
  description                    = var.description
  role                           = aws_iam_role.this.arn
  runtime                        = "provided.al2023"
  handler                        = "bootstrap"
  architectures                  = [var.architecture]
  s3_bucket                      = aws_s3_object.package.bucket
  s3_key                         = aws_s3_object.package.key
  source_code_hash               = filebase64sha256(var.package)
  memory_size                    = var.memory_mb
  timeout                        = var.timeout_seconds
  reserved_concurrent_executions = var.concurrency
  tags                           = var.tags

  environment {
    variables = var.environment
  }

  dynamic "vpc_config" {
    for_each = var.vpc == null ? [] : [var.vpc]

    content {
      subnet_ids         = vpc_config.value.subnet_ids
      security_group_ids = vpc_config.value.security_group_ids
    }
  }

  # The role must work before the function starts, and the log group must be ours before Lambda makes one without an end.
  depends_on = [aws_cloudwatch_log_group.this, aws_iam_role_policy.this, aws_iam_role_policy_attachment.more]
}

# The next run of the schedule does what a failed one left, so a failed one is reported and not repeated.
resource "aws_lambda_function_event_invoke_config" "this" {
  count = var.failures == null ? 0 : 1

  function_name                = aws_lambda_function.this.function_name
  maximum_retry_attempts       = 0
  maximum_event_age_in_seconds = var.failures.event_age_seconds

  destination_config {
    on_failure {
      destination = var.failures.queue_arn
    }
  }
}

resource "aws_cloudwatch_metric_alarm" "this" {
  for_each = {
    Errors    = "Runs of ${var.name} end with an error."
    Throttles = "Runs of ${var.name} are refused: too many at once."
  }

  alarm_name          = "${var.name}-${lower(each.key)}"
  alarm_description   = each.value
  namespace           = "AWS/Lambda"
  metric_name         = each.key
  dimensions          = { FunctionName = aws_lambda_function.this.function_name }
  statistic           = "Sum"
  period              = 300
  evaluation_periods  = 3
  datapoints_to_alarm = 2
  threshold           = 0
  comparison_operator = "GreaterThanThreshold"
  treat_missing_data  = "notBreaching"
  alarm_actions       = var.alarm_topic_arns
  ok_actions          = var.alarm_topic_arns
  tags                = var.tags
}
