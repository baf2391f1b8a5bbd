//! Records: what Prometheus logged together.

use std::sync::Arc;

use varve_storage::columns::NO_START_MS;
use varve_storage::{Labels, MetricType, SampleValue};

use super::histograms;
use crate::error::DecodeError;
use crate::fields::Fields;

type Result<T, E = DecodeError> = std::result::Result<T, E>;

/// A sample and the reference of its series.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct LoggedSample {
    pub(crate) series: u64,
    pub(crate) timestamp_ms: i64,
    pub(crate) start_timestamp_ms: i64,
    /// A histogram's hint is the one that it was logged with.
    pub(crate) value: SampleValue,
}

/// An exemplar and the reference of its series.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct LoggedExemplar {
    pub(crate) series: u64,
    pub(crate) timestamp_ms: i64,
    pub(crate) value: f64,
    pub(crate) labels: Labels,
}

/// Metadata and the reference of its series.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct LoggedMetadata {
    pub(crate) series: u64,
    pub(crate) kind: MetricType,
    pub(crate) unit: String,
    pub(crate) help: String,
}

/// A deleted range of a series, both ends included.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct LoggedTombstone {
    pub(crate) series: u64,
    pub(crate) range: (i64, i64),
}

/// A record.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Record {
    /// New series: references and labels.
    Series(Vec<(u64, Labels)>),
    /// Samples of one kind.
    Samples(Vec<LoggedSample>),
    /// Deleted ranges.
    Tombstones(Vec<LoggedTombstone>),
    /// Exemplars.
    Exemplars(Vec<LoggedExemplar>),
    /// Series, and the chunks into which all their samples out of order until now went.
    Markers(Vec<(u64, u64)>),
    /// Metadata.
    Metadata(Vec<LoggedMetadata>),
    /// A kind that this version does not know; Prometheus passes over such records, too.
    Unknown,
}

/// Whether a record can hold something that a pass needs; saves decoding the others.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kinds {
    /// All of them.
    All,
    /// All but samples and exemplars.
    WithoutSamples,
}

impl Record {
    /// Decodes a record; samples are not, if they are not asked for.
    pub(crate) fn decode(bytes: &[u8], kinds: Kinds) -> Result<Self> {
        let mut fields = Fields::new(bytes);
        let Ok(kind) = fields.byte() else {
            return Ok(Self::Unknown);
        };
        if kinds == Kinds::WithoutSamples && matches!(kind, 2 | 4 | 7..=13) {
            return Ok(Self::Unknown);
        }
        Ok(match kind {
            1 => Self::Series(items(fields, series)?),
            2 => Self::Samples(samples(fields, |fields| fields.f64().map(Into::into))?),
            3 => Self::Tombstones(items(fields, tombstone)?),
            4 => Self::Exemplars(exemplars(fields)?),
            5 => Self::Markers(items(fields, |fields| Ok((fields.u64()?, fields.u64()?)))?),
            6 => Self::Metadata(items(fields, metadata)?),
            7 | 9 => Self::Samples(samples(fields, histograms::whole)?),
            8 | 10 => Self::Samples(samples(fields, histograms::float)?),
            11 => Self::Samples(samples_with_starts(fields, |fields| {
                fields.f64().map(Into::into)
            })?),
            12 => Self::Samples(samples_with_starts(fields, histograms::whole)?),
            13 => Self::Samples(samples_with_starts(fields, histograms::float)?),
            _ => Self::Unknown,
        })
    }
}

/// A value as logged; `None` for a histogram of a schema that this version does not know, which Prometheus leaves out, too.
pub(super) struct Value(pub(super) Option<SampleValue>);

impl From<f64> for Value {
    fn from(value: f64) -> Self {
        Self(Some(SampleValue::Float(value)))
    }
}

impl From<Option<varve_storage::FloatHistogram>> for Value {
    fn from(histogram: Option<varve_storage::FloatHistogram>) -> Self {
        Self(histogram.map(|histogram| SampleValue::Histogram(Arc::new(histogram))))
    }
}

fn items<T>(mut fields: Fields<'_>, item: impl Fn(&mut Fields<'_>) -> Result<T>) -> Result<Vec<T>> {
    let mut items = Vec::new();
    while !fields.is_empty() {
        items.push(item(&mut fields)?);
    }
    Ok(items)
}

fn series(fields: &mut Fields<'_>) -> Result<(u64, Labels)> {
    Ok((fields.u64()?, labels(fields)?))
}

fn labels(fields: &mut Fields<'_>) -> Result<Labels> {
    let count = fields.count(2)?;
    let mut pairs = Vec::with_capacity(count);
    for _ in 0..count {
        pairs.push((fields.text()?, fields.text()?));
    }
    Ok(Labels::from_canonical(pairs.iter().copied()).unwrap_or_else(|| Labels::from_pairs(pairs)))
}

fn tombstone(fields: &mut Fields<'_>) -> Result<LoggedTombstone> {
    Ok(LoggedTombstone {
        series: fields.u64()?,
        range: (fields.varint()?, fields.varint()?),
    })
}

fn metadata(fields: &mut Fields<'_>) -> Result<LoggedMetadata> {
    let series = fields.uvarint()?;
    let kind = match fields.byte()? {
        1 => MetricType::Counter,
        2 => MetricType::Gauge,
        3 => MetricType::Histogram,
        4 => MetricType::GaugeHistogram,
        5 => MetricType::Summary,
        6 => MetricType::Info,
        7 => MetricType::StateSet,
        _ => MetricType::Unknown,
    };
    let (mut unit, mut help) = ("", "");
    for _ in 0..fields.count(2)? {
        let (name, value) = (fields.text()?, fields.text()?);
        match name {
            "UNIT" => unit = value,
            "HELP" => help = value,
            _ => {}
        }
    }
    Ok(LoggedMetadata {
        series,
        kind,
        unit: unit.to_owned(),
        help: help.to_owned(),
    })
}

/// Samples whose references and times are differences to those in front of all.
fn samples(
    mut fields: Fields<'_>,
    value: impl Fn(&mut Fields<'_>) -> Result<Value>,
) -> Result<Vec<LoggedSample>> {
    if fields.is_empty() {
        return Ok(Vec::new());
    }
    let (series, time) = (fields.u64()?, fields.i64()?);
    let mut samples = Vec::new();
    while !fields.is_empty() {
        let series = series.wrapping_add_signed(fields.varint()?);
        let timestamp_ms = time.wrapping_add(fields.varint()?);
        if let Value(Some(value)) = value(&mut fields)? {
            samples.push(LoggedSample {
                series,
                timestamp_ms,
                start_timestamp_ms: NO_START_MS,
                value,
            });
        }
    }
    Ok(samples)
}

/// Samples of the second version: references are differences to the one before, times and starts to the first.
fn samples_with_starts(
    mut fields: Fields<'_>,
    value: impl Fn(&mut Fields<'_>) -> Result<Value>,
) -> Result<Vec<LoggedSample>> {
    if fields.is_empty() {
        return Ok(Vec::new());
    }
    let mut series = fields.varint()?;
    let first_time = fields.varint()?;
    let first_start = fields.varint()?;
    let (mut time, mut start) = (first_time, first_start);
    let mut samples = Vec::new();
    loop {
        if let Value(Some(value)) = value(&mut fields)? {
            samples.push(LoggedSample {
                series: series as u64,
                timestamp_ms: time,
                start_timestamp_ms: start,
                value,
            });
        }
        if fields.is_empty() {
            return Ok(samples);
        }
        series = series.wrapping_add(fields.varint()?);
        time = first_time.wrapping_add(fields.varint()?);
        start = match fields.byte()? {
            0 => NO_START_MS,
            1 => start,
            _ => first_start.wrapping_add(fields.varint()?),
        };
    }
}

fn exemplars(mut fields: Fields<'_>) -> Result<Vec<LoggedExemplar>> {
    if fields.is_empty() {
        return Ok(Vec::new());
    }
    let (series, time) = (fields.u64()?, fields.i64()?);
    items(fields, |fields| {
        Ok(LoggedExemplar {
            series: series.wrapping_add_signed(fields.varint()?),
            timestamp_ms: time.wrapping_add(fields.varint()?),
            value: fields.f64()?,
            labels: labels(fields)?,
        })
    })
}
