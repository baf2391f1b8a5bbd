output "name" {
  description = "The function's name."
  value       = aws_lambda_function.this.function_name
}

output "arn" {
  description = "Its ARN."
  value       = aws_lambda_function.this.arn
}

output "invoke_arn" {
  description = "The ARN by which an HTTP API calls it."
  value       = aws_lambda_function.this.invoke_arn
}

output "policy" {
  description = "What its role may do, as JSON."
  value       = aws_iam_role_policy.this.policy
}

output "role_name" {
  description = "Its role."
  value       = aws_iam_role.this.name
}

output "role_arn" {
  description = "Its role's ARN."
  value       = aws_iam_role.this.arn
}

output "log_group" {
  description = "Its log group."
  value       = aws_cloudwatch_log_group.this.name
}

output "concurrency" {
  description = "Its reserved concurrency."
  value       = aws_lambda_function.this.reserved_concurrent_executions
}

output "environment" {
  description = "Its environment variables."
  value       = one(aws_lambda_function.this.environment).variables
}

output "vpc_config" {
  description = "Its place in a VPC: a list of none or one."
  value       = aws_lambda_function.this.vpc_config
}

output "alarm_names" {
  description = "Its alarms."
  value       = sort([for alarm in aws_cloudwatch_metric_alarm.this : alarm.alarm_name])
}
