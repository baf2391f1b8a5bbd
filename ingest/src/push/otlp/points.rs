//! Data points as they are written, one at a time.

use std::borrow::Cow;

use super::OtlpError;
use super::labels::Attributes;
use super::value::attribute;
use varve_storage::protobuf::wire::{Field, Fields};

/// Buckets on one side of a histogram, and quantiles of a summary: far above what clients send, far below what a request could claim.
const BUCKETS_MAX: usize = 1 << 16;

/// Characters of an exemplar's labels: the limit of OpenMetrics.
const EXEMPLAR_CHARS_MAX: usize = 128;

/// What all data points have.
#[derive(Debug, Default)]
pub(super) struct Head<'a> {
    pub(super) start_ns: u64,
    pub(super) time_ns: u64,
    pub(super) flags: u64,
    pub(super) attributes: Attributes<'a>,
    pub(super) exemplars: Vec<PointExemplar<'a>>,
}

/// An exemplar with its labels.
#[derive(Debug)]
pub(super) struct PointExemplar<'a> {
    /// 0 where it is not known.
    pub(super) time_ms: i64,
    pub(super) value: f64,
    pub(super) labels: Vec<(&'a str, Cow<'a, str>)>,
}

/// A value of a gauge or a sum.
#[derive(Debug, Default)]
pub(super) struct NumberPoint<'a> {
    pub(super) head: Head<'a>,
    /// 0 where none is written.
    pub(super) value: f64,
}

/// A histogram with explicit bounds.
#[derive(Debug, Default)]
pub(super) struct HistogramPoint<'a> {
    pub(super) head: Head<'a>,
    pub(super) count: u64,
    pub(super) sum: Option<f64>,
    pub(super) bucket_counts: Vec<u64>,
    pub(super) bounds: Vec<f64>,
}

/// A histogram with exponential buckets.
#[derive(Debug, Default)]
pub(super) struct ExponentialPoint<'a> {
    pub(super) head: Head<'a>,
    pub(super) count: u64,
    pub(super) sum: Option<f64>,
    pub(super) scale: i32,
    pub(super) zero_count: u64,
    pub(super) positive: Buckets,
    pub(super) negative: Buckets,
}

/// One side of a histogram with exponential buckets.
#[derive(Debug, Default)]
pub(super) struct Buckets {
    pub(super) offset: i32,
    pub(super) counts: Vec<u64>,
}

/// Quantiles that somebody else computed.
#[derive(Debug, Default)]
pub(super) struct SummaryPoint<'a> {
    pub(super) head: Head<'a>,
    pub(super) count: u64,
    pub(super) sum: f64,
    /// Quantiles and their values.
    pub(super) quantiles: Vec<(f64, f64)>,
}

/// Nanoseconds as milliseconds. What is beyond 2262 has gone round, as in Go.
pub(super) fn milliseconds(time_ns: u64) -> i64 {
    time_ns.cast_signed() / 1_000_000
}

/// The time of any data point, in nanoseconds.
pub(super) fn time_ns(point: Field<'_>) -> Result<u64, OtlpError> {
    let mut time_ns = 0;
    let mut fields = point.message()?;
    while let Some(field) = fields.next()? {
        if field.number == 3 {
            time_ns = field.fixed64()?;
        }
    }
    Ok(time_ns)
}

fn check_number(field: Field<'_>, present: usize, item_bytes: usize) -> Result<(), OtlpError> {
    let more = field.bytes().map_or(1, |bytes| bytes.len() / item_bytes);
    match present.saturating_add(more) > BUCKETS_MAX {
        true => Err(OtlpError::Untranslatable(format!(
            "a histogram or summary has more than {BUCKETS_MAX} buckets"
        ))),
        false => Ok(()),
    }
}

impl<'a> Head<'a> {
    /// Whether the point says that there is no value: the series has ended.
    pub(super) fn has_no_value(&self) -> bool {
        self.flags & 1 != 0
    }

    pub(super) fn time_ms(&self) -> i64 {
        milliseconds(self.time_ns)
    }

    pub(super) fn start_ms(&self) -> i64 {
        milliseconds(self.start_ns)
    }

    #[cfg(test)]
    pub(super) fn ended() -> Self {
        Self {
            flags: 1,
            ..Self::default()
        }
    }

    fn add_exemplar(&mut self, field: Field<'a>) -> Result<(), OtlpError> {
        self.exemplars.push(exemplar(field.message()?)?);
        Ok(())
    }
}

impl<'a> NumberPoint<'a> {
    pub(super) fn read(point: Field<'a>) -> Result<Self, OtlpError> {
        let mut read = Self::default();
        let mut fields = point.message()?;
        while let Some(field) = fields.next()? {
            match field.number {
                2 => read.head.start_ns = field.fixed64()?,
                3 => read.head.time_ns = field.fixed64()?,
                4 => read.value = field.double()?,
                5 => read.head.add_exemplar(field)?,
                6 => read.value = field.sfixed64()? as f64,
                7 => read.head.attributes.push(field)?,
                8 => read.head.flags = field.uint64()?,
                _ => {}
            }
        }
        Ok(read)
    }
}

impl<'a> HistogramPoint<'a> {
    pub(super) fn read(point: Field<'a>) -> Result<Self, OtlpError> {
        let mut read = Self::default();
        let mut fields = point.message()?;
        while let Some(field) = fields.next()? {
            match field.number {
                2 => read.head.start_ns = field.fixed64()?,
                3 => read.head.time_ns = field.fixed64()?,
                4 => read.count = field.fixed64()?,
                5 => read.sum = Some(field.double()?),
                6 => {
                    check_number(field, read.bucket_counts.len(), 8)?;
                    field.fixed64s(&mut read.bucket_counts)?;
                }
                7 => {
                    check_number(field, read.bounds.len(), 8)?;
                    field.doubles(&mut read.bounds)?;
                }
                8 => read.head.add_exemplar(field)?,
                9 => read.head.attributes.push(field)?,
                10 => read.head.flags = field.uint64()?,
                _ => {}
            }
        }
        Ok(read)
    }
}

impl<'a> ExponentialPoint<'a> {
    pub(super) fn read(point: Field<'a>) -> Result<Self, OtlpError> {
        let mut read = Self::default();
        let mut fields = point.message()?;
        while let Some(field) = fields.next()? {
            match field.number {
                1 => read.head.attributes.push(field)?,
                2 => read.head.start_ns = field.fixed64()?,
                3 => read.head.time_ns = field.fixed64()?,
                4 => read.count = field.fixed64()?,
                5 => read.sum = Some(field.double()?),
                6 => read.scale = field.sint32()?,
                7 => read.zero_count = field.fixed64()?,
                8 => read.positive.read(field)?,
                9 => read.negative.read(field)?,
                10 => read.head.flags = field.uint64()?,
                11 => read.head.add_exemplar(field)?,
                _ => {}
            }
        }
        Ok(read)
    }
}

impl Buckets {
    fn read(&mut self, side: Field<'_>) -> Result<(), OtlpError> {
        let mut fields = side.message()?;
        while let Some(field) = fields.next()? {
            match field.number {
                1 => self.offset = field.sint32()?,
                2 => {
                    check_number(field, self.counts.len(), 1)?;
                    field.uint64s(&mut self.counts)?;
                }
                _ => {}
            }
        }
        Ok(())
    }
}

impl<'a> SummaryPoint<'a> {
    pub(super) fn read(point: Field<'a>) -> Result<Self, OtlpError> {
        let mut read = Self::default();
        let mut fields = point.message()?;
        while let Some(field) = fields.next()? {
            match field.number {
                2 => read.head.start_ns = field.fixed64()?,
                3 => read.head.time_ns = field.fixed64()?,
                4 => read.count = field.fixed64()?,
                5 => read.sum = field.double()?,
                6 => {
                    check_number(field, read.quantiles.len(), usize::MAX)?;
                    read.quantiles.push(quantile(field.message()?)?);
                }
                7 => read.head.attributes.push(field)?,
                8 => read.head.flags = field.uint64()?,
                _ => {}
            }
        }
        Ok(read)
    }
}

fn quantile(mut fields: Fields<'_>) -> Result<(f64, f64), OtlpError> {
    let mut read = (0.0, 0.0);
    while let Some(field) = fields.next()? {
        match field.number {
            1 => read.0 = field.double()?,
            2 => read.1 = field.double()?,
            _ => {}
        }
    }
    Ok(read)
}

fn exemplar<'a>(mut fields: Fields<'a>) -> Result<PointExemplar<'a>, OtlpError> {
    let (mut time_ns, mut value) = (0, None);
    let mut ids: [(&str, &[u8]); 2] = [("trace_id", &[]), ("span_id", &[])];
    let mut attributes: Vec<(&str, Cow<'_, str>)> = Vec::new();
    while let Some(field) = fields.next()? {
        match field.number {
            2 => time_ns = field.fixed64()?,
            3 => value = Some(field.double()?),
            4 => ids[1].1 = field.bytes()?,
            5 => ids[0].1 = field.bytes()?,
            6 => value = Some(field.sfixed64()? as f64),
            7 => attributes.push(attribute(field)?),
            _ => {}
        }
    }
    let value = value.ok_or_else(|| {
        OtlpError::Untranslatable("unsupported exemplar value type: Empty".to_owned())
    })?;
    let mut labels = Vec::with_capacity(attributes.len() + 2);
    for (name, id) in ids {
        // An id that is all zeros is none.
        if id.iter().any(|byte| *byte != 0) {
            labels.push((name, Cow::Owned(hexadecimal(id))));
        }
    }
    let pairs = labels.iter().chain(&attributes);
    let chars: usize = pairs
        .map(|(n, v)| n.chars().count() + v.chars().count())
        .sum();
    if chars <= EXEMPLAR_CHARS_MAX {
        labels.append(&mut attributes);
    }
    Ok(PointExemplar {
        time_ms: milliseconds(time_ns),
        value,
        labels,
    })
}

fn hexadecimal(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
