//! Equality of data.

use super::custom::same_bounds;
use super::{FloatHistogram, Span};

impl FloatHistogram {
    /// Whether two histograms have the same explicit buckets, even empty ones, with the same bits of all counts and of the sum. The counter
    /// reset hint does not matter, nor do spans without buckets. This is PromQL's `==` and what `changes` counts.
    pub fn same_data(&self, other: &Self) -> bool {
        let same = |a: f64, b: f64| a.to_bits() == b.to_bits();
        let all_same =
            |a: &[f64], b: &[f64]| a.len() == b.len() && a.iter().zip(b).all(|(a, b)| same(*a, *b));
        self.schema == other.schema
            && same(self.count, other.count)
            && same(self.sum, other.sum)
            && (!self.uses_custom_buckets()
                || same_bounds(&self.custom_values, &other.custom_values))
            && self.zero_threshold == other.zero_threshold
            && same(self.zero_count, other.zero_count)
            && same_spans(&self.negative_spans, &other.negative_spans)
            && all_same(&self.negative_buckets, &other.negative_buckets)
            && same_spans(&self.positive_spans, &other.positive_spans)
            && all_same(&self.positive_buckets, &other.positive_buckets)
    }
}

/// Whether two lists of spans are the same after those without buckets were added to the gaps behind them.
fn same_spans(a: &[Span], b: &[Span]) -> bool {
    with_buckets(a).eq(with_buckets(b))
}

fn with_buckets(spans: &[Span]) -> impl Iterator<Item = Span> + '_ {
    let mut gap = 0i32;
    spans.iter().filter_map(move |span| {
        let offset = gap.wrapping_add(span.offset);
        gap = if span.length == 0 { offset } else { 0 };
        (span.length > 0).then_some(Span {
            offset,
            length: span.length,
        })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn span(offset: i32, length: u32) -> Span {
        Span { offset, length }
    }

    #[test]
    fn spans_without_buckets_belong_to_the_gap() {
        let spans = [span(1, 2), span(3, 1)];
        assert!(same_spans(
            &spans,
            &[span(1, 2), span(1, 0), span(2, 1), span(4, 0)]
        ));
        assert!(same_spans(&[], &[span(7, 0)]));
        assert!(!same_spans(&spans, &[span(1, 2)]));
        assert!(!same_spans(&[span(0, 2)], &[span(0, 1), span(0, 1)]));
    }

    #[test]
    fn bits_decide() {
        let histogram = |sum| FloatHistogram {
            sum,
            ..FloatHistogram::default()
        };
        assert!(histogram(f64::NAN).same_data(&histogram(f64::NAN)));
        assert!(!histogram(0.0).same_data(&histogram(-0.0)));
        let mut gauge = histogram(1.0);
        gauge.counter_reset_hint = super::super::CounterResetHint::Gauge;
        assert!(gauge.same_data(&histogram(1.0)));
    }
}
