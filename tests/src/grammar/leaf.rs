//! Selectors, numbers, and what is around selectors: ranges, offsets, subqueries.

use super::{Expr, Generator};
use crate::samples::START_MS;

/// A metric of the invented samples.
#[derive(Debug)]
struct Metric {
    name: &'static str,
    /// What it has besides instance and job: a label and some of its values.
    label: Option<(&'static str, &'static [&'static str])>,
    whole: bool,
    signed: bool,
}

const fn metric(
    name: &'static str,
    label: Option<(&'static str, &'static [&'static str])>,
    whole: bool,
) -> Metric {
    Metric {
        name,
        label,
        whole,
        signed: false,
    }
}

const CODES: &[&str] = &["200", "404", "500"];
const SENSORS: &[&str] = &["in", "out"];
const BOUNDS: &[&str] = &["0.005", "0.25", "1.0", "+Inf"];
const PATHS: &[&str] = &["/a", "/b"];

/// Metrics of floats.
const FLOATS: [Metric; 10] = [
    metric("up", None, true),
    metric("http_requests_total", Some(("code", CODES)), true),
    metric("sent_bytes_total", Some(("path", PATHS)), true),
    metric("temperature_celsius", Some(("sensor", SENSORS)), false),
    metric("request_seconds_bucket", Some(("le", BOUNDS)), true),
    metric("request_seconds_sum", None, false),
    metric("request_seconds_count", None, true),
    metric("session_active", Some(("user", &["ann"])), true),
    metric("build_info", Some(("version", &["1.0", "1.1"])), true),
    Metric {
        signed: true,
        ..metric("odd_value", None, false)
    },
];

/// Metrics of native histograms.
const NATIVES: [Metric; 5] = [
    metric("native_seconds", Some(("path", PATHS)), true),
    metric("native_gauge", None, true),
    metric("custom_seconds", None, true),
    // The following are not added up: version 3.5 refuses to add histograms with different custom bounds, 3.14 brings them together.
    Metric {
        signed: true,
        ..metric("custom_changing", None, true)
    },
    metric("mixed_kind", None, true),
];

const INSTANCES: [&str; 3] = ["a.example:9100", "b.example:9100", "c.example:9100"];

impl Generator {
    /// A selector of any metric.
    pub(super) fn selector(&mut self) -> Expr {
        if self.random.one_in(40) {
            return self.selector_of_many();
        }
        if self.is_version_3() && self.random.one_in(4) {
            let metric = self.random.choose::<Metric>(&NATIVES);
            return self.selector_of(metric, true, true);
        }
        let metric = self.random.choose::<Metric>(&FLOATS);
        self.selector_of(metric, false, true)
    }

    /// A selector of floats without NaN.
    pub(super) fn gauge(&mut self) -> Expr {
        let metric = &FLOATS[self.random.below(5) as usize];
        self.selector_of(metric, false, true)
    }

    /// A selector of native histograms, or of floats where there are none.
    pub(super) fn native(&mut self) -> Expr {
        if !self.is_version_3() {
            return self.gauge();
        }
        let metric = self.random.choose::<Metric>(&NATIVES);
        self.selector_of(metric, true, true)
    }

    /// A selector of one metric by name.
    pub(super) fn named(&mut self, name: &str) -> Expr {
        let metric = FLOATS.iter().chain(&NATIVES).find(|m| m.name == name);
        let metric = metric.unwrap_or(&FLOATS[0]);
        self.selector_of(metric, false, true)
    }

    /// Several metrics at once: their names meet again when they are dropped.
    fn selector_of_many(&mut self) -> Expr {
        let text = self.word(&[
            "{__name__=~\"up|build_info\"}",
            "{__name__=~\"request_seconds_(sum|count)\"}",
            "{__name__=~\"temperature.*\", sensor=\"in\"}",
            "{__name__!~\"request.*|native.*|custom.*|mixed.*\", job=\"shop\", instance=~\"[ab].*\"}",
            "no_such_metric",
            "{nothing!=\"\"}",
        ]);
        Expr {
            text: format!("{text}{}", self.moment()),
            atom: true,
            ordered: true,
            whole: false,
            signed: true,
            labels: vec!["instance", "job"],
            ..Expr::default()
        }
    }

    fn selector_of(&mut self, metric: &'static Metric, native: bool, moment: bool) -> Expr {
        let mut matchers = Vec::new();
        if self.random.one_in(3) {
            matchers.push(self.instance_matcher());
        }
        let mut labels = vec!["instance", "job"];
        if let Some((label, values)) = metric.label {
            labels.push(label);
            if self.random.one_in(3) {
                let value = self.word(values);
                matchers.push(match self.random.below(4) {
                    0 => format!("{label}!=\"{value}\""),
                    1 => format!("{label}=~\"{value}|{}\"", values[0]),
                    2 => format!("{label}!~\"{value}.*\""),
                    _ => format!("{label}=\"{value}\""),
                });
            }
        }
        if metric.name == "http_requests_total" {
            labels.push("method");
            if self.random.one_in(4) {
                matchers.push("method='GET'".to_owned());
            }
        }
        if self.random.one_in(25) {
            let odd = [
                "nothing=\"\"",
                "job=~\".*\"",
                "job!=\"\"",
                "instance=~\".+\"",
            ];
            matchers.push(self.word(&odd).to_owned());
        }
        let quoted = self.is_version_3() && self.random.one_in(20);
        let mut text = match quoted {
            true => {
                matchers.insert(0, format!("\"{}\"", metric.name));
                format!("{{{}}}", matchers.join(", "))
            }
            false if self.random.one_in(20) => {
                matchers.push(format!("__name__=\"{}\"", metric.name));
                format!("{{{}}}", matchers.join(","))
            }
            false if matchers.is_empty() => metric.name.to_owned(),
            false => format!("{}{{{}}}", metric.name, matchers.join(", ")),
        };
        if moment {
            text += &self.moment();
        }
        Expr {
            text,
            atom: true,
            tolerance: 0.0,
            ordered: true,
            whole: metric.whole,
            signed: metric.signed,
            native,
            labels,
        }
    }

    fn instance_matcher(&mut self) -> String {
        let instance = self.word(&INSTANCES);
        match self.random.below(4) {
            0 => format!("instance!=\"{instance}\""),
            1 => "instance=~\"[ab].*\"".to_owned(),
            2 => "instance!~\"b.+\"".to_owned(),
            _ => format!("instance=\"{instance}\""),
        }
    }

    /// `offset` and `@`, or mostly nothing.
    fn moment(&mut self) -> String {
        let offset = |this: &mut Self| {
            let offsets = ["1m", "5m", "30s", "-1m", "-5m15s", "1h", "45m", "0s"];
            // Version 2 has no offset of 0.
            let known = offsets.len() - usize::from(!this.is_version_3());
            format!(" offset {}", this.word(&offsets[..known]))
        };
        let at = |this: &mut Self| match this.random.below(4) {
            0 => " @ start()".to_owned(),
            1 => " @ end()".to_owned(),
            _ => {
                let minutes = 20 + this.random.below(150) as i64;
                let ms = match this.is_version_3() && this.random.one_in(3) {
                    true => this.random.below(1_000) as i64,
                    false => 7_000,
                };
                let at = START_MS + minutes * 60_000 + ms;
                format!(" @ {}.{:03}", at / 1_000, at % 1_000)
            }
        };
        match self.random.below(20) {
            0 | 1 => offset(self),
            2 => at(self),
            3 => at(self) + &offset(self),
            4 => offset(self) + &at(self),
            _ => String::new(),
        }
    }

    /// A range selector or a subquery, with what is known of its samples; without `any`, version 2 gets counters far from 0.
    pub(super) fn matrix(&mut self, depth: u32, any: bool) -> (String, Expr) {
        // Where a subquery's steps are the times, version 2 counts a step at the window's edge: an inner one would have it there.
        let nested = self.within_subqueries >= if self.is_version_3() { 2 } else { 1 };
        let any = any || self.is_version_3();
        if any && !nested && self.random.one_in(3) {
            self.within_subqueries += 1;
            let inner = self.vector_that(depth, Expr::exact);
            self.within_subqueries -= 1;
            let range = self.word(&["5m", "10m", "3m", "15m", "2m30s"]);
            let step = self.word(&["1m", "30s", "15s", "45s", "", "2m"]);
            let moment = self.moment();
            let text = format!("{}[{range}:{step}]{moment}", inner.operand());
            return (text, inner);
        }
        let inner = match any {
            true => self.bare_selector(),
            false => {
                let metric = &FLOATS[2];
                self.selector_of(metric, false, false)
            }
        };
        let ranges = ["5m", "3m", "10m", "15m", "4m30s", "30m"];
        let range = match self.random.below(8) {
            0 if self.is_version_3() => self.word(&["1s", "15s", "300", "90.5", "1h"]),
            0 | 1 if any => self.word(&["30s", "1m", "45s", "16s", "90s"]),
            _ => self.word(&ranges),
        };
        let text = format!("{}[{range}]{}", inner.text, self.moment());
        (text, inner)
    }

    /// A selector of now.
    pub(super) fn bare_selector(&mut self) -> Expr {
        if self.is_version_3() && self.random.one_in(4) {
            let metric = self.random.choose::<Metric>(&NATIVES);
            return self.selector_of(metric, true, false);
        }
        let metric = self.random.choose::<Metric>(&FLOATS);
        self.selector_of(metric, false, false)
    }

    /// A number, or what gives one.
    pub(super) fn scalar(&mut self, depth: u32) -> String {
        let numbers = [
            "2", "0.5", "10", "-1", "0", "1e3", "NaN", "+Inf", "-Inf", "0x1F", "1e-3", "3.7", "100",
        ];
        match self.random.below(12) {
            0 => "time()".to_owned(),
            1 => "pi()".to_owned(),
            2 if depth > 0 => {
                let instance = self.word(&INSTANCES);
                let metric = self.word(&["up", "request_seconds_count", "odd_value"]);
                format!("scalar({metric}{{instance=\"{instance}\"}})")
            }
            3 if depth > 0 => {
                let vector = self.vector_that(depth - 1, Expr::exact).text;
                format!("scalar({vector})")
            }
            4 if depth > 0 => {
                let op = self.word(&["+", "-", "*", "/", "%", "^", "atan2", "> bool", "== bool"]);
                let (a, b) = (self.scalar(depth - 1), self.scalar(depth - 1));
                format!("({a} {op} {b})")
            }
            _ => self.word(&numbers).to_owned(),
        }
    }
}
