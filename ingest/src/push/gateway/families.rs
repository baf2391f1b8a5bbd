//! What a body exposes, by metric family: a push replaces whole families.

use std::collections::{BTreeMap, HashMap, HashSet};

use varve_storage::{MetricType, SampleValue, SeriesId, SeriesRef};

use super::path::GroupKey;
use crate::exposition::{
    self, Details, Entry, Exposed, ExpositionError, Format, ReadOptions, Visitor, repeated_name,
};
use crate::push::RequestBuilder;

/// The families that the gateway itself adds to a group; what is pushed under these names does not count.
pub(super) const PUSH_TIME: &str = "push_time_seconds";
pub(super) const PUSH_FAILURE_TIME: &str = "push_failure_time_seconds";

/// A metric family.
#[derive(Clone, Debug)]
pub(super) struct Family {
    pub(super) kind: MetricType,
    pub(super) help: String,
    pub(super) unit: String,
    pub(super) samples: Vec<(SeriesRef, SampleValue)>,
}

impl Default for Family {
    fn default() -> Self {
        Self {
            kind: MetricType::Unknown,
            help: String::new(),
            unit: String::new(),
            samples: Vec::new(),
        }
    }
}

/// Families by their names.
pub(super) type Families = BTreeMap<String, Family>;

/// Why a body is not taken.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum BodyError {
    /// It is no exposition. Nothing is known of its group.
    Malformed(String),
    /// It is one that cannot be pushed.
    Inconsistent(String),
}

/// A body while it is read.
struct Collecting<'a, 'b> {
    key: &'a GroupKey,
    builder: &'a mut RequestBuilder<'b>,
    families: Families,
    kinds: HashMap<String, MetricType>,
    seen: HashSet<SeriesId>,
    has_timestamps: bool,
    inconsistent: Option<String>,
}

impl Visitor for Collecting<'_, '_> {
    type Error = ExpositionError;

    fn expected(&self) -> &[u8] {
        b""
    }

    fn metadata(&mut self, entry: &Entry<'_>) {
        let name = |name: &[u8]| String::from_utf8_lossy(name).into_owned();
        match entry {
            Entry::Type(family, kind) => {
                self.families.entry(name(family)).or_default().kind = *kind;
                self.kinds.insert(name(family), *kind);
            }
            Entry::Help(family, help) => {
                self.families.entry(name(family)).or_default().help = help.to_string();
            }
            Entry::Unit(family, unit) => {
                self.families.entry(name(family)).or_default().unit = unit.to_string();
            }
            Entry::Series(_) => {}
        }
    }

    fn sample(
        &mut self,
        exposed: &Exposed<'_>,
        details: &dyn Details,
    ) -> Result<(), ExpositionError> {
        self.has_timestamps |= exposed.timestamp_ms.is_some();
        let labels = details.labels()?;
        if let Some(name) = repeated_name(&labels) {
            self.inconsistent
                .get_or_insert_with(|| format!("label name {name:?} is not unique"));
            return Ok(());
        }
        let own = labels
            .iter()
            .filter(|(name, _)| !self.key.0.contains_key(name));
        let all = own.map(|(n, v)| (n, v)).chain(&self.key.0);
        let all: Vec<(&[u8], &[u8])> = all.map(|(n, v)| (n.as_bytes(), v.as_bytes())).collect();
        let series = match self.builder.series(&all) {
            Ok(series) => series,
            Err(rejected) => {
                self.inconsistent
                    .get_or_insert_with(|| rejected.to_string());
                return Ok(());
            }
        };
        if !self.seen.insert(series.id) {
            self.inconsistent.get_or_insert_with(|| {
                format!(
                    "collected metric {} was collected before with the same name and label values",
                    series.labels
                )
            });
        }
        let family = family_of(series.labels.metric_name(), &self.kinds).to_owned();
        let family = self.families.entry(family).or_default();
        match exposition::checked(&exposed.value, exposed.observations) {
            Ok(value) => family.samples.push((series, value)),
            Err(error) => {
                return Err(ExpositionError {
                    line: 0,
                    message: error.to_string(),
                });
            }
        }
        Ok(())
    }
}

/// Reads a body whose series get the labels of its group.
pub(super) fn read(
    body: &[u8],
    format: Format,
    key: &GroupKey,
    builder: &mut RequestBuilder<'_>,
) -> Result<Families, BodyError> {
    let mut collecting = Collecting {
        key,
        builder,
        families: Families::new(),
        kinds: HashMap::new(),
        seen: HashSet::new(),
        has_timestamps: false,
        inconsistent: None,
    };
    let options = ReadOptions {
        native_histograms: true,
        classic_histograms: true,
        ..ReadOptions::default()
    };
    exposition::read(body, format, &options, &mut collecting)
        .map_err(|error: ExpositionError| BodyError::Malformed(error.to_string()))?;
    let Collecting {
        mut families,
        has_timestamps,
        mut inconsistent,
        ..
    } = collecting;
    if has_timestamps {
        inconsistent = Some("pushed metrics must not have timestamps".to_owned());
    }
    if let Some(reason) = inconsistent {
        return Err(BodyError::Inconsistent(reason));
    }
    families.remove(PUSH_TIME);
    families.remove(PUSH_FAILURE_TIME);
    families.retain(|_, family| !family.samples.is_empty());
    Ok(families)
}

/// The family of a series: the series of histograms, summaries and OpenMetrics' counters have suffixes that their families have not.
fn family_of<'a>(name: &'a str, kinds: &HashMap<String, MetricType>) -> &'a str {
    if kinds.contains_key(name) {
        return name;
    }
    let with_suffix = |suffix: &str, of: &[MetricType]| {
        let family = name.strip_suffix(suffix)?;
        kinds.get(family).filter(|kind| of.contains(kind))?;
        Some(family)
    };
    use MetricType::{Counter, GaugeHistogram, Histogram, Info, Summary};
    let suffixes: [(&str, &[MetricType]); 8] = [
        ("_bucket", &[Histogram, GaugeHistogram]),
        ("_sum", &[Histogram, Summary]),
        ("_count", &[Histogram, Summary]),
        ("_total", &[Counter]),
        ("_created", &[Counter, Histogram, Summary]),
        ("_gsum", &[GaugeHistogram]),
        ("_gcount", &[GaugeHistogram]),
        ("_info", &[Info]),
    ];
    let mut found = suffixes
        .into_iter()
        .filter_map(|(suffix, of)| with_suffix(suffix, of));
    found.next().unwrap_or(name)
}
