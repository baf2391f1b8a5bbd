//! Version 0.0.4 of the text format.

use std::fmt::Write;

use varve_promql::format::format_float_g;

use super::escape::is_plain;
use super::family::{Family, Kind, Metric, Value};

/// Appends a family.
pub(super) fn write_family(out: &mut String, family: &Family<'_>) {
    let kind = match family.kind {
        Kind::Untyped => "untyped",
        // The format has one word for both.
        Kind::Histogram | Kind::GaugeHistogram => "histogram",
    };
    out.push_str("# TYPE ");
    push_name(out, &family.name);
    // Writing to a string cannot fail, here and below.
    let _ = writeln!(out, " {kind}");
    for metric in &family.metrics {
        let name = &family.name;
        match &metric.value {
            Value::Float(value) => push_line(out, name, metric, None, *value),
            Value::Classic(histogram) => {
                let bucket = format!("{name}_bucket");
                for (bound, count) in &histogram.buckets {
                    push_line(out, &bucket, metric, Some(*bound), *count);
                }
                if !histogram
                    .buckets
                    .iter()
                    .any(|(bound, _)| *bound == f64::INFINITY)
                {
                    push_line(out, &bucket, metric, Some(f64::INFINITY), histogram.count);
                }
                push_line(out, &format!("{name}_sum"), metric, None, histogram.sum);
                push_line(out, &format!("{name}_count"), metric, None, histogram.count);
            }
            // There is no text for it, and families for this format have none.
            Value::Native(_) => {}
        }
    }
}

fn push_line(out: &mut String, name: &str, metric: &Metric<'_>, le: Option<f64>, value: f64) {
    let mut separator = '{';
    if !is_plain(name) {
        out.push('{');
        separator = ',';
    }
    push_name(out, name);
    for (name, value) in &metric.labels {
        out.push(separator);
        separator = ',';
        push_name(out, name);
        out.push('=');
        push_quoted(out, value);
    }
    if let Some(bound) = le {
        let _ = write!(out, "{separator}le=\"{}\"", float(bound));
        separator = ',';
    }
    if separator == ',' {
        out.push('}');
    }
    let _ = writeln!(out, " {} {}", float(value), metric.time_ms);
}

/// A name, in quotes where the format demands it.
fn push_name(out: &mut String, name: &str) {
    match is_plain(name) {
        true => out.push_str(name),
        false => push_quoted(out, name),
    }
}

fn push_quoted(out: &mut String, text: &str) {
    out.push('"');
    for c in text.chars() {
        match c {
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '"' => out.push_str("\\\""),
            c => out.push(c),
        }
    }
    out.push('"');
}

fn float(value: f64) -> String {
    match value {
        // The sign of zero is not written.
        0.0 => "0".to_owned(),
        value => format_float_g(value),
    }
}
