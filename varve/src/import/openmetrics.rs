//! A file of samples with timestamps.

use std::path::Path;

use tokio::sync::mpsc;
use varve_ingest::exposition::{
    self, Details, Entry, Exposed, ExpositionError, Format, ReadOptions, Visitor,
};
use varve_storage::wal::{Append, SampleRow};
use varve_storage::{
    Labels, LabelsBuilder, METRIC_NAME, MetricMetadata, MetricType, Series, SeriesRef,
};

use super::Import;
use crate::failure::Failure;

/// Samples of one append.
const BATCH_SAMPLES: usize = 50_000;
/// Appends that may wait for the WAL.
const BATCHES_AHEAD: usize = 4;

/// Imports a file. What is imported twice is the same samples, of which one stands.
pub(super) async fn import(import: &Import, file: &Path) -> Result<String, Failure> {
    let shown = file.display();
    let body = std::fs::read(file).map_err(|e| Failure::error(format!("{shown}: {e}")))?;
    let format = match body.trim_ascii_end().ends_with(b"# EOF") {
        true => Format::OpenMetrics,
        false => Format::Text,
    };
    let (batches, mut ready) = mpsc::channel(BATCHES_AHEAD);
    let mut reading = Reading {
        labels: import.labels.clone(),
        range: import.range,
        append: Append::default(),
        last: None,
        batches,
    };
    let reading = tokio::task::spawn_blocking(move || {
        let options = ReadOptions::default();
        let read = exposition::read(&body, format, &options, &mut reading);
        read.and_then(|()| reading.flush())
    });
    let (mut samples, mut tickets) = (0, Vec::new());
    while let Some(append) = ready.recv().await {
        if import.cancel.is_cancelled() {
            return Err(Failure::error(
                "interrupted; the same command imports the file anew, which does no harm",
            ));
        }
        let append: Append = append;
        samples += append.samples.len();
        let ticket = import.writer.append(append).await;
        tickets.push(ticket.map_err(Failure::error)?);
        import.bar.set_message(format!("{samples} samples"));
    }
    let read = reading.await.map_err(Failure::error)?;
    read.map_err(|error| Failure::error(format!("{shown}: {error}")))?;
    import.writer.flush().await.map_err(Failure::error)?;
    for ticket in tickets {
        ticket.durable().await.map_err(Failure::error)?;
    }
    Ok(format!("{samples} samples imported"))
}

struct Reading {
    labels: Labels,
    range: (i64, i64),
    append: Append,
    /// The series of the last sample, as it is written.
    last: Option<(Vec<u8>, SeriesRef)>,
    batches: mpsc::Sender<Append>,
}

fn failure(message: impl Into<String>) -> ExpositionError {
    ExpositionError {
        line: 0,
        message: message.into(),
    }
}

impl Reading {
    fn flush(&mut self) -> Result<(), ExpositionError> {
        let append = std::mem::take(&mut self.append);
        if append.is_empty() {
            return Ok(());
        }
        // Nobody takes it any more only where the import was given up.
        self.batches
            .blocking_send(append)
            .map_err(|_| failure("the import was given up"))
    }

    fn series(&mut self, raw: &[u8], details: &dyn Details) -> Result<SeriesRef, ExpositionError> {
        if let Some((last, series)) = &self.last
            && last == raw
        {
            return Ok(SeriesRef::clone(series));
        }
        let mut labels = LabelsBuilder::default();
        for (name, value) in details.labels()? {
            labels.set(&name, &value);
        }
        for (name, value) in self.labels.iter() {
            labels.set(name, value);
        }
        let labels = labels.build();
        if labels.get(METRIC_NAME).is_none() {
            return Err(failure(format!("a series has no name: {labels}")));
        }
        let series = SeriesRef::new(Series::new(labels));
        self.last = Some((raw.to_vec(), SeriesRef::clone(&series)));
        Ok(series)
    }
}

impl Visitor for Reading {
    type Error = ExpositionError;

    fn expected(&self) -> &[u8] {
        &[]
    }

    fn metadata(&mut self, entry: &Entry<'_>) {
        if let Entry::Type(family, kind) = entry
            && *kind != MetricType::Unknown
        {
            self.append.metadata.push(MetricMetadata {
                family: String::from_utf8_lossy(family).into_owned(),
                kind: *kind,
                unit: String::new(),
                help: String::new(),
            });
        }
    }

    fn sample(
        &mut self,
        exposed: &Exposed<'_>,
        details: &dyn Details,
    ) -> Result<(), ExpositionError> {
        let series = self.series(exposed.series, details)?;
        let Some(timestamp_ms) = exposed.timestamp_ms else {
            return Err(failure(format!(
                "expected timestamp for series {}, got none",
                series.labels
            )));
        };
        if timestamp_ms < self.range.0 || timestamp_ms > self.range.1 {
            return Ok(());
        }
        self.append.samples.push(SampleRow {
            series,
            timestamp_ms,
            start_timestamp_ms: exposed.start_timestamp_ms,
            value: exposed.value.clone(),
        });
        match self.append.samples.len() >= BATCH_SAMPLES {
            true => self.flush(),
            false => Ok(()),
        }
    }
}
