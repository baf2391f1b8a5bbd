//! A client of the Prometheus HTTP API, and the comparison of what two servers answer.

use std::fmt::Write as _;

use serde_json::Value;

/// A server with Prometheus's API.
#[derive(Clone, Debug)]
pub struct ApiClient {
    base_url: String,
    client: reqwest::Client,
}

/// The times of a range query, in milliseconds.
#[derive(Clone, Copy, Debug)]
pub struct Grid {
    /// The first step.
    pub start_ms: i64,
    /// No step is later.
    pub end_ms: i64,
    /// Between two steps.
    pub step_ms: i64,
}

fn seconds(ms: i64) -> String {
    format!("{}.{:03}", ms.div_euclid(1_000), ms.rem_euclid(1_000))
}

impl ApiClient {
    /// A client of a server.
    pub fn new(base_url: impl Into<String>) -> Self {
        Self {
            base_url: base_url.into(),
            client: reqwest::Client::new(),
        }
    }

    /// The server's URL.
    pub fn base_url(&self) -> &str {
        &self.base_url
    }

    /// Any GET of the API: the whole answer.
    ///
    /// # Errors
    /// Where there is no JSON.
    pub async fn get(&self, path: &str, parameters: &[(&str, &str)]) -> Result<Value, String> {
        let url = format!("{}{path}", self.base_url);
        let request = self.client.get(&url).query(parameters);
        let answer = request.send().await.map_err(|e| format!("{url}: {e}"))?;
        let text = answer.text().await.map_err(|e| format!("{url}: {e}"))?;
        serde_json::from_str(&text).map_err(|e| format!("{url}: {e}: {text}"))
    }

    /// An instant query's answer.
    ///
    /// # Errors
    /// As [`ApiClient::get`].
    pub async fn instant(&self, query: &str, time_ms: i64) -> Result<Answer, String> {
        let parameters = [("query", query), ("time", &seconds(time_ms))];
        let answer = self.get("/api/v1/query", &parameters).await?;
        Ok(Answer::new(&answer))
    }

    /// A range query's answer.
    ///
    /// # Errors
    /// As [`ApiClient::get`].
    pub async fn range(&self, query: &str, grid: Grid) -> Result<Answer, String> {
        let parameters = [
            ("query", query),
            ("start", &seconds(grid.start_ms)),
            ("end", &seconds(grid.end_ms)),
            ("step", &seconds(grid.step_ms)),
        ];
        let answer = self.get("/api/v1/query_range", &parameters).await?;
        Ok(Answer::new(&answer))
    }

    /// The value of an instant query with one sample, or a scalar.
    ///
    /// # Errors
    /// Where there is another number of samples.
    pub async fn number(&self, query: &str, time_ms: i64) -> Result<f64, String> {
        let answer = self.instant(query, time_ms).await?;
        match &answer.series[..] {
            [(_, samples)] if samples.len() == 1 => samples[0].value(),
            _ => Err(format!("{query}: not one sample: {answer:?}")),
        }
    }
}

/// A sample as the API writes it: the number's text has all of its bits.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sample {
    /// The time in seconds, as written.
    pub time: String,
    /// The value, as written; the JSON of a histogram.
    pub text: String,
}

impl Sample {
    fn new(pair: &Value) -> Self {
        Self {
            time: pair[0].to_string(),
            text: match pair[1].as_str() {
                Some(text) => text.to_owned(),
                None => pair[1].to_string(),
            },
        }
    }

    /// The value as a number.
    ///
    /// # Errors
    /// Where it is a text.
    pub fn value(&self) -> Result<f64, String> {
        self.text.parse().map_err(|_| format!("{:?}", self.text))
    }
}

/// What a query gave, in a form that compares.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer {
    /// The type of the value, or `error: <type>: <message>`.
    pub kind: String,
    /// Labels (in their order by name) and samples, in the order of the answer.
    pub series: Vec<(String, Vec<Sample>)>,
    /// Warnings and infos, sorted.
    pub notes: Vec<String>,
}

/// The warnings and infos of an answer.
fn notes(answer: &Value) -> Vec<String> {
    let lists = ["warnings", "infos"].map(|name| answer[name].as_array());
    let texts = lists.into_iter().flatten().flatten();
    let mut notes: Vec<String> = texts.filter_map(Value::as_str).map(str::to_owned).collect();
    notes.sort();
    notes
}

impl Answer {
    fn new(answer: &Value) -> Self {
        if answer["status"] != "success" {
            let text = |name: &str| answer[name].as_str().unwrap_or_default().to_owned();
            return Self {
                kind: format!("error: {}: {}", text("errorType"), text("error")),
                series: Vec::new(),
                notes: notes(answer),
            };
        }
        let kind = answer["data"]["resultType"].as_str().unwrap_or_default();
        let result = &answer["data"]["result"];
        let series = match kind {
            "scalar" | "string" => vec![(String::new(), vec![Sample::new(result)])],
            _ => {
                let all = result.as_array().map(Vec::as_slice).unwrap_or_default();
                all.iter().map(one_series).collect()
            }
        };
        Self {
            kind: kind.to_owned(),
            series,
            notes: notes(answer),
        }
    }

    /// Whether the query failed.
    pub fn is_error(&self) -> bool {
        self.kind.starts_with("error")
    }

    /// The number of samples.
    pub fn samples(&self) -> usize {
        self.series.iter().map(|(_, samples)| samples.len()).sum()
    }

    /// The same series ordered by labels: the order of an instant vector means nothing unless the query sorts.
    pub fn sorted(mut self) -> Self {
        self.series.sort_by(|a, b| a.0.cmp(&b.0));
        self
    }

    /// What differs from another answer, `None` if nothing does. Values may differ by a relative tolerance; with 0 every bit
    /// counts.
    pub fn difference(&self, other: &Self, tolerance: f64) -> Option<String> {
        // Of errors only the fact and the type are compared: wording changed between versions.
        let kind = |answer: &Self| answer.kind.splitn(3, ": ").take(2).collect::<String>();
        if kind(self) != kind(other) {
            return Some(format!("type {:?} against {:?}", self.kind, other.kind));
        }
        let labels = |answer: &Self| -> Vec<String> {
            answer.series.iter().map(|(l, _)| l.clone()).collect()
        };
        if labels(self) != labels(other) {
            return Some(format!(
                "series {:?} against {:?}",
                labels(self),
                labels(other)
            ));
        }
        for ((labels, ours), (_, theirs)) in self.series.iter().zip(&other.series) {
            if ours.len() != theirs.len() {
                let times = |samples: &[Sample]| {
                    let mut text = format!("{} samples:", samples.len());
                    let pairs = ours.iter().zip(theirs);
                    let same = pairs.take_while(|(a, b)| a.time == b.time).count();
                    for sample in samples.iter().skip(same).take(5) {
                        let _ = write!(text, " {}@{}", sample.text, sample.time);
                    }
                    text
                };
                return Some(format!(
                    "{labels}: {} against {}",
                    times(ours),
                    times(theirs)
                ));
            }
            let pairs = ours.iter().zip(theirs);
            let unequal = pairs.into_iter().find(|(a, b)| !equal(a, b, tolerance));
            if let Some((a, b)) = unequal {
                return Some(format!(
                    "{labels}: {} at {} against {} at {}",
                    a.text, a.time, b.text, b.time
                ));
            }
        }
        None
    }
}

fn one_series(series: &Value) -> (String, Vec<Sample>) {
    let mut labels: Vec<_> = series["metric"].as_object().map_or_else(Vec::new, |map| {
        map.iter().map(|(n, v)| format!("{n}={v}")).collect()
    });
    labels.sort();
    let mut samples = Vec::new();
    for name in ["values", "histograms"] {
        let list = series[name].as_array();
        samples.extend(list.into_iter().flatten().map(Sample::new));
    }
    for name in ["value", "histogram"] {
        samples.extend(series.get(name).map(Sample::new));
    }
    (labels.join(","), samples)
}

fn equal(a: &Sample, b: &Sample, tolerance: f64) -> bool {
    if a.time != b.time {
        return false;
    }
    if a.text == b.text {
        return true;
    }
    match (a.value(), b.value()) {
        (Ok(a), Ok(b)) => near(a, b, tolerance),
        _ => match (serde_json::from_str(&a.text), serde_json::from_str(&b.text)) {
            (Ok(a), Ok(b)) if tolerance > 0.0 => alike(&a, &b, tolerance),
            _ => false,
        },
    }
}

fn near(a: f64, b: f64, tolerance: f64) -> bool {
    (a - b).abs() <= tolerance * a.abs().max(b.abs())
}

/// Whether two histograms have the same form, and numbers that are near.
fn alike(a: &Value, b: &Value, tolerance: f64) -> bool {
    match (a, b) {
        (Value::Array(a), Value::Array(b)) => {
            a.len() == b.len() && a.iter().zip(b).all(|(a, b)| alike(a, b, tolerance))
        }
        (Value::Object(a), Value::Object(b)) => {
            let both = |name| match (a.get(name), b.get(name)) {
                (Some(a), Some(b)) => alike(a, b, tolerance),
                (a, b) => a.is_none() && b.is_none(),
            };
            ["count", "sum", "buckets"].into_iter().all(both)
        }
        (Value::String(text), Value::String(other)) if text != other => {
            let numbers = (text.parse(), other.parse());
            matches!(numbers, (Ok(a), Ok(b)) if near(a, b, tolerance))
        }
        (a, b) => a == b,
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    fn answer(text: &str) -> Answer {
        Answer::new(&serde_json::from_str(text).unwrap())
    }

    fn vector(value: &str, time: &str) -> Answer {
        answer(&format!(
            r#"{{"status":"success","data":{{"resultType":"vector","result":[{{"metric":{{"b":"1","a":"2"}},"value":[{time},"{value}"]}}]}}}}"#
        ))
    }

    #[test]
    fn histograms_compare_as_texts_or_nearly() {
        let histogram = |sum: &str| {
            answer(&format!(
                r#"{{"status":"success","data":{{"resultType":"matrix","result":[{{"metric":{{}},"values":[[1,"2"]],"histograms":[[3,{{"count":"1","sum":"{sum}","buckets":[[0,"0.5","1","1"]]}}]]}}]}}}}"#
            ))
        };
        let one = histogram("1");
        assert_eq!(one.samples(), 2);
        assert_eq!(one.difference(&histogram("1"), 0.0), None);
        let near = histogram("1.0000000000000002");
        assert!(one.difference(&near, 0.0).is_some());
        assert_eq!(one.difference(&near, 1e-12), None);
        assert!(one.difference(&histogram("NaN"), 1e-12).is_some());
    }

    #[test]
    fn a_bit_makes_a_difference_unless_it_is_allowed() {
        let one = vector("1", "5.5");
        assert_eq!(one.difference(&vector("1", "5.5"), 0.0), None);
        let near = vector("1.0000000000000002", "5.5");
        assert!(one.difference(&near, 0.0).is_some());
        assert_eq!(one.difference(&near, 1e-12), None);
        assert!(one.difference(&vector("NaN", "5.5"), 1.0).is_some());
        assert!(one.difference(&vector("1", "6"), 1.0).is_some());
        let empty = r#"{"status":"success","data":{"resultType":"vector","result":[]}}"#;
        assert!(one.difference(&answer(empty), 1.0).is_some());
        let error = r#"{"status":"error","errorType":"bad_data","error":"no: such"}"#;
        let other = r#"{"status":"error","errorType":"bad_data","error":"other: words"}"#;
        assert_eq!(answer(error).difference(&answer(other), 0.0), None);
    }
}
