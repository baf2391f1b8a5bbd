//! Functions and aggregations around an expression.

use super::{Expr, Generator, SUMS};

impl Generator {
    /// A function of a range.
    pub(super) fn over_range(&mut self, depth: u32) -> Expr {
        let counters = ["rate", "increase", "rate", "irate"];
        let exact = [
            "delta",
            "idelta",
            "changes",
            "resets",
            "count_over_time",
            "min_over_time",
            "max_over_time",
            "last_over_time",
            "present_over_time",
            "sum_over_time",
            "quantile_over_time",
            "deriv",
            "predict_linear",
            "absent_over_time",
        ];
        let means = ["avg_over_time", "stddev_over_time", "stdvar_over_time"];
        let later = [
            "mad_over_time",
            "ts_of_min_over_time",
            "ts_of_max_over_time",
            "ts_of_last_over_time",
            "double_exponential_smoothing",
        ];
        let name = match self.random.below(12) {
            0..4 => self.word(&counters),
            4..6 => self.word(&means),
            6 if self.is_version_3() => self.word(&later),
            _ => self.word(&exact),
        };
        let arithmetic = [
            "rate",
            "increase",
            "delta",
            "irate",
            "idelta",
            "sum_over_time",
            "avg_over_time",
        ];
        // Where a counter would have been 0 not long before the window's first sample, version 2 extrapolates further.
        let near_zero = matches!(name, "rate" | "increase");
        let (range, inner) = self.matrix(depth, !near_zero);
        let name = match inner.native {
            // 3.14 does not extrapolate a histogram's rate beyond the time when it was empty; gauges may be almost empty.
            true if near_zero && range.contains("native_gauge") => "idelta",
            // See the list of metrics.
            true if inner.signed && arithmetic.contains(&name) => "last_over_time",
            // 3.5 overlooks a reset after which all buckets are empty, as a gauge's may be.
            true if name == "resets" && range.contains("native_gauge") => "changes",
            true if name == "irate" && range.contains("native_gauge") => "idelta",
            // 3.5 leaves NaN out.
            false if inner.signed && name == "mad_over_time" => "max_over_time",
            false if !self.is_version_3() => match name {
                // Version 2 loses steps of a range query where `@` fixes the window and another argument changes.
                "predict_linear" | "quantile_over_time" if range.contains(" @ ") => "deriv",
                // It has other ideas of the deviation of infinities.
                "stddev_over_time" | "stdvar_over_time" if inner.signed => "max_over_time",
                _ => name,
            },
            _ => name,
        };
        let text = match name {
            "quantile_over_time" => format!("{name}({}, {range})", self.phi()),
            "predict_linear" => format!("{name}({range}, {})", self.scalar(1)),
            "double_exponential_smoothing" => {
                let mut factor = || self.word(&["0.5", "0.1", "0.9", "0.3", "0", "1", "NaN"]);
                format!("{name}({range}, {}, {})", factor(), factor())
            }
            _ => format!("{name}({range})"),
        };
        let counts = [
            "changes",
            "resets",
            "count_over_time",
            "present_over_time",
            "absent_over_time",
        ];
        let keeps = [
            "min_over_time",
            "max_over_time",
            "last_over_time",
            "sum_over_time",
        ];
        let histograms = [
            "rate",
            "increase",
            "delta",
            "irate",
            "idelta",
            "last_over_time",
            "sum_over_time",
            "avg_over_time",
        ];
        let native = inner.native && histograms.contains(&name);
        let mean = means.contains(&name);
        let sums = mean || name == "sum_over_time";
        let tolerance = match inner.native {
            // Later versions compensate the sums of histograms.
            true if ["rate", "increase", "delta", "avg_over_time"].contains(&name) => SUMS,
            true if name == "sum_over_time" && !inner.whole => SUMS,
            true => 0.0,
            // Version 2 does not compensate the means' sums, and deviations cancel.
            false if sums && !self.is_version_3() && !inner.whole => SUMS * 1e3,
            false if mean && !self.is_version_3() => SUMS * 1e3,
            false => 0.0,
        };
        let labels = match name {
            "absent_over_time" => vec!["instance"],
            _ => inner.labels.clone(),
        };
        Expr {
            text,
            atom: true,
            tolerance,
            ordered: inner.ordered,
            whole: counts.contains(&name) || inner.whole && keeps.contains(&name),
            signed: !counts.contains(&name)
                && (inner.signed
                    || !["rate", "increase"].contains(&name) && !keeps.contains(&name)),
            native,
            labels,
        }
    }

    /// A function of single samples.
    pub(super) fn per_sample(&mut self, depth: u32) -> Expr {
        let plain = [
            "abs", "ceil", "floor", "sqrt", "exp", "ln", "log2", "log10", "sgn", "sin", "cos",
            "tan", "asin", "acos", "atan", "sinh", "cosh", "tanh", "asinh", "acosh", "atanh",
            "deg", "rad",
        ];
        let dates = [
            "timestamp",
            "hour",
            "minute",
            "month",
            "year",
            "day_of_month",
            "day_of_week",
            "day_of_year",
            "days_in_month",
        ];
        let kind = self.random.below(12);
        if kind < 2 {
            let inner = self.vector(depth);
            let text = format!("-{}", inner.operand());
            let whole = inner.whole;
            return Expr {
                atom: false,
                whole,
                ..inner.derived(text)
            };
        }
        let inner = self.vector_that(depth, Expr::exact);
        let of = inner.text.clone();
        let text = match kind {
            2 => format!("clamp({of}, {}, {})", self.scalar(1), self.scalar(1)),
            3 => format!("clamp_min({of}, {})", self.scalar(1)),
            4 => format!("clamp_max({of}, {})", self.scalar(1)),
            5 if self.random.one_in(2) => format!("round({of}, {})", self.scalar(1)),
            5 => format!("round({of})"),
            6 | 7 => {
                // Prometheus forgets the offset of `timestamp(x @ t offset d)`, and looks for samples that it did not select.
                let odd = of.contains(" @ ") && of.contains(" offset ");
                format!("{}({of})", self.word(&dates[usize::from(odd)..]))
            }
            8 => {
                let sort = self.word(&["sort", "sort_desc"]);
                format!("{sort}({of})")
            }
            9 if self.is_version_3() => {
                let sort = self.word(&["sort_by_label", "sort_by_label_desc"]);
                format!("{sort}({of}, \"instance\")")
            }
            _ => format!("{}({of})", self.word(&plain)),
        };
        let native = inner.native && text.starts_with("sort_by");
        Expr {
            native,
            ..inner.derived(text)
        }
    }

    pub(super) fn phi(&mut self) -> String {
        match self.random.below(8) {
            0 => self.scalar(1),
            1 => self
                .word(&["-0.1", "1.5", "NaN", "-Inf", "+Inf"])
                .to_owned(),
            _ => self
                .word(&["0.5", "0.9", "0.99", "0", "1", "0.25", "1e-3"])
                .to_owned(),
        }
    }

    /// `by (…)`, `without (…)` or nothing, and the labels that stay.
    fn grouping(&mut self, labels: &[&'static str]) -> (String, Vec<&'static str>) {
        let mut chosen: Vec<&'static str> = labels.to_vec();
        chosen.retain(|_| self.random.one_in(2));
        let rest = labels
            .iter()
            .copied()
            .filter(|l| !chosen.contains(l))
            .collect();
        let mut names = chosen.join(", ");
        if self.random.one_in(20) {
            names = self.word(&["nothing", "__name__", "job, job"]).to_owned();
        }
        match self.random.below(5) {
            0 => (String::new(), Vec::new()),
            1 | 2 => (format!(" without ({names})"), rest),
            _ => (format!(" by ({names})"), chosen),
        }
    }

    /// An aggregation of anything that it can take.
    pub(super) fn aggregation(&mut self, depth: u32) -> Expr {
        match self.random.below(12) {
            0..4 => self.sum_or_mean(depth),
            4..6 => self.choice_of_series(depth),
            6 => {
                // Prometheus panics at the text of a histogram with custom buckets that was divided by NaN.
                let inner = self.vector_that(depth, |e| e.exact() && (!e.native || e.ordered));
                let labels = inner.labels.clone();
                let (grouping, mut labels) = self.grouping(&labels);
                // Version 2 forgets labels of the grouping that sort behind this one.
                labels.push("written");
                let text = format!("count_values{grouping} (\"written\", {})", inner.text);
                Expr {
                    ordered: false,
                    ..self.aggregated(inner, text, labels)
                }
            }
            7 => {
                let inner = self.vector_that(depth, Expr::exact);
                let labels = inner.labels.clone();
                let (grouping, labels) = self.grouping(&labels);
                let text = format!("quantile{grouping} ({}, {})", self.phi(), inner.text);
                Expr {
                    signed: true,
                    whole: false,
                    ..self.aggregated(inner, text, labels)
                }
            }
            kind => {
                let inner = self.vector(depth);
                let labels = inner.labels.clone();
                let (grouping, labels) = self.grouping(&labels);
                let values = kind < 10;
                let name = match values {
                    true => self.word(&["min", "max"]),
                    false => self.word(&["count", "group"]),
                };
                let text = format!("{name}{grouping} ({})", inner.text);
                let (signed, whole, tolerance) = (inner.signed, inner.whole, inner.tolerance);
                let aggregated = self.aggregated(inner, text, labels);
                match values {
                    true => Expr {
                        signed,
                        whole,
                        tolerance,
                        ..aggregated
                    },
                    false => aggregated,
                }
            }
        }
    }

    fn aggregated(&self, inner: Expr, text: String, labels: Vec<&'static str>) -> Expr {
        Expr {
            text,
            atom: true,
            tolerance: 0.0,
            ordered: inner.ordered && self.is_version_3(),
            whole: true,
            signed: false,
            native: false,
            labels,
        }
    }

    fn sum_or_mean(&mut self, depth: u32) -> Expr {
        let version_3 = self.is_version_3();
        let inner = self.vector_that(depth, |e| {
            let sums = e.whole || !e.signed || version_3 && e.ordered;
            // Histograms with other custom bounds: see the list of metrics.
            e.exact() && if e.native { e.whole && !e.signed } else { sums }
        });
        let name = self.word(&["sum", "sum", "avg", "stddev", "stdvar"]);
        let labels = inner.labels.clone();
        let (grouping, labels) = self.grouping(&labels);
        let text = format!("{name}{grouping} ({})", inner.text);
        let tolerance = match name {
            _ if inner.native => SUMS,
            "sum" if inner.whole => 0.0,
            _ if version_3 && inner.ordered => 0.0,
            // Deviations are differences.
            "stddev" | "stdvar" => SUMS * 1e3,
            _ => SUMS,
        };
        let (signed, whole) = (inner.signed, inner.whole && name == "sum");
        let native = inner.native && matches!(name, "sum" | "avg");
        Expr {
            tolerance,
            signed,
            whole,
            native,
            ..self.aggregated(inner, text, labels)
        }
    }

    /// `topk` and the like. Which of equal values it takes is defined for an ordered vector of version 3 only.
    fn choice_of_series(&mut self, depth: u32) -> Expr {
        let version_3 = self.is_version_3();
        let inner = match version_3 {
            true => self.vector_that(depth, |e| e.exact() && e.ordered),
            false => self.named("request_seconds_sum"),
        };
        let labels = inner.labels.clone();
        let (grouping, _) = self.grouping(&labels);
        let k = match self.random.below(6) {
            0 => self.word(&["0", "-1", "100", "2.5"]),
            // No NaN and nothing huge: 3.14 refuses them, 3.5 only where there are series to choose from.
            1 if version_3 => "scalar(vector(2))",
            _ => self.word(&["1", "2", "3", "4"]),
        };
        let (name, parameter) = match self.random.below(5) {
            0 if version_3 => ("limitk", k),
            1 if version_3 => (
                "limit_ratio",
                self.word(&["0.5", "-0.5", "0.1", "1", "0", "-1", "1.5", "-0.75"]),
            ),
            2 => ("bottomk", k),
            _ => ("topk", k),
        };
        let text = format!("{name}{grouping} ({parameter}, {})", inner.text);
        Expr {
            text,
            ordered: false,
            ..inner
        }
    }

    /// `label_replace` and `label_join`.
    pub(super) fn label_function(&mut self, depth: u32) -> Expr {
        let mut inner = self.vector(depth);
        let of = inner.text.clone();
        let text = match self.random.below(6) {
            0 => {
                format!("label_replace({of}, \"host\", \"$1\", \"instance\", \"([a-z]+)\\\\..*\")")
            }
            1 => format!("label_replace({of}, \"host\", \"x-${{1}}\", \"job\", \"(s)hop\")"),
            2 => format!("label_replace({of}, \"sensor\", \"\", \"sensor\", \"in\")"),
            3 => format!("label_replace({of}, \"__name__\", \"renamed\", \"\", \"\")"),
            4 => format!("label_join({of}, \"host\", \"-\", \"job\", \"instance\")"),
            _ => format!("label_join({of}, \"host\", \"\", \"nothing\")"),
        };
        inner.ordered = false;
        inner.labels.push("host");
        Expr {
            text,
            atom: true,
            ..inner
        }
    }

    /// Quantiles and parts of histograms.
    pub(super) fn histogram_function(&mut self, depth: u32) -> Expr {
        let classic = !self.is_version_3() || self.random.one_in(2);
        let inner = match (classic, self.random.below(4)) {
            (true, 0) => self.named("request_seconds_bucket"),
            (true, 1) => {
                let of = self.named("request_seconds_bucket");
                let (name, labels) = (self.word(&["sum", "max"]), vec!["le", "instance"]);
                let text = format!("{name} by (le, instance) ({})", of.text);
                self.aggregated(of, text, labels)
            }
            (true, 2) if self.is_version_3() => {
                let mut of = self.named("request_seconds_bucket");
                of.text = "rate(request_seconds_bucket[5m])".to_owned();
                of
            }
            (false, 0..3) => self.native(),
            _ => self.vector_that(depth, Expr::exact),
        };
        let of = inner.text.clone();
        let names = [
            "histogram_count",
            "histogram_sum",
            "histogram_avg",
            "histogram_stddev",
            "histogram_stdvar",
            "histogram_fraction",
            "histogram_fraction",
        ];
        let name = match self.random.below(3) {
            // Where the lowest of classic buckets begins is not the same in 3.5.
            0 if self.is_version_3() => {
                let known = names.len() - if inner.native { 0 } else { 2 };
                self.word(&names[..known])
            }
            _ => "histogram_quantile",
        };
        let text = match name {
            "histogram_quantile" => format!("{name}({}, {of})", self.phi()),
            "histogram_fraction" => {
                let bounds = ["0", "0.1", "-Inf", "+Inf", "1", "0.25", "5", "-1", "NaN"];
                let (lower, upper) = (self.word(&bounds), self.word(&bounds));
                format!("{name}({lower}, {upper}, {of})")
            }
            _ => format!("{name}({of})"),
        };
        let mut expr = inner.derived(text);
        expr.labels.retain(|label| *label != "le");
        expr.native = false;
        expr
    }
}
