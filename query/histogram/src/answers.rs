//! Answers of Prometheus's own code (the 3.14 development branch, compiled on amd64) for pairs of random histograms. Each has to come out
//! with the same bits and notes.
//!
//! `answers.tsv` has one line for each pair `a`, `b` with numbers `q`, `x` and `y`. Texts are notations of tests, and floats their shortest digits.
//!
//! `extended.tsv` has one line for each random series, its samples written `time_ms value` with `;` between them, and a window. The look-back
//! is 5 minutes.

#![allow(clippy::panic, clippy::unwrap_used)]

use varve_promql::BinaryOp;
use varve_promql::format::{format_float_g, parse_number};
use varve_storage::FloatHistogram;

use crate::arbitrary::{parsed, window};
use crate::binary::{Binary, binary};
use crate::extended;
use crate::instant::{self, instant};
use crate::over_time::{avg_over_time, resets, sum_over_time};
use crate::quantile::{fraction, quantile};
use crate::rate::{self, Range, rate};
use crate::statistics::stdvar;
use crate::text::{histogram_string, test_expression};
use crate::trim::{Keep, trim};
use crate::{Answer, Note, Point, Sample, Severity, Value};

fn note_text(note: Note) -> String {
    // Prometheus's binary operators fail here with an error, whose text becomes the annotation later.
    if let Note::IncompatibleBucketLayout(_) = note {
        return varve_storage::histogram::HistogramError::IncompatibleSchemas.to_string();
    }
    let severity = match note.severity() {
        Severity::Info => "info",
        Severity::Warning => "warning",
    };
    format!("PromQL {severity}: {}", note.text("m"))
}

fn push_answer(texts: &mut Vec<String>, answer: &Answer) {
    texts.push(match &answer.value {
        Some(Value::Float(value)) => format_float_g(*value),
        Some(Value::Histogram(histogram)) => test_expression(histogram),
        None => String::new(),
    });
    let mut notes: Vec<String> = answer.notes.iter().copied().map(note_text).collect();
    notes.sort();
    texts.push(notes.join("|"));
}

fn push_number(texts: &mut Vec<String>, (number, note): (f64, Option<Note>)) {
    texts.push(format_float_g(number));
    texts.push(note.map(note_text).unwrap_or_default());
}

fn push_binary(texts: &mut Vec<String>, result: &Binary) {
    texts.push(
        result
            .value
            .as_ref()
            .map(test_expression)
            .unwrap_or_default(),
    );
    texts.push(result.note.map(note_text).unwrap_or_default());
}

fn number(text: &str) -> f64 {
    match text.strip_prefix('-') {
        Some(text) => -parse_number(text).unwrap(),
        None => parse_number(text).unwrap(),
    }
}

fn answers(a: FloatHistogram, b: FloatHistogram, q: f64, x: f64, y: f64) -> Vec<String> {
    let mut texts = Vec::new();
    push_number(&mut texts, quantile(q, &a));
    push_number(&mut texts, fraction(x, y, &a));
    texts.push(format_float_g(stdvar(&a)));
    texts.push(histogram_string(&a));
    for keep in [Keep::Below, Keep::Above] {
        let mut trimmed = a.clone();
        trim(&mut trimmed, x, keep);
        texts.push(test_expression(&trimmed));
    }
    for op in [BinaryOp::Add, BinaryOp::Sub] {
        let result = binary(op, Sample::Histogram(&a), Sample::Histogram(&b));
        push_binary(&mut texts, &result);
    }
    let values = [a, b];
    let points = window(&values);
    let range = Range {
        start_ms: 0,
        end_ms: 150_000,
    };
    for answer in [
        rate(&points, range, rate::Function::Rate),
        rate(&points, range, rate::Function::Delta),
        instant(&points, instant::Function::Irate),
        sum_over_time(&points),
        avg_over_time(&points),
    ] {
        push_answer(&mut texts, &answer);
    }
    texts.push(format_float_g(resets(&points).unwrap()));
    texts
}

#[test]
fn answers_are_those_of_prometheus() {
    let mut lines = 0;
    for line in include_str!("answers.tsv").lines() {
        let fields: Vec<&str> = line.split('\t').collect();
        let [a, b, q, x, y, expected @ ..] = fields.as_slice() else {
            panic!("too few fields: {line}");
        };
        let actual = answers(parsed(a), parsed(b), number(q), number(x), number(y));
        assert_eq!(actual, expected, "{a} {b} {q} {x} {y}");
        lines += 1;
    }
    assert!(lines > 30);
}

enum Owned {
    Float(f64),
    Histogram(FloatHistogram),
}

fn extended_answers(series: &[(i64, Owned)], range: Range) -> Vec<String> {
    const LOOKBACK_MS: i64 = 300_000;
    let within = |from_ms: i64, to_ms: i64| -> Vec<Point<'_>> {
        series
            .iter()
            .filter(|(time_ms, _)| *time_ms > from_ms && *time_ms <= to_ms)
            .map(|(time_ms, value)| {
                let sample = match value {
                    Owned::Float(value) => Sample::Float(*value),
                    Owned::Histogram(histogram) => Sample::Histogram(histogram),
                };
                Point::new(*time_ms, sample)
            })
            .collect()
    };
    let Range { start_ms, end_ms } = range;
    let anchored = within(start_ms - LOOKBACK_MS, end_ms);
    let smoothed = within(start_ms - LOOKBACK_MS, end_ms + LOOKBACK_MS);
    let mut texts = Vec::new();
    for (points, smooth) in [(&anchored, false), (&smoothed, true)] {
        for function in [
            rate::Function::Rate,
            rate::Function::Increase,
            rate::Function::Delta,
        ] {
            push_answer(
                &mut texts,
                &extended::increase(points, range, smooth, function),
            );
        }
    }
    for count in [
        extended::resets(&anchored, range),
        extended::changes(&anchored, range),
    ] {
        texts.push(count.map(format_float_g).unwrap_or_default());
    }
    let around = within(end_ms - LOOKBACK_MS, end_ms + LOOKBACK_MS);
    push_answer(&mut texts, &extended::smoothed_at(&around, end_ms));
    texts
}

fn compare_extended(lines: &str) -> usize {
    for line in lines.lines() {
        let fields: Vec<&str> = line.split('\t').collect();
        let [series, start, end, expected @ ..] = fields.as_slice() else {
            panic!("too few fields: {line}");
        };
        let sample = |text: &str| {
            let (time, value) = text.split_once(' ').unwrap();
            let value = match value.starts_with('{') {
                true => Owned::Histogram(parsed(value)),
                false => Owned::Float(number(value)),
            };
            (time.parse().unwrap(), value)
        };
        let samples: Vec<_> = series.split(';').map(sample).collect();
        let range = Range {
            start_ms: start.parse().unwrap(),
            end_ms: end.parse().unwrap(),
        };
        let actual = extended_answers(&samples, range);
        assert_eq!(actual, expected, "{series} from {start} to {end}");
    }
    lines.lines().count()
}

#[test]
fn answers_to_extended_windows_are_those_of_prometheus() {
    assert!(compare_extended(include_str!("extended.tsv")) > 30);
}
