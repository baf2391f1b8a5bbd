//! Merging sorted files row by row.
//!
//! Every file is a run of rows in its table's order. A file is opened when the merge reaches its first name, and dropped
//! at its end, so files that do not overlap cost nothing while others are read. Rows with one key become one row.

use std::cmp::{Ordering, Reverse};
use std::collections::{BinaryHeap, VecDeque};
use std::sync::Arc;

use arrow::array::RecordBatch;
use object_store::ObjectStore;
use object_store::path::Path;
use varve_storage::exemplar::{decode_exemplars, exemplars_batch};
use varve_storage::rows::{SampleRows, SampleRowsBuilder, SeriesSamples};
use varve_storage::{Exemplar, MetricMetadata, SeriesId};
use varve_table::rows::{
    SeriesRow, decode_metadata, decode_series, encode_metadata, encode_series,
};
use varve_table::{Error as TableError, SortedRows, TableFile, TableKind};

use crate::error::{Error, Result};
use crate::windows::window_of;

/// Samples of one row at most: a window of samples at one per second. More become several rows.
pub(crate) const ROW_SAMPLES_MAX: usize = 8_192;
/// Bytes of a row besides its samples, about.
const ROW_BYTES: usize = 512;
/// Rows of a batch, whatever their size.
const BATCH_ROWS_MAX: usize = 8_192;

/// A row of one of the tables.
#[derive(Clone, Debug)]
pub(crate) enum Row {
    Samples(SeriesSamples),
    Series(SeriesRow),
    Metadata(MetricMetadata),
    Exemplar(Exemplar),
}

impl Row {
    fn name(&self) -> &str {
        match self {
            Self::Samples(row) => row.series.labels.metric_name(),
            Self::Series(row) => row.series.labels.metric_name(),
            Self::Metadata(row) => &row.family,
            Self::Exemplar(row) => row.series.labels.metric_name(),
        }
    }

    /// The table's order, and for `samples` only as far as rows are to be combined: by window.
    fn key_cmp(&self, other: &Self) -> Ordering {
        match (self, other) {
            (Self::Samples(a), Self::Samples(b)) => {
                let window = |row: &SeriesSamples| row.timestamps.first().map(|t| window_of(*t));
                let name = |row: &SeriesSamples| -> SeriesId { row.series.id };
                (a.series
                    .labels
                    .metric_name()
                    .cmp(b.series.labels.metric_name()))
                .then_with(|| name(a).cmp(&name(b)))
                .then_with(|| window(a).cmp(&window(b)))
            }
            (Self::Series(a), Self::Series(b)) => a.order(b),
            (Self::Metadata(a), Self::Metadata(b)) => a.order_key().cmp(&b.order_key()),
            (Self::Exemplar(a), Self::Exemplar(b)) => a.total_cmp(b),
            _ => Ordering::Equal,
        }
    }

    /// Combines rows of one key.
    fn absorb(&mut self, other: Self) -> Result<()> {
        match (self, other) {
            (Self::Samples(into), Self::Samples(row)) => {
                if into.series.labels != row.series.labels {
                    return Err(collision(
                        into.series.id,
                        &into.series.labels,
                        &row.series.labels,
                    ));
                }
                into.append(&row);
            }
            (Self::Series(into), Self::Series(row)) => {
                if into.series.id != row.series.id {
                    return Err(collision(
                        row.series.id,
                        &into.series.labels,
                        &row.series.labels,
                    ));
                }
                into.absorb(&row);
            }
            // Equal in all that the key has: one exemplar.
            (Self::Exemplar(into), Self::Exemplar(row))
                if into.series.labels != row.series.labels =>
            {
                return Err(collision(
                    row.series.id,
                    &into.series.labels,
                    &row.series.labels,
                ));
            }
            _ => {}
        }
        Ok(())
    }

    /// Bytes in memory, about.
    pub(crate) fn weight(&self) -> usize {
        match self {
            Self::Samples(row) => {
                let starts = row.start_timestamps.len() * 8;
                row.len() * 16 + row.histograms.len() * 256 + starts + ROW_BYTES
            }
            Self::Exemplar(row) => row.own_bytes() + ROW_BYTES,
            Self::Series(_) | Self::Metadata(_) => ROW_BYTES,
        }
    }
}

/// The sort order of `metadata`, which goes by the names of types.
trait OrderKey {
    fn order_key(&self) -> (&str, &str, &str, &str);
}

impl OrderKey for MetricMetadata {
    fn order_key(&self) -> (&str, &str, &str, &str) {
        (&self.family, self.kind.as_str(), &self.unit, &self.help)
    }
}

/// Sorts metadata as its table does and drops repetitions.
pub(crate) fn sort_metadata(rows: &mut Vec<MetricMetadata>) {
    rows.sort_by(|a, b| a.order_key().cmp(&b.order_key()));
    rows.dedup();
}

fn collision(id: SeriesId, one: &impl ToString, other: &impl ToString) -> Error {
    Error::Table(TableError::SeriesCollision {
        id: format!("{id:?}"),
        one: one.to_string(),
        other: other.to_string(),
    })
}

fn decode(kind: TableKind, key: &Path, batch: &RecordBatch) -> Result<VecDeque<Row>> {
    Ok(match kind {
        TableKind::Series => decode_series(key.as_ref(), batch)?
            .into_iter()
            .map(Row::Series)
            .collect(),
        TableKind::Metadata => decode_metadata(key.as_ref(), batch)?
            .into_iter()
            .map(Row::Metadata)
            .collect(),
        TableKind::Exemplars => decode_exemplars(batch)
            .map_err(|reason| TableError::corrupt(key, reason))?
            .into_iter()
            .map(Row::Exemplar)
            .collect(),
        TableKind::Samples => {
            let rows = SampleRows::new(batch).map_err(|e| TableError::corrupt(key, e))?;
            let mut out = VecDeque::with_capacity(rows.len());
            for row in rows.iter() {
                let labels = row
                    .labels()
                    .ok_or_else(|| TableError::corrupt(key, "labels are not in canonical order"))?;
                let series = varve_storage::Series {
                    id: row.series_id(),
                    labels,
                };
                let mut samples = SeriesSamples::new(Arc::new(series));
                samples.extend(row);
                out.push_back(Row::Samples(samples));
            }
            out
        }
    })
}

/// Builds a batch of rows of one table.
pub(crate) fn encode(kind: TableKind, rows: Vec<Row>) -> Result<RecordBatch> {
    match kind {
        TableKind::Samples => {
            let samples = rows.iter().map(|row| row.weight() / 16).sum();
            let mut builder = SampleRowsBuilder::with_capacity(rows.len(), samples);
            for row in &rows {
                if let Row::Samples(row) = row {
                    push_samples(&mut builder, row, 0..row.len())?;
                }
            }
            Ok(builder.finish()?)
        }
        TableKind::Series => {
            let rows: Vec<SeriesRow> = rows
                .into_iter()
                .filter_map(|row| match row {
                    Row::Series(row) => Some(row),
                    _ => None,
                })
                .collect();
            Ok(encode_series(&rows)?)
        }
        TableKind::Metadata => {
            let rows: Vec<MetricMetadata> = rows
                .into_iter()
                .filter_map(|row| match row {
                    Row::Metadata(row) => Some(row),
                    _ => None,
                })
                .collect();
            Ok(encode_metadata(&rows)?)
        }
        TableKind::Exemplars => {
            let rows: Vec<Exemplar> = rows
                .into_iter()
                .filter_map(|row| match row {
                    Row::Exemplar(row) => Some(row),
                    _ => None,
                })
                .collect();
            encode_exemplars(&rows)
        }
    }
}

/// Builds a batch of `exemplars`, rows in the given order.
pub(crate) fn encode_exemplars(rows: &[Exemplar]) -> Result<RecordBatch> {
    exemplars_batch(rows).map_err(|error| {
        let (what, reason) = ("rows of exemplars".to_owned(), error.to_string());
        Error::Table(TableError::Encode { what, reason })
    })
}

/// Appends a part of a series' samples, as several rows where it is long.
pub(crate) fn push_samples(
    builder: &mut SampleRowsBuilder,
    row: &SeriesSamples,
    range: std::ops::Range<usize>,
) -> Result<()> {
    let mut start = range.start;
    while start < range.end {
        let end = range.end.min(start + ROW_SAMPLES_MAX);
        let part = start..end;
        let timestamps = row.timestamps.get(part.clone()).unwrap_or_default();
        let values = row.values.get(part.clone()).unwrap_or_default();
        let histograms = row.histograms.get(part.clone()).unwrap_or_default();
        let starts = row.start_timestamps.get(part).unwrap_or_default();
        builder.push(&row.series, timestamps, values, histograms, starts)?;
        start = end;
    }
    Ok(())
}

/// One input of the merge.
#[derive(Debug)]
struct Input {
    file: Arc<TableFile>,
    rows: Option<SortedRows>,
    ready: VecDeque<Row>,
}

/// What an input offers next: a row, or, before it was opened, the least name that it may hold.
#[derive(Debug)]
struct Head {
    row: Option<Row>,
    least_name: String,
    input: usize,
}

impl Head {
    fn name(&self) -> &str {
        self.row.as_ref().map_or(&self.least_name, Row::name)
    }
}

impl Ord for Head {
    fn cmp(&self, other: &Self) -> Ordering {
        // What is not open yet comes before rows of the same name, because its first row may be less than they.
        self.name()
            .cmp(other.name())
            .then_with(|| match (&self.row, &other.row) {
                (Some(a), Some(b)) => a.key_cmp(b),
                (a, b) => a.is_some().cmp(&b.is_some()),
            })
            .then_with(|| self.input.cmp(&other.input))
    }
}

impl PartialOrd for Head {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Head {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other) == Ordering::Equal
    }
}

impl Eq for Head {}

/// Merges live files of one table.
#[derive(Debug)]
pub(crate) struct MergedRows {
    store: Arc<dyn ObjectStore>,
    root: Path,
    kind: TableKind,
    inputs: Vec<Input>,
    heads: BinaryHeap<Reverse<Head>>,
    bytes_per_input: usize,
}

impl MergedRows {
    /// A merge that holds about `bytes_max` bytes of decoded rows.
    pub(crate) fn new(
        store: &Arc<dyn ObjectStore>,
        root: &Path,
        kind: TableKind,
        files: &[Arc<TableFile>],
        bytes_max: usize,
    ) -> Self {
        let inputs: Vec<Input> = files
            .iter()
            .map(|file| Input {
                file: Arc::clone(file),
                rows: None,
                ready: VecDeque::new(),
            })
            .collect();
        let heads = inputs
            .iter()
            .enumerate()
            .map(|(input, source)| {
                Reverse(Head {
                    row: None,
                    least_name: source.file.min_name.clone().unwrap_or_default(),
                    input,
                })
            })
            .collect();
        Self {
            store: Arc::clone(store),
            root: root.clone(),
            kind,
            bytes_per_input: bytes_max / inputs.len().max(1),
            inputs,
            heads,
        }
    }

    /// The next row: all rows of the least key, combined. `None` at the end.
    pub(crate) async fn next(&mut self) -> Result<Option<Row>> {
        let Some(mut row) = self.pop().await? else {
            return Ok(None);
        };
        loop {
            self.open_up_to(row.name()).await?;
            let same = self
                .heads
                .peek()
                .and_then(|Reverse(head)| head.row.as_ref())
                .is_some_and(|next| next.key_cmp(&row) == Ordering::Equal);
            if !same {
                break;
            }
            if let Some(next) = self.pop().await? {
                row.absorb(next)?;
            }
        }
        if let Row::Samples(samples) = &mut row {
            samples.normalize();
        }
        Ok(Some(row))
    }

    /// Opens every file that may hold rows of `name` or less.
    async fn open_up_to(&mut self, name: &str) -> Result<()> {
        while let Some(Reverse(head)) = self.heads.peek() {
            if head.row.is_some() || head.name() > name {
                return Ok(());
            }
            let Some(Reverse(head)) = self.heads.pop() else {
                return Ok(());
            };
            self.refill(head.input).await?;
        }
        Ok(())
    }

    async fn pop(&mut self) -> Result<Option<Row>> {
        while let Some(Reverse(head)) = self.heads.pop() {
            self.refill(head.input).await?;
            if head.row.is_some() {
                return Ok(head.row);
            }
        }
        Ok(None)
    }

    /// Puts an input's next row on the heap, if it has one.
    async fn refill(&mut self, index: usize) -> Result<()> {
        let Some(input) = self.inputs.get_mut(index) else {
            return Ok(());
        };
        while input.ready.is_empty() {
            let rows = match &mut input.rows {
                Some(rows) => rows,
                None => {
                    let row_bytes = ROW_BYTES as u64
                        + (input.file.samples * 16)
                            .checked_div(input.file.rows)
                            .unwrap_or(0);
                    let batch_rows = (self.bytes_per_input as u64 / row_bytes) as usize;
                    let opened = SortedRows::open(
                        &self.store,
                        &self.root,
                        self.kind,
                        &input.file,
                        batch_rows.clamp(16, BATCH_ROWS_MAX),
                    )
                    .await?;
                    input.rows.insert(opened)
                }
            };
            match rows.next().await? {
                Some(batch) => input.ready = decode(self.kind, rows.key(), &batch)?,
                None => {
                    // Whole files are held in memory; the end of one frees it.
                    input.rows = None;
                    return Ok(());
                }
            }
        }
        if let Some(row) = input.ready.pop_front() {
            self.heads.push(Reverse(Head {
                row: Some(row),
                least_name: String::new(),
                input: index,
            }));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use varve_storage::{Labels, SampleValue, Series};

    fn row(id: u8, instance: &str) -> Row {
        let series = Series {
            id: SeriesId([id; 16]),
            labels: Labels::from_pairs([("__name__", "up"), ("instance", instance)]),
        };
        let mut samples = SeriesSamples::new(Arc::new(series));
        samples.push(0, &SampleValue::Float(1.0));
        Row::Samples(samples)
    }

    #[test]
    fn two_label_sets_with_one_id_are_an_error_that_names_both() {
        let error = row(1, "a").absorb(row(1, "b")).unwrap_err().to_string();
        assert!(
            error.contains(r#"instance="a""#) && error.contains(r#"instance="b""#),
            "{error}"
        );
        row(1, "a").absorb(row(1, "a")).unwrap();
    }

    #[test]
    fn long_rows_become_several() {
        let Row::Samples(mut samples) = row(1, "a") else {
            return;
        };
        for time in 1..ROW_SAMPLES_MAX as i64 + 5 {
            samples.push(time, &SampleValue::Float(1.0));
        }
        let batch = encode(TableKind::Samples, vec![Row::Samples(samples)]).unwrap();
        let rows = SampleRows::new(&batch).unwrap();
        let lengths: Vec<usize> = rows.iter().map(|row| row.len()).collect();
        assert_eq!(lengths, [ROW_SAMPLES_MAX, 5]);
    }
}
