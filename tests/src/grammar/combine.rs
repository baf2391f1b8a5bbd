//! Operators on two expressions, and what makes vectors of something else.

use super::{Expr, Generator, SUMS};

impl Generator {
    fn arithmetic(&mut self) -> &'static str {
        // Version 2 keeps the metric's name with atan2.
        let operators = ["+", "-", "*", "/", "%", "^", "+", "*", "/", "atan2"];
        let known = operators.len() - usize::from(!self.is_version_3());
        self.word(&operators[..known])
    }

    fn comparison(&mut self) -> &'static str {
        self.word(&["==", "!=", ">", "<", ">=", "<="])
    }

    /// An operator and whether it compares without `bool`.
    fn operator(&mut self) -> (String, bool) {
        match self.random.below(3) {
            0 => match self.random.one_in(2) {
                true => (format!("{} bool", self.comparison()), false),
                false => (self.comparison().to_owned(), true),
            },
            _ => (self.arithmetic().to_owned(), false),
        }
    }

    /// A binary operator.
    pub(super) fn binary(&mut self, depth: u32) -> Expr {
        match self.random.below(8) {
            0..3 => self.with_scalar(depth),
            3..5 => self.with_itself(depth),
            5 => self.with_one_side(depth),
            6 => self.with_its_group(depth),
            _ => self.with_anything(depth),
        }
    }

    /// A product with a number leaves small differences small; nothing else does.
    fn with_scalar(&mut self, depth: u32) -> Expr {
        let inner = self.vector(depth);
        // Prometheus stores empty buckets of a histogram where others of its chunk are not empty: infinity times 0 shows them.
        if !inner.exact() || inner.native {
            let (op, number) = (self.word(&["*", "/"]), self.word(&["2", "0.5", "10", "-3"]));
            let text = format!("{} {op} {number}", inner.operand());
            return Expr {
                atom: false,
                ..inner.derived(text)
            };
        }
        let (op, filters) = self.operator();
        let scalar = self.scalar(1);
        let text = match self.random.one_in(3) {
            true => format!("{scalar} {op} {}", inner.operand()),
            false => format!("{} {op} {scalar}", inner.operand()),
        };
        let (whole, signed) = (inner.whole && filters, inner.signed || !filters);
        // Only a product and a quotient of a histogram and a number are histograms, and parts of it are no whole numbers.
        let expr = inner.derived(text);
        Expr {
            atom: false,
            whole,
            signed,
            ..expr
        }
    }

    /// An expression and another one with the same labels.
    fn with_itself(&mut self, depth: u32) -> Expr {
        let left = self.vector_that(depth, Expr::exact);
        let right = match self.random.below(3) {
            0 => format!("({} * 2)", left.operand()),
            1 if left.native => format!("({} / 4)", left.operand()),
            1 => format!("abs({})", left.text),
            _ => left.operand(),
        };
        let (op, filters) = match left.native && right != left.operand() {
            // The empty buckets that Prometheus stores also make a difference to what was computed.
            true => (self.arithmetic().to_owned(), false),
            false => self.operator(),
        };
        let matching = match self.random.below(4) {
            0 => " ignoring (nothing)".to_owned(),
            1 if !left.labels.is_empty() => format!(" on ({})", left.labels.join(", ")),
            _ => String::new(),
        };
        let text = format!("{} {op}{matching} {right}", left.operand());
        let (whole, native) = (left.whole && filters, left.native);
        Expr {
            atom: false,
            whole,
            // Sums of histograms are compensated or not, depending on the version.
            tolerance: if native && !filters { SUMS } else { 0.0 },
            ..left.derived(text)
        }
    }

    /// Many series with one of each instance.
    fn with_one_side(&mut self, depth: u32) -> Expr {
        let many = self.vector_that(depth, |e| e.exact() && !e.native);
        let one = self.word(&[
            "up",
            "build_info",
            "request_seconds_count",
            "session_active",
        ]);
        let (op, _) = self.operator();
        let include = match one {
            "build_info" => self.word(&["version", "", "version, nothing"]),
            "session_active" => self.word(&["user", ""]),
            _ => "",
        };
        let text = match self.random.one_in(4) {
            true => format!(
                "{one} {op} on (instance) group_right ({include}) {}",
                many.operand()
            ),
            false => format!(
                "{} {op} on (instance) group_left ({include}) {one}",
                many.operand()
            ),
        };
        Expr {
            atom: false,
            ..many.derived(text)
        }
    }

    /// A part of the sum or of another aggregation.
    fn with_its_group(&mut self, depth: u32) -> Expr {
        let many = self.vector_that(depth, |e| e.exact() && !e.native);
        let group = self.word(&["instance", "job", "job, instance"]);
        let name = self.word(&["max", "count", "min", "group"]);
        let (op, _) = self.operator();
        let text = format!(
            "{} {op} on ({group}) group_left () {name} by ({group}) ({})",
            many.operand(),
            many.text
        );
        Expr {
            atom: false,
            ..many.derived(text)
        }
    }

    /// Two expressions that may or may not match; an error where they match ambiguously.
    fn with_anything(&mut self, depth: u32) -> Expr {
        let left = self.vector_that(depth, |e| e.exact() && !e.native);
        let right = self.vector_that(depth.saturating_sub(1), |e| e.exact() && !e.native);
        let (op, _) = self.operator();
        let mut labels = left.labels.clone();
        labels.retain(|_| self.random.one_in(2));
        let labels = labels.join(", ");
        let matching = match self.random.below(5) {
            0 => String::new(),
            1 => format!(" on ({labels})"),
            2 => format!(
                " on (instance, {}) group_left ()",
                left.labels.first().unwrap_or(&"job")
            ),
            3 => " on (instance) group_right (job)".to_owned(),
            _ => format!(" ignoring ({labels})"),
        };
        let text = format!("{} {op}{matching} {}", left.operand(), right.operand());
        Expr {
            atom: false,
            ..left.derived(text)
        }
    }

    /// `and`, `or`, `unless`.
    pub(super) fn set(&mut self, depth: u32) -> Expr {
        let left = self.vector(depth);
        let right = self.vector_that(depth, |e| e.exact());
        let op = self.word(&["and", "or", "unless"]);
        let matching = self.word(&["", " on (instance)", " ignoring (le, code)", " on ()"]);
        let text = format!("{} {op}{matching} {}", left.operand(), right.operand());
        Expr {
            text,
            atom: false,
            ordered: false,
            whole: left.whole && right.whole,
            signed: left.signed || right.signed,
            native: left.native || right.native,
            ..left
        }
    }

    /// What makes a vector of something else. No `info`: 3.5 mixes up series of which some have no sample at a step.
    pub(super) fn odd_one(&mut self, depth: u32) -> Expr {
        let (text, labels) = match self.random.below(5) {
            0 => (format!("vector({})", self.scalar(1)), Vec::new()),
            1 => (
                format!("absent({})", self.vector_that(depth, Expr::exact).text),
                vec!["instance"],
            ),
            2 => {
                let date = self.word(&["hour", "minute", "month", "day_of_week", "days_in_month"]);
                (format!("{date}()"), Vec::new())
            }
            _ => {
                let of = self.bare_selector();
                (format!("timestamp({})", of.text), of.labels)
            }
        };
        Expr {
            text,
            atom: true,
            signed: true,
            labels,
            ..Expr::default()
        }
    }
}
