//! Reading the notation of test scripts: `{{schema:1 count:3.1 buckets:[5.1 10 7] offset:-3}}`.

use thiserror::Error;
use varve_promql::format::{ValueError, parse_number, quote};
use varve_storage::FloatHistogram;
use varve_storage::histogram::{CounterResetHint, Span};

/// The most items of a list; a script that needs more is wrong.
const ITEMS_MAX: usize = 1 << 16;

/// Why a text is no histogram.
#[derive(Clone, Debug, Error, PartialEq)]
#[non_exhaustive]
pub enum ParseHistogramError {
    /// It does not begin with `{{`.
    #[error("a histogram begins with {{{{")]
    Begin,
    /// It does not end.
    #[error("histogram description without closing }}}}")]
    End,
    /// An item without a colon.
    #[error("missing `:` for histogram descriptor {}", quote(.0))]
    Colon(String),
    /// A name that means nothing.
    #[error("bad histogram descriptor found: {}", quote(.0))]
    Name(String),
    /// A name that stands twice.
    #[error("duplicate key \"{0}\" in histogram")]
    Duplicate(&'static str),
    /// A value that is no number.
    #[error("error parsing {name} number: {error}")]
    Number {
        /// The item's name.
        name: &'static str,
        /// What is wrong with it.
        error: ValueError,
    },
    /// A value that is no whole number of 32 bits.
    #[error("error parsing {name} number: {}", quote(text))]
    Integer {
        /// The item's name.
        name: &'static str,
        /// What was given.
        text: String,
    },
    /// A value that is no list of numbers in brackets, or one that is too long.
    #[error("error parsing {name} float array: {}", quote(text))]
    List {
        /// The item's name.
        name: &'static str,
        /// What was given.
        text: String,
    },
    /// A counter reset hint that is none.
    #[error("error parsing counter_reset_hint: unknown value {}", quote(.0))]
    Hint(String),
}

/// A histogram as it was written.
#[derive(Clone, Debug, PartialEq)]
pub struct WrittenHistogram {
    /// The histogram. It is not validated, so that tests can have invalid ones.
    pub histogram: FloatHistogram,
    /// Whether a counter reset hint was written, even `unknown`. Tests compare it only then.
    pub has_hint: bool,
}

const NAMES: [&str; 11] = [
    "schema",
    "sum",
    "count",
    "z_bucket",
    "z_bucket_w",
    "custom_values",
    "buckets",
    "offset",
    "n_buckets",
    "n_offset",
    "counter_reset_hint",
];

/// Reads a histogram at the beginning of a text. Returns what follows it too, such as `x5` or `+{{…}}x5`.
pub fn parse_histogram(text: &str) -> Result<(WrittenHistogram, &str), ParseHistogramError> {
    let inside = text.strip_prefix("{{").ok_or(ParseHistogramError::Begin)?;
    let (inside, rest) = inside.split_once("}}").ok_or(ParseHistogramError::End)?;
    let mut reader = Reader::default();
    let mut items = inside.trim_start();
    while !items.is_empty() {
        let end = items
            .find(|c: char| !c.is_ascii_alphabetic() && c != '_')
            .unwrap_or(items.len());
        let (word, value) = items.split_at(end);
        let name = NAMES
            .into_iter()
            .find(|name| name.eq_ignore_ascii_case(word))
            .ok_or_else(|| ParseHistogramError::Name(word.to_owned()))?;
        let value = value
            .strip_prefix(':')
            .ok_or_else(|| ParseHistogramError::Colon(word.to_owned()))?;
        let end = match value.strip_prefix('[') {
            Some(list) => list.find(']').map(|end| end + 2),
            None => value.find(char::is_whitespace),
        };
        let (value, next) = value.split_at(end.unwrap_or(value.len()));
        reader.item(name, value)?;
        items = next.trim_start();
    }
    Ok((reader.finish(), rest))
}

#[derive(Default)]
struct Reader {
    seen: Vec<&'static str>,
    histogram: FloatHistogram,
    offset: i32,
    negative_offset: i32,
}

impl Reader {
    fn item(&mut self, name: &'static str, value: &str) -> Result<(), ParseHistogramError> {
        if self.seen.contains(&name) {
            return Err(ParseHistogramError::Duplicate(name));
        }
        self.seen.push(name);
        let histogram = &mut self.histogram;
        match name {
            "schema" => histogram.schema = integer(name, value)?,
            "offset" => self.offset = integer(name, value)?,
            "n_offset" => self.negative_offset = integer(name, value)?,
            "sum" => histogram.sum = number(name, value)?,
            "count" => histogram.count = number(name, value)?,
            "z_bucket" => histogram.zero_count = number(name, value)?,
            "z_bucket_w" => histogram.zero_threshold = number(name, value)?,
            "custom_values" => histogram.custom_values = list(name, value)?,
            "buckets" => histogram.positive_buckets = list(name, value)?,
            "n_buckets" => histogram.negative_buckets = list(name, value)?,
            _ => histogram.counter_reset_hint = hint(value)?,
        }
        Ok(())
    }

    fn finish(mut self) -> WrittenHistogram {
        let spans = |offset: i32, buckets: &[f64]| match u32::try_from(buckets.len()) {
            Ok(length) if length > 0 => vec![Span { offset, length }],
            _ => Vec::new(),
        };
        let histogram = &mut self.histogram;
        histogram.positive_spans = spans(self.offset, &histogram.positive_buckets);
        histogram.negative_spans = spans(self.negative_offset, &histogram.negative_buckets);
        WrittenHistogram {
            has_hint: self.seen.contains(&"counter_reset_hint"),
            histogram: self.histogram,
        }
    }
}

fn number(name: &'static str, text: &str) -> Result<f64, ParseHistogramError> {
    let (negative, unsigned) = match text.strip_prefix('-') {
        Some(unsigned) => (true, unsigned),
        None => (false, text.strip_prefix('+').unwrap_or(text)),
    };
    let number =
        parse_number(unsigned).map_err(|error| ParseHistogramError::Number { name, error })?;
    Ok(if negative { -number } else { number })
}

fn integer(name: &'static str, text: &str) -> Result<i32, ParseHistogramError> {
    text.parse().map_err(|_| ParseHistogramError::Integer {
        name,
        text: text.to_owned(),
    })
}

fn list(name: &'static str, text: &str) -> Result<Vec<f64>, ParseHistogramError> {
    let items = text
        .strip_prefix('[')
        .and_then(|items| items.strip_suffix(']'))
        .map(|items| items.split_whitespace());
    match items {
        Some(items) if items.clone().nth(ITEMS_MAX).is_none() => {
            items.map(|item| number(name, item)).collect()
        }
        _ => Err(ParseHistogramError::List {
            name,
            text: text.chars().take(100).collect(),
        }),
    }
}

fn hint(text: &str) -> Result<CounterResetHint, ParseHistogramError> {
    let hints = [
        ("unknown", CounterResetHint::Unknown),
        ("reset", CounterResetHint::CounterReset),
        ("not_reset", CounterResetHint::NotCounterReset),
        ("gauge", CounterResetHint::Gauge),
    ];
    hints
        .into_iter()
        .find(|(name, _)| name.eq_ignore_ascii_case(text))
        .map(|(_, hint)| hint)
        .ok_or_else(|| ParseHistogramError::Hint(text.to_owned()))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use proptest::prelude::*;

    use super::*;

    #[test]
    fn every_item_is_read() {
        let text = "{{ schema:1 SUM:-0.3 count:3.1 z_bucket:7.1 z_bucket_w:0.05 buckets:[5.1 10 -7 ] offset:-3 n_buckets:[4.1 +Inf] n_offset:5 counter_reset_hint:gauge custom_values:[1 NaN] }}x5 _";
        let (written, rest) = parse_histogram(text).unwrap();
        assert_eq!(rest, "x5 _");
        assert!(written.has_hint);
        let mut histogram = written.histogram;
        assert_eq!(histogram.custom_values.len(), 2);
        assert!(histogram.custom_values.pop().unwrap().is_nan());
        assert_eq!(
            histogram,
            FloatHistogram {
                counter_reset_hint: CounterResetHint::Gauge,
                schema: 1,
                zero_threshold: 0.05,
                zero_count: 7.1,
                count: 3.1,
                sum: -0.3,
                positive_spans: vec![Span {
                    offset: -3,
                    length: 3
                }],
                positive_buckets: vec![5.1, 10.0, -7.0],
                negative_spans: vec![Span {
                    offset: 5,
                    length: 2
                }],
                negative_buckets: vec![4.1, f64::INFINITY],
                custom_values: vec![1.0],
            }
        );
        let (empty, rest) = parse_histogram("{{}}").unwrap();
        assert_eq!(
            (empty.histogram, empty.has_hint, rest),
            (FloatHistogram::default(), false, "")
        );
    }

    #[test]
    fn mistakes_are_named() {
        for (text, message) in [
            ("{}", "a histogram begins with {{"),
            ("{{count:1}", "histogram description without closing }}"),
            ("{{cont:1}}", "bad histogram descriptor found: \"cont\""),
            (
                "{{count 1}}",
                "missing `:` for histogram descriptor \"count\"",
            ),
            (
                "{{count:1 count:2}}",
                "duplicate key \"count\" in histogram",
            ),
            ("{{schema:1.5}}", "error parsing schema number: \"1.5\""),
            ("{{buckets:5}}", "error parsing buckets float array: \"5\""),
            (
                "{{buckets:[5}}",
                "error parsing buckets float array: \"[5\"",
            ),
            (
                "{{counter_reset_hint:maybe}}",
                "error parsing counter_reset_hint: unknown value \"maybe\"",
            ),
            (
                "{{sum:x}}",
                "error parsing sum number: strconv.ParseFloat: parsing \"x\": invalid syntax",
            ),
        ] {
            assert_eq!(
                parse_histogram(text).unwrap_err().to_string(),
                message,
                "{text}"
            );
        }
    }

    proptest! {
        #[test]
        fn any_text_is_a_histogram_or_an_error(text in "\\{\\{[a-z_:0-9.\\[\\] -]{0,40}\\}?\\}?|\\PC{0,20}") {
            let _ = parse_histogram(&text);
        }
    }
}
