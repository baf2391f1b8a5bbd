//! Writing metrics in the Prometheus text format.

use std::fmt::Write;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use varve_promql::format::format_sample_value;

/// Labels of one sample, and its value.
pub(super) type Sample<'a> = (&'a [(&'a str, &'a str)], f64);

/// Appends metric families to a text.
#[derive(Debug)]
pub(super) struct Exposition<'a> {
    out: &'a mut String,
}

impl<'a> Exposition<'a> {
    pub(super) fn new(out: &'a mut String) -> Self {
        Self { out }
    }

    /// A counter without labels; the name ends in `_total`.
    pub(super) fn counter(&mut self, name: &str, help: &str, value: u64) {
        self.family(name, "counter", help, &[(&[], value as f64)]);
    }

    /// A counter in seconds.
    pub(super) fn seconds(&mut self, name: &str, help: &str, value: Duration) {
        self.family(name, "counter", help, &[(&[], value.as_secs_f64())]);
    }

    /// A counter read from an atomic.
    pub(super) fn atomic(&mut self, name: &str, help: &str, value: &AtomicU64) {
        self.counter(name, help, value.load(Ordering::Relaxed));
    }

    /// A gauge without labels.
    pub(super) fn gauge(&mut self, name: &str, help: &str, value: f64) {
        self.family(name, "gauge", help, &[(&[], value)]);
    }

    /// A family with any number of samples; nothing is written where there are none.
    pub(super) fn family(&mut self, name: &str, kind: &str, help: &str, samples: &[Sample<'_>]) {
        if samples.is_empty() {
            return;
        }
        self.head(name, kind, help);
        for (labels, value) in samples {
            self.sample(name, labels, *value);
        }
    }

    /// The comment lines of a family.
    pub(super) fn head(&mut self, name: &str, kind: &str, help: &str) {
        // Writing to a `String` cannot fail, here and below.
        let _ = writeln!(self.out, "# HELP {name} {help}\n# TYPE {name} {kind}");
    }

    /// One line with a value.
    pub(super) fn sample(&mut self, name: &str, labels: &[(&str, &str)], value: f64) {
        self.out.push_str(name);
        for (i, (label, text)) in labels.iter().enumerate() {
            self.out.push(if i == 0 { '{' } else { ',' });
            let _ = write!(self.out, "{label}=\"");
            for c in text.chars() {
                match c {
                    '\\' => self.out.push_str("\\\\"),
                    '"' => self.out.push_str("\\\""),
                    '\n' => self.out.push_str("\\n"),
                    c => self.out.push(c),
                }
            }
            self.out.push('"');
        }
        if !labels.is_empty() {
            self.out.push('}');
        }
        let _ = writeln!(self.out, " {}", format_sample_value(value));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn families_have_help_and_type_and_escaped_labels() {
        let mut out = String::new();
        let mut exposition = Exposition::new(&mut out);
        exposition.counter("a_total", "All a.", 7);
        exposition.family(
            "b",
            "gauge",
            "Some b.",
            &[(&[("x", "1\"\\\n"), ("y", "é")], 0.5)],
        );
        exposition.family("c", "gauge", "No c.", &[]);
        assert_eq!(
            out,
            "# HELP a_total All a.\n# TYPE a_total counter\na_total 7\n\
             # HELP b Some b.\n# TYPE b gauge\nb{x=\"1\\\"\\\\\\n\",y=\"é\"} 0.5\n"
        );
    }
}
