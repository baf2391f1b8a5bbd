//! The functions of the language: names, arguments, results.

use crate::value_type::ValueType;
use crate::value_type::ValueType::{Matrix, Scalar, String, Vector};

/// A function of the language.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Function {
    /// Its name, in lower case.
    pub name: &'static str,
    /// Types of the arguments; arguments beyond these have the last one's type.
    pub args: &'static [ValueType],
    /// How many arguments it takes.
    pub arity: Arity,
    /// Type of the result.
    pub returns: ValueType,
    /// Whether [`crate::ParseOptions::experimental_functions`] must be on.
    pub experimental: bool,
}

/// How many arguments a function takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Arity {
    /// As many as `args` has types.
    Exact,
    /// The last type of `args` may be used from 0 up to this many times.
    UpTo(u8),
    /// The last type of `args` may be used any number of times, or not at all.
    Any,
}

impl Function {
    /// Fewest arguments.
    pub fn args_min(&self) -> usize {
        match self.arity {
            Arity::Exact => self.args.len(),
            Arity::UpTo(_) | Arity::Any => self.args.len().saturating_sub(1),
        }
    }

    /// Most arguments; `None` if there is no limit.
    pub fn args_max(&self) -> Option<usize> {
        match self.arity {
            Arity::Exact => Some(self.args.len()),
            Arity::UpTo(repeats) => Some(self.args_min() + usize::from(repeats)),
            Arity::Any => None,
        }
    }

    /// Type of the argument at `index`; `None` for a function without arguments.
    pub fn arg_type(&self, index: usize) -> Option<ValueType> {
        self.args.get(index).or(self.args.last()).copied()
    }
}

/// The function of that name; names are case-sensitive.
pub fn function(name: &str) -> Option<&'static Function> {
    let index = FUNCTIONS
        .binary_search_by(|function| function.name.cmp(name))
        .ok()?;
    FUNCTIONS.get(index)
}

const fn stable(
    name: &'static str,
    args: &'static [ValueType],
    arity: Arity,
    returns: ValueType,
) -> Function {
    Function {
        name,
        args,
        arity,
        returns,
        experimental: false,
    }
}

const fn experimental(
    name: &'static str,
    args: &'static [ValueType],
    arity: Arity,
    returns: ValueType,
) -> Function {
    Function {
        experimental: true,
        ..stable(name, args, arity, returns)
    }
}

/// Every function, ordered by name.
#[rustfmt::skip]
pub static FUNCTIONS: &[Function] = &[
    stable("abs", &[Vector], Arity::Exact, Vector),
    stable("absent", &[Vector], Arity::Exact, Vector),
    stable("absent_over_time", &[Matrix], Arity::Exact, Vector),
    stable("acos", &[Vector], Arity::Exact, Vector),
    stable("acosh", &[Vector], Arity::Exact, Vector),
    stable("asin", &[Vector], Arity::Exact, Vector),
    stable("asinh", &[Vector], Arity::Exact, Vector),
    stable("atan", &[Vector], Arity::Exact, Vector),
    stable("atanh", &[Vector], Arity::Exact, Vector),
    stable("avg_over_time", &[Matrix], Arity::Exact, Vector),
    stable("ceil", &[Vector], Arity::Exact, Vector),
    stable("changes", &[Matrix], Arity::Exact, Vector),
    stable("clamp", &[Vector, Scalar, Scalar], Arity::Exact, Vector),
    stable("clamp_max", &[Vector, Scalar], Arity::Exact, Vector),
    stable("clamp_min", &[Vector, Scalar], Arity::Exact, Vector),
    stable("cos", &[Vector], Arity::Exact, Vector),
    stable("cosh", &[Vector], Arity::Exact, Vector),
    stable("count_over_time", &[Matrix], Arity::Exact, Vector),
    stable("day_of_month", &[Vector], Arity::UpTo(1), Vector),
    stable("day_of_week", &[Vector], Arity::UpTo(1), Vector),
    stable("day_of_year", &[Vector], Arity::UpTo(1), Vector),
    stable("days_in_month", &[Vector], Arity::UpTo(1), Vector),
    stable("deg", &[Vector], Arity::Exact, Vector),
    stable("delta", &[Matrix], Arity::Exact, Vector),
    stable("deriv", &[Matrix], Arity::Exact, Vector),
    experimental("double_exponential_smoothing", &[Matrix, Scalar, Scalar], Arity::Exact, Vector),
    experimental("end", &[], Arity::Exact, Scalar),
    stable("exp", &[Vector], Arity::Exact, Vector),
    stable("first_over_time", &[Matrix], Arity::Exact, Vector),
    stable("floor", &[Vector], Arity::Exact, Vector),
    stable("histogram_avg", &[Vector], Arity::Exact, Vector),
    stable("histogram_count", &[Vector], Arity::Exact, Vector),
    stable("histogram_fraction", &[Scalar, Scalar, Vector], Arity::Exact, Vector),
    stable("histogram_quantile", &[Scalar, Vector], Arity::Exact, Vector),
    experimental("histogram_quantiles", &[Vector, String, Scalar, Scalar], Arity::UpTo(9), Vector),
    stable("histogram_stddev", &[Vector], Arity::Exact, Vector),
    stable("histogram_stdvar", &[Vector], Arity::Exact, Vector),
    stable("histogram_sum", &[Vector], Arity::Exact, Vector),
    stable("hour", &[Vector], Arity::UpTo(1), Vector),
    stable("idelta", &[Matrix], Arity::Exact, Vector),
    stable("increase", &[Matrix], Arity::Exact, Vector),
    experimental("info", &[Vector, Vector], Arity::UpTo(1), Vector),
    stable("irate", &[Matrix], Arity::Exact, Vector),
    stable("label_join", &[Vector, String, String, String], Arity::Any, Vector),
    stable("label_replace", &[Vector, String, String, String, String], Arity::Exact, Vector),
    stable("last_over_time", &[Matrix], Arity::Exact, Vector),
    stable("ln", &[Vector], Arity::Exact, Vector),
    stable("log10", &[Vector], Arity::Exact, Vector),
    stable("log2", &[Vector], Arity::Exact, Vector),
    experimental("mad_over_time", &[Matrix], Arity::Exact, Vector),
    experimental("max_of", &[Scalar, Scalar], Arity::Exact, Scalar),
    stable("max_over_time", &[Matrix], Arity::Exact, Vector),
    experimental("min_of", &[Scalar, Scalar], Arity::Exact, Scalar),
    stable("min_over_time", &[Matrix], Arity::Exact, Vector),
    stable("minute", &[Vector], Arity::UpTo(1), Vector),
    stable("month", &[Vector], Arity::UpTo(1), Vector),
    stable("pi", &[], Arity::Exact, Scalar),
    stable("predict_linear", &[Matrix, Scalar], Arity::Exact, Vector),
    stable("present_over_time", &[Matrix], Arity::Exact, Vector),
    stable("quantile_over_time", &[Scalar, Matrix], Arity::Exact, Vector),
    stable("rad", &[Vector], Arity::Exact, Vector),
    experimental("range", &[], Arity::Exact, Scalar),
    stable("rate", &[Matrix], Arity::Exact, Vector),
    stable("resets", &[Matrix], Arity::Exact, Vector),
    stable("round", &[Vector, Scalar], Arity::UpTo(1), Vector),
    stable("scalar", &[Vector], Arity::Exact, Scalar),
    stable("sgn", &[Vector], Arity::Exact, Vector),
    stable("sin", &[Vector], Arity::Exact, Vector),
    stable("sinh", &[Vector], Arity::Exact, Vector),
    stable("sort", &[Vector], Arity::Exact, Vector),
    experimental("sort_by_label", &[Vector, String], Arity::Any, Vector),
    experimental("sort_by_label_desc", &[Vector, String], Arity::Any, Vector),
    stable("sort_desc", &[Vector], Arity::Exact, Vector),
    stable("sqrt", &[Vector], Arity::Exact, Vector),
    experimental("start", &[], Arity::Exact, Scalar),
    experimental("start_timestamp", &[Vector], Arity::Exact, Vector),
    stable("stddev_over_time", &[Matrix], Arity::Exact, Vector),
    stable("stdvar_over_time", &[Matrix], Arity::Exact, Vector),
    experimental("step", &[], Arity::Exact, Scalar),
    stable("sum_over_time", &[Matrix], Arity::Exact, Vector),
    stable("tan", &[Vector], Arity::Exact, Vector),
    stable("tanh", &[Vector], Arity::Exact, Vector),
    stable("time", &[], Arity::Exact, Scalar),
    stable("timestamp", &[Vector], Arity::Exact, Vector),
    experimental("ts_of_first_over_time", &[Matrix], Arity::Exact, Vector),
    experimental("ts_of_last_over_time", &[Matrix], Arity::Exact, Vector),
    experimental("ts_of_max_over_time", &[Matrix], Arity::Exact, Vector),
    experimental("ts_of_min_over_time", &[Matrix], Arity::Exact, Vector),
    stable("vector", &[Scalar], Arity::Exact, Vector),
    stable("year", &[Vector], Arity::UpTo(1), Vector),
];

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    #[test]
    fn the_table_is_ordered_so_that_names_are_found() {
        assert!(FUNCTIONS.is_sorted_by(|a, b| a.name < b.name));
        for known in FUNCTIONS {
            assert_eq!(function(known.name), Some(known));
        }
        assert_eq!(function("RATE"), None);
        assert_eq!(function(""), None);
    }

    #[test]
    fn optional_arguments_lower_the_minimum_only() {
        let round = function("round").unwrap();
        assert_eq!((round.args_min(), round.args_max()), (1, Some(2)));
        let label_join = function("label_join").unwrap();
        assert_eq!((label_join.args_min(), label_join.args_max()), (3, None));
        assert_eq!(label_join.arg_type(9), Some(ValueType::String));
        let rate = function("rate").unwrap();
        assert_eq!((rate.args_min(), rate.args_max()), (1, Some(1)));
        let quantiles = function("histogram_quantiles").unwrap();
        assert_eq!((quantiles.args_min(), quantiles.args_max()), (3, Some(12)));
        assert_eq!(function("pi").unwrap().arg_type(0), None);
    }
}
