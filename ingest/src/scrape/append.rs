//! From the body of a response to the samples of one append.
//!
//! A pass over a body either succeeds, or fails and leaves no samples. After a failed pass the loop makes an empty one: it
//! ends the series that were alive before. As in Prometheus, series that the failed pass saw before it failed count as
//! alive and get no stale marker.

use std::sync::Arc;

use varve_storage::columns::NO_START_MS;
use varve_storage::histogram::{CounterResetHint, HistogramError, SCHEMA_MAX, SCHEMA_MIN};
use varve_storage::wal::SampleRow;
use varve_storage::{
    Exemplar, FloatHistogram, Labels, SampleValue, Series, SeriesRef, is_stale_nan,
};

use super::cache::{Fate, ScrapeCache};
use super::exemplars::Candidates;
use super::labels::{check_labels, final_labels};
use super::metrics::{ScrapeMetrics, add};
use super::target::Fnv;
use super::track::{Track, Verdict};
use crate::config::ScrapeConfig;
use crate::error::{Error, Result};
use crate::exposition::{
    Details, Entry, Exposed, Format, Observations, ReadOptions, Visitor, coarsen, read,
    repeated_name,
};

/// How far ahead of the scrape a sample's own time may be.
const AHEAD_MS_MAX: i64 = 10 * 60 * 1000;

/// How long it is remembered when a series that is gone had its newest sample.
const MEMORY_MS: i64 = 60 * 60 * 1000;

/// Bytes of all series that are new in one scrape. A format that spells labels out once for many series could otherwise hide gigabytes of
/// them in a body within its limit; and a few bytes are enough for a series.
const NEW_SERIES_BYTES_MAX: usize = 512 << 20;

/// What a series takes besides its labels, more or less.
const SERIES_BYTES: usize = 200;

/// What a pass needs to know about its target.
#[derive(Debug)]
pub(super) struct PassContext<'a> {
    pub(super) config: &'a ScrapeConfig,
    /// Labels of the target's series.
    pub(super) target: &'a Labels,
    pub(super) metrics: &'a ScrapeMetrics,
    /// The time of samples without one; ms since the epoch.
    pub(super) time_ms: i64,
    /// What is read.
    pub(super) options: ReadOptions,
    /// What is made of start timestamps, where they are read.
    pub(super) starts: StartTimestamps,
}

/// What is made of start timestamps.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct StartTimestamps {
    /// Whether they are stored with their samples.
    pub store: bool,
    /// Whether a sample of 0 is stored at them, so that counters are seen to begin at 0.
    pub zero_samples: bool,
}

impl StartTimestamps {
    /// Whether they matter at all.
    pub(super) fn wanted(self) -> bool {
        self.store || self.zero_samples
    }
}

/// What a pass found. The counts stand even where the pass failed.
#[derive(Debug, Default)]
pub(super) struct Pass {
    pub(super) samples: Vec<SampleRow>,
    pub(super) exemplars: Vec<Exemplar>,
    /// Samples in the exposition.
    pub(super) scraped: u64,
    /// Samples after relabelling.
    pub(super) post_relabeling: u64,
    /// Series that were not there before.
    pub(super) series_added: u64,
    /// Samples that count towards the limit.
    counted: u64,
    over_limit: bool,
    /// Whether a histogram had too many buckets.
    over_bucket_limit: bool,
    /// Bytes of new series.
    new_series_bytes: usize,
    candidates: Candidates,
}

/// Where a sample belongs.
#[derive(Clone, Copy)]
struct Place {
    track: u32,
    time_ms: i64,
}

impl PassContext<'_> {
    /// Series that are gone and have no sample since this time are forgotten.
    fn oldest_ms(&self) -> i64 {
        self.time_ms.saturating_sub(MEMORY_MS)
    }
}

/// A pass over a body. On an error the cache is left in the middle of its iteration: an empty pass must follow.
pub(super) fn pass(
    body: &[u8],
    format: Format,
    cache: &mut ScrapeCache,
    context: &PassContext<'_>,
) -> (Pass, Result<()>) {
    let mut pass = Pass::default();
    let mut result = pass.read(body, format, cache, context);
    if pass.over_limit {
        add(&context.metrics.sample_limit_exceeded, 1);
        if result.is_ok() {
            result = Err(Error::Limit("sample limit exceeded".to_owned()));
        }
    }
    if pass.over_bucket_limit {
        add(&context.metrics.histogram_bucket_limit_exceeded, 1);
        if result.is_ok() {
            let message = "histogram bucket limit exceeded";
            result = Err(Error::Limit(message.to_owned()));
        }
    }
    match result {
        Ok(()) => {
            pass.exemplars = std::mem::take(&mut pass.candidates).take(cache);
            pass.mark_stale(cache, context);
            cache.end_iteration(true, context.oldest_ms());
        }
        Err(_) => {
            pass.samples.clear();
            cache.forget_samples();
        }
    }
    (pass, result)
}

/// An empty pass: stale markers for what was alive before.
pub(super) fn empty_pass(cache: &mut ScrapeCache, context: &PassContext<'_>) -> Vec<SampleRow> {
    let mut pass = Pass::default();
    pass.mark_stale(cache, context);
    cache.end_iteration(false, context.oldest_ms());
    pass.samples
}

impl Pass {
    fn read(
        &mut self,
        body: &[u8],
        format: Format,
        cache: &mut ScrapeCache,
        context: &PassContext<'_>,
    ) -> Result<()> {
        let options = context.options;
        let mut reading = Reading {
            pass: self,
            cache,
            context,
        };
        read(body, format, &options, &mut reading)
    }

    fn sample(
        &mut self,
        sample: &Exposed<'_>,
        details: &dyn Details,
        cache: &mut ScrapeCache,
        context: &PassContext<'_>,
    ) -> Result<()> {
        self.scraped += 1;
        let own_time_ms = sample
            .timestamp_ms
            .filter(|_| context.config.honor_timestamps);
        let time_ms = own_time_ms.unwrap_or(context.time_ms);
        let (track, is_new, value) = match cache.find(sample.series, sample.expected) {
            Some(Fate::Dropped) => return Ok(()),
            Some(Fate::Series { track, again }) => {
                self.post_relabeling += 1;
                if again && own_time_ms.is_none() {
                    add(&context.metrics.samples_duplicate, 1);
                    return Ok(());
                }
                (track, false, self.value(sample, false, time_ms, context)?)
            }
            None => {
                let exposed = details.labels()?;
                self.new_series(sample.series.len(), context)?;
                let Some(labels) = final_labels(&exposed, context)? else {
                    cache.insert_dropped(sample.series);
                    return Ok(());
                };
                check_labels(&labels, context)?;
                self.new_series(labels.heap_bytes(), context)?;
                if let Some(name) = repeated_name(&exposed) {
                    return self.refuse_repeated(name, own_time_ms, context);
                }
                self.post_relabeling += 1;
                let value = self.value(sample, true, time_ms, context)?;
                if value.is_none() && self.over_limit {
                    // The scrape fails, and what is too much shall take no memory.
                    return Ok(());
                }
                let series = SeriesRef::new(Series::new(labels));
                (cache.track_of(series), true, value)
            }
        };
        let taken = match value {
            Some(value) => {
                let place = Place { track, time_ms };
                self.take(value, sample.start_timestamp_ms, place, cache, context)
            }
            None => false,
        };
        if taken && !sample.value.is_stale() {
            let default_ms = sample.value.float().map(|_| time_ms);
            let found = details.exemplars();
            let place = (track, cache.track(track));
            let refused = self.candidates.add(place, found, default_ms);
            add(&context.metrics.exemplars_out_of_order, refused);
        }
        // A series that is new is alive even where its sample could not be taken, but stays new.
        let tracked = own_time_ms.is_none() || context.config.track_timestamps_staleness;
        if tracked && (taken || is_new) {
            cache.keep_alive(track);
        }
        match (is_new, taken) {
            (true, true) => {
                cache.insert_series(sample.series, track);
                let fails = self.over_limit || self.over_bucket_limit;
                self.series_added += u64::from(!fails);
            }
            (true, false) => cache.leave_new(track),
            (false, _) => {}
        }
        Ok(())
    }

    /// Notes that a series is new, or what its labels take.
    fn new_series(&mut self, bytes: usize, context: &PassContext<'_>) -> Result<()> {
        self.new_series_bytes += bytes + SERIES_BYTES / 2;
        if self.new_series_bytes > NEW_SERIES_BYTES_MAX {
            add(&context.metrics.label_limit_exceeded, 1);
            return Err(Error::Limit(format!(
                "new series take more than {NEW_SERIES_BYTES_MAX} bytes"
            )));
        }
        Ok(())
    }

    /// A series with a label twice cannot be stored, which matters unless its sample is left out anyway.
    fn refuse_repeated(
        &mut self,
        name: &str,
        own_time_ms: Option<i64>,
        context: &PassContext<'_>,
    ) -> Result<()> {
        let time_ms = own_time_ms.unwrap_or(context.time_ms);
        if self.admit(true, time_ms, context) {
            return Err(Error::Series(format!(
                "label name {name:?} is not unique: invalid sample"
            )));
        }
        self.post_relabeling += 1;
        Ok(())
    }

    /// The value of a sample, unless it may not be taken whatever its series has: too many buckets, too many samples, out of
    /// bounds, in this order. A histogram that is wrong is an error, but only now.
    fn value(
        &mut self,
        sample: &Exposed<'_>,
        is_new: bool,
        time_ms: i64,
        context: &PassContext<'_>,
    ) -> Result<Option<SampleValue>> {
        let mut value = sample.value.clone();
        let SampleValue::Histogram(histogram) = &mut value else {
            // A stale marker ends a series that is there, which no limit may prevent.
            let counts = is_new || !value.float().is_some_and(is_stale_nan);
            let admitted = self.admit(counts, time_ms, context);
            return Ok(admitted.then_some(value));
        };
        let invalid = |error: HistogramError| Error::Series(error.to_string());
        if !limit(histogram, context.config).map_err(invalid)? {
            self.over_bucket_limit = true;
            return Ok(None);
        }
        if !self.admit(true, time_ms, context) {
            return Ok(None);
        }
        Observations::check(sample.observations, histogram).map_err(invalid)?;
        Ok(Some(value))
    }

    /// Whether a sample may be taken at all, whatever its series has: not too many (if it `counts`), and within bounds.
    fn admit(&mut self, counts: bool, time_ms: i64, context: &PassContext<'_>) -> bool {
        let limit = context.config.limits.samples;
        self.counted += u64::from(counts);
        if counts && limit > 0 && self.counted > limit {
            // Counting goes on, so that the report says how many there are.
            self.over_limit = true;
            return false;
        }
        let newest_ms = context.time_ms.saturating_add(AHEAD_MS_MAX);
        if time_ms > newest_ms {
            add(&context.metrics.samples_out_of_bounds, 1);
            return false;
        }
        true
    }

    /// Takes a sample; `false` if it is out of order, or another one for the same time is there. A sample that the series has already is
    /// fine, and not written again. A sample of 0 comes before it, where that is wanted and a start timestamp that is not long ago lies behind what
    /// the series has.
    fn take(
        &mut self,
        value: SampleValue,
        start_ms: i64,
        place: Place,
        cache: &mut ScrapeCache,
        context: &PassContext<'_>,
    ) -> bool {
        let Place { track, time_ms } = place;
        let iteration = cache.mark();
        let Some(track) = cache.track(track) else {
            return false;
        };
        let is_start = start_ms != NO_START_MS && start_ms < time_ms;
        if context.starts.zero_samples
            && is_start
            && start_ms >= context.oldest_ms()
            && track.is_newer(start_ms)
        {
            let zero = zero_of(&value);
            if track.take(iteration, start_ms, value_bits(&zero)) == Verdict::New {
                self.samples.push(row(track, zero, start_ms, NO_START_MS));
            }
        }
        let verdict = track.take(iteration, time_ms, value_bits(&value));
        match verdict {
            Verdict::New => {
                let stored_ms = match context.starts.store && is_start {
                    true => start_ms,
                    false => NO_START_MS,
                };
                self.samples.push(row(track, value, time_ms, stored_ms));
            }
            Verdict::Known => {}
            Verdict::Duplicate => add(&context.metrics.samples_duplicate, 1),
            Verdict::OutOfOrder => add(&context.metrics.samples_out_of_order, 1),
        }
        matches!(verdict, Verdict::New | Verdict::Known)
    }

    fn mark_stale(&mut self, cache: &mut ScrapeCache, context: &PassContext<'_>) {
        let before = self.samples.len();
        let ended = cache.end_stale(context.time_ms);
        self.samples.extend(ended.map(|(series, value)| SampleRow {
            series: SeriesRef::clone(series),
            timestamp_ms: context.time_ms,
            start_timestamp_ms: NO_START_MS,
            value,
        }));
        add(
            &context.metrics.stale_markers,
            (self.samples.len() - before) as u64,
        );
    }
}

/// A pass while it reads.
struct Reading<'a> {
    pass: &'a mut Pass,
    cache: &'a mut ScrapeCache,
    context: &'a PassContext<'a>,
}

impl Visitor for Reading<'_> {
    type Error = Error;

    fn expected(&self) -> &[u8] {
        self.cache.expected()
    }

    fn metadata(&mut self, entry: &Entry<'_>) {
        match entry {
            Entry::Type(family, kind) => self.cache.set_type(family, *kind),
            Entry::Help(family, help) => self.cache.set_help(family, help),
            Entry::Unit(family, unit) => self.cache.set_unit(family, unit),
            Entry::Series(_) => {}
        }
    }

    fn sample(&mut self, exposed: &Exposed<'_>, details: &dyn Details) -> Result<()> {
        self.pass.sample(exposed, details, self.cache, self.context)
    }
}

/// What tells two values for one time apart.
fn value_bits(value: &SampleValue) -> u64 {
    match value {
        SampleValue::Float(value) => value.to_bits(),
        SampleValue::Histogram(histogram) => {
            let mut hash = Fnv::new();
            for number in [histogram.count, histogram.sum, histogram.zero_count] {
                hash.write(&number.to_bits().to_le_bytes());
            }
            hash.write(&histogram.schema.to_le_bytes());
            let counts = histogram.positive_buckets.iter();
            for number in counts.chain(&histogram.negative_buckets) {
                hash.write(&number.to_bits().to_le_bytes());
            }
            hash.finish()
        }
    }
}

/// The row of a sample, which is then the newest of its series. A histogram knows whether it goes on with the one before.
fn row(track: &mut Track, mut value: SampleValue, time_ms: i64, start_ms: i64) -> SampleRow {
    if let SampleValue::Histogram(histogram) = &mut value {
        let hint = histogram.stored_hint(track.histogram());
        Arc::make_mut(histogram).counter_reset_hint = hint;
    }
    track.note(&value);
    SampleRow {
        series: SeriesRef::clone(&track.series),
        timestamp_ms: time_ms,
        start_timestamp_ms: start_ms,
        value,
    }
}

/// What a counter has at the time since which it has counted.
fn zero_of(value: &SampleValue) -> SampleValue {
    match value {
        SampleValue::Float(_) => SampleValue::Float(0.0),
        SampleValue::Histogram(histogram) => SampleValue::Histogram(Arc::new(FloatHistogram {
            counter_reset_hint: CounterResetHint::CounterReset,
            schema: histogram.schema,
            zero_threshold: histogram.zero_threshold,
            custom_values: histogram.custom_values.clone(),
            ..FloatHistogram::default()
        })),
    }
}

/// Brings a histogram within the limits of the configuration, at a coarser resolution if need be; `false` if it has too many buckets at any. As in
/// Prometheus, a schema above the finest is left, and then wrong, unless a coarser one is asked for.
fn limit(
    histogram: &mut Arc<FloatHistogram>,
    config: &ScrapeConfig,
) -> std::result::Result<bool, HistogramError> {
    let schema_max = config.histograms.schema_max();
    if schema_max < SCHEMA_MAX {
        coarsen(histogram, schema_max)?;
    }
    let limit = usize::try_from(config.histograms.bucket_limit).unwrap_or(usize::MAX);
    while limit > 0 && histogram.positive_buckets.len() + histogram.negative_buckets.len() > limit {
        let reducible = histogram.has_valid_schema() && !histogram.uses_custom_buckets();
        if !reducible || histogram.schema <= SCHEMA_MIN {
            return Ok(false);
        }
        let schema = histogram.schema - 1;
        Arc::make_mut(histogram).reduce_resolution(schema)?;
    }
    Ok(true)
}

#[cfg(test)]
mod tests;
