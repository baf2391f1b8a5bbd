//! Answers of Prometheus's own code (the 3.14 development branch, compiled on amd64) for pairs of random histograms. Each has to come out
//! with the same bits and notes.
//!
//! `answers.tsv` has one line for each pair `a`, `b` with numbers `q`, `x` and `y`. Texts are notations of tests, and floats their shortest digits.

#![allow(clippy::panic, clippy::unwrap_used)]

use varve_promql::BinaryOp;
use varve_promql::format::{format_float_g, parse_number};
use varve_storage::FloatHistogram;

use crate::arbitrary::{parsed, window};
use crate::binary::{Binary, binary};
use crate::instant::{self, instant};
use crate::over_time::{avg_over_time, resets, sum_over_time};
use crate::quantile::{fraction, quantile};
use crate::rate::{self, Range, rate};
use crate::statistics::stdvar;
use crate::text::{histogram_string, test_expression};
use crate::trim::{Keep, trim};
use crate::{Answer, Note, Sample, Severity};

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
    texts.push(answer.histogram().map(test_expression).unwrap_or_default());
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
        let number = |text: &str| match text.strip_prefix('-') {
            Some(text) => -parse_number(text).unwrap(),
            None => parse_number(text).unwrap(),
        };
        let actual = answers(parsed(a), parsed(b), number(q), number(x), number(y));
        assert_eq!(actual, expected, "{a} {b} {q} {x} {y}");
        lines += 1;
    }
    assert!(lines > 30);
}
