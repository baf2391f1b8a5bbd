# Required

variable "package_dir" {
  description = "Folder with the functions' archives, varve-<function>-<architecture>.zip, as scripts/package makes them."
  type        = string
}

variable "config_dir" {
  description = "Folder that holds prometheus.yml and what it refers to by relative paths (rule files, target files). All of it is uploaded; keep secrets out of it."
  type        = string

  validation {
    condition     = fileexists("${var.config_dir}/prometheus.yml")
    error_message = "There is no prometheus.yml in config_dir."
  }
}

# Usual

variable "name" {
  description = "What the names of all resources begin with; one per installation in an account and region."
  type        = string
  default     = "varve"

  validation {
    condition     = can(regex("^[a-z][a-z0-9-]{0,23}[a-z0-9]$", var.name))
    error_message = "name must be 2 to 25 lower-case letters, digits and hyphens, begin with a letter and not end with a hyphen."
  }
}

variable "authorization" {
  description = "Who may call the HTTP API. IAM: requests signed with SigV4 by principals that have the policies of the outputs query_policy_arn and push_policy_arn. JWT: tokens of an OpenID Connect issuer for one of the audiences, with one of the scopes where some are given."
  type = object({
    type         = optional(string, "IAM")
    issuer       = optional(string)
    audience     = optional(list(string), [])
    query_scopes = optional(list(string), [])
    push_scopes  = optional(list(string), [])
  })
  default  = {}
  nullable = false

  validation {
    condition     = contains(["IAM", "JWT"], var.authorization.type)
    error_message = "authorization.type must be IAM or JWT: nothing is served without authorization."
  }

  validation {
    condition     = var.authorization.type != "JWT" || (try(startswith(var.authorization.issuer, "https://"), false) && length(var.authorization.audience) > 0)
    error_message = "With type JWT, authorization needs an issuer (https://…) and at least one audience."
  }

  validation {
    condition     = var.authorization.type != "IAM" || (var.authorization.issuer == null && length(concat(var.authorization.audience, var.authorization.query_scopes, var.authorization.push_scopes)) == 0)
    error_message = "authorization: issuer, audience and scopes belong to type JWT."
  }
}

variable "shards" {
  description = "Among how many concurrent runs of the ingest function the targets are divided."
  type        = number
  default     = 1

  validation {
    condition     = var.shards >= 1 && var.shards <= 100 && floor(var.shards) == var.shards
    error_message = "shards must be a whole number from 1 to 100."
  }
}

variable "secrets" {
  description = "Per function, ARNs of SSM parameters (a path may end with /*) and Secrets Manager secrets that it may read, and the customer keys they are encrypted with. Only ARNs: values never reach Terraform's state."
  type = object({
    ingest       = optional(list(string), [])
    push         = optional(list(string), [])
    compactor    = optional(list(string), [])
    query        = optional(list(string), [])
    kms_key_arns = optional(list(string), [])
  })
  default  = {}
  nullable = false

  validation {
    condition = alltrue([
      for arn in concat(var.secrets.ingest, var.secrets.push, var.secrets.compactor, var.secrets.query) :
      can(regex("^arn:[a-z-]+:(ssm:[a-z0-9-]+:[0-9]{12}:parameter/[A-Za-z0-9_./-]+(/\\*)?|secretsmanager:[a-z0-9-]+:[0-9]{12}:secret:[A-Za-z0-9/_+=.@-]+)$", arn))
    ])
    error_message = "secrets must be ARNs of SSM parameters (arn:aws:ssm:…:parameter/varve/*) or of secrets (arn:aws:secretsmanager:…:secret:…), never values and never all parameters."
  }
}

variable "alarms" {
  description = "SNS topics that alarms notify, and how far the tables may lag behind the write-ahead log."
  type = object({
    topic_arns             = optional(list(string), [])
    compaction_lag_seconds = optional(number, 900)
  })
  default  = {}
  nullable = false

  validation {
    condition     = alltrue([for arn in var.alarms.topic_arns : can(regex("^arn:[a-z-]+:sns:", arn))])
    error_message = "alarms.topic_arns must be ARNs of SNS topics."
  }

  validation {
    condition     = var.alarms.compaction_lag_seconds >= 60
    error_message = "alarms.compaction_lag_seconds must be at least 60: the newest minute is always in the write-ahead log only."
  }
}

variable "budget" {
  description = "A monthly budget in US dollars, and the addresses that hear of 80 % spent and of a forecast above it. It counts the whole account, or with by_tag only what bears this installation's tag; the tag \"varve\" must then be activated for cost allocation."
  type = object({
    usd    = number
    emails = list(string)
    by_tag = optional(bool, false)
  })
  default = null

  validation {
    condition     = var.budget == null || try(var.budget.usd > 0 && length(var.budget.emails) > 0 && length(var.budget.emails) <= 10, false)
    error_message = "budget needs a positive amount and 1 to 10 addresses."
  }
}

variable "tags" {
  description = "Tags of all resources, beside the tag \"varve\" with the name."
  type        = map(string)
  default     = {}
  nullable    = false
}

# Seldom

variable "bucket" {
  description = "The bucket. With create = false it exists already, and its settings are left alone. noncurrent_days is how long deleted and replaced objects can be brought back (0: no versions). transition moves objects to a cheaper class that can still be read at once."
  type = object({
    create           = optional(bool, true)
    name             = optional(string)
    prefix           = optional(string, "metrics")
    force_destroy    = optional(bool, false)
    kms_key_arn      = optional(string)
    noncurrent_days  = optional(number, 3)
    object_lock_days = optional(number, 0)
    transition = optional(object({
      days          = number
      storage_class = string
    }))
  })
  default  = {}
  nullable = false

  validation {
    condition     = var.bucket.create || var.bucket.name != null
    error_message = "bucket.create = false needs the name of the bucket."
  }

  validation {
    condition     = can(regex("^[A-Za-z0-9_-]+(/[A-Za-z0-9_-]+)*$", var.bucket.prefix)) && !contains(["config", "functions"], split("/", var.bucket.prefix)[0])
    error_message = "bucket.prefix must be a path such as metrics or prod/metrics, and not begin with config or functions."
  }

  validation {
    condition     = var.bucket.noncurrent_days >= 0 && floor(var.bucket.noncurrent_days) == var.bucket.noncurrent_days
    error_message = "bucket.noncurrent_days must be 0 (no versions) or a number of days."
  }

  validation {
    condition     = var.bucket.object_lock_days >= 0 && (var.bucket.object_lock_days == 0 || var.bucket.noncurrent_days > 0)
    error_message = "bucket.object_lock_days needs versions: noncurrent_days above 0."
  }

  # Archive classes are refused: an object there cannot be read without a restore, and each query would fail. One Zone would
  # give up durability. Below 30 days the cheaper classes cost more than the standard one, and merging still replaces files.
  validation {
    condition     = var.bucket.transition == null || try(contains(["INTELLIGENT_TIERING", "STANDARD_IA", "GLACIER_IR"], var.bucket.transition.storage_class) && var.bucket.transition.days >= 30, false)
    error_message = "bucket.transition must be to INTELLIGENT_TIERING, STANDARD_IA or GLACIER_IR, which are read at once, after 30 days or more."
  }
}

variable "architecture" {
  description = "Processors of the functions: arm64 or x86_64."
  type        = string
  default     = "arm64"

  validation {
    condition     = contains(["arm64", "x86_64"], var.architecture)
    error_message = "architecture must be arm64 or x86_64."
  }
}

variable "functions" {
  description = "Memory, time limit, reserved concurrency (-1: none; ingest has as much as there are shards) and more environment variables of each function."
  type = object({
    ingest = optional(object({
      memory_mb       = optional(number, 512)
      timeout_seconds = optional(number, 90)
      concurrency     = optional(number)
      environment     = optional(map(string), {})
    }), {})
    push = optional(object({
      memory_mb       = optional(number, 512)
      timeout_seconds = optional(number, 29)
      concurrency     = optional(number, 20)
      environment     = optional(map(string), {})
    }), {})
    compactor = optional(object({
      memory_mb       = optional(number, 2048)
      timeout_seconds = optional(number, 300)
      concurrency     = optional(number, 1)
      environment     = optional(map(string), {})
    }), {})
    query = optional(object({
      memory_mb       = optional(number, 2048)
      timeout_seconds = optional(number, 130)
      concurrency     = optional(number, 20)
      environment     = optional(map(string), {})
    }), {})
  })
  default  = {}
  nullable = false

  validation {
    condition     = alltrue([for f in values(var.functions) : f.memory_mb >= 128 && f.memory_mb <= 10240 && f.timeout_seconds >= 1 && f.timeout_seconds <= 900])
    error_message = "functions: memory_mb must be 128 to 10240, timeout_seconds 1 to 900."
  }

  validation {
    condition     = var.functions.push.timeout_seconds < 30
    error_message = "functions.push.timeout_seconds must be below 30, where the HTTP API gives up."
  }

  validation {
    condition     = alltrue([for f in values(var.functions) : !anytrue([for key in keys(f.environment) : contains(["VARVE_STORAGE_URL", "VARVE_CONFIG_FILE", "VARVE_SECRETS"], key)])])
    error_message = "functions: VARVE_STORAGE_URL, VARVE_CONFIG_FILE and VARVE_SECRETS are set by the module."
  }
}

variable "compaction_minutes" {
  description = "Minutes between two runs of the compactor."
  type        = number
  default     = 1

  validation {
    condition     = var.compaction_minutes >= 1 && var.compaction_minutes <= 60 && floor(var.compaction_minutes) == var.compaction_minutes
    error_message = "compaction_minutes must be a whole number from 1 to 60."
  }
}

variable "query_writes" {
  description = "Whether the query function may write what queries cost (<prefix>/<tenant>/usage/) and its results cache (<prefix>/<tenant>/cache/). It can write nothing else."
  type = object({
    usage = optional(bool, true)
    cache = optional(bool, true)
  })
  default  = {}
  nullable = false
}

variable "ingest_policy_arns" {
  description = "More policies for the ingest function, for service discovery (ec2:DescribeInstances and the like)."
  type        = list(string)
  default     = []
  nullable    = false
}

variable "vpc" {
  description = "Subnets and security groups in which the ingest function runs, to reach private targets. They need a way to S3 (a gateway endpoint) and, for secrets and discovery, to those services."
  type = object({
    subnet_ids         = list(string)
    security_group_ids = list(string)
  })
  default = null

  validation {
    condition     = var.vpc == null || try(length(var.vpc.subnet_ids) > 0 && length(var.vpc.security_group_ids) > 0, false)
    error_message = "vpc needs at least one subnet and one security group."
  }
}

variable "http_limits" {
  description = "Requests per second that the HTTP API takes in the long run, and at once."
  type = object({
    rate  = optional(number, 100)
    burst = optional(number, 200)
  })
  default  = {}
  nullable = false

  validation {
    condition     = var.http_limits.rate > 0 && var.http_limits.burst > 0
    error_message = "http_limits must be above 0: with 0 the HTTP API refuses everything."
  }
}

variable "log_retention_days" {
  description = "How long logs are kept."
  type        = number
  default     = 30

  validation {
    condition     = contains([1, 3, 5, 7, 14, 30, 60, 90, 120, 150, 180, 365, 400, 545, 731, 1096, 1827, 2192, 2557, 2922, 3288, 3653], var.log_retention_days)
    error_message = "log_retention_days must be one of CloudWatch's periods: 1, 3, 5, 7, 14, 30, 60, 90, 120, 150, 180, 365, 400, 545, 731 …"
  }
}
