locals {
  bucket_name = coalesce(var.bucket.name, "${var.name}-${local.account}-${local.region}")
  bucket_arn  = "arn:${local.partition}:s3:::${local.bucket_name}"

  # By way of the module's output, so that whatever needs the bucket waits until it is there and protected.
  bucket = var.bucket.create ? module.bucket[0].name : local.bucket_name

  storage_url = "s3://${local.bucket_name}/${var.bucket.prefix}"
  config_url  = "s3://${local.bucket_name}/config/${var.name}/prometheus.yml"
}

module "bucket" {
  source = "./modules/bucket"
  count  = var.bucket.create ? 1 : 0

  name             = local.bucket_name
  prefix           = var.bucket.prefix
  force_destroy    = var.bucket.force_destroy
  kms_key_arn      = var.bucket.kms_key_arn
  noncurrent_days  = var.bucket.noncurrent_days
  object_lock_days = var.bucket.object_lock_days
  transition       = var.bucket.transition
  tags             = local.tags
}

# Terraform's state gets a checksum of each file, not what is in it.
resource "aws_s3_object" "config" {
  for_each = fileset(var.config_dir, "**")

  bucket        = local.bucket
  key           = "config/${var.name}/${each.value}"
  source        = "${var.config_dir}/${each.value}"
  source_hash   = filemd5("${var.config_dir}/${each.value}")
  content_type  = "text/plain; charset=utf-8"
  force_destroy = var.bucket.object_lock_days > 0
  # S3 refuses what is to be locked without one.
  checksum_algorithm = var.bucket.object_lock_days > 0 ? "SHA256" : null
  tags               = local.tags

  lifecycle {
    # The bucket's default retention sets them.
    ignore_changes = [object_lock_mode, object_lock_retain_until_date]
  }
}
