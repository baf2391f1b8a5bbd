//! What the end-to-end, conformance and fault-injection tests of Varve share.
//!
//! The tests themselves are one binary, `tests/it/main.rs`, because every further test target would link DataFusion again.

pub mod s3;
