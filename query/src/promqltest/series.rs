//! The notation of series in test scripts: `metric{label="value"} 1 2+3x5 _ stale {{…}}`.

use std::sync::Arc;

use varve_histogram::parse::{WrittenHistogram, parse_histogram};
use varve_promql::format::{parse_duration, parse_go_float};
use varve_promql::{Expr, MatchOp, ParseOptions, parse_with};
use varve_storage::{Labels, stale_nan};

/// One place of a series.
#[derive(Clone, Debug, PartialEq)]
pub enum Item {
    /// No sample.
    Omitted,
    /// A float; maybe a stale marker.
    Float(f64),
    /// A native histogram.
    Histogram(Arc<WrittenHistogram>),
}

/// A line with a series.
#[derive(Clone, Debug, PartialEq)]
pub struct SeriesLine {
    /// The labels, the metric name among them.
    pub labels: Labels,
    /// The items, one per interval.
    pub items: Vec<Item>,
    /// As many start timestamps, in milliseconds relative to the time of the sample; empty if none is written.
    pub starts: Vec<Option<i64>>,
}

/// A line with the start timestamps of the series in the line after it: `metric{label="value"}@st -1m -1mx3 _`.
#[derive(Clone, Debug, PartialEq)]
pub struct StartLine {
    /// The labels, the metric name among them.
    pub labels: Labels,
    /// Start timestamps in milliseconds relative to the time of the sample, one per interval.
    pub starts: Vec<Option<i64>>,
}

/// Reads a line of start timestamps; `None` if the line is not one.
pub fn parse_start_line(line: &str) -> Result<Option<StartLine>, String> {
    let (metric, items) = split_metric(line);
    let Some(metric) = metric.strip_suffix("@st") else {
        return Ok(None);
    };
    let mut starts = Vec::new();
    for item in items.split_whitespace() {
        push_starts(item, &mut starts).map_err(|error| format!("{item}: {error}"))?;
    }
    Ok(Some(StartLine {
        labels: parse_metric(metric)?,
        starts,
    }))
}

/// `_`, `_x3`, `-1m`, `-1mx3`, `-1m+30sx3`: as samples are written, with durations for numbers.
fn push_starts(item: &str, starts: &mut Vec<Option<i64>>) -> Result<(), String> {
    let count = |text: &str| {
        text.parse::<usize>()
            .map_err(|error| format!("{text}: {error}"))
    };
    if let Some(rest) = item.strip_prefix('_') {
        let times = match rest.strip_prefix('x') {
            Some(times) => count(times)?,
            None if rest.is_empty() => 1,
            None => return Err("not an item".to_owned()),
        };
        starts.extend(std::iter::repeat_n(None, times));
        return Ok(());
    }
    let (value, times) = match item.split_once('x') {
        Some((value, times)) => (value, count(times)?),
        None => (item, 0),
    };
    let (mut start_ms, step_ms) = match split_step(value) {
        Some((start, step)) => (signed_duration(start)?, signed_duration(step)?),
        None => (signed_duration(value)?, 0),
    };
    for _ in 0..=times {
        starts.push(Some(start_ms));
        start_ms += step_ms;
    }
    Ok(())
}

/// Milliseconds of a duration that may have a sign.
fn signed_duration(text: &str) -> Result<i64, String> {
    let (negative, text) = match text.strip_prefix('-') {
        Some(rest) => (true, rest),
        None => (false, text.strip_prefix('+').unwrap_or(text)),
    };
    let ms = parse_duration(text).map_err(|error| error.to_string())?;
    Ok(if negative { -ms } else { ms })
}

/// Reads a line; the error says what is wrong with it.
pub fn parse_line(line: &str) -> Result<SeriesLine, String> {
    let (metric, items) = split_metric(line);
    Ok(SeriesLine {
        labels: parse_metric(metric)?,
        items: parse_items(items)?,
        starts: Vec::new(),
    })
}

/// Cuts a line at the first space outside of braces and quotes.
fn split_metric(line: &str) -> (&str, &str) {
    let (mut depth, mut quote, mut escaped) = (0_i32, None, false);
    let mut seen_space_from = None;
    for (at, c) in line.char_indices() {
        match quote {
            Some(_) if escaped => escaped = false,
            Some('"' | '\'') if c == '\\' => escaped = true,
            Some(q) if c == q => quote = None,
            Some(_) => {}
            None => match c {
                '"' | '\'' | '`' => quote = Some(c),
                // A space may stand between the name and the braces.
                '{' if depth == 0 && line[at..].starts_with("{{") => {
                    return line.split_at(seen_space_from.unwrap_or(at));
                }
                '{' => {
                    depth += 1;
                    seen_space_from = None;
                }
                '}' => depth -= 1,
                ' ' | '\t' if depth == 0 && seen_space_from.is_none() => {
                    seen_space_from = Some(at);
                }
                ' ' | '\t' => {}
                _ if depth == 0 => {
                    if let Some(space) = seen_space_from {
                        return line.split_at(space);
                    }
                }
                _ => {}
            },
        }
    }
    line.split_at(seen_space_from.unwrap_or(line.len()))
}

/// The labels of `metric{a="b"}`.
pub fn parse_metric(text: &str) -> Result<Labels, String> {
    let text = text.trim();
    let inner: String = text.chars().filter(|c| !c.is_whitespace()).collect();
    if inner == "{}" {
        return Ok(Labels::empty());
    }
    let parsed = parse_with(text, &ParseOptions::experimental()).map_err(|e| e.to_string())?;
    let Expr::VectorSelector(selector) = parsed else {
        return Err(format!("{text} is not a series"));
    };
    if selector.matchers.iter().any(|m| m.op != MatchOp::Equal) {
        return Err(format!("{text} is not a series"));
    }
    let pairs = selector.matchers.iter().map(|m| (&m.name, &m.value));
    Ok(Labels::from_pairs(pairs))
}

fn parse_items(text: &str) -> Result<Vec<Item>, String> {
    let mut items = Vec::new();
    let mut rest = text.trim();
    while !rest.is_empty() {
        let end = match rest.starts_with("{{") {
            true => histogram_end(rest)?,
            false => rest.find([' ', '\t']).unwrap_or(rest.len()),
        };
        let (item, after) = rest.split_at(end);
        push_item(item, &mut items)?;
        rest = after.trim_start();
    }
    Ok(items)
}

/// Where `{{…}}`, `{{…}}x5` or `{{…}}+{{…}}x5` ends.
fn histogram_end(text: &str) -> Result<usize, String> {
    let mut end = 0;
    loop {
        let close = text[end..].find("}}").ok_or("a histogram is not closed")?;
        end += close + 2;
        let joined = text[end..].starts_with("+{{") || text[end..].starts_with("-{{");
        if !joined {
            let rest = &text[end..];
            return Ok(end + rest.find([' ', '\t']).unwrap_or(rest.len()));
        }
    }
}

fn push_item(item: &str, items: &mut Vec<Item>) -> Result<(), String> {
    let number = |text: &str| parse_go_float(text).map_err(|error| error.to_string());
    let count = |text: &str| {
        text.parse::<usize>()
            .map_err(|error| format!("{text}: {error}"))
    };
    if item.starts_with("{{") {
        return push_histograms(item, items);
    }
    if let Some(rest) = item.strip_prefix('_') {
        let times = match rest.strip_prefix('x') {
            Some(n) => count(n)?,
            None if rest.is_empty() => 1,
            None => return Err(format!("{item} is not an item")),
        };
        items.extend(std::iter::repeat_n(Item::Omitted, times));
        return Ok(());
    }
    let (value, times) = match split_times(item) {
        Some((value, n)) => (value, count(n)?),
        None => (item, 0),
    };
    if let Some(value) = value.strip_prefix("stale") {
        if !value.is_empty() {
            return Err(format!("{item} is not an item"));
        }
        items.extend(std::iter::repeat_n(Item::Float(stale_nan()), times + 1));
        return Ok(());
    }
    let (mut value, step) = match split_step(value) {
        Some((start, step)) => (number(start)?, number(step)?),
        None => (number(value)?, 0.0),
    };
    for _ in 0..=times {
        items.push(Item::Float(value));
        value += step;
    }
    Ok(())
}

/// `{{…}}`, `{{…}}x5`, `{{…}}+{{…}}x5`: the histogram alone, again and again, or plus the other once more each time.
fn push_histograms(item: &str, items: &mut Vec<Item>) -> Result<(), String> {
    let read = |text| parse_histogram(text).map_err(|error| error.to_string());
    let (first, rest) = read(item)?;
    let (step, rest) = match rest.strip_prefix(['+', '-']) {
        Some(second) if second.starts_with("{{") => {
            let (step, times) = read(second)?;
            (Some((step, rest.starts_with('-'))), times)
        }
        _ => (None, rest),
    };
    let times: usize = match rest.strip_prefix('x') {
        Some(n) => n.parse().map_err(|error| format!("{n}: {error}"))?,
        None if rest.is_empty() && step.is_none() => 0,
        None => return Err(format!("{item} is not an item")),
    };
    let Some((step, minus)) = step else {
        let first = Arc::new(first);
        items.extend((0..=times).map(|_| Item::Histogram(Arc::clone(&first))));
        return Ok(());
    };
    let mut written = WrittenHistogram {
        has_hint: step.has_hint,
        ..first
    };
    for time in 0..=times {
        if time > 0 {
            let histogram = &mut written.histogram;
            if histogram.schema > step.histogram.schema {
                return Err(format!(
                    "error combining histograms: cannot merge from schema {} to {}",
                    step.histogram.schema, histogram.schema
                ));
            }
            let combined = match minus {
                false => histogram.add(&step.histogram),
                true => histogram.sub(&step.histogram),
            };
            combined.map_err(|error| error.to_string())?;
        }
        items.push(Item::Histogram(Arc::new(written.clone())));
    }
    Ok(())
}

/// Splits `2+3x5` before the times; `0x1f` is a number.
fn split_times(item: &str) -> Option<(&str, &str)> {
    let (value, times) = item.rsplit_once('x')?;
    let hexadecimal =
        matches!(value, "0" | "-0" | "+0") && times.len() > 1 && times.starts_with('0');
    (!hexadecimal).then_some((value, times))
}

/// Splits `2+3` and `2-3` at the sign that is neither the first nor part of an exponent.
fn split_step(value: &str) -> Option<(&str, &str)> {
    let bytes = value.as_bytes();
    let at = (1..bytes.len()).find(|&i| {
        matches!(bytes.get(i), Some(b'+' | b'-'))
            && !matches!(bytes.get(i - 1), Some(b'e' | b'E' | b'p' | b'P'))
    })?;
    Some(value.split_at(at))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    #[test]
    fn items_expand_as_written() {
        let line =
            parse_line(r#"m{a="b c"} 1+2x2 _x2 stale -1e-3 2x1 {{sum:1 count:2}}x1 NaN"#).unwrap();
        assert_eq!(line.labels.to_string(), r#"{__name__="m", a="b c"}"#);
        assert_eq!(line.items.len(), 3 + 2 + 1 + 1 + 2 + 2 + 1);
        assert_eq!(line.items[2], Item::Float(5.0));
        assert_eq!(line.items[3], Item::Omitted);
        assert_eq!(line.items[6], Item::Float(-1e-3));
        let Item::Histogram(written) = &line.items[10] else {
            unreachable!()
        };
        assert_eq!((written.histogram.sum, written.histogram.count), (1.0, 2.0));
        let line = parse_line("m {{count:1 sum:5}}+{{count:2 sum:1}}x2").unwrap();
        let sums = line.items.iter().map(|item| match item {
            Item::Histogram(written) => written.histogram.sum,
            _ => 0.0,
        });
        assert_eq!(sums.collect::<Vec<_>>(), [5.0, 6.0, 7.0]);
        assert_eq!(parse_line("{} 5-2x1").unwrap().items[1], Item::Float(3.0));
        assert!(parse_line("m 1+ax3").is_err());
    }

    #[test]
    fn start_timestamps_are_durations_before_the_samples() {
        let line = parse_start_line(r#"m{a="b c"}@st _ -1m 0-1sx2 _x2 +5ms -0msx1"#).unwrap();
        let line = line.unwrap();
        assert_eq!(line.labels.to_string(), r#"{__name__="m", a="b c"}"#);
        let known = [-60_000, 0, -1_000, -2_000].map(Some);
        assert_eq!(line.starts[0], None);
        assert_eq!(line.starts[1..5], known);
        assert_eq!(line.starts[5..], [None, None, Some(5), Some(0), Some(0)]);
        assert_eq!(parse_start_line("m 1 2").unwrap(), None);
        for wrong in ["m@st 1y2x", "m@st -", "m@st _1", "m@st -1mxa"] {
            assert!(parse_start_line(wrong).is_err(), "{wrong}");
        }
    }
}
