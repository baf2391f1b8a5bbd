//! Segments: encoding and decoding. `FORMAT.md` specifies the bytes.

use std::sync::{Arc, Mutex, PoisonError};

use arrow::array::{Array, AsArray, RecordBatch, new_null_array};
use arrow::datatypes::Int64Type;
use arrow::error::ArrowError;
use bytes::Bytes;
use object_store::PutPayload;
use object_store::path::Path;
use uuid::Uuid;

use super::trailer::{TRAILER_BYTES, Trailer, TrailerError, VERSION, VERSION_WITHOUT_STARTS};
use super::{extras, section};
use crate::columns;
use crate::error::{Error, Result};
use crate::exemplar::{Exemplar, decode_exemplars, exemplars_batch};
use crate::keys::TenantKeys;
use crate::labels::{Series, SeriesId, SeriesRef};
use crate::limits::SEGMENT_DECODED_BYTES_MAX;
use crate::metadata::MetricMetadata;
use crate::rows::{SampleRows, SeriesIdMap, SeriesSamples, samples_batch};

/// One decoded segment. Everything in it was checked: see `FORMAT.md`.
#[derive(Clone, Debug)]
pub struct Segment {
    /// The shard that it belongs to.
    pub shard: u32,
    /// Its place in the shard, from 1.
    pub sequence: u64,
    /// Who wrote it.
    pub writer: Uuid,
    /// Samples in [`columns::samples_schema`]: one row per series, sorted by (`__name__`, `series_id`).
    pub samples: RecordBatch,
    /// The series of each row of `samples`.
    pub series: Vec<SeriesRef>,
    /// Metric metadata, sorted, each entry once.
    pub metadata: Vec<MetricMetadata>,
    /// Exemplars, sorted, each once.
    pub exemplars: Vec<Exemplar>,
    /// The number of samples.
    pub sample_count: usize,
    /// The first and the last sample's time in milliseconds; `None` without samples.
    pub time_range_ms: Option<(i64, i64)>,
    /// The size of the object.
    pub encoded_bytes: usize,
    /// The size of the columns in memory, about.
    pub decoded_bytes: usize,
}

/// What a segment holds, before it is encoded.
#[derive(Clone, Debug, Default)]
pub struct SegmentContent {
    /// One row per series, sorted by (`__name__`, `series_id`), normalized: what [`crate::rows::SampleSet::into_rows`] gives.
    pub rows: Vec<SeriesSamples>,
    /// Sorted, each entry once.
    pub metadata: Vec<MetricMetadata>,
    /// Sorted by [`Exemplar::total_cmp`], each once.
    pub exemplars: Vec<Exemplar>,
}

/// A segment without its trailer: the part that does not depend on the sequence it gets.
#[derive(Clone, Debug)]
pub(super) struct SegmentBody {
    bytes: Bytes,
    sections: [u64; 3],
    version: u32,
    checksum: crc32fast::Hasher,
}

impl SegmentBody {
    pub(super) fn encode(content: &SegmentContent) -> Result<Self> {
        let mut samples = samples_batch(&content.rows)?;
        let unbuildable =
            |error: ArrowError| Error::Invalid(format!("a WAL segment cannot be built: {error}"));
        let starts = samples.column_by_name(columns::START_TIMESTAMPS);
        let mut version = VERSION;
        if starts.is_none_or(|starts| starts.null_count() == starts.len()) {
            version = VERSION_WITHOUT_STARTS;
            let kept = columns::samples_schema_without_starts().fields().len();
            let kept: Vec<usize> = (0..kept).collect();
            samples = samples.project(&kept).map_err(unbuildable)?;
        }
        let mut bytes = section::encode(&samples).map_err(unbuildable)?;
        let samples_end = bytes.len();
        if !content.metadata.is_empty() {
            let batch = extras::metadata_batch(&content.metadata).map_err(unbuildable)?;
            bytes.extend_from_slice(&section::encode(&batch).map_err(unbuildable)?);
        }
        let metadata_end = bytes.len();
        if !content.exemplars.is_empty() {
            let batch = exemplars_batch(&content.exemplars).map_err(unbuildable)?;
            bytes.extend_from_slice(&section::encode(&batch).map_err(unbuildable)?);
        }
        let mut checksum = crc32fast::Hasher::new();
        checksum.update(&bytes);
        Ok(Self {
            sections: [
                samples_end as u64,
                (metadata_end - samples_end) as u64,
                (bytes.len() - metadata_end) as u64,
            ],
            version,
            bytes: bytes.into(),
            checksum,
        })
    }

    /// The two pieces of the whole segment at a place; the body is shared, not copied.
    pub(super) fn seal(&self, writer: Uuid, shard: u32, sequence: u64) -> [Bytes; 2] {
        let trailer = Trailer {
            writer,
            shard,
            sequence,
            sections: self.sections,
            version: self.version,
        };
        let trailer = Bytes::copy_from_slice(&trailer.encode(&self.checksum));
        [self.bytes.clone(), trailer]
    }

    /// The size of the whole segment.
    pub(super) fn encoded_bytes(&self) -> usize {
        self.bytes.len() + TRAILER_BYTES
    }
}

/// The payload of a PUT.
pub(super) fn payload(pieces: &[Bytes; 2]) -> PutPayload {
    pieces.iter().cloned().collect()
}

/// Encodes a segment as one piece. Equal arguments give equal bytes.
///
/// # Errors
/// [`Error::Invalid`] for rows that are not normalized, [`Error::Limit`] for too many.
pub fn encode_segment(
    writer: Uuid,
    shard: u32,
    sequence: u64,
    content: &SegmentContent,
) -> Result<Bytes> {
    let pieces = SegmentBody::encode(content)?.seal(writer, shard, sequence);
    Ok(pieces.concat().into())
}

/// Decodes and checks a segment. `key` is where it was found; it names the segment in errors, and the shard and the sequence in it must be
/// those that the segment itself states.
///
/// # Errors
/// [`Error::Corrupt`] for anything but a valid segment; [`Error::Invalid`] for one that a newer Varve wrote, which must not be thrown
/// away.
pub fn decode_segment(key: &Path, bytes: Bytes) -> Result<Segment> {
    decode_segment_sharing(key, bytes, &SeriesCache::default())
}

/// As [`decode_segment`]; series that the cache knows are shared with it, and the others are entered.
pub(super) fn decode_segment_sharing(
    key: &Path,
    bytes: Bytes,
    cache: &SeriesCache,
) -> Result<Segment> {
    let corrupt = |reason: String| Error::Corrupt {
        key: key.to_string(),
        reason,
    };
    let trailer = match Trailer::decode(&bytes) {
        Ok(trailer) => trailer,
        Err(TrailerError::Corrupt(reason)) => return Err(corrupt(reason)),
        Err(TrailerError::Newer(version)) => {
            return Err(Error::Invalid(format!(
                "{key} has format version {version}, and this varve reads up to {VERSION}: upgrade all readers before any writer"
            )));
        }
    };
    let place = (
        TenantKeys::segment_shard(key),
        TenantKeys::segment_sequence(key),
    );
    if place != (Some(trailer.shard), Some(trailer.sequence)) {
        return Err(corrupt(format!(
            "it is segment {} of shard {}",
            trailer.sequence, trailer.shard
        )));
    }
    decode_sections(&trailer, bytes, cache).map_err(corrupt)
}

fn decode_sections(
    trailer: &Trailer,
    bytes: Bytes,
    cache: &SeriesCache,
) -> Result<Segment, String> {
    // The trailer's check has shown that the sections lie within the bytes.
    let [samples, metadata, _] = trailer.sections.map(|length| length as usize);
    let body = bytes.slice(..bytes.len() - TRAILER_BYTES);
    let limit = SEGMENT_DECODED_BYTES_MAX;
    let schema = match trailer.version {
        VERSION_WITHOUT_STARTS => columns::samples_schema_without_starts(),
        _ => columns::samples_schema(),
    };
    let (samples_batch, mut decoded_bytes) =
        section::decode(body.slice(..samples), &schema, limit)?;
    let samples_batch = with_starts(samples_batch)?;
    let (series, sample_count, time_range_ms) = check_samples(&samples_batch, cache)?;
    let metadata_bytes = body.slice(samples..samples + metadata);
    let mut entries = Vec::new();
    if !metadata_bytes.is_empty() {
        let schema = extras::metadata_schema();
        let (batch, size) = section::decode(metadata_bytes, &schema, limit - decoded_bytes)?;
        decoded_bytes += size;
        entries = extras::read_metadata(&batch)?;
        if entries.windows(2).any(|pair| pair[0] >= pair[1]) {
            return Err("metadata is not in order".to_owned());
        }
    }
    let exemplar_bytes = body.slice(samples + metadata..);
    let mut exemplars = Vec::new();
    if !exemplar_bytes.is_empty() {
        let schema = columns::exemplars_schema();
        let (batch, size) = section::decode(exemplar_bytes, &schema, limit - decoded_bytes)?;
        decoded_bytes += size;
        exemplars = decode_exemplars(&batch)?;
        if exemplars
            .windows(2)
            .any(|pair| pair[0].total_cmp(&pair[1]).is_ge())
        {
            return Err("exemplars are not in order".to_owned());
        }
    }
    Ok(Segment {
        shard: trailer.shard,
        sequence: trailer.sequence,
        writer: trailer.writer,
        samples: samples_batch,
        series,
        metadata: entries,
        exemplars,
        sample_count,
        time_range_ms,
        encoded_bytes: bytes.len(),
        decoded_bytes,
    })
}

/// A batch of samples with its last column, null in every row if it had none.
fn with_starts(batch: RecordBatch) -> Result<RecordBatch, String> {
    let schema = columns::samples_schema();
    if batch.num_columns() == schema.fields().len() {
        return Ok(batch);
    }
    let mut arrays = batch.columns().to_vec();
    arrays.push(new_null_array(
        &columns::timestamps_type(),
        batch.num_rows(),
    ));
    RecordBatch::try_new(schema, arrays).map_err(|error| error.to_string())
}

/// Series seen in other segments. Segments of one target repeat the same series, and neither their labels nor the sums over
/// them need to be made again.
#[derive(Debug, Default)]
pub(super) struct SeriesCache {
    series: Mutex<SeriesIdMap<SeriesRef>>,
}

impl SeriesCache {
    fn with<T>(&self, work: impl FnOnce(&mut SeriesIdMap<SeriesRef>) -> T) -> T {
        work(&mut self.series.lock().unwrap_or_else(PoisonError::into_inner))
    }

    fn find(&self, ids: impl Iterator<Item = SeriesId>) -> Vec<Option<SeriesRef>> {
        self.with(|series| ids.map(|id| series.get(&id).cloned()).collect())
    }

    fn enter(&self, found: &[SeriesRef]) {
        self.with(|series| {
            for one in found {
                series.entry(one.id).or_insert_with(|| Arc::clone(one));
            }
        });
    }

    /// Lets go of series that nobody else holds.
    pub(super) fn prune(&self) {
        self.with(|series| series.retain(|_, one| Arc::strong_count(one) > 1));
    }
}

type Checked = (Vec<SeriesRef>, usize, Option<(i64, i64)>);

/// Checks every row, and gives the series, the number of samples and their range of time.
fn check_samples(batch: &RecordBatch, cache: &SeriesCache) -> Result<Checked, String> {
    let rows = SampleRows::check(batch)?;
    let column = |name| {
        batch
            .column_by_name(name)
            .and_then(|column| column.as_primitive_opt::<Int64Type>())
            .ok_or_else(|| format!("no column {name}"))
    };
    let (min_times, max_times) = (column(columns::MIN_TIME)?, column(columns::MAX_TIME)?);
    let known = cache.find(rows.iter().map(|row| row.series_id()));
    let mut series: Vec<SeriesRef> = Vec::with_capacity(rows.len());
    let mut time_range_ms: Option<(i64, i64)> = None;
    for (index, row) in rows.iter().enumerate() {
        let broken = |reason: &str| format!("row {index}: {reason}");
        if let Some(reason) = row.broken_rule() {
            return Err(broken(&reason));
        }
        let (min, max) = (min_times.value(index), max_times.value(index));
        if row.timestamps().first() != Some(&min) || row.timestamps().last() != Some(&max) {
            return Err(broken("min_time and max_time are not those of its samples"));
        }
        let this = match known.get(index).and_then(Option::as_ref) {
            Some(known) if row.has_labels(&known.labels) => Arc::clone(known),
            _ => {
                let labels = row
                    .labels()
                    .ok_or_else(|| broken("its labels are not canonical"))?;
                let id = SeriesId::of(&labels);
                if id != row.series_id() {
                    return Err(broken("its series_id is not that of its labels"));
                }
                Arc::new(Series { id, labels })
            }
        };
        if let Some(last) = series.last() {
            let before = (last.labels.metric_name(), last.id);
            if before >= (row.name(), this.id) {
                return Err(broken("it is out of order"));
            }
        }
        series.push(this);
        time_range_ms = Some(match time_range_ms {
            Some((first, last)) => (first.min(min), last.max(max)),
            None => (min, max),
        });
    }
    cache.enter(&series);
    Ok((series, rows.samples(), time_range_ms))
}

#[cfg(test)]
mod tests;
