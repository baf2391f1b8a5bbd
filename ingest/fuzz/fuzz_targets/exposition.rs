//! Any bytes, as either format: read alone and twice through a target's cache. Nothing may panic, and a second scrape of the
//! same bytes finds the same samples.
#![no_main]

use std::path::Path;
use std::sync::Arc;

use libfuzzer_sys::fuzz_target;
use varve_ingest::config::Config;
use varve_ingest::exposition::Format;
use varve_ingest::scrape::TargetReader;
use varve_storage::Labels;

fuzz_target!(|body: &[u8]| {
    let text = "scrape_configs: [{job_name: j, honor_timestamps: false}]";
    let config = Config::parse(text, Path::new("")).expect("a valid configuration");
    for format in [Format::Text, Format::OpenMetrics] {
        let labels = Labels::from_pairs([("job", "j")]);
        let mut reader = TargetReader::new(Arc::clone(&config.scrape_configs[0]), labels);
        let (first, first_result) = reader.read(body, format, 1);
        let (second, second_result) = reader.read(body, format, 2);
        assert_eq!(first_result.is_ok(), second_result.is_ok());
        if first_result.is_ok() {
            assert_eq!(first.samples.len(), second.samples.len());
        }
    }
});
