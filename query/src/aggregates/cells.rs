//! Aggregations that need a few numbers per group and step.

use std::fmt;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, BooleanArray, FixedSizeListArray, Float64Array};
use arrow::datatypes::{DataType, Field, FieldRef, Float64Type};
use datafusion::error::{DataFusionError, Result};
use datafusion::logical_expr::function::{AccumulatorArgs, StateFieldsArgs};
use datafusion::logical_expr::{
    Accumulator, AggregateUDF, AggregateUDFImpl, EmitTo, Expr, GroupsAccumulator, ReversedUDAF,
    Signature, Volatility,
};
use varve_histogram::Note;

use super::samples::SampleCells;
use super::single::SingleGroup;
use crate::Error;
use crate::annotations::NotesAt;
use crate::kernels::kahan;
use crate::vector::{Vectors, VectorsBuilder, is_mixed, mixed_type, vector_type_of};

/// What it means if two series of a group have a sample at one step.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Disjoint {
    /// Two series of one vector have the same labels.
    Labels,
    /// Two series of the "many" side of a one-to-one operation match one series.
    OneToOne,
    /// Two results of `group_left` or `group_right` have the same labels.
    Grouping,
}

impl Disjoint {
    /// Prometheus's words.
    pub(super) fn message(self) -> &'static str {
        match self {
            Self::Labels => "vector cannot contain metrics with the same labelset",
            Self::OneToOne => {
                "multiple matches for labels: many-to-one matching must be explicit (group_left/group_right)"
            }
            Self::Grouping => {
                "multiple matches for labels: grouping labels must ensure unique matches"
            }
        }
    }
}

/// What a [`StepAggregate`] computes at each step from the samples of a group.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum CellOp {
    /// Compensated sum.
    Sum,
    /// Mean of a compensated sum; incremental from where the sum would overflow.
    Avg,
    /// Smallest value, NaN only if all are.
    Min,
    /// Greatest value, NaN only if all are.
    Max,
    /// Number of samples.
    Count,
    /// 1 where there is a sample.
    Group,
    /// Population standard deviation.
    Stddev,
    /// Population variance.
    Stdvar,
    /// The only sample; fails where there are two.
    Merge(Disjoint),
    /// The only sample; none where there are two.
    Only,
}

impl CellOp {
    fn name(self) -> &'static str {
        match self {
            Self::Sum => "sum",
            Self::Avg => "avg",
            Self::Min => "min",
            Self::Max => "max",
            Self::Count => "count",
            Self::Group => "group",
            Self::Stddev => "stddev",
            Self::Stdvar => "stdvar",
            Self::Merge(Disjoint::Labels) => "merge_disjoint",
            Self::Merge(Disjoint::OneToOne) => "merge_one_to_one",
            Self::Merge(Disjoint::Grouping) => "merge_grouping",
            Self::Only => "only",
        }
    }

    /// Whether results are native histograms where samples are.
    fn gives_histograms(self) -> bool {
        matches!(self, Self::Sum | Self::Avg | Self::Merge(_))
    }

    /// Numbers per cell: the count of samples, then what the operation keeps.
    fn width(self) -> usize {
        match self {
            Self::Count | Self::Group => 1,
            Self::Min | Self::Max | Self::Merge(_) | Self::Only => 2,
            Self::Sum | Self::Stddev | Self::Stdvar => 3,
            Self::Avg => 4,
        }
    }

    #[inline]
    pub(super) fn update(self, cell: &mut [f64], v: f64) -> Result<()> {
        let first = cell[0] == 0.0;
        cell[0] += 1.0;
        match self {
            Self::Count | Self::Group => {}
            Self::Merge(why) if !first => {
                return Err(Error::Execution(why.message().to_owned()).into());
            }
            Self::Min | Self::Max | Self::Sum | Self::Merge(_) | Self::Only if first => cell[1] = v,
            Self::Only | Self::Merge(_) => {}
            Self::Min => {
                if cell[1] > v || cell[1].is_nan() {
                    cell[1] = v;
                }
            }
            Self::Max => {
                if cell[1] < v || cell[1].is_nan() {
                    cell[1] = v;
                }
            }
            Self::Sum => (cell[1], cell[2]) = kahan::add(v, cell[1], cell[2]),
            Self::Avg => average(cell, v, first),
            Self::Stddev | Self::Stdvar if first => {
                cell[1] = v;
                cell[2] = if v.is_finite() { 0.0 } else { f64::NAN };
            }
            Self::Stddev | Self::Stdvar => {
                let delta = v - cell[1];
                cell[1] += delta / cell[0];
                cell[2] += delta * (v - cell[1]);
            }
        }
        Ok(())
    }

    /// Adds the state of another part of the group.
    fn merge(self, cell: &mut [f64], other: &[f64]) -> Result<()> {
        if other[0] == 0.0 {
            return Ok(());
        }
        if cell[0] == 0.0 {
            cell.copy_from_slice(other);
            return Ok(());
        }
        match self {
            Self::Min | Self::Max | Self::Merge(_) => {
                self.update(cell, other[1])?;
                cell[0] += other[0] - 1.0;
            }
            Self::Count | Self::Group | Self::Only => cell[0] += other[0],
            Self::Sum => {
                cell[0] += other[0];
                (cell[1], cell[2]) = kahan::add(other[1], cell[1], cell[2]);
                cell[2] += other[2];
            }
            Self::Avg => merge_averages(cell, other),
            Self::Stddev | Self::Stdvar => {
                let (n, m) = (cell[0], other[0]);
                let delta = other[1] - cell[1];
                cell[0] = n + m;
                cell[1] += delta * m / (n + m);
                cell[2] += other[2] + delta * delta * n * m / (n + m);
            }
        }
        Ok(())
    }

    fn result(self, cell: &[f64]) -> Option<f64> {
        let count = cell[0];
        if count == 0.0 {
            return None;
        }
        match self {
            Self::Count => Some(count),
            Self::Group => Some(1.0),
            Self::Min | Self::Max | Self::Merge(_) => Some(cell[1]),
            Self::Only => (count == 1.0).then_some(cell[1]),
            Self::Sum => Some(cell[1] + cell[2]),
            Self::Avg if cell[3] != 0.0 => Some(cell[1] + cell[2]),
            Self::Avg => Some((cell[1] / count) + cell[2] / count),
            Self::Stddev => Some((cell[2] / count).sqrt()),
            Self::Stdvar => Some(cell[2] / count),
        }
    }
}

/// The cell holds count, sum (or mean), compensation, and whether it is a mean already.
#[inline]
fn average(cell: &mut [f64], v: f64, first: bool) {
    if first {
        cell[1] = v;
        return;
    }
    let count = cell[0];
    if cell[3] == 0.0 {
        let (sum, c) = kahan::add(v, cell[1], cell[2]);
        if !sum.is_infinite() {
            (cell[1], cell[2]) = (sum, c);
            return;
        }
        cell[3] = 1.0;
        cell[1] /= count - 1.0;
        cell[2] /= count - 1.0;
    }
    let share = (count - 1.0) / count;
    (cell[1], cell[2]) = kahan::add(v / count, share * cell[1], share * cell[2]);
}

fn merge_averages(cell: &mut [f64], other: &[f64]) {
    let (n, m) = (cell[0], other[0]);
    cell[0] = n + m;
    if cell[3] == 0.0 && other[3] == 0.0 {
        let (sum, c) = kahan::add(other[1], cell[1], cell[2]);
        if !sum.is_infinite() {
            (cell[1], cell[2]) = (sum, c + other[2]);
            return;
        }
    }
    let mean = |part: &[f64], count: f64| match part[3] {
        0.0 => (part[1] / count, part[2] / count),
        _ => (part[1], part[2]),
    };
    let ((a, a_c), (b, b_c)) = (mean(cell, n), mean(other, m));
    let (p, q) = (n / (n + m), m / (n + m));
    (cell[1], cell[2]) = kahan::add(q * b, p * a, p * a_c + q * b_c);
    cell[3] = 1.0;
}

/// The UDAF of a [`CellOp`] over vectors of `steps` steps.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct StepAggregate {
    op: CellOp,
    steps: usize,
    notes: Option<NotesAt>,
    signature: Signature,
}

impl StepAggregate {
    /// The aggregation of a column of vectors.
    pub fn call(op: CellOp, steps: usize, vectors: Expr) -> Expr {
        Self::with_notes(op, steps, vec![vectors], None)
    }

    /// The aggregation of a column of vectors, which may be mixed, and a column with the metric name. What is odd about native
    /// histograms is reported. Sums and means of mixed vectors need their input ordered by series.
    pub fn noted(op: CellOp, steps: usize, (vectors, name): (Expr, Expr), notes: NotesAt) -> Expr {
        Self::with_notes(op, steps, vec![vectors, name], Some(notes))
    }

    fn with_notes(op: CellOp, steps: usize, args: Vec<Expr>, notes: Option<NotesAt>) -> Expr {
        let aggregate = Self {
            op,
            steps,
            notes,
            signature: Signature::any(args.len(), Volatility::Immutable),
        };
        AggregateUDF::new_from_impl(aggregate).call(args)
    }

    fn cells(&self) -> Cells {
        Cells {
            op: self.op,
            steps: self.steps,
            notes: self.notes.clone(),
            cells: Vec::new(),
        }
    }

    fn samples(&self) -> SampleCells {
        SampleCells::new(self.op, self.steps, self.notes.clone())
    }

    fn state_type(&self) -> DataType {
        let items = self.steps * self.op.width();
        let size = i32::try_from(items).unwrap_or(i32::MAX);
        DataType::FixedSizeList(Arc::new(Field::new("item", DataType::Float64, false)), size)
    }
}

impl AggregateUDFImpl for StepAggregate {
    fn name(&self) -> &str {
        self.op.name()
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, arg_types: &[DataType]) -> Result<DataType> {
        let mixed = self.op.gives_histograms() && arg_types.first().is_some_and(is_mixed);
        Ok(vector_type_of(mixed, self.steps))
    }

    fn state_fields(&self, args: StateFieldsArgs<'_>) -> Result<Vec<FieldRef>> {
        if is_mixed(args.return_type()) {
            let name = format!("{}[samples]", args.name);
            return Ok(vec![Arc::new(Field::new(
                name,
                mixed_type(self.steps),
                true,
            ))]);
        }
        let name = format!("{}[cells]", args.name);
        Ok(vec![Arc::new(Field::new(name, self.state_type(), false))])
    }

    /// DataFusion 55 sorts the input of an ordered aggregation only if the function can be reversed. No input of ours is known to be
    /// sorted the other way round, so that this never lets one pass as it is.
    fn reverse_expr(&self) -> ReversedUDAF {
        ReversedUDAF::Identical
    }

    fn accumulator(&self, args: AccumulatorArgs<'_>) -> Result<Box<dyn Accumulator>> {
        if is_mixed(args.return_field.data_type()) {
            let mut samples = self.samples();
            samples.resize(1);
            return Ok(Box::new(SingleGroup(samples)));
        }
        let mut cells = self.cells();
        cells.resize(1);
        Ok(Box::new(SingleGroup(cells)))
    }

    fn groups_accumulator_supported(&self, _args: AccumulatorArgs<'_>) -> bool {
        true
    }

    fn create_groups_accumulator(
        &self,
        args: AccumulatorArgs<'_>,
    ) -> Result<Box<dyn GroupsAccumulator>> {
        if is_mixed(args.return_field.data_type()) {
            return Ok(Box::new(self.samples()));
        }
        Ok(Box::new(self.cells()))
    }
}

/// The state of all groups: `steps x width` numbers each.
struct Cells {
    op: CellOp,
    steps: usize,
    notes: Option<NotesAt>,
    cells: Vec<f64>,
}

impl fmt::Debug for Cells {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Cells({:?}, {} numbers)", self.op, self.cells.len())
    }
}

impl Cells {
    fn group_width(&self) -> usize {
        self.steps * self.op.width()
    }

    fn resize(&mut self, groups: usize) {
        let length = (groups * self.group_width()).max(self.cells.len());
        self.cells.resize(length, 0.0);
    }

    fn take(&mut self, emit_to: EmitTo) -> Vec<f64> {
        match emit_to {
            EmitTo::All => std::mem::take(&mut self.cells),
            EmitTo::First(groups) => {
                let rest = self.cells.split_off(groups * self.group_width());
                std::mem::replace(&mut self.cells, rest)
            }
        }
    }

    fn add(
        &mut self,
        values: &[ArrayRef],
        rows: impl Iterator<Item = (usize, usize)>,
    ) -> Result<()> {
        let vectors = vectors(values)?;
        let (width, group_width) = (self.op.width(), self.group_width());
        let mut ignored = false;
        for (row, group) in rows {
            let cells = &mut self.cells[group * group_width..(group + 1) * group_width];
            for (sample, cell) in vectors.floats(row).zip(cells.chunks_exact_mut(width)) {
                if let Some(value) = sample {
                    self.op.update(cell, value)?;
                }
            }
            if !vectors.is_mixed() {
                continue;
            }
            let histograms = (0..self.steps).map(|step| vectors.histogram(row, step));
            for (_, cell) in histograms
                .zip(cells.chunks_exact_mut(width))
                .filter(|(histogram, _)| histogram.is_some())
            {
                match self.op {
                    CellOp::Count | CellOp::Group => self.op.update(cell, 0.0)?,
                    _ => ignored = true,
                }
            }
        }
        if let (true, Some(notes)) = (ignored, &self.notes) {
            notes.note(Note::IgnoredInAggregation(self.op.name()), "");
        }
        Ok(())
    }

    fn state_array(&self, cells: Vec<f64>) -> Result<Vec<ArrayRef>> {
        let size = i32::try_from(self.group_width()).unwrap_or(i32::MAX);
        let field = Arc::new(Field::new("item", DataType::Float64, false));
        let items = Arc::new(Float64Array::from(cells));
        Ok(vec![Arc::new(FixedSizeListArray::try_new(
            field, size, items, None,
        )?)])
    }
}

pub(super) fn vectors(values: &[ArrayRef]) -> Result<Vectors> {
    match values.first() {
        Some(array) => Vectors::try_new(array),
        None => Err(DataFusionError::Internal("no argument".to_owned())),
    }
}

pub(super) fn selected(filter: Option<&BooleanArray>, row: usize) -> bool {
    filter.is_none_or(|filter| filter.is_valid(row) && filter.value(row))
}

impl GroupsAccumulator for Cells {
    fn update_batch(
        &mut self,
        values: &[ArrayRef],
        group_indices: &[usize],
        opt_filter: Option<&BooleanArray>,
        total_num_groups: usize,
    ) -> Result<()> {
        self.resize(total_num_groups);
        let rows = group_indices.iter().copied().enumerate();
        self.add(values, rows.filter(|(row, _)| selected(opt_filter, *row)))
    }

    fn evaluate(&mut self, emit_to: EmitTo) -> Result<ArrayRef> {
        let cells = self.take(emit_to);
        let groups = cells.len() / self.group_width().max(1);
        let mut out = VectorsBuilder::new(self.steps, groups);
        out.extend(
            cells
                .chunks_exact(self.op.width())
                .map(|cell| self.op.result(cell)),
        );
        out.finish()
    }

    fn state(&mut self, emit_to: EmitTo) -> Result<Vec<ArrayRef>> {
        let cells = self.take(emit_to);
        self.state_array(cells)
    }

    fn merge_batch(
        &mut self,
        values: &[ArrayRef],
        group_indices: &[usize],
        total_num_groups: usize,
    ) -> Result<()> {
        self.resize(total_num_groups);
        let (width, group_width) = (self.op.width(), self.group_width());
        let states = values
            .first()
            .and_then(|array| array.as_fixed_size_list_opt());
        let items = states.and_then(|lists| lists.values().as_primitive_opt::<Float64Type>());
        let Some(items) = items else {
            return Err(DataFusionError::Internal("not a state".to_owned()));
        };
        for (state, group) in items.values().chunks_exact(group_width).zip(group_indices) {
            let cells = &mut self.cells[group * group_width..(group + 1) * group_width];
            for (other, cell) in state.chunks_exact(width).zip(cells.chunks_exact_mut(width)) {
                self.op.merge(cell, other)?;
            }
        }
        Ok(())
    }

    fn convert_to_state(
        &self,
        values: &[ArrayRef],
        opt_filter: Option<&BooleanArray>,
    ) -> Result<Vec<ArrayRef>> {
        let rows = values.first().map_or(0, |array| array.len());
        let mut each = Self {
            cells: Vec::new(),
            notes: self.notes.clone(),
            ..*self
        };
        each.resize(rows);
        each.add(
            values,
            (0..rows)
                .filter(|row| selected(opt_filter, *row))
                .map(|row| (row, row)),
        )?;
        let cells = each.take(EmitTo::All);
        self.state_array(cells)
    }

    fn size(&self) -> usize {
        size_of::<Self>() + self.cells.capacity() * size_of::<f64>()
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    fn run(op: CellOp, values: &[f64]) -> Option<f64> {
        let mut cell = vec![0.0; op.width()];
        for v in values {
            op.update(&mut cell, *v).unwrap();
        }
        op.result(&cell)
    }

    fn split(op: CellOp, values: &[f64], at: usize) -> Option<f64> {
        let (mut a, mut b) = (vec![0.0; op.width()], vec![0.0; op.width()]);
        for (i, v) in values.iter().enumerate() {
            op.update(if i < at { &mut a } else { &mut b }, *v).unwrap();
        }
        op.merge(&mut a, &b).unwrap();
        op.result(&a)
    }

    const OPS: [CellOp; 9] = [
        CellOp::Sum,
        CellOp::Avg,
        CellOp::Min,
        CellOp::Max,
        CellOp::Count,
        CellOp::Group,
        CellOp::Stddev,
        CellOp::Stdvar,
        CellOp::Only,
    ];

    #[test]
    fn a_group_in_two_parts_gives_what_one_part_gives() {
        let values = [1.5, -2.0, 1e5, 3.25, 0.125, -7.0];
        for op in OPS {
            let whole = run(op, &values);
            for at in 0..=values.len() {
                let (whole, parts) = (whole, split(op, &values, at));
                match (whole, parts) {
                    (Some(a), Some(b)) => assert!((a - b).abs() <= a.abs() * 1e-12, "{op:?} {at}"),
                    other => assert_eq!(other.0, other.1, "{op:?} {at}"),
                }
            }
        }
    }

    #[test]
    fn averages_survive_an_overflowing_sum() {
        assert_eq!(run(CellOp::Avg, &[f64::MAX, f64::MAX]), Some(f64::MAX));
        assert_eq!(split(CellOp::Avg, &[f64::MAX, f64::MAX], 1), Some(f64::MAX));
        assert_eq!(run(CellOp::Sum, &[1.0, 1e100, 1.0, -1e100]), Some(2.0));
        assert_eq!(run(CellOp::Max, &[f64::NAN, 1.0]), Some(1.0));
        assert!(run(CellOp::Stddev, &[f64::INFINITY]).unwrap().is_nan());
    }

    #[test]
    fn a_second_sample_is_an_error_where_it_must_be() {
        let op = CellOp::Merge(Disjoint::Labels);
        let mut cell = vec![0.0; 2];
        op.update(&mut cell, 1.0).unwrap();
        let error = Error::from(op.update(&mut cell.clone(), 1.0).unwrap_err());
        assert_eq!(
            error.to_string(),
            "vector cannot contain metrics with the same labelset"
        );
        assert!(op.merge(&mut cell, &[1.0, 1.0]).is_err());
        assert_eq!(run(CellOp::Only, &[1.0, 2.0]), None);
    }

    #[test]
    fn the_size_counts_every_number() {
        let mut cells = Cells {
            op: CellOp::Sum,
            steps: 100,
            notes: None,
            cells: Vec::new(),
        };
        cells.resize(10);
        assert!(cells.size() >= 10 * 100 * 3 * 8);
        let first = cells.take(EmitTo::First(4));
        assert_eq!((first.len(), cells.cells.len()), (1_200, 1_800));
    }
}
