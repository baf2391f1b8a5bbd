//! The message of a native histogram, which remote write in both versions and remote read have in common, and the spans that expositions write
//! alike.

use super::encode::Message;
use super::wire::{Field, WireError};
use crate::histogram::{CounterResetHint, FloatHistogram, Span};

/// Writes the fields of a `prometheus.Histogram` with float counts; `start_ms` is 0 where no start timestamp is known.
pub fn write_histogram(
    message: &mut Message,
    time_ms: i64,
    start_ms: i64,
    histogram: &FloatHistogram,
) {
    // That the counts are floats shows in their presence.
    message.double_always(2, histogram.count);
    message.double(3, histogram.sum);
    message.sint32(4, histogram.schema);
    message.double(5, histogram.zero_threshold);
    message.double_always(7, histogram.zero_count);
    spans(message, 8, &histogram.negative_spans);
    message.doubles(10, &histogram.negative_buckets);
    spans(message, 11, &histogram.positive_spans);
    message.doubles(13, &histogram.positive_buckets);
    message.uint64(
        14,
        match histogram.counter_reset_hint {
            CounterResetHint::Unknown => 0,
            CounterResetHint::CounterReset => 1,
            CounterResetHint::NotCounterReset => 2,
            CounterResetHint::Gauge => 3,
        },
    );
    message.int64(15, time_ms);
    message.doubles(16, &histogram.custom_values);
    message.int64(17, start_ms);
}

/// Reads a `BucketSpan`.
pub fn read_span(field: Field<'_>) -> Result<Span, WireError> {
    let mut span = Span {
        offset: 0,
        length: 0,
    };
    let mut fields = field.message()?;
    while let Some(field) = fields.next()? {
        match field.number {
            1 => span.offset = field.sint32()?,
            2 => span.length = field.uint32()?,
            _ => {}
        }
    }
    Ok(span)
}

fn spans(message: &mut Message, number: u32, spans: &[Span]) {
    for span in spans {
        message.message(number, |message| {
            message.sint32(1, span.offset);
            message.uint64(2, u64::from(span.length));
        });
    }
}
