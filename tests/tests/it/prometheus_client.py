"""A target made with Prometheus's own client library: every kind of metric, with values that stay."""

import sys
import threading

from prometheus_client import (
    REGISTRY,
    Counter,
    Enum,
    Gauge,
    Histogram,
    Info,
    Summary,
    start_http_server,
)

orders = Counter("orders", "Orders that were taken.", ["kind"])
orders.labels("a").inc(3, exemplar={"trace_id": "abc"})
orders.labels('quo"te \\ and\nline').inc(0.5)
Gauge("temperature_celsius", "Some are below zero.").set(-273.15)
Gauge("nothing", "Not a number.").set(float("nan"))
Gauge("everything", "More than any number.").set(float("inf"))
latency = Histogram("latency_seconds", "How long it took.", buckets=(0.1, 1, 10))
for seconds in (0.05, 0.5, 5, 50):
    latency.observe(seconds, exemplar={"trace_id": "def"})
Summary("size_bytes", "How much it was.", ["way"]).labels("in").observe(1e9)
Info("build", "What it was made of.").info({"version": "1.2.3", "language": "Python"})
Enum("mode", "What it does.", states=["idle", "busy"]).state("busy")

start_http_server(int(sys.argv[1]), addr="127.0.0.1", registry=REGISTRY)
threading.Event().wait()
