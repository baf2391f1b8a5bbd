//! Histograms as text: Prometheus's notation with intervals, and the notation of its test scripts.

use std::fmt::Write as _;

use varve_promql::format::format_float_g;
use varve_storage::FloatHistogram;
use varve_storage::histogram::{Bucket, CounterResetHint, Span};

/// The notation of tests has one run of buckets. Wider gaps than this are not written out.
const GAP_MAX: usize = 1 << 16;

/// `{count:…, sum:…, [-0.001,0.001]:2, (1,2]:3}`: all populated buckets. It is the value of the label that `count_values` gives.
pub fn histogram_string(histogram: &FloatHistogram) -> String {
    let mut text = format!(
        "{{count:{}, sum:{}",
        format_float_g(histogram.count),
        format_float_g(histogram.sum)
    );
    let zero = histogram.zero_bucket();
    histogram
        .negative_ascending()
        .chain(zero)
        .chain(histogram.positive_ascending())
        .filter(|bucket| bucket.count != 0.0)
        .for_each(|bucket| push_bucket(&mut text, &bucket));
    text.push('}');
    text
}

fn push_bucket(text: &mut String, bucket: &Bucket) {
    // Writing to a string cannot fail.
    let _ = write!(
        text,
        ", {}{},{}{}:{}",
        if bucket.lower_inclusive { '[' } else { '(' },
        format_float_g(bucket.lower),
        format_float_g(bucket.upper),
        if bucket.upper_inclusive { ']' } else { ')' },
        format_float_g(bucket.count)
    );
}

/// `{{schema:1 count:3 sum:4 offset:-1 buckets:[1 2]}}`: the notation of test scripts, without what is 0. Reads back as the same histogram, compacted.
///
/// Buckets behind a gap of more than 65,536 are replaced by `…`, which does not read back.
pub fn test_expression(histogram: &FloatHistogram) -> String {
    let mut compact = histogram.clone();
    compact.compact(GAP_MAX);
    let mut parts = Vec::new();
    if compact.schema != 0 {
        parts.push(format!("schema:{}", compact.schema));
    }
    for (name, number) in [
        ("count", compact.count),
        ("sum", compact.sum),
        ("z_bucket", compact.zero_count),
        ("z_bucket_w", compact.zero_threshold),
    ] {
        if number != 0.0 {
            parts.push(format!("{name}:{}", format_float_g(number)));
        }
    }
    if compact.uses_custom_buckets() {
        parts.push(format!(
            "custom_values:{}",
            list(&compact.custom_values, false)
        ));
    }
    match compact.counter_reset_hint {
        CounterResetHint::Unknown => {}
        CounterResetHint::CounterReset => parts.push("counter_reset_hint:reset".to_owned()),
        CounterResetHint::NotCounterReset => parts.push("counter_reset_hint:not_reset".to_owned()),
        CounterResetHint::Gauge => parts.push("counter_reset_hint:gauge".to_owned()),
    }
    push_side(
        &mut parts,
        "",
        &compact.positive_spans,
        &compact.positive_buckets,
    );
    push_side(
        &mut parts,
        "n_",
        &compact.negative_spans,
        &compact.negative_buckets,
    );
    format!("{{{{{}}}}}", parts.join(" "))
}

fn push_side(parts: &mut Vec<String>, prefix: &str, spans: &[Span], buckets: &[f64]) {
    let Some(first) = spans.first() else {
        return;
    };
    if first.offset != 0 {
        parts.push(format!("{prefix}offset:{}", first.offset));
    }
    let length = buckets.len().min(first.length as usize);
    let written = buckets.get(..length).unwrap_or(buckets);
    let cut_off = length < buckets.len();
    parts.push(format!("{prefix}buckets:{}", list(written, cut_off)));
}

fn list(numbers: &[f64], cut_off: bool) -> String {
    let mut texts: Vec<String> = numbers.iter().copied().map(format_float_g).collect();
    if cut_off {
        texts.push("…".to_owned());
    }
    format!("[{}]", texts.join(" "))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::arbitrary::{any_histogram, parsed, valid_histogram};

    #[test]
    fn intervals_ascend() {
        let histogram = parsed(
            "{{count:1e6 sum:-0.5 z_bucket:2 z_bucket_w:0.001 buckets:[1.5 0 3] n_offset:1 n_buckets:[4 5]}}",
        );
        assert_eq!(
            histogram_string(&histogram),
            "{count:1e+06, sum:-0.5, [-4,-2):5, [-2,-1):4, [-0.001,0.001]:2, (0.5,1]:1.5, (2,4]:3}"
        );
        let custom = parsed("{{schema:-53 count:3 custom_values:[5] buckets:[1 2]}}");
        assert_eq!(
            histogram_string(&custom),
            "{count:3, sum:0, [-Inf,5]:1, (5,+Inf]:2}"
        );
    }

    #[test]
    fn far_buckets_are_left_out() {
        let histogram = FloatHistogram {
            positive_spans: vec![
                Span {
                    offset: 0,
                    length: 1,
                },
                Span {
                    offset: i32::MAX - 9,
                    length: 1,
                },
            ],
            positive_buckets: vec![1.0, 2.0],
            ..FloatHistogram::default()
        };
        assert_eq!(test_expression(&histogram), "{{buckets:[1 …]}}");
    }

    proptest! {
        #[test]
        fn what_is_written_reads_back(histogram in valid_histogram()) {
            let text = test_expression(&histogram);
            let mut compact = histogram;
            compact.compact(GAP_MAX);
            let read = parsed(&text);
            prop_assert!(read.same_data(&compact), "{text}");
            prop_assert_eq!(read.counter_reset_hint, compact.counter_reset_hint);
            prop_assert_eq!(test_expression(&read), text);
        }

        #[test]
        fn any_histogram_is_written(histogram in any_histogram()) {
            histogram_string(&histogram);
            test_expression(&histogram);
        }
    }
}
