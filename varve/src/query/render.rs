//! Answers as tables, CSV, or in promtool's form.

use std::collections::BTreeSet;

use varve_promql::format::{format_time, format_timestamp_seconds, quote};
use varve_storage::labels::is_legacy_label_name;

use super::Format;
use super::answer::{Data, Metric};
use crate::output::table::Table;

/// The answer as text that ends in a line feed; empty where there is nothing.
pub(super) fn render(data: &Data, format: Format) -> String {
    match (data, format) {
        (Data::Plans(plans), _) => {
            let section =
                |(name, plan): &(String, String)| format!("{name}:\n{}\n", plan.trim_end());
            plans.iter().map(section).collect::<Vec<_>>().join("\n")
        }
        (Data::List(texts), Format::Csv) => {
            let mut table = Table::new(["value"]);
            texts.iter().for_each(|text| table.push(vec![text.clone()]));
            table.csv()
        }
        (Data::List(texts), _) => texts.iter().map(|text| format!("{text}\n")).collect(),
        (data, Format::Csv) => csv(data),
        (data, Format::Promql) => promql(data),
        // JSON is written as it came.
        (data, Format::Table | Format::Json) => table(data),
    }
}

fn milliseconds(seconds: f64) -> i64 {
    (seconds * 1000.0).round() as i64
}

/// A series as a selector: `up{job="node"}`.
fn series(metric: &Metric) -> String {
    let name = metric.get("__name__").map(String::as_str).unwrap_or("");
    let bare = name
        .bytes()
        .all(|b| b.is_ascii_alphanumeric() || b == b'_' || b == b':')
        && !name.starts_with(|c: char| c.is_ascii_digit());
    let mut labels = Vec::new();
    if !bare {
        labels.push(quote(name));
    }
    for (label, value) in metric.iter().filter(|(label, _)| *label != "__name__") {
        let label = match is_legacy_label_name(label) {
            true => label.clone(),
            false => quote(label),
        };
        labels.push(format!("{label}={}", quote(value)));
    }
    match (bare && !name.is_empty(), labels.is_empty()) {
        (true, true) => name.to_owned(),
        (true, false) => format!("{name}{{{}}}", labels.join(", ")),
        (false, _) => format!("{{{}}}", labels.join(", ")),
    }
}

fn table(data: &Data) -> String {
    let time = |seconds: f64| format_time(milliseconds(seconds));
    match data {
        Data::Single((_, value)) => format!("{value}\n"),
        Data::Series(list) => list.iter().map(|metric| series(metric) + "\n").collect(),
        Data::Vector(samples) => {
            let mut table = Table::new(["series", "value>"]);
            for (metric, (_, value)) in samples {
                table.push(vec![series(metric), value.clone()]);
            }
            table.aligned()
        }
        Data::Matrix(all) => {
            let mut table = Table::new(["series", "time", "value>"]);
            for (metric, points) in all {
                let mut name = series(metric);
                for (seconds, value) in points {
                    table.push(vec![
                        std::mem::take(&mut name),
                        time(*seconds),
                        value.clone(),
                    ]);
                }
            }
            table.aligned()
        }
        Data::List(_) | Data::Plans(_) => String::new(),
    }
}

/// promtool's form: `up{job="node"} => 1 @[1435781451.781]`.
fn promql(data: &Data) -> String {
    let at = |seconds: f64| format_timestamp_seconds(milliseconds(seconds));
    match data {
        Data::Single((seconds, value)) => format!("{value} @[{}]\n", at(*seconds)),
        Data::Vector(samples) => samples
            .iter()
            .map(|(metric, (seconds, value))| {
                format!("{} => {value} @[{}]\n", series(metric), at(*seconds))
            })
            .collect(),
        Data::Matrix(all) => {
            let mut out = String::new();
            for (metric, points) in all {
                out.push_str(&format!("{} =>\n", series(metric)));
                for (seconds, value) in points {
                    out.push_str(&format!("{value} @[{}]\n", at(*seconds)));
                }
            }
            out
        }
        other => table(other),
    }
}

/// A column for every label that occurs, then time and value.
fn csv(data: &Data) -> String {
    let metrics: Vec<&Metric> = match data {
        Data::Vector(samples) => samples.iter().map(|(metric, _)| metric).collect(),
        Data::Matrix(all) => all.iter().map(|(metric, _)| metric).collect(),
        Data::Series(list) => list.iter().collect(),
        Data::Single(_) | Data::List(_) | Data::Plans(_) => Vec::new(),
    };
    let labels: BTreeSet<&String> = metrics.iter().flat_map(|metric| metric.keys()).collect();
    let cells = |metric: &Metric| {
        let value = |label: &&String| metric.get(*label).cloned().unwrap_or_default();
        labels.iter().map(value).collect::<Vec<_>>()
    };
    let mut header: Vec<&str> = labels.iter().map(|label| label.as_str()).collect();
    if !matches!(data, Data::Series(_)) {
        header.extend(["time", "value"]);
    }
    let mut table = Table::new(header);
    let mut push = |mut row: Vec<String>, seconds: f64, value: &str| {
        row.extend([
            format_timestamp_seconds(milliseconds(seconds)),
            value.to_owned(),
        ]);
        table.push(row);
    };
    match data {
        Data::Single((seconds, value)) => push(Vec::new(), *seconds, value),
        Data::Vector(samples) => {
            for (metric, (seconds, value)) in samples {
                push(cells(metric), *seconds, value);
            }
        }
        Data::Matrix(all) => {
            for (metric, points) in all {
                for (seconds, value) in points {
                    push(cells(metric), *seconds, value);
                }
            }
        }
        Data::Series(list) => list.iter().for_each(|metric| table.push(cells(metric))),
        Data::List(_) | Data::Plans(_) => {}
    }
    table.csv()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn metric(pairs: &[(&str, &str)]) -> Metric {
        let owned = |(name, value): &(&str, &str)| ((*name).to_owned(), (*value).to_owned());
        pairs.iter().map(owned).collect()
    }

    fn vector() -> Data {
        Data::Vector(vec![
            (
                metric(&[("__name__", "up"), ("job", "a\"b")]),
                (1_435_781_451.781, "1".to_owned()),
            ),
            (metric(&[("x.y", "é")]), (1.0, "+Inf".to_owned())),
        ])
    }

    #[test]
    fn a_vector_in_every_form() {
        assert_eq!(
            render(&vector(), Format::Table),
            "SERIES          VALUE\nup{job=\"a\\\"b\"}      1\n{\"x.y\"=\"é\"}      +Inf\n"
        );
        assert_eq!(
            render(&vector(), Format::Promql),
            "up{job=\"a\\\"b\"} => 1 @[1435781451.781]\n{\"x.y\"=\"é\"} => +Inf @[1]\n"
        );
        assert_eq!(
            render(&vector(), Format::Csv),
            "__name__,job,x.y,time,value\nup,\"a\"\"b\",,1435781451.781,1\n,,é,1,+Inf\n"
        );
    }

    #[test]
    fn a_matrix_names_its_series_once() {
        let points = vec![(1.0, "1".to_owned()), (2.5, "2".to_owned())];
        let data = Data::Matrix(vec![(metric(&[("__name__", "up")]), points)]);
        assert_eq!(
            render(&data, Format::Table),
            "SERIES  TIME                    VALUE\n\
             up      1970-01-01T00:00:01Z        1\n\
             \u{20}       1970-01-01T00:00:02.5Z      2\n"
        );
        assert_eq!(render(&data, Format::Promql), "up =>\n1 @[1]\n2 @[2.500]\n");
    }

    #[test]
    fn series_are_written_as_selectors() {
        for (pairs, written) in [
            (vec![("__name__", "up")], "up"),
            (vec![], "{}"),
            (vec![("job", "a")], "{job=\"a\"}"),
            (vec![("__name__", "a.b"), ("c", "d")], "{\"a.b\", c=\"d\"}"),
        ] {
            assert_eq!(series(&metric(&pairs)), written);
        }
    }
}
