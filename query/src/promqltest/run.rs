//! Executes scripts and compares results.

use std::collections::BTreeMap;
use std::sync::Arc;

use varve_storage::{Labels, LabelsBuilder, METRIC_NAME};

use super::script::{Action, Eval, Pattern, parse};
use super::series::{Item, SeriesLine};
use crate::memory::MemoryArchive;
use crate::result::{QueryOptions, QueryResult, QueryValue};
use crate::{Archive, Engine, EngineOptions, Error};

/// The step in milliseconds of range queries that instant queries are run as.
const STEP_MS: i64 = 60_000;

/// Relative difference up to which two floats count as equal.
const EPSILON: f64 = 0.000001;

/// What became of one `eval`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// It gave what was expected.
    Passed,
    /// It did not, and why.
    Failed(String),
    /// It needs something that is not there yet.
    NotSupported(String),
}

/// One `eval` of a script.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CaseResult {
    /// The line, counted from 1.
    pub line: usize,
    /// The query.
    pub query: String,
    /// What became of it.
    pub outcome: Outcome,
}

/// A script that was run.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ScriptResult {
    /// Every `eval`, in order.
    pub cases: Vec<CaseResult>,
}

impl ScriptResult {
    /// How many passed, failed, and were not supported.
    pub fn counts(&self) -> (usize, usize, usize) {
        let count = |f: fn(&Outcome) -> bool| self.cases.iter().filter(|c| f(&c.outcome)).count();
        (
            count(|o| matches!(o, Outcome::Passed)),
            count(|o| matches!(o, Outcome::Failed(_))),
            count(|o| matches!(o, Outcome::NotSupported(_))),
        )
    }
}

/// Runs a script on archives in memory. The error says which line cannot be read.
pub async fn run_script(text: &str, options: EngineOptions) -> Result<ScriptResult, String> {
    let open = async |loaded: &Loaded| -> Result<Arc<dyn Archive>, String> {
        let archive: Arc<dyn Archive> = Arc::new(loaded.archive());
        Ok(archive)
    };
    run_script_on(text, options, open).await
}

/// Runs a script on archives that `open` makes of what was loaded so far.
pub async fn run_script_on(
    text: &str,
    options: EngineOptions,
    open: impl AsyncFn(&Loaded) -> Result<Arc<dyn Archive>, String>,
) -> Result<ScriptResult, String> {
    let mut loaded = Loaded::default();
    let mut archive: Option<Arc<dyn Archive>> = None;
    let mut result = ScriptResult::default();
    for command in parse(text)? {
        match command.action {
            Action::Clear => {
                loaded = Loaded::default();
                archive = None;
            }
            Action::Load {
                interval_ms,
                series,
                with_nhcb,
            } => {
                loaded.add(interval_ms, series, with_nhcb);
                archive = None;
            }
            Action::Eval(eval) => {
                let archive = match &archive {
                    Some(archive) => Arc::clone(archive),
                    None => Arc::clone(archive.insert(open(&loaded).await?)),
                };
                let engine = Engine::new(archive, options);
                let outcome = run_eval(&engine, &eval).await;
                result.cases.push(CaseResult {
                    line: command.line,
                    query: eval.query,
                    outcome,
                });
            }
        }
    }
    Ok(result)
}

/// What a script has loaded.
#[derive(Debug, Default)]
pub struct Loaded {
    /// Floats by series and time in milliseconds, stale markers included.
    pub series: BTreeMap<Labels, BTreeMap<i64, f64>>,
    /// Series with native histograms, whose samples are not read.
    pub histograms: Vec<Labels>,
}

impl Loaded {
    fn add(&mut self, interval_ms: i64, lines: Vec<SeriesLine>, with_nhcb: bool) {
        for line in lines {
            let name = line.labels.metric_name();
            if let (true, Some(base)) = (with_nhcb, name.strip_suffix("_bucket")) {
                let mut labels = LabelsBuilder::from(&line.labels);
                labels.set(METRIC_NAME, base).remove("le");
                self.histograms.push(labels.build());
            }
            let mut time_ms = 0;
            for item in line.items {
                match item {
                    Item::Float(value) => {
                        let samples = self.series.entry(line.labels.clone()).or_default();
                        samples.insert(time_ms, value);
                    }
                    Item::Histogram => self.histograms.push(line.labels.clone()),
                    Item::Omitted => {}
                }
                time_ms += interval_ms;
            }
        }
    }

    /// An archive in memory that refuses queries of native histograms.
    pub fn archive(&self) -> MemoryArchive {
        let series = self.series.iter();
        let series = series.map(|(labels, samples)| {
            let samples = samples.iter().map(|(t, v)| (*t, *v)).collect();
            (labels.clone(), samples)
        });
        MemoryArchive::new(series).with_histograms(self.histograms.iter().cloned())
    }
}

async fn run_eval(engine: &Engine, eval: &Eval) -> Outcome {
    let options = QueryOptions::default();
    let result = match eval.step_ms {
        None => engine.instant(&eval.query, eval.start_ms, &options).await,
        Some(step_ms) => {
            let (start_ms, end_ms) = (eval.start_ms, eval.end_ms);
            engine
                .range(&eval.query, start_ms, end_ms, step_ms, &options)
                .await
        }
    };
    match result {
        Err(Error::NotSupported(what)) => Outcome::NotSupported(what),
        Err(error) => {
            let message = error.to_string();
            match eval.fail.is_empty() {
                true => Outcome::Failed(format!("unexpected error: {message}")),
                false => outcome(missing("error", &eval.fail, &[message])),
            }
        }
        Ok(_) if !eval.fail.is_empty() => {
            Outcome::Failed("expected an error, but the query succeeded".to_owned())
        }
        Ok(result) => match compare(eval, &result) {
            Ok(()) if is_a_step(eval, &result) => as_a_step(engine, eval).await,
            compared => outcome(compared),
        },
    }
}

/// Whether an instant query must give the same as a step of a range query.
fn is_a_step(eval: &Eval, result: &QueryResult) -> bool {
    let has_steps = matches!(
        result.value,
        QueryValue::Vector(_) | QueryValue::Scalar { .. }
    );
    // These say something about the query's own range.
    let of_range = ["start()", "end()", "range()", "step()"];
    let asks = of_range.iter().any(|call| eval.query.contains(call));
    eval.step_ms.is_none() && has_steps && !eval.ordered && !asks
}

/// Runs an instant query as the middle step of a range query, as Prometheus does.
async fn as_a_step(engine: &Engine, eval: &Eval) -> Outcome {
    let (start_ms, end_ms) = (eval.start_ms - STEP_MS, eval.start_ms + STEP_MS);
    let options = QueryOptions::default();
    let result = engine.range(&eval.query, start_ms, end_ms, STEP_MS, &options);
    let result = match result.await {
        Err(error) => return Outcome::Failed(format!("as a range query: {error}")),
        Ok(result) => result,
    };
    let QueryValue::Matrix(matrix) = result.value else {
        return Outcome::Failed("as a range query it has no series".to_owned());
    };
    let mut got = Vec::new();
    for series in matrix {
        let sample = series.samples.iter().find(|(t, _)| *t == eval.start_ms);
        got.extend(sample.map(|sample| (series.labels.clone(), vec![*sample])));
    }
    let compared = match (eval.scalar, &got[..]) {
        (Some(expected), [(_, samples)])
            if samples.iter().all(|(_, v)| almost_equal(expected, *v)) =>
        {
            Ok(())
        }
        (Some(expected), got) => Err(format!("expected {expected}, got {got:?}")),
        (None, got) => compare_series(eval, got),
    };
    outcome(compared.map_err(|why| format!("as a range query: {why}")))
}

fn outcome(result: Result<(), String>) -> Outcome {
    match result {
        Ok(()) => Outcome::Passed,
        Err(why) => Outcome::Failed(why),
    }
}

/// Every pattern must match some message, and every message some pattern.
fn missing(kind: &str, patterns: &[Pattern], messages: &[String]) -> Result<(), String> {
    for pattern in patterns {
        if !messages.iter().any(|message| pattern.matches(message)) {
            return Err(format!("expected {kind} {pattern:?}, got {messages:?}"));
        }
    }
    for message in messages {
        if !patterns.iter().any(|pattern| pattern.matches(message)) {
            return Err(format!("unexpected {kind}: {message}"));
        }
    }
    Ok(())
}

fn compare(eval: &Eval, result: &QueryResult) -> Result<(), String> {
    if eval.no_warn && !result.warnings.is_empty() {
        return Err(format!("unexpected warnings: {:?}", result.warnings));
    }
    if eval.no_info && !result.infos.is_empty() {
        return Err(format!("unexpected infos: {:?}", result.infos));
    }
    if !eval.warn.is_empty() {
        missing("warning", &eval.warn, &result.warnings)?;
    }
    if !eval.info.is_empty() {
        missing("info", &eval.info, &result.infos)?;
    }
    match &result.value {
        QueryValue::Scalar { value, .. } => match eval.scalar {
            Some(expected) if almost_equal(expected, *value) => Ok(()),
            expected => Err(format!("expected {expected:?}, got scalar {value}")),
        },
        QueryValue::String { value, .. } => match &eval.string {
            Some(expected) if expected == value => Ok(()),
            expected => Err(format!("expected {expected:?}, got string {value:?}")),
        },
        QueryValue::Vector(samples) => {
            let got: Vec<_> = samples
                .iter()
                .map(|s| (s.labels.clone(), vec![(eval.start_ms, s.value)]))
                .collect();
            compare_series(eval, &got)
        }
        QueryValue::Matrix(series) => {
            let got: Vec<_> = series
                .iter()
                .map(|s| (s.labels.clone(), s.samples.clone()))
                .collect();
            if !got.is_sorted_by(|a, b| a.0 < b.0) {
                return Err("the matrix is not sorted".to_owned());
            }
            compare_series(eval, &got)
        }
    }
}

fn compare_series(eval: &Eval, got: &[(Labels, Vec<(i64, f64)>)]) -> Result<(), String> {
    if let Some(expected) = eval.scalar {
        return Err(format!("expected scalar {expected}, got series {got:?}"));
    }
    let (start_ms, step_ms) = match (eval.range_vector, eval.step_ms) {
        (Some((start_ms, step_ms)), _) => (start_ms, step_ms),
        (None, step_ms) => (eval.start_ms, step_ms.unwrap_or(1)),
    };
    let mut expected: BTreeMap<&Labels, Vec<(i64, f64)>> = BTreeMap::new();
    for line in &eval.series {
        let mut samples = Vec::new();
        for (i, item) in line.items.iter().enumerate() {
            match item {
                Item::Float(value) => samples.push((start_ms + step_ms * i as i64, *value)),
                Item::Histogram => return Err(format!("{} should be a histogram", line.labels)),
                Item::Omitted => {}
            }
        }
        if !samples.is_empty() {
            expected.insert(&line.labels, samples);
        }
    }
    for (labels, samples) in got {
        let Some(wanted) = expected.remove(labels) else {
            return Err(format!("unexpected series {labels} {samples:?}"));
        };
        let equal = samples.len() == wanted.len()
            && samples
                .iter()
                .zip(&wanted)
                .all(|(a, b)| a.0 == b.0 && almost_equal(b.1, a.1));
        if !equal {
            return Err(format!("{labels}: expected {wanted:?}, got {samples:?}"));
        }
    }
    if let Some((labels, samples)) = expected.first_key_value() {
        return Err(format!("series {labels} {samples:?} is missing"));
    }
    if eval.ordered {
        let wanted: Vec<&Labels> = eval.series.iter().map(|line| &line.labels).collect();
        let order: Vec<&Labels> = got.iter().map(|(labels, _)| labels).collect();
        if wanted != order {
            return Err(format!("expected the order {wanted:?}, got {order:?}"));
        }
    }
    Ok(())
}

fn almost_equal(a: f64, b: f64) -> bool {
    if a == b || (a.is_nan() && b.is_nan()) {
        return true;
    }
    let (sum, difference) = (a.abs() + b.abs(), (a - b).abs());
    if a == 0.0 || b == 0.0 || sum < f64::MIN_POSITIVE {
        return difference < EPSILON * f64::MIN_POSITIVE;
    }
    difference / sum.min(f64::MAX) < EPSILON
}
