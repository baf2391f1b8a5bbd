//! Peers that mean harm, over real connections: targets that answer too much, too slowly or wrongly, and clients that push like that.
//!
//! Each must be refused within limits and leave what comes next unharmed. At the end the whole process must have stayed small.

#![allow(clippy::unwrap_used, clippy::panic)]

mod push;
mod scrape;
mod target;

use std::io::Write as _;

/// Memory that no attack may bring the process to, however many of them run at once.
const PEAK_BYTES_MAX: u64 = 1 << 30;

/// Compresses `bytes`, as a bomb would be.
fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

/// The most memory that the process ever had, where the system tells.
fn check_memory() {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    let Some(peak) = peak else {
        eprintln!("SKIPPED: the system does not tell how much memory there was");
        return;
    };
    let kib: u64 = peak.trim().trim_end_matches(" kB").parse().unwrap();
    assert!(kib << 10 < PEAK_BYTES_MAX, "{kib} KiB");
}
