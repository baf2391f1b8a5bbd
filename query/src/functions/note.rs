//! Notes on samples that pass by: annotations that depend on whether there is a result at all.

use std::collections::BTreeSet;
use std::sync::Arc;

use arrow::array::{Array, AsArray};
use arrow::datatypes::DataType;
use datafusion::error::Result;
use datafusion::logical_expr::{
    ColumnarValue, Expr, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature, Volatility,
};
use varve_promql::Span;
use varve_promql::format::{format_float_g, quote};

use crate::annotations::Annotations;
use crate::kernels::StepArg;
use crate::vector::{Vectors, is_mixed, vector_type_of};

/// What is noted about vectors that have a sample.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Note {
    /// A function of counters read a metric that is not named like one. Second argument: the metric name.
    NotCounter,
    /// The parameter of a quantile is not between 0 and 1 at a step with a sample.
    Quantile(StepArg),
}

/// Whether a metric is named like a counter.
pub fn is_named_like_a_counter(name: &str) -> bool {
    let suffixes = ["_total", "_sum", "_count", "_bucket"];
    suffixes.iter().any(|suffix| name.ends_with(suffix))
}

/// Whether a quantile is none.
pub fn is_no_quantile(number: f64) -> bool {
    !(0.0..=1.0).contains(&number)
}

/// Prometheus's words for a quantile that is none.
pub fn quantile_text(number: f64) -> String {
    let number = format_float_g(number);
    format!("quantile value should be between 0 and 1, got {number}")
}

/// The UDF of a [`Note`]: gives its first argument, vectors of `steps` steps, as it is.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct NoteFunction {
    note: Note,
    annotations: Annotations,
    span: Span,
    steps: usize,
    signature: Signature,
}

impl NoteFunction {
    /// A call of the function; the note is about the expression at `span`.
    pub fn call(
        note: Note,
        annotations: Annotations,
        span: Span,
        steps: usize,
        args: Vec<Expr>,
    ) -> Expr {
        let function = Self {
            note,
            annotations,
            span,
            steps,
            signature: Signature::variadic_any(Volatility::Immutable),
        };
        ScalarUDF::new_from_impl(function).call(args)
    }

    fn quantiles(&self, vectors: &Vectors, rows: usize, parameter: &StepArg) {
        let mut noted = BTreeSet::new();
        for step in 0..self.steps {
            let number = parameter.at(step);
            let present = || (0..rows).any(|row| vectors.is_present(row, step));
            if is_no_quantile(number) && noted.insert(number.to_bits()) && present() {
                self.annotations.warn(&quantile_text(number), self.span);
            }
        }
    }

    fn names(&self, vectors: &Vectors, rows: usize, names: &dyn Array) -> Result<()> {
        let names = arrow::compute::cast(names, &DataType::Utf8)?;
        let Some(names) = names.as_string_opt::<i32>() else {
            return Ok(());
        };
        let mut noted = BTreeSet::new();
        for row in (0..rows).filter(|row| names.is_valid(*row)) {
            let name = names.value(row);
            let present = || vectors.has_samples(row);
            if !name.is_empty()
                && !is_named_like_a_counter(name)
                && !noted.contains(name)
                && present()
            {
                noted.insert(name);
                let text = format!(
                    "metric might not be a counter, name does not end in _total/_sum/_count/_bucket: {}",
                    quote(name)
                );
                self.annotations.info(&text, self.span);
            }
        }
        Ok(())
    }
}

impl ScalarUDFImpl for NoteFunction {
    fn name(&self) -> &str {
        "note"
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, arg_types: &[DataType]) -> Result<DataType> {
        let mixed = arg_types.first().is_some_and(is_mixed);
        Ok(vector_type_of(mixed, self.steps))
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let rows = args.number_rows;
        let arrays = ColumnarValue::values_to_arrays(&args.args)?;
        let missing =
            || datafusion::error::DataFusionError::Internal("an argument is missing".to_owned());
        let values = arrays.first().ok_or_else(missing)?;
        let vectors = Vectors::try_new(values)?;
        let rows = rows.min(values.len());
        match &self.note {
            Note::NotCounter => self.names(&vectors, rows, arrays.get(1).ok_or_else(missing)?)?,
            Note::Quantile(parameter) => self.quantiles(&vectors, rows, parameter),
        }
        Ok(ColumnarValue::Array(Arc::clone(values)))
    }
}
