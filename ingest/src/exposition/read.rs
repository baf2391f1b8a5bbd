//! Any exposition, handed to a visitor entry by entry.

use varve_storage::SampleValue;
use varve_storage::columns::NO_START_MS;

use super::created::{Created, has_start};
use super::{Entry, ExpositionError, Format, Observations, ParsedExemplar, Parser, nhcb, protobuf};

/// What is read of histograms.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ReadOptions {
    /// Whether native histograms are read; else a histogram's classic side is.
    pub native_histograms: bool,
    /// Whether the classic side is read also where there is a native one.
    pub classic_histograms: bool,
    /// Whether classic histograms become native ones with custom bounds. The classic series are then left out, unless
    /// `classic_histograms` says otherwise.
    pub convert_classic_histograms: bool,
    /// Whether start timestamps are read. The `_created` lines of OpenMetrics are then no series.
    pub start_timestamps: bool,
}

/// A sample of any format.
#[derive(Clone, Debug)]
pub struct Exposed<'a> {
    /// Bytes that stand for the series in this exposition and in no other way.
    pub series: &'a [u8],
    /// The value. In texts every NaN has the bits [`super::NORMAL_NAN`]. A histogram is not checked yet but for its spans.
    pub value: SampleValue,
    /// What a histogram with integer counts is checked against; see [`Observations::check`].
    pub observations: Option<Observations>,
    /// The time, where the exposition gives one; ms since the epoch.
    pub timestamp_ms: Option<i64>,
    /// Since when it is counted, in ms; [`NO_START_MS`] where that is not known.
    pub start_timestamp_ms: i64,
    /// Whether the series is the one that the visitor expected.
    pub expected: bool,
}

/// What belongs to a sample and is decoded when it is asked for.
pub trait Details {
    /// The labels of a sample that was not the expected one, the metric name first, else as they are exposed.
    fn labels(&self) -> Result<Vec<(String, String)>, ExpositionError>;

    /// The exemplars of the sample.
    fn exemplars(&self) -> Vec<ParsedExemplar>;
}

/// Takes what an exposition holds, in its order.
pub trait Visitor {
    /// Why it takes no more.
    type Error: From<ExpositionError>;

    /// How the next series is probably written; empty for no guess.
    fn expected(&self) -> &[u8];

    /// Takes the type, help or unit of a family.
    fn metadata(&mut self, entry: &Entry<'_>);

    /// Takes a sample.
    fn sample(&mut self, exposed: &Exposed<'_>, details: &dyn Details) -> Result<(), Self::Error>;
}

impl Details for Parser<'_> {
    fn labels(&self) -> Result<Vec<(String, String)>, ExpositionError> {
        Parser::labels(self)
    }

    fn exemplars(&self) -> Vec<ParsedExemplar> {
        self.exemplar().into_iter().collect()
    }
}

/// Reads a whole exposition.
///
/// # Errors
/// What breaks its grammar, and what the visitor says.
pub fn read<V: Visitor>(
    body: &[u8],
    format: Format,
    options: &ReadOptions,
    visitor: &mut V,
) -> Result<(), V::Error> {
    match format {
        Format::Protobuf => return protobuf::read(body, options, visitor),
        _ if options.convert_classic_histograms => {
            return nhcb::read(body, format, options, visitor);
        }
        _ => {}
    }
    let mut parser = Parser::new(body, format);
    let mut created = created(&parser, options);
    loop {
        // Start timestamps are found by labels, which only lexing gives.
        let lexes = created.is_some() && has_start(parser.kind);
        let expected: &[u8] = if lexes { &[] } else { visitor.expected() };
        let Some(entry) = parser.next(expected)? else {
            return Ok(());
        };
        match entry {
            Entry::Series(_) if lexes && parser.is_created() => {}
            Entry::Series(sample) => {
                let start_ms = created.as_mut().map(|c| c.start_timestamp_ms(&parser));
                let exposed = Exposed {
                    series: sample.series,
                    value: SampleValue::Float(sample.value),
                    observations: None,
                    timestamp_ms: sample.timestamp_ms,
                    start_timestamp_ms: start_ms.unwrap_or(NO_START_MS),
                    expected: sample.expected || (lexes && visitor.expected() == sample.series),
                };
                visitor.sample(&exposed, &parser)?;
            }
            entry => visitor.metadata(&entry),
        }
    }
}

/// Where the start timestamps of a text come from, if it can have some and they are wanted.
pub(super) fn created<'a>(parser: &Parser<'a>, options: &ReadOptions) -> Option<Created<'a>> {
    let wanted = options.start_timestamps && parser.format == Format::OpenMetrics;
    wanted.then(|| Created::new(parser))
}
