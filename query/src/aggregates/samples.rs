//! Aggregations of mixed vectors whose results may be native histograms: sums, means, and the only sample.
//!
//! Sums and means take samples in the order of the series, in which the plan sorts them, and they exist in one piece: a plan with native
//! histograms runs in one partition, and states are never exchanged.

use std::fmt;

use arrow::array::{Array, ArrayRef, BooleanArray};
use datafusion::error::{DataFusionError, Result};
use datafusion::logical_expr::{EmitTo, GroupsAccumulator};
use varve_histogram::aggregate::{Accumulator, Function};
use varve_histogram::{Answer, Value};
use varve_storage::SampleValue;

use super::cells::{CellOp, selected, vectors};
use crate::Error;
use crate::annotations::NotesAt;
use crate::functions::label::Texts;
use crate::functions::sample;
use crate::vector::{Item, VectorsBuilder};

/// What is known of one group at one step.
#[derive(Debug, Default)]
enum Cell {
    #[default]
    Empty,
    Only(SampleValue),
    Sum(Box<Accumulator>),
}

/// The state of all groups: a cell per step each.
pub(super) struct SampleCells {
    op: CellOp,
    steps: usize,
    notes: Option<NotesAt>,
    cells: Vec<Cell>,
    /// Bytes of histograms, about: a sum is as large as its first one, and its compensation again.
    histogram_bytes: usize,
}

impl fmt::Debug for SampleCells {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SampleCells({:?}, {})", self.op, self.cells.len())
    }
}

impl SampleCells {
    pub(super) fn new(op: CellOp, steps: usize, notes: Option<NotesAt>) -> Self {
        Self {
            op,
            steps,
            notes,
            cells: Vec::new(),
            histogram_bytes: 0,
        }
    }

    pub(super) fn resize(&mut self, groups: usize) {
        let length = (groups * self.steps).max(self.cells.len());
        self.cells.resize_with(length, Cell::default);
    }

    fn add(
        &mut self,
        values: &[ArrayRef],
        rows: impl Iterator<Item = (usize, usize)>,
    ) -> Result<()> {
        let vectors = vectors(values)?;
        let names = Texts::try_new(values.get(1))?;
        for (row, group) in rows {
            let name = names.get(row);
            for step in 0..self.steps {
                if let Some(item) = vectors.item(row, step) {
                    self.add_item(item, group * self.steps + step, name)?;
                }
            }
        }
        Ok(())
    }

    fn add_item(&mut self, item: Item<'_>, index: usize, name: &str) -> Result<()> {
        let Some(cell) = self.cells.get_mut(index) else {
            return Err(DataFusionError::Internal("no such group".to_owned()));
        };
        if matches!(cell, Cell::Empty)
            && let Item::Histogram(bytes) = item
        {
            self.histogram_bytes += 2 * bytes.len();
        }
        let function = match self.op {
            CellOp::Sum => Function::Sum,
            CellOp::Avg => Function::Avg,
            CellOp::Merge(why) => {
                if !matches!(cell, Cell::Empty) {
                    return Err(Error::Execution(why.message().to_owned()).into());
                }
                *cell = Cell::Only(item.decode()?);
                return Ok(());
            }
            other => {
                let text = format!("{other:?} has no meaning for native histograms");
                return Err(DataFusionError::Internal(text));
            }
        };
        if matches!(cell, Cell::Empty) {
            *cell = Cell::Sum(Box::new(Accumulator::new(function)));
        }
        let value = item.decode()?;
        if let Cell::Sum(sum) = cell
            && let Some(note) = sum.push(sample(&value))
            && let Some(notes) = &self.notes
        {
            notes.note(note, name);
        }
        Ok(())
    }

    fn take(&mut self, emit_to: EmitTo) -> Vec<Cell> {
        match emit_to {
            EmitTo::All => std::mem::take(&mut self.cells),
            EmitTo::First(groups) => {
                let rest = self.cells.split_off(groups * self.steps);
                std::mem::replace(&mut self.cells, rest)
            }
        }
    }

    fn vectors(&self, cells: Vec<Cell>) -> Result<ArrayRef> {
        let mut out = VectorsBuilder::of(true, self.steps, cells.len() / self.steps.max(1));
        for cell in cells {
            match cell {
                Cell::Empty => out.push(None),
                Cell::Only(value) => out.push_sample(Some(&value)),
                Cell::Sum(sum) => {
                    let Answer { value, notes } = sum.finish();
                    if let Some(at) = &self.notes {
                        notes.into_iter().for_each(|note| at.note(note, ""));
                    }
                    match value {
                        None => out.push(None),
                        Some(Value::Float(value)) => out.push(Some(value)),
                        Some(Value::Histogram(histogram)) => out.push_histogram(&histogram),
                    }
                }
            }
        }
        out.finish()
    }

    fn check_exchange(&self) -> Result<()> {
        match self.op {
            CellOp::Merge(_) => Ok(()),
            _ => Err(DataFusionError::Internal(
                "sums of native histograms are not exchanged".to_owned(),
            )),
        }
    }
}

impl GroupsAccumulator for SampleCells {
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
        self.vectors(cells)
    }

    fn state(&mut self, emit_to: EmitTo) -> Result<Vec<ArrayRef>> {
        self.check_exchange()?;
        let cells = self.take(emit_to);
        Ok(vec![self.vectors(cells)?])
    }

    fn merge_batch(
        &mut self,
        values: &[ArrayRef],
        group_indices: &[usize],
        total_num_groups: usize,
    ) -> Result<()> {
        self.check_exchange()?;
        self.update_batch(values, group_indices, None, total_num_groups)
    }

    fn convert_to_state(
        &self,
        values: &[ArrayRef],
        opt_filter: Option<&BooleanArray>,
    ) -> Result<Vec<ArrayRef>> {
        let rows = values.first().map_or(0, |array| array.len());
        let mut each = Self::new(self.op, self.steps, self.notes.clone());
        let indices: Vec<usize> = (0..rows).collect();
        each.update_batch(values, &indices, opt_filter, rows)?;
        each.state(EmitTo::All)
    }

    fn size(&self) -> usize {
        size_of::<Self>()
            + self.cells.capacity() * (size_of::<Cell>() + size_of::<Accumulator>())
            + self.histogram_bytes
    }
}
