//! Functions that look at all series of a group and give each one back, masked: window functions whose partition is the
//! group.
//!
//! The plan orders the rows of a partition by their labels, so that ties are decided the same way whatever the order
//! in which series arrive.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, StringArray};
use arrow::datatypes::{DataType, Field, FieldRef, Int64Type};
use datafusion::error::{DataFusionError, Result};
use datafusion::logical_expr::expr::WindowFunction;
use datafusion::logical_expr::function::{PartitionEvaluatorArgs, WindowUDFFieldArgs};
use datafusion::logical_expr::{
    Expr, PartitionEvaluator, Signature, SortExpr, Volatility, WindowFunctionDefinition, WindowUDF,
    WindowUDFImpl,
};
use varve_histogram::Note;

use super::best::Best;
use super::cells::Disjoint;
use crate::Error;
use crate::annotations::NotesAt;
use crate::vector::{Vectors, VectorsBuilder, is_mixed, vector_type_of};

/// What a [`MaskWindow`] keeps of the vectors of a group. The first argument is the vectors.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum MaskOp {
    /// The k greatest samples of each step. Second argument: k as numbers or vectors.
    Top,
    /// The k smallest samples of each step. Second argument: k as numbers or vectors.
    Bottom,
    /// The first k samples of each step. Second argument: k as numbers or vectors.
    First,
    /// A share of the series, chosen by the hash of their labels. Second argument: the share as numbers or vectors, negative for its
    /// complement; third: the hash as text.
    Ratio,
    /// All samples of rows whose second argument is 0; of the others those at steps where no row with 0 has any: `or`.
    Or,
    /// All samples; fails where two rows have one. Second argument: the match group as text; third: the series as text; fourth, if
    /// it matters: a vector that has a sample at the steps that count, at which alone samples are kept.
    One {
        /// The side of the operation, for the message: "left" or "right".
        side: &'static str,
    },
    /// All samples; fails where two rows have one.
    Alone(Disjoint),
    /// All samples; fails if two rows have any.
    Distinct,
}

impl MaskOp {
    fn name(&self) -> &'static str {
        match self {
            Self::Top => "topk",
            Self::Bottom => "bottomk",
            Self::First => "limitk",
            Self::Ratio => "limit_ratio",
            Self::Or => "or",
            Self::One { side: "left" } => "one_side_left",
            Self::One { .. } => "one_side",
            Self::Alone(_) => "alone",
            Self::Distinct => "distinct",
        }
    }
}

/// The window function of a [`MaskOp`] over vectors of `steps` steps.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct MaskWindow {
    op: MaskOp,
    steps: usize,
    notes: Option<NotesAt>,
    signature: Signature,
}

impl MaskWindow {
    /// The function over the groups that `partition_by` makes, in the order of `order_by`.
    pub fn call(
        op: MaskOp,
        steps: usize,
        args: Vec<Expr>,
        partition_by: Vec<Expr>,
        order_by: Vec<SortExpr>,
    ) -> Expr {
        Self::noted(op, steps, args, (partition_by, order_by), None)
    }

    /// [`MaskWindow::call`], with a place to report native histograms that have no order.
    pub fn noted(
        op: MaskOp,
        steps: usize,
        args: Vec<Expr>,
        (partition_by, order_by): (Vec<Expr>, Vec<SortExpr>),
        notes: Option<NotesAt>,
    ) -> Expr {
        let window = Self {
            op,
            steps,
            notes,
            signature: Signature::any(args.len(), Volatility::Immutable),
        };
        let function =
            WindowFunctionDefinition::WindowUDF(Arc::new(WindowUDF::new_from_impl(window)));
        let mut call = WindowFunction::new(function, args);
        call.params.partition_by = partition_by;
        call.params.order_by = order_by;
        Expr::WindowFunction(Box::new(call))
    }
}

impl WindowUDFImpl for MaskWindow {
    fn name(&self) -> &str {
        self.op.name()
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn field(&self, args: WindowUDFFieldArgs<'_>) -> Result<FieldRef> {
        let ranks = matches!(self.op, MaskOp::Top | MaskOp::Bottom);
        let vectors = args.get_input_field(0);
        let mixed = !ranks && vectors.is_some_and(|field| is_mixed(field.data_type()));
        let data_type = vector_type_of(mixed, self.steps);
        Ok(Arc::new(Field::new(args.name(), data_type, true)))
    }

    fn partition_evaluator(
        &self,
        _args: PartitionEvaluatorArgs<'_>,
    ) -> Result<Box<dyn PartitionEvaluator>> {
        Ok(Box::new(Evaluator {
            op: self.op.clone(),
            steps: self.steps,
            notes: self.notes.clone(),
        }))
    }
}

#[derive(Debug)]
struct Evaluator {
    op: MaskOp,
    steps: usize,
    notes: Option<NotesAt>,
}

impl PartitionEvaluator for Evaluator {
    fn evaluate_all(&mut self, values: &[ArrayRef], num_rows: usize) -> Result<ArrayRef> {
        let vectors = Vectors::try_new(argument(values, 0)?)?;
        match &self.op {
            MaskOp::Top | MaskOp::Bottom | MaskOp::First => {
                let counts = match num_rows {
                    0 => Vec::new(),
                    _ => super::parameter(argument(values, 1)?, 0, self.steps)?,
                };
                match self.op {
                    MaskOp::First => self.first(&vectors, &counts, num_rows),
                    _ => self.ranked(&vectors, &counts, num_rows),
                }
            }
            MaskOp::Ratio => match num_rows {
                0 => VectorsBuilder::of(vectors.is_mixed(), self.steps, 0).finish(),
                _ => self.ratio(&vectors, values, num_rows),
            },
            MaskOp::Or => self.or(&vectors, argument(values, 1)?, num_rows),
            MaskOp::One { side } => one_side(side, &vectors, values, num_rows),
            MaskOp::Distinct => {
                let any = |row: &usize| vectors.has_samples(*row);
                match (0..num_rows).filter(any).nth(1) {
                    Some(_) => {
                        let why = Disjoint::Labels.message().to_owned();
                        Err(Error::Execution(why).into())
                    }
                    None => Ok(Arc::clone(argument(values, 0)?)),
                }
            }
            MaskOp::Alone(why) => match doubles(&vectors, num_rows).next() {
                Some(_) => Err(Error::Execution(why.message().to_owned()).into()),
                None => Ok(Arc::clone(argument(values, 0)?)),
            },
        }
    }
}

fn argument(values: &[ArrayRef], index: usize) -> Result<&ArrayRef> {
    values
        .get(index)
        .ok_or_else(|| DataFusionError::Internal(format!("argument {index} is missing")))
}

fn text(column: &ArrayRef, row: usize) -> Result<String> {
    let column = arrow::compute::cast(&column.slice(row, 1), &DataType::Utf8)?;
    let texts: Option<&StringArray> = column.as_string_opt::<i32>();
    let text = texts.and_then(|texts| texts.iter().next().flatten());
    Ok(text.unwrap_or("{}").to_owned())
}

/// The steps at which two rows have a sample, with the first two rows.
fn doubles(vectors: &Vectors, rows: usize) -> impl Iterator<Item = (usize, usize, usize)> + '_ {
    (0..vectors.steps()).filter_map(move |step| {
        let mut present = (0..rows).filter(|row| vectors.is_present(*row, step));
        Some((step, present.next()?, present.next()?))
    })
}

/// [`MaskOp::One`].
fn one_side(side: &str, vectors: &Vectors, values: &[ArrayRef], rows: usize) -> Result<ArrayRef> {
    let counting = values
        .get(3)
        .map(|column| Vectors::try_new(column))
        .transpose()?;
    let counts = |step: usize| {
        counting
            .as_ref()
            .is_none_or(|c| rows > 0 && c.is_present(0, step))
    };
    if let Some((_, first, second)) = doubles(vectors, rows).find(|(step, ..)| counts(*step)) {
        let group = text(argument(values, 1)?, first)?;
        let first = text(argument(values, 2)?, first)?;
        let second = text(argument(values, 2)?, second)?;
        return Err(duplicates(side, &group, first, second).into());
    }
    if counting.is_none() {
        return Ok(Arc::clone(argument(values, 0)?));
    }
    let mut out = VectorsBuilder::of(vectors.is_mixed(), vectors.steps(), rows);
    for row in 0..rows {
        let samples = vectors.items(row).enumerate();
        out.extend_items(samples.map(|(step, sample)| sample.filter(|_| counts(step))));
    }
    out.finish()
}

fn duplicates(side: &str, group: &str, first: String, second: String) -> Error {
    let (first, second) = if first > second {
        (second, first)
    } else {
        (first, second)
    };
    Error::DuplicateSeries(format!(
        "found duplicate series for the match group {group} on the {side} hand-side of the operation: [{first}, {second}];many-to-many matching not allowed: matching labels must be unique on one side"
    ))
}

/// How many samples a parameter asks for.
fn wanted(parameter: f64) -> Result<usize> {
    if parameter.is_nan() {
        return Err(Error::Execution("Parameter value is NaN".to_owned()).into());
    }
    let word = if parameter >= 9_223_372_036_854_775_807.0 {
        "overflows"
    } else if parameter <= -9_223_372_036_854_775_808.0 {
        "underflows"
    } else {
        return Ok(parameter.max(0.0) as usize);
    };
    let value = varve_promql::format::format_float_g(parameter);
    Err(Error::Execution(format!("Scalar value {value} {word} int64")).into())
}

impl Evaluator {
    /// The samples of the first series that have any: `limitk`.
    fn first(&self, vectors: &Vectors, counts: &[Option<f64>], rows: usize) -> Result<ArrayRef> {
        let mut kept = vec![false; rows * self.steps];
        for step in 0..self.steps {
            let k = wanted(counts.get(step).copied().flatten().unwrap_or(f64::NAN))?;
            let present = (0..rows).filter(|row| vectors.is_present(*row, step));
            for row in present.take(k) {
                if let Some(kept) = kept.get_mut(row * self.steps + step) {
                    *kept = true;
                }
            }
        }
        let mut out = VectorsBuilder::of(vectors.is_mixed(), self.steps, rows);
        let items = (0..rows).flat_map(|row| vectors.items(row)).zip(kept);
        out.extend_items(items.map(|(item, kept)| item.filter(|_| kept)));
        out.finish()
    }

    /// The greatest or smallest floats: `topk`, `bottomk`.
    fn ranked(&self, vectors: &Vectors, counts: &[Option<f64>], rows: usize) -> Result<ArrayRef> {
        let mut items: Vec<Option<f64>> = vec![None; rows * self.steps];
        let mut best = Best::new(self.op == MaskOp::Top);
        for step in 0..self.steps {
            let k = wanted(counts.get(step).copied().flatten().unwrap_or(f64::NAN))?;
            let samples = (0..rows).filter_map(|row| Some((row, vectors.float(row, step)?)));
            samples.for_each(|(row, value)| best.offer(k, row, value));
            for (row, value) in best.drain() {
                if let Some(item) = items.get_mut(row * self.steps + step) {
                    *item = Some(value);
                }
            }
            let ignored = || (0..rows).any(|row| vectors.histogram(row, step).is_some());
            if let (true, Some(notes)) = (vectors.is_mixed() && k > 0 && ignored(), &self.notes) {
                notes.note(Note::IgnoredInAggregation(self.op.name()), "");
            }
        }
        let mut out = VectorsBuilder::new(self.steps, rows);
        out.extend(items);
        out.finish()
    }

    fn ratio(&self, vectors: &Vectors, values: &[ArrayRef], rows: usize) -> Result<ArrayRef> {
        let ratios = super::parameter(argument(values, 1)?, 0, self.steps)?;
        if ratios.iter().any(|ratio| ratio.is_none_or(f64::is_nan)) {
            return Err(Error::Execution("Ratio value is NaN".to_owned()).into());
        }
        let mut out = VectorsBuilder::of(vectors.is_mixed(), self.steps, rows);
        for row in 0..rows {
            let hash: u64 = text(argument(values, 2)?, row)?.parse().unwrap_or(0);
            let offset = hash as f64 / u64::MAX as f64;
            let chosen = |ratio: f64| match ratio.clamp(-1.0, 1.0) {
                ratio if ratio >= 0.0 => offset < ratio,
                ratio => offset >= 1.0 + ratio,
            };
            let samples = vectors.items(row).zip(&ratios);
            out.extend_items(
                samples.map(|(sample, ratio)| sample.filter(|_| ratio.is_some_and(chosen))),
            );
        }
        out.finish()
    }

    fn or(&self, vectors: &Vectors, sides: &ArrayRef, rows: usize) -> Result<ArrayRef> {
        let Some(sides) = sides.as_primitive_opt::<Int64Type>() else {
            return Err(DataFusionError::Internal(
                "sides are not numbers".to_owned(),
            ));
        };
        let mut taken = vec![false; self.steps];
        for row in (0..rows).filter(|row| sides.value(*row) == 0) {
            for (step, taken) in taken.iter_mut().enumerate() {
                *taken |= vectors.is_present(row, step);
            }
        }
        let mut out = VectorsBuilder::of(vectors.is_mixed(), self.steps, rows);
        for row in 0..rows {
            let left = sides.value(row) == 0;
            let samples = vectors.items(row).zip(&taken);
            out.extend_items(samples.map(|(sample, taken)| sample.filter(|_| left || !taken)));
        }
        out.finish()
    }
}
