#!/usr/bin/env python3
"""Applies infra/aws (its example) and infra/minio to moto with the real AWS provider, looks at each resource, and destroys all again.

    apply_moto.py [--keep]

What it shows:

1. `apply` makes everything that the module promises, asked for through boto3, not through Terraform's state.
2. What the roles may do in the bucket, evaluated as IAM does: ingest cannot delete, query cannot write tables.
3. A second plan finds nothing to change.
4. With the bucket taken out of the state, `destroy` leaves it with its data; and on a bucket with data the module builds and destroys, and leaves them alone.
5. `destroy` leaves nothing at all.
6. The bucket of `infra/minio` comes and goes likewise.

The budget alone is left out: moto does not say who hears of a budget. `terraform test` covers it.

Terraform and the AWS provider must be there (or a registry to get it from), and moto's server in this Python's environment.
"""

import argparse
import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
import zipfile
from concurrent.futures import ThreadPoolExecutor
from fnmatch import fnmatchcase
from pathlib import Path

import boto3
from botocore.config import Config

INFRA = Path(__file__).resolve().parent.parent
REGION = "eu-central-1"
ACCOUNT = "123456789012"
FUNCTIONS = ("compactor", "ingest", "push", "query")
BUCKET = f"varve-{ACCOUNT}-{REGION}"
# Far more than any needs; a service that hangs must not hold a pipeline up.
COMMAND_SECONDS_MAX = 180
# Services that the AWS provider is pointed at moto for, by its names for them.
SERVICES = (
    "apigatewayv2", "cloudwatch", "ec2", "iam", "kms", "lambda", "logs", "s3", "scheduler", "secretsmanager", "sns",
    "sqs", "ssm", "sts",
)
OVERRIDE = """
provider "aws" {{
  # An answer that moto does not know is an error at once.
  max_retries                 = 2
  access_key                  = "test"
  secret_key                  = "test"
  s3_use_path_style           = true
  skip_credentials_validation = true
  skip_metadata_api_check     = true
  skip_requesting_account_id  = false

  endpoints {{
{endpoints}
  }}
}}
"""

failures: list[str] = []
checks = 0
servers: list[subprocess.Popen] = []


def check(what: str, seen, expected=True) -> None:
    """Notes a difference and goes on: one run shows all of them."""
    global checks
    checks += 1
    if seen != expected:
        failures.append(f"{what}: expected {expected!r}, found {seen!r}")
        print(f"  FAILED {failures[-1]}", flush=True)


class Moto:
    """moto's server on a free port, with nothing in it."""

    def __init__(self, log: Path):
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = probe.getsockname()[1]
        self.url = f"http://127.0.0.1:{self.port}"
        self.log = open(log, "wb")
        # Names that must not reach the real AWS, whatever the environment of the caller holds.
        clean = {key: value for key, value in os.environ.items() if not key.startswith("AWS_")}
        self.environment = clean | {
            "AWS_ACCESS_KEY_ID": "test", "AWS_SECRET_ACCESS_KEY": "test", "AWS_REGION": REGION, "AWS_EC2_METADATA_DISABLED": "true",
        }
        self.process = subprocess.Popen(
            [sys.executable, str(Path(__file__).with_name("moto_server.py")), "-H", "127.0.0.1", "-p", str(self.port)],
            stdout=self.log, stderr=self.log, env=self.environment,
        )
        servers.append(self.process)
        deadline = time.monotonic() + 60
        while True:
            try:
                urllib.request.urlopen(f"{self.url}/moto-api/data.json", timeout=2).read()
                return
            except OSError:
                if self.process.poll() is not None or time.monotonic() > deadline:
                    raise SystemExit(f"moto did not start: {Path(log).read_text()[-2000:]}")
                time.sleep(0.2)

    def client(self, service: str):
        return boto3.client(
            service, endpoint_url=self.url, region_name=REGION, aws_access_key_id="test", aws_secret_access_key="test",
            config=Config(retries={"max_attempts": 2}, s3={"addressing_style": "path"}),
        )

    def stop(self) -> None:
        self.process.terminate()
        self.process.wait(30)
        self.log.close()


class Terraform:
    """A folder with a root module in a copy of `infra`."""

    def __init__(self, work: Path, moto: Moto, folder: str, settings: dict):
        shutil.copytree(INFRA, work / "infra", ignore=shutil.ignore_patterns(".terraform*", "*.tfstate*"))
        self.folder = work / "infra" / folder
        self.settings = settings
        self.name = work.name
        self.environment = moto.environment | {"TF_IN_AUTOMATION": "1", "CHECKPOINT_DISABLE": "1"}

    def run(self, *arguments: str, expected: tuple[int, ...] = (0,)) -> tuple[int, str]:
        started = time.monotonic()
        try:
            done = subprocess.run(
                ["terraform", f"-chdir={self.folder}", *arguments, "-no-color"], env=self.environment, capture_output=True, text=True, check=False,
                timeout=COMMAND_SECONDS_MAX,
            )
        except subprocess.TimeoutExpired as error:
            raise SystemExit(f"terraform {' '.join(arguments)} took too long:\n{(error.stdout or b'').decode()[-3000:]}") from error
        print(f"  {self.name}: terraform {arguments[0]}: {time.monotonic() - started:.1f} s", flush=True)
        if done.returncode not in expected:
            raise SystemExit(f"terraform {' '.join(arguments)} ended with {done.returncode}:\n{done.stdout[-4000:]}\n{done.stderr[-4000:]}")
        return done.returncode, done.stdout

    def change(self, job: str) -> str:
        if not (self.folder / ".terraform").exists():
            self.run("init", "-input=false")
        (self.folder / "test.auto.tfvars.json").write_text(json.dumps(self.settings))
        _, output = self.run(job, "-input=false", "-auto-approve")
        return output

    def check_no_changes(self, when: str) -> None:
        code, output = self.run("plan", "-input=false", "-detailed-exitcode", expected=(0, 2))
        check(f"plan {when} finds changes", [line for line in output.splitlines() if line.strip().startswith("#")], [])
        check(f"plan {when}: exit code", code, 0)

    def outputs(self) -> dict:
        return json.loads(self.run("output", "-json")[1])


def example(work: Path, moto: Moto, archives: Path) -> Terraform:
    """The example of `infra/aws`, pointed at moto."""
    settings = {
        "package_dir": str(archives),
        "shards": 2,
        "alarm_topic_arns": [f"arn:aws:sns:{REGION}:{ACCOUNT}:alarms"],
        "bucket": {"transition": {"days": 60, "storage_class": "GLACIER_IR"}},
    }
    terraform = Terraform(work, moto, "aws/examples/complete", settings)
    endpoints = "\n".join(f'    {service} = "{moto.url}"' for service in SERVICES)
    (terraform.folder / "moto_override.tf").write_text(OVERRIDE.format(endpoints=endpoints))
    return terraform


def packages(folder: Path) -> None:
    """Archives with an executable that does nothing: moto never runs it."""
    for function in FUNCTIONS:
        with zipfile.ZipFile(folder / f"varve-{function}-arm64.zip", "w") as archive:
            entry = zipfile.ZipInfo("bootstrap")
            entry.external_attr = 0o755 << 16
            archive.writestr(entry, f"#!/bin/sh\n# {function}\nexit 1\n")


# What IAM does with the policies of a role, as far as these policies go.


def as_list(value) -> list:
    return value if isinstance(value, list) else [value]


def condition_holds(condition: dict, context: dict) -> bool:
    for operator, keys in condition.items():
        if operator != "StringLikeIfExists":
            raise ValueError(f"the test does not know the condition {operator}")
        for key, patterns in keys.items():
            if key in context and not any(fnmatchcase(context[key], pattern) for pattern in as_list(patterns)):
                return False
    return True


def allowed(policies: list[dict], action: str, resource: str, context: dict | None = None) -> bool:
    """Whether something allows it and nothing denies it. A star matches slashes, here as in IAM."""
    allows = False
    for statement in (statement for policy in policies for statement in policy["Statement"]):
        if (
            any(fnmatchcase(action, pattern) for pattern in as_list(statement["Action"]))
            and any(fnmatchcase(resource, pattern) for pattern in as_list(statement["Resource"]))
            and condition_holds(statement.get("Condition", {}), context or {})
        ):
            if statement["Effect"] == "Deny":
                return False
            allows = True
    return allows


def role_policies(iam, role: str) -> list[dict]:
    policies = [iam.get_role_policy(RoleName=role, PolicyName=name)["PolicyDocument"] for name in iam.list_role_policies(RoleName=role)["PolicyNames"]]
    for attached in iam.list_attached_role_policies(RoleName=role)["AttachedPolicies"]:
        version = iam.get_policy(PolicyArn=attached["PolicyArn"])["Policy"]["DefaultVersionId"]
        policies.append(iam.get_policy_version(PolicyArn=attached["PolicyArn"], VersionId=version)["PolicyVersion"]["Document"])
    return policies


def check_roles(moto: Moto) -> None:
    iam = moto.client("iam")
    names = sorted(role["RoleName"] for role in iam.list_roles()["Roles"])
    check("roles", names, ["varve-compactor", "varve-ingest", "varve-push", "varve-query", "varve-scheduler"])
    bucket = f"arn:aws:s3:::{BUCKET}"
    archive = f"{bucket}/metrics/default"
    objects = {
        "wal": f"{archive}/wal/0/00000000000000000001.arrow",
        "log": f"{archive}/samples/_delta_log/00000000000000000000.json",
        "file": f"{archive}/samples/date=2026-01-01/part.parquet",
        "series": f"{archive}/series/date=2026-01-01/part.parquet",
        "exemplars": f"{archive}/exemplars/_delta_log/00000000000000000000.json",
        "lease": f"{bucket}/metrics/leases/ingest-0",
        "usage": f"{archive}/usage/2026-01-01.json",
        "cache": f"{archive}/cache/a",
        "hidden": f"{archive}/samples/cache/a",
        "config": f"{bucket}/config/varve/prometheus.yml",
        "other config": f"{bucket}/config/other/prometheus.yml",
        "code": f"{bucket}/functions/varve-query/a.zip",
        "elsewhere": f"{bucket}/other/default/wal/0/1.arrow",
        "other bucket": "arn:aws:s3:::another/metrics/default/wal/0/1.arrow",
    }
    readable = {"wal", "log", "file", "series", "exemplars", "lease", "usage", "cache", "hidden", "config"}
    appendable = {"wal", "lease", "usage", "cache"}
    everything = readable - {"config"}
    rights = {
        "ingest": {"s3:GetObject": readable, "s3:PutObject": appendable, "s3:DeleteObject": set()},
        "push": {"s3:GetObject": readable, "s3:PutObject": appendable, "s3:DeleteObject": set()},
        "compactor": {"s3:GetObject": readable, "s3:PutObject": everything, "s3:DeleteObject": everything},
        "query": {"s3:GetObject": readable, "s3:PutObject": {"usage", "cache"}, "s3:DeleteObject": set()},
    }
    for function, actions in rights.items():
        policies = role_policies(iam, f"varve-{function}")
        for action, expected in actions.items():
            may = {name for name, arn in objects.items() if allowed(policies, action, arn)}
            check(f"{function}: {action}", sorted(may), sorted(expected))
        for action in ("s3:DeleteObjectVersion", "s3:PutBucketPolicy", "s3:PutLifecycleConfiguration", "iam:PassRole", "lambda:InvokeFunction"):
            check(f"{function}: {action}", [arn for arn in (bucket, *objects.values(), "*") if allowed(policies, action, arn)], [])
        lists = {prefix: allowed(policies, "s3:ListBucket", bucket, {"s3:prefix": prefix}) for prefix in ("metrics/default/", "other/", "functions/")}
        check(f"{function}: lists", lists, {"metrics/default/": True, "other/": False, "functions/": False})
        check(f"{function}: missing objects are answered with 404", allowed(policies, "s3:ListBucket", bucket))
        own = f"arn:aws:logs:{REGION}:{ACCOUNT}:log-group:/aws/lambda/varve-{function}:log-stream:a"
        check(f"{function}: own logs", allowed(policies, "logs:PutLogEvents", own))
        check(f"{function}: others' logs", allowed(policies, "logs:PutLogEvents", own.replace(function, "other")), False)
        secret = f"arn:aws:ssm:{REGION}:{ACCOUNT}:parameter/varve/password"
        check(f"{function}: secrets", allowed(policies, "ssm:GetParameter", secret), function == "ingest")
        check(f"{function}: others' secrets", allowed(policies, "ssm:GetParameter", secret.replace("/varve", "/other")), False)
        check(f"{function}: reports", allowed(policies, "sqs:SendMessage", f"arn:aws:sqs:{REGION}:{ACCOUNT}:varve-failures"), function in ("compactor", "ingest"))
        trust = iam.get_role(RoleName=f"varve-{function}")["Role"]["AssumeRolePolicyDocument"]
        check(f"{function}: trusts", [statement["Principal"] for statement in trust["Statement"]], [{"Service": "lambda.amazonaws.com"}])
    check("ingest discovers", allowed(role_policies(iam, "varve-ingest"), "ec2:DescribeInstances", "*"))
    scheduler = role_policies(iam, "varve-scheduler")
    started = {name for name in FUNCTIONS if allowed(scheduler, "lambda:InvokeFunction", f"arn:aws:lambda:{REGION}:{ACCOUNT}:function:varve-{name}")}
    check("the scheduler starts", sorted(started), ["compactor", "ingest"])


def check_bucket(moto: Moto) -> None:
    s3 = moto.client("s3")
    check("buckets", [bucket["Name"] for bucket in s3.list_buckets()["Buckets"]], [BUCKET])
    blocked = s3.get_public_access_block(Bucket=BUCKET)["PublicAccessBlockConfiguration"]
    check("public access blocked", sorted(blocked.items()), sorted((key, True) for key in ("BlockPublicAcls", "BlockPublicPolicy", "IgnorePublicAcls", "RestrictPublicBuckets")))
    rules = s3.get_bucket_encryption(Bucket=BUCKET)["ServerSideEncryptionConfiguration"]["Rules"]
    check("encryption", rules[0]["ApplyServerSideEncryptionByDefault"]["SSEAlgorithm"], "AES256")
    check("versioning", s3.get_bucket_versioning(Bucket=BUCKET)["Status"], "Enabled")
    check("ownership", s3.get_bucket_ownership_controls(Bucket=BUCKET)["OwnershipControls"]["Rules"][0]["ObjectOwnership"], "BucketOwnerEnforced")
    statements = json.loads(s3.get_bucket_policy(Bucket=BUCKET)["Policy"])["Statement"]
    denied = {(operator, key, value) for statement in statements if statement["Effect"] == "Deny" for operator, keys in statement["Condition"].items() for key, value in keys.items()}
    check("bucket policy", denied, {("Bool", "aws:SecureTransport", "false"), ("NumericLessThan", "s3:TlsVersion", "1.2")})
    rules = {rule["ID"]: rule for rule in s3.get_bucket_lifecycle_configuration(Bucket=BUCKET)["Rules"]}
    check("life cycle", sorted(rules), ["cheaper-storage", "deleted-and-replaced", "unfinished-uploads"])
    check("nothing expires by age", [rule["ID"] for rule in rules.values() if "Days" in rule.get("Expiration", {}) or "Date" in rule.get("Expiration", {})], [])
    check("unfinished uploads", rules["unfinished-uploads"]["AbortIncompleteMultipartUpload"]["DaysAfterInitiation"], 2)
    check("replaced versions", rules["deleted-and-replaced"]["NoncurrentVersionExpiration"]["NoncurrentDays"], 3)
    check("transition", [(t["Days"], t["StorageClass"]) for t in rules["cheaper-storage"]["Transitions"]], [(60, "GLACIER_IR")])
    check("transition's filter", rules["cheaper-storage"]["Filter"], {"Prefix": "metrics/"})
    keys = {entry["Key"] for entry in s3.list_objects_v2(Bucket=BUCKET)["Contents"]}
    check("configuration", sorted(key for key in keys if key.startswith("config/")), ["config/varve/prometheus.yml", "config/varve/rules/targets.yml"])
    check("archives", sorted(re.sub("[0-9a-f]{32}", "md5", key) for key in keys if key.startswith("functions/")), [f"functions/varve-{name}/md5.zip" for name in FUNCTIONS])
    stored = s3.get_object(Bucket=BUCKET, Key="config/varve/prometheus.yml")["Body"].read()
    check("prometheus.yml", stored, (INFRA / "aws/examples/complete/config/prometheus.yml").read_bytes())


def check_functions(moto: Moto) -> None:
    functions, logs = moto.client("lambda"), moto.client("logs")
    found = {function["FunctionName"]: function for function in functions.list_functions()["Functions"]}
    check("functions", sorted(found), [f"varve-{name}" for name in FUNCTIONS])
    limits = {"compactor": (2048, 300, 1), "ingest": (512, 90, 2), "push": (512, 29, 20), "query": (2048, 130, 20)}
    for name in FUNCTIONS:
        function = found[f"varve-{name}"]
        check(f"{name}: runtime", (function["Runtime"], function["Handler"], function["Architectures"]), ("provided.al2023", "bootstrap", ["arm64"]))
        check(f"{name}: role", function["Role"], f"arn:aws:iam::{ACCOUNT}:role/varve-{name}")
        environment = {"VARVE_CONFIG_FILE": f"s3://{BUCKET}/config/varve/prometheus.yml", "VARVE_LOG_FORMAT": "json", "VARVE_STORAGE_URL": f"s3://{BUCKET}/metrics"}
        if name == "ingest":
            environment["VARVE_SECRETS"] = f"arn:aws:ssm:{REGION}:{ACCOUNT}:parameter/varve/*"
        check(f"{name}: environment", function["Environment"]["Variables"], environment)
        reserved = functions.get_function_concurrency(FunctionName=f"varve-{name}").get("ReservedConcurrentExecutions")
        check(f"{name}: limits", (function["MemorySize"], function["Timeout"], reserved), limits[name])
        group = logs.describe_log_groups(logGroupNamePrefix=f"/aws/lambda/varve-{name}")["logGroups"]
        check(f"{name}: logs", [entry["retentionInDays"] for entry in group], [30])
        check(f"{name}: tags", functions.list_tags(Resource=function["FunctionArn"])["Tags"], {"project": "metrics", "varve": "varve"})
        if name in ("compactor", "ingest"):
            events = functions.get_function_event_invoke_config(FunctionName=f"varve-{name}")
            check(f"{name}: repeats", events["MaximumRetryAttempts"], 0)
            check(f"{name}: failures", events["DestinationConfig"]["OnFailure"]["Destination"], f"arn:aws:sqs:{REGION}:{ACCOUNT}:varve-failures")
    url = functions.get_function_url_config(FunctionName="varve-query")
    check("query's URL", (url["AuthType"], url["InvokeMode"]), ("AWS_IAM", "RESPONSE_STREAM"))
    for name in ("push", "query"):
        policy = json.loads(functions.get_policy(FunctionName=f"varve-{name}")["Policy"])["Statement"]
        check(f"{name}: called by", [statement["Principal"] for statement in policy], [{"Service": "apigateway.amazonaws.com"}])


def check_schedules(moto: Moto) -> None:
    scheduler = moto.client("scheduler")
    names = sorted(schedule["Name"] for schedule in scheduler.list_schedules(GroupName="varve")["Schedules"])
    check("schedules", names, ["varve-compactor", "varve-ingest-0", "varve-ingest-1"])
    for name in names:
        schedule = scheduler.get_schedule(GroupName="varve", Name=name)
        target = schedule["Target"]
        function = name.split("-")[1]
        check(f"{name}: when", (schedule["ScheduleExpression"], schedule["State"]), ("rate(1 minute)", "ENABLED"))
        check(f"{name}: what", target["Arn"], f"arn:aws:lambda:{REGION}:{ACCOUNT}:function:varve-{function}")
        check(f"{name}: input", json.loads(target["Input"]), {} if function == "compactor" else {"shard": int(name[-1]), "shards": 2})
        check(f"{name}: retries", target["RetryPolicy"], {"MaximumEventAgeInSeconds": 60, "MaximumRetryAttempts": 3})
        check(f"{name}: failures", target["DeadLetterConfig"]["Arn"], f"arn:aws:sqs:{REGION}:{ACCOUNT}:varve-failures")
    sqs = moto.client("sqs")
    urls = sqs.list_queues().get("QueueUrls", [])
    check("queues", [url.rsplit("/", 1)[1] for url in urls], ["varve-failures"])
    attributes = sqs.get_queue_attributes(QueueUrl=urls[0], AttributeNames=["All"])["Attributes"]
    check("the queue is encrypted", attributes["SqsManagedSseEnabled"], "true")
    check("the queue keeps", attributes["MessageRetentionPeriod"], "1209600")


def check_http(moto: Moto, outputs: dict) -> None:
    api = moto.client("apigatewayv2")
    apis = api.get_apis()["Items"]
    check("HTTP APIs", [(entry["Name"], entry["ProtocolType"]) for entry in apis], [("varve", "HTTP")])
    identity = apis[0]["ApiId"]
    integrations = {entry["IntegrationId"]: entry["IntegrationUri"] for entry in api.get_integrations(ApiId=identity)["Items"]}
    routes = api.get_routes(ApiId=identity, MaxResults="100")["Items"]
    check("every route is authorized", {route["AuthorizationType"] for route in routes}, {"AWS_IAM"})
    targets = {route["RouteKey"]: re.search("varve-([a-z]+)", integrations[route["Target"].split("/")[1]])[1] for route in routes}
    check("routes to push", sorted(key for key, function in targets.items() if function == "push"), ["POST /api/v1/otlp/v1/metrics", "POST /api/v1/write"])
    check("routes to query", {key for key, function in targets.items() if function == "query"} >= {"GET /", "GET /{proxy+}", "POST /api/v1/query", "POST /api/v1/query_range", "POST /api/v1/read"})
    stage = api.get_stage(ApiId=identity, StageName="$default")
    check("rates", (stage["DefaultRouteSettings"]["ThrottlingRateLimit"], stage["DefaultRouteSettings"]["ThrottlingBurstLimit"]), (100.0, 200))
    group = f"arn:aws:logs:{REGION}:{ACCOUNT}:log-group:/aws/apigateway/varve"
    check("access log", stage["AccessLogSettings"]["DestinationArn"].removesuffix(":*"), group)
    for secret in ("header", "query", "authorizer"):
        check(f"the access log has no {secret}", secret in stage["AccessLogSettings"]["Format"], False)
    check("remote_write_url", outputs["remote_write_url"]["value"], f"{apis[0]['ApiEndpoint']}/api/v1/write")
    functions = moto.client("lambda")
    check("grafana_url", outputs["grafana_url"]["value"], functions.get_function_url_config(FunctionName="varve-query")["FunctionUrl"].rstrip("/"))
    iam = moto.client("iam")
    root = f"arn:aws:execute-api:{REGION}:{ACCOUNT}:{identity}/$default"
    requests = {
        "query": ("GET/api/v1/query", "POST/api/v1/query_range", "POST/api/v1/read", "GET/api/v1/labels"),
        "push": ("POST/api/v1/write", "POST/api/v1/otlp/v1/metrics"),
    }
    for clients in requests:
        arn = outputs["varve"]["value"][f"{clients}_policy_arn"]
        version = iam.get_policy(PolicyArn=arn)["Policy"]["DefaultVersionId"]
        document = iam.get_policy_version(PolicyArn=arn, VersionId=version)["PolicyVersion"]["Document"]
        statements = [statement for statement in document["Statement"] if statement["Sid"] == "HttpApi"]
        for kind, paths in requests.items():
            seen = {path: allowed([{"Statement": statements}], "execute-api:Invoke", f"{root}/{path}") for path in paths}
            check(f"clients that {clients} may {kind}", seen, {path: kind == clients for path in paths})


def check_operation(moto: Moto) -> None:
    alarms = moto.client("cloudwatch").describe_alarms()["MetricAlarms"]
    names = {f"varve-{name}-{kind}" for name in FUNCTIONS for kind in ("errors", "throttles")}
    names |= {f"varve-{name}" for name in ("compaction-lag", "failures", "http-errors", "ingest-stopped")}
    check("alarms", {alarm["AlarmName"] for alarm in alarms}, names)
    check("alarms notify", {tuple(alarm["AlarmActions"]) for alarm in alarms}, {(f"arn:aws:sns:{REGION}:{ACCOUNT}:alarms",)})
    by_name = {alarm["AlarmName"]: alarm for alarm in alarms}
    lag = by_name["varve-compaction-lag"]
    check("lag alarm", (lag["Namespace"], lag["MetricName"], lag["Threshold"], lag["TreatMissingData"]), ("Varve/varve", "CompactionLagSeconds", 900.0, "breaching"))
    stopped = by_name["varve-ingest-stopped"]
    check("stopped alarm", (stopped["ComparisonOperator"], stopped["Threshold"], stopped["TreatMissingData"]), ("LessThanThreshold", 1.0, "breaching"))
    filters = moto.client("logs").describe_metric_filters(logGroupName="/aws/lambda/varve-compactor")["metricFilters"]
    check("lag filter", [(entry["filterPattern"], entry["metricTransformations"][0]["metricValue"]) for entry in filters], [("{ $.lag_seconds = * }", "$.lag_seconds")])


def what_is_left(moto: Moto) -> dict:
    """Everything that the example makes, by kind, as far as there is any."""
    iam, logs = moto.client("iam"), moto.client("logs")
    left = {
        "buckets": [bucket["Name"] for bucket in moto.client("s3").list_buckets()["Buckets"]],
        "functions": [function["FunctionName"] for function in moto.client("lambda").list_functions()["Functions"]],
        "schedules": [schedule["Name"] for schedule in moto.client("scheduler").list_schedules()["Schedules"]],
        "schedule groups": [group["Name"] for group in moto.client("scheduler").list_schedule_groups()["ScheduleGroups"] if group["Name"] != "default"],
        "queues": moto.client("sqs").list_queues().get("QueueUrls", []),
        "APIs": [api["Name"] for api in moto.client("apigatewayv2").get_apis()["Items"]],
        "roles": [role["RoleName"] for role in iam.list_roles()["Roles"]],
        "policies": [policy["PolicyName"] for policy in iam.list_policies(Scope="Local")["Policies"]],
        "log groups": [group["logGroupName"] for group in logs.describe_log_groups()["logGroups"]],
        "metric filters": [entry["filterName"] for entry in logs.describe_metric_filters()["metricFilters"]],
        "alarms": [alarm["AlarmName"] for alarm in moto.client("cloudwatch").describe_alarms()["MetricAlarms"]],
    }
    return {kind: names for kind, names in left.items() if names}


def state_holds_no_configuration(terraform: Terraform) -> None:
    state = (terraform.folder / "terraform.tfstate").read_text()
    check("the state has what the configuration says", "ec2_sd_configs" in state, False)


def bucket_outlives_the_rest(work: Path, moto: Moto, archives: Path) -> None:
    """All that the module makes; then everything but the bucket goes."""
    terraform = example(work, moto, archives)
    terraform.change("apply")
    outputs = terraform.outputs()
    check_bucket(moto)
    check_roles(moto)
    check_functions(moto)
    check_schedules(moto)
    check_http(moto, outputs)
    check_operation(moto)
    state_holds_no_configuration(terraform)
    terraform.check_no_changes("after apply")

    s3 = moto.client("s3")
    segment = {"Bucket": BUCKET, "Key": "metrics/default/wal/0/00000000000000000001.arrow"}
    s3.put_object(**segment, Body=b"samples")
    terraform.run("state", "rm", "module.varve.module.bucket")
    terraform.change("destroy")
    check("left without the bucket", what_is_left(moto), {"buckets": [BUCKET]})
    check("data after destroy", s3.get_object(**segment)["Body"].read(), b"samples")
    check("still blocked", s3.get_public_access_block(Bucket=BUCKET)["PublicAccessBlockConfiguration"]["BlockPublicPolicy"])


def bucket_that_exists(work: Path, moto: Moto, archives: Path) -> None:
    """Built on the bucket that is left by the above, with its data; and with tokens instead of IAM."""
    s3 = moto.client("s3")
    s3.create_bucket(Bucket=BUCKET, CreateBucketConfiguration={"LocationConstraint": REGION})
    segment = {"Bucket": BUCKET, "Key": "metrics/default/wal/0/00000000000000000001.arrow"}
    s3.put_object(**segment, Body=b"samples")
    terraform = example(work, moto, archives)
    terraform.settings |= {
        "bucket": {"create": False, "name": BUCKET},
        "authorization": {"type": "JWT", "issuer": "https://login.example.com/", "audience": ["varve"], "push_scopes": ["metrics.write"]},
        "shards": 1,
    }
    terraform.change("apply")
    check("data after apply", s3.get_object(**segment)["Body"].read(), b"samples")
    api = moto.client("apigatewayv2")
    identity = api.get_apis()["Items"][0]["ApiId"]
    routes = {route["RouteKey"]: route for route in api.get_routes(ApiId=identity, MaxResults="100")["Items"]}
    check("every route wants a token", {route["AuthorizationType"] for route in routes.values()}, {"JWT"})
    check("scopes", [routes[key].get("AuthorizationScopes", []) for key in ("POST /api/v1/write", "POST /api/v1/query")], [["metrics.write"], []])
    authorizer = api.get_authorizer(ApiId=identity, AuthorizerId=routes["GET /"]["AuthorizerId"])
    check("every route has the authorizer", {route["AuthorizerId"] for route in routes.values()}, {authorizer["AuthorizerId"]})
    check("issuer", authorizer["JwtConfiguration"], {"Audience": ["varve"], "Issuer": "https://login.example.com/"})
    check("grafana_url with JWT", terraform.outputs()["grafana_url"]["value"], api.get_apis()["Items"][0]["ApiEndpoint"])
    check("schedules of one shard", len(moto.client("scheduler").list_schedules(GroupName="varve")["Schedules"]), 2)
    terraform.check_no_changes("on the bucket that was there")
    terraform.change("destroy")
    check("left but the bucket", what_is_left(moto), {"buckets": [BUCKET]})
    check("objects that are left", [entry["Key"] for entry in s3.list_objects_v2(Bucket=BUCKET)["Contents"]], [segment["Key"]])


def everything_goes(work: Path, moto: Moto, archives: Path) -> None:
    """A bucket that may be destroyed with what is in it, with Object Lock."""
    terraform = example(work, moto, archives)
    terraform.settings["bucket"] = {"force_destroy": True, "object_lock_days": 1}
    terraform.change("apply")
    s3 = moto.client("s3")
    lock = s3.get_object_lock_configuration(Bucket=BUCKET)["ObjectLockConfiguration"]
    retention = lock["Rule"]["DefaultRetention"]
    check("lock", (lock["ObjectLockEnabled"], retention["Mode"], retention["Days"]), ("Enabled", "GOVERNANCE", 1))
    environment = moto.client("lambda").get_function_configuration(FunctionName="varve-ingest")["Environment"]["Variables"]
    check("checksums for the lock", environment.get("AWS_CHECKSUM_ALGORITHM"), "sha256")
    terraform.check_no_changes("with Object Lock")
    terraform.change("destroy")
    check("left", what_is_left(moto), {})


def bucket_on_minio(work: Path, moto: Moto, _archives: Path) -> None:
    """`infra/minio`, as it is: it talks to an endpoint of S3's API anyway. And what its two users may do there."""
    terraform = Terraform(work, moto, "minio", {"endpoint": moto.url})
    terraform.change("apply")
    s3 = moto.client("s3")
    check("MinIO: buckets", [bucket["Name"] for bucket in s3.list_buckets()["Buckets"]], ["metrics"])
    environment = f"VARVE_STORAGE_URL=s3://metrics/prod\nAWS_ENDPOINT_URL_S3={moto.url}\nAWS_REGION=us-east-1\n"
    check("MinIO: environment", terraform.outputs()["environment"]["value"], environment)
    terraform.check_no_changes("of MinIO")
    terraform.change("destroy")
    check("MinIO: left", what_is_left(moto), {})
    own, other = "arn:aws:s3:::metrics/prod/default/wal/0/1.arrow", "arn:aws:s3:::metrics-of-others/a"
    for name, expected in (("policy.json", {"s3:GetObject", "s3:PutObject", "s3:DeleteObject"}), ("policy-read.json", {"s3:GetObject"})):
        policy = json.loads((INFRA / "minio" / name).read_text())
        may = {action for action in ("s3:GetObject", "s3:PutObject", "s3:DeleteObject", "s3:PutBucketPolicy") if allowed([policy], action, own)}
        check(f"MinIO: {name}", may, expected)
        check(f"MinIO: {name} elsewhere", [action for action in expected if allowed([policy], action, other)], [])


def give_up(root: Path) -> None:
    """Ends at once. Terraform ends by itself as soon as nobody answers it."""
    for server in servers:
        server.terminate()
    shutil.rmtree(root, ignore_errors=True)
    os._exit(1)


PARTS = (bucket_outlives_the_rest, bucket_that_exists, everything_goes, bucket_on_minio)


def on_new_moto(part, root: Path) -> None:
    work = root / part.__name__
    work.mkdir()
    moto = Moto(work / "moto.log")
    try:
        part(work, moto, root / "packages")
    finally:
        moto.stop()


def main() -> int:
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("--keep", action="store_true", help="keep the working folder")
    keep = arguments.parse_args().keep
    if shutil.which("terraform") is None:
        raise SystemExit("terraform is missing")
    root = Path(tempfile.mkdtemp(prefix="varve-terraform-"))
    signal.signal(signal.SIGTERM, lambda *_: give_up(root))
    try:
        archives = root / "packages"
        archives.mkdir()
        packages(archives)
        # Side by side: most of the time the provider waits for changes to spread, which takes moto no time and AWS some.
        with ThreadPoolExecutor() as threads:
            for done in [threads.submit(on_new_moto, part, root) for part in PARTS]:
                done.result()
    finally:
        if keep:
            print(f"kept {root}")
        else:
            shutil.rmtree(root, ignore_errors=True)
    print(f"{checks} checks, {len(failures)} failed")
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
