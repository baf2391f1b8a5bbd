output "name" {
  description = "The bucket, once it is protected: what is uploaded waits for that."
  value       = aws_s3_bucket.this.id

  depends_on = [
    aws_s3_bucket_lifecycle_configuration.this,
    aws_s3_bucket_object_lock_configuration.this,
    aws_s3_bucket_ownership_controls.this,
    aws_s3_bucket_policy.this,
    aws_s3_bucket_public_access_block.this,
    aws_s3_bucket_server_side_encryption_configuration.this,
  ]
}

output "public_access_blocked" {
  description = "Whether all four settings against public access are on."
  value = alltrue([
    aws_s3_bucket_public_access_block.this.block_public_acls,
    aws_s3_bucket_public_access_block.this.block_public_policy,
    aws_s3_bucket_public_access_block.this.ignore_public_acls,
    aws_s3_bucket_public_access_block.this.restrict_public_buckets,
  ])
}

output "policy" {
  description = "The bucket's policy."
  value       = aws_s3_bucket_policy.this.policy
}

output "lifecycle_rules" {
  description = "The life cycle rules."
  value       = aws_s3_bucket_lifecycle_configuration.this.rule
}

output "encryption" {
  description = "The algorithm that objects are encrypted with."
  value       = one(one(aws_s3_bucket_server_side_encryption_configuration.this.rule).apply_server_side_encryption_by_default).sse_algorithm
}

output "versioning" {
  description = "Whether versions are kept: Enabled or Suspended."
  value       = one(aws_s3_bucket_versioning.this.versioning_configuration).status
}
