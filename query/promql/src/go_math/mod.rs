//! Elementary functions with the results of Go's `math` package on amd64, to the last bit.
//!
//! No two mathematical libraries round alike: `exp(1)` of Go and of the C library that Rust's `f64::exp` calls differ in
//! the last digit that an answer shows. Whoever compares answers with Prometheus's, or alerts on equality, sees that. So
//! these are the methods that Go uses, with the same constants and the same order of roundings:
//!
//! | functions | method |
//! |---|---|
//! | [`exp`] | Taylor series of a sixteenth of the reduced argument, squared back four times (Shibata, SLEEF), with fused multiply-adds |
//! | [`exp2`] | fdlibm: a rational function of the fraction, scaled by the whole part |
//! | [`ln`], [`log10`], [`log2`] | odd series in f / (2 + f) with fdlibm's minimax coefficients |
//! | [`pow`] | repeated squaring of the fraction for the whole part of the exponent, `exp` and `ln` for the rest |
//! | [`sin`], [`cos`], [`tan`] | Cephes: three-part π/4 below 2^29, Payne and Hanek's reduction from there on |
//! | [`atan`], [`asin`], [`acos`], [`atan2`] | Cephes: a rational function on [0, 0.66] |
//! | [`sinh`], [`cosh`], [`tanh`] | `exp`; near zero rational functions of Hart and Cheney, and of Cody and Waite |
//! | [`asinh`], [`acosh`], [`atanh`] | fdlibm: `ln` and ln(1 + x) |
//!
//! Invariants:
//! - Every operation is one IEEE 754 operation in double precision, rounded to nearest; the order is part of the result.
//!   A "simplification" such as factoring out, or a multiply-add fused where it is not written, changes bits.
//! - Go's `exp` fuses on processors that can (all amd64 of the last ten years), and that is what [`exp`] computes, on any
//!   processor. All other functions fuse nothing.
//! - Nothing panics. NaN gives NaN, whose payload means nothing.
//!
//! The tables in the tests are what a real Prometheus on amd64 answered. What IEEE 754 defines exactly (`sqrt`, `floor`,
//! remainder, …) is the same everywhere and stays with Rust's standard library.

mod exp;
mod hyperbolic;
mod inverse;
mod log;
mod pow;
mod reduce;
mod scale;
mod trig;

#[cfg(test)]
mod tests;

pub use exp::{exp, exp2};
pub use hyperbolic::{acosh, asinh, atanh, cosh, sinh, tanh};
pub use inverse::{acos, asin, atan, atan2};
pub use log::{ln, log2, log10};
pub use pow::pow;
pub use trig::{cos, sin, tan};

/// A polynomial by Horner's rule: `first` is the coefficient of the highest power, the last of `rest` the constant.
fn polynomial<const N: usize>(x: f64, first: f64, rest: [f64; N]) -> f64 {
    rest.into_iter()
        .fold(first, |sum, coefficient| sum * x + coefficient)
}

/// `magnitude` where `like` is not less than zero, else its negation.
fn with_sign_of(like: f64, magnitude: f64) -> f64 {
    if like < 0.0 { -magnitude } else { magnitude }
}
