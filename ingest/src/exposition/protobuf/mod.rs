//! Prometheus's protobuf messages: metric families, each behind its length.
//!
//! A family is walked twice, because its name and type may come behind its metrics; nothing of it is built but the metric at hand.

mod message;
#[cfg(test)]
mod tests;

use std::borrow::Cow;
use std::sync::Arc;

use varve_storage::columns::NO_START_MS;
use varve_storage::{METRIC_NAME, MetricType, SampleValue};

use self::message::{
    Family, Histogram, Metric, counter, exemplar, failure, only_value, quantile, timestamp_ms,
};
use super::number::format_bound;
use super::read::{Details, Exposed, ReadOptions, Visitor};
use super::{Entry, ExpositionError, Observations, ParsedExemplar};
use varve_storage::protobuf::wire::Fields;

/// The sample at hand, for whoever wants its labels.
struct Current<'a> {
    name: &'a str,
    suffix: &'static str,
    labels: &'a [(&'a str, &'a str)],
    /// `le` or `quantile`.
    bound: Option<(&'static str, String)>,
    exemplars: Vec<ParsedExemplar>,
}

impl Details for Current<'_> {
    fn labels(&self) -> Result<Vec<(String, String)>, ExpositionError> {
        let name = (
            METRIC_NAME.to_owned(),
            format!("{}{}", self.name, self.suffix),
        );
        let labels = self.labels.iter();
        let labels = labels.map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
        let bound = self.bound.iter();
        let bound = bound.map(|(name, value)| ((*name).to_owned(), value.clone()));
        Ok(std::iter::once(name).chain(labels).chain(bound).collect())
    }

    fn exemplars(&self) -> Vec<ParsedExemplar> {
        self.exemplars.clone()
    }
}

/// Reads a whole exposition; see [`super::read()`].
pub(super) fn read<V: Visitor>(
    mut body: &[u8],
    options: &ReadOptions,
    visitor: &mut V,
) -> Result<(), V::Error> {
    let mut reader = Reader {
        options,
        visitor,
        key: Vec::new(),
    };
    while !body.is_empty() {
        let (message, rest) = split(body)?;
        reader.family(message)?;
        body = rest;
    }
    Ok(())
}

/// The first message, and what follows it.
fn split(body: &[u8]) -> Result<(&[u8], &[u8]), ExpositionError> {
    let mut length = 0_u64;
    for (index, byte) in body.iter().enumerate().take(10) {
        length |= u64::from(byte & 0x7f) << (7 * index.min(8));
        if byte & 0x80 != 0 {
            continue;
        }
        let rest = body.get(index + 1..).unwrap_or_default();
        let length = usize::try_from(length).unwrap_or(usize::MAX);
        return rest.split_at_checked(length).ok_or_else(|| {
            failure(format!(
                "a metric family of {length} bytes is announced, and {} follow",
                rest.len()
            ))
        });
    }
    Err(failure(
        "the length of a metric family is malformed".to_owned(),
    ))
}

/// Walks one exposition. The key of a series is written into the same buffer each time.
struct Reader<'r, V> {
    options: &'r ReadOptions,
    visitor: &'r mut V,
    key: Vec<u8>,
}

impl<V: Visitor> Reader<'_, V> {
    fn family(&mut self, message: &[u8]) -> Result<(), V::Error> {
        let family = Family::read(message)?;
        if family.metrics == 0 {
            return Ok(());
        }
        let name = family.name.as_bytes();
        self.visitor
            .metadata(&Entry::Help(name, Cow::Borrowed(family.help)));
        if !family.unit.is_empty() {
            self.visitor
                .metadata(&Entry::Unit(name, Cow::Borrowed(family.unit)));
        }
        self.visitor.metadata(&Entry::Type(name, family.kind));
        let mut fields = Fields::new(message);
        while let Some(field) = fields.next().map_err(ExpositionError::from)? {
            if field.number == 4 {
                let fields = field.message().map_err(ExpositionError::from)?;
                self.metric(&family, &Metric::read(fields)?)?;
            }
        }
        Ok(())
    }

    fn metric(&mut self, family: &Family<'_>, metric: &Metric<'_>) -> Result<(), V::Error> {
        let current = Current {
            name: family.name,
            suffix: "",
            labels: &metric.labels,
            bound: None,
            exemplars: Vec::new(),
        };
        match family.kind {
            MetricType::Counter => {
                let (value, exemplars, start_ms) = counter(metric.counter)?;
                let current = Current {
                    exemplars,
                    ..current
                };
                self.emit(metric, SampleValue::Float(value), start_ms, &current)
            }
            MetricType::Gauge => {
                let value = SampleValue::Float(only_value(metric.gauge)?);
                self.emit(metric, value, NO_START_MS, &current)
            }
            MetricType::Summary => self.summary(metric, current),
            MetricType::Histogram | MetricType::GaugeHistogram => {
                self.histogram(family.kind, metric, current)
            }
            _ => {
                let value = SampleValue::Float(only_value(metric.untyped)?);
                self.emit(metric, value, NO_START_MS, &current)
            }
        }
    }

    /// Hands on a sample that is to be checked by itself.
    fn emit(
        &mut self,
        metric: &Metric<'_>,
        value: SampleValue,
        start_ms: i64,
        current: &Current<'_>,
    ) -> Result<(), V::Error> {
        self.emit_checked(metric, (value, None), start_ms, current)
    }

    /// Hands on a sample, with what it is to be checked against.
    fn emit_checked(
        &mut self,
        metric: &Metric<'_>,
        (value, observations): (SampleValue, Option<Observations>),
        start_ms: i64,
        current: &Current<'_>,
    ) -> Result<(), V::Error> {
        self.key.clear();
        self.key.extend_from_slice(current.name.as_bytes());
        self.key.extend_from_slice(current.suffix.as_bytes());
        let bound = current.bound.iter();
        let bound = bound.map(|(name, value)| (*name, value.as_str()));
        for (name, value) in current.labels.iter().copied().chain(bound) {
            for text in [name, value] {
                // No text has this byte.
                self.key.push(0xff);
                self.key.extend_from_slice(text.as_bytes());
            }
        }
        if value.float().is_none() {
            self.key.push(0xff);
        }
        let exposed = Exposed {
            series: &self.key,
            value,
            observations,
            timestamp_ms: metric.timestamp_ms(),
            start_timestamp_ms: match self.options.start_timestamps {
                true => start_ms,
                false => NO_START_MS,
            },
            expected: self.visitor.expected() == self.key,
        };
        self.visitor.sample(&exposed, current)
    }

    fn summary<'c>(
        &mut self,
        metric: &Metric<'_>,
        mut current: Current<'c>,
    ) -> Result<(), V::Error> {
        let (mut observations, mut sum, mut start_ms) = (0, 0.0, NO_START_MS);
        let mut quantiles: Vec<(f64, f64)> = Vec::new();
        let mut read = || {
            let mut fields = Fields::new(metric.summary);
            while let Some(field) = fields.next()? {
                match field.number {
                    1 => observations = field.uint64()?,
                    2 => sum = field.double()?,
                    3 => quantiles.push(quantile(field)?),
                    4 => start_ms = timestamp_ms(field)?,
                    _ => {}
                }
            }
            Ok::<_, ExpositionError>(())
        };
        read()?;
        current.suffix = "_count";
        self.emit(
            metric,
            SampleValue::Float(observations as f64),
            start_ms,
            &current,
        )?;
        current.suffix = "_sum";
        self.emit(metric, SampleValue::Float(sum), start_ms, &current)?;
        current.suffix = "";
        for (quantile, value) in quantiles {
            current.bound = Some(("quantile", format_bound(quantile)));
            self.emit(metric, SampleValue::Float(value), start_ms, &current)?;
        }
        Ok(())
    }

    fn histogram(
        &mut self,
        kind: MetricType,
        metric: &Metric<'_>,
        mut current: Current<'_>,
    ) -> Result<(), V::Error> {
        let histogram = Histogram::read(metric.histogram)?;
        if self.options.native_histograms && histogram.is_native() {
            let name = current.name;
            let (native, observations) = histogram
                .native(kind)
                .map_err(|reason| failure(format!("histogram {name:?}: {reason}")))?;
            current.exemplars = histogram.exemplars()?;
            let value = SampleValue::Histogram(Arc::new(native));
            self.emit_checked(metric, (value, observations), histogram.start_ms, &current)?;
            if self.options.classic_histograms && !histogram.buckets.is_empty() {
                self.classic(metric, &histogram, current)?;
            }
            return Ok(());
        }
        let convert = self.options.convert_classic_histograms;
        let name = current.name;
        if !convert || self.options.classic_histograms {
            let current = Current {
                exemplars: Vec::new(),
                bound: None,
                ..current
            };
            self.classic(metric, &histogram, current)?;
        }
        if convert {
            let converted = histogram
                .converted(kind)
                .map_err(|error| failure(error.to_string()))?;
            let current = Current {
                name,
                suffix: "",
                labels: &metric.labels,
                bound: None,
                exemplars: histogram.exemplars()?,
            };
            let value = SampleValue::Histogram(Arc::new(converted));
            self.emit(metric, value, histogram.start_ms, &current)?;
        }
        Ok(())
    }

    /// The series of a histogram's classic side.
    fn classic(
        &mut self,
        metric: &Metric<'_>,
        histogram: &Histogram<'_>,
        mut current: Current<'_>,
    ) -> Result<(), V::Error> {
        let start_ms = histogram.start_ms;
        current.exemplars.clear();
        let float = SampleValue::Float;
        current.suffix = "_count";
        self.emit(metric, float(histogram.count()), start_ms, &current)?;
        current.suffix = "_sum";
        self.emit(metric, float(histogram.integer.sum), start_ms, &current)?;
        current.suffix = "_bucket";
        for bucket in &histogram.buckets {
            current.bound = Some(("le", format_bound(bucket.upper)));
            let found = bucket.exemplar.map(exemplar).transpose()?;
            current.exemplars = found.into_iter().collect();
            self.emit(metric, float(bucket.count), start_ms, &current)?;
            if bucket.upper == f64::INFINITY {
                return Ok(());
            }
        }
        current.bound = Some(("le", "+Inf".to_owned()));
        current.exemplars.clear();
        self.emit(metric, float(histogram.count()), start_ms, &current)
    }
}
