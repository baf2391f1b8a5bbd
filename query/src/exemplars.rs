//! Exemplars of an archive: what is asked, what is answered, and how many are held meanwhile.
//!
//! An archive keeps exemplars for years, where Prometheus has a ring with the newest ones of all series. So that memory is bounded, an
//! answer has the newest ones too ([`NewestExemplars`]), of those that match and lie in the range, and says so where others are left out.

use std::cmp::Ordering;
use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use varve_promql::Matcher;
use varve_storage::{Exemplar, Labels, SeriesId, SeriesRef};

use crate::error::{Error, Result};

/// Exemplars of one answer: as many as Prometheus keeps by default, if it keeps any.
pub const EXEMPLARS_MAX: usize = 100_000;
/// Bytes of the exemplars of one answer and of their series.
pub const EXEMPLAR_BYTES_MAX: usize = 64 << 20;

/// Which exemplars are asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ExemplarQuery {
    /// Sets of matchers of which a series must fulfil at least one; none means no series.
    pub matchers: Vec<Vec<Matcher>>,
    /// Exemplars at or after this time.
    pub start_ms: i64,
    /// Exemplars at or before this time.
    pub end_ms: i64,
}

/// The exemplars of one series; at least one.
#[derive(Clone, Debug)]
pub struct SeriesExemplars {
    /// The series.
    pub series: SeriesRef,
    /// By time; those of one time by value, then by labels.
    pub exemplars: Vec<Exemplar>,
}

/// Exemplars, each once, up to a limit: of more, the newest. What is kept does not depend on the order in which they come.
#[derive(Debug)]
pub(crate) struct NewestExemplars {
    exemplars_max: usize,
    bytes_max: usize,
    found: Vec<Exemplar>,
    /// The series of `found`, shared by its exemplars.
    series: HashMap<SeriesId, SeriesRef>,
    /// Bytes of `found` and its series, or more.
    bytes: usize,
    /// The newest that was left out. It and whatever is older stays out.
    left_out: Option<Exemplar>,
}

fn newest_first(a: &Exemplar, b: &Exemplar) -> Ordering {
    let by_time = b.timestamp_ms.cmp(&a.timestamp_ms);
    by_time.then_with(|| b.total_cmp(a))
}

fn in_answer(a: &Exemplar, b: &Exemplar) -> Ordering {
    let series = a.series.labels.cmp(&b.series.labels);
    series
        .then_with(|| a.timestamp_ms.cmp(&b.timestamp_ms))
        .then_with(|| a.value.total_cmp(&b.value))
        .then_with(|| a.labels.cmp(&b.labels))
}

impl NewestExemplars {
    pub(crate) fn new(exemplars_max: usize, bytes_max: usize) -> Self {
        Self {
            exemplars_max,
            bytes_max,
            found: Vec::new(),
            series: HashMap::new(),
            bytes: 0,
            left_out: None,
        }
    }

    /// Exemplars before this time are left out in any case.
    pub(crate) fn oldest_ms(&self) -> i64 {
        self.left_out.as_ref().map_or(i64::MIN, |e| e.timestamp_ms)
    }

    /// Whether exemplars that were given are not in the answer.
    pub(crate) fn is_truncated(&self) -> bool {
        self.left_out.is_some()
    }

    /// Takes an exemplar.
    ///
    /// # Errors
    /// [`Error::Execution`] for another label set with the id of one that is there.
    pub(crate) fn add(&mut self, mut exemplar: Exemplar) -> Result<()> {
        let is_out = |out: &Exemplar| newest_first(&exemplar, out).is_ge();
        if self.left_out.as_ref().is_some_and(is_out) {
            return Ok(());
        }
        match self.series.get(&exemplar.series.id) {
            Some(known) => {
                if !Arc::ptr_eq(known, &exemplar.series) && known.labels != exemplar.series.labels {
                    return Err(Error::Execution(format!(
                        "series id {:?} belongs to two label sets, {} and {}; their exemplars cannot be queried together",
                        known.id, known.labels, exemplar.series.labels
                    )));
                }
                exemplar.series = Arc::clone(known);
            }
            None => {
                let series = Arc::clone(&exemplar.series);
                self.bytes += series.labels.heap_bytes();
                self.series.insert(series.id, series);
            }
        }
        self.bytes += exemplar.own_bytes();
        self.found.push(exemplar);
        // After a cut at least half of the room is free, so that cuts are rare.
        if self.found.len() / 2 >= self.exemplars_max || self.bytes / 2 >= self.bytes_max {
            self.cut();
        }
        Ok(())
    }

    /// Drops repetitions and whatever is beyond the limit.
    fn cut(&mut self) {
        self.found.sort_unstable_by(newest_first);
        self.found.dedup_by(|a, b| a.total_cmp(b).is_eq());
        let mut bytes = 0;
        let mut series: HashSet<SeriesId> = HashSet::new();
        let mut kept = 0;
        for exemplar in self.found.iter().take(self.exemplars_max) {
            let mut size = exemplar.own_bytes();
            if series.insert(exemplar.series.id) {
                size += exemplar.series.labels.heap_bytes();
            }
            if bytes + size > self.bytes_max {
                break;
            }
            bytes += size;
            kept += 1;
        }
        if let Some(newest_out) = self.found.get(kept) {
            self.left_out = Some(newest_out.clone());
            self.found.truncate(kept);
            let still = self.found.iter().map(|e| Arc::clone(&e.series));
            self.series = still.map(|series| (series.id, series)).collect();
        }
        self.bytes = bytes;
    }

    /// The exemplars by series, in the order of label sets.
    pub(crate) fn into_series(mut self) -> (Vec<SeriesExemplars>, bool) {
        self.cut();
        let truncated = self.is_truncated();
        self.found.sort_unstable_by(in_answer);
        let mut out: Vec<SeriesExemplars> = Vec::new();
        for exemplar in self.found {
            match out.last_mut() {
                Some(last) if last.series.id == exemplar.series.id => last.exemplars.push(exemplar),
                _ => out.push(SeriesExemplars {
                    series: Arc::clone(&exemplar.series),
                    exemplars: vec![exemplar],
                }),
            }
        }
        (out, truncated)
    }
}

/// The warning of an answer that leaves out older exemplars.
pub(crate) fn truncation_warning() -> String {
    format!(
        "only the newest exemplars are returned, {EXEMPLARS_MAX} of {} MiB at most: ask for less time or fewer series",
        EXEMPLAR_BYTES_MAX >> 20
    )
}

impl PartialEq for SeriesExemplars {
    /// Bit by bit.
    fn eq(&self, other: &Self) -> bool {
        let labels = |of: &Self| -> Labels { of.series.labels.clone() };
        let mut pairs = self.exemplars.iter().zip(&other.exemplars);
        labels(self) == labels(other)
            && self.exemplars.len() == other.exemplars.len()
            && pairs.all(|(a, b)| a.total_cmp(b).is_eq())
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use proptest::prelude::*;
    use varve_storage::Series;

    use super::*;

    fn exemplar(series: u8, time: i64, value: f64, trace: u8) -> Exemplar {
        let series = series.to_string();
        let labels = Labels::from_pairs([("__name__", "x"), ("s", series.as_str())]);
        Exemplar {
            series: Arc::new(Series::new(labels)),
            labels: Labels::from_pairs([("trace_id", trace.to_string().as_str())]),
            timestamp_ms: time,
            value,
        }
    }

    fn keys(found: &[SeriesExemplars]) -> Vec<(String, i64, u64, String)> {
        let key = |e: &Exemplar| {
            let series = e.series.labels.to_string();
            let bits = e.value.to_bits();
            (series, e.timestamp_ms, bits, e.labels.to_string())
        };
        found.iter().flat_map(|s| &s.exemplars).map(key).collect()
    }

    #[test]
    fn an_answer_is_in_prometheuss_order() {
        let mut newest = NewestExemplars::new(100, 1 << 20);
        for (series, time, value, trace) in [
            (2, 5, 1.0, 0),
            (1, 9, 1.0, 2),
            (1, 9, 1.0, 1),
            (1, 9, 0.5, 7),
            (1, 3, 8.0, 0),
            (1, 9, 1.0, 1),
        ] {
            newest.add(exemplar(series, time, value, trace)).unwrap();
        }
        let (found, truncated) = newest.into_series();
        assert!(!truncated);
        let order: Vec<(String, i64, f64, String)> = keys(&found)
            .into_iter()
            .map(|(series, time, bits, labels)| (series, time, f64::from_bits(bits), labels))
            .collect();
        let row = |series: u8, time, value, trace: u8| {
            let series = format!(r#"{{__name__="x", s="{series}"}}"#);
            (series, time, value, format!(r#"{{trace_id="{trace}"}}"#))
        };
        assert_eq!(
            order,
            [
                row(1, 3, 8.0, 0),
                row(1, 9, 0.5, 7),
                row(1, 9, 1.0, 1),
                row(1, 9, 1.0, 2),
                row(2, 5, 1.0, 0)
            ]
        );
    }

    #[test]
    fn two_label_sets_with_one_id_are_an_error_that_names_both() {
        let mut newest = NewestExemplars::new(10, 1 << 20);
        let one = exemplar(1, 1, 1.0, 1);
        let mut other = exemplar(2, 1, 1.0, 1);
        other.series = Arc::new(Series {
            id: one.series.id,
            labels: other.series.labels.clone(),
        });
        newest.add(one).unwrap();
        let error = newest.add(other).unwrap_err().to_string();
        assert!(
            error.contains(r#"s="1""#) && error.contains(r#"s="2""#),
            "{error}"
        );
    }

    proptest! {
        /// Whatever the order in which exemplars come, and however often: the newest that fit, and memory for twice as many.
        #[test]
        fn the_newest_are_kept(
            rows in prop::collection::vec((0..4u8, 0..30i64, 0..3u8), 0..60),
            exemplars_max in 1..20usize,
            kilobytes in 1..8usize,
            seed in any::<u64>(),
        ) {
            let rows: Vec<Exemplar> =
                rows.iter().map(|(s, t, v)| exemplar(*s, *t, f64::from(*v), *v)).collect();
            let mut wanted = rows.clone();
            wanted.sort_by(newest_first);
            wanted.dedup_by(|a, b| a.total_cmp(b).is_eq());
            let all = wanted.len();
            let (mut bytes, mut known) = (0, HashSet::new());
            let fits = |e: &&Exemplar| {
                bytes += e.own_bytes();
                if known.insert(e.series.id) {
                    bytes += e.series.labels.heap_bytes();
                }
                bytes <= kilobytes * 1024
            };
            let kept = wanted.iter().take(exemplars_max).take_while(fits).count();
            wanted.truncate(kept);
            wanted.sort_by(in_answer);

            let mut shuffled = rows;
            shuffled.sort_by_key(|e| e.timestamp_ms.wrapping_mul(seed as i64 | 1));
            let mut newest = NewestExemplars::new(exemplars_max, kilobytes * 1024);
            for exemplar in shuffled {
                newest.add(exemplar).unwrap();
                prop_assert!(newest.found.len() <= 2 * exemplars_max + 1);
            }
            let (found, truncated) = newest.into_series();
            let wanted = SeriesExemplars {
                series: Arc::new(Series::new(Labels::empty())),
                exemplars: wanted,
            };
            prop_assert_eq!(keys(&found), keys(&[wanted]));
            prop_assert_eq!(truncated, kept < all);
        }
    }
}
