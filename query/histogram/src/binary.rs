//! Binary operators with a histogram on at least one side.

use varve_promql::BinaryOp;
use varve_storage::FloatHistogram;
use varve_storage::histogram::{Combined, CounterResetHint, HistogramError};

use crate::note::{Kind, Note, Operation};
use crate::sample::Sample;
use crate::trim::{Keep, trim};

/// What an operator makes of two samples.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Binary {
    /// The result. For `==` and `!=` it is the left histogram.
    pub value: Option<FloatHistogram>,
    /// Whether a result passes the filter of a comparison; true for arithmetic that has a result.
    pub keep: bool,
    /// Nothing comes out of the pair, not even with `bool`. A warning about the result does that too.
    pub failed: bool,
    /// What is to be noted. Of all pairs of one step Prometheus reports the last note only.
    pub note: Option<Note>,
}

/// Applies an operator that is not a set operator. Two floats are the caller's business, but for `</` and `>/`, which have no meaning
/// for them.
pub fn binary(op: BinaryOp, left: Sample<'_>, right: Sample<'_>) -> Binary {
    match (left, right) {
        (Sample::Float(factor), Sample::Histogram(histogram)) if op == BinaryOp::Mul => {
            changed(histogram, |histogram| histogram.mul(factor))
        }
        (Sample::Histogram(histogram), Sample::Float(number)) => match op {
            BinaryOp::Mul => changed(histogram, |histogram| histogram.mul(number)),
            BinaryOp::Div => changed(histogram, |histogram| histogram.div(number)),
            BinaryOp::TrimUpper => trimmed(histogram, number, Keep::Below),
            BinaryOp::TrimLower => trimmed(histogram, number, Keep::Above),
            _ => incompatible(Kind::Histogram, op, Kind::Float),
        },
        (Sample::Histogram(left), Sample::Histogram(right)) => match op {
            BinaryOp::Add => combined(left, op, |sum| sum.add(right)),
            BinaryOp::Sub => combined(left, op, |difference| difference.sub(right)),
            BinaryOp::Eq => compared(left, left.same_data(right)),
            BinaryOp::Ne => compared(left, !left.same_data(right)),
            _ => incompatible(Kind::Histogram, op, Kind::Histogram),
        },
        (left, right) => incompatible(left.kind(), op, right.kind()),
    }
}

/// `-histogram`.
pub fn negated(histogram: &FloatHistogram) -> FloatHistogram {
    let mut negated = histogram.clone();
    negated.mul(-1.0);
    negated
}

fn incompatible(left: Kind, op: BinaryOp, right: Kind) -> Binary {
    Binary {
        failed: true,
        note: Some(Note::IncompatibleTypes(left, op, right)),
        ..Binary::default()
    }
}

fn changed(histogram: &FloatHistogram, change: impl FnOnce(&mut FloatHistogram)) -> Binary {
    let mut value = histogram.clone();
    change(&mut value);
    value.compact(0);
    compared(&value, true)
}

fn trimmed(histogram: &FloatHistogram, bound: f64, keep: Keep) -> Binary {
    let mut value = histogram.clone();
    trim(&mut value, bound, keep);
    compared(&value, true)
}

fn compared(value: &FloatHistogram, keep: bool) -> Binary {
    Binary {
        value: Some(value.clone()),
        keep,
        ..Binary::default()
    }
}

fn combined(
    left: &FloatHistogram,
    op: BinaryOp,
    combine: impl FnOnce(&mut FloatHistogram) -> Result<Combined, HistogramError>,
) -> Binary {
    let operation = if op == BinaryOp::Sub {
        Operation::Subtraction
    } else {
        Operation::Addition
    };
    let mut value = left.clone();
    let Ok(combined) = combine(&mut value) else {
        return Binary {
            failed: true,
            note: Some(Note::IncompatibleBucketLayout(op)),
            ..Binary::default()
        };
    };
    if combined.counter_resets_collide {
        return Binary {
            failed: true,
            note: Some(Note::CounterResetCollision(operation)),
            ..Binary::default()
        };
    }
    if op == BinaryOp::Sub {
        value.counter_reset_hint = CounterResetHint::Gauge;
    }
    value.compact(0);
    Binary {
        value: Some(value),
        keep: true,
        failed: false,
        note: combined
            .bounds_reconciled
            .then_some(Note::MismatchedCustomBuckets(operation)),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;
    use crate::arbitrary::parsed;
    use crate::text::test_expression;

    const A: &str = "{{schema:1 count:3 sum:6 buckets:[1 2]}}";
    const B: &str = "{{count:5 sum:7 buckets:[5] counter_reset_hint:gauge}}";
    const CUSTOM: &str = "{{schema:-53 count:3 sum:6 custom_values:[1] buckets:[1 2]}}";

    fn with_histograms(left: &str, op: BinaryOp, right: &str) -> Binary {
        let (left, right) = (parsed(left), parsed(right));
        binary(op, Sample::Histogram(&left), Sample::Histogram(&right))
    }

    #[test]
    fn histograms_add_subtract_and_compare() {
        for (op, expected) in [
            (
                BinaryOp::Add,
                "{{count:8 sum:13 counter_reset_hint:gauge buckets:[6 2]}}",
            ),
            (
                BinaryOp::Sub,
                "{{count:-2 sum:-1 counter_reset_hint:gauge buckets:[-4 2]}}",
            ),
        ] {
            let result = with_histograms(A, op, B);
            assert_eq!(test_expression(&result.value.unwrap()), expected);
            assert!(result.keep && !result.failed && result.note.is_none());
        }
        assert!(with_histograms(A, BinaryOp::Eq, A).keep);
        assert!(!with_histograms(A, BinaryOp::Eq, B).keep);
        assert!(with_histograms(A, BinaryOp::Ne, B).keep);
    }

    #[test]
    fn floats_scale() {
        let histogram = parsed(A);
        let histogram = Sample::Histogram(&histogram);
        for (op, left, right, expected) in [
            (
                BinaryOp::Mul,
                Sample::Float(2.0),
                histogram,
                "{{schema:1 count:6 sum:12 buckets:[2 4]}}",
            ),
            (BinaryOp::Mul, histogram, Sample::Float(0.0), "{{schema:1}}"),
            (
                BinaryOp::Div,
                histogram,
                Sample::Float(-2.0),
                "{{schema:1 count:-1.5 sum:-3 counter_reset_hint:gauge buckets:[-0.5 -1]}}",
            ),
            (
                BinaryOp::Div,
                histogram,
                Sample::Float(0.0),
                "{{schema:1 count:+Inf sum:+Inf z_bucket:NaN}}",
            ),
            (
                BinaryOp::TrimUpper,
                histogram,
                Sample::Float(1.0),
                "{{schema:1 count:1 sum:0.8408964152537145 buckets:[1]}}",
            ),
        ] {
            let result = binary(op, left, right);
            assert_eq!(test_expression(&result.value.unwrap()), expected, "{op}");
        }
    }

    #[test]
    fn what_does_not_fit_is_noted() {
        let histogram = parsed(A);
        let result = binary(
            BinaryOp::Add,
            Sample::Float(1.0),
            Sample::Histogram(&histogram),
        );
        assert_eq!(
            result.note.unwrap().text(""),
            "incompatible sample types encountered for binary operator \"+\": float + histogram"
        );
        assert!(result.failed && result.value.is_none());
        let result = with_histograms(A, BinaryOp::Sub, CUSTOM);
        assert_eq!(
            result.note,
            Some(Note::IncompatibleBucketLayout(BinaryOp::Sub))
        );
        let other = "{{schema:-53 count:3 sum:6 custom_values:[1 2] buckets:[1 2 0]}}";
        let result = with_histograms(CUSTOM, BinaryOp::Add, other);
        let note = Note::MismatchedCustomBuckets(Operation::Addition);
        assert_eq!(result.note, Some(note));
        assert_eq!(
            test_expression(&result.value.unwrap()),
            "{{schema:-53 count:6 sum:12 custom_values:[1] buckets:[2 4]}}"
        );
        let trim = binary(BinaryOp::TrimLower, Sample::Float(1.0), Sample::Float(1.0));
        let floats = Note::IncompatibleTypes(Kind::Float, BinaryOp::TrimLower, Kind::Float);
        assert_eq!(trim.note, Some(floats));
    }
}
