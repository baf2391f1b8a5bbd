//! Requests of both versions of remote write.

use std::collections::HashMap;

use varve_storage::{Labels, MetricMetadata, MetricType, SampleValue};

use super::outgoing::{Batch, OutgoingSeries};
use varve_storage::protobuf::encode::Message;
use varve_storage::protobuf::histogram::write_histogram;

/// What is known about metric families, for the messages of version 2.
pub(super) type Families = HashMap<String, MetricMetadata>;

/// A `prometheus.WriteRequest` with samples.
pub(super) fn version_1(batch: &Batch) -> Vec<u8> {
    let mut request = Message::default();
    for series in &batch.series {
        request.message(1, |message| {
            for (name, value) in series.labels.iter() {
                message.message(1, |label| label_pair(label, name, value));
            }
            for (time_ms, _, value) in &series.samples {
                match value {
                    SampleValue::Float(value) => message.message(2, |sample| {
                        sample.double(1, *value);
                        sample.int64(2, *time_ms);
                    }),
                    SampleValue::Histogram(value) => {
                        message.message(4, |message| write_histogram(message, *time_ms, 0, value));
                    }
                }
            }
            for (time_ms, value, labels) in &series.exemplars {
                message.message(3, |exemplar| {
                    for (name, value) in labels.iter() {
                        exemplar.message(1, |label| label_pair(label, name, value));
                    }
                    exemplar.double(2, *value);
                    exemplar.int64(3, *time_ms);
                });
            }
        });
    }
    request.into_bytes()
}

/// A `prometheus.WriteRequest` with metadata.
pub(super) fn metadata(entries: &[MetricMetadata]) -> Vec<u8> {
    let mut request = Message::default();
    for entry in entries {
        request.message(3, |message| {
            message.uint64(1, type_number(entry.kind));
            message.string(2, &entry.family);
            message.string(4, &entry.help);
            message.string(5, &entry.unit);
        });
    }
    request.into_bytes()
}

fn label_pair(message: &mut Message, name: &str, value: &str) {
    message.string(1, name);
    message.string(2, value);
}

/// An `io.prometheus.write.v2.Request`.
pub(super) fn version_2(batch: &Batch, families: &Families) -> Vec<u8> {
    let mut symbols = Symbols::default();
    symbols.number("");
    let mut all = Message::default();
    for series in &batch.series {
        all.message(5, |message| {
            series_2(message, series, families, &mut symbols)
        });
    }
    let mut request = Message::default();
    for symbol in &symbols.texts {
        request.bytes(4, symbol.as_bytes());
    }
    request.append(&all);
    request.into_bytes()
}

fn series_2(
    message: &mut Message,
    series: &OutgoingSeries,
    families: &Families,
    symbols: &mut Symbols,
) {
    let refs = symbols.labels(&series.labels);
    message.uint32s(1, &refs);
    for (time_ms, start_ms, value) in &series.samples {
        match value {
            SampleValue::Float(value) => message.message(2, |sample| {
                sample.double(1, *value);
                sample.int64(2, *time_ms);
                sample.int64(3, *start_ms);
            }),
            SampleValue::Histogram(value) => {
                message.message(3, |message| {
                    write_histogram(message, *time_ms, *start_ms, value)
                });
            }
        }
    }
    for (time_ms, value, labels) in &series.exemplars {
        let refs = symbols.labels(labels);
        message.message(4, |exemplar| {
            exemplar.uint32s(1, &refs);
            exemplar.double(2, *value);
            exemplar.int64(3, *time_ms);
        });
    }
    let Some(known) = family_of(series.labels.metric_name(), families) else {
        return;
    };
    let (help, unit) = (symbols.number(&known.help), symbols.number(&known.unit));
    message.message(5, |metadata| {
        metadata.uint64(1, type_number(known.kind));
        metadata.uint64(3, u64::from(help));
        metadata.uint64(4, u64::from(unit));
    });
}

/// The family of a series: that of its name, or of its name without the suffix of a histogram, a summary or a counter.
fn family_of<'a>(name: &str, families: &'a Families) -> Option<&'a MetricMetadata> {
    families.get(name).or_else(|| {
        let suffixes = [
            "_bucket", "_count", "_sum", "_total", "_info", "_gcount", "_gsum",
        ];
        let mut stripped = suffixes
            .iter()
            .filter_map(|suffix| name.strip_suffix(suffix));
        stripped.find_map(|family| families.get(family))
    })
}

/// The texts of a request, each once.
#[derive(Debug, Default)]
struct Symbols {
    texts: Vec<String>,
    numbers: HashMap<String, u32>,
}

impl Symbols {
    fn number(&mut self, text: &str) -> u32 {
        if let Some(number) = self.numbers.get(text) {
            return *number;
        }
        let number = u32::try_from(self.texts.len()).unwrap_or(u32::MAX);
        self.texts.push(text.to_owned());
        self.numbers.insert(text.to_owned(), number);
        number
    }

    fn labels(&mut self, labels: &Labels) -> Vec<u32> {
        let mut refs = Vec::with_capacity(2 * labels.len());
        for (name, value) in labels.iter() {
            refs.push(self.number(name));
            refs.push(self.number(value));
        }
        refs
    }
}

/// A type's number, the same in both versions.
fn type_number(kind: MetricType) -> u64 {
    match kind {
        MetricType::Unknown => 0,
        MetricType::Counter => 1,
        MetricType::Gauge => 2,
        MetricType::Histogram => 3,
        MetricType::GaugeHistogram => 4,
        MetricType::Summary => 5,
        MetricType::Info => 6,
        MetricType::StateSet => 7,
    }
}
