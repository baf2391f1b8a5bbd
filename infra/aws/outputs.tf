locals {
  query_url = trimsuffix(aws_lambda_function_url.query.function_url, "/")
}

output "grafana_url" {
  description = "The URL to enter in Grafana's data source: with JWT the HTTP API's, with IAM the function URL, which a signing proxy stands in front of."
  value       = local.jwt ? aws_apigatewayv2_api.this.api_endpoint : local.query_url
}

output "api_url" {
  description = "The HTTP API."
  value       = aws_apigatewayv2_api.this.api_endpoint
}

output "query_url" {
  description = "The function URL of query, which streams large answers (IAM)."
  value       = local.query_url
}

output "remote_write_url" {
  description = "The URL for remote_write."
  value       = "${aws_apigatewayv2_api.this.api_endpoint}/api/v1/write"
}

output "otlp_url" {
  description = "The URL for OTLP metrics over HTTP."
  value       = "${aws_apigatewayv2_api.this.api_endpoint}/api/v1/otlp/v1/metrics"
}

output "query_policy_arn" {
  description = "Policy for principals that query."
  value       = aws_iam_policy.query.arn
}

output "push_policy_arn" {
  description = "Policy for principals that write."
  value       = aws_iam_policy.push.arn
}

output "bucket" {
  description = "The bucket with everything in it."
  value       = local.bucket
}

output "storage_url" {
  description = "The archive, for --storage.url of the command line."
  value       = local.storage_url
}

output "config_url" {
  description = "The configuration that the functions read."
  value       = local.config_url
}

output "functions" {
  description = "Names of the functions by what they do."
  value       = { for key, function in module.function : key => function.name }
}

output "roles" {
  description = "Names of the functions' roles."
  value       = { for key, function in module.function : key => function.role_name }
}

output "log_groups" {
  description = "Log groups of the functions and of the HTTP API."
  value       = merge({ for key, function in module.function : key => function.log_group }, { http = aws_cloudwatch_log_group.http.name })
}

output "failures_queue_url" {
  description = "Queue with the events of runs that failed."
  value       = aws_sqs_queue.failures.url
}

output "alarms" {
  description = "Names of all alarms."
  value       = sort(concat(flatten([for function in module.function : function.alarm_names]), [for alarm in aws_cloudwatch_metric_alarm.this : alarm.alarm_name]))
}
