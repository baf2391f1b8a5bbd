//! What the API answered.

use std::collections::BTreeMap;
use std::fmt;

use serde::Deserialize;
use serde_json::Value;

use super::endpoint::Reply;
use crate::failure::Failure;

/// A label set, names ascending.
pub(super) type Metric = BTreeMap<String, String>;

/// A time in seconds since the epoch, and a value as Prometheus writes it: a number, or a native histogram with its populated buckets.
pub(super) type Point = (f64, String);

/// The data of an answer.
#[derive(Debug, PartialEq)]
pub(super) enum Data {
    /// A number or a text.
    Single(Point),
    /// One sample per series.
    Vector(Vec<(Metric, Point)>),
    /// Samples over time per series.
    Matrix(Vec<(Metric, Vec<Point>)>),
    /// Label sets.
    Series(Vec<Metric>),
    /// Names or values.
    List(Vec<String>),
    /// Plans, by name.
    Plans(Vec<(String, String)>),
}

impl Data {
    pub(super) fn is_empty(&self) -> bool {
        match self {
            Self::Single(_) => false,
            Self::Vector(samples) => samples.is_empty(),
            Self::Matrix(series) => series.is_empty(),
            Self::Series(series) => series.is_empty(),
            Self::List(texts) => texts.is_empty(),
            Self::Plans(plans) => plans.is_empty(),
        }
    }
}

/// A successful answer.
#[derive(Debug, PartialEq)]
pub(super) struct Answer {
    pub(super) data: Data,
    warnings: Vec<String>,
    infos: Vec<String>,
}

impl Answer {
    /// Warnings and infos, for standard error.
    pub(super) fn notes(&self) -> impl Iterator<Item = &str> {
        self.warnings.iter().chain(&self.infos).map(String::as_str)
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Envelope {
    status: String,
    #[serde(default)]
    data: Value,
    #[serde(default)]
    error_type: String,
    #[serde(default)]
    error: String,
    #[serde(default)]
    warnings: Vec<String>,
    #[serde(default)]
    infos: Vec<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct QueryData {
    result_type: String,
    result: Value,
}

#[derive(Deserialize)]
struct VectorSample {
    metric: Metric,
    /// Missing where the sample is a native histogram.
    value: Option<Point>,
    histogram: Option<(f64, Histogram)>,
}

#[derive(Deserialize)]
struct MatrixSeries {
    metric: Metric,
    #[serde(default)]
    values: Vec<Point>,
    #[serde(default)]
    histograms: Vec<(f64, Histogram)>,
}

#[derive(Deserialize)]
struct Histogram {
    count: String,
    sum: String,
    /// Which bounds belong to the bucket, the bounds, and the count.
    #[serde(default)]
    buckets: Vec<(u8, String, String, String)>,
}

/// `{count:3, sum:4.5, (1,2]:3}`
impl fmt::Display for Histogram {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{{count:{}, sum:{}", self.count, self.sum)?;
        for (bounds, lower, upper, count) in &self.buckets {
            let open = if matches!(bounds, 1 | 3) { '[' } else { '(' };
            let close = if matches!(bounds, 0 | 3) { ']' } else { ')' };
            write!(f, ", {open}{lower},{upper}{close}:{count}")?;
        }
        f.write_str("}")
    }
}

fn point((time, histogram): (f64, Histogram)) -> Point {
    (time, histogram.to_string())
}

impl MatrixSeries {
    /// Samples of both kinds in the order of time.
    fn points(self) -> (Metric, Vec<Point>) {
        let mut points = self.values;
        if !self.histograms.is_empty() {
            points.extend(self.histograms.into_iter().map(point));
            points.sort_by(|a, b| a.0.total_cmp(&b.0));
        }
        (self.metric, points)
    }
}

/// Reads an answer; one that reports an error becomes that error.
pub(super) fn read(reply: &Reply) -> Result<Answer, Failure> {
    let foreign = |reason: &dyn std::fmt::Display| {
        let start = reply.body.chars().take(200).collect::<String>();
        Failure::error(format!(
            "{} answered {} with something that is not Prometheus's API ({reason}): {start}",
            reply.from, reply.status
        ))
    };
    let envelope: Envelope = serde_json::from_str(&reply.body).map_err(|e| foreign(&e))?;
    if envelope.status != "success" {
        let Envelope {
            error_type, error, ..
        } = envelope;
        return Err(Failure::error(format!("{error_type}: {error}")));
    }
    Ok(Answer {
        data: data(envelope.data).map_err(|e| foreign(&e))?,
        warnings: envelope.warnings,
        infos: envelope.infos,
    })
}

fn data(value: Value) -> Result<Data, serde_json::Error> {
    match value {
        Value::Array(items) if items.iter().all(Value::is_object) && !items.is_empty() => {
            serde_json::from_value(Value::Array(items)).map(Data::Series)
        }
        Value::Array(items) => serde_json::from_value(Value::Array(items)).map(Data::List),
        Value::Object(members) if members.contains_key("logical") => {
            let plans: BTreeMap<String, String> = serde_json::from_value(Value::Object(members))?;
            Ok(Data::Plans(plans.into_iter().collect()))
        }
        other => query_data(serde_json::from_value(other)?),
    }
}

fn query_data(data: QueryData) -> Result<Data, serde_json::Error> {
    Ok(match data.result_type.as_str() {
        "vector" => {
            let samples: Vec<VectorSample> = serde_json::from_value(data.result)?;
            let sample = |sample: VectorSample| {
                let value = sample.value.or_else(|| sample.histogram.map(point));
                Some((sample.metric, value?))
            };
            Data::Vector(samples.into_iter().filter_map(sample).collect())
        }
        "matrix" => {
            let series: Vec<MatrixSeries> = serde_json::from_value(data.result)?;
            Data::Matrix(series.into_iter().map(MatrixSeries::points).collect())
        }
        _ => Data::Single(serde_json::from_value(data.result)?),
    })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn reply(body: &str) -> Reply {
        Reply {
            from: "http://x".to_owned(),
            status: 200,
            body: body.to_owned(),
            headers: Vec::new(),
        }
    }

    #[test]
    fn every_type_of_answer_is_read() {
        let metric = Metric::from([("job".to_owned(), "a".to_owned())]);
        for (body, data) in [
            (
                r#"{"resultType":"vector","result":[{"metric":{"job":"a"},"value":[1.5,"2"]}]}"#,
                Data::Vector(vec![(metric.clone(), (1.5, "2".to_owned()))]),
            ),
            (
                r#"{"resultType":"matrix","result":[{"metric":{"job":"a"},"values":[[1,"2"]]}]}"#,
                Data::Matrix(vec![(metric.clone(), vec![(1.0, "2".to_owned())])]),
            ),
            (
                r#"{"resultType":"vector","result":[{"metric":{},"histogram":[1,{"count":"3","sum":"4.5","buckets":[[0,"1","2","1"],[3,"-1","1","2"]]}]}]}"#,
                Data::Vector(vec![(
                    Metric::new(),
                    (1.0, "{count:3, sum:4.5, (1,2]:1, [-1,1]:2}".to_owned()),
                )]),
            ),
            (
                r#"{"resultType":"matrix","result":[{"metric":{},"values":[[1,"2"],[3,"4"]],"histograms":[[2,{"count":"0","sum":"0"}]]}]}"#,
                Data::Matrix(vec![(
                    Metric::new(),
                    vec![
                        (1.0, "2".to_owned()),
                        (2.0, "{count:0, sum:0}".to_owned()),
                        (3.0, "4".to_owned()),
                    ],
                )]),
            ),
            (
                r#"{"resultType":"scalar","result":[1,"2"]}"#,
                Data::Single((1.0, "2".to_owned())),
            ),
            (
                r#"["a","b"]"#,
                Data::List(vec!["a".to_owned(), "b".to_owned()]),
            ),
            (r#"[{"job":"a"}]"#, Data::Series(vec![metric])),
            ("[]", Data::List(vec![])),
        ] {
            let body = format!(r#"{{"status":"success","data":{body},"warnings":["w"]}}"#);
            let answer = read(&reply(&body)).unwrap();
            assert_eq!(answer.data, data);
            assert_eq!(answer.notes().collect::<Vec<_>>(), ["w"]);
        }
    }

    #[test]
    fn errors_keep_the_servers_words() {
        let error = r#"{"status":"error","errorType":"bad_data","error":"no"}"#;
        assert!(format!("{:?}", read(&reply(error)).unwrap_err()).contains("bad_data: no"));
        let page = format!("{:?}", read(&reply("<html>")).unwrap_err());
        assert!(page.contains("not Prometheus's API"), "{page}");
    }
}
