//! The compactor against whole archives in memory.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod archive;
mod faults;
mod histograms;
mod merging;
mod passes;
mod races;
mod reading;
mod starts;
