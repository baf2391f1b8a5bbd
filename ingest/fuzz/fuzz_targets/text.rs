//! Any bytes as an exposition in this format.
#![no_main]

#[path = "support/scrapes.rs"]
mod scrapes;

use libfuzzer_sys::fuzz_target;
use varve_ingest::exposition::Format;

fuzz_target!(|body: &[u8]| scrapes::scrape(body, Format::Text));
