//! Native histograms as both versions write them.

use varve_storage::histogram::{
    CounterResetHint, FloatHistogram, HistogramError, IntegerHistogram,
};

use varve_storage::protobuf::histogram::read_span;
use varve_storage::protobuf::wire::{Field, Fields, WireError};

/// A histogram with its time.
#[derive(Debug)]
pub(super) struct ReceivedHistogram {
    pub(super) timestamp_ms: i64,
    /// 0 where it is not known.
    pub(super) start_timestamp_ms: i64,
    /// The histogram, or what is wrong with it.
    pub(super) value: Result<FloatHistogram, HistogramError>,
}

/// The message as it is written: which of the two kinds of counts it has shows at its end.
#[derive(Debug, Default)]
struct Raw {
    common: IntegerHistogram,
    /// The count, where it is a float.
    float_count: Option<f64>,
    float_zero_count: f64,
    positive_counts: Vec<f64>,
    negative_counts: Vec<f64>,
    timestamp_ms: i64,
    start_timestamp_ms: i64,
}

pub(super) fn read(mut fields: Fields<'_>) -> Result<ReceivedHistogram, WireError> {
    let mut raw = Raw::default();
    while let Some(field) = fields.next()? {
        raw.take(field)?;
    }
    let Raw {
        common,
        float_count,
        ..
    } = raw;
    let value = match float_count {
        None => common.to_float(),
        Some(count) => FloatHistogram {
            counter_reset_hint: common.counter_reset_hint,
            schema: common.schema,
            zero_threshold: common.zero_threshold,
            zero_count: raw.float_zero_count,
            count,
            sum: common.sum,
            positive_spans: common.positive_spans,
            positive_buckets: raw.positive_counts,
            negative_spans: common.negative_spans,
            negative_buckets: raw.negative_counts,
            custom_values: common.custom_values,
        }
        .received(),
    };
    Ok(ReceivedHistogram {
        timestamp_ms: raw.timestamp_ms,
        start_timestamp_ms: raw.start_timestamp_ms,
        value,
    })
}

impl Raw {
    fn take(&mut self, field: Field<'_>) -> Result<(), WireError> {
        let common = &mut self.common;
        match field.number {
            1 => {
                common.count = field.uint64()?;
                self.float_count = None;
            }
            2 => self.float_count = Some(field.double()?),
            3 => common.sum = field.double()?,
            4 => common.schema = field.sint32()?,
            5 => common.zero_threshold = field.double()?,
            6 => common.zero_count = field.uint64()?,
            7 => self.float_zero_count = field.double()?,
            8 => common.negative_spans.push(read_span(field)?),
            9 => field.sint64s(&mut common.negative_deltas)?,
            10 => field.doubles(&mut self.negative_counts)?,
            11 => common.positive_spans.push(read_span(field)?),
            12 => field.sint64s(&mut common.positive_deltas)?,
            13 => field.doubles(&mut self.positive_counts)?,
            14 => common.counter_reset_hint = hint(field.uint64()?),
            15 => self.timestamp_ms = field.int64()?,
            16 => field.doubles(&mut common.custom_values)?,
            17 => self.start_timestamp_ms = field.int64()?,
            _ => {}
        }
        Ok(())
    }
}

fn hint(number: u64) -> CounterResetHint {
    match number {
        1 => CounterResetHint::CounterReset,
        2 => CounterResetHint::NotCounterReset,
        3 => CounterResetHint::Gauge,
        _ => CounterResetHint::Unknown,
    }
}
