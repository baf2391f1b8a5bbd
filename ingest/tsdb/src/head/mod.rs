//! The head: what Prometheus has in memory, read from its logs.
//!
//! # Vocabulary
//! - The **log** is `wal/`: series, samples in order, tombstones, exemplars, metadata. The **other log** is `wbl/`: samples out
//!   of order.
//! - **Mapped chunks** are full chunks of the head in `chunks_head/`. Samples that are in them are in a log, too.
//! - The **minimal valid time** is the end of the last block that was cut from the head: what is older in the log is in blocks.
//!
//! # Flow
//! 1. `mapped` finds the mapped chunks.
//! 2. A first pass over the log gives the series, with what was deleted ([`series`](self)); the other log gives what is not in
//!    mapped chunks yet.
//! 3. Mapped chunks are emitted, series by series in the order of labels.
//! 4. A second pass over the log emits samples that are behind the mapped chunks, in the order of the log, and exemplars.
//! 5. Samples out of order are emitted, then metadata.
//!
//! Memory: series with their labels and the places of mapped chunks, the last histogram of each series, and samples out of
//! order that are in no mapped chunk (at most a chunk of them per series). Prometheus needs several times that.
//!
//! # Invariants
//! - What is emitted is what Prometheus serves after a start: rules of replay are those of its `Head.Init`.
//! - The same files give the same items in the same order.
//! - A torn end of the last segment is passed over with a warning. Any other damage of the log is an error.
//!
//! Two sources may have different values for one series and time (one of them out of order). Prometheus serves either,
//! depending on the range that is asked for; here both are emitted, and the archive's rule about duplicates decides.

mod mapped;
mod series;
#[cfg(test)]
mod tests;

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use varve_storage::histogram::CounterResetHint;
use varve_storage::{Exemplar, FloatHistogram, MetricMetadata, SampleValue, SeriesRef};

use self::mapped::{Mapped, MappedChunk};
use self::series::{HeadSeries, SeriesTable};
use crate::chunk::Sample;
use crate::error::{Error, Result};
use crate::source::Folder;
use crate::tombstones::is_deleted;
use crate::wal::record::{Kinds, LoggedSample};
use crate::wal::{LogFile, Record, SegmentReader, log_files};

/// Something in the head.
#[derive(Clone, Debug)]
pub enum HeadItem {
    /// A sample.
    Sample(SeriesRef, Sample),
    /// An exemplar.
    Exemplar(Exemplar),
    /// Metadata of a metric.
    Metadata(MetricMetadata),
    /// Something that was passed over, for the user.
    Warning(String),
}

/// The head of a data folder, its logs listed. Calls block.
#[derive(Debug)]
pub struct Head {
    folder: PathBuf,
    log: Vec<LogFile>,
    other_log: Vec<LogFile>,
}

/// Samples out of order that are in no mapped chunk, by the reference of their series.
type OutOfOrder = HashMap<u64, Vec<LoggedSample>>;

impl Head {
    /// Lists the logs of a data folder. What Prometheus appends to them later is not read.
    ///
    /// # Errors
    /// [`Error::Vanished`] if files were removed meanwhile; [`Error::Io`]; [`Error::Corrupt`] for a gap between segments.
    pub fn open(data_folder: &Path) -> Result<Self> {
        // In this order, a series of the other log is in the log.
        let other_log = log_files(&data_folder.join("wbl"))?;
        Ok(Self {
            log: log_files(&data_folder.join("wal"))?,
            other_log,
            folder: data_folder.to_owned(),
        })
    }

    /// Names the files and their sizes: as long as it is the same text, [`Head::read`] emits the same items.
    pub fn fingerprint(&self, min_valid_time: i64) -> String {
        let mut text = format!("{min_valid_time}");
        for files in [&self.log, &self.other_log] {
            text.push('|');
            for file in files {
                let name = file.path.strip_prefix(&self.folder).unwrap_or(&file.path);
                text.push_str(&format!("{}:{},", name.display(), file.bytes));
            }
        }
        text
    }

    /// Emits everything from `min_valid_time` on (see [`crate::BlockMeta::ends_head`]), and samples out of order of any time.
    ///
    /// # Errors
    /// What `emit` returns; [`Error::Vanished`] if Prometheus removed a file, then a new [`Head`] can be read;
    /// [`Error::Corrupt`] with file and place.
    pub fn read(
        &self,
        min_valid_time: i64,
        emit: &mut dyn FnMut(HeadItem) -> Result<()>,
    ) -> Result<()> {
        let mut mapped = Mapped::read(&self.folder, min_valid_time)?;
        if let Some(damage) = &mapped.damage {
            emit(HeadItem::Warning(format!(
                "{damage} (the samples behind it are taken from the log)"
            )))?;
        }
        let mut table = SeriesTable::default();
        let mut number = 0;
        self.records(&self.log, Kinds::WithoutSamples, &mut |record| {
            table.take(number, record, min_valid_time);
            number += 1;
            Ok(())
        })?;
        let out_of_order = self.out_of_order(&mapped, &mut table, emit)?;
        table.attach(&mapped);
        emit_mapped(&mut mapped, &table, min_valid_time, emit)?;

        let mut number = 0;
        let torn = self.records(&self.log, Kinds::All, &mut |record| {
            replay(&mut table, number, record, min_valid_time, emit)?;
            number += 1;
            Ok(())
        })?;
        torn.map_or(Ok(()), |warning| emit(HeadItem::Warning(warning)))?;
        emit_out_of_order(&mut mapped, &table, out_of_order, emit)?;
        for metadata in table.metadata() {
            emit(HeadItem::Metadata(metadata))?;
        }
        Ok(())
    }

    /// Goes through a log. Gives a warning if its end is torn.
    fn records(
        &self,
        files: &[LogFile],
        kinds: Kinds,
        take: &mut dyn FnMut(Record) -> Result<()>,
    ) -> Result<Option<String>> {
        for file in files {
            let name = file.path.strip_prefix(&self.folder).unwrap_or(&file.path);
            let mut source =
                Folder::Local(self.folder.clone()).open_required(&name.to_string_lossy())?;
            source.truncate(file.bytes);
            let mut reader = SegmentReader::new(source.clone());
            loop {
                let place = reader.place();
                let record = reader.next().and_then(|record| {
                    let decode = |record: Vec<u8>| Record::decode(&record, kinds);
                    let decoded = record.map(decode).transpose();
                    decoded.map_err(|error| source.corrupt(place, format!("a record: {error}")))
                });
                match record {
                    Ok(Some(record)) => take(record)?,
                    Ok(None) => break,
                    Err(Error::Corrupt {
                        path,
                        offset,
                        reason,
                    }) if file.last => {
                        return Ok(Some(format!(
                            "{path} ends with a record that is not whole (byte {offset}: {reason}), as after a crash or while it is written; what is behind it is left out"
                        )));
                    }
                    Err(error) => return Err(error),
                }
            }
        }
        Ok(None)
    }

    /// Reads the other log: what is not in mapped chunks yet.
    fn out_of_order(
        &self,
        mapped: &Mapped,
        table: &mut SeriesTable,
        emit: &mut dyn FnMut(HeadItem) -> Result<()>,
    ) -> Result<OutOfOrder> {
        let mut held = OutOfOrder::default();
        let torn = self.records(&self.other_log, Kinds::All, &mut |record| {
            match record {
                Record::Samples(samples) => {
                    for sample in samples {
                        if let Some(series) = table.get_mut(sample.series) {
                            series.has_out_of_order = true;
                            held.entry(series.reference).or_default().push(sample);
                        }
                    }
                }
                Record::Markers(markers) => {
                    for (series, chunk) in markers {
                        if mapped.reaches(chunk)
                            && let Some(series) = table.get_mut(series)
                            && mapped.out_of_order.contains_key(&series.reference)
                        {
                            held.remove(&series.reference);
                        }
                    }
                }
                _ => {}
            }
            Ok(())
        })?;
        torn.map_or(Ok(()), |warning| emit(HeadItem::Warning(warning)))?;
        Ok(held)
    }
}

/// Emits the mapped chunks of all series.
fn emit_mapped(
    mapped: &mut Mapped,
    table: &SeriesTable,
    min_valid_time: i64,
    emit: &mut dyn FnMut(HeadItem) -> Result<()>,
) -> Result<()> {
    for series in table.sorted() {
        let chunks = mapped.in_order.get(&series.reference).cloned();
        for chunk in chunks.unwrap_or_default() {
            emit_chunk(mapped, series, &chunk, min_valid_time, emit)?;
        }
    }
    Ok(())
}

fn emit_chunk(
    mapped: &mut Mapped,
    series: &HeadSeries,
    chunk: &MappedChunk,
    min_valid_time: i64,
    emit: &mut dyn FnMut(HeadItem) -> Result<()>,
) -> Result<()> {
    let mut samples = mapped.samples(chunk)?;
    while let Some(mut sample) = samples.next()? {
        if sample.timestamp_ms < min_valid_time || is_deleted(&series.deleted, sample.timestamp_ms)
        {
            continue;
        }
        if series.has_out_of_order {
            sample.value = without_hint(sample.value);
        }
        emit(HeadItem::Sample(Arc::clone(&series.series), sample))?;
    }
    Ok(())
}

/// Takes a record in the second pass.
fn replay(
    table: &mut SeriesTable,
    number: u64,
    record: Record,
    min_valid_time: i64,
    emit: &mut dyn FnMut(HeadItem) -> Result<()>,
) -> Result<()> {
    match record {
        Record::Samples(samples) => {
            for logged in samples {
                let series = table.get_mut(logged.series);
                let series = series.filter(|series| number >= series.since);
                let in_order = |series: &&mut HeadSeries| {
                    logged.timestamp_ms >= min_valid_time && logged.timestamp_ms > series.newest
                };
                if let Some(series) = series.filter(in_order)
                    && let Some(sample) = in_order_sample(series, logged)
                {
                    emit(HeadItem::Sample(Arc::clone(&series.series), sample))?;
                }
            }
        }
        Record::Exemplars(exemplars) => {
            for logged in exemplars {
                let series = table.get_mut(logged.series);
                if let Some(series) = series.filter(|_| logged.timestamp_ms >= min_valid_time) {
                    emit(HeadItem::Exemplar(Exemplar {
                        series: Arc::clone(&series.series),
                        labels: logged.labels,
                        timestamp_ms: logged.timestamp_ms,
                        value: logged.value,
                    }))?;
                }
            }
        }
        _ => {}
    }
    Ok(())
}

/// A logged sample as queries see it, `None` if it was deleted.
fn in_order_sample(series: &mut HeadSeries, logged: LoggedSample) -> Option<Sample> {
    series.newest = logged.timestamp_ms;
    let mut value = logged.value;
    if series.is_histogram && value.is_stale() && value.float().is_some() {
        // A scrape that finds nothing logs a float marker; the head makes it one of the series' kind.
        value = stale_histogram();
    }
    series.is_histogram = value.float().is_none();
    series.before = match &mut value {
        SampleValue::Float(_) => None,
        SampleValue::Histogram(histogram) => {
            let hint = if series.has_out_of_order {
                unknown_unless_gauge(histogram.counter_reset_hint)
            } else {
                histogram.stored_hint(series.before.as_deref())
            };
            set_hint(histogram, hint);
            Some(Arc::clone(histogram))
        }
    };
    (!is_deleted(&series.deleted, logged.timestamp_ms)).then_some(Sample {
        timestamp_ms: logged.timestamp_ms,
        start_timestamp_ms: logged.start_timestamp_ms,
        value,
    })
}

fn set_hint(histogram: &mut Arc<FloatHistogram>, hint: CounterResetHint) {
    // A marker has no hint, in Prometheus's chunks neither.
    if histogram.counter_reset_hint != hint && !varve_storage::is_stale_nan(histogram.sum) {
        Arc::make_mut(histogram).counter_reset_hint = hint;
    }
}

fn unknown_unless_gauge(hint: CounterResetHint) -> CounterResetHint {
    match hint {
        CounterResetHint::Gauge => hint,
        _ => CounterResetHint::Unknown,
    }
}

/// Between samples of which others may lie nothing is known of resets.
fn without_hint(value: SampleValue) -> SampleValue {
    match value {
        SampleValue::Histogram(mut histogram) => {
            let hint = unknown_unless_gauge(histogram.counter_reset_hint);
            set_hint(&mut histogram, hint);
            SampleValue::Histogram(histogram)
        }
        float => float,
    }
}

fn stale_histogram() -> SampleValue {
    SampleValue::Histogram(Arc::new(FloatHistogram {
        sum: varve_storage::stale_nan(),
        ..FloatHistogram::default()
    }))
}

/// Emits samples out of order, series by series.
fn emit_out_of_order(
    mapped: &mut Mapped,
    table: &SeriesTable,
    mut held: OutOfOrder,
    emit: &mut dyn FnMut(HeadItem) -> Result<()>,
) -> Result<()> {
    for series in table.sorted() {
        let chunks = mapped.out_of_order.get(&series.reference).cloned();
        for chunk in chunks.unwrap_or_default() {
            emit_chunk(mapped, series, &chunk, i64::MIN, emit)?;
        }
        let mut samples = held.remove(&series.reference).unwrap_or_default();
        // Of two samples for one time the first is kept, as in a chunk that takes them out of order.
        samples.sort_by_key(|sample| sample.timestamp_ms);
        samples.dedup_by_key(|sample| sample.timestamp_ms);
        for logged in samples {
            if !is_deleted(&series.deleted, logged.timestamp_ms) {
                let sample = Sample {
                    timestamp_ms: logged.timestamp_ms,
                    start_timestamp_ms: logged.start_timestamp_ms,
                    value: without_hint(logged.value),
                };
                emit(HeadItem::Sample(Arc::clone(&series.series), sample))?;
            }
        }
    }
    Ok(())
}
