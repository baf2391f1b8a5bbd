//! Functions of one number.

/// A function of one number, with PromQL's name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct MathFunction {
    name: &'static str,
}

type Kernel = fn(f64) -> f64;

const FUNCTIONS: [(&str, Kernel); 23] = [
    ("abs", f64::abs),
    ("acos", f64::acos),
    ("acosh", f64::acosh),
    ("asin", f64::asin),
    ("asinh", f64::asinh),
    ("atan", f64::atan),
    ("atanh", f64::atanh),
    ("ceil", f64::ceil),
    ("cos", f64::cos),
    ("cosh", f64::cosh),
    ("deg", |v| v * 180.0 / std::f64::consts::PI),
    ("exp", f64::exp),
    ("floor", f64::floor),
    ("ln", f64::ln),
    ("log10", f64::log10),
    ("log2", f64::log2),
    ("rad", |v| v * std::f64::consts::PI / 180.0),
    ("sgn", sign),
    ("sin", f64::sin),
    ("sinh", f64::sinh),
    ("sqrt", f64::sqrt),
    ("tan", f64::tan),
    ("tanh", f64::tanh),
];

/// 1, -1, or the number itself where it is zero or NaN.
fn sign(value: f64) -> f64 {
    if value < 0.0 {
        -1.0
    } else if value > 0.0 {
        1.0
    } else {
        value
    }
}

impl MathFunction {
    /// The function of a name.
    pub fn from_name(name: &str) -> Option<Self> {
        let (name, _) = FUNCTIONS.iter().find(|(n, _)| *n == name)?;
        Some(Self { name })
    }

    /// PromQL's name.
    pub fn name(&self) -> &'static str {
        self.name
    }

    pub(super) fn kernel(&self) -> Kernel {
        FUNCTIONS
            .iter()
            .find(|(name, _)| *name == self.name)
            .map_or(f64::abs, |(_, f)| *f)
    }
}

/// The greater of two numbers; NaN if one is NaN, as Go's `math.Max`.
pub fn max(a: f64, b: f64) -> f64 {
    match (a.is_nan() || b.is_nan(), a == b) {
        (true, _) if a == f64::INFINITY || b == f64::INFINITY => f64::INFINITY,
        (true, _) => f64::NAN,
        (_, true) if a.is_sign_negative() => b,
        _ => a.max(b),
    }
}

/// The smaller of two numbers; NaN if one is NaN, as Go's `math.Min`.
pub fn min(a: f64, b: f64) -> f64 {
    -max(-a, -b)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nan_and_signs_go_through() {
        assert!(max(f64::NAN, 1.0).is_nan() && min(1.0, f64::NAN).is_nan());
        assert_eq!((max(1.0, 2.0), min(1.0, 2.0)), (2.0, 1.0));
        assert_eq!(max(f64::NAN, f64::INFINITY), f64::INFINITY);
        assert!(max(-0.0, 0.0).is_sign_positive() && min(0.0, -0.0).is_sign_negative());
        assert!(sign(f64::NAN).is_nan() && sign(-0.0).is_sign_negative());
        assert_eq!((sign(-3.0), sign(f64::INFINITY)), (-1.0, 1.0));
    }
}
