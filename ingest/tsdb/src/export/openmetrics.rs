//! `export openmetrics`: samples as text, as `promtool tsdb dump-openmetrics` writes them.

use std::fmt::Write as _;
use std::io::{self, Write};

use varve_storage::labels::is_legacy_label_name;
use varve_storage::{Labels, METRIC_NAME, SampleValue, is_stale_nan};

use crate::chunk::Sample;

/// What becomes of stale markers, which the format does not know.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum StaleMarkers {
    /// They are left out: who reads the text sees the series go on for the look-back interval.
    #[default]
    LeaveOut,
    /// They are written as `NaN`, as promtool does: who reads the text sees an ordinary NaN.
    Nan,
}

/// What was written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct OpenMetricsCounts {
    /// Samples that were written.
    pub samples: u64,
    /// Native histograms that were left out: the format has no form for them.
    pub histograms_left_out: u64,
    /// Stale markers that were left out.
    pub stale_markers_left_out: u64,
}

/// Writes one line per sample, series by series; `# EOF` in the end. The text has no metadata, so all families are of unknown
/// type.
#[derive(Debug)]
pub struct OpenMetricsWriter<W> {
    out: W,
    stale_markers: StaleMarkers,
    counts: OpenMetricsCounts,
    text: String,
}

impl<W: Write> OpenMetricsWriter<W> {
    /// Writes to `out`, which should be buffered.
    pub fn new(out: W, stale_markers: StaleMarkers) -> Self {
        Self {
            out,
            stale_markers,
            counts: OpenMetricsCounts::default(),
            text: String::new(),
        }
    }

    /// Writes the samples of a series, in the order given. For importers that stream, all series of a metric should follow each
    /// other, as they do in the order of labels.
    ///
    /// # Errors
    /// Those of the writer below.
    pub fn series(
        &mut self,
        labels: &Labels,
        samples: impl IntoIterator<Item = Sample>,
    ) -> io::Result<()> {
        let series = series_text(labels);
        for sample in samples {
            let value = match sample.value {
                SampleValue::Float(value) => value,
                SampleValue::Histogram(histogram) => {
                    if is_stale_nan(histogram.sum) {
                        self.counts.stale_markers_left_out += 1;
                    } else {
                        self.counts.histograms_left_out += 1;
                    }
                    continue;
                }
            };
            if is_stale_nan(value) && self.stale_markers == StaleMarkers::LeaveOut {
                self.counts.stale_markers_left_out += 1;
                continue;
            }
            self.text.clear();
            self.text.push_str(&series);
            self.text.push(' ');
            push_float(&mut self.text, value);
            self.text.push(' ');
            push_seconds(&mut self.text, sample.timestamp_ms);
            self.text.push('\n');
            self.out.write_all(self.text.as_bytes())?;
            self.counts.samples += 1;
        }
        Ok(())
    }

    /// Writes the end.
    ///
    /// # Errors
    /// Those of the writer below.
    pub fn finish(mut self) -> io::Result<OpenMetricsCounts> {
        self.out.write_all(b"# EOF\n")?;
        self.out.flush()?;
        Ok(self.counts)
    }
}

/// A series as it stands before a value: `name{a="1",b="2"}`. Names that need quotes are in the braces, with quotes.
fn series_text(labels: &Labels) -> String {
    let mut text = String::new();
    let name = labels.metric_name();
    let plain = is_metric_name(name);
    if plain {
        text.push_str(name);
    }
    text.push('{');
    let mut first = true;
    if !plain && !name.is_empty() {
        push_quoted(&mut text, name);
        first = false;
    }
    for (name, value) in labels.iter().filter(|(name, _)| *name != METRIC_NAME) {
        if !std::mem::take(&mut first) {
            text.push(',');
        }
        if is_legacy_label_name(name) {
            text.push_str(name);
        } else {
            push_quoted(&mut text, name);
        }
        text.push('=');
        push_quoted(&mut text, value);
    }
    text.push('}');
    text
}

fn is_metric_name(name: &str) -> bool {
    is_legacy_label_name(&name.replace(':', "_"))
}

fn push_quoted(text: &mut String, value: &str) {
    text.push('"');
    for character in value.chars() {
        match character {
            '"' => text.push_str("\\\""),
            '\\' => text.push_str("\\\\"),
            '\n' => text.push_str("\\n"),
            other => text.push(other),
        }
    }
    text.push('"');
}

/// Milliseconds as seconds with three decimals, exactly.
fn push_seconds(text: &mut String, timestamp_ms: i64) {
    let magnitude = timestamp_ms.unsigned_abs();
    let sign = if timestamp_ms < 0 { "-" } else { "" };
    let (seconds, rest) = (magnitude / 1000, magnitude % 1000);
    // Writing to a string does not fail.
    let _ = write!(text, "{sign}{seconds}.{rest:03}");
}

/// A float as Go's `%g` writes it.
fn push_float(text: &mut String, value: f64) {
    if value.is_nan() {
        return text.push_str("NaN");
    }
    if value.is_infinite() {
        return text.push_str(if value > 0.0 { "+Inf" } else { "-Inf" });
    }
    let scientific = format!("{value:e}");
    let (mantissa, exponent) = scientific.split_once('e').unwrap_or((&scientific, "0"));
    let power: i32 = exponent.parse().unwrap_or(0);
    let _ = if !(-4..6).contains(&power) {
        write!(
            text,
            "{mantissa}e{}{:02}",
            if power < 0 { '-' } else { '+' },
            power.abs()
        )
    } else {
        write!(text, "{value}")
    };
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use std::sync::Arc;

    use varve_storage::{FloatHistogram, stale_nan};

    use super::*;

    #[test]
    fn text_is_that_of_promtool() {
        let mut out = Vec::new();
        let mut writer = OpenMetricsWriter::new(&mut out, StaleMarkers::LeaveOut);
        let sample = |timestamp_ms, value| Sample {
            timestamp_ms,
            start_timestamp_ms: 0,
            value,
        };
        let labels = Labels::from_pairs([("__name__", "a:b_total"), ("path", "c:\\\"x\"\n")]);
        let float = SampleValue::Float;
        let samples = vec![
            sample(1_500, float(1.0)),
            sample(-7, float(f64::NEG_INFINITY)),
            sample(8, float(stale_nan())),
            sample(
                9,
                SampleValue::Histogram(Arc::new(FloatHistogram::default())),
            ),
        ];
        writer.series(&labels, samples).unwrap();
        let dotted = Labels::from_pairs([("__name__", "a.b"), ("c.d", "é")]);
        writer.series(&dotted, vec![sample(0, float(0.1))]).unwrap();
        let counts = writer.finish().unwrap();
        assert_eq!(
            (
                counts.samples,
                counts.histograms_left_out,
                counts.stale_markers_left_out
            ),
            (3, 1, 1)
        );
        let expected = "a:b_total{path=\"c:\\\\\\\"x\\\"\\n\"} 1 1.500\na:b_total{path=\"c:\\\\\\\"x\\\"\\n\"} -Inf -0.007\n{\"a.b\",\"c.d\"=\"é\"} 0.1 0.000\n# EOF\n";
        assert_eq!(String::from_utf8(out).unwrap(), expected);
    }

    #[test]
    fn floats_are_those_of_go() {
        for (value, expected) in [
            (0.0, "0"),
            (-0.0, "-0"),
            (123_456_789.0, "1.23456789e+08"),
            (100_000.0, "100000"),
            (1e6, "1e+06"),
            (0.0001, "0.0001"),
            (0.00001, "1e-05"),
            (1.5e300, "1.5e+300"),
            (f64::NAN, "NaN"),
            (f64::INFINITY, "+Inf"),
        ] {
            let mut text = String::new();
            push_float(&mut text, value);
            assert_eq!(text, expected);
        }
    }
}
