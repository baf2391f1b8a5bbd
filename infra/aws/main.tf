# Varve without servers: a bucket that holds everything, and functions around it.
#
#   bucket.tf       the bucket and the configuration in it
#   access.tf       what each function may do
#   functions.tf    the functions
#   schedules.tf    what starts ingest and the compactor, and where failed runs are reported
#   http.tf         how writers and readers come in
#   operation.tf    alarms and the budget

data "aws_caller_identity" "current" {}

data "aws_partition" "current" {}

data "aws_region" "current" {}

locals {
  account   = data.aws_caller_identity.current.account_id
  partition = data.aws_partition.current.partition
  region    = data.aws_region.current.name

  tags = merge(var.tags, { varve = var.name })
}
