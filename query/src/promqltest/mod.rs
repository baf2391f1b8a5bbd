//! Prometheus's test scripts for PromQL: `load` samples, `eval` queries, compare.
//!
//! The language is the one that Prometheus describes in `promql/promqltest/README.md`; its own test files run
//! unchanged. Each `eval` is one case, which passes, fails, or needs something that Varve does not have yet. Native
//! histograms can be written but not loaded: queries that select them are not supported.
//!
//! Flow: [`script`] reads the commands, [`series`] the notation of samples, [`run`] executes and compares.

pub mod run;
pub mod script;
pub mod series;

pub use run::{CaseResult, Loaded, Outcome, ScriptResult, run_script, run_script_on};
