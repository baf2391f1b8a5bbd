//! A group: what was pushed last under its labels, and how that is kept in an object.

use std::collections::{BTreeMap, HashSet};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde::{Deserialize, Serialize};
use varve_storage::histogram::FloatHistogram;
use varve_storage::{MetricMetadata, MetricType, SampleValue, SeriesRef};

use super::families::{Families, Family, PUSH_FAILURE_TIME, PUSH_TIME};
use super::path::GroupKey;
use crate::exposition::NORMAL_NAN;
use crate::push::{Rejected, RequestBuilder};

/// The version of the objects that groups are kept in.
const VERSION: u32 = 1;

/// A group.
#[derive(Clone, Debug, Default)]
pub(super) struct Group {
    pub(super) key: GroupKey,
    /// When it was last changed, and when a change failed; ms since the epoch, 0 for never.
    pub(super) pushed_ms: i64,
    pub(super) failed_ms: i64,
    pub(super) families: Families,
    /// The newest time at which its samples were written: what follows is later, so that it stands.
    pub(super) last_ms: i64,
}

impl Group {
    /// The time for the next samples.
    pub(super) fn next_ms(&self, now_ms: i64) -> i64 {
        now_ms.max(self.last_ms.saturating_add(1))
    }

    /// When anything last came for it.
    pub(super) fn heard_ms(&self) -> i64 {
        self.pushed_ms.max(self.failed_ms)
    }

    /// All its samples, the times of pushes included.
    pub(super) fn samples(
        &self,
        builder: &mut RequestBuilder<'_>,
    ) -> Result<Vec<(SeriesRef, SampleValue)>, Rejected> {
        let families = self.families.values();
        let mut all: Vec<_> = families.flat_map(|f| f.samples.iter().cloned()).collect();
        for (name, time_ms) in [
            (PUSH_TIME, self.pushed_ms),
            (PUSH_FAILURE_TIME, self.failed_ms),
        ] {
            let pairs = self.key.0.iter().map(|(n, v)| (n.as_bytes(), v.as_bytes()));
            let name = (&b"__name__"[..], name.as_bytes());
            let series = builder.series(&pairs.chain([name]).collect::<Vec<_>>())?;
            let seconds = time_ms as f64 / 1000.0;
            all.push((series, SampleValue::Float(seconds)));
        }
        Ok(all)
    }

    /// What is said about its families.
    pub(super) fn metadata(&self) -> impl Iterator<Item = MetricMetadata> {
        let own = self.families.iter().map(|(name, family)| MetricMetadata {
            family: name.clone(),
            kind: family.kind,
            unit: family.unit.clone(),
            help: family.help.clone(),
        });
        let times = [(PUSH_TIME, "succeeded"), (PUSH_FAILURE_TIME, "failed")];
        let times = times.map(|(name, what)| MetricMetadata {
            family: name.to_owned(),
            kind: MetricType::Gauge,
            unit: String::new(),
            help: format!("When a change of this group last {what}, in seconds since 1970."),
        });
        own.chain(times)
    }

    /// Its series that are not among `others`.
    pub(super) fn series_but<'a>(
        samples: &'a [(SeriesRef, SampleValue)],
        others: &[(SeriesRef, SampleValue)],
    ) -> Vec<&'a (SeriesRef, SampleValue)> {
        let others: HashSet<_> = others.iter().map(|(series, _)| series.id).collect();
        samples
            .iter()
            .filter(|(series, _)| !others.contains(&series.id))
            .collect()
    }

    /// As an object.
    pub(super) fn to_json(&self) -> Result<Vec<u8>, serde_json::Error> {
        let families = self.families.iter().map(|(name, family)| StoredFamily {
            name: name.clone(),
            kind: family.kind.as_str().to_owned(),
            help: family.help.clone(),
            unit: family.unit.clone(),
            samples: family.samples.iter().map(StoredSample::of).collect(),
        });
        serde_json::to_vec(&Stored {
            version: VERSION,
            labels: self.key.0.clone(),
            pushed_ms: self.pushed_ms,
            failed_ms: self.failed_ms,
            families: families.collect(),
        })
    }

    /// Out of an object; `Err` says what is wrong with it.
    pub(super) fn from_json(
        bytes: &[u8],
        builder: &mut RequestBuilder<'_>,
    ) -> Result<Self, String> {
        let stored: Stored = serde_json::from_slice(bytes).map_err(|error| error.to_string())?;
        if stored.version != VERSION {
            return Err(format!("unknown version {}", stored.version));
        }
        let mut group = Self {
            key: GroupKey(stored.labels),
            pushed_ms: stored.pushed_ms,
            failed_ms: stored.failed_ms,
            ..Self::default()
        };
        for stored in stored.families {
            let samples = stored.samples.into_iter();
            let samples = samples.map(|sample| sample.into_sample(builder));
            let family = Family {
                kind: metric_type(&stored.kind),
                help: stored.help,
                unit: stored.unit,
                samples: samples.collect::<Result<_, _>>()?,
            };
            group.families.insert(stored.name, family);
        }
        Ok(group)
    }
}

fn metric_type(name: &str) -> MetricType {
    let known = [
        MetricType::Counter,
        MetricType::Gauge,
        MetricType::Histogram,
        MetricType::GaugeHistogram,
        MetricType::Summary,
        MetricType::Info,
        MetricType::StateSet,
    ];
    let mut known = known.into_iter().filter(|kind| kind.as_str() == name);
    known.next().unwrap_or(MetricType::Unknown)
}

#[derive(Serialize, Deserialize)]
struct Stored {
    version: u32,
    labels: BTreeMap<String, String>,
    pushed_ms: i64,
    failed_ms: i64,
    families: Vec<StoredFamily>,
}

#[derive(Serialize, Deserialize)]
struct StoredFamily {
    name: String,
    #[serde(rename = "type")]
    kind: String,
    help: String,
    unit: String,
    samples: Vec<StoredSample>,
}

#[derive(Serialize, Deserialize)]
struct StoredSample {
    labels: BTreeMap<String, String>,
    /// The value as text, for JSON has no infinities.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    value: Option<String>,
    /// A native histogram as the WAL encodes it, in base 64.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    histogram: Option<String>,
}

impl StoredSample {
    fn of((series, value): &(SeriesRef, SampleValue)) -> Self {
        let labels = series.labels.iter();
        let labels = labels.map(|(n, v)| (n.to_owned(), v.to_owned())).collect();
        let (value, histogram) = match value {
            SampleValue::Float(value) => (Some(value.to_string()), None),
            SampleValue::Histogram(histogram) => (None, Some(STANDARD.encode(histogram.encode()))),
        };
        Self {
            labels,
            value,
            histogram,
        }
    }

    fn into_sample(
        self,
        builder: &mut RequestBuilder<'_>,
    ) -> Result<(SeriesRef, SampleValue), String> {
        let pairs = self.labels.iter();
        let pairs: Vec<_> = pairs.map(|(n, v)| (n.as_bytes(), v.as_bytes())).collect();
        let series = builder.series(&pairs).map_err(|error| error.to_string())?;
        let value = match (self.value, self.histogram) {
            (Some(value), None) => {
                let value: f64 = value.parse().map_err(|_| format!("no value: {value:?}"))?;
                SampleValue::Float(match value.is_nan() {
                    true => f64::from_bits(NORMAL_NAN),
                    false => value,
                })
            }
            (None, Some(histogram)) => {
                let bytes = STANDARD
                    .decode(histogram)
                    .map_err(|error| error.to_string())?;
                let histogram = FloatHistogram::decode(&bytes).and_then(FloatHistogram::received);
                SampleValue::Histogram(histogram.map_err(|error| error.to_string())?.into())
            }
            _ => return Err("a sample needs a value or a histogram".to_owned()),
        };
        Ok((series, value))
    }
}
