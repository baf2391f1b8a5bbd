//! What PromQL computes with native histograms: functions, operators, aggregations, windows, and the notation of its tests.
//!
//! This crate knows single samples and nothing of plans, so that it builds and tests in seconds. The type, its buckets and its
//! arithmetic are [`varve_storage::histogram`]; here is what needs Go's logarithms and notation of numbers too. Results have the bits of
//! Prometheus's: the order of operations is part of them.
//!
//! Reading order: [`sample`] is what goes in and comes out, [`note`] what a computation has to say beside its result; then
//! [`quantile`], [`statistics`] and [`trim`] look at one histogram, [`binary`] at two, [`aggregate`] at those of many series, and
//! [`over_time`], [`rate`] and [`instant`] at windows, whose resets [`start`] timestamps may show, and [`extended`] at those that reach beyond their edges. [`text`] and [`parse`] are
//! notations, and [`approximate`] compares answers as test scripts do.
//!
//! A window is the samples of one series within (start, end], in ascending order of time. Functions leave windows of floats alone to
//! the caller.
//!
//! Invariant: no function panics, whatever the histograms hold.

pub mod aggregate;
pub mod approximate;
pub mod binary;
pub mod extended;
pub mod instant;
pub mod note;
pub mod over_time;
pub mod parse;
pub mod quantile;
pub mod rate;
pub mod sample;
pub mod start;
pub mod statistics;
pub mod text;
pub mod trim;

#[cfg(test)]
mod answers;
#[cfg(test)]
mod arbitrary;

pub use note::{Kind, Note, Operation, Severity};
pub use sample::{Answer, Point, Sample, Value};
pub use start::Counted;
