//! Random PromQL over the invented samples.
//!
//! A query grows from selectors outwards: each step wraps what is there into a function, an aggregation, an operator or a subquery. What is known of
//! an expression ([`Expr`]) decides what may be done to it, so that a difference between two servers is one of meaning:
//!
//! - Versions of Prometheus round some results differently (see [`Expr::tolerance`]). What is around such an expression must not
//!   make a small difference big: no comparison, no rounding, no difference of two.
//! - The order of the series of a range query is undefined after most operations, in Prometheus itself: a map is iterated. Sums of fractions then have
//!   another last bit at every run, and of equal values any may be the top one.
//!
//! What a dialect does otherwise is written at the place where the generator avoids it.

mod combine;
mod leaf;
mod wrap;

use crate::http_api::Grid;
use crate::query_list::ListedQuery;
use crate::random::Random;
use crate::samples::{INTERVAL_MS, START_MS};

/// What a server knows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Dialect {
    /// Prometheus 2.42, floats only.
    Version2,
    /// Prometheus 3, with experimental functions and native histograms.
    Version3,
}

/// The relative difference of sums that are compensated or not, or added in another order.
const SUMS: f64 = 1e-11;

/// Parts of queries of which 3.14 warns otherwise than 3.5: all of sorting in range queries and much of native histograms
/// is newer, a bucket's bad bound is said without an empty name, and an argument is found within its parentheses.
const OTHER_WORDS: [&str; 6] = [
    "sort",
    "native_",
    "custom_",
    "mixed_",
    "histogram_quantile(",
    "over_time((",
];

/// When a query is asked.
#[derive(Clone, Copy, Debug)]
pub enum Times {
    /// At one time.
    Instant(i64),
    /// At many.
    Range(Grid),
}

/// What is known of an instant vector's expression.
#[derive(Clone, Debug, Default)]
struct Expr {
    text: String,
    /// Binds tighter than any operator.
    atom: bool,
    /// The relative difference that two servers may have; 0 where every bit is defined.
    tolerance: f64,
    /// The order of the series is defined in range queries, too.
    ordered: bool,
    /// Values are whole numbers or short binary fractions: sums of them are exact.
    whole: bool,
    /// Values of both signs (or NaN and infinities), so that a sum can be much smaller than its parts.
    signed: bool,
    /// There are native histograms.
    native: bool,
    /// Labels that tell series apart.
    labels: Vec<&'static str>,
}

impl Expr {
    /// With parentheses where an operator could tear it apart.
    fn operand(&self) -> String {
        match self.atom {
            true => self.text.clone(),
            false => format!("({})", self.text),
        }
    }

    /// What came of this by an operation that keeps its labels and does its arithmetic per sample.
    fn derived(self, text: String) -> Self {
        Self {
            text,
            atom: true,
            ordered: false,
            whole: false,
            signed: true,
            ..self
        }
    }

    fn exact(&self) -> bool {
        self.tolerance == 0.0
    }
}

/// A source of queries.
#[derive(Debug)]
pub struct Generator {
    random: Random,
    dialect: Dialect,
    /// How many subqueries are around what is generated.
    within_subqueries: u32,
}

impl Generator {
    /// The queries of a sequence of random numbers.
    pub fn new(random: Random, dialect: Dialect) -> Self {
        Self {
            random,
            dialect,
            within_subqueries: 0,
        }
    }

    fn is_version_3(&self) -> bool {
        self.dialect == Dialect::Version3
    }

    /// One of some words.
    fn word(&mut self, words: &[&'static str]) -> &'static str {
        self.random.choose::<&'static str>(words)
    }

    /// The next query and when to ask it.
    pub fn query(&mut self) -> (ListedQuery, Times) {
        self.within_subqueries = 0;
        let depth = 1 + self.random.below(4) as u32;
        let kind = self.random.below(100);
        let expr = match kind {
            0..2 => self.mistake(),
            2..5 => Expr {
                text: self.scalar(1),
                ..Expr::default()
            },
            5..8 => Expr {
                text: self.matrix(0, true).0,
                ..Expr::default()
            },
            8 => Expr {
                text: "\"text\"".to_owned(),
                ..Expr::default()
            },
            _ => self.vector(depth),
        };
        let times = match (kind, self.random.one_in(2)) {
            (5..8, _) | (_, true) => Times::Instant(self.time()),
            _ => Times::Range(self.grid()),
        };
        let said = |what: &&str| expr.text.contains(*what);
        let query = ListedQuery {
            words: self.is_version_3() && !OTHER_WORDS.iter().any(said),
            text: expr.text,
            tolerance: expr.tolerance,
            ordered: false,
        };
        (query, times)
    }

    /// A time at which there are samples, mostly.
    ///
    /// Version 2 had windows that are closed on the left. It gets times 7 seconds past a multiple of the interval (see the head of
    /// `tests/queries/invented.txt`); with version 3 times also hit samples.
    fn time(&mut self) -> i64 {
        let step = self.random.below(600) as i64;
        let from = START_MS + 20 * 60_000 + step * INTERVAL_MS;
        from + match (self.dialect, self.random.below(3)) {
            (Dialect::Version2, _) | (_, 0) => 7_000,
            (_, 1) => 0,
            _ => self.random.below(1_000) as i64,
        }
    }

    fn grid(&mut self) -> Grid {
        let start_ms = self.time();
        let step_ms = *self
            .random
            .choose(&[15_000, 30_000, 60_000, 45_000, 300_000]);
        let step_ms = match self.is_version_3() && self.random.one_in(5) {
            true => 1_000 + self.random.below(30_000) as i64,
            false => step_ms,
        };
        Grid {
            start_ms,
            end_ms: start_ms + step_ms * (1 + self.random.below(30) as i64),
            step_ms,
        }
    }

    /// An instant vector of bounded depth.
    fn vector(&mut self, depth: u32) -> Expr {
        if depth == 0 {
            return self.selector();
        }
        match self.random.below(26) {
            0..2 => self.selector(),
            2..8 => self.over_range(depth - 1),
            8..11 => self.per_sample(depth - 1),
            11..17 => self.aggregation(depth - 1),
            17..22 => self.binary(depth - 1),
            22 => self.set(depth - 1),
            23 => self.label_function(depth - 1),
            24 => self.histogram_function(depth - 1),
            _ => self.odd_one(depth - 1),
        }
    }

    /// An instant vector that satisfies a condition; a selector of floats where none was found.
    fn vector_that(&mut self, depth: u32, condition: impl Fn(&Expr) -> bool) -> Expr {
        for _ in 0..8 {
            let expr = self.vector(depth);
            if condition(&expr) {
                return expr;
            }
        }
        self.gauge()
    }

    /// A query that is wrong in some way, so that both must say so.
    fn mistake(&mut self) -> Expr {
        let (a, b) = (self.selector().text, self.selector().text);
        let text = match self.random.below(12) {
            0 => format!("rate({a})"),
            1 => format!("sum({a}[5m])"),
            2 => format!("{a}[5m] + {b}"),
            3 => format!("{a} offset 1m offset 2m"),
            4 => format!("sum by (x,) ({a}, {b})"),
            5 => format!("topk({a}, {b})"),
            6 => format!("{a} and 1"),
            7 => format!("1 > 2 + sum({a}"),
            8 => format!("{a} + on (instance) group_left (instance) {b}"),
            9 => format!("{a} and on (instance) group_left () {b}"),
            10 => format!("label_replace({a}, \"x\", \"$1\", \"job\", \"(\")"),
            _ => format!("no_such_function({a})"),
        };
        Expr {
            text,
            ..Expr::default()
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    #[test]
    fn a_seed_brings_the_queries_back_and_they_differ() {
        for dialect in [Dialect::Version2, Dialect::Version3] {
            let queries = |seed| {
                let mut generator = Generator::new(Random::new(seed), dialect);
                let queries = (0..300).map(|_| generator.query().0.text);
                queries.collect::<Vec<_>>()
            };
            let (one, again) = (queries(1), queries(1));
            assert_eq!(one, again);
            let different: std::collections::BTreeSet<_> = one.iter().collect();
            assert!(different.len() > 280, "{}", different.len());
            assert_ne!(one, queries(2));
        }
    }
}
