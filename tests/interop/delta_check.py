#!/usr/bin/env python3
"""Opens the tables of a tenant with other engines and prints what they see, as JSON.

    delta_check.py <tenant folder> [--engine duckdb|deltalake|both]

Needs `deltalake`, `duckdb` and `duckdb-extension-delta` from PyPI. For every metric of `samples`: series, rows, samples, stale
markers, NaNs that are values, the sum of all other finite values, and the range of time. Duplicates between files are
resolved as table/FORMAT.md says. With "both" the two engines must agree, else the exit code is 1.
"""

import argparse
import json
import math
import os
import struct
import sys

STALE = 0x7FF0000000000002
TABLES = ("samples", "series", "metadata")


def bits(value):
    return struct.unpack("<Q", struct.pack("<d", value))[0]


def total_order(value):
    """A key that sorts like IEEE 754 totalOrder, stale markers first."""
    raw = bits(value)
    if raw == STALE:
        return (0, 0)
    return (1, raw ^ 0xFFFFFFFFFFFFFFFF if raw >> 63 else raw | 1 << 63)


def summarize(rows):
    """rows: (name, series_id, timestamps, values), values None where a histogram stands."""
    metrics = {}
    for name, series, times, values in rows:
        metric = metrics.setdefault(name, {"rows": 0, "series": {}})
        metric["rows"] += 1
        samples = metric["series"].setdefault(bytes(series), {})
        if len(times) != len(values):
            sys.exit(f"{name}: {len(times)} timestamps and {len(values)} values in one row")
        for time, value in zip(times, values):
            if time in samples:
                old = samples[time]
                if old is None or (value is not None and total_order(value) <= total_order(old)):
                    continue
            samples[time] = value
    out = {}
    for name, metric in sorted(metrics.items()):
        flat = [item for samples in metric["series"].values() for item in samples.items()]
        numbers = [v for _, v in flat if v is not None]
        plain = [v for v in numbers if math.isfinite(v)]
        out[name] = {
            "series": len(metric["series"]),
            "rows": metric["rows"],
            "samples": len(flat),
            "histograms": len(flat) - len(numbers),
            "stale": sum(bits(v) == STALE for v in numbers),
            "nan": sum(math.isnan(v) and bits(v) != STALE for v in numbers),
            "infinite": sum(math.isinf(v) for v in numbers),
            "sum": math.fsum(plain),
            "min_time": min(t for t, _ in flat),
            "max_time": max(t for t, _ in flat),
        }
    return out


def totals(series, metadata):
    return {"series_rows": series[0], "series_samples": series[1], "metadata_rows": metadata}


def with_duckdb(root):
    import duckdb

    db = duckdb.connect()
    try:
        db.load_extension("delta")
    except duckdb.Error:
        import importlib.resources as resources

        package = resources.files("duckdb_extension_delta")
        found = [str(p) for p in package.rglob("*.duckdb_extension")] if hasattr(package, "rglob") else []
        if not found:
            raise
        db = duckdb.connect(config={"allow_unsigned_extensions": "true"})
        db.load_extension(found[0])

    def scan(table, columns):
        return db.sql(f"SELECT {columns} FROM delta_scan('{os.path.join(root, table)}')").fetchall()

    rows = scan("samples", "__name__, series_id, timestamps, values")
    series = scan("series", "count(*), coalesce(sum(samples), 0)")[0]
    metadata = scan("metadata", "count(*)")[0][0]
    # Partition values must agree with the rows.
    wrong = scan("samples", "count(*) FILTER (WHERE epoch_ms(min_time)::DATE <> date)")[0][0]
    if wrong:
        sys.exit(f"duckdb: {wrong} rows are in the wrong partition")
    return {"metrics": summarize(rows), **totals((series[0], int(series[1])), metadata)}


def with_deltalake(root):
    import pyarrow as pa
    import pyarrow.compute as pc
    from deltalake import DeltaTable

    tables = {}
    for name in TABLES:
        table = DeltaTable(os.path.join(root, name))
        tables[name] = pa.table(table.to_pyarrow_table()) if hasattr(table, "to_pyarrow_table") else None
    samples = tables["samples"]
    columns = [samples.column(n).to_pylist() for n in ("__name__", "series_id", "timestamps", "values")]
    series = tables["series"]
    count = pc.sum(series.column("samples")).as_py() or 0
    return {
        "metrics": summarize(zip(*columns)),
        **totals((series.num_rows, count), tables["metadata"].num_rows),
    }


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("root", help="the folder with series/, samples/ and metadata/")
    parser.add_argument("--engine", choices=("duckdb", "deltalake", "both"), default="both")
    args = parser.parse_args()
    engines = {"duckdb": with_duckdb, "deltalake": with_deltalake}
    names = list(engines) if args.engine == "both" else [args.engine]
    results = {name: engines[name](args.root) for name in names}
    json.dump(results if args.engine == "both" else results[args.engine], sys.stdout, indent=1, sort_keys=True)
    print()
    if len(results) == 2 and results["duckdb"] != results["deltalake"]:
        sys.exit("the engines disagree")
    # The engines' threads may outlive the interpreter, and then abort the process behind a finished answer.
    sys.stdout.flush()
    os._exit(0)


if __name__ == "__main__":
    main()
