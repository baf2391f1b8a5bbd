//! Answers of a real Prometheus on amd64, and properties.
//!
//! A line of `answers.tsv` has PromQL's name of the function, one or two arguments and the result, as bits in hexadecimal. A
//! good part of the lines are those where common C libraries give another last bit.

#![allow(clippy::unwrap_used)]

use proptest::prelude::*;

use super::*;

type Function = fn(f64) -> f64;

const FUNCTIONS: [(&str, Function); 16] = [
    ("acos", acos),
    ("acosh", acosh),
    ("asin", asin),
    ("asinh", asinh),
    ("atan", atan),
    ("atanh", atanh),
    ("cos", cos),
    ("cosh", cosh),
    ("exp", exp),
    ("ln", ln),
    ("log10", log10),
    ("log2", log2),
    ("sin", sin),
    ("sinh", sinh),
    ("tan", tan),
    ("tanh", tanh),
];

const ODD: [Function; 8] = [asin, asinh, atan, atanh, sin, sinh, tan, tanh];
const EVEN: [Function; 2] = [cos, cosh];

fn same(a: f64, b: f64) -> bool {
    a.to_bits() == b.to_bits() || a.is_nan() && b.is_nan()
}

fn number(text: &str) -> f64 {
    match text {
        "nan" => f64::NAN,
        bits => f64::from_bits(u64::from_str_radix(bits, 16).unwrap()),
    }
}

#[test]
fn answers_are_those_of_prometheus() {
    let answers = include_str!("answers.tsv");
    for line in answers.lines() {
        let fields: Vec<&str> = line.split('\t').collect();
        let (result, expected) = match fields[..] {
            ["^", x, y, expected] => (pow(number(x), number(y)), expected),
            ["atan2", y, x, expected] => (atan2(number(y), number(x)), expected),
            [name, x, expected] => {
                let (_, function) = FUNCTIONS.iter().find(|(n, _)| *n == name).unwrap();
                (function(number(x)), expected)
            }
            _ => unreachable!("{line}"),
        };
        let expected = number(expected);
        assert!(same(result, expected), "{line}: {result} is not {expected}");
    }
    assert!(answers.lines().count() > 800);
}

#[test]
fn special_values() {
    let nan = f64::NAN;
    let inf = f64::INFINITY;
    for (result, expected) in [
        (exp(-inf), 0.0),
        (exp(inf), inf),
        (exp(709.782712893384), inf),
        (exp(-745.0), 5e-324),
        (exp(-746.0), 0.0),
        (exp(-1e300), 0.0),
        (ln(0.0), -inf),
        (ln(-0.0), -inf),
        (ln(-1.0), nan),
        (ln(-inf), nan),
        (ln(inf), inf),
        (log2(5e-324), -1074.0),
        (log2(0.125), -3.0),
        (log10(0.0), -inf),
        (sin(-0.0), -0.0),
        (sin(inf), nan),
        (cos(-inf), nan),
        (tan(inf), nan),
        (atan(-inf), -std::f64::consts::FRAC_PI_2),
        (asin(1.0000000000000002), nan),
        (acos(-1.0), std::f64::consts::PI),
        (tanh(-inf), -1.0),
        (sinh(-inf), -inf),
        (cosh(-inf), inf),
        (acosh(0.9999999999999999), nan),
        (acosh(inf), inf),
        (asinh(-inf), -inf),
        (atanh(-1.0), -inf),
        (atanh(1.5), nan),
        (pow(nan, 0.0), 1.0),
        (pow(1.0, nan), 1.0),
        (pow(nan, 1.0), nan),
        (pow(-0.0, -3.0), -inf),
        (pow(-0.0, -2.0), inf),
        (pow(-0.0, 3.0), -0.0),
        (pow(-0.0, 1e300), 0.0),
        (pow(0.0, -inf), inf),
        (pow(-1.0, inf), 1.0),
        (pow(-1.0, 1e300), 1.0),
        (pow(-0.5, -inf), inf),
        (pow(-inf, 3.0), -inf),
        (pow(-inf, -3.0), -0.0),
        (pow(-inf, 0.5), inf),
        (pow(-8.0, 0.5), nan),
        (pow(-8.0, 1.5), nan),
        (pow(-2.0, 3.0), -8.0),
        (pow(-2.0, 1025.0), -inf),
        (pow(2.0, -1074.0), 5e-324),
        (pow(2.0, -1075.0), 0.0),
        (atan2(0.0, -0.0), std::f64::consts::PI),
        (atan2(-0.0, 0.0), -0.0),
        (atan2(-inf, -inf), -3.0 * std::f64::consts::FRAC_PI_4),
        (atan2(1.0, inf), 0.0),
        (atan2(nan, 1.0), nan),
    ] {
        assert!(same(result, expected), "{result} is not {expected}");
    }
}

fn any_number() -> impl Strategy<Value = f64> {
    prop_oneof![
        any::<u64>().prop_map(f64::from_bits),
        -50.0..50.0,
        -1.0..1.0,
        (any::<i32>(), 1..100i32).prop_map(|(a, b)| f64::from(a) / f64::from(b)),
    ]
}

proptest! {
    #[test]
    fn signs_are_symmetric(x in any_number()) {
        for f in ODD {
            prop_assert!(same(f(-x), -f(x)));
        }
        for f in EVEN {
            prop_assert!(same(f(-x), f(x)));
        }
    }

    #[test]
    fn nan_comes_from_nan_or_outside_the_domain(x in any_number(), y in any_number()) {
        for (name, f) in FUNCTIONS {
            let outside = match name {
                "acos" | "asin" | "atanh" => x.abs() > 1.0,
                "acosh" => x < 1.0,
                "ln" | "log10" | "log2" => x < 0.0,
                "cos" | "sin" | "tan" => x.is_infinite(),
                _ => false,
            };
            prop_assert_eq!(f(x).is_nan(), x.is_nan() || outside, "{}", name);
        }
        prop_assert_eq!(atan2(x, y).is_nan(), x.is_nan() || y.is_nan());
        prop_assert_eq!(pow(x, y).is_nan(), x.powf(y).is_nan());
    }

    /// Another library is never far away.
    #[test]
    fn results_are_near_those_of_libm(x in -700.0..700.0, unit in -1.0..1.0, y in -8.0..8.0) {
        let near = |a: f64, b: f64| a == b || a.is_nan() && b.is_nan() || (a - b).abs() <= 1e-13 * b.abs().max(1e-2);
        for (ours, theirs, at) in [
            (exp(x), x.exp(), x),
            (ln(x.abs()), x.abs().ln(), x),
            (log2(x.abs()), x.abs().log2(), x),
            (log10(x.abs()), x.abs().log10(), x),
            (sin(x), x.sin(), x),
            (cos(x), x.cos(), x),
            (sin(x * 1e20), (x * 1e20).sin(), x),
            (cos(x * 1e200), (x * 1e200).cos(), x),
            (tan(unit), unit.tan(), unit),
            (asin(unit * 0.9), (unit * 0.9).asin(), unit),
            (acos(unit * 0.9), (unit * 0.9).acos(), unit),
            (atan(x), x.atan(), x),
            (sinh(x), x.sinh(), x),
            (cosh(x), x.cosh(), x),
            (tanh(y), y.tanh(), y),
            (asinh(x), x.asinh(), x),
            (acosh(x), x.acosh(), x),
            (atan2(x, y), x.atan2(y), x),
            (pow(x.abs(), y), x.abs().powf(y), x),
        ] {
            prop_assert!(near(ours, theirs), "{} and {} at {}, {}", ours, theirs, at, y);
        }
    }

    #[test]
    fn whole_powers_of_two_are_exact(exponent in -1074..1024) {
        prop_assert_eq!(log2(pow(2.0, f64::from(exponent))), f64::from(exponent));
    }
}
