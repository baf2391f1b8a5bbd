//! What a loop remembers between scrapes.
//!
//! A *slot* is one way in which a series is written; it knows the series that it became after relabelling, or that it
//! was dropped, and which slot came after it last time. A *track* is one series after relabelling, which several slots may
//! share; it knows in which iteration the series was seen, for staleness, and its newest sample, which later ones must follow in
//! time. An *iteration* is one scrape.
//!
//! After the first scrape no sample costs an allocation, and as long as a target writes its series in the same order not
//! even a hash: the slot after the last one is tried first.

use std::collections::HashMap;
use std::hash::BuildHasher as _;

use foldhash::quality::RandomState;
use hashbrown::HashTable;
use varve_storage::rows::{IdBuildHasher, SeriesIdMap};
use varve_storage::{MetricMetadata, MetricType, STALE_NAN, SampleValue, SeriesId, SeriesRef};

use super::track::{Mark, Newest, Track, Verdict};

/// No slot, or a slot without a track.
const NONE: u32 = u32::MAX;

/// Iterations that metadata outlives its family.
const METADATA_ITERATIONS: u64 = 10;

/// Iterations after which the samples of forgotten series are looked through: often enough to stay small.
const ENDED_ITERATIONS: u64 = 64;

#[derive(Debug)]
struct Slot {
    /// The series as it is written; empty for a slot that is free.
    raw: Box<[u8]>,
    /// Its track, or `NONE` if it is dropped.
    track: u32,
    /// The iteration in which it was last seen.
    seen: Mark,
    /// The slot that came after it.
    next: u32,
}

#[derive(Debug, Default)]
struct Family {
    kind: MetricType,
    help: String,
    unit: String,
    seen: u64,
    /// Whether the store has not got it yet.
    changed: bool,
}

/// What became of a series.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Fate {
    Dropped,
    /// The track, and whether this very slot was seen in this iteration before.
    Series {
        track: u32,
        again: bool,
    },
}

/// What a loop remembers between scrapes.
#[derive(Debug)]
pub(super) struct ScrapeCache {
    /// The current iteration. The first is 2, so that 0 is long past.
    iteration: u64,
    slots: Vec<Slot>,
    free_slots: Vec<u32>,
    /// Slots by what they are written as. It holds numbers only, as `by_id` does: keys would double what a series takes.
    by_raw: HashTable<u32>,
    hasher: RandomState,
    tracks: Vec<Option<Track>>,
    free_tracks: Vec<u32>,
    /// Tracks that no slot leads to; they go when they are no longer alive.
    slotless: Vec<u32>,
    /// Tracks by the ids of their series.
    by_id: HashTable<u32>,
    /// The newest samples of series that were forgotten, as long as an older one could still be taken.
    ended: SeriesIdMap<Newest>,
    families: HashMap<Box<[u8]>, Family, RandomState>,
    /// The last slot seen in this iteration.
    last: u32,
    /// The first slot of the last iteration.
    first: u32,
    /// Slots seen in this iteration.
    seen_slots: usize,
    /// Entries after the last successful scrape.
    successful_entries: usize,
}

impl Default for ScrapeCache {
    fn default() -> Self {
        Self {
            iteration: 2,
            slots: Vec::new(),
            free_slots: Vec::new(),
            by_raw: HashTable::new(),
            hasher: RandomState::default(),
            tracks: Vec::new(),
            free_tracks: Vec::new(),
            slotless: Vec::new(),
            by_id: HashTable::new(),
            ended: SeriesIdMap::default(),
            families: HashMap::default(),
            last: NONE,
            first: NONE,
            seen_slots: 0,
            successful_entries: 0,
        }
    }
}

impl ScrapeCache {
    /// How the next series is probably written; empty for no guess.
    pub(super) fn expected(&self) -> &[u8] {
        let next = match self.slots.get(self.last as usize) {
            Some(slot) => slot.next,
            None => self.first,
        };
        self.slots.get(next as usize).map_or(&[], |slot| &slot.raw)
    }

    /// Finds what became of a series that was seen before. `expected`: it is the one that [`Self::expected`] gave.
    pub(super) fn find(&mut self, raw: &[u8], expected: bool) -> Option<Fate> {
        let index = if expected {
            match self.slots.get(self.last as usize) {
                Some(slot) => slot.next,
                None => self.first,
            }
        } else {
            let slots = &self.slots;
            let is_it = |index: &u32| slots.get(*index as usize).is_some_and(|s| *s.raw == *raw);
            *self.by_raw.find(self.hasher.hash_one(raw), is_it)?
        };
        let iteration = self.mark();
        let slot = self.slots.get_mut(index as usize)?;
        let again = slot.seen == iteration;
        slot.seen = iteration;
        let track = slot.track;
        self.seen_slots += usize::from(!again);
        self.link(index);
        Some(match track {
            NONE => Fate::Dropped,
            track => Fate::Series { track, again },
        })
    }

    /// Remembers that `index` came after the last slot.
    fn link(&mut self, index: u32) {
        match self.slots.get_mut(self.last as usize) {
            Some(last) => last.next = index,
            None => self.first = index,
        }
        self.last = index;
    }

    fn insert(&mut self, raw: &[u8], track: u32) {
        let slot = Slot {
            raw: raw.into(),
            track,
            seen: self.mark(),
            next: NONE,
        };
        let index = match self.free_slots.pop() {
            Some(index) => index,
            None => u32::try_from(self.slots.len()).unwrap_or(NONE),
        };
        match self.slots.get_mut(index as usize) {
            Some(free) => *free = slot,
            None => self.slots.push(slot),
        }
        let (slots, hasher) = (&self.slots, &self.hasher);
        let hash_of = |index: &u32| {
            let slot = slots.get(*index as usize);
            slot.map_or(0, |slot| hasher.hash_one(&*slot.raw))
        };
        self.by_raw
            .insert_unique(hasher.hash_one(raw), index, hash_of);
        self.seen_slots += 1;
        self.link(index);
    }

    /// Remembers that a series is dropped.
    pub(super) fn insert_dropped(&mut self, raw: &[u8]) {
        self.insert(raw, NONE);
    }

    /// Remembers the track of a series.
    pub(super) fn insert_series(&mut self, raw: &[u8], track: u32) {
        if let Some(track) = self.track(track) {
            track.slots += 1;
        }
        self.insert(raw, track);
    }

    /// Leaves a series without a slot: the next time it is as new as now.
    pub(super) fn leave_new(&mut self, track: u32) {
        self.slotless.push(track);
    }

    /// The track of a series, new or known.
    pub(super) fn track_of(&mut self, series: SeriesRef) -> u32 {
        let id = series.id;
        if let Some(track) = self.find_track(&id) {
            return track;
        }
        let track = Track::new(series, self.ended.remove(&id));
        let index = match self.free_tracks.pop() {
            Some(index) => index,
            None => u32::try_from(self.tracks.len()).unwrap_or(NONE),
        };
        match self.tracks.get_mut(index as usize) {
            Some(free) => *free = Some(track),
            None => self.tracks.push(Some(track)),
        }
        let tracks = &self.tracks;
        self.by_id
            .insert_unique(id_hash(&id), index, |index| track_hash(tracks, *index));
        index
    }

    /// The number of the track of a series that has one.
    fn find_track(&self, id: &SeriesId) -> Option<u32> {
        let found = self.by_id.find(id_hash(id), |index| {
            matches!(self.tracks.get(*index as usize), Some(Some(track)) if track.series.id == *id)
        });
        found.copied()
    }

    /// A track by its number.
    pub(super) fn track(&mut self, track: u32) -> Option<&mut Track> {
        self.tracks.get_mut(track as usize)?.as_mut()
    }

    /// The mark of the current iteration.
    pub(super) fn mark(&self) -> Mark {
        Mark::of(self.iteration)
    }

    /// Counts a series as alive in this iteration.
    pub(super) fn keep_alive(&mut self, track: u32) {
        let iteration = self.mark();
        if let Some(track) = self.track(track) {
            track.alive = iteration;
        }
    }

    /// Ends the series that were alive in the last iteration and are not in this one: gives those whose stale marker is to
    /// be written.
    pub(super) fn end_stale(
        &mut self,
        time_ms: i64,
    ) -> impl Iterator<Item = (&SeriesRef, SampleValue)> {
        let (iteration, before) = (self.mark(), Mark::of(self.iteration - 1));
        self.tracks.iter_mut().flatten().filter_map(move |track| {
            let ends =
                track.alive == before && track.take(iteration, time_ms, STALE_NAN) == Verdict::New;
            let value = ends.then(|| track.stale_value())?;
            track.note(&value);
            Some((&track.series, value))
        })
    }

    /// Takes back what the samples of this iteration were noted as: none of them is written.
    pub(super) fn forget_samples(&mut self) {
        self.restore(self.mark());
    }

    fn restore(&mut self, iteration: Mark) {
        for track in self.tracks.iter_mut().flatten() {
            if track.sampled == iteration {
                track.last = track.before;
                // It may not be stored; then nothing is known of resets.
                track.forget_histogram();
            }
        }
    }

    /// Whether a series was alive in the last finished iteration or is in this one.
    pub(super) fn is_alive(&self, id: &SeriesId) -> bool {
        let track = self.find_track(id);
        let track = track.and_then(|track| self.tracks.get(track as usize)?.as_ref());
        track.is_some_and(|track| {
            [self.iteration, self.iteration - 1]
                .map(Mark::of)
                .contains(&track.alive)
        })
    }

    /// Ends an iteration. `successful`: everything that was not seen is forgotten; else only if failures piled up. `oldest_ms`:
    /// the time before which no sample is taken any more.
    pub(super) fn end_iteration(&mut self, successful: bool, oldest_ms: i64) {
        let entries = self.by_raw.len() + self.families.len();
        if successful {
            self.successful_entries = entries;
        }
        if successful || entries > self.successful_entries * 2 + 1000 {
            self.forget_unseen();
        }
        self.forget_slotless();
        if self.iteration.is_multiple_of(ENDED_ITERATIONS) {
            self.ended
                .retain(|_, last| last.timestamp_ms() >= oldest_ms);
        }
        self.iteration += 1;
        self.last = NONE;
        self.seen_slots = 0;
        shrink(&mut self.slots);
        shrink(&mut self.tracks);
    }

    fn forget_unseen(&mut self) {
        let iteration = self.iteration;
        self.families
            .retain(|_, family| iteration - family.seen <= METADATA_ITERATIONS);
        if self.seen_slots == self.by_raw.len() {
            return;
        }
        let mark = self.mark();
        for (index, slot) in self.slots.iter_mut().enumerate() {
            if slot.seen == mark || slot.raw.is_empty() {
                continue;
            }
            let index = u32::try_from(index).unwrap_or(NONE);
            let hash = self.hasher.hash_one(&*slot.raw);
            if let Ok(entry) = self.by_raw.find_entry(hash, |other| *other == index) {
                entry.remove();
            }
            slot.raw = Box::default();
            self.free_slots.push(index);
            if let Some(Some(track)) = self.tracks.get_mut(slot.track as usize) {
                track.slots -= 1;
                if track.slots == 0 {
                    self.slotless.push(slot.track);
                }
            }
        }
    }

    /// Forgets the tracks without slots that are not alive any more.
    fn forget_slotless(&mut self) {
        let mut slotless = std::mem::take(&mut self.slotless);
        let mark = self.mark();
        slotless.retain(|index| {
            let Some(place) = self.tracks.get_mut(*index as usize) else {
                return false;
            };
            let Some(track) = place.as_ref().filter(|track| track.slots == 0) else {
                return false;
            };
            if track.alive == mark {
                return true;
            }
            let id = track.series.id;
            if let Ok(entry) = self.by_id.find_entry(id_hash(&id), |other| other == index) {
                entry.remove();
            }
            if let Some(last) = track.last {
                self.ended.insert(id, last);
            }
            *place = None;
            self.free_tracks.push(*index);
            false
        });
        self.slotless = slotless;
    }

    /// Slots, tracks and families, free places included: what the cache's memory grows with.
    #[cfg(test)]
    pub(super) fn entries(&self) -> usize {
        self.slots.len() + self.tracks.len() + self.families.len()
    }

    fn change_family(&mut self, name: &[u8], change: impl FnOnce(&mut Family) -> bool) {
        let iteration = self.iteration;
        if let Some(family) = self.families.get_mut(name) {
            family.seen = iteration;
            family.changed |= change(family);
            return;
        }
        let mut family = Family {
            seen: iteration,
            ..Family::default()
        };
        change(&mut family);
        family.changed = true;
        self.families.insert(name.into(), family);
    }

    /// Notes a family's type.
    pub(super) fn set_type(&mut self, name: &[u8], kind: MetricType) {
        self.change_family(name, |family| {
            let changed = family.kind != kind;
            family.kind = kind;
            changed
        });
    }

    /// Notes a family's help text.
    pub(super) fn set_help(&mut self, name: &[u8], help: &str) {
        self.change_family(name, |family| replace(&mut family.help, help));
    }

    /// Notes a family's unit.
    pub(super) fn set_unit(&mut self, name: &[u8], unit: &str) {
        self.change_family(name, |family| replace(&mut family.unit, unit));
    }

    /// Metadata that the store has not got yet; it counts as handed over.
    pub(super) fn take_changed_metadata(&mut self) -> Vec<MetricMetadata> {
        let changed = self.families.iter_mut().filter(|(_, f)| f.changed);
        let mut out: Vec<_> = changed
            .map(|(name, family)| {
                family.changed = false;
                metadata(name, family)
            })
            .collect();
        out.sort();
        out
    }

    /// Takes back that the store has the metadata, samples and exemplars of the last iteration: the append was refused.
    pub(super) fn not_stored(&mut self) {
        self.restore(Mark::of(self.iteration - 1));
        for track in self.tracks.iter_mut().flatten() {
            track.forget_exemplar();
        }
        for family in self.families.values_mut() {
            family.changed = true;
        }
    }

    /// All metadata, by family.
    pub(super) fn metadata(&self) -> Vec<MetricMetadata> {
        let mut out: Vec<_> = self.families.iter().map(|(n, f)| metadata(n, f)).collect();
        out.sort();
        out
    }
}

/// An id is part of a SHA-256 sum: hashing it again is lost time.
fn id_hash(id: &SeriesId) -> u64 {
    IdBuildHasher.hash_one(id)
}

fn track_hash(tracks: &[Option<Track>], index: u32) -> u64 {
    match tracks.get(index as usize) {
        Some(Some(track)) => id_hash(&track.series.id),
        _ => 0,
    }
}

/// Gives back most of the room that a vector has taken by doubling: after its first scrape a target has hardly any new series.
fn shrink<T>(items: &mut Vec<T>) {
    if items.capacity() > items.len() + items.len() / 4 + 4 {
        items.shrink_to(items.len() + items.len() / 16);
    }
}

/// Overwrites a text; `true` if it was another.
fn replace(text: &mut String, new: &str) -> bool {
    let changed = text != new;
    if changed {
        new.clone_into(text);
    }
    changed
}

fn metadata(name: &[u8], family: &Family) -> MetricMetadata {
    MetricMetadata {
        family: String::from_utf8_lossy(name).into_owned(),
        kind: family.kind,
        unit: family.unit.clone(),
        help: family.help.clone(),
    }
}
