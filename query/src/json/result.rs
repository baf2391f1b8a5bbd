//! Query results, as a stream of chunks of JSON.
//!
//! [`ResultChunks`] walks the result and hands out the text in pieces of about [`CHUNK_BYTES`]; a series is dropped as
//! soon as it is written. What comes before and after the value (envelope, stats, warnings) is given by the caller.

use std::sync::Arc;
use std::vec::IntoIter;

use bytes::Bytes;
use varve_storage::{FloatHistogram, Labels, SampleValue};

use super::number::{push_decimal, push_float_seconds, push_sample_value, push_timestamp};
use super::text::push_labels;
use crate::{MatrixSeries, QueryValue, VectorSample};

/// The size from which a chunk is handed out: large enough for one system call each, small beside a result.
pub const CHUNK_BYTES: usize = 64 << 10;

/// The name of a value's type in the API.
pub fn result_type(value: &QueryValue) -> &'static str {
    match value {
        QueryValue::Scalar { .. } => "scalar",
        QueryValue::String { .. } => "string",
        QueryValue::Vector(_) => "vector",
        QueryValue::Matrix(_) => "matrix",
    }
}

fn push_point(out: &mut Vec<u8>, time_ms: i64, value: f64) {
    out.push(b'[');
    push_timestamp(out, time_ms);
    out.extend_from_slice(b",\"");
    push_sample_value(out, value);
    out.extend_from_slice(b"\"]");
}

fn push_quoted(out: &mut Vec<u8>, value: f64) {
    out.push(b'"');
    push_sample_value(out, value);
    out.push(b'"');
}

/// `[time,{"count":"3","sum":"4","buckets":[[0,"1","2","3"]]}]`. The first number of a bucket says which of its bounds belong to it.
fn push_histogram_point(out: &mut Vec<u8>, time_ms: i64, histogram: &FloatHistogram) {
    out.push(b'[');
    push_timestamp(out, time_ms);
    out.extend_from_slice(b",{\"count\":");
    push_quoted(out, histogram.count);
    out.extend_from_slice(b",\"sum\":");
    push_quoted(out, histogram.sum);
    let mut first = true;
    for bucket in histogram.populated() {
        let before: &[u8] = match first {
            true => b",\"buckets\":[[",
            false => b",[",
        };
        out.extend_from_slice(before);
        first = false;
        out.push(b'0' + bucket.boundary_rule());
        for number in [bucket.lower, bucket.upper, bucket.count] {
            out.push(b',');
            push_quoted(out, number);
        }
        out.push(b']');
    }
    if !first {
        out.push(b']');
    }
    out.extend_from_slice(b"}]");
}

fn push_vector_sample(out: &mut Vec<u8>, sample: &VectorSample) {
    out.extend_from_slice(b"{\"metric\":");
    push_labels(out, &sample.labels);
    match &sample.value {
        SampleValue::Float(value) => {
            out.extend_from_slice(b",\"value\":");
            push_point(out, sample.time_ms, *value);
        }
        SampleValue::Histogram(histogram) => {
            out.extend_from_slice(b",\"histogram\":");
            push_histogram_point(out, sample.time_ms, histogram);
        }
    }
    out.push(b'}');
}

type Histograms = IntoIter<(i64, Arc<FloatHistogram>)>;

/// What is left to write of a value.
#[derive(Debug)]
enum Rest {
    Vector(IntoIter<VectorSample>),
    Matrix(IntoIter<MatrixSeries>),
    /// Inside a series: its remaining floats and histograms, then the other series.
    Points(IntoIter<(i64, f64)>, Histograms, IntoIter<MatrixSeries>),
    /// Inside the histograms of a series.
    Histograms(Histograms, IntoIter<MatrixSeries>),
    Tail,
    Done,
}

/// The body of a response with a query result.
#[derive(Debug)]
pub struct ResultChunks {
    chunk: Vec<u8>,
    rest: Rest,
    tail: Vec<u8>,
    first: bool,
}

impl ResultChunks {
    /// Chunks of `head`, the value, and `tail`.
    pub fn new(mut head: Vec<u8>, value: QueryValue, tail: Vec<u8>) -> Self {
        let rest = match value {
            QueryValue::Scalar { time_ms, value } => {
                head.push(b'[');
                push_float_seconds(&mut head, time_ms);
                head.extend_from_slice(b",\"");
                push_decimal(&mut head, value);
                head.extend_from_slice(b"\"]");
                Rest::Tail
            }
            QueryValue::String { time_ms, value } => {
                head.push(b'[');
                push_float_seconds(&mut head, time_ms);
                head.push(b',');
                // A string always serializes.
                let _ = super::push_json(&mut head, &value);
                head.push(b']');
                Rest::Tail
            }
            QueryValue::Vector(samples) => {
                head.push(b'[');
                Rest::Vector(samples.into_iter())
            }
            QueryValue::Matrix(series) => {
                head.push(b'[');
                Rest::Matrix(series.into_iter())
            }
        };
        Self {
            chunk: head,
            rest,
            tail,
            first: true,
        }
    }

    fn separate(&mut self) {
        if !std::mem::take(&mut self.first) {
            self.chunk.push(b',');
        }
    }

    fn start_series(&mut self, labels: &Labels) {
        self.separate();
        self.chunk.extend_from_slice(b"{\"metric\":");
        push_labels(&mut self.chunk, labels);
    }

    /// Begins the list of histograms of a series, or ends the series if it has none.
    fn start_histograms(&mut self, points: Histograms, series: IntoIter<MatrixSeries>) -> Rest {
        if points.len() == 0 {
            return self.end_series(series);
        }
        self.chunk.extend_from_slice(b",\"histograms\":[");
        self.first = true;
        Rest::Histograms(points, series)
    }

    fn end_series(&mut self, series: IntoIter<MatrixSeries>) -> Rest {
        self.chunk.push(b'}');
        self.first = false;
        Rest::Matrix(series)
    }

    /// Writes one piece: a sample, a series' start, points up to a full chunk, or the tail.
    fn step(&mut self) {
        self.rest = match std::mem::replace(&mut self.rest, Rest::Done) {
            Rest::Vector(mut samples) => match samples.next() {
                Some(sample) => {
                    self.separate();
                    push_vector_sample(&mut self.chunk, &sample);
                    Rest::Vector(samples)
                }
                None => self.end_list(),
            },
            Rest::Matrix(mut series) => match series.next() {
                Some(one) => {
                    self.start_series(&one.labels);
                    let histograms = one.histograms.into_iter();
                    if one.samples.is_empty() {
                        self.start_histograms(histograms, series)
                    } else {
                        self.chunk.extend_from_slice(b",\"values\":[");
                        self.first = true;
                        Rest::Points(one.samples.into_iter(), histograms, series)
                    }
                }
                None => self.end_list(),
            },
            Rest::Points(mut points, histograms, series) => {
                while self.chunk.len() < CHUNK_BYTES {
                    let Some((time_ms, value)) = points.next() else {
                        self.chunk.push(b']');
                        self.rest = self.start_histograms(histograms, series);
                        return;
                    };
                    self.separate();
                    push_point(&mut self.chunk, time_ms, value);
                }
                Rest::Points(points, histograms, series)
            }
            Rest::Histograms(mut points, series) => {
                while self.chunk.len() < CHUNK_BYTES {
                    let Some((time_ms, histogram)) = points.next() else {
                        self.chunk.push(b']');
                        self.rest = self.end_series(series);
                        return;
                    };
                    self.separate();
                    push_histogram_point(&mut self.chunk, time_ms, &histogram);
                }
                Rest::Histograms(points, series)
            }
            Rest::Tail => {
                self.chunk.append(&mut self.tail);
                Rest::Done
            }
            Rest::Done => Rest::Done,
        };
    }

    fn end_list(&mut self) -> Rest {
        self.chunk.push(b']');
        Rest::Tail
    }
}

impl Iterator for ResultChunks {
    type Item = Bytes;

    fn next(&mut self) -> Option<Bytes> {
        while self.chunk.len() < CHUNK_BYTES && !matches!(self.rest, Rest::Done) {
            self.step();
        }
        if self.chunk.is_empty() {
            return None;
        }
        Some(Bytes::from(std::mem::take(&mut self.chunk)))
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use varve_storage::histogram::Span;

    use super::*;

    fn written(value: QueryValue) -> String {
        let chunks = ResultChunks::new(b"<".to_vec(), value, b">".to_vec());
        String::from_utf8(chunks.flatten().collect()).unwrap()
    }

    fn up(job: &str) -> Labels {
        Labels::from_pairs([("__name__", "up"), ("job", job)])
    }

    #[test]
    fn every_type_is_written_as_prometheus_writes_it() {
        let time_ms = 1_435_781_451_780;
        for (value, expected) in [
            (
                QueryValue::Scalar {
                    time_ms,
                    value: 1e21,
                },
                r#"<[1435781451.78,"1000000000000000000000"]>"#,
            ),
            (
                QueryValue::String {
                    time_ms,
                    value: "a<b".to_owned(),
                },
                r#"<[1435781451.78,"a\u003cb"]>"#,
            ),
            (QueryValue::Vector(vec![]), "<[]>"),
            (QueryValue::Matrix(vec![]), "<[]>"),
            (
                QueryValue::Vector(vec![
                    VectorSample {
                        labels: up("a"),
                        time_ms,
                        value: SampleValue::Float(f64::NAN),
                    },
                    VectorSample {
                        labels: Labels::empty(),
                        time_ms,
                        value: SampleValue::Float(0.5),
                    },
                ]),
                r#"<[{"metric":{"__name__":"up","job":"a"},"value":[1435781451.780,"NaN"]},{"metric":{},"value":[1435781451.780,"0.5"]}]>"#,
            ),
            (
                QueryValue::Matrix(vec![
                    MatrixSeries::of_floats(up("a"), vec![(1000, 1.0), (2500, f64::INFINITY)]),
                    MatrixSeries::of_floats(up("b"), vec![(0, 1e-7)]),
                ]),
                r#"<[{"metric":{"__name__":"up","job":"a"},"values":[[1,"1"],[2.500,"+Inf"]]},{"metric":{"__name__":"up","job":"b"},"values":[[0,"1e-07"]]}]>"#,
            ),
        ] {
            assert_eq!(written(value), expected);
        }
    }

    #[test]
    fn histograms_are_written_with_their_populated_buckets() {
        let histogram = Arc::new(FloatHistogram {
            zero_threshold: 0.5,
            zero_count: 2.0,
            count: 5.0,
            sum: f64::NAN,
            positive_spans: vec![Span {
                offset: 1,
                length: 2,
            }],
            positive_buckets: vec![0.0, 3.0],
            ..FloatHistogram::default()
        });
        let text = r#"{"count":"5","sum":"NaN","buckets":[[3,"-0.5","0.5","2"],[0,"2","4","3"]]}"#;
        let vector = vec![VectorSample {
            labels: up("a"),
            time_ms: 1_500,
            value: SampleValue::Histogram(Arc::clone(&histogram)),
        }];
        assert_eq!(
            written(QueryValue::Vector(vector)),
            format!(r#"<[{{"metric":{{"__name__":"up","job":"a"}},"histogram":[1.500,{text}]}}]>"#)
        );
        let mut both = MatrixSeries::of_floats(Labels::empty(), vec![(1_000, 1.0)]);
        both.push(2_000, SampleValue::Histogram(Arc::clone(&histogram)));
        let mut alone = MatrixSeries::new(up("b"));
        let empty = Arc::new(FloatHistogram::default());
        alone.push(1_000, SampleValue::Histogram(histogram));
        alone.push(2_000, SampleValue::Histogram(empty));
        assert_eq!(
            written(QueryValue::Matrix(vec![both, alone])),
            format!(
                r#"<[{{"metric":{{}},"values":[[1,"1"]],"histograms":[[2,{text}]]}},{{"metric":{{"__name__":"up","job":"b"}},"histograms":[[1,{text}],[2,{{"count":"0","sum":"0"}}]]}}]>"#
            )
        );
    }

    #[test]
    fn a_large_matrix_comes_in_chunks_of_bounded_size() {
        let series = (0..3)
            .map(|i| {
                MatrixSeries::of_floats(
                    up(&i.to_string()),
                    (0..11_000).map(|t| (t * 15_000, t as f64)).collect(),
                )
            })
            .collect::<Vec<_>>();
        let chunks = ResultChunks::new(Vec::new(), QueryValue::Matrix(series), Vec::new())
            .collect::<Vec<_>>();
        assert!(chunks.len() >= 8);
        assert!(chunks.iter().all(|chunk| chunk.len() < CHUNK_BYTES + 1024));
        let parsed: serde_json::Value = serde_json::from_slice(&chunks.concat()).unwrap();
        assert_eq!(parsed[2]["values"].as_array().unwrap().len(), 11_000);
        assert_eq!(parsed[2]["values"][10_999][1], "10999");
    }
}
