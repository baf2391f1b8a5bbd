//! From the body of a response to the samples of one append.
//!
//! A pass over a body either succeeds, or fails and leaves no samples. After a failed pass the loop makes an empty one: it
//! ends the series that were alive before. As in Prometheus, series that the failed pass saw before it failed count as
//! alive and get no stale marker.

use std::collections::BTreeSet;
use std::sync::Arc;

use varve_storage::columns::NO_START_MS;
use varve_storage::histogram::SCHEMA_MIN;
use varve_storage::limits::{LABEL_BYTES_PER_SERIES_MAX, LABELS_PER_SERIES_MAX};
use varve_storage::wal::SampleRow;
use varve_storage::{
    Exemplar, FloatHistogram, Labels, LabelsBuilder, METRIC_NAME, SampleValue, Series, SeriesRef,
};

use super::cache::{Fate, ScrapeCache, Verdict};
use super::metrics::{ScrapeMetrics, add};
use super::target::Fnv;
use crate::config::ScrapeConfig;
use crate::error::{Error, Result};
use crate::exposition::{
    Details, Entry, Exposed, Format, ReadOptions, Visitor, read, repeated_name,
};
use crate::names::NameValidation;
use crate::relabel::relabel;

/// How far ahead of the scrape a sample's own time may be.
const AHEAD_MS_MAX: i64 = 10 * 60 * 1000;

/// How long it is remembered when a series that is gone had its newest sample.
const MEMORY_MS: i64 = 60 * 60 * 1000;

/// Bytes of the labels of all series that are new in one scrape. A format that spells labels out once for many series could
/// otherwise hide gigabytes of them in a body within its limit.
const NEW_LABEL_BYTES_MAX: usize = 512 << 20;

/// What a pass needs to know about its target.
#[derive(Debug)]
pub(super) struct PassContext<'a> {
    pub(super) config: &'a ScrapeConfig,
    /// Labels of the target's series.
    pub(super) target: &'a Labels,
    pub(super) metrics: &'a ScrapeMetrics,
    /// The time of samples without one; ms since the epoch.
    pub(super) time_ms: i64,
    /// What is read of histograms.
    pub(super) options: ReadOptions,
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
    /// Bytes of the labels of new series.
    new_label_bytes: usize,
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
            pass.mark_stale(cache, context);
            cache.end_iteration(true, context.oldest_ms());
        }
        Err(_) => {
            pass.samples.clear();
            pass.exemplars.clear();
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

/// The label set of an exposed series: the target's labels added, metric rules applied. `None` if it is dropped.
fn final_labels(exposed: &[(String, String)], context: &PassContext<'_>) -> Result<Option<Labels>> {
    let mut labels = LabelsBuilder::default();
    for (name, value) in exposed {
        labels.set(name, value);
    }
    if context.config.honor_labels {
        // An empty label in the exposition counts: it keeps the target's label away.
        let names: BTreeSet<&str> = exposed.iter().map(|(name, _)| name.as_str()).collect();
        for (name, value) in context.target.iter() {
            if !names.contains(name) {
                labels.set(name, value);
            }
        }
    } else {
        let mut conflicts: Vec<(&str, String)> = Vec::new();
        for (name, value) in context.target.iter() {
            if let Some(own) = labels.get(name) {
                conflicts.push((name, own.to_owned()));
            }
            labels.set(name, value);
        }
        conflicts.sort_by_key(|(name, _)| name.len());
        for (name, value) in conflicts {
            let mut renamed = format!("exported_{name}");
            while labels.get(&renamed).is_some() {
                renamed.insert_str(0, "exported_");
            }
            labels.set(&renamed, &value);
        }
    }
    if !relabel(&mut labels, &context.config.metric_relabel_configs) {
        return Ok(None);
    }
    let labels = labels.build();
    // The builder leaves a nameless label out; Prometheus finds it in what is left after the rules.
    if exposed
        .iter()
        .any(|(name, value)| name.is_empty() && !value.is_empty())
    {
        return Err(Error::Series(format!(
            "invalid metric name or label names: {labels}"
        )));
    }
    Ok(Some(labels).filter(|labels| !labels.is_empty()))
}

/// Checks a label set against names and limits.
fn check_labels(labels: &Labels, context: &PassContext<'_>) -> Result<()> {
    let Some(metric) = labels.get(METRIC_NAME) else {
        return Err(Error::Series(
            "missing metric name (__name__ label)".to_owned(),
        ));
    };
    let validation = context.config.validation;
    let valid = validation == NameValidation::Utf8
        || (validation.is_metric_name(metric)
            && labels
                .iter()
                .all(|(name, _)| validation.is_label_name(name)));
    if !valid {
        return Err(Error::Series(format!(
            "invalid metric name or label names: {labels}"
        )));
    }
    let limits = &context.config.limits;
    let exceeded = |limit: u64, length: usize| limit > 0 && length as u64 > limit;
    let short = |text: &str| text.chars().take(50).collect::<String>();
    let fail = |message: String| {
        add(&context.metrics.label_limit_exceeded, 1);
        Err(Error::Limit(message))
    };
    if exceeded(limits.labels, labels.len()) {
        return fail(format!(
            "label_limit exceeded (metric: {}, number of labels: {}, limit: {})",
            short(metric),
            labels.len(),
            limits.labels
        ));
    }
    for (name, value) in labels.iter() {
        if exceeded(limits.label_name_bytes, name.len()) {
            return fail(format!(
                "label_name_length_limit exceeded (metric: {}, label name: {}, length: {}, limit: {})",
                short(metric),
                short(name),
                name.len(),
                limits.label_name_bytes
            ));
        }
        if exceeded(limits.label_value_bytes, value.len()) {
            return fail(format!(
                "label_value_length_limit exceeded (metric: {}, label name: {}, value: {:?}, length: {}, limit: {})",
                short(metric),
                short(name),
                short(value),
                value.len(),
                limits.label_value_bytes
            ));
        }
    }
    // What no store of Varve takes, whatever the configuration says.
    if labels.len() > LABELS_PER_SERIES_MAX || labels.heap_bytes() > LABEL_BYTES_PER_SERIES_MAX {
        return fail(format!(
            "a series of metric {} has {} labels of {} bytes; at most {LABELS_PER_SERIES_MAX} labels of {LABEL_BYTES_PER_SERIES_MAX} bytes can be stored",
            short(metric),
            labels.len(),
            labels.heap_bytes()
        ));
    }
    Ok(())
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
        let (track, is_new) = match cache.find(sample.series, sample.expected) {
            Some(Fate::Dropped) => return Ok(()),
            Some(Fate::Series { track, again }) => {
                self.post_relabeling += 1;
                if again && own_time_ms.is_none() {
                    add(&context.metrics.samples_duplicate, 1);
                    return Ok(());
                }
                (track, false)
            }
            None => {
                let exposed = details.labels()?;
                let Some(labels) = final_labels(&exposed, context)? else {
                    cache.insert_dropped(sample.series);
                    return Ok(());
                };
                check_labels(&labels, context)?;
                self.new_label_bytes += labels.heap_bytes() + sample.series.len();
                if self.new_label_bytes > NEW_LABEL_BYTES_MAX {
                    add(&context.metrics.label_limit_exceeded, 1);
                    return Err(Error::Limit(format!(
                        "the labels of new series take more than {NEW_LABEL_BYTES_MAX} bytes"
                    )));
                }
                if let Some(name) = repeated_name(&exposed) {
                    return self.refuse_repeated(name, own_time_ms, context);
                }
                self.post_relabeling += 1;
                (cache.track_of(SeriesRef::new(Series::new(labels))), true)
            }
        };
        let taken = self.admit(own_time_ms, context)
            && self.take(sample, own_time_ms, track, cache, context)?;
        // A series that is new is alive even where its sample could not be taken, but stays new.
        let tracked = own_time_ms.is_none() || context.config.track_timestamps_staleness;
        if tracked && (taken || is_new) {
            cache.keep_alive(track);
        }
        match (is_new, taken) {
            (true, true) => {
                cache.insert_series(sample.series, track);
                self.series_added += u64::from(!self.over_limit);
            }
            (true, false) => cache.leave_new(track),
            (false, _) => {}
        }
        self.exemplars(own_time_ms, track, details, cache, context);
        Ok(())
    }

    /// Takes the exemplars of a sample.
    fn exemplars(
        &mut self,
        own_time_ms: Option<i64>,
        track: u32,
        details: &dyn Details,
        cache: &mut ScrapeCache,
        context: &PassContext<'_>,
    ) {
        let found = details.exemplars();
        if found.is_empty() {
            return;
        }
        let Some(track) = cache.track(track).filter(|track| track.has_samples()) else {
            return;
        };
        let time_ms = own_time_ms.unwrap_or(context.time_ms);
        self.exemplars
            .extend(found.into_iter().map(|exemplar| Exemplar {
                series: SeriesRef::clone(&track.series),
                labels: Labels::from_pairs(exemplar.labels),
                timestamp_ms: exemplar.timestamp_ms.unwrap_or(time_ms),
                value: exemplar.value,
            }));
    }

    /// A series with a label twice cannot be stored, which matters unless its sample is left out anyway.
    fn refuse_repeated(
        &mut self,
        name: &str,
        own_time_ms: Option<i64>,
        context: &PassContext<'_>,
    ) -> Result<()> {
        if self.admit(own_time_ms, context) {
            return Err(Error::Series(format!(
                "label name {name:?} is not unique: invalid sample"
            )));
        }
        self.post_relabeling += 1;
        Ok(())
    }

    /// Whether a sample may be taken at all, whatever its series has: not too many, and within bounds.
    fn admit(&mut self, own_time_ms: Option<i64>, context: &PassContext<'_>) -> bool {
        let limit = context.config.limits.samples;
        self.counted += 1;
        if limit > 0 && self.counted > limit {
            // Counting goes on, so that the report says how many there are.
            self.over_limit = true;
            return false;
        }
        let time_ms = own_time_ms.unwrap_or(context.time_ms);
        let newest_ms = context.time_ms.saturating_add(AHEAD_MS_MAX);
        if time_ms > newest_ms {
            add(&context.metrics.samples_out_of_bounds, 1);
            return false;
        }
        true
    }

    /// Takes a sample; `false` if it is out of order, or another one for the same time is there, or it has too many buckets. A sample that
    /// the series has already is fine, and not written again.
    fn take(
        &mut self,
        sample: &Exposed<'_>,
        own_time_ms: Option<i64>,
        track: u32,
        cache: &mut ScrapeCache,
        context: &PassContext<'_>,
    ) -> Result<bool> {
        let time_ms = own_time_ms.unwrap_or(context.time_ms);
        let iteration = cache.iteration();
        let Some(track) = cache.track(track) else {
            return Ok(false);
        };
        let mut value = sample.value.clone();
        if let SampleValue::Histogram(histogram) = &value {
            match limited(histogram, context.config)? {
                Some(histogram) => value = SampleValue::Histogram(histogram),
                None => {
                    self.over_bucket_limit = true;
                    return Ok(false);
                }
            }
        }
        let verdict = track.take(iteration, time_ms, value_bits(&value));
        match verdict {
            Verdict::New => {
                if let SampleValue::Histogram(histogram) = &mut value {
                    let hint = histogram.stored_hint(track.histogram());
                    Arc::make_mut(histogram).counter_reset_hint = hint;
                }
                track.note(&value);
                self.samples.push(SampleRow {
                    series: SeriesRef::clone(&track.series),
                    timestamp_ms: time_ms,
                    start_timestamp_ms: match sample.start_timestamp_ms < time_ms {
                        true => sample.start_timestamp_ms,
                        false => NO_START_MS,
                    },
                    value,
                });
            }
            Verdict::Known => {}
            Verdict::Duplicate => add(&context.metrics.samples_duplicate, 1),
            Verdict::OutOfOrder => add(&context.metrics.samples_out_of_order, 1),
        }
        Ok(matches!(verdict, Verdict::New | Verdict::Known))
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

/// A histogram within the limits of the configuration, at a coarser resolution if need be; `None` if it has too many buckets at any.
fn limited(
    histogram: &Arc<FloatHistogram>,
    config: &ScrapeConfig,
) -> Result<Option<Arc<FloatHistogram>>> {
    // Copied only if it is changed.
    let mut limited = Arc::clone(histogram);
    let reduce = |histogram: &mut Arc<FloatHistogram>, schema| {
        let reduced = Arc::make_mut(histogram).reduce_resolution(schema);
        reduced.map_err(|error| Error::Series(error.to_string()))
    };
    let schema_max = config.histograms.schema_max();
    if limited.schema > schema_max && !limited.uses_custom_buckets() {
        reduce(&mut limited, schema_max)?;
    }
    let limit = usize::try_from(config.histograms.bucket_limit).unwrap_or(usize::MAX);
    while limit > 0 && limited.positive_buckets.len() + limited.negative_buckets.len() > limit {
        if limited.uses_custom_buckets() || limited.schema <= SCHEMA_MIN {
            return Ok(None);
        }
        let schema = limited.schema - 1;
        reduce(&mut limited, schema)?;
    }
    Ok(Some(limited))
}

#[cfg(test)]
mod tests;
