#!/usr/bin/env python3
"""Checks the files in infra/ that no Terraform reads: YAML and JSON, dashboards, manifests, compose, systemd units, policies.

    check_files.py [--promtool PROGRAM]

Expressions of the dashboards are given to promtool, which must be there; the names of Varve's own metrics must stand in its source.
"""

import argparse
import json
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import yaml

INFRA = Path(__file__).resolve().parent.parent
ROOT = INFRA.parent
# What Grafana puts in for its own variables.
GRAFANA = {"$__rate_interval": "1m", "$__interval": "15s", "$__range": "1h", "$instance": "localhost:9100"}

failures: list[str] = []


def check(holds: bool, message: str) -> None:
    if not holds:
        failures.append(message)
        print(f"FAILED {message}")


def documents() -> dict[Path, list]:
    """Every YAML and JSON file, read."""
    read = {}
    for path in sorted(INFRA.rglob("*")):
        if any(part.startswith(".terraform") for part in path.parts):
            continue
        if path.suffix in (".yaml", ".yml"):
            read[path] = list(yaml.safe_load_all(path.read_text()))
        elif path.suffix == ".json":
            read[path] = [json.loads(path.read_text())]
    return read


def panels(board: dict):
    for panel in board["panels"]:
        yield panel
        yield from panel.get("panels", [])


def expressions(board: dict) -> list[tuple[str, str]]:
    found = []
    for panel in panels(board):
        for target in panel.get("targets", []):
            found.append((panel["title"], target["expr"]))
    return found


def substituted(expression: str) -> str:
    for name, value in GRAFANA.items():
        expression = expression.replace(name, value)
    return expression


def check_promql(name: str, found: list[tuple[str, str]], promtool: str) -> None:
    """As recording rules, because every promtool checks those."""
    rules = [{"record": f"panel:{number}", "expr": substituted(expression)} for number, (_, expression) in enumerate(found)]
    with tempfile.NamedTemporaryFile("w", suffix=".yml") as file:
        yaml.safe_dump({"groups": [{"name": "dashboard", "rules": rules}]}, file)
        file.flush()
        done = subprocess.run([promtool, "check", "rules", file.name], capture_output=True, text=True, check=False)
        check(done.returncode == 0, f"{name}: {done.stdout}{done.stderr}")
        check(f"{len(rules)} rules found" in done.stdout, f"{name}: promtool did not count {len(rules)} rules")


def metric_names(expression: str) -> set[str]:
    return set(re.findall(r"\b(?:varve|process|prometheus|node)_[A-Za-z0-9_]+", expression))


def check_dashboards(read: dict[Path, list], promtool: str) -> None:
    boards = {path: contents[0] for path, contents in read.items() if path.parent.name == "dashboards" and path.suffix == ".json"}
    check(sorted(path.stem for path in boards) == ["node", "varve"], f"dashboards: {sorted(boards)}")
    source = "".join(path.read_text() for path in (ROOT / "varve/src/serve").glob("*.rs"))
    source_uid = read[INFRA / "compose/grafana/provisioning/datasources/varve.yaml"][0]["datasources"][0]["uid"]
    for path, board in boards.items():
        found = expressions(board)
        check(len(found) >= 20, f"{path.name}: only {len(found)} expressions")
        check_promql(path.name, found, promtool)
        identities = [panel["id"] for panel in panels(board)]
        check(len(identities) == len(set(identities)), f"{path.name}: two panels have one id")
        places = [(panel["gridPos"]["x"], panel["gridPos"]["y"]) for panel in panels(board)]
        check(len(places) == len(set(places)), f"{path.name}: two panels have one place")
        check(all(panel["gridPos"]["x"] + panel["gridPos"]["w"] <= 24 for panel in panels(board)), f"{path.name}: a panel is too wide")
        sources = {panel["datasource"]["uid"] for panel in panels(board) if "datasource" in panel}
        check(sources == {source_uid}, f"{path.name}: data sources {sources}")
        for title, expression in found:
            for name in metric_names(expression):
                if name.startswith("node_"):
                    continue
                known = [name, re.sub("_(bucket|count|sum)$", "", name)]
                check(any(f'"{one}"' in source for one in known), f"{path.name}, {title}: Varve has no metric {name}")


def check_compose(read: dict[Path, list]) -> None:
    path = INFRA / "compose/compose.yaml"
    compose = read[path][0]
    services = compose["services"]
    check(set(services) == {"alertmanager", "bucket", "grafana", "minio", "node-exporter", "varve"}, f"services: {sorted(services)}")
    for name, service in services.items():
        image = service.get("image", "")
        check("build" in service or (":" in image and not image.endswith(":latest")), f"{name}: the image has no version")
        for port in service.get("ports", []):
            check(port.startswith("127.0.0.1:"), f"{name}: {port} is open to the network")
        for other in service.get("depends_on", {}):
            check(other in services, f"{name} depends on {other}")
        for volume in service.get("volumes", []):
            source = volume.split(":")[0]
            if source.startswith("."):
                check((path.parent / source).exists(), f"{name}: there is no {source}")
            elif not source.startswith("/"):
                check(source in compose["volumes"], f"{name}: the volume {source} is not declared")
    build = services["varve"]["build"]
    check((path.parent / build["context"] / build["dockerfile"]).is_file(), "there is no Dockerfile where compose looks")
    targets = {target for job in read[INFRA / "compose/prometheus.yml"][0]["scrape_configs"] for static in job["static_configs"] for target in static["targets"]}
    check({target.split(":")[0] for target in targets} <= set(services), f"targets that are no services: {targets}")


def check_kubernetes(read: dict[Path, list]) -> None:
    objects = {(entry["kind"], entry["metadata"]["name"]): entry for entry in read[INFRA / "kubernetes/varve.yaml"]}
    kinds = sorted(kind for kind, _ in objects)
    check(kinds == ["ClusterRole", "ClusterRoleBinding", "ConfigMap", "Deployment", "Namespace", "Service", "ServiceAccount"], f"kinds: {kinds}")
    template = objects["Deployment", "varve"]["spec"]["template"]
    pod, (container,) = template["spec"], template["spec"]["containers"]
    check(pod["securityContext"]["runAsNonRoot"] and container["securityContext"]["readOnlyRootFilesystem"], "the pod runs with rights it does not need")
    check(container["securityContext"]["capabilities"] == {"drop": ["ALL"]}, "the container keeps capabilities")
    check({"startupProbe", "readinessProbe", "livenessProbe"} <= set(container), "a probe is missing")
    check(objects["Service", "varve"]["spec"]["selector"].items() <= template["metadata"]["labels"].items(), "the service selects nothing")
    check(objects["Deployment", "varve"]["spec"]["selector"]["matchLabels"].items() <= template["metadata"]["labels"].items(), "the deployment selects nothing")
    check(pod["serviceAccountName"] == objects["ClusterRoleBinding", "varve-discovery"]["subjects"][0]["name"], "the role is bound to somebody else")
    check(all("secrets" not in rule.get("resources", []) and "*" not in rule["verbs"] for rule in objects["ClusterRole", "varve-discovery"]["rules"]), "discovery may too much")
    mounted = {mount["name"] for mount in container["volumeMounts"]}
    check(mounted == {volume["name"] for volume in pod["volumes"]}, "volumes and mounts differ")


def check_configurations(read: dict[Path, list], promtool: str) -> None:
    """Prometheus takes each configuration, but for discovery that Debian builds it without."""
    manifest = read[INFRA / "kubernetes/varve.yaml"]
    in_cluster = yaml.safe_load(next(entry["data"]["prometheus.yml"] for entry in manifest if entry["kind"] == "ConfigMap"))
    discovering = [job.pop("kubernetes_sd_configs", None) for job in in_cluster["scrape_configs"]]
    check(sum(found is not None for found in discovering) >= 2, "the manifest discovers nothing")
    texts = {
        "compose": (INFRA / "compose/prometheus.yml").read_text(),
        "kubernetes": yaml.safe_dump(in_cluster),
        "aws": (INFRA / "aws/examples/complete/config/prometheus.yml").read_text(),
    }
    for name, text in texts.items():
        with tempfile.NamedTemporaryFile("w", suffix=".yml") as file:
            file.write(text)
            file.flush()
            done = subprocess.run([promtool, "check", "config", "--syntax-only", file.name], capture_output=True, text=True, check=False)
            check(done.returncode == 0, f"configuration for {name}: {done.stdout}{done.stderr}")
    done = subprocess.run([promtool, "check", "rules", INFRA / "aws/examples/complete/config/rules/targets.yml"], capture_output=True, text=True, check=False)
    check(done.returncode == 0, f"rules: {done.stdout}{done.stderr}")


def check_policies(read: dict[Path, list]) -> None:
    for name, writes in (("policy.json", True), ("policy-read.json", False)):
        policy = read[INFRA / "minio" / name][0]
        actions = {action for statement in policy["Statement"] for action in statement["Action"]}
        check(not any("*" in action for action in actions), f"{name} allows more than it names")
        check({"s3:PutObject", "s3:DeleteObject"} <= actions if writes else not any(re.search("Put|Delete", action) for action in actions), f"{name}: {actions}")
        check({resource for statement in policy["Statement"] for resource in statement["Resource"]} == {"arn:aws:s3:::metrics", "arn:aws:s3:::metrics/*"}, f"{name} reaches other buckets")


def check_units_and_scripts() -> None:
    folder = INFRA / "minio/systemd"
    analyze = shutil.which("systemd-analyze")
    units = {path.name: path.read_text() for path in folder.iterdir()}
    for setting in ("DynamicUser=yes", "ProtectSystem=strict", "NoNewPrivileges=yes", "CapabilityBoundingSet=\n"):
        check(setting in units["varve.service"], f"varve.service lacks {setting.strip()}")
    check("/-/ready" in units["varve-health.service"], "the health check does not ask for /-/ready")
    if analyze:
        # A copy, whose programs are there: that Varve is not installed here is no mistake of the unit.
        with tempfile.TemporaryDirectory() as copies:
            for name, text in units.items():
                (Path(copies) / name).write_text(text.replace("/usr/local/bin/varve", "/bin/true"))
            names = [f"{copies}/{name}" for name in units if name.endswith((".service", ".timer"))]
            done = subprocess.run([analyze, "verify", *names], capture_output=True, text=True, check=False)
            complaints = [line for line in done.stderr.splitlines() if "varve" in line]
            check(done.returncode == 0 and not complaints, f"systemd units: {done.stderr}")
    done = subprocess.run(["sh", "-n", INFRA / "minio/credentials.sh"], capture_output=True, text=True, check=False)
    check(done.returncode == 0, f"credentials.sh: {done.stderr}")
    dockerfile = (INFRA / "docker/Dockerfile").read_text()
    for instruction in ("USER 10001", "HEALTHCHECK", "ENTRYPOINT", "AS build"):
        check(instruction in dockerfile, f"the Dockerfile lacks {instruction}")
    ignored = (INFRA / "docker/Dockerfile.dockerignore").read_text().splitlines()
    workspace = re.search(r"^members = \[(.*)\]", (ROOT / "Cargo.toml").read_text(), re.M)[1]
    for member in re.findall('"([^"]+)"', workspace):
        check(f"!{member.split('/')[0]}" in ignored, f"Dockerfile.dockerignore keeps the crate {member} out")


def check_documentation() -> None:
    """The module's page names each variable and output, and no others in its table."""
    text = (INFRA / "aws/README.md").read_text()
    for kind, file in (("variable", "variables.tf"), ("output", "outputs.tf")):
        names = re.findall(rf'^{kind} "([a-z_]+)"', (INFRA / "aws" / file).read_text(), re.M)
        section = re.search(rf"^## {kind.capitalize()}s\n(.*?)^## ", text, re.M | re.S)[1]
        cells = [line.split("|")[1] for line in section.strip().split("\n\n")[0].splitlines()[2:]]
        documented = [name for cell in cells for name in re.findall("`([a-z_]+)`", cell)]
        check(sorted(documented) == sorted(names), f"{kind}s without or beyond documentation: {sorted(set(documented) ^ set(names))}")


def main() -> int:
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("--promtool", default="promtool")
    promtool = arguments.parse_args().promtool
    if shutil.which(promtool) is None:
        raise SystemExit(f"{promtool} is missing; it comes with Prometheus")
    read = documents()
    check_dashboards(read, promtool)
    check_compose(read)
    check_kubernetes(read)
    check_configurations(read, promtool)
    check_policies(read)
    check_units_and_scripts()
    check_documentation()
    print(f"{len(read)} files read, {len(failures)} failures")
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
