//! Which exemplars of a scrape are new.
//!
//! Targets expose an exemplar until a newer one replaces it. So, as in Prometheus's storage, one that equals the newest of its series is left
//! out, and so is one that is older, or as old with a smaller value; but only what is stored counts, not what a failed scrape had. Unlike there,
//! of two with one time and one value but other labels both are taken, in whichever order they come.

use std::cmp::Ordering;

use varve_storage::{Exemplar, Labels, SeriesRef};

use super::cache::ScrapeCache;
use super::track::Track;
use crate::exposition::ParsedExemplar;

/// Characters that the labels of an exemplar may have, as OpenMetrics says.
const LABEL_CHARACTERS_MAX: usize = 128;

/// An exemplar with its time.
#[derive(Clone, Debug)]
pub(super) struct NewestExemplar {
    labels: Labels,
    value: f64,
    timestamp_ms: i64,
    /// Whether the time was exposed with it, or is that of its sample.
    has_own_time: bool,
}

/// The exemplars of a scrape that follow those that are stored.
#[derive(Debug, Default)]
pub(super) struct Candidates {
    exemplars: Vec<(u32, NewestExemplar)>,
}

/// How an exemplar goes with the newest of its series.
#[derive(Clone, Copy, PartialEq)]
enum Verdict {
    New,
    Repeated,
    OutOfOrder,
}

impl Candidates {
    /// Adds the exemplars of one sample, in order. One without a time gets `default_ms`, and is left out if there is none. Gives how many
    /// were out of order if all of them were; else the target just repeats some.
    pub(super) fn add(
        &mut self,
        (number, track): (u32, Option<&mut Track>),
        found: Vec<ParsedExemplar>,
        default_ms: Option<i64>,
    ) -> u64 {
        let Some(track) = track.filter(|_| !found.is_empty()) else {
            return 0;
        };
        let timed = |exemplar: ParsedExemplar| {
            Some(NewestExemplar {
                timestamp_ms: exemplar.timestamp_ms.or(default_ms)?,
                has_own_time: exemplar.timestamp_ms.is_some(),
                labels: Labels::from_pairs(exemplar.labels),
                value: exemplar.value,
            })
        };
        let mut found: Vec<_> = found.into_iter().filter_map(timed).collect();
        found.sort_by(NewestExemplar::compare);
        let count = found.len();
        found.retain(|exemplar| !exemplar.is_too_long());
        let newest = track.exemplar();
        let mut out_of_order = 0;
        for exemplar in found {
            match exemplar.behind(newest) {
                Verdict::New => self.exemplars.push((number, exemplar)),
                Verdict::Repeated => {}
                Verdict::OutOfOrder => out_of_order += 1,
            }
        }
        if out_of_order < count {
            return 0;
        }
        out_of_order as u64
    }

    /// Takes those that also follow one another. From now on they are what later ones are compared with.
    pub(super) fn take(self, cache: &mut ScrapeCache) -> Vec<Exemplar> {
        let taken = self.exemplars.into_iter().filter_map(|(track, exemplar)| {
            let track = cache.track(track)?;
            if exemplar.behind(track.exemplar()) != Verdict::New {
                return None;
            }
            let taken = Exemplar {
                series: SeriesRef::clone(&track.series),
                labels: exemplar.labels.clone(),
                timestamp_ms: exemplar.timestamp_ms,
                value: exemplar.value,
            };
            track.note_exemplar(exemplar);
            Some(taken)
        });
        taken.collect()
    }
}

impl NewestExemplar {
    /// By time, then value, then labels.
    fn compare(&self, other: &Self) -> Ordering {
        let times = self.timestamp_ms.cmp(&other.timestamp_ms);
        times
            .then(self.value.total_cmp(&other.value))
            .then_with(|| self.labels.cmp(&other.labels))
    }

    fn is_too_long(&self) -> bool {
        let characters = |(name, value): (&str, &str)| name.chars().count() + value.chars().count();
        self.labels.iter().map(characters).sum::<usize>() > LABEL_CHARACTERS_MAX
    }

    fn behind(&self, newest: Option<&Self>) -> Verdict {
        let Some(newest) = newest else {
            return Verdict::New;
        };
        // Times that are those of samples do not matter.
        let same_time =
            !(self.has_own_time || newest.has_own_time) || self.timestamp_ms == newest.timestamp_ms;
        if same_time && self.value == newest.value && self.labels == newest.labels {
            return Verdict::Repeated;
        }
        let is_older = self.timestamp_ms < newest.timestamp_ms
            || (self.timestamp_ms == newest.timestamp_ms && self.value < newest.value);
        match is_older {
            true => Verdict::OutOfOrder,
            false => Verdict::New,
        }
    }
}
