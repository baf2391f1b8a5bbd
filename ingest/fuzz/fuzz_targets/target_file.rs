//! Any text as a file of targets, in YAML and JSON. Nothing may panic, and JSON that is read is YAML too.
#![no_main]

use libfuzzer_sys::fuzz_target;
use varve_ingest::discovery::read_any_file;

fuzz_target!(|text: &str| {
    let yaml = read_any_file(text, "targets.yml");
    let json = read_any_file(text, "targets.json");
    assert!(json.is_none() || json == yaml);
});
