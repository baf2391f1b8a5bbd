# Defaults that must stay as safe as they are, and settings that must be refused.

mock_provider "aws" {
  source = "./tests/mock"
}

variables {
  package_dir = "./tests/packages"
  config_dir  = "./examples/complete/config"
}

run "defaults" {
  assert {
    condition     = module.bucket[0].public_access_blocked
    error_message = "The public may reach the bucket."
  }

  assert {
    condition     = [for statement in jsondecode(module.bucket[0].policy).Statement : statement.Sid if statement.Effect == "Deny" && statement.Principal == "*"] == ["OnlyTls", "OnlyTls12"]
    error_message = "The bucket takes requests without TLS."
  }

  assert {
    condition     = module.bucket[0].encryption == "AES256" && module.bucket[0].versioning == "Enabled"
    error_message = "The bucket is not encrypted, or keeps no versions."
  }

  assert {
    condition     = alltrue(flatten([for rule in module.bucket[0].lifecycle_rules : [for expiration in rule.expiration : coalesce(expiration.days, 0) == 0 && coalesce(expiration.date, "never") == "never"]]))
    error_message = "Data is deleted by age, which breaks tables."
  }

  assert {
    condition     = length(flatten([for rule in module.bucket[0].lifecycle_rules : [for transition in rule.transition : transition]])) == 0
    error_message = "Data moves to another storage class unasked."
  }

  assert {
    condition     = alltrue([for route in aws_apigatewayv2_route.this : route.authorization_type == "AWS_IAM"]) && aws_lambda_function_url.query.authorization_type == "AWS_IAM"
    error_message = "Something is served without authorization."
  }

  assert {
    condition     = aws_lambda_function_url.query.invoke_mode == "RESPONSE_STREAM"
    error_message = "Large answers are not streamed."
  }

  assert {
    condition     = module.function["compactor"].concurrency == 1 && module.function["ingest"].concurrency == 1
    error_message = "Runs of one shard, or of the compactor, overlap."
  }

  assert {
    condition     = length(aws_budgets_budget.this) == 0
    error_message = "A budget needs addresses, so there is none by default."
  }

  assert {
    condition     = output.grafana_url == "https://mock.lambda-url.eu-central-1.on.aws"
    error_message = "grafana_url must be the function URL with IAM, and have no slash at the end."
  }
}

run "shards" {
  variables {
    shards = 3
  }

  assert {
    condition     = [for schedule in aws_scheduler_schedule.ingest : jsondecode(schedule.target[0].input)] == [for k in range(3) : { shard = k, shards = 3 }]
    error_message = "Each shard needs a schedule of its own with its number."
  }

  assert {
    condition     = module.function["ingest"].concurrency == 3
    error_message = "Shards need as many runs at once."
  }
}

run "tokens" {
  variables {
    authorization = { type = "JWT", issuer = "https://login.example.com/", audience = ["varve"], push_scopes = ["write"], query_scopes = ["read"] }
  }

  assert {
    condition     = alltrue([for route in aws_apigatewayv2_route.this : route.authorization_type == "JWT"])
    error_message = "A route takes requests without a token."
  }

  assert {
    condition     = aws_apigatewayv2_route.this["POST /api/v1/write"].authorization_scopes == toset(["write"]) && aws_apigatewayv2_route.this["GET /{proxy+}"].authorization_scopes == toset(["read"])
    error_message = "Scopes of reading and writing are mixed up."
  }

  assert {
    condition     = output.grafana_url == output.api_url
    error_message = "With tokens, Grafana goes through the HTTP API."
  }
}

run "budget" {
  variables {
    budget = { usd = 20, emails = ["operations@example.com"], by_tag = true }
  }

  assert {
    condition     = aws_budgets_budget.this[0].limit_amount == "20.00" && length(aws_budgets_budget.this[0].notification) == 2
    error_message = "The budget is not the one asked for."
  }

  assert {
    condition     = one(aws_budgets_budget.this[0].cost_filter).values == tolist(["user:varve$varve"])
    error_message = "The budget counts what does not bear the tag."
  }
}

run "own_key" {
  variables {
    bucket = { kms_key_arn = "arn:aws:kms:eu-central-1:123456789012:key/11111111-2222-3333-4444-555555555555" }
  }

  assert {
    condition     = module.bucket[0].encryption == "aws:kms" && alltrue([for one in module.function : can(regex("kms:GenerateDataKey", one.policy))])
    error_message = "The key is not used, or not every function may use it."
  }
}

run "bucket_that_exists" {
  variables {
    bucket = { create = false, name = "metrics-of-mine", prefix = "prod" }
  }

  assert {
    condition     = length(module.bucket) == 0 && output.storage_url == "s3://metrics-of-mine/prod"
    error_message = "A bucket that exists is made or named otherwise."
  }
}

run "refused_names" {
  command = plan

  variables {
    name = "Not_a_name"
  }

  expect_failures = [var.name]
}

run "refused_access_for_all" {
  command = plan

  variables {
    authorization = { type = "NONE" }
  }

  expect_failures = [var.authorization]
}

run "refused_tokens_of_nobody" {
  command = plan

  variables {
    authorization = { type = "JWT", issuer = "https://login.example.com/" }
  }

  expect_failures = [var.authorization]
}

run "refused_archive_classes" {
  command = plan

  variables {
    bucket = { transition = { days = 90, storage_class = "DEEP_ARCHIVE" } }
  }

  expect_failures = [var.bucket]
}

run "refused_early_transition" {
  command = plan

  variables {
    bucket = { transition = { days = 7, storage_class = "STANDARD_IA" } }
  }

  expect_failures = [var.bucket]
}

run "refused_lock_without_versions" {
  command = plan

  variables {
    bucket = { noncurrent_days = 0, object_lock_days = 30 }
  }

  expect_failures = [var.bucket]
}

run "refused_prefix_of_the_configuration" {
  command = plan

  variables {
    bucket = { prefix = "config" }
  }

  expect_failures = [var.bucket]
}

run "refused_secret_values" {
  command = plan

  variables {
    secrets = { ingest = ["hunter2"] }
  }

  expect_failures = [var.secrets]
}

run "refused_all_parameters" {
  command = plan

  variables {
    secrets = { ingest = ["arn:aws:ssm:eu-central-1:123456789012:parameter/*"] }
  }

  expect_failures = [var.secrets]
}

run "refused_slow_push" {
  command = plan

  variables {
    functions = { push = { timeout_seconds = 60 } }
  }

  expect_failures = [var.functions]
}

run "refused_folder_without_configuration" {
  command = plan

  variables {
    config_dir = "./tests"
  }

  expect_failures = [var.config_dir]
}

run "refused_shards" {
  command = plan

  variables {
    shards = 0
  }

  expect_failures = [var.shards]
}
