# Ingest once a minute for each shard, the compactor every few minutes. Events that cannot be delivered, and events of runs
# that failed, go to one queue: it is empty as long as all is well.

resource "aws_sqs_queue" "failures" {
  name                      = "${var.name}-failures"
  message_retention_seconds = 1209600
  max_message_size          = 262144
  sqs_managed_sse_enabled   = true
  tags                      = local.tags
}

resource "aws_scheduler_schedule_group" "this" {
  name = var.name
  tags = local.tags
}

resource "aws_iam_role" "scheduler" {
  name        = "${var.name}-scheduler"
  description = "Starts ingest and the compactor."
  tags        = local.tags

  assume_role_policy = jsonencode({
    Version = "2012-10-17"
    Statement = [{
      Effect    = "Allow"
      Action    = "sts:AssumeRole"
      Principal = { Service = "scheduler.amazonaws.com" }
      Condition = { StringEquals = { "aws:SourceAccount" = local.account } }
    }]
  })
}

resource "aws_iam_role_policy" "scheduler" {
  name = "start"
  role = aws_iam_role.scheduler.id

  policy = jsonencode({
    Version = "2012-10-17"
    Statement = [
      {
        Sid      = "Start"
        Effect   = "Allow"
        Action   = ["lambda:InvokeFunction"]
        Resource = [for function in local.scheduled : module.function[function].arn]
      },
      {
        Sid      = "Report"
        Effect   = "Allow"
        Action   = ["sqs:SendMessage"]
        Resource = [aws_sqs_queue.failures.arn]
      },
    ]
  })
}

resource "aws_scheduler_schedule" "ingest" {
  count = var.shards

  name                = "${var.name}-ingest-${count.index}"
  description         = "Scrapes shard ${count.index} of ${var.shards}."
  group_name          = aws_scheduler_schedule_group.this.name
  schedule_expression = "rate(1 minute)"
  # No customer key: the input is a number.

  flexible_time_window {
    mode = "OFF"
  }

  target {
    arn      = module.function["ingest"].arn
    role_arn = aws_iam_role.scheduler.arn
    input    = jsonencode({ shard = count.index, shards = var.shards })

    retry_policy {
      maximum_event_age_in_seconds = 60
      maximum_retry_attempts       = 3
    }

    dead_letter_config {
      arn = aws_sqs_queue.failures.arn
    }
  }

  # Else the first starts would be refused and reported.
  depends_on = [aws_iam_role_policy.scheduler, aws_s3_object.config]
}

resource "aws_scheduler_schedule" "compactor" {
  name                = "${var.name}-compactor"
  description         = "Writes tables from the write-ahead log."
  group_name          = aws_scheduler_schedule_group.this.name
  schedule_expression = var.compaction_minutes == 1 ? "rate(1 minute)" : "rate(${var.compaction_minutes} minutes)"

  flexible_time_window {
    mode = "OFF"
  }

  target {
    arn      = module.function["compactor"].arn
    role_arn = aws_iam_role.scheduler.arn
    input    = jsonencode({})

    retry_policy {
      maximum_event_age_in_seconds = 60 * max(1, var.compaction_minutes)
      maximum_retry_attempts       = 3
    }

    dead_letter_config {
      arn = aws_sqs_queue.failures.arn
    }
  }

  depends_on = [aws_iam_role_policy.scheduler, aws_s3_object.config]
}
