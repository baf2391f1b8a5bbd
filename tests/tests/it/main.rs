//! Everything that needs more than one crate of Varve, in one test binary.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod architecture;
mod damage;
mod faults;
mod races;
mod s3_double;
mod scenario;
