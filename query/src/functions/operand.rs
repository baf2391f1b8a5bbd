//! The arguments of vector functions.

use datafusion::error::{DataFusionError, Result};
use datafusion::logical_expr::ColumnarValue;
use datafusion::scalar::ScalarValue;

use crate::vector::{Item, Vectors};

/// One argument.
#[derive(Debug)]
pub(super) enum Operand {
    /// The same number at every step of every row.
    Constant(f64),
    /// The same vector in every row.
    Steps(Vectors),
    /// A vector per row.
    Rows(Vectors),
}

impl Operand {
    /// Reads an argument: a column of vectors, or a literal number or vector.
    pub(super) fn try_new(value: &ColumnarValue) -> Result<Self> {
        match value {
            ColumnarValue::Array(array) => Ok(Self::Rows(Vectors::try_new(array)?)),
            ColumnarValue::Scalar(ScalarValue::Float64(Some(number))) => {
                Ok(Self::Constant(*number))
            }
            ColumnarValue::Scalar(ScalarValue::FixedSizeList(list)) => {
                Ok(Self::Steps(Vectors::try_new(list.as_ref())?))
            }
            ColumnarValue::Scalar(other) => Err(DataFusionError::Internal(format!(
                "{} is not an operand of a vector function",
                other.data_type()
            ))),
        }
    }

    /// Whether there may be native histograms.
    pub(super) fn is_mixed(&self) -> bool {
        match self {
            Self::Constant(_) => false,
            Self::Steps(vectors) | Self::Rows(vectors) => vectors.is_mixed(),
        }
    }

    /// The sample at a step, of whichever kind.
    pub(super) fn item(&self, row: usize, step: usize) -> Option<Item<'_>> {
        match self {
            Self::Constant(number) => Some(Item::Float(*number)),
            Self::Steps(vector) => vector.item(0, step),
            Self::Rows(vectors) => vectors.item(row, step),
        }
    }

    /// Whether there is a sample at a step, of whichever kind.
    pub(super) fn is_present(&self, row: usize, step: usize) -> bool {
        match self {
            Self::Constant(_) => true,
            Self::Steps(vector) => vector.is_present(0, step),
            Self::Rows(vectors) => vectors.is_present(row, step),
        }
    }

    /// The float at a step.
    #[inline]
    pub(super) fn get(&self, row: usize, step: usize) -> Option<f64> {
        match self {
            Self::Constant(number) => Some(*number),
            Self::Steps(vector) => vector.float(0, step),
            Self::Rows(vectors) => vectors.float(row, step),
        }
    }
}
