//! The series that describe each scrape: `up` and its companions.

use std::time::Duration;

use varve_storage::columns::NO_START_MS;
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

/// The labels of a report series. A target's label `exported_x` gives way to its label `x`, unless it sorts behind it: so
/// Prometheus has it.
fn report_labels(name: &str, target: &Labels) -> Labels {
    let mut labels = LabelsBuilder::default();
    labels.set(METRIC_NAME, name);
    for (name, value) in target.iter() {
        labels.set(&format!("exported_{name}"), "");
        labels.set(name, value);
    }
    labels.build()
}

impl ReportSeries {
    /// The series for a target's labels; `extra` adds those of `extra_scrape_metrics`.
    pub(super) fn new(target: &Labels, extra: bool, timeout: Duration, sample_limit: u64) -> Self {
        let extra_names = if extra { &EXTRA_NAMES[..] } else { &[] };
        let series = NAMES
            .iter()
            .chain(extra_names)
            .map(|name| SeriesRef::new(Series::new(report_labels(name, target))));
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
                start_timestamp_ms: NO_START_MS,
                value: SampleValue::Float(value),
            })
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn exported_labels_of_the_target_give_way() {
        let target = Labels::from_pairs([
            ("job", "j"),
            ("exported_job", "x"),
            ("exported_me", "y"),
            ("me", "z"),
        ]);
        assert_eq!(
            report_labels("up", &target).to_string(),
            r#"{__name__="up", job="j", me="z"}"#
        );
        // `exported_a` sorts behind `a`, and so comes after it.
        let target = Labels::from_pairs([("a", "1"), ("exported_a", "2")]);
        assert_eq!(
            report_labels("up", &target).to_string(),
            r#"{__name__="up", a="1", exported_a="2"}"#
        );
    }
}
