//! The series of the head, from a first pass over the log.

use std::collections::HashMap;
use std::sync::Arc;

use varve_storage::{FloatHistogram, Labels, MetricMetadata, MetricType, Series, SeriesRef};

use super::mapped::Mapped;
use crate::wal::Record;

/// A deletion of all times removes a series from the head.
const ALL_TIMES: (i64, i64) = (i64::MIN, i64::MAX);

/// A series and what replay knows of it.
#[derive(Debug)]
pub(super) struct HeadSeries {
    pub(super) series: SeriesRef,
    /// The reference under which its chunks were written: the last one that its labels were logged with.
    pub(super) reference: u64,
    /// The record that logged it last. What was logged before is in blocks, and is dropped as Prometheus does.
    pub(super) since: u64,
    /// Whether it was not removed later.
    pub(super) alive: bool,
    /// Deleted ranges, both ends included.
    pub(super) deleted: Vec<(i64, i64)>,
    /// The newest time in order; later samples that are not newer are out of order, and in the other log.
    pub(super) newest: i64,
    /// The value before, if it is a histogram.
    pub(super) before: Option<Arc<FloatHistogram>>,
    /// Whether the newest sample is a histogram: a stale marker is one then, too.
    pub(super) is_histogram: bool,
    /// Whether samples came out of order: what lies between samples is not certain then.
    pub(super) has_out_of_order: bool,
    metadata: Option<(MetricType, String, String)>,
}

/// All series of the head.
#[derive(Debug, Default)]
pub(super) struct SeriesTable {
    series: Vec<HeadSeries>,
    by_reference: HashMap<u64, usize>,
    by_labels: HashMap<Labels, usize>,
}

impl SeriesTable {
    /// Takes what record `number` (from 0) says of series.
    pub(super) fn take(&mut self, number: u64, record: Record, min_valid_time: i64) {
        match record {
            Record::Series(all) => {
                for (reference, labels) in all {
                    self.add(number, reference, labels);
                }
            }
            Record::Tombstones(stones) => {
                for stone in stones {
                    if stone.range == ALL_TIMES {
                        self.remove(stone.series);
                    } else if stone.range.1 >= min_valid_time
                        && let Some(series) = self.get_mut(stone.series)
                    {
                        series.deleted.push(stone.range);
                    }
                }
            }
            Record::Metadata(all) => {
                for metadata in all {
                    if let Some(series) = self.get_mut(metadata.series) {
                        series.metadata = Some((metadata.kind, metadata.unit, metadata.help));
                    }
                }
            }
            _ => {}
        }
    }

    fn add(&mut self, number: u64, reference: u64, labels: Labels) {
        if let Some(place) = self.by_labels.get(&labels).copied() {
            self.by_reference.insert(reference, place);
            if let Some(series) = self.series.get_mut(place) {
                series.reference = reference;
                series.since = number;
            }
            return;
        }
        let place = self.series.len();
        self.by_reference.insert(reference, place);
        self.by_labels.insert(labels.clone(), place);
        self.series.push(HeadSeries {
            series: Arc::new(Series::new(labels)),
            reference,
            since: number,
            alive: true,
            deleted: Vec::new(),
            newest: i64::MIN,
            before: None,
            is_histogram: false,
            has_out_of_order: false,
            metadata: None,
        });
    }

    fn remove(&mut self, reference: u64) {
        if let Some(series) = self.get_mut(reference) {
            series.alive = false;
            let labels = series.series.labels.clone();
            self.by_labels.remove(&labels);
        }
    }

    /// A series that is in the head, by any of its references.
    pub(super) fn get_mut(&mut self, reference: u64) -> Option<&mut HeadSeries> {
        let place = self.by_reference.get(&reference)?;
        self.series.get_mut(*place).filter(|series| series.alive)
    }

    /// Says which series have full chunks, and how far they reach.
    pub(super) fn attach(&mut self, mapped: &Mapped) {
        for series in self.series.iter_mut().filter(|series| series.alive) {
            let chunks = mapped.in_order.get(&series.reference);
            if let Some(last) = chunks.and_then(|chunks| chunks.last()) {
                series.newest = last.max_time;
                series.is_histogram = last.encoding.is_histogram();
            }
            series.has_out_of_order |= mapped.out_of_order.contains_key(&series.reference);
        }
    }

    /// The series that are in the head, in the order of their labels.
    pub(super) fn sorted(&self) -> Vec<&HeadSeries> {
        let mut sorted: Vec<&HeadSeries> =
            self.series.iter().filter(|series| series.alive).collect();
        sorted.sort_unstable_by(|a, b| a.series.labels.cmp(&b.series.labels));
        sorted
    }

    /// What is known of metrics, each once.
    pub(super) fn metadata(&self) -> std::collections::BTreeSet<MetricMetadata> {
        self.series
            .iter()
            .filter(|series| series.alive)
            .filter_map(|series| {
                let (kind, unit, help) = series.metadata.clone()?;
                Some(MetricMetadata {
                    family: family(series.series.labels.metric_name(), kind).to_owned(),
                    kind,
                    unit,
                    help,
                })
            })
            .collect()
    }
}

/// The name of the family that a series of a metric belongs to.
fn family(name: &str, kind: MetricType) -> &str {
    let suffixes: &[&str] = match kind {
        MetricType::Histogram => &["_bucket", "_count", "_sum"],
        MetricType::GaugeHistogram => &["_bucket", "_gcount", "_gsum"],
        MetricType::Summary => &["_count", "_sum"],
        MetricType::Info => &["_info"],
        _ => &[],
    };
    let stripped = suffixes.iter().find_map(|suffix| name.strip_suffix(suffix));
    stripped.filter(|family| !family.is_empty()).unwrap_or(name)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;
    use crate::wal::record::LoggedTombstone;

    fn labels(value: &str) -> Labels {
        Labels::from_pairs([("a", value)])
    }

    #[test]
    fn a_series_that_came_again_begins_anew() {
        let mut table = SeriesTable::default();
        table.take(
            0,
            Record::Series(vec![(1, labels("x")), (2, labels("y"))]),
            0,
        );
        table.take(5, Record::Series(vec![(9, labels("x"))]), 0);
        let again = table.get_mut(1).unwrap();
        assert_eq!((again.reference, again.since), (9, 5));
        assert_eq!(table.get_mut(9).unwrap().series.labels, labels("x"));
        assert_eq!(table.sorted().len(), 2);
    }

    #[test]
    fn a_series_that_was_removed_is_another_one_later() {
        let mut table = SeriesTable::default();
        let removal = LoggedTombstone {
            series: 1,
            range: ALL_TIMES,
        };
        table.take(0, Record::Series(vec![(1, labels("x"))]), 0);
        table.take(1, Record::Tombstones(vec![removal]), 0);
        assert!(table.get_mut(1).is_none());
        table.take(2, Record::Series(vec![(3, labels("x"))]), 0);
        assert!(table.get_mut(1).is_none());
        assert_eq!(table.get_mut(3).unwrap().since, 2);
        assert_eq!(table.sorted().len(), 1);
    }

    #[test]
    fn families_are_without_suffixes() {
        assert_eq!(family("a_bucket", MetricType::Histogram), "a");
        assert_eq!(family("a_bucket", MetricType::Counter), "a_bucket");
        assert_eq!(family("a_total", MetricType::Counter), "a_total");
        assert_eq!(family("_sum", MetricType::Summary), "_sum");
    }
}
