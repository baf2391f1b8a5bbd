//! Any bytes as a path and a body of the Pushgateway's API, in every format. Nothing may panic, and what is kept of a group reads back.
#![no_main]

#[path = "support/receiver.rs"]
mod receiver;

use libfuzzer_sys::fuzz_target;
use varve_ingest::exposition::Format;
use varve_ingest::push::gateway::read_any;

fuzz_target!(|input: &[u8]| {
    let receiver = receiver::receiver();
    let end = input.iter().position(|byte| *byte == b'\n').unwrap_or(0);
    let (path, body) = input.split_at(end);
    let path = String::from_utf8_lossy(path);
    for format in [Format::Text, Format::OpenMetrics, Format::Protobuf] {
        read_any(&receiver, &path, body, format);
        read_any(&receiver, "job/j", input, format);
    }
});
