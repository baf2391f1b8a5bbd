//! Annotations of a query: warnings and infos that travel beside the plan.
//!
//! One [`Annotations`] belongs to one query. The planner hands it to every function that may have something to say. Texts are
//! Prometheus's, and so is the rule that one text is reported once, with `(line:column)` of the last expression that it is about.

use std::collections::BTreeMap;
use std::hash::{Hash, Hasher};
use std::sync::{Arc, Mutex, PoisonError};

use varve_histogram::{Note, Severity};
use varve_promql::Span;
use varve_promql::format::{format_float_g, quote};

/// The most warnings, and the most infos, that a query reports; the rest is counted.
const ENTRIES_MAX: usize = 10;

#[derive(Debug, Default)]
struct Entries {
    warnings: Texts,
    infos: Texts,
    /// By metric name.
    monotonicity: BTreeMap<String, (Span, Monotonicity)>,
    /// Warnings of which Prometheus says how often they came.
    counted: BTreeMap<String, (Span, usize)>,
}

/// Texts, with the expression that each is about if it is about one.
type Texts = BTreeMap<String, Option<Span>>;

/// Buckets of classic histograms whose counts had to be lifted; reported once for all steps and groups of a call.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Monotonicity {
    /// First and last step in milliseconds.
    pub times_ms: (i64, i64),
    /// Lowest and highest bound of a bucket that was lifted.
    pub buckets: (f64, f64),
    /// By how much, at most.
    pub difference: f64,
    /// How many histograms.
    pub samples: usize,
}

impl Monotonicity {
    fn add(&mut self, other: Self) {
        self.times_ms.0 = self.times_ms.0.min(other.times_ms.0);
        self.times_ms.1 = self.times_ms.1.max(other.times_ms.1);
        self.buckets.0 = self.buckets.0.min(other.buckets.0);
        self.buckets.1 = self.buckets.1.max(other.buckets.1);
        self.difference = self.difference.max(other.difference);
        self.samples += other.samples;
    }

    fn text(&self, metric: &str) -> String {
        let second = |ms: i64| {
            let time = chrono::DateTime::from_timestamp(ms.div_euclid(1000), 0).unwrap_or_default();
            time.to_rfc3339_opts(chrono::SecondsFormat::Secs, true)
        };
        // Two significant digits, as Go's %.2g.
        let difference: f64 = format!("{:.1e}", self.difference)
            .parse()
            .unwrap_or(self.difference);
        let metric = match metric {
            "" => String::new(),
            name => format!(" for metric name {}", quote(name)),
        };
        format!(
            "PromQL info: input to histogram_quantile needed to be fixed for monotonicity (see https://prometheus.io/docs/prometheus/latest/querying/functions/#histogram_quantile){metric}, from buckets {} to {}, with a max diff of {}, over {} samples from {} to {}",
            format_float_g(self.buckets.0),
            format_float_g(self.buckets.1),
            format_float_g(difference),
            self.samples,
            second(self.times_ms.0),
            second(self.times_ms.1),
        )
    }
}

/// The collector of one query; clones share it. Equality and hash are by identity, so that two equal functions of two
/// queries are never taken for one.
#[derive(Clone, Debug)]
pub struct Annotations {
    query: Arc<str>,
    entries: Arc<Mutex<Entries>>,
}

impl Annotations {
    /// A collector for a query; positions refer to its text.
    pub fn new(query: &str) -> Self {
        Self {
            query: Arc::from(query),
            entries: Arc::default(),
        }
    }

    /// Adds `PromQL warning: <text> (line:column)`.
    pub fn warn(&self, text: &str, span: Span) {
        let text = format!("PromQL warning: {text}");
        self.lock(|entries| add(&mut entries.warnings, text, span));
    }

    /// Adds `PromQL info: <text> (line:column)`.
    pub fn info(&self, text: &str, span: Span) {
        let text = format!("PromQL info: {text}");
        self.lock(|entries| add(&mut entries.infos, text, span));
    }

    /// Adds what is to be said about native histograms of a metric, whose name is empty where it is gone.
    pub fn note(&self, note: Note, metric: &str, span: Span) {
        let text = note.text(metric);
        if note == Note::StartTimeOverlap {
            return self.lock(|entries| {
                let entry = entries.counted.entry(text).or_insert((span, 0));
                entry.0 = if span.start < entry.0.start {
                    span
                } else {
                    entry.0
                };
                entry.1 += 1;
            });
        }
        match note.severity() {
            Severity::Warning => self.warn(&text, span),
            Severity::Info => self.info(&text, span),
        }
    }

    /// Forgets everything that the query itself has said so far, because it begins again.
    pub fn restart(&self) {
        self.lock(|entries| {
            entries.warnings.retain(|_, span| span.is_none());
            entries.infos.retain(|_, span| span.is_none());
            entries.monotonicity.clear();
            entries.counted.clear();
        });
    }

    /// Adds an info about buckets of a metric that were not monotonic, to what is known of that metric already. The name is empty where
    /// it is gone.
    pub fn repaired(&self, metric: &str, span: Span, found: Monotonicity) {
        self.lock(|entries| match entries.monotonicity.get_mut(metric) {
            Some((last, known)) => {
                *last = later(*last, span);
                known.add(found);
            }
            None => {
                let entry = (span, found);
                entries.monotonicity.insert(metric.to_owned(), entry);
            }
        });
    }

    /// Adds a warning that is not about a part of the query, such as an object that could not be read.
    pub fn warn_plain(&self, text: String) {
        self.lock(|entries| {
            entries.warnings.entry(text).or_insert(None);
        });
    }

    /// The warnings and the infos, sorted, cut off with a line that says how many are missing.
    pub fn lists(&self) -> (Vec<String>, Vec<String>) {
        let mut lists = (Vec::new(), Vec::new());
        self.lock(|entries| {
            let mut infos = entries.infos.clone();
            let repaired = entries.monotonicity.iter();
            infos.extend(repaired.map(|(metric, (span, found))| (found.text(metric), Some(*span))));
            let mut warnings = entries.warnings.clone();
            for (text, (span, count)) in &entries.counted {
                let occurrences = match count {
                    1 => String::new(),
                    count => format!(" ({count} occurrences)"),
                };
                let text = format!("PromQL warning: {text}{occurrences}");
                warnings.insert(text, Some(*span));
            }
            lists = (
                self.listed(&warnings, "warning"),
                self.listed(&infos, "info"),
            );
        });
        lists
    }

    fn listed(&self, texts: &Texts, kind: &str) -> Vec<String> {
        let with_position = |(text, span): (&String, &Option<Span>)| match span {
            None => text.clone(),
            Some(span) => {
                let (line, column) = span.line_and_column(&self.query);
                format!("{text} ({line}:{column})")
            }
        };
        let mut list: Vec<String> = texts.iter().take(ENTRIES_MAX).map(with_position).collect();
        if texts.len() > ENTRIES_MAX {
            let more = texts.len() - ENTRIES_MAX;
            list.push(format!("{more} more {kind} annotations omitted"));
        }
        list
    }

    fn lock(&self, f: impl FnOnce(&mut Entries)) {
        f(&mut self.entries.lock().unwrap_or_else(PoisonError::into_inner));
    }
}

fn add(texts: &mut Texts, text: String, span: Span) {
    let known = texts.entry(text).or_insert(None);
    *known = Some(known.map_or(span, |known| later(known, span)));
}

/// The expression that Prometheus comes to last: that which is written last.
fn later(a: Span, b: Span) -> Span {
    if b.start > a.start { b } else { a }
}

/// Where a function reports what it finds.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct NotesAt {
    /// The query's annotations.
    pub annotations: Annotations,
    /// The expression that notes are about.
    pub span: Span,
}

impl NotesAt {
    /// Reports a note about a metric, whose name is empty where it is gone.
    pub fn note(&self, note: Note, metric: &str) {
        self.annotations.note(note, metric, self.span);
    }
}

impl PartialEq for Annotations {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.entries, &other.entries)
    }
}

impl Eq for Annotations {}

impl Hash for Annotations {
    fn hash<H: Hasher>(&self, state: &mut H) {
        Arc::as_ptr(&self.entries).hash(state);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn overlaps_are_counted() {
        let annotations = Annotations::new("rate(a[5m]) + rate(a[5m])");
        annotations.note(Note::StartTimeOverlap, "a", Span::new(19, 24));
        let text = "PromQL warning: sample has start time that overlaps with previous sample timestamp for metric \"a\"";
        assert_eq!(annotations.lists().0, [format!("{text} (1:20)")]);
        annotations.note(Note::StartTimeOverlap, "a", Span::new(5, 10));
        assert_eq!(
            annotations.lists().0,
            [format!("{text} (2 occurrences) (1:6)")]
        );
        annotations.restart();
        assert!(annotations.lists().0.is_empty());
    }

    #[test]
    fn entries_are_counted_once_and_say_where() {
        let annotations = Annotations::new("a +\n b");
        for start in [5, 0] {
            annotations.info("odd", Span::new(start, 6));
        }
        for i in 0..12 {
            annotations.warn_plain(format!("object {i:02}"));
        }
        let (warnings, infos) = annotations.lists();
        assert_eq!(infos, ["PromQL info: odd (2:2)"]);
        assert_eq!(warnings.len(), 11);
        assert_eq!(warnings[10], "2 more warning annotations omitted");
    }
}
