//! No bytes make the decoder of a WAL segment panic, or take much memory.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| varve_tsdb::fuzzing::wal_segment(data));
