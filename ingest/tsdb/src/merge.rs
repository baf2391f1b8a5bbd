//! Merging blocks that overlap in time, as Prometheus's querier does.
//!
//! A [`BlockGroup`] is one block, or several that overlap. Its series come in the order of labels, each with the samples of all
//! blocks in the order of time. Of two samples for one time that one is kept which Prometheus's chaining of iterators keeps. A
//! histogram that does not follow its predecessor in the same block has an unknown counter reset.

use varve_storage::histogram::CounterResetHint;
use varve_storage::{Labels, SampleValue};

use crate::block::{Block, BlockSamples, BlockSeries, SeriesCursor};
use crate::chunk::Sample;
use crate::error::Result;
use crate::meta::BlockMeta;
use crate::source::Folder;

/// Groups blocks by overlap, ascending in time; the order in a group is that of Prometheus: by start.
pub(crate) fn groups<T>(mut blocks: Vec<T>, meta: impl Fn(&T) -> &BlockMeta) -> Vec<Vec<T>> {
    blocks.sort_by(|a, b| {
        let key = |block: &T| {
            let meta = meta(block);
            (meta.min_time, meta.max_time, meta.ulid.clone())
        };
        key(a).cmp(&key(b))
    });
    let mut groups: Vec<Vec<T>> = Vec::new();
    let mut end = i64::MIN;
    for block in blocks {
        let (min_time, max_time) = (meta(&block).min_time, meta(&block).max_time);
        match groups.last_mut() {
            Some(group) if min_time < end => group.push(block),
            _ => groups.push(vec![block]),
        }
        end = end.max(max_time);
    }
    groups
}

#[derive(Debug)]
struct Member {
    block: Block,
    cursor: SeriesCursor,
    next: Option<BlockSeries>,
}

/// Blocks that are read together.
#[derive(Debug)]
pub(crate) struct BlockGroup {
    members: Vec<Member>,
}

impl BlockGroup {
    /// Opens the blocks in some folders.
    pub(crate) fn open(folders: &[Folder]) -> Result<Self> {
        let members = folders
            .iter()
            .map(|folder| {
                let block = Block::open(folder)?;
                let mut cursor = block.series();
                let next = cursor.next()?;
                Ok(Member {
                    block,
                    cursor,
                    next,
                })
            })
            .collect::<Result<_>>()?;
        Ok(Self { members })
    }

    /// Goes to the next series; gives its labels, and the samples of it.
    pub(crate) fn next(&mut self) -> Result<Option<(Labels, GroupSamples<'_>)>> {
        let labels = self
            .members
            .iter()
            .filter_map(|member| member.next.as_ref())
            .map(|series| &series.labels)
            .min()
            .cloned();
        let Some(labels) = labels else {
            return Ok(None);
        };
        let mut parts = Vec::new();
        for member in &mut self.members {
            if let Some(series) = member.next.take_if(|series| series.labels == labels) {
                member.next = member.cursor.next()?;
                parts.push(member.block.samples(series));
            }
        }
        let samples = match parts.len() {
            1 => parts.pop().map(GroupSamples::One),
            _ => None,
        };
        let samples = samples.unwrap_or_else(|| GroupSamples::Many(Chain::new(parts)));
        Ok(Some((labels, samples)))
    }

    /// Passes over the next series; whether there was one.
    pub(crate) fn skip(&mut self) -> Result<bool> {
        Ok(self.next()?.is_some())
    }
}

/// The samples of a series of a group, ascending in time.
#[derive(Debug)]
pub(crate) enum GroupSamples<'a> {
    One(BlockSamples<'a>),
    Many(Chain<BlockSamples<'a>>),
}

impl GroupSamples<'_> {
    /// The next sample, `None` behind the last.
    pub(crate) fn next(&mut self) -> Result<Option<Sample>> {
        match self {
            Self::One(samples) => samples.next(),
            Self::Many(chain) => chain.next(),
        }
    }
}

/// Samples that ascend in time.
pub(crate) trait Samples {
    fn next(&mut self) -> Result<Option<Sample>>;
}

impl Samples for BlockSamples<'_> {
    fn next(&mut self) -> Result<Option<Sample>> {
        BlockSamples::next(self)
    }
}

#[derive(Debug)]
struct Part<S> {
    samples: S,
    current: Option<Sample>,
}

impl<S> Part<S> {
    fn time(&self) -> i64 {
        self.current
            .as_ref()
            .map_or(i64::MAX, |sample| sample.timestamp_ms)
    }
}

/// Merges samples of several sources. The parts that wait lie in a binary heap by their times; which of several parts with one
/// time comes first depends on the heap's operations, which are those of Prometheus.
#[derive(Debug)]
pub(crate) struct Chain<S> {
    waiting: Vec<Part<S>>,
    current: Option<Part<S>>,
    begun: bool,
    last_time: i64,
}

impl<S: Samples> Chain<S> {
    pub(crate) fn new(sources: Vec<S>) -> Self {
        let mut parts = sources.into_iter().map(|samples| Part {
            samples,
            current: None,
        });
        let current = parts.next();
        Self {
            current,
            waiting: parts.collect(),
            begun: false,
            last_time: i64::MIN,
        }
    }

    fn begin(&mut self) -> Result<()> {
        for mut part in std::mem::take(&mut self.waiting) {
            part.current = part.samples.next()?;
            if part.current.is_some() {
                self.push(part);
            }
        }
        Ok(())
    }

    /// The next sample, `None` behind the last.
    pub(crate) fn next(&mut self) -> Result<Option<Sample>> {
        let mut changed = !self.begun;
        if !std::mem::replace(&mut self.begun, true) {
            self.begin()?;
        }
        let Some(mut current) = self.current.take() else {
            return Ok(None);
        };
        loop {
            current.current = current.samples.next()?;
            if current.current.is_some() {
                let time = current.time();
                if time == self.last_time {
                    continue;
                }
                if self.waiting.first().is_none_or(|first| time < first.time()) {
                    break;
                }
                self.push(current);
            }
            let Some(next) = self.pop() else {
                return Ok(None);
            };
            current = next;
            changed = true;
            if current.time() != self.last_time {
                break;
            }
        }
        self.last_time = current.time();
        let sample = current.current.clone();
        self.current = Some(current);
        Ok(sample.map(|sample| {
            if changed {
                without_hint(sample)
            } else {
                sample
            }
        }))
    }

    fn less(&self, a: usize, b: usize) -> bool {
        let time = |place: usize| self.waiting.get(place).map_or(i64::MAX, Part::time);
        time(a) < time(b)
    }

    fn push(&mut self, part: Part<S>) {
        self.waiting.push(part);
        let mut place = self.waiting.len() - 1;
        while place > 0 {
            let parent = (place - 1) / 2;
            if !self.less(place, parent) {
                break;
            }
            self.waiting.swap(place, parent);
            place = parent;
        }
    }

    fn pop(&mut self) -> Option<Part<S>> {
        if self.waiting.is_empty() {
            return None;
        }
        let part = self.waiting.swap_remove(0);
        let mut place = 0;
        loop {
            let mut child = 2 * place + 1;
            if child >= self.waiting.len() {
                break;
            }
            if child + 1 < self.waiting.len() && self.less(child + 1, child) {
                child += 1;
            }
            if !self.less(child, place) {
                break;
            }
            self.waiting.swap(place, child);
            place = child;
        }
        Some(part)
    }
}

/// A histogram whose predecessor is not known for certain.
fn without_hint(mut sample: Sample) -> Sample {
    if let SampleValue::Histogram(histogram) = &mut sample.value
        && !matches!(
            histogram.counter_reset_hint,
            CounterResetHint::Gauge | CounterResetHint::Unknown
        )
    {
        std::sync::Arc::make_mut(histogram).counter_reset_hint = CounterResetHint::Unknown;
    }
    sample
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use std::collections::VecDeque;

    use proptest::prelude::*;

    use super::*;

    impl Samples for VecDeque<(i64, f64)> {
        fn next(&mut self) -> Result<Option<Sample>> {
            Ok(self.pop_front().map(|(timestamp_ms, value)| Sample {
                timestamp_ms,
                start_timestamp_ms: 0,
                value: SampleValue::Float(value),
            }))
        }
    }

    fn chain(sources: Vec<Vec<(i64, f64)>>) -> Vec<(i64, f64)> {
        let mut chain = Chain::new(sources.into_iter().map(VecDeque::from).collect());
        let mut read = Vec::new();
        while let Some(sample) = chain.next().unwrap() {
            read.push((sample.timestamp_ms, sample.value.float().unwrap()));
        }
        read
    }

    #[test]
    fn of_equal_times_the_iterator_that_waited_goes_first() {
        let merged = chain(vec![
            vec![(1, 1.0), (2, 1.0), (3, 1.0)],
            vec![(1, 2.0), (2, 2.0), (4, 2.0)],
        ]);
        assert_eq!(merged, [(1, 2.0), (2, 2.0), (3, 1.0), (4, 2.0)]);
        assert!(chain(vec![]).is_empty());
        assert_eq!(chain(vec![vec![], vec![(1, 2.0)]]), [(1, 2.0)]);
    }

    proptest! {
        #[test]
        fn every_time_once_and_in_order(sources in prop::collection::vec(prop::collection::btree_set(0..30i64, 0..20), 0..5)) {
            let expected: std::collections::BTreeSet<i64> = sources.iter().flatten().copied().collect();
            let sources = sources.into_iter().map(|times| times.into_iter().map(|t| (t, 0.0)).collect()).collect();
            let times: Vec<i64> = chain(sources).into_iter().map(|(t, _)| t).collect();
            prop_assert_eq!(times, expected.into_iter().collect::<Vec<_>>());
        }
    }
}
