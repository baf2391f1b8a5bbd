//! A walk through a request: resources, their scopes, metrics and data points, each of which becomes samples.

use std::collections::{BTreeMap, HashSet};

use varve_storage::histogram::CounterResetHint;
use varve_storage::{MetricMetadata, MetricType, SeriesId};

use super::labels::{Attributes, Collision, LabelRules, ResourceLabels, ScopeLabels};
use super::names::{LabelNames, MetricNames, NamedKind, unit_name};
use super::points::{ExponentialPoint, HistogramPoint, NumberPoint, SummaryPoint, time_ns};
use super::{OtlpDelta, OtlpError, Warning};
use crate::config::OtlpConfig;
use crate::push::{PushReceiver, RequestBuilder};
use varve_storage::protobuf::wire::{Field, Fields};

/// So many reasons are told; a request with as many is not read further.
const REASONS_MAX: usize = 10;

/// So many warnings are told.
const WARNINGS_MAX: usize = 100;

/// A request while it is translated.
pub(super) struct Translation<'r> {
    pub(super) receiver: &'r PushReceiver,
    pub(super) builder: RequestBuilder<'r>,
    pub(super) rules: LabelRules<'r>,
    metric_names: MetricNames,
    pub(super) outcome: Outcome,
    /// Times of `target_info` that are written, by series: resources may repeat each other.
    pub(super) targets: HashSet<(SeriesId, i64)>,
}

/// What came of a request.
#[derive(Debug, Default)]
pub(super) struct Outcome {
    pub(super) samples: u64,
    pub(super) histograms: u64,
    pub(super) exemplars: u64,
    /// Deltas that came too late.
    pub(super) left_out: u64,
    /// Why the request cannot be stored, if that is so.
    pub(super) reasons: Vec<String>,
    /// What is odd, by its text.
    pub(super) warnings: BTreeMap<String, Warning>,
}

/// What applies to all data points of a scope.
pub(super) struct Context<'a> {
    pub(super) resource: &'a ResourceLabels<'a>,
    pub(super) scope: &'a ScopeLabels<'a>,
}

/// What applies to all data points of a metric.
pub(super) struct Metric<'a> {
    pub(super) context: &'a Context<'a>,
    /// As it is sent.
    pub(super) name: &'a str,
    /// As it is stored.
    pub(super) family: String,
    /// Whether its data points are differences that are added up here.
    pub(super) accumulates: bool,
    pub(super) hint: CounterResetHint,
}

/// The earliest and latest time of data points, in nanoseconds.
type TimeRange = Option<(u64, u64)>;

/// The data of a metric by the number of its field.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Gauge,
    Sum,
    Histogram,
    Exponential,
    Summary,
}

impl Kind {
    fn of(number: u32) -> Option<Self> {
        Some(match number {
            5 => Self::Gauge,
            7 => Self::Sum,
            9 => Self::Histogram,
            10 => Self::Exponential,
            11 => Self::Summary,
            _ => return None,
        })
    }
}

/// What is known of a metric's data before its points are translated.
#[derive(Debug, Default)]
struct Data {
    temporality: u64,
    is_monotonic: bool,
    points: u64,
}

const DELTA: u64 = 1;
const CUMULATIVE: u64 = 2;

pub(super) fn untranslatable(reason: impl ToString) -> OtlpError {
    OtlpError::Untranslatable(reason.to_string())
}

impl<'r> Translation<'r> {
    pub(super) fn new(receiver: &'r PushReceiver, config: &'r OtlpConfig, now_ms: i64) -> Self {
        let escapes = config.translation_strategy.escapes();
        Self {
            receiver,
            builder: receiver.request(now_ms),
            rules: LabelRules {
                config,
                names: LabelNames {
                    escapes,
                    sanitizes_underscores: config.label_name_underscore_sanitization,
                    keeps_underscores: config.label_name_preserve_multiple_underscores,
                },
            },
            metric_names: MetricNames {
                escapes,
                adds_suffixes: config.translation_strategy.adds_suffixes(),
            },
            outcome: Outcome::default(),
            targets: HashSet::new(),
        }
    }

    /// Translates `ExportMetricsServiceRequest`. Whether it can be stored also depends on [`Outcome::reasons`].
    pub(super) fn request(&mut self, message: &[u8]) -> Result<(), OtlpError> {
        let mut fields = Fields::new(message);
        while let Some(field) = fields.next()? {
            if field.number == 1 {
                self.resource_metrics(field)?;
            }
        }
        Ok(())
    }

    /// What is to be stored, and what came of the request.
    pub(super) fn finish(self) -> (RequestBuilder<'r>, Outcome) {
        (self.builder, self.outcome)
    }

    /// Notes why the request cannot be stored; `Err` if that is enough.
    fn fail(&mut self, reason: String) -> Result<(), OtlpError> {
        if self.outcome.reasons.len() + 1 >= REASONS_MAX {
            return Err(OtlpError::Untranslatable(reason));
        }
        self.outcome.reasons.push(reason);
        Ok(())
    }

    /// Notes why a part cannot be stored. What is no message at all ends the request.
    fn note(&mut self, result: Result<(), OtlpError>) -> Result<(), OtlpError> {
        match result {
            Err(OtlpError::Untranslatable(reason)) => self.fail(reason),
            other => other,
        }
    }

    pub(super) fn warn(&mut self, warning: Warning, text: String) {
        if self.outcome.warnings.len() < WARNINGS_MAX {
            self.outcome.warnings.insert(text, warning);
        }
    }

    pub(super) fn warn_of_collisions(&mut self, source: &str, collisions: Vec<Collision>) {
        for Collision { label, attributes } in collisions {
            let text = format!(
                "OTLP {source} attributes {attributes} collide as label {label:?} after name sanitization, values are concatenated with ';'"
            );
            self.warn(Warning::LabelNameCollision, text);
        }
    }

    fn resource_metrics(&mut self, field: Field<'_>) -> Result<(), OtlpError> {
        let mut attributes = Attributes::default();
        let mut fields = field.message()?;
        while let Some(field) = fields.next()? {
            if field.number == 1 {
                let mut resource = field.message()?;
                while let Some(field) = resource.next()? {
                    if field.number == 1 {
                        attributes.push(field)?;
                    }
                }
            }
        }
        let resource = match self.rules.resource(&attributes) {
            Ok(resource) => resource,
            Err(reason) => return self.fail(reason),
        };
        let mut times = None;
        let mut fields = field.message()?;
        while let Some(field) = fields.next()? {
            if field.number == 2 {
                self.scope_metrics(field, &resource, &mut times)?;
            }
        }
        let Some(times) = times else {
            return Ok(());
        };
        let copied = attributes.0.iter().map(|(n, v)| (*n, v.as_ref().into()));
        let copied = Attributes(copied.collect());
        let written = self.target_info(copied, &resource, times);
        self.note(written)
    }

    fn scope_metrics(
        &mut self,
        field: Field<'_>,
        resource: &ResourceLabels<'_>,
        times: &mut TimeRange,
    ) -> Result<(), OtlpError> {
        let (mut name, mut version, mut schema_url) = ("", "", "");
        let mut attributes = Attributes::default();
        let mut fields = field.message()?;
        while let Some(field) = fields.next()? {
            match field.number {
                1 => {
                    let mut scope = field.message()?;
                    while let Some(field) = scope.next()? {
                        match field.number {
                            1 => name = field.string()?,
                            2 => version = field.string()?,
                            3 => attributes.push(field)?,
                            _ => {}
                        }
                    }
                }
                3 => schema_url = field.string()?,
                _ => {}
            }
        }
        let scope = match self.rules.scope(name, version, schema_url, &attributes) {
            Ok(scope) => scope,
            Err(reason) => return self.fail(reason),
        };
        let context = Context {
            resource,
            scope: &scope,
        };
        let mut fields = field.message()?;
        while let Some(field) = fields.next()? {
            if field.number == 2 {
                let translated = self.metric(field, &context, times);
                self.note(translated)?;
            }
        }
        Ok(())
    }

    fn metric(
        &mut self,
        field: Field<'_>,
        context: &Context<'_>,
        times: &mut TimeRange,
    ) -> Result<(), OtlpError> {
        let (mut name, mut description, mut unit) = ("", "", "");
        let mut data = None;
        let mut fields = field.message()?;
        while let Some(field) = fields.next()? {
            match field.number {
                1 => name = field.string()?,
                2 => description = field.string()?,
                3 => unit = field.string()?,
                // Of several kinds of data the last one counts.
                number => data = Kind::of(number).map(|kind| (kind, field)).or(data),
            }
        }
        let Some((kind, field)) = data else {
            return Err(untranslatable(format!(
                "could not get aggregation temporality for {name} as it has unsupported metric type Empty"
            )));
        };
        let data = Data::read(field, times)?;
        let delta = data.temporality == DELTA;
        let has_temporality = matches!(kind, Kind::Sum | Kind::Histogram | Kind::Exponential);
        let mode = self.receiver.options().otlp_delta;
        let accumulates = has_temporality && delta && mode == OtlpDelta::ToCumulative;
        let stays_delta = has_temporality && delta && mode == OtlpDelta::Native;
        if has_temporality && data.temporality != CUMULATIVE && !accumulates && !stays_delta {
            return Err(untranslatable(format!(
                "invalid temporality and type combination for metric {name:?}"
            )));
        }
        let monotonic = kind == Kind::Sum && data.is_monotonic;
        let named = match kind {
            Kind::Gauge => NamedKind::Gauge,
            _ if monotonic => NamedKind::MonotonicSum,
            _ => NamedKind::Other,
        };
        let family = self
            .metric_names
            .build(name, unit, named)
            .map_err(untranslatable)?;
        if data.points == 0 {
            let text = format!("empty data points. {name} is dropped");
            self.warn(Warning::EmptyDataPoints, text);
            return Ok(());
        }
        self.builder.metadata(MetricMetadata {
            family: family.clone(),
            kind: match kind {
                // There is no type for deltas.
                _ if stays_delta => MetricType::Unknown,
                Kind::Sum if monotonic => MetricType::Counter,
                Kind::Gauge | Kind::Sum => MetricType::Gauge,
                Kind::Histogram | Kind::Exponential => MetricType::Histogram,
                Kind::Summary => MetricType::Summary,
            },
            unit: unit_name(unit),
            help: description.to_owned(),
        });
        let metric = Metric {
            context,
            name,
            family,
            accumulates,
            // A delta must not look like the reset of a counter.
            hint: match stays_delta {
                true => CounterResetHint::Gauge,
                false => CounterResetHint::Unknown,
            },
        };
        let mut fields = field.message()?;
        while let Some(field) = fields.next()? {
            if field.number == 1 {
                self.point(kind, field, &metric)?;
            }
        }
        Ok(())
    }

    fn point(
        &mut self,
        kind: Kind,
        field: Field<'_>,
        metric: &Metric<'_>,
    ) -> Result<(), OtlpError> {
        match kind {
            Kind::Gauge | Kind::Sum => {
                let mut point = NumberPoint::read(field)?;
                if kind == Kind::Gauge {
                    point.head.exemplars.clear();
                }
                self.number(point, metric)
            }
            Kind::Histogram => {
                let point = HistogramPoint::read(field)?;
                match self.rules.config.convert_histograms_to_nhcb {
                    true => self.custom(point, metric),
                    false => self.classic(point, metric),
                }
            }
            Kind::Exponential => self.exponential(ExponentialPoint::read(field)?, metric),
            Kind::Summary => self.summary(SummaryPoint::read(field)?, metric),
        }
    }
}

impl Data {
    /// Looks through the data of a metric, and widens `times` by its data points.
    fn read(field: Field<'_>, times: &mut TimeRange) -> Result<Self, OtlpError> {
        let mut data = Self::default();
        let mut fields = field.message()?;
        while let Some(field) = fields.next()? {
            match field.number {
                1 => {
                    let time_ns = time_ns(field)?;
                    data.points += 1;
                    let (earliest, latest) = times.unwrap_or((time_ns, time_ns));
                    *times = Some((earliest.min(time_ns), latest.max(time_ns)));
                }
                2 => data.temporality = field.uint64()?,
                3 => data.is_monotonic = field.uint64()? != 0,
                _ => {}
            }
        }
        Ok(data)
    }
}
