//! The exemplars of a pass: which of them `exemplars` does not hold yet, by day.
//!
//! The table has marks of its own, which only passes with exemplars advance. So they may lie behind those of `samples`, with no exemplar
//! in between, or ahead of them, where an earlier pass died after it had committed exemplars. In both cases exactly the exemplars of segments
//! above the marks are new.

use std::collections::BTreeMap;

use chrono::{Datelike, NaiveDate};
use varve_storage::Exemplar;
use varve_storage::wal::Segment;

use crate::windows::date_of;

/// Exemplars of one segment.
#[derive(Debug)]
pub(crate) struct SegmentExemplars {
    shard: u32,
    sequence: u64,
    exemplars: Vec<Exemplar>,
}

impl SegmentExemplars {
    /// Takes the exemplars out of segments; what had none is left out.
    pub(crate) fn take(segments: &mut [Segment]) -> Vec<Self> {
        let with_some = segments.iter_mut().filter(|s| !s.exemplars.is_empty());
        with_some
            .map(|segment| Self {
                shard: segment.shard,
                sequence: segment.sequence,
                exemplars: std::mem::take(&mut segment.exemplars),
            })
            .collect()
    }
}

/// New exemplars, ready to be written.
#[derive(Debug, Default)]
pub(crate) struct NewExemplars {
    /// By UTC day, in the table's order, each once.
    pub(crate) days: BTreeMap<NaiveDate, Vec<Exemplar>>,
    /// How many they are.
    pub(crate) count: u64,
}

impl NewExemplars {
    /// Those of segments above `marks`.
    pub(crate) fn above(marks: &BTreeMap<u32, u64>, segments: Vec<SegmentExemplars>) -> Self {
        let mut new = Self::default();
        let mut dropped = 0;
        let mark = |shard| marks.get(&shard).copied().unwrap_or(0);
        let above = segments.into_iter().filter(|s| s.sequence > mark(s.shard));
        for exemplar in above.flat_map(|segment| segment.exemplars) {
            let date = date_of(exemplar.timestamp_ms);
            match date.filter(|date| (1..=9_999).contains(&date.year())) {
                Some(date) => new.days.entry(date).or_default().push(exemplar),
                None => dropped += 1,
            }
        }
        for day in new.days.values_mut() {
            day.sort_by(Exemplar::total_cmp);
            day.dedup_by(|a, b| a.total_cmp(b).is_eq());
            new.count += day.len() as u64;
        }
        if dropped > 0 {
            tracing::error!(
                exemplars = dropped,
                "exemplars at times before year 1 or after year 9999 are not kept"
            );
        }
        new
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use varve_storage::{Labels, Series};

    use super::*;

    fn segment(shard: u32, sequence: u64, times: &[i64]) -> SegmentExemplars {
        let series = Arc::new(Series::new(Labels::from_pairs([("__name__", "x")])));
        let exemplar = |time: &i64| Exemplar {
            series: Arc::clone(&series),
            labels: Labels::empty(),
            timestamp_ms: *time,
            value: 1.0,
        };
        SegmentExemplars {
            shard,
            sequence,
            exemplars: times.iter().map(exemplar).collect(),
        }
    }

    #[test]
    fn what_the_table_holds_is_left_out_and_days_are_sorted() {
        const DAY_MS: i64 = 86_400_000;
        let segments = vec![
            segment(0, 3, &[1]),
            segment(0, 4, &[DAY_MS, 7]),
            segment(1, 1, &[5, DAY_MS]),
            segment(2, 9, &[i64::MAX, i64::MIN]),
        ];
        let new = NewExemplars::above(&[(0, 3)].into(), segments);
        let times: Vec<Vec<i64>> = new
            .days
            .values()
            .map(|day| day.iter().map(|e| e.timestamp_ms).collect())
            .collect();
        assert_eq!(times, [vec![5, 7], vec![DAY_MS]]);
        assert_eq!(new.count, 3);
    }
}
