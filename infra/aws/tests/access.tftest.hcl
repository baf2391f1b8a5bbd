# What the roles may do, without any AWS: the provider is a mock, and policies are read as the module writes them.

mock_provider "aws" {
  source = "./tests/mock"
}

variables {
  package_dir = "./tests/packages"
  config_dir  = "./examples/complete/config"
}

run "ingest_and_push_cannot_delete" {
  assert {
    condition = alltrue([
      for function in ["ingest", "push"] : alltrue([
        for statement in jsondecode(module.function[function].policy).Statement :
        statement.Effect == "Deny" || !anytrue([for action in statement.Action : can(regex("Delete|\\*", action))])
      ])
    ])
    error_message = "ingest or push may delete something."
  }

  assert {
    condition = alltrue([
      for function in ["ingest", "push"] : length([
        for statement in jsondecode(module.function[function].policy).Statement : statement
        if statement.Effect == "Deny" && contains(statement.Action, "s3:PutObject") && contains(statement.Resource, "arn:aws:s3:::varve-123456789012-eu-central-1/metrics/*/samples/*")
      ]) == 1
    ])
    error_message = "ingest or push may write tables."
  }
}

run "query_writes_usage_and_cache_only" {
  assert {
    condition = flatten([
      for statement in jsondecode(module.function["query"].policy).Statement : statement.Resource
      if statement.Effect == "Allow" && anytrue([for action in statement.Action : can(regex("^s3:(Put|Delete|Abort|\\*)", action))])
      ]) == [
      "arn:aws:s3:::varve-123456789012-eu-central-1/metrics/*/cache/*",
      "arn:aws:s3:::varve-123456789012-eu-central-1/metrics/*/usage/*",
    ]
    error_message = "query may write somewhere else than usage/ and cache/."
  }

  assert {
    condition = alltrue([
      for part in ["*/samples", "*/series", "*/metadata", "*/exemplars", "*/wal", "leases"] : anytrue([
        for statement in jsondecode(module.function["query"].policy).Statement :
        statement.Effect == "Deny" && contains(statement.Resource, "arn:aws:s3:::varve-123456789012-eu-central-1/metrics/${part}/*")
      ])
    ])
    error_message = "Something below a table or the log that is called cache or usage could be written by query."
  }
}

run "query_can_do_without_writing" {
  variables {
    query_writes = { usage = false, cache = false }
  }

  assert {
    condition     = !can(regex("s3:(Put|Delete|Abort)", module.function["query"].policy))
    error_message = "query may write although it should not."
  }
}

run "only_the_compactor_deletes_and_no_version" {
  assert {
    condition     = [for function, one in module.function : function if can(regex("s3:Delete", one.policy))] == ["compactor"]
    error_message = "Somebody else than the compactor deletes."
  }

  assert {
    condition     = !can(regex("DeleteObjectVersion|s3:\\*", module.function["compactor"].policy))
    error_message = "The compactor could delete for good."
  }
}

run "secrets_are_per_function" {
  variables {
    secrets = {
      ingest       = ["arn:aws:ssm:eu-central-1:123456789012:parameter/varve/*"]
      query        = ["arn:aws:secretsmanager:eu-central-1:123456789012:secret:varve-a1b2c3"]
      kms_key_arns = ["arn:aws:kms:eu-central-1:123456789012:key/11111111-2222-3333-4444-555555555555"]
    }
  }

  assert {
    condition     = [for function, one in module.function : function if can(regex("ssm:Get", one.policy))] == ["ingest"]
    error_message = "Parameters are readable by others than ingest."
  }

  assert {
    condition     = [for function, one in module.function : function if can(regex("secretsmanager:Get", one.policy))] == ["query"]
    error_message = "The secret is readable by others than query."
  }

  assert {
    condition     = [for function, one in module.function : function if can(regex("kms:Decrypt", one.policy))] == ["ingest", "query"]
    error_message = "The key is usable by others than those that have secrets."
  }

  assert {
    condition     = [for function, one in module.function : function if can(one.environment.VARVE_SECRETS)] == ["ingest", "query"]
    error_message = "VARVE_SECRETS is not where the secrets are."
  }
}

run "network_only_for_ingest" {
  variables {
    vpc = { subnet_ids = ["subnet-1"], security_group_ids = ["sg-1"] }
  }

  assert {
    condition     = [for function, one in module.function : function if length(one.vpc_config) > 0] == ["ingest"]
    error_message = "Another function than ingest is in the VPC."
  }

  assert {
    condition     = [for function, one in module.function : function if can(regex("ec2:CreateNetworkInterface", one.policy))] == ["ingest"]
    error_message = "Another role than that of ingest makes network interfaces."
  }
}
