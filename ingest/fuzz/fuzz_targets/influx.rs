//! Any bytes as InfluxDB's lines. Nothing may panic, and the same bytes have as many samples the second time.
#![no_main]

#[path = "support/receiver.rs"]
mod receiver;

use libfuzzer_sys::fuzz_target;
use varve_ingest::push::influx::read_any;

fuzz_target!(|body: &[u8]| {
    let receiver = receiver::receiver();
    let samples = read_any(&receiver, body);
    assert_eq!(read_any(&receiver, body), samples);
});
