# A bucket for Varve on a MinIO (or another store with S3's API), through the AWS provider. Users and policies of MinIO are not
# part of that API: credentials.sh makes them.

variable "endpoint" {
  description = "Where the store is, such as https://minio.example.com:9000. Credentials of an administrator come from AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY."
  type        = string

  validation {
    condition     = can(regex("^https?://[^/]+$", var.endpoint))
    error_message = "endpoint must be http(s)://host:port without a path."
  }
}

variable "bucket" {
  description = "The bucket to make."
  type        = string
  default     = "metrics"
}

variable "region" {
  description = "What the store says its region is; MinIO's default is us-east-1."
  type        = string
  default     = "us-east-1"
}

variable "noncurrent_days" {
  description = "How long deleted and replaced objects can be brought back; 0 for no versions."
  type        = number
  default     = 0

  validation {
    condition     = var.noncurrent_days >= 0 && floor(var.noncurrent_days) == var.noncurrent_days
    error_message = "noncurrent_days must be 0 (no versions) or a number of days."
  }
}

provider "aws" {
  region                      = var.region
  s3_use_path_style           = true
  skip_credentials_validation = true
  skip_metadata_api_check     = true
  skip_region_validation      = true
  skip_requesting_account_id  = true

  endpoints {
    s3 = var.endpoint
  }
}

resource "aws_s3_bucket" "this" {
  bucket = var.bucket
}

resource "aws_s3_bucket_versioning" "this" {
  count = var.noncurrent_days > 0 ? 1 : 0

  bucket = aws_s3_bucket.this.id

  versioning_configuration {
    status = "Enabled"
  }
}

# As on AWS: nothing expires by age, only what was deleted or replaced. MinIO drops unfinished uploads by itself after a day.
resource "aws_s3_bucket_lifecycle_configuration" "this" {
  count = var.noncurrent_days > 0 ? 1 : 0

  bucket = aws_s3_bucket_versioning.this[0].bucket

  rule {
    id     = "deleted-and-replaced"
    status = "Enabled"

    filter {}

    noncurrent_version_expiration {
      noncurrent_days = var.noncurrent_days
    }

    expiration {
      expired_object_delete_marker = true
    }
  }
}

output "environment" {
  description = "Lines for varve.env, to which the credentials are added."
  value       = <<-TEXT
    VARVE_STORAGE_URL=s3://${aws_s3_bucket.this.id}/prod
    AWS_ENDPOINT_URL_S3=${var.endpoint}
    AWS_REGION=${var.region}
  TEXT
}
