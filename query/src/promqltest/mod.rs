//! Prometheus's test scripts for PromQL: `load` samples, `eval` queries, compare.
//!
//! The language is the one that Prometheus describes in `promql/promqltest/README.md`; its own test files run
//! unchanged. Each `eval` is one case, which passes, fails, or needs something that Varve does not have yet.
//!
//! Flow: [`script`] reads the commands, [`series`] the notation of samples; [`load`] has what was loaded; [`run`] executes, and
//! [`compare`] tells differences.

mod at;
mod compare;
mod load;
pub mod run;
pub mod script;
pub mod series;

pub use load::{Loaded, LoadedSample};
pub use run::{CaseResult, Outcome, ScriptResult, run_script, run_script_on};
