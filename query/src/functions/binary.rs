//! Operators between two numbers.

use varve_promql::{BinaryOp, go_math};

/// Whose value a comparison that filters lets through: the vector's, wherever it stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Keep {
    /// The left operand's.
    Left,
    /// The right operand's, in `1 < v`.
    Right,
}

fn compare(op: BinaryOp) -> Option<fn(f64, f64) -> bool> {
    Some(match op {
        BinaryOp::Eq => |a, b| a == b,
        BinaryOp::Ne => |a, b| a != b,
        BinaryOp::Lt => |a, b| a < b,
        BinaryOp::Le => |a, b| a <= b,
        BinaryOp::Gt => |a, b| a > b,
        BinaryOp::Ge => |a, b| a >= b,
        _ => return None,
    })
}

fn arithmetic(op: BinaryOp) -> Option<fn(f64, f64) -> f64> {
    Some(match op {
        BinaryOp::Add => |a, b| a + b,
        BinaryOp::Sub => |a, b| a - b,
        BinaryOp::Mul => |a, b| a * b,
        BinaryOp::Div => |a, b| a / b,
        BinaryOp::Mod => |a, b| a % b,
        BinaryOp::Pow => go_math::pow,
        BinaryOp::Atan2 => go_math::atan2,
        _ => return None,
    })
}

/// The operation of two samples: `None` where a comparison filters. Operators without a meaning for two floats
/// give no sample.
pub(super) fn kernel(
    op: BinaryOp,
    return_bool: bool,
    keep: Keep,
) -> Box<dyn Fn(f64, f64) -> Option<f64>> {
    if let Some(f) = arithmetic(op) {
        return Box::new(move |a, b| Some(f(a, b)));
    }
    let Some(holds) = compare(op) else {
        return Box::new(|_, _| None);
    };
    match (return_bool, keep) {
        (true, _) => Box::new(move |a, b| Some(f64::from(u8::from(holds(a, b))))),
        (false, Keep::Left) => Box::new(move |a, b| holds(a, b).then_some(a)),
        (false, Keep::Right) => Box::new(move |a, b| holds(a, b).then_some(b)),
    }
}

/// An operation between two scalars of PromQL, where a comparison always gives 0 or 1.
pub fn apply(op: BinaryOp, a: f64, b: f64) -> f64 {
    kernel(op, true, Keep::Left)(a, b).unwrap_or(f64::NAN)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn filters_keep_the_vectors_value() {
        assert_eq!(kernel(BinaryOp::Lt, false, Keep::Left)(1.0, 2.0), Some(1.0));
        assert_eq!(
            kernel(BinaryOp::Lt, false, Keep::Right)(1.0, 2.0),
            Some(2.0)
        );
        assert_eq!(kernel(BinaryOp::Gt, false, Keep::Left)(1.0, 2.0), None);
        assert_eq!(apply(BinaryOp::Gt, 1.0, 2.0), 0.0);
        assert_eq!(apply(BinaryOp::Mod, -5.0, 3.0), -2.0);
        assert_eq!(apply(BinaryOp::Pow, 2.0, 0.5), 2f64.sqrt());
    }

    /// Answers of a real Prometheus at numbers where C libraries give another last digit.
    #[test]
    fn powers_and_angles_are_gos() {
        assert_eq!(apply(BinaryOp::Pow, 0.7, 0.7), 0.7790559126704492);
        assert_eq!(apply(BinaryOp::Atan2, 2.0, 0.5), 1.3258176636680323);
    }
}
