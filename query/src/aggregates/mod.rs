//! Aggregations over the series of a group, as DataFusion UDAFs and window functions over vectors of steps.
//!
//! - [`StepAggregate`] keeps a few numbers per group and step ([`CellOp`]): `sum`, `avg`, `min`, … and the checks that no two
//!   series of a group have a sample at one step.
//! - [`RowsAggregate`] keeps the vectors of a group ([`RowsOp`]): `quantile`, `count_values`, `histogram_quantile`.
//! - [`MaskWindow`] looks at the vectors of a group and gives each one back, masked ([`MaskOp`]): `topk`, `or`, checks.
//!
//! The state of all groups is flat (group x step), so that a batch costs no allocation; `size` counts all of it.

mod best;
mod cells;
mod group;
mod histogram;
mod native;
mod rows;
mod samples;
mod single;
mod window;

use arrow::array::{Array, AsArray};
use arrow::datatypes::Float64Type;
use datafusion::error::Result;

use crate::vector::Vectors;

pub use cells::{CellOp, Disjoint, StepAggregate};
pub use histogram::BUCKET_SEPARATOR;
pub use rows::{Notes, RowsAggregate, RowsOp};
pub use window::{MaskOp, MaskWindow};

/// The scalar parameter of an aggregation in a row, step by step: a number that holds at every step, or a vector.
fn parameter(column: &dyn Array, row: usize, steps: usize) -> Result<Vec<Option<f64>>> {
    match column.as_primitive_opt::<Float64Type>() {
        Some(numbers) => Ok(vec![Some(numbers.value(row)); steps]),
        None => Ok(Vectors::try_new(column)?.floats(row).collect()),
    }
}
