//! Functions of one number, with Go's results.

use varve_promql::go_math;

/// A function of one number, with PromQL's name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct MathFunction {
    name: &'static str,
}

type Kernel = fn(f64) -> f64;

const FUNCTIONS: [(&str, Kernel); 23] = [
    ("abs", f64::abs),
    ("acos", go_math::acos),
    ("acosh", go_math::acosh),
    ("asin", go_math::asin),
    ("asinh", go_math::asinh),
    ("atan", go_math::atan),
    ("atanh", go_math::atanh),
    ("ceil", f64::ceil),
    ("cos", go_math::cos),
    ("cosh", go_math::cosh),
    ("deg", |v| v * 180.0 / std::f64::consts::PI),
    ("exp", go_math::exp),
    ("floor", f64::floor),
    ("ln", go_math::ln),
    ("log10", go_math::log10),
    ("log2", go_math::log2),
    ("rad", |v| v * std::f64::consts::PI / 180.0),
    ("sgn", sign),
    ("sin", go_math::sin),
    ("sinh", go_math::sinh),
    ("sqrt", f64::sqrt),
    ("tan", go_math::tan),
    ("tanh", go_math::tanh),
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

    /// Answers of a real Prometheus at numbers where C libraries give another last digit.
    #[test]
    fn results_are_gos() {
        for (name, x, result) in [
            ("acos", 0.5, 1.0471975511965976),
            ("acosh", 3.0, 1.7627471740390859),
            ("asin", 0.6, 0.6435011087932843),
            ("asinh", 5.4, 2.3880113222846493),
            ("atan", 3.7, 1.306832603169192),
            ("atanh", -0.731821377871716, -0.9326378471341383),
            ("cos", 0.7, 0.7648421872844884),
            ("cosh", 3.6, 18.312779083062644),
            ("exp", 3.6, 36.598234443677995),
            ("ln", 3.0, 1.0986122886681096),
            ("log10", 9.0, 0.954242509439325),
            ("log2", 9.0, 3.1699250014423126),
            ("sin", 2.0, 0.9092974268256816),
            ("sinh", 0.7, 0.7585837018395336),
            ("tan", 1.0, 1.557407724654902),
            ("tanh", 0.7, 0.6043677771171635),
        ] {
            let function = MathFunction::from_name(name);
            assert_eq!(function.map(|f| f.kernel()(x)), Some(result), "{name}");
        }
    }
}
