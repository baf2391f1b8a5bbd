//! Any text as a configuration: nothing may panic, and the rendering of what is accepted is a configuration too.
#![no_main]

use std::path::Path;

use libfuzzer_sys::fuzz_target;
use varve_ingest::config::Config;

fuzz_target!(|text: &str| {
    if let Ok(config) = Config::parse(text, Path::new("")) {
        let shown = config.to_yaml();
        Config::parse(&shown, Path::new("")).expect("what is shown is a configuration");
    }
});
