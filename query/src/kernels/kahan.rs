//! Compensated summation after Kahan, with Neumaier's improvement, as Prometheus 3 adds floats.

/// Adds `increment` to `sum` with the compensation `c`; returns both anew. The total is `sum + c`.
///
/// A sum that overflows drops its compensation, so that `Inf` stays `Inf` instead of becoming NaN.
#[inline]
pub fn add(increment: f64, sum: f64, c: f64) -> (f64, f64) {
    let total = sum + increment;
    let c = if total.is_infinite() {
        0.0
    } else if sum.abs() >= increment.abs() {
        c + ((sum - total) + increment)
    } else {
        c + ((increment - total) + sum)
    };
    (total, c)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_plain_sum_loses_is_kept() {
        let (mut sum, mut c) = (0.0, 0.0);
        for value in [1.0, 1e100, 1.0, -1e100] {
            (sum, c) = add(value, sum, c);
        }
        assert_eq!(sum + c, 2.0);
    }

    #[test]
    fn an_overflow_stays_infinite() {
        let (sum, c) = add(f64::MAX, f64::MAX, 3.0);
        assert_eq!((sum, c), (f64::INFINITY, 0.0));
        let (sum, c) = add(f64::NEG_INFINITY, 5.0, 1.0);
        assert_eq!(sum + c, f64::NEG_INFINITY);
        // A sum that is NaN drags its compensation along, as upstream's does.
        let (sum, c) = add(f64::NAN, 1.0, 0.0);
        assert!(sum.is_nan() && c.is_nan());
    }
}
