//! Any bytes as an exposition, scraped twice by targets with the options that matter to parsers. Nothing may panic, and a second scrape of the same
//! bytes finds the same samples.

use std::path::Path;
use std::sync::{Arc, LazyLock};

use varve_ingest::config::{Config, ScrapeConfig};
use varve_ingest::exposition::{
    Details, Entry, Exposed, ExpositionError, Format, Observations, ReadOptions, Visitor, read,
};
use varve_ingest::scrape::TargetReader;
use varve_storage::{Labels, SampleValue};

const JOBS: [&str; 3] = [
    "",
    ", scrape_native_histograms: true, always_scrape_classic_histograms: true, native_histogram_bucket_limit: 3, native_histogram_min_bucket_factor: 1.5",
    ", convert_classic_histograms_to_nhcb: true, always_scrape_classic_histograms: true",
];

fn job(options: &str) -> Arc<ScrapeConfig> {
    let text = format!("scrape_configs: [{{job_name: j, honor_timestamps: false{options}}}]");
    let config = Config::parse(&text, Path::new("")).expect("a valid configuration");
    Arc::clone(&config.scrape_configs[0])
}

pub fn scrape(body: &[u8], format: Format) {
    static CONFIGS: LazyLock<[Arc<ScrapeConfig>; 3]> = LazyLock::new(|| JOBS.map(job));
    for config in CONFIGS.iter() {
        let labels = Labels::from_pairs([("job", "j")]);
        let mut reader = TargetReader::new(Arc::clone(config), labels);
        let (first, first_result) = reader.read(body, format, 1);
        let (second, second_result) = reader.read(body, format, 2);
        assert_eq!(first_result.is_ok(), second_result.is_ok());
        if first_result.is_ok() {
            assert_eq!(first.samples.len(), second.samples.len());
        }
    }
    for start_timestamps in [false, true] {
        for convert_classic_histograms in [false, true] {
            let options = ReadOptions {
                native_histograms: true,
                classic_histograms: true,
                convert_classic_histograms,
                start_timestamps,
            };
            // What is wrong is no error of the program.
            let _ = read(body, format, &options, &mut Looking::default());
        }
    }
}

/// Asks for everything, and guesses the series that came last.
#[derive(Default)]
struct Looking {
    last: Vec<u8>,
}

impl Visitor for Looking {
    type Error = ExpositionError;

    fn expected(&self) -> &[u8] {
        &self.last
    }

    fn metadata(&mut self, _: &Entry<'_>) {}

    fn sample(&mut self, exposed: &Exposed<'_>, details: &dyn Details) -> Result<(), Self::Error> {
        if !exposed.expected {
            details.labels()?;
        }
        details.exemplars();
        if let SampleValue::Histogram(histogram) = &exposed.value
            && Observations::check(exposed.observations, histogram).is_ok()
        {
            // Bytes, for a threshold may be NaN.
            let bytes = histogram.encode();
            let copy = varve_storage::FloatHistogram::decode(&bytes).expect("what is encoded");
            assert_eq!(copy.encode(), bytes);
        }
        self.last = exposed.series.to_vec();
        Ok(())
    }
}
