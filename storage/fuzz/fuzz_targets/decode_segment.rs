//! Decoding arbitrary bytes as a WAL segment must not panic, and must not take more memory than the limit allows.
//!
//! `cargo +nightly fuzz run decode_segment fuzz/corpus/decode_segment testdata` from the folder `storage`.
#![no_main]

use libfuzzer_sys::fuzz_target;
use varve_storage::keys::TenantKeys;
use varve_storage::wal::decode_segment;

fuzz_target!(|data: &[u8]| {
    let key = TenantKeys::default().wal_segment(2, 7);
    let mut bytes = data.to_vec();
    // With the checksum put right, the fuzzer reaches what lies behind it.
    if let Some(place) = bytes.len().checked_sub(12) {
        let checksum = crc32fast::hash(&bytes[..place]).to_le_bytes();
        bytes[place..place + 4].copy_from_slice(&checksum);
    }
    let _ = decode_segment(&key, bytes.into());
});
