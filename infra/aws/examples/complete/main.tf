# Varve on AWS, in an account of your own:
#
#   scripts/package                      # makes the functions' archives
#   terraform init
#   terraform apply -var package_dir=…
#
# State is kept in a local file; use a backend of your own for more than a trial.

variable "region" {
  description = "Where to install it: near the targets."
  type        = string
  default     = "eu-central-1"
}

variable "name" {
  description = "What names of resources begin with."
  type        = string
  default     = "varve"
}

variable "package_dir" {
  description = "Folder with the functions' archives."
  type        = string
}

variable "architecture" {
  description = "Processors that the archives are for."
  type        = string
  default     = "arm64"
}

variable "shards" {
  description = "Among how many concurrent runs the targets are divided."
  type        = number
  default     = 1
}

variable "authorization" {
  description = "As in the module."
  type        = any
  default     = {}
}

variable "bucket" {
  description = "As in the module."
  type        = any
  default     = {}
}

variable "alarm_topic_arns" {
  description = "SNS topics that alarms notify."
  type        = list(string)
  default     = []
}

variable "budget" {
  description = "As in the module."
  type        = any
  default     = null
}

provider "aws" {
  region = var.region
}

module "varve" {
  source = "../.."

  name          = var.name
  package_dir   = var.package_dir
  config_dir    = "${path.module}/config"
  architecture  = var.architecture
  shards        = var.shards
  authorization = var.authorization
  bucket        = var.bucket
  alarms        = { topic_arns = var.alarm_topic_arns }
  budget        = var.budget

  # Values are put there by hand: aws ssm put-parameter --type SecureString --name /varve/targets/password --value …
  secrets = {
    ingest = ["arn:aws:ssm:${var.region}:${data.aws_caller_identity.current.account_id}:parameter/${var.name}/*"]
  }

  # For ec2_sd_configs.
  ingest_policy_arns = [aws_iam_policy.discovery.arn]

  tags = { project = "metrics" }
}

data "aws_caller_identity" "current" {}

resource "aws_iam_policy" "discovery" {
  name        = "${var.name}-discovery"
  description = "Lists EC2 instances, to find targets."

  policy = jsonencode({
    Version = "2012-10-17"
    Statement = [{
      Effect   = "Allow"
      Action   = ["ec2:DescribeAvailabilityZones", "ec2:DescribeInstances"]
      Resource = ["*"]
    }]
  })
}
