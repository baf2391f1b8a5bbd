//! The series that describe each scrape: `up` and its companions.

use std::time::Duration;

use varve_storage::wal::SampleRow;
use varve_storage::{
    Labels, LabelsBuilder, METRIC_NAME, SampleValue, Series, SeriesRef, stale_nan,
};

/// The numbers of one scrape.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(super) struct Report {
    pub(super) healthy: bool,
    pub(super) duration: Duration,
    /// Samples in the exposition.
    pub(super) scraped: u64,
    /// Samples after metric relabelling.
    pub(super) post_relabeling: u64,
    /// Series that were not there before.
    pub(super) series_added: u64,
    /// Bytes of the body: -1 if it was too large, 0 if there was none.
    pub(super) body_bytes: i64,
}

/// The report series of one target.
#[derive(Debug)]
pub(super) struct ReportSeries {
    series: Vec<SeriesRef>,
    timeout: Duration,
    sample_limit: u64,
}

const NAMES: [&str; 5] = [
    "up",
    "scrape_duration_seconds",
    "scrape_samples_scraped",
    "scrape_samples_post_metric_relabeling",
    "scrape_series_added",
];

const EXTRA_NAMES: [&str; 3] = [
    "scrape_timeout_seconds",
    "scrape_sample_limit",
    "scrape_body_size_bytes",
];

impl ReportSeries {
    /// The series for a target's labels; `extra` adds those of `extra_scrape_metrics`.
    pub(super) fn new(target: &Labels, extra: bool, timeout: Duration, sample_limit: u64) -> Self {
        let extra_names = if extra { &EXTRA_NAMES[..] } else { &[] };
        let series = NAMES.iter().chain(extra_names).map(|name| {
            let mut labels = LabelsBuilder::from(target);
            labels.set(METRIC_NAME, name);
            SeriesRef::new(Series::new(labels.build()))
        });
        Self {
            series: series.collect(),
            timeout,
            sample_limit,
        }
    }

    /// The samples of a report.
    pub(super) fn rows(&self, report: &Report, timestamp_ms: i64) -> Vec<SampleRow> {
        let values = [
            if report.healthy { 1.0 } else { 0.0 },
            report.duration.as_secs_f64(),
            report.scraped as f64,
            report.post_relabeling as f64,
            report.series_added as f64,
            self.timeout.as_secs_f64(),
            self.sample_limit as f64,
            report.body_bytes as f64,
        ];
        self.zip(timestamp_ms, values)
    }

    /// Stale markers of all report series.
    pub(super) fn stale_rows(&self, timestamp_ms: i64) -> Vec<SampleRow> {
        self.zip(timestamp_ms, std::iter::repeat(stale_nan()))
    }

    /// The series themselves.
    pub(super) fn series(&self) -> &[SeriesRef] {
        &self.series
    }

    fn zip(&self, timestamp_ms: i64, values: impl IntoIterator<Item = f64>) -> Vec<SampleRow> {
        let pairs = self.series.iter().zip(values);
        pairs
            .map(|(series, value)| SampleRow {
                series: SeriesRef::clone(series),
                timestamp_ms,
                value: SampleValue::Float(value),
            })
            .collect()
    }
}
