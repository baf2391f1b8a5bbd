//! What a job takes of histograms.

use varve_storage::histogram::{SCHEMA_MAX, SCHEMA_MIN};

use super::decode::{Fields, boolean, float, unsigned};
use super::error::ConfigError;
use super::global::GlobalConfig;

/// Settings of a job about histograms.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct HistogramConfig {
    /// Whether native histograms are scraped (`scrape_native_histograms`).
    pub native: bool,
    /// Whether the classic side of a histogram is scraped also where there is a native one (`always_scrape_classic_histograms`).
    pub always_classic: bool,
    /// Whether classic histograms become native ones with custom bounds (`convert_classic_histograms_to_nhcb`).
    pub convert_classic: bool,
    /// The most buckets of a native histogram; 0 for no limit (`native_histogram_bucket_limit`).
    pub bucket_limit: u64,
    /// The least growth from one bucket to the next; 0 for any (`native_histogram_min_bucket_factor`).
    pub min_bucket_factor: f64,
}

impl HistogramConfig {
    /// Takes the fields out of those of a job.
    pub(super) fn take(
        fields: &mut Fields<'_>,
        global: &GlobalConfig,
    ) -> Result<Self, ConfigError> {
        let mut flag = |name, default| Ok(fields.read(name, boolean)?.unwrap_or(default));
        Ok(Self {
            native: flag("scrape_native_histograms", global.scrape_native_histograms)?,
            always_classic: flag(
                "always_scrape_classic_histograms",
                global.always_scrape_classic_histograms,
            )?,
            convert_classic: flag(
                "convert_classic_histograms_to_nhcb",
                global.convert_classic_histograms,
            )?,
            bucket_limit: fields
                .read("native_histogram_bucket_limit", unsigned)?
                .unwrap_or(0),
            min_bucket_factor: fields
                .read("native_histogram_min_bucket_factor", float)?
                .unwrap_or(0.0),
        })
    }

    /// The finest resolution whose buckets grow by the least factor; the finest that there is where none is set.
    pub fn schema_max(&self) -> i32 {
        if self.min_bucket_factor <= 1.0 {
            return SCHEMA_MAX;
        }
        let schema = (-self.min_bucket_factor.log2().log2()).floor();
        // What is not a number is no limit.
        (schema as i32).clamp(SCHEMA_MIN, SCHEMA_MAX)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_factor_decides_the_resolution() {
        for (factor, schema) in [
            (0.0, 8),
            (1.0, 8),
            (1.002, 8),
            (1.003, 7),
            (1.1, 2),
            (2.0, 0),
            (4.0, -1),
            (65536.0, -4),
            (1e300, -4),
        ] {
            let config = HistogramConfig {
                min_bucket_factor: factor,
                ..HistogramConfig::default()
            };
            assert_eq!(config.schema_max(), schema, "{factor}");
        }
    }
}
