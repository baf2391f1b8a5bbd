//! The lines that `promtool tsdb dump` prints, from samples, and their comparison.

use std::collections::BTreeMap;
use std::fmt::Write;

use varve_storage::{FloatHistogram, Labels, SampleValue};

use crate::archive::Samples;

/// One series' lines, and whether each is a histogram.
fn lines(labels: &Labels, samples: &BTreeMap<i64, SampleValue>) -> Vec<(String, bool)> {
    let line = |(time, value): (&i64, &SampleValue)| match value {
        SampleValue::Float(value) => (format!("{labels} {} {time}", number(*value)), false),
        SampleValue::Histogram(histogram) => (format!("{labels} {} {time}", text(histogram)), true),
    };
    samples.iter().map(line).collect()
}

pub(crate) fn number(value: f64) -> String {
    match value {
        value if value.is_nan() => "NaN".to_owned(),
        f64::INFINITY => "+Inf".to_owned(),
        f64::NEG_INFINITY => "-Inf".to_owned(),
        value => format!("{value}"),
    }
}

fn text(histogram: &FloatHistogram) -> String {
    let mut text = format!(
        "{{count:{}, sum:{}",
        number(histogram.count),
        number(histogram.sum)
    );
    for bucket in histogram.ascending().filter(|bucket| bucket.count != 0.0) {
        let (open, close) = (
            if bucket.lower_inclusive { '[' } else { '(' },
            if bucket.upper_inclusive { ']' } else { ')' },
        );
        let (lower, upper) = (number(bucket.lower), number(bucket.upper));
        write!(
            text,
            ", {open}{lower},{upper}{close}:{}",
            number(bucket.count)
        )
        .unwrap();
    }
    text.push('}');
    text
}

/// What promtool prints of a series. Before version 3.6 it looked for floats, then for float histograms, then for whole ones,
/// and dropped the sample at which it went on to the next kind. Version 2 only looked for floats.
fn printed(lines: &[(String, bool)]) -> [Vec<&str>; 4] {
    let all = (0..lines.len()).collect();
    let floats = lines
        .iter()
        .take_while(|(_, is_histogram)| !is_histogram)
        .count();
    let histograms = |dropped: usize| -> Vec<usize> {
        let from = (floats + dropped).min(lines.len());
        let run = lines[from..]
            .iter()
            .take_while(|(_, is_histogram)| *is_histogram)
            .count();
        (0..floats).chain(from..from + run).collect()
    };
    [all, histograms(1), histograms(2), (0..floats).collect()].map(|places| {
        places
            .into_iter()
            .map(|place| lines[place].0.as_str())
            .collect()
    })
}

/// Compares samples with promtool's dump: the same but for the notation of numbers.
pub(crate) fn compare(samples: &Samples, dump: &str) {
    let mut theirs: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    for line in dump.lines().filter(|line| line.starts_with('{')) {
        let series = &line[..=line.find("} ").unwrap()];
        theirs.entry(series).or_default().push(line);
    }
    for (labels, own) in samples {
        let lines = lines(labels, own);
        let theirs = theirs
            .remove(labels.to_string().as_str())
            .unwrap_or_default();
        let matches = |ours: &Vec<&str>| {
            ours.len() == theirs.len()
                && ours
                    .iter()
                    .zip(&theirs)
                    .all(|(ours, theirs)| same(ours, theirs))
        };
        let printed = printed(&lines);
        if printed.iter().any(matches) {
            continue;
        }
        let ours = printed.iter().find(|ours| ours.len() == theirs.len());
        for (ours, theirs) in ours.into_iter().flatten().zip(&theirs) {
            assert!(same(ours, theirs), "\nvarve:    {ours}\npromtool: {theirs}");
        }
        panic!(
            "{labels}: {} samples, promtool has {}",
            lines.len(),
            theirs.len()
        );
    }
    assert!(
        theirs.is_empty(),
        "series that only promtool has: {:?}",
        theirs.keys()
    );
}

/// Whether two lines are the same when numbers are read.
fn same(a: &str, b: &str) -> bool {
    if a == b {
        return true;
    }
    let tokens = |line: &str| -> Vec<String> {
        let is_break = |c: char| matches!(c, ' ' | ',' | '(' | '[' | ')' | ']' | '{' | '}' | ':');
        let parts = line.split_inclusive(is_break);
        parts
            .map(|part| {
                let body = part.trim_end_matches(is_break);
                match body.parse::<f64>() {
                    Ok(value) => format!("{value:?}{}", &part[body.len()..]),
                    Err(_) => part.to_owned(),
                }
            })
            .collect()
    };
    tokens(a) == tokens(b)
}
