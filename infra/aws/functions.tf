locals {
  descriptions = {
    ingest    = "Scrapes targets"
    push      = "Takes remote write and OTLP"
    compactor = "Writes tables from the write-ahead log"
    query     = "Answers PromQL"
  }

  scheduled = ["compactor", "ingest"]
}

module "function" {
  source   = "./modules/function"
  for_each = local.descriptions

  name               = "${var.name}-${each.key}"
  description        = each.value
  package            = "${var.package_dir}/varve-${each.key}-${var.architecture}.zip"
  bucket             = local.bucket
  object_lock        = var.bucket.object_lock_days > 0
  architecture       = var.architecture
  memory_mb          = var.functions[each.key].memory_mb
  timeout_seconds    = var.functions[each.key].timeout_seconds
  concurrency        = coalesce(var.functions[each.key].concurrency, var.shards)
  statements         = local.statements[each.key]
  policy_arns        = each.key == "ingest" ? var.ingest_policy_arns : []
  vpc                = each.key == "ingest" ? var.vpc : null
  log_retention_days = var.log_retention_days
  alarm_topic_arns   = var.alarms.topic_arns
  tags               = local.tags

  environment = merge(
    {
      VARVE_CONFIG_FILE = local.config_url
      VARVE_LOG_FORMAT  = "json"
      VARVE_STORAGE_URL = local.storage_url
    },
    length(var.secrets[each.key]) == 0 ? {} : { VARVE_SECRETS = join(",", var.secrets[each.key]) },
    # S3 refuses objects without a checksum where they are locked.
    var.bucket.object_lock_days == 0 ? {} : { AWS_CHECKSUM_ALGORITHM = "sha256" },
    var.functions[each.key].environment,
  )

  failures = !contains(local.scheduled, each.key) ? null : {
    queue_arn = aws_sqs_queue.failures.arn
    # A scrape that is a minute late is not wanted any more.
    event_age_seconds = each.key == "ingest" ? 60 : 300
  }
}
