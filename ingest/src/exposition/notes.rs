//! A visitor for tests.

use varve_storage::SampleValue;
use varve_storage::columns::NO_START_MS;

use super::{Details, Entry, Exposed, ExpositionError, Visitor};

/// Writes down what it is given.
#[derive(Default)]
pub(super) struct Notes {
    pub(super) lines: Vec<String>,
    pub(super) expected: Vec<u8>,
    pub(super) keys: Vec<Vec<u8>>,
}

impl Visitor for Notes {
    type Error = ExpositionError;

    fn expected(&self) -> &[u8] {
        &self.expected
    }

    fn metadata(&mut self, entry: &Entry<'_>) {
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        self.lines.push(match entry {
            Entry::Type(name, kind) => format!("type {} {}", text(name), kind.as_str()),
            Entry::Help(name, help) => format!("help {} {help}", text(name)),
            Entry::Unit(name, unit) => format!("unit {} {unit}", text(name)),
            Entry::Series(_) => unreachable!(),
        });
    }

    fn sample(&mut self, exposed: &Exposed<'_>, details: &dyn Details) -> Result<(), Self::Error> {
        let labels = details.labels()?;
        let labels: Vec<_> = labels.iter().map(|(n, v)| format!("{n}={v}")).collect();
        let value = match &exposed.value {
            SampleValue::Float(value) => format!("{value:?}"),
            SampleValue::Histogram(h) => format!(
                "schema {} count {} {:?} {:?}",
                h.schema, h.count, h.counter_reset_hint, h.positive_buckets
            ),
        };
        let mut line = format!("{} {value}", labels.join(","));
        if let Some(time_ms) = exposed.timestamp_ms {
            line += &format!(" @{time_ms}");
        }
        if exposed.start_timestamp_ms != NO_START_MS {
            line += &format!(" since {}", exposed.start_timestamp_ms);
        }
        for exemplar in details.exemplars() {
            line += &format!(
                " # {:?} {} {:?}",
                exemplar.labels, exemplar.value, exemplar.timestamp_ms
            );
        }
        if exposed.expected {
            line += " expected";
        }
        self.keys.push(exposed.series.to_vec());
        self.lines.push(line);
        Ok(())
    }
}
