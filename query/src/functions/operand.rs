//! The arguments of vector functions.

use datafusion::error::{DataFusionError, Result};
use datafusion::logical_expr::ColumnarValue;
use datafusion::scalar::ScalarValue;

use crate::vector::Vectors;

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

    /// The sample at a step.
    #[inline]
    pub(super) fn get(&self, row: usize, step: usize) -> Option<f64> {
        match self {
            Self::Constant(number) => Some(*number),
            Self::Steps(vector) => vector.get(0, step),
            Self::Rows(vectors) => vectors.get(row, step),
        }
    }
}
