variable "name" {
  description = "The function's name."
  type        = string
}

variable "description" {
  description = "What it does."
  type        = string
}

variable "package" {
  description = "Its archive, a zip file with the executable bootstrap."
  type        = string
}

variable "bucket" {
  description = "Bucket to which the archive is uploaded: it may be larger than a request to Lambda."
  type        = string
}

variable "object_lock" {
  description = "Whether the bucket has Object Lock."
  type        = bool
}

variable "architecture" {
  description = "arm64 or x86_64."
  type        = string
}

variable "memory_mb" {
  description = "Memory, in MiB; processors come in proportion."
  type        = number
}

variable "timeout_seconds" {
  description = "Time limit of a run."
  type        = number
}

variable "concurrency" {
  description = "How many runs at once at most, and reserved for it; -1 for no limit."
  type        = number
}

variable "environment" {
  description = "Environment variables."
  type        = map(string)
}

variable "statements" {
  description = "What its role may do beside writing its own logs: IAM statements, as JSON."
  type        = string
}

variable "policy_arns" {
  description = "More policies of its role."
  type        = list(string)
}

variable "vpc" {
  description = "Subnets and security groups; null to run outside of any VPC."
  type = object({
    subnet_ids         = list(string)
    security_group_ids = list(string)
  })
}

variable "failures" {
  description = "For functions that are started by events: the queue for events of failed runs, and how old an event may get (seconds). Null for functions that are called."
  type = object({
    queue_arn         = string
    event_age_seconds = number
  })
}

variable "log_retention_days" {
  description = "How long logs are kept."
  type        = number
}

variable "alarm_topic_arns" {
  description = "SNS topics that alarms notify."
  type        = list(string)
}

variable "tags" {
  description = "Tags."
  type        = map(string)
}
