//! From a segment to what is sent of it: labels as the receiver gets them, split into requests.

use std::collections::HashMap;
use std::sync::Arc;

use varve_storage::columns::NO_START_MS;
use varve_storage::rows::{IdBuildHasher, RowView, SampleRows};
use varve_storage::wal::Segment;
use varve_storage::{Exemplar, Labels, LabelsBuilder, SampleValue, SeriesId};

use super::metrics::{ForwardMetrics, add};
use crate::config::RemoteWriteConfig;
use crate::relabel::relabel;

/// Series whose labels are remembered as the receiver gets them.
const KNOWN_SERIES_MAX: usize = 200_000;

/// One series in a request.
#[derive(Debug)]
pub(super) struct OutgoingSeries {
    pub(super) labels: Labels,
    /// Time, start (0: unknown), value.
    pub(super) samples: Vec<(i64, i64, SampleValue)>,
    /// Time, value, labels.
    pub(super) exemplars: Vec<(i64, f64, Labels)>,
}

/// What one request carries.
#[derive(Debug, Default)]
pub(super) struct Batch {
    pub(super) series: Vec<OutgoingSeries>,
    pub(super) samples: usize,
    pub(super) exemplars: usize,
    pub(super) newest_ms: i64,
}

/// Makes batches for one receiver.
#[derive(Debug)]
pub(super) struct Outgoing {
    config: Arc<RemoteWriteConfig>,
    external_labels: Labels,
    /// Labels by series; `None` for what is not sent. Emptied when it is full.
    known: HashMap<SeriesId, Option<Labels>, IdBuildHasher>,
}

impl Outgoing {
    pub(super) fn new(config: Arc<RemoteWriteConfig>, external_labels: Labels) -> Self {
        Self {
            config,
            external_labels,
            known: HashMap::default(),
        }
    }

    /// What a receiver calls a series; `None` where it does not get it.
    fn labels(&mut self, id: SeriesId, labels: impl FnOnce() -> Option<Labels>) -> Option<Labels> {
        if let Some(known) = self.known.get(&id) {
            return known.clone();
        }
        let sent = labels().and_then(|labels| self.relabelled(&labels));
        if self.known.len() >= KNOWN_SERIES_MAX {
            self.known.clear();
        }
        self.known.insert(id, sent.clone());
        sent
    }

    /// External labels where the series has none of the name, then the rules.
    fn relabelled(&self, labels: &Labels) -> Option<Labels> {
        let mut builder = LabelsBuilder::default();
        for (name, value) in self.external_labels.iter().chain(labels.iter()) {
            builder.set(name, value);
        }
        let kept = relabel(&mut builder, &self.config.write_relabel_configs);
        let labels = builder.build();
        (kept && !labels.is_empty()).then_some(labels)
    }

    /// What is sent of a segment: *runs* of batches. The batches of a run are sent one after the other, because they have samples of one series;
    /// runs may be sent at the same time. The same segment always gives the same batches: what is sent again after a crash is then
    /// either all known to the receiver or all new, where one that refuses samples out of order would refuse a mixture as a whole.
    pub(super) fn runs(
        &mut self,
        segment: &Segment,
        oldest_ms: i64,
        metrics: &ForwardMetrics,
    ) -> varve_storage::Result<Vec<Vec<Batch>>> {
        let mut exemplars: HashMap<SeriesId, Vec<&Exemplar>, IdBuildHasher> = HashMap::default();
        if self.config.send_exemplars {
            for exemplar in &segment.exemplars {
                exemplars
                    .entry(exemplar.series.id)
                    .or_default()
                    .push(exemplar);
            }
        }
        let mut runs: Vec<Vec<Batch>> = Vec::new();
        let rows = SampleRows::new(&segment.samples)?;
        for row in rows.iter() {
            let id = row.series_id();
            let Some(labels) = self.labels(id, || row.labels()) else {
                add(&metrics.samples_dropped, row.len());
                continue;
            };
            let samples = self.samples(row, oldest_ms);
            add(&metrics.samples_dropped, row.len() - samples.len());
            // Without a sample a receiver would not take exemplars.
            if samples.is_empty() {
                continue;
            }
            let exemplars = exemplars.remove(&id).unwrap_or_default();
            let exemplars = exemplars.into_iter().map(|exemplar| {
                let labels = exemplar.labels.clone();
                (exemplar.timestamp_ms, exemplar.value, labels)
            });
            let series = OutgoingSeries {
                labels,
                samples,
                exemplars: exemplars.collect(),
            };
            push(&mut runs, series, self.config.queue.max_samples_per_send);
        }
        Ok(runs)
    }

    /// The samples of a row that the receiver gets.
    fn samples(&self, row: RowView<'_>, oldest_ms: i64) -> Vec<(i64, i64, SampleValue)> {
        let starts = row.start_timestamps();
        let samples = row.timestamps().iter().enumerate();
        let samples = samples.filter_map(|(index, time_ms)| {
            let value = row.value(index)?;
            let wanted = self.config.send_native_histograms || value.float().is_some();
            let start_ms = starts.get(index).copied().unwrap_or(NO_START_MS);
            (wanted && *time_ms >= oldest_ms).then_some((*time_ms, start_ms, value))
        });
        samples.collect()
    }
}

/// Adds a series to the last run, or begins another. A series with more samples than a batch may have gets a run of its own.
fn push(runs: &mut Vec<Vec<Batch>>, mut series: OutgoingSeries, samples_max: usize) {
    let room = |batch: &Batch| batch.samples + series.samples.len() <= samples_max;
    let fits = runs
        .last()
        .is_some_and(|run| run.len() == 1 && run.iter().all(room));
    if !fits {
        runs.push(vec![Batch::default()]);
    }
    let Some(run) = runs.last_mut() else {
        return;
    };
    loop {
        let later = series
            .samples
            .split_off(series.samples.len().min(samples_max));
        let labels = series.labels.clone();
        if let Some(batch) = run.last_mut() {
            batch.add(series);
        }
        if later.is_empty() {
            return;
        }
        run.push(Batch::default());
        series = OutgoingSeries {
            labels,
            samples: later,
            exemplars: Vec::new(),
        };
    }
}

impl Batch {
    fn add(&mut self, series: OutgoingSeries) {
        self.samples += series.samples.len();
        self.exemplars += series.exemplars.len();
        let newest = series.samples.last().map_or(0, |(time_ms, ..)| *time_ms);
        self.newest_ms = self.newest_ms.max(newest);
        self.series.push(series);
    }
}
