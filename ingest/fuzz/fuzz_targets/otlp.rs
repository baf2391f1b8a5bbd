//! Any bytes as metrics of OpenTelemetry, in protobuf and JSON. Nothing may panic.
#![no_main]

#[path = "support/receiver.rs"]
mod receiver;

use libfuzzer_sys::fuzz_target;
use varve_ingest::push::otlp::read_any;

fuzz_target!(|body: &[u8]| {
    let receiver = receiver::receiver();
    for json in [false, true] {
        read_any(&receiver, body, json);
    }
});
