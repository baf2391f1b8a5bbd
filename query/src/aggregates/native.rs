//! Functions of histograms of both kinds: classic ones, whose buckets are series, and native ones, which are samples.

use datafusion::error::Result;
use varve_histogram::Note;
use varve_histogram::quantile::{fraction, quantile};
use varve_storage::FloatHistogram;

use super::group::Group;
use super::histogram::{self, Bucket};
use super::rows::Notes;

/// The histogram of a group at one step.
pub(super) enum Histogram<'a> {
    /// There is none, or there are both.
    None,
    /// The buckets of a classic one, with its metric name.
    Classic(Vec<Bucket>, &'a str),
    /// A native one, with its metric name.
    Native(Box<FloatHistogram>, &'a str),
}

impl<'a> Histogram<'a> {
    /// Reads the samples of a step. `bounds` are those of the group's rows.
    pub(super) fn at(
        group: &'a Group,
        bounds: &[Option<f64>],
        (steps, step): (usize, usize),
        notes: &Notes,
    ) -> Result<Self> {
        let classic: Vec<Bucket> = group
            .at(steps, step)
            .filter_map(|(row, count)| {
                let upper = (*bounds.get(row)?)?;
                Some(Bucket { upper, count })
            })
            .collect();
        let native = match group.has_histograms() {
            true => group.histograms_at(steps, step)?.into_iter().next(),
            false => None,
        };
        Ok(match native {
            None if classic.is_empty() => Self::None,
            None => Self::Classic(classic, group.metric()),
            Some((row, native)) if classic.is_empty() => {
                Self::Native(Box::new(native), group.metric_of(row))
            }
            Some((row, _)) => {
                let name = group.metric_of(row);
                notes.at.note(Note::MixedClassicNative, name);
                Self::None
            }
        })
    }

    /// The φ-quantile.
    pub(super) fn quantile(&self, phi: f64, step: usize, notes: &Notes) -> Option<f64> {
        match self {
            Self::None => None,
            Self::Classic(buckets, metric) => {
                histogram::quantile_at(phi, buckets.clone(), step, metric, notes)
            }
            Self::Native(native, metric) => {
                let (value, note) = quantile(phi, native);
                if let Some(note) = note {
                    notes.at.note(note, metric);
                }
                Some(value)
            }
        }
    }

    /// The share of observations between two bounds.
    pub(super) fn fraction(self, lower: f64, upper: f64, notes: &Notes) -> Option<f64> {
        match self {
            Self::None => None,
            Self::Classic(buckets, _) => histogram::fraction(lower, upper, buckets),
            Self::Native(native, metric) => {
                let (value, note) = fraction(lower, upper, &native);
                if let Some(note) = note {
                    notes.at.note(note, metric);
                }
                Some(value)
            }
        }
    }
}
