# Alarms beside those of each function (errors and throttles), and the budget.

locals {
  metric_namespace = "Varve/${var.name}"

  # Name, what it means, metric, and when it is bad.
  alarms = {
    compaction-lag = {
      description = "The tables lag behind the write-ahead log, or the compactor says nothing: queries become slow and expensive."
      namespace   = local.metric_namespace
      metric      = aws_cloudwatch_log_metric_filter.compaction_lag.metric_transformation[0].name
      dimensions  = {}
      statistic   = "Maximum"
      above       = var.alarms.compaction_lag_seconds
      below       = null
      missing     = "breaching"
      period      = max(300, var.compaction_minutes * 120)
    }
    ingest-stopped = {
      description = "Nothing is scraped: the ingest function does not run."
      namespace   = "AWS/Lambda"
      metric      = "Invocations"
      dimensions  = { FunctionName = module.function["ingest"].name }
      statistic   = "Sum"
      above       = null
      below       = 1
      missing     = "breaching"
      period      = 300
    }
    failures = {
      description = "Runs failed or could not be started: see the events in the queue ${aws_sqs_queue.failures.name}, and the logs."
      namespace   = "AWS/SQS"
      metric      = "ApproximateNumberOfMessagesVisible"
      dimensions  = { QueueName = aws_sqs_queue.failures.name }
      statistic   = "Maximum"
      above       = 0
      below       = null
      missing     = "notBreaching"
      period      = 300
    }
    http-errors = {
      description = "The HTTP API answers with status 5xx."
      namespace   = "AWS/ApiGateway"
      metric      = "5xx"
      dimensions  = { ApiId = aws_apigatewayv2_api.this.id }
      statistic   = "Sum"
      above       = 0
      below       = null
      missing     = "notBreaching"
      period      = 300
    }
  }
}

# The compactor ends each run with a line of JSON that has the field lag_seconds.
resource "aws_cloudwatch_log_metric_filter" "compaction_lag" {
  name           = "${var.name}-compaction-lag"
  log_group_name = module.function["compactor"].log_group
  pattern        = "{ $.lag_seconds = * }"

  metric_transformation {
    namespace = local.metric_namespace
    name      = "CompactionLagSeconds"
    value     = "$.lag_seconds"
    unit      = "Seconds"
  }
}

resource "aws_cloudwatch_metric_alarm" "this" {
  for_each = local.alarms

  alarm_name          = "${var.name}-${each.key}"
  alarm_description   = each.value.description
  namespace           = each.value.namespace
  metric_name         = each.value.metric
  dimensions          = each.value.dimensions
  statistic           = each.value.statistic
  period              = each.value.period
  evaluation_periods  = 2
  threshold           = coalesce(each.value.above, each.value.below)
  comparison_operator = each.value.below == null ? "GreaterThanThreshold" : "LessThanThreshold"
  treat_missing_data  = each.value.missing
  alarm_actions       = var.alarms.topic_arns
  ok_actions          = var.alarms.topic_arns
  tags                = local.tags
}

resource "aws_budgets_budget" "this" {
  count = var.budget == null ? 0 : 1

  name         = var.name
  budget_type  = "COST"
  time_unit    = "MONTHLY"
  limit_amount = format("%.2f", var.budget.usd)
  limit_unit   = "USD"
  tags         = local.tags

  dynamic "cost_filter" {
    for_each = var.budget.by_tag ? [1] : []

    content {
      name   = "TagKeyValue"
      values = [format("user:varve$%s", var.name)]
    }
  }

  notification {
    notification_type          = "ACTUAL"
    comparison_operator        = "GREATER_THAN"
    threshold                  = 80
    threshold_type             = "PERCENTAGE"
    subscriber_email_addresses = var.budget.emails
  }

  notification {
    notification_type          = "FORECASTED"
    comparison_operator        = "GREATER_THAN"
    threshold                  = 100
    threshold_type             = "PERCENTAGE"
    subscriber_email_addresses = var.budget.emails
  }
}
