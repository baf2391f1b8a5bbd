//! Vector functions where native histograms are among the arguments.

use datafusion::error::Result;
use varve_histogram::binary::{binary, negated};
use varve_histogram::{Sample, statistics};
use varve_promql::BinaryOp;
use varve_storage::{FloatHistogram, SampleValue};

use super::binary::kernel;
use super::operand::Operand;
use super::{VectorOp, operand};
use crate::annotations::NotesAt;
use crate::vector::{Item, VectorsBuilder, decode};

/// A number that a native histogram has.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[allow(missing_docs, reason = "the variants are PromQL's function names")]
pub enum Statistic {
    Avg,
    Count,
    Stddev,
    Stdvar,
    Sum,
}

impl Statistic {
    const ALL: [Self; 5] = [
        Self::Avg,
        Self::Count,
        Self::Stddev,
        Self::Stdvar,
        Self::Sum,
    ];

    /// The statistic of a PromQL function.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|s| s.name() == name)
    }

    /// PromQL's name.
    pub fn name(self) -> &'static str {
        match self {
            Self::Avg => "histogram_avg",
            Self::Count => "histogram_count",
            Self::Stddev => "histogram_stddev",
            Self::Stdvar => "histogram_stdvar",
            Self::Sum => "histogram_sum",
        }
    }

    fn of(self, histogram: &FloatHistogram) -> f64 {
        match self {
            Self::Avg => statistics::avg(histogram),
            Self::Count => statistics::count(histogram),
            Self::Stddev => statistics::stddev(histogram),
            Self::Stdvar => statistics::stdvar(histogram),
            Self::Sum => statistics::sum(histogram),
        }
    }
}

/// Evaluates an operation that has a meaning for native histograms; false if it has none, so that it sees floats only.
pub(super) fn evaluate(
    op: &VectorOp,
    operands: &[Operand],
    rows: usize,
    steps: usize,
    out: &mut VectorsBuilder,
) -> Result<bool> {
    let a = operand(operands, 0)?;
    let items = || (0..rows).flat_map(|row| (0..steps).map(move |step| (row, step)));
    match op {
        VectorOp::Mixed => out.extend_items(items().map(|(row, step)| a.item(row, step))),
        VectorOp::Repeat => out.extend_items(items().map(|(row, _)| a.item(row, 0))),
        VectorOp::Where | VectorOp::WhereNot => {
            let (b, wanted) = (operand(operands, 1)?, *op == VectorOp::Where);
            out.extend_items(items().map(|(row, step)| {
                let item = a.item(row, step);
                item.filter(|_| b.is_present(row, step) == wanted)
            }));
        }
        VectorOp::Absent => {
            let absent = |(row, step)| !a.is_present(row, step);
            out.extend(items().map(|place| absent(place).then_some(1.0)));
        }
        VectorOp::StepTime(grid) => out.extend(items().map(|(row, step)| {
            let seconds = grid.time_ms(step) as f64 / 1000.0;
            a.is_present(row, step).then_some(seconds)
        })),
        VectorOp::Negate => {
            for (row, step) in items() {
                match a.item(row, step) {
                    Some(Item::Histogram(bytes)) => out.push_histogram(&negated(&decode(bytes)?)),
                    Some(Item::Float(value)) => out.push(Some(-value)),
                    None => out.push(None),
                }
            }
        }
        VectorOp::Statistic(statistic) => {
            for (row, step) in items() {
                out.push(match a.item(row, step) {
                    Some(Item::Histogram(bytes)) => Some(statistic.of(&decode(bytes)?)),
                    _ => None,
                });
            }
        }
        VectorOp::Binary {
            op,
            return_bool,
            keep,
            notes,
        } => {
            let pair = Pair {
                op: *op,
                return_bool: *return_bool,
                notes,
                floats: kernel(*op, *return_bool, *keep),
            };
            let b = operand(operands, 1)?;
            for (row, step) in items() {
                match (a.item(row, step), b.item(row, step)) {
                    (Some(a), Some(b)) => pair.push(a, b, out)?,
                    _ => out.push(None),
                }
            }
        }
        _ => return Ok(false),
    }
    Ok(true)
}

/// An operator between two samples of either kind.
struct Pair<'a> {
    op: BinaryOp,
    return_bool: bool,
    notes: &'a NotesAt,
    floats: Box<dyn Fn(f64, f64) -> Option<f64>>,
}

impl Pair<'_> {
    fn push(&self, a: Item<'_>, b: Item<'_>, out: &mut VectorsBuilder) -> Result<()> {
        let trims = matches!(self.op, BinaryOp::TrimLower | BinaryOp::TrimUpper);
        if let (Item::Float(a), Item::Float(b), false) = (a, b, trims) {
            out.push((self.floats)(a, b));
            return Ok(());
        }
        let (a, b) = (a.decode()?, b.decode()?);
        let result = binary(self.op, sample(&a), sample(&b));
        if let Some(note) = result.note {
            self.notes.note(note, "");
        }
        match result.value {
            _ if result.failed => out.push(None),
            _ if self.return_bool => out.push(Some(f64::from(u8::from(result.keep)))),
            Some(histogram) if result.keep => out.push_histogram(&histogram),
            _ => out.push(None),
        }
        Ok(())
    }
}

/// A sample as `varve-histogram` reads it.
pub(crate) fn sample(value: &SampleValue) -> Sample<'_> {
    match value {
        SampleValue::Float(value) => Sample::Float(*value),
        SampleValue::Histogram(histogram) => Sample::Histogram(histogram),
    }
}
