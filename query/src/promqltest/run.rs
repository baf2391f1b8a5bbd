//! Executes scripts.

use std::sync::Arc;

use super::load::Loaded;
use super::script::{Action, Eval, parse};
use super::{at, compare};
use crate::result::{MatrixSeries, QueryOptions, QueryResult, QueryValue};
use crate::{Archive, Engine, EngineOptions, Error};

/// The step in milliseconds of range queries that instant queries are run as.
const STEP_MS: i64 = 60_000;

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
                let added = loaded.add(interval_ms, series, with_nhcb);
                added.map_err(|error| format!("line {}: {error}", command.line))?;
                archive = None;
            }
            Action::Eval(eval) => {
                let archive = match &archive {
                    Some(archive) => Arc::clone(archive),
                    None => Arc::clone(archive.insert(open(&loaded).await?)),
                };
                let engine = Engine::new(archive, options);
                let outcome = run_all(&engine, &eval).await;
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

/// Runs a query as it is and, if it is an instant query, pinned to its time by `@` at several others.
async fn run_all(engine: &Engine, eval: &Eval) -> Outcome {
    let outcome = run_eval(engine, eval).await;
    let pinned = match eval.step_ms {
        None => at::pinned(&eval.query, eval.start_ms, &engine.options().parse),
        Some(_) => None,
    };
    let (Outcome::Passed, Some((query, times_ms))) = (&outcome, pinned) else {
        return outcome;
    };
    for time_ms in times_ms {
        let again = Eval {
            query: query.clone(),
            start_ms: time_ms,
            end_ms: time_ms,
            ..eval.clone()
        };
        if let Outcome::Failed(why) = run_eval(engine, &again).await {
            return Outcome::Failed(format!("as {query} at {time_ms} ms: {why}"));
        }
    }
    outcome
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
                false => outcome(compare::missing("error", &eval.fail, &[message])),
            }
        }
        Ok(_) if !eval.fail.is_empty() => {
            Outcome::Failed("expected an error, but the query succeeded".to_owned())
        }
        Ok(result) => match compare::result(eval, &result) {
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
        if let Some(value) = series.at(eval.start_ms) {
            let mut step = MatrixSeries::new(series.labels);
            step.push(eval.start_ms, value);
            got.push(step);
        }
    }
    let compared = match eval.scalar {
        Some(expected) => compare::number(expected, &got),
        None => compare::series(eval, &got),
    };
    outcome(compared.map_err(|why| format!("as a range query: {why}")))
}

fn outcome(result: Result<(), String>) -> Outcome {
    match result {
        Ok(()) => Outcome::Passed,
        Err(why) => Outcome::Failed(why),
    }
}
