//! No bytes make the decoder of an index panic, or take much memory.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| varve_tsdb::fuzzing::index(data));
