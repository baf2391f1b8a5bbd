//! Samples of either kind, and answers.

use varve_storage::FloatHistogram;
use varve_storage::columns::NO_START_MS;

use crate::note::{Kind, Note};
use crate::start::Counted;

/// A sample that a computation reads.
#[derive(Clone, Copy, Debug)]
pub enum Sample<'a> {
    /// A float.
    Float(f64),
    /// A native histogram.
    Histogram(&'a FloatHistogram),
}

impl<'a> Sample<'a> {
    /// Which of the two it is.
    pub fn kind(self) -> Kind {
        match self {
            Self::Float(_) => Kind::Float,
            Self::Histogram(_) => Kind::Histogram,
        }
    }

    /// The histogram, if it is one.
    pub fn histogram(self) -> Option<&'a FloatHistogram> {
        match self {
            Self::Float(_) => None,
            Self::Histogram(histogram) => Some(histogram),
        }
    }
}

/// A sample of a window.
#[derive(Clone, Copy, Debug)]
pub struct Point<'a> {
    /// Its time.
    pub time_ms: i64,
    /// Since when it has been counted, in milliseconds; [`NO_START_MS`] where that is not known, or not to be looked at.
    pub start_ms: i64,
    /// Its value.
    pub sample: Sample<'a>,
}

impl<'a> Point<'a> {
    /// A sample of which no start timestamp is known.
    pub fn new(time_ms: i64, sample: Sample<'a>) -> Self {
        Self {
            time_ms,
            start_ms: NO_START_MS,
            sample,
        }
    }

    /// The time over which it was counted.
    pub fn counted(&self) -> Counted {
        Counted {
            start_ms: self.start_ms,
            time_ms: self.time_ms,
        }
    }
}

/// A sample that a computation gives.
#[derive(Clone, Debug, PartialEq)]
pub enum Value {
    /// A float.
    Float(f64),
    /// A native histogram.
    Histogram(Box<FloatHistogram>),
}

impl From<FloatHistogram> for Value {
    fn from(histogram: FloatHistogram) -> Self {
        Self::Histogram(Box::new(histogram))
    }
}

/// A result, if there is one, and what is to be noted about it.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Answer {
    /// The result.
    pub value: Option<Value>,
    /// What is to be noted, each at most once.
    pub notes: Vec<Note>,
}

impl Answer {
    /// No result and nothing to say.
    pub fn nothing() -> Self {
        Self::default()
    }

    /// No result, and why.
    pub fn because(note: Note) -> Self {
        Self {
            value: None,
            notes: vec![note],
        }
    }

    pub(crate) fn of(histogram: FloatHistogram, notes: Vec<Note>) -> Self {
        Self {
            value: Some(histogram.into()),
            notes,
        }
    }

    /// The histogram of the result.
    pub fn histogram(&self) -> Option<&FloatHistogram> {
        match &self.value {
            Some(Value::Histogram(histogram)) => Some(histogram),
            _ => None,
        }
    }
}

/// Adds a note unless it is there.
pub(crate) fn note_once(notes: &mut Vec<Note>, note: Note) {
    if !notes.contains(&note) {
        notes.push(note);
    }
}

/// The histograms of a window with their times. If there are floats too, or only floats, it is the answer of a function that cannot
/// have them.
pub(crate) fn only_histograms<'a>(
    points: &[Point<'a>],
) -> Result<Vec<(i64, &'a FloatHistogram)>, Answer> {
    let histograms: Vec<_> = points
        .iter()
        .filter_map(|point| Some((point.time_ms, point.sample.histogram()?)))
        .collect();
    if histograms.is_empty() {
        Err(Answer::nothing())
    } else if histograms.len() < points.len() {
        Err(Answer::because(Note::MixedFloatsHistograms))
    } else {
        Ok(histograms)
    }
}
