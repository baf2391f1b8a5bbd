//! From samples to families of metrics.

use std::borrow::Cow;
use std::sync::Arc;

use varve_storage::histogram::CounterResetHint;
use varve_storage::{FloatHistogram, Labels, METRIC_NAME, SampleValue};

use super::negotiate::{Encoding, Format};

/// The newest sample of a series.
pub(super) type Sample = (Labels, i64, SampleValue);

/// The label that a server gives what it scrapes.
const INSTANCE: &str = "instance";

/// The type of a family.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Untyped,
    Histogram,
    GaugeHistogram,
}

impl Kind {
    fn of(value: &SampleValue) -> Self {
        match value {
            SampleValue::Float(_) => Self::Untyped,
            SampleValue::Histogram(h) if h.counter_reset_hint == CounterResetHint::Gauge => {
                Self::GaugeHistogram
            }
            SampleValue::Histogram(_) => Self::Histogram,
        }
    }
}

/// Metrics of one name and type. There may be several families of one name: its metrics may differ in type.
#[derive(Clone, Debug)]
pub(super) struct Family<'a> {
    pub(super) name: Cow<'a, str>,
    pub(super) kind: Kind,
    pub(super) metrics: Vec<Metric<'a>>,
}

/// One series.
#[derive(Clone, Debug)]
pub(super) struct Metric<'a> {
    /// All labels but the name: first its own, then the external ones that it lacks.
    pub(super) labels: Vec<(Cow<'a, str>, &'a str)>,
    pub(super) time_ms: i64,
    pub(super) value: Value<'a>,
}

/// The value of a metric.
#[derive(Clone, Debug)]
pub(super) enum Value<'a> {
    Float(f64),
    /// Buckets with exponential bounds.
    Native(&'a FloatHistogram),
    /// Buckets with bounds of their own.
    Classic(Classic),
}

/// A classic histogram.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Classic {
    pub(super) count: f64,
    pub(super) sum: f64,
    /// Upper bounds, ascending and without the infinite one, with the observations up to them.
    pub(super) buckets: Vec<(f64, f64)>,
}

impl Classic {
    fn of(histogram: &FloatHistogram) -> Self {
        let mut own = histogram.positive_ascending().peekable();
        let mut count = 0.0;
        let bounds = histogram.custom_values.iter().enumerate();
        let buckets = bounds.map(|(index, bound)| {
            while let Some(bucket) = own.next_if(|bucket| i64::from(bucket.index) <= index as i64) {
                if i64::from(bucket.index) == index as i64 {
                    count += bucket.count;
                }
            }
            (*bound, count)
        });
        let buckets = buckets.collect();
        Self {
            count: histogram.count,
            sum: histogram.sum,
            buckets,
        }
    }
}

/// Hands on the families of samples, which are ordered by name. Left out are nameless series, and native histograms where the format has no
/// place for them.
pub(super) fn for_each_family(
    samples: &[Sample],
    external: &Labels,
    format: Format,
    mut hand_on: impl FnMut(&Family<'_>),
) {
    let mut added: Vec<(&str, &str)> = external.iter().collect();
    // Whoever scrapes the answer honours labels, and must not put its own in this place.
    if external.get(INSTANCE).is_none() {
        added.push((INSTANCE, ""));
        added.sort_unstable();
    }
    let mut open: Option<(&str, Family<'_>)> = None;
    for (labels, time_ms, value) in samples {
        let name = labels.metric_name();
        let Some(metric) = metric(labels, *time_ms, value, &added, format) else {
            continue;
        };
        if name.is_empty() {
            tracing::warn!(%labels, "a nameless series is not federated");
            continue;
        }
        let kind = Kind::of(value);
        match &mut open {
            Some((of, family)) if *of == name && family.kind == kind => family.metrics.push(metric),
            _ => {
                let family = Family {
                    name: format.escaping.apply(name),
                    kind,
                    metrics: vec![metric],
                };
                if let Some((_, whole)) = open.replace((name, family)) {
                    hand_on(&whole);
                }
            }
        }
    }
    if let Some((_, last)) = open {
        hand_on(&last);
    }
}

fn metric<'a>(
    labels: &'a Labels,
    time_ms: i64,
    value: &'a SampleValue,
    added: &[(&'a str, &'a str)],
    format: Format,
) -> Option<Metric<'a>> {
    let value = match value {
        SampleValue::Float(value) => Value::Float(*value),
        SampleValue::Histogram(histogram) if histogram.uses_custom_buckets() => {
            Value::Classic(Classic::of(histogram))
        }
        SampleValue::Histogram(_) if format.encoding == Encoding::Text => return None,
        SampleValue::Histogram(histogram) => Value::Native(Arc::as_ref(histogram)),
    };
    let own = labels.iter().filter(|(name, _)| *name != METRIC_NAME);
    let missing = added.iter().copied();
    let missing = missing.filter(|(name, _)| labels.get(name).is_none());
    let pairs = own.chain(missing);
    Some(Metric {
        labels: pairs
            .map(|(name, value)| (format.escaping.apply(name), value))
            .collect(),
        time_ms,
        value,
    })
}
