//! Texts whose classic histograms become native ones with custom bounds.
//!
//! The series of a histogram stand one after the other. They are gathered as long as the type, the name and the labels but `le` stay the
//! same; then the histogram is handed on as one sample. What contradicts itself gives no histogram. A family counts as a histogram only if a
//! `# TYPE` says so, and only under its very name.

use std::sync::Arc;

use varve_storage::columns::NO_START_MS;
use varve_storage::histogram::ClassicHistogram;
use varve_storage::{METRIC_NAME, MetricType, SampleValue};

use super::number::parse_go_float;
use super::read::{Details, Exposed, ReadOptions, Visitor, created};
use super::{Entry, ExpositionError, Format, ParsedExemplar, Parser, Sample};

/// The series of one histogram, as far as they have come.
#[derive(Debug)]
struct Gathered {
    /// Sorted, with the family's name and without `le`.
    labels: Vec<(String, String)>,
    histogram: ClassicHistogram,
    exemplars: Vec<ParsedExemplar>,
    timestamp_ms: Option<i64>,
    start_timestamp_ms: i64,
}

impl Details for Gathered {
    fn labels(&self) -> Result<Vec<(String, String)>, ExpositionError> {
        Ok(self.labels.clone())
    }

    /// Those with a time: without one, two of them could not be told from one that is repeated.
    fn exemplars(&self) -> Vec<ParsedExemplar> {
        let timed = self.exemplars.iter().filter(|e| e.timestamp_ms.is_some());
        timed.cloned().collect()
    }
}

/// Which series of a histogram a name stands for.
#[derive(Clone, Copy, PartialEq)]
enum Part {
    Bucket,
    Count,
    Sum,
}

/// The part, and the name of the family.
fn part(name: &str) -> Option<(Part, &str)> {
    let parts = [
        ("_bucket", Part::Bucket),
        ("_sum", Part::Sum),
        ("_count", Part::Count),
    ];
    parts
        .iter()
        .find_map(|(suffix, part)| Some((*part, name.strip_suffix(suffix)?)))
}

/// Reads a whole exposition; see [`super::read()`].
pub(super) fn read<V: Visitor>(
    body: &[u8],
    format: Format,
    options: &ReadOptions,
    visitor: &mut V,
) -> Result<(), V::Error> {
    let mut parser = Parser::new(body, format);
    let mut created = created(&parser, options);
    let mut comments = 0;
    let mut family: (Vec<u8>, MetricType) = (Vec::new(), MetricType::Unknown);
    let mut gathered: Option<Gathered> = None;
    // No series is expected, because the labels of each are needed.
    while let Some(entry) = parser.next(&[])? {
        let sample = match entry {
            Entry::Series(sample) => sample,
            entry => {
                emit(gathered.take(), visitor)?;
                if let Entry::Type(name, kind) = &entry {
                    family = (name.to_vec(), *kind);
                }
                visitor.metadata(&entry);
                continue;
            }
        };
        if created.is_some() && parser.is_created() {
            continue;
        }
        // To Prometheus a comment ends a histogram, which goes on as another one behind it.
        if std::mem::replace(&mut comments, parser.comments) != parser.comments {
            emit(gathered.take(), visitor)?;
        }
        let start_ms = created.as_mut().map(|c| c.start_timestamp_ms(&parser));
        let start_ms = start_ms.unwrap_or(NO_START_MS);
        let classic = match family.1 {
            MetricType::Histogram => classic_part(&parser, &family.0)?,
            _ => None,
        };
        let Some((part, bound, labels)) = classic else {
            emit(gathered.take(), visitor)?;
            hand_on(&sample, start_ms, &parser, visitor)?;
            continue;
        };
        if gathered.as_ref().is_some_and(|g| g.labels != labels) {
            emit(gathered.take(), visitor)?;
        }
        let histogram = gathered.get_or_insert_with(|| Gathered {
            labels,
            histogram: ClassicHistogram::default(),
            exemplars: Vec::new(),
            timestamp_ms: sample.timestamp_ms,
            start_timestamp_ms: start_ms,
        });
        histogram.exemplars.extend(parser.exemplar());
        // A contradiction is remembered by the histogram and told at its end.
        let _ = match part {
            Part::Bucket => histogram.histogram.set_bucket(bound, sample.value),
            Part::Count => histogram.histogram.set_count(sample.value),
            Part::Sum => {
                histogram.histogram.set_sum(sample.value);
                Ok(())
            }
        };
        if options.classic_histograms {
            hand_on(&sample, start_ms, &parser, visitor)?;
        }
    }
    emit(gathered.take(), visitor)
}

/// What a series is to the histogram of a family: its part, the bound of its bucket, and the labels of the histogram.
#[expect(clippy::type_complexity, reason = "it is taken apart at once")]
fn classic_part(
    parser: &Parser<'_>,
    family: &[u8],
) -> Result<Option<(Part, f64, Vec<(String, String)>)>, ExpositionError> {
    let mut labels = parser.labels()?;
    let Some((_, name)) = labels.iter_mut().find(|(name, _)| name == METRIC_NAME) else {
        return Ok(None);
    };
    let Some((part, base)) = part(name).filter(|(_, base)| base.as_bytes() == family) else {
        return Ok(None);
    };
    *name = base.to_owned();
    let mut bound = f64::INFINITY;
    if part == Part::Bucket {
        let le = labels.iter().find(|(name, _)| name == "le");
        let parsed = le.and_then(|(_, value)| parse_go_float(value));
        match parsed.filter(|bound| !bound.is_nan()) {
            Some(parsed) => bound = parsed,
            None => return Ok(None),
        }
    }
    labels.retain(|(name, _)| name != "le");
    labels.sort();
    Ok(Some((part, bound, labels)))
}

fn hand_on<V: Visitor>(
    sample: &Sample<'_>,
    start_ms: i64,
    parser: &Parser<'_>,
    visitor: &mut V,
) -> Result<(), V::Error> {
    let exposed = Exposed {
        series: sample.series,
        value: SampleValue::Float(sample.value),
        observations: None,
        timestamp_ms: sample.timestamp_ms,
        start_timestamp_ms: start_ms,
        expected: false,
    };
    visitor.sample(&exposed, parser)
}

/// Hands a histogram on, if it is one.
fn emit<V: Visitor>(gathered: Option<Gathered>, visitor: &mut V) -> Result<(), V::Error> {
    let Some(gathered) = gathered else {
        return Ok(());
    };
    let histogram = gathered.histogram.to_native();
    let Some(histogram) = histogram.ok().filter(|h| h.validate().is_ok()) else {
        return Ok(());
    };
    // No text begins with this byte.
    let mut series = vec![0xff];
    for text in gathered.labels.iter().flat_map(|(n, v)| [n, v]) {
        series.extend_from_slice(text.as_bytes());
        series.push(0xff);
    }
    let exposed = Exposed {
        series: &series,
        value: SampleValue::Histogram(Arc::new(histogram)),
        observations: None,
        timestamp_ms: gathered.timestamp_ms,
        start_timestamp_ms: gathered.start_timestamp_ms,
        expected: false,
    };
    visitor.sample(&exposed, &gathered)
}
