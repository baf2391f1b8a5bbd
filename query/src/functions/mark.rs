//! Whether the name of a series goes at the end of a query, found out from its samples.

use std::sync::Arc;

use arrow::array::{ArrayRef, BooleanArray};
use arrow::datatypes::DataType;
use datafusion::error::{DataFusionError, Result};
use datafusion::logical_expr::{
    ColumnarValue, Expr, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature, Volatility,
};

use crate::vector::Vectors;

/// Which sample of a row decides, where a row was put together from marked and unmarked ones.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Decisive {
    /// The first one: rows that became one series.
    First,
    /// The last one: groups of an aggregation.
    Last,
}

/// The UDF: from vectors, and vectors that have a sample at the steps at which a marked one went in, whether a row is marked.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct MarkFunction {
    decisive: Decisive,
    signature: Signature,
}

impl MarkFunction {
    /// A call of the function.
    pub fn call(decisive: Decisive, vectors: Expr, marked: Expr) -> Expr {
        let function = Self {
            decisive,
            signature: Signature::any(2, Volatility::Immutable),
        };
        ScalarUDF::new_from_impl(function).call(vec![vectors, marked])
    }

    fn is_marked(&self, row: usize, vectors: &Vectors, marked: &Vectors) -> bool {
        let present = |step: &usize| vectors.is_present(row, *step);
        let mut steps = 0..vectors.steps();
        let step = match self.decisive {
            Decisive::First => steps.find(present),
            Decisive::Last => steps.rfind(present),
        };
        step.is_some_and(|step| marked.is_present(row, step))
    }
}

impl ScalarUDFImpl for MarkFunction {
    fn name(&self) -> &str {
        match self.decisive {
            Decisive::First => "first_marked",
            Decisive::Last => "last_marked",
        }
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, _arg_types: &[DataType]) -> Result<DataType> {
        Ok(DataType::Boolean)
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let arrays: Vec<ArrayRef> = ColumnarValue::values_to_arrays(&args.args)?;
        let [vectors, marked] = &arrays[..] else {
            return Err(DataFusionError::Internal(
                "marks are found in two columns of vectors".to_owned(),
            ));
        };
        let rows = args.number_rows.min(vectors.len()).min(marked.len());
        let (vectors, marked) = (Vectors::try_new(vectors)?, Vectors::try_new(marked)?);
        let marks = (0..rows).map(|row| Some(self.is_marked(row, &vectors, &marked)));
        Ok(ColumnarValue::Array(Arc::new(
            marks.collect::<BooleanArray>(),
        )))
    }
}
