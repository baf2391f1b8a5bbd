//! Finds the series of a selector in files and tail.

use std::collections::HashMap;
use std::sync::Arc;

use arrow::array::AsArray;
use arrow::datatypes::Int64Type;
use futures::{StreamExt, TryStreamExt, stream};
use varve_storage::{SeriesId, SeriesRef, columns};

use super::archive::{ArchiveFile, ArchiveSource, WalRows};
use super::error_context::collision;
use super::matcher::{CompiledMatchers, NameFilter};
use super::series_file::{self, SeriesRows};
use crate::error::Result;

/// Files of `series` that are read at the same time.
const FILES_AT_ONCE: usize = 16;

/// Every series that fulfils the matchers and may have samples in the closed range of time: each once, sorted by labels.
pub(super) async fn find(
    source: &ArchiveSource,
    matchers: &CompiledMatchers,
    min_ms: i64,
    max_ms: i64,
) -> Result<Vec<SeriesRef>> {
    let names = matchers.names();
    if min_ms > max_ms || matches!(names, NameFilter::OneOf(names) if names.is_empty()) {
        return Ok(Vec::new());
    }
    let wanted = |file: &&Arc<ArchiveFile>| {
        file.min_time_ms <= max_ms
            && file.max_time_ms >= min_ms
            && names.admits_range(file.min_name.as_deref(), file.max_name.as_deref())
    };
    let reads: Vec<_> = source
        .parts
        .series
        .iter()
        .filter(wanted)
        .map(|file| series_file::read(source, file, names))
        .collect();
    let files: Vec<Vec<Arc<SeriesRows>>> = stream::iter(reads)
        .buffered(FILES_AT_ONCE)
        .try_collect()
        .await?;
    let mut found = Found {
        matchers,
        by_id: HashMap::new(),
    };
    for row in files.iter().flatten().flat_map(|rows| &rows.rows) {
        if row.min_time_ms <= max_ms && row.max_time_ms >= min_ms {
            found.add(&row.series)?;
        }
    }
    for segment in &source.parts.wal {
        for row in wal_rows(segment, names, min_ms, max_ms) {
            found.add(&segment.series[row])?;
        }
    }
    let mut series: Vec<SeriesRef> = found.by_id.into_values().flatten().collect();
    series.sort_unstable_by(|a, b| a.labels.cmp(&b.labels));
    Ok(series)
}

/// The rows of a segment whose name passes and whose closed range of time meets the given one.
pub(super) fn wal_rows<'a>(
    segment: &'a WalRows,
    names: &'a NameFilter,
    min_ms: i64,
    max_ms: i64,
) -> impl Iterator<Item = usize> + 'a {
    let times = |name| {
        segment
            .samples
            .column_by_name(name)
            .and_then(|column| column.as_primitive_opt::<Int64Type>())
    };
    let (min_times, max_times) = (times(columns::MIN_TIME), times(columns::MAX_TIME));
    let series = &segment.series;
    let name = |row: usize| series[row].labels.metric_name();
    // Rows are sorted by name.
    let ranges: Vec<std::ops::Range<usize>> = match names {
        NameFilter::OneOf(names) => names
            .iter()
            .map(|wanted| {
                let start = series.partition_point(|s| s.labels.metric_name() < wanted.as_str());
                let equal = series[start..].partition_point(|s| s.labels.metric_name() == wanted);
                start..start + equal
            })
            .collect(),
        NameFilter::Prefix(_) | NameFilter::Any => std::iter::once(0..series.len()).collect(),
    };
    ranges.into_iter().flatten().filter(move |&row| {
        min_times.is_none_or(|times| times.value(row) <= max_ms)
            && max_times.is_none_or(|times| times.value(row) >= min_ms)
            && names.admits(name(row))
    })
}

/// Series by id; `None` for one that does not match, so that a selector's matchers see each series once.
struct Found<'a> {
    matchers: &'a CompiledMatchers,
    by_id: HashMap<SeriesId, Option<SeriesRef>>,
}

impl Found<'_> {
    fn add(&mut self, series: &SeriesRef) -> Result<()> {
        match self.by_id.get(&series.id) {
            Some(Some(known)) => {
                if !Arc::ptr_eq(known, series) && known.labels != series.labels {
                    return Err(collision(series.id, &known.labels, &series.labels));
                }
            }
            Some(None) => {}
            None => {
                let matching = self.matchers.matches(&series.labels);
                self.by_id
                    .insert(series.id, matching.then(|| Arc::clone(series)));
            }
        }
        Ok(())
    }
}
