//! Native histograms in records.

use varve_storage::FloatHistogram;
use varve_storage::histogram::{CounterResetHint, SCHEMA_CUSTOM, Span};

use super::record::Value;
use crate::chunk::{is_known_schema, with_usable_schema};
use crate::error::DecodeError;
use crate::fields::Fields;

type Result<T, E = DecodeError> = std::result::Result<T, E>;

/// A histogram with whole counts, of which buckets are differences to the bucket before.
pub(super) fn whole(fields: &mut Fields<'_>) -> Result<Value> {
    let mut histogram = head(fields)?;
    histogram.zero_count = fields.uvarint()? as f64;
    histogram.count = fields.uvarint()? as f64;
    histogram.sum = fields.f64()?;
    histogram.positive_spans = spans(fields)?;
    histogram.negative_spans = spans(fields)?;
    let buckets = |fields: &mut Fields<'_>| -> Result<Vec<f64>> {
        let mut count = 0i64;
        list(fields, 1, |fields| {
            count = count.wrapping_add(fields.varint()?);
            Ok(count as f64)
        })
    };
    histogram.positive_buckets = buckets(fields)?;
    histogram.negative_buckets = buckets(fields)?;
    tail(fields, histogram)
}

/// A histogram with float counts.
pub(super) fn float(fields: &mut Fields<'_>) -> Result<Value> {
    let mut histogram = head(fields)?;
    histogram.zero_count = fields.f64()?;
    histogram.count = fields.f64()?;
    histogram.sum = fields.f64()?;
    histogram.positive_spans = spans(fields)?;
    histogram.negative_spans = spans(fields)?;
    histogram.positive_buckets = list(fields, 8, Fields::f64)?;
    histogram.negative_buckets = list(fields, 8, Fields::f64)?;
    tail(fields, histogram)
}

fn head(fields: &mut Fields<'_>) -> Result<FloatHistogram> {
    let counter_reset_hint = match fields.byte()? {
        1 => CounterResetHint::CounterReset,
        2 => CounterResetHint::NotCounterReset,
        3 => CounterResetHint::Gauge,
        _ => CounterResetHint::Unknown,
    };
    Ok(FloatHistogram {
        counter_reset_hint,
        schema: fields.varint()? as i32,
        zero_threshold: fields.f64()?,
        ..FloatHistogram::default()
    })
}

fn tail(fields: &mut Fields<'_>, mut histogram: FloatHistogram) -> Result<Value> {
    if histogram.schema == SCHEMA_CUSTOM {
        histogram.custom_values = list(fields, 8, Fields::f64)?;
    }
    if !is_known_schema(histogram.schema) {
        return Ok(None.into());
    }
    if varve_storage::is_stale_nan(histogram.sum) {
        let marker = FloatHistogram {
            sum: histogram.sum,
            ..FloatHistogram::default()
        };
        return Ok(Some(marker).into());
    }
    with_usable_schema(histogram).map(|histogram| Some(histogram).into())
}

fn spans(fields: &mut Fields<'_>) -> Result<Vec<Span>> {
    list(fields, 2, |fields| {
        Ok(Span {
            offset: fields.varint()? as i32,
            length: fields.uvarint()? as u32,
        })
    })
}

fn list<'a, T>(
    fields: &mut Fields<'a>,
    item_bytes_min: usize,
    mut item: impl FnMut(&mut Fields<'a>) -> Result<T>,
) -> Result<Vec<T>> {
    let count = fields.count(item_bytes_min)?;
    let mut items = Vec::with_capacity(count);
    for _ in 0..count {
        items.push(item(fields)?);
    }
    Ok(items)
}
