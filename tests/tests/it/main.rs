//! Everything that needs more than one crate of Varve, in one test binary.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod architecture;
mod compare;
mod damage;
mod differential;
mod exemplars;
mod exposed;
mod faults;
mod forwarded;
mod imported;
mod interop;
mod killed;
mod pushed;
mod races;
mod s3_double;
mod scenario;
mod served;
