//! The range-vector functions and their scalar arguments.

use std::fmt;
use std::hash::{Hash, Hasher};
use std::sync::Arc;

/// A function of one series' samples in a window.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[allow(missing_docs, reason = "the variants are PromQL's function names")]
pub enum RangeFunction {
    AvgOverTime,
    Changes,
    CountOverTime,
    Delta,
    Deriv,
    DoubleExponentialSmoothing,
    FirstOverTime,
    Idelta,
    Increase,
    Irate,
    LastOverTime,
    MadOverTime,
    MaxOverTime,
    MinOverTime,
    PredictLinear,
    PresentOverTime,
    QuantileOverTime,
    Rate,
    Resets,
    StddevOverTime,
    StdvarOverTime,
    SumOverTime,
    TsOfFirstOverTime,
    TsOfLastOverTime,
    TsOfMaxOverTime,
    TsOfMinOverTime,
}

impl RangeFunction {
    /// Every function.
    pub const ALL: [Self; 26] = [
        Self::AvgOverTime,
        Self::Changes,
        Self::CountOverTime,
        Self::Delta,
        Self::Deriv,
        Self::DoubleExponentialSmoothing,
        Self::FirstOverTime,
        Self::Idelta,
        Self::Increase,
        Self::Irate,
        Self::LastOverTime,
        Self::MadOverTime,
        Self::MaxOverTime,
        Self::MinOverTime,
        Self::PredictLinear,
        Self::PresentOverTime,
        Self::QuantileOverTime,
        Self::Rate,
        Self::Resets,
        Self::StddevOverTime,
        Self::StdvarOverTime,
        Self::SumOverTime,
        Self::TsOfFirstOverTime,
        Self::TsOfLastOverTime,
        Self::TsOfMaxOverTime,
        Self::TsOfMinOverTime,
    ];

    /// The function's name in PromQL.
    pub fn name(self) -> &'static str {
        match self {
            Self::AvgOverTime => "avg_over_time",
            Self::Changes => "changes",
            Self::CountOverTime => "count_over_time",
            Self::Delta => "delta",
            Self::Deriv => "deriv",
            Self::DoubleExponentialSmoothing => "double_exponential_smoothing",
            Self::FirstOverTime => "first_over_time",
            Self::Idelta => "idelta",
            Self::Increase => "increase",
            Self::Irate => "irate",
            Self::LastOverTime => "last_over_time",
            Self::MadOverTime => "mad_over_time",
            Self::MaxOverTime => "max_over_time",
            Self::MinOverTime => "min_over_time",
            Self::PredictLinear => "predict_linear",
            Self::PresentOverTime => "present_over_time",
            Self::QuantileOverTime => "quantile_over_time",
            Self::Rate => "rate",
            Self::Resets => "resets",
            Self::StddevOverTime => "stddev_over_time",
            Self::StdvarOverTime => "stdvar_over_time",
            Self::SumOverTime => "sum_over_time",
            Self::TsOfFirstOverTime => "ts_of_first_over_time",
            Self::TsOfLastOverTime => "ts_of_last_over_time",
            Self::TsOfMaxOverTime => "ts_of_max_over_time",
            Self::TsOfMinOverTime => "ts_of_min_over_time",
        }
    }

    /// The function of a name. `absent_over_time` is not one of them: it is [`Self::PresentOverTime`] and then a
    /// question about all series together.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|f| f.name() == name)
    }

    /// How many scalar arguments it takes beside the range vector: for `quantile_over_time` φ, for `predict_linear` the
    /// seconds ahead, for `double_exponential_smoothing` the smoothing factor and the trend factor.
    pub fn scalar_args(self) -> usize {
        match self {
            Self::QuantileOverTime | Self::PredictLinear => 1,
            Self::DoubleExponentialSmoothing => 2,
            _ => 0,
        }
    }

    /// Whether it looks at start timestamps.
    pub fn reads_starts(self) -> bool {
        matches!(
            self,
            Self::Rate | Self::Increase | Self::Irate | Self::Resets
        )
    }

    /// Whether results depend on nothing but the window's samples and the arguments, so that a window fixed by `@`
    /// gives one value for all steps with equal arguments. `predict_linear` looks at the step's own time.
    pub fn depends_on_window_only(self) -> bool {
        self != Self::PredictLinear
    }
}

impl fmt::Display for RangeFunction {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// A scalar argument of a range function.
#[derive(Clone, Debug)]
pub enum StepArg {
    /// The same at every step.
    Constant(f64),
    /// One value per step of the grid.
    PerStep(Arc<[f64]>),
}

impl StepArg {
    /// The value at a step; NaN beyond the last one.
    pub fn at(&self, step: usize) -> f64 {
        match self {
            Self::Constant(value) => *value,
            Self::PerStep(values) => values.get(step).copied().unwrap_or(f64::NAN),
        }
    }

    /// Whether a value of some step has a property.
    pub fn any(&self, property: impl Fn(f64) -> bool) -> bool {
        match self {
            Self::Constant(value) => property(*value),
            Self::PerStep(values) => values.iter().any(|value| property(*value)),
        }
    }

    fn bits(&self) -> (bool, impl Iterator<Item = u64> + '_) {
        let (constant, values) = match self {
            Self::Constant(value) => (true, std::slice::from_ref(value)),
            Self::PerStep(values) => (false, &values[..]),
        };
        (constant, values.iter().map(|v| v.to_bits()))
    }
}

/// Equality of bits, so that it agrees with [`Hash`] and NaN equals itself.
impl PartialEq for StepArg {
    fn eq(&self, other: &Self) -> bool {
        let ((a_constant, a), (b_constant, b)) = (self.bits(), other.bits());
        a_constant == b_constant && a.eq(b)
    }
}

impl Eq for StepArg {}

impl Hash for StepArg {
    fn hash<H: Hasher>(&self, state: &mut H) {
        let (constant, bits) = self.bits();
        constant.hash(state);
        bits.for_each(|bits| bits.hash(state));
    }
}

impl PartialOrd for StepArg {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        let ((a_constant, a), (b_constant, b)) = (self.bits(), other.bits());
        Some(a_constant.cmp(&b_constant).then_with(|| a.cmp(b)))
    }
}

/// As EXPLAIN prints it: the value, or how many values there are.
impl fmt::Display for StepArg {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Constant(value) => write!(f, "{value}"),
            Self::PerStep(values) => write!(f, "[{} values]", values.len()),
        }
    }
}

/// A factor of `double_exponential_smoothing` is not between 0 and 1; displayed in Prometheus's words.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct InvalidFactor {
    /// "smoothing" or "trend".
    pub(super) what: &'static str,
    /// Its name in the message: "sf" or "tf".
    pub(super) symbol: &'static str,
    /// The factor.
    pub(super) value: f64,
}

impl fmt::Display for InvalidFactor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            what,
            symbol,
            value,
        } = self;
        write!(
            f,
            "invalid {what} factor. Expected: 0 < {symbol} < 1, got: "
        )?;
        match *value {
            v if v == f64::INFINITY => f.write_str("+Inf"),
            v if v == f64::NEG_INFINITY => f.write_str("-Inf"),
            v => write!(f, "{v:.6}"),
        }
    }
}

impl std::error::Error for InvalidFactor {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_functions_map_both_ways() {
        for function in RangeFunction::ALL {
            assert_eq!(RangeFunction::from_name(function.name()), Some(function));
        }
        assert_eq!(RangeFunction::from_name("absent_over_time"), None);
    }

    #[test]
    fn arguments_are_equal_by_bits() {
        assert_eq!(StepArg::Constant(f64::NAN), StepArg::Constant(f64::NAN));
        assert_ne!(StepArg::Constant(0.0), StepArg::Constant(-0.0));
        assert_ne!(StepArg::Constant(1.0), StepArg::PerStep(Arc::from([1.0])));
    }

    #[test]
    fn a_bad_factor_is_reported_as_prometheus_does() {
        let error = InvalidFactor {
            what: "trend",
            symbol: "tf",
            value: f64::INFINITY,
        };
        assert_eq!(
            error.to_string(),
            "invalid trend factor. Expected: 0 < tf < 1, got: +Inf"
        );
        let error = InvalidFactor {
            value: 1.5,
            ..error
        };
        assert!(error.to_string().ends_with("got: 1.500000"));
    }
}
