//! Start timestamps in OpenMetrics: a family's `_created` lines.
//!
//! A series gets the time of the next such line of its family if that line has its labels (but `le` and `quantile`) and its family's name; and
//! series that come after their line keep it as long as no other one comes between. That is how Prometheus finds them, odd
//! corners included, but for the effort: it looks ahead anew for every series, and here every line is looked at once more at most.

use varve_storage::MetricType;
use varve_storage::columns::NO_START_MS;

use super::Entry;
use super::parser::Parser;

const SUFFIX: &[u8] = b"_created";

/// What is known about lines ahead and behind.
#[derive(Debug)]
pub(super) struct Created<'a> {
    /// A second walk over the same bytes, ahead of the first.
    ahead: Parser<'a>,
    /// Where the line begins at which the second walk stopped, and whether it is a `_created` line: its series and its time.
    stop: Option<(usize, Option<Start>)>,
    /// The start that was found last.
    known: Option<Start>,
    /// The current series, without what tells one sample of a metric from another.
    own: Vec<u8>,
}

#[derive(Clone, Debug)]
struct Start {
    series: Vec<u8>,
    ms: i64,
}

/// Whether samples of a type have been counted since some time.
pub(super) fn has_start(kind: MetricType) -> bool {
    matches!(
        kind,
        MetricType::Counter | MetricType::Summary | MetricType::Histogram
    )
}

impl<'a> Created<'a> {
    pub(super) fn new(lines: &Parser<'a>) -> Self {
        Self {
            ahead: Parser::new(lines.input, lines.format),
            stop: None,
            known: None,
            own: Vec::new(),
        }
    }

    /// Since when the last series of `lines`, which was not the expected one, has been counted, in ms since the epoch; [`NO_START_MS`] where that
    /// is not known.
    pub(super) fn start_timestamp_ms(&mut self, lines: &Parser<'a>) -> i64 {
        let name = lines.name().get(..lines.family_length);
        let Some(name) = name.filter(|_| has_start(lines.kind)) else {
            self.known = None;
            return NO_START_MS;
        };
        self.own.clear();
        identify(lines, name, &mut self.own);
        if let Some(known) = &self.known
            && known.series == self.own
            && known.ms > 0
        {
            return known.ms;
        }
        self.look_ahead(lines);
        let next = self.stop.as_ref().and_then(|(_, created)| created.as_ref());
        self.known = next.filter(|start| start.series == self.own).cloned();
        self.known.as_ref().map_or(NO_START_MS, |start| start.ms)
    }

    /// Walks to the next `_created` line, or to the end of the run of series, unless that was done from before this place.
    fn look_ahead(&mut self, lines: &Parser<'a>) {
        if self.stop.as_ref().is_some_and(|(at, _)| *at >= lines.at) {
            return;
        }
        let ahead = &mut self.ahead;
        ahead.at = lines.at;
        ahead.kind = lines.kind;
        ahead.pending.clone_from(&lines.pending);
        let created = loop {
            let Ok(Some(Entry::Series(sample))) = ahead.next(b"") else {
                break None;
            };
            if let Some(stem) = ahead.name().strip_suffix(SUFFIX) {
                let mut series = Vec::new();
                identify(ahead, stem, &mut series);
                break Some(Start {
                    series,
                    ms: (sample.value * 1000.0) as i64,
                });
            }
        };
        self.stop = Some((self.ahead.start, created));
    }
}

/// Writes the labels of a series and a name behind each other, without the label that tells one sample of a metric from another.
fn identify(lines: &Parser<'_>, name: &[u8], into: &mut Vec<u8>) {
    let inner: &[u8] = match lines.kind {
        MetricType::Summary => b"quantile",
        MetricType::Histogram => b"le",
        _ => b"",
    };
    for (name, value) in lines.raw_labels() {
        if inner.is_empty() || name != inner {
            into.extend_from_slice(name);
            into.extend_from_slice(value);
        }
    }
    into.extend_from_slice(name);
}

impl Parser<'_> {
    /// Whether the last series is a `_created` line that says a start timestamp.
    pub(super) fn is_created(&self) -> bool {
        has_start(self.kind) && self.name().ends_with(SUFFIX)
    }
}
