//! PromQL on DataFusion: every query becomes a logical plan over relations with **a row per series and a vector of
//! steps**, and the Prometheus HTTP API serves the results.
//!
//! Vocabulary:
//! - *grid*: the times at which an expression is evaluated ([`StepGrid`]); an instant query has a grid of one step.
//! - *vector relation*: what every PromQL expression becomes: nullable label columns `l:<name>` and one column `value` of
//!   type `FixedSizeList<Float64, steps>`. A null item means "no sample at this step"; NaN is a value like any other.
//! - *resolved selector*: a selector whose series are already known, so that label names are known when the plan is made.
//!
//! Flow: [`Engine`] parses the text, resolves all selectors against one snapshot of the archive, plans, lets
//! DataFusion optimize and run the plan slice by slice of the grid, and turns the rows into a [`QueryResult`].

pub mod aggregates;
pub mod annotations;
pub mod api;
pub mod engine;
pub mod error;
pub mod exemplars;
pub mod functions;
pub mod grid;
pub mod info;
pub mod json;
pub mod kernels;
pub mod memory;
pub mod plan;
pub mod promqltest;
pub mod result;
pub mod selector;
pub mod source;
pub mod stored;
pub mod vector;
pub mod window;

pub use engine::{Archive, Bill, Engine, EngineOptions, RawStream, Snapshot};
pub use error::{Error, ErrorKind, Result};
pub use grid::StepGrid;
pub use result::{
    Explanation, MatrixSeries, QueryOptions, QueryResult, QueryStats, QueryValue, RawSamples,
    RawSeries, VectorSample,
};
pub use stored::StoredArchive;
