# What each function may do in the bucket, and which secrets it may read.
#
#               read   list   write                                       delete
#   ingest      yes    yes    all but tables                              no
#   push        yes    yes    all but tables                              no
#   compactor   yes    yes    yes                                         yes, but not versions
#   query       yes    yes    usage/ and cache/ of each tenant, if wanted no

locals {
  archive_arn = "${local.bucket_arn}/${var.bucket.prefix}"

  # What only the compactor writes. A star of IAM matches slashes too, so these cover every tenant and every depth.
  table_arns = [for table in ["samples", "series", "metadata", "exemplars"] : "${local.archive_arn}/*/${table}/*"]

  read_statements = [
    {
      Sid      = "ReadArchive"
      Effect   = "Allow"
      Action   = ["s3:GetObject"]
      Resource = ["${local.archive_arn}/*"]
    },
    {
      Sid      = "ReadConfiguration"
      Effect   = "Allow"
      Action   = ["s3:GetObject"]
      Resource = ["${local.bucket_arn}/config/${var.name}/*"]
    },
    {
      # S3 answers 404 for a missing object only to those who may list the bucket, else 403; the end of the write-ahead log is
      # found by such a 404. A request for one object has no s3:prefix, hence IfExists: a listing must name the prefix.
      Sid       = "ListArchive"
      Effect    = "Allow"
      Action    = ["s3:ListBucket"]
      Resource  = [local.bucket_arn]
      Condition = { StringLikeIfExists = { "s3:prefix" = ["${var.bucket.prefix}/*", "config/${var.name}/*"] } }
    },
  ]

  append_statements = [
    {
      Sid      = "AppendToArchive"
      Effect   = "Allow"
      Action   = ["s3:PutObject"]
      Resource = ["${local.archive_arn}/*"]
    },
    {
      Sid      = "LeaveTablesAlone"
      Effect   = "Deny"
      Action   = ["s3:PutObject"]
      Resource = local.table_arns
    },
  ]

  rewrite_statements = [
    {
      # Without s3:DeleteObjectVersion: what the compactor deletes can be brought back for bucket.noncurrent_days.
      Sid      = "RewriteArchive"
      Effect   = "Allow"
      Action   = ["s3:AbortMultipartUpload", "s3:DeleteObject", "s3:PutObject"]
      Resource = ["${local.archive_arn}/*"]
    },
  ]

  query_writes = [for part, wanted in var.query_writes : "${local.archive_arn}/*/${part}/*" if wanted]

  query_statements = length(local.query_writes) == 0 ? [] : [
    {
      Sid      = "WriteUsageAndCache"
      Effect   = "Allow"
      Action   = ["s3:PutObject"]
      Resource = local.query_writes
    },
    {
      # The stars above match usage/ and cache/ at any depth, so that these have to be taken out.
      Sid      = "LeaveSamplesAlone"
      Effect   = "Deny"
      Action   = ["s3:PutObject"]
      Resource = concat(local.table_arns, ["${local.archive_arn}/*/wal/*", "${local.archive_arn}/leases/*"])
    },
  ]

  key_statements = var.bucket.kms_key_arn == null ? [] : [
    {
      Sid      = "UseBucketKey"
      Effect   = "Allow"
      Action   = ["kms:Decrypt", "kms:GenerateDataKey"]
      Resource = [var.bucket.kms_key_arn]
    },
  ]

  secret_statements = {
    for function in ["ingest", "push", "compactor", "query"] : function => concat(
      [
        for statement in [
          {
            Sid      = "ReadParameters"
            Effect   = "Allow"
            Action   = ["ssm:GetParameter", "ssm:GetParameters", "ssm:GetParametersByPath"]
            Resource = flatten([for arn in var.secrets[function] : endswith(arn, "/*") ? [arn, trimsuffix(arn, "/*")] : [arn] if strcontains(arn, ":ssm:")])
          },
          {
            Sid      = "ReadSecrets"
            Effect   = "Allow"
            Action   = ["secretsmanager:GetSecretValue"]
            Resource = [for arn in var.secrets[function] : arn if strcontains(arn, ":secretsmanager:")]
          },
          {
            Sid      = "DecryptSecrets"
            Effect   = "Allow"
            Action   = ["kms:Decrypt"]
            Resource = length(var.secrets[function]) == 0 ? [] : var.secrets.kms_key_arns
          },
        ] : statement if length(statement.Resource) > 0
      ],
    )
  }

  # As JSON, because the statements differ in shape.
  statements = {
    ingest    = jsonencode(flatten([local.read_statements, local.append_statements, local.key_statements, local.secret_statements["ingest"]]))
    push      = jsonencode(flatten([local.read_statements, local.append_statements, local.key_statements, local.secret_statements["push"]]))
    compactor = jsonencode(flatten([local.read_statements, local.rewrite_statements, local.key_statements, local.secret_statements["compactor"]]))
    query     = jsonencode(flatten([local.read_statements, local.query_statements, local.key_statements, local.secret_statements["query"]]))
  }
}
