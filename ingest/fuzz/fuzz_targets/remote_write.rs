//! Any bytes as messages of both versions of remote write, with one receiver that remembers. Nothing may panic.
#![no_main]

#[path = "support/receiver.rs"]
mod receiver;

use libfuzzer_sys::fuzz_target;
use varve_ingest::push::remote_write::read_any;

fuzz_target!(|message: &[u8]| {
    let receiver = receiver::receiver();
    for version_2 in [false, true] {
        let first = read_any(&receiver, message, version_2);
        assert_eq!(read_any(&receiver, message, version_2), first);
    }
});
