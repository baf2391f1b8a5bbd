"""Exports metrics with OpenTelemetry's own SDK: python opentelemetry.py ENDPOINT."""

import sys

from opentelemetry.exporter.otlp.proto.http.metric_exporter import OTLPMetricExporter
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import PeriodicExportingMetricReader
from opentelemetry.sdk.metrics.view import (
    ExponentialBucketHistogramAggregation,
    View,
)
from opentelemetry.sdk.resources import Resource

reader = PeriodicExportingMetricReader(
    OTLPMetricExporter(endpoint=sys.argv[1]), export_interval_millis=3_600_000
)
provider = MeterProvider(
    metric_readers=[reader],
    resource=Resource.create({"service.name": "shop", "service.instance.id": "i1"}),
    views=[
        View(instrument_name="fine.latency", aggregation=ExponentialBucketHistogramAggregation())
    ],
)
meter = provider.get_meter("test")
meter.create_counter("orders", unit="1").add(3, {"kind": "a"})
meter.create_up_down_counter("queue.length").add(-2)
classic = meter.create_histogram("latency", unit="s")
fine = meter.create_histogram("fine.latency", unit="ms")
for value in (0.5, 1.5, 300.0):
    classic.record(value)
    fine.record(value)
provider.shutdown()
