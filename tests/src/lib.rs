//! What the end-to-end, conformance and fault-injection tests of Varve share.
//!
//! The tests themselves are one binary, `tests/it/main.rs`, because every further test target would link DataFusion again.

pub mod answers;
pub mod archive;
pub mod exporter;
pub mod grammar;
pub mod http_api;
pub mod process;
pub mod prometheus;
pub mod query_list;
pub mod random;
pub mod remote_write;
pub mod s3;
pub mod samples;
pub mod server;
pub mod stores;
