//! The compactor against whole archives in memory.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod archive;
mod exemplars;
mod faults;
mod histograms;
mod merging;
mod passes;
mod races;
mod reading;
mod starts;
