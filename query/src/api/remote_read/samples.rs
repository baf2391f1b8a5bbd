//! The answer of type SAMPLES: one `prometheus.ReadResponse` in snappy's block format.

use futures::StreamExt;
use varve_storage::protobuf::encode::Message;
use varve_storage::protobuf::histogram::write_histogram;
use varve_storage::{FloatHistogram, Labels, SampleValue, is_stale_nan};

use super::super::backend::{LabelQuery, QueryBackend};
use super::blocks::Blocks;
use super::{ReadError, Selection, merged};
use crate::RawSamples;

/// The whole answer.
pub(super) async fn respond(
    backend: &dyn QueryBackend,
    selections: Vec<Selection>,
    external: &Labels,
    samples_max: usize,
) -> Result<Vec<u8>, ReadError> {
    let mut response = Blocks::default();
    for selection in selections {
        let result = result(backend, selection, external, samples_max).await?;
        let mut head = Message::default();
        head.varint(1 << 3 | 2);
        head.varint(result.content_bytes());
        response.write(head.as_bytes())?;
        response.append(result)?;
    }
    Ok(response.finish()?)
}

/// A `QueryResult` for one query.
async fn result(
    backend: &dyn QueryBackend,
    selection: Selection,
    external: &Labels,
    samples_max: usize,
) -> Result<Blocks, ReadError> {
    let mut result = Blocks::default();
    let mut message = Message::default();
    let Some(selector) = selection.selector else {
        return Ok(result);
    };
    if selection.only_series {
        let query = LabelQuery {
            matchers: vec![selector.matchers],
            start_ms: selector.min_ms,
            end_ms: selector.max_ms,
            limit: None,
        };
        for labels in backend.series(&query).await?.0 {
            message.clear();
            message.message(1, |series| write_labels(series, &labels, external));
            result.write(message.as_bytes())?;
        }
        return Ok(result);
    }
    let mut all = backend.raw(selector);
    let mut count = 0;
    while let Some(series) = all.next().await {
        let series = series?;
        count += series.samples.timestamps.len();
        if samples_max > 0 && count > samples_max {
            return Err(ReadError::TooManySamples(samples_max));
        }
        message.clear();
        message.message(1, |out| {
            write_labels(out, &series.labels, external);
            write_samples(out, &series.samples);
        });
        result.write(message.as_bytes())?;
    }
    Ok(result)
}

/// The field `labels` of a `TimeSeries` and of a `ChunkedSeries`.
pub(super) fn write_labels(series: &mut Message, labels: &Labels, external: &Labels) {
    for (name, value) in merged(labels, external) {
        series.message(1, |label| write_label(label, name, value));
    }
}

/// A `Label`.
pub(super) fn write_label(label: &mut Message, name: &str, value: &str) {
    label.string(1, name);
    label.string(2, value);
}

fn write_samples(series: &mut Message, samples: &RawSamples) {
    for (time_ms, value) in floats(samples) {
        series.message(2, |sample| {
            sample.double(1, value);
            sample.int64(2, time_ms);
        });
    }
    if samples.histograms.is_empty() {
        return;
    }
    for (time_ms, value) in with_stale_histograms(samples) {
        if let SampleValue::Histogram(histogram) = value {
            series.message(4, |out| write_histogram(out, time_ms, 0, &histogram));
        }
    }
}

fn floats(samples: &RawSamples) -> impl Iterator<Item = (i64, f64)> {
    with_stale_histograms(samples).filter_map(|(time_ms, value)| Some((time_ms, value.float()?)))
}

/// The samples, with stale markers that end a row of histograms as histograms: so Prometheus stores them.
pub(super) fn with_stale_histograms(
    samples: &RawSamples,
) -> impl Iterator<Item = (i64, SampleValue)> {
    let mut behind_histogram = false;
    samples.iter().map(move |(time_ms, value)| {
        let value = match value {
            SampleValue::Float(value) if behind_histogram && is_stale_nan(value) => {
                let stale = FloatHistogram {
                    sum: value,
                    ..FloatHistogram::default()
                };
                SampleValue::Histogram(stale.into())
            }
            value => value,
        };
        behind_histogram = matches!(value, SampleValue::Histogram(_));
        (time_ms, value)
    })
}
