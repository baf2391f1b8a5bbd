//! Functions over vectors of steps, as DataFusion scalar UDFs.
//!
//! [`VectorFunction`] is one UDF for every element-wise step of a plan; what it does is its [`VectorOp`], a value with
//! derived equality that holds every parameter. Operands are vectors (columns), or scalars of PromQL: a `Float64` literal
//! that holds at every step, or a vector literal. [`label`] has the functions over label columns.

mod binary;
mod date;
pub mod label;
pub mod mark;
mod math;
mod mixed;
pub mod note;
mod operand;
mod subquery;

use arrow::datatypes::DataType;
use datafusion::error::Result;
use datafusion::logical_expr::{
    ColumnarValue, Expr, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature, Volatility,
};
use varve_promql::BinaryOp;

pub use binary::{Keep, apply as apply_binary};
pub use date::DatePart;
pub use math::{MathFunction, max, min};
pub use mixed::Statistic;
pub(crate) use mixed::sample;
pub use subquery::SubqueryWindow;

use crate::annotations::NotesAt;
use crate::grid::StepGrid;
use crate::vector::{VectorsBuilder, is_mixed, vector_type_of};
use operand::Operand;

/// What a [`VectorFunction`] does to its arguments, step by step.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum VectorOp {
    /// A function of one number: `abs(v)`.
    Math(MathFunction),
    /// A part of the date that a number of seconds stands for: `hour(v)`.
    Date(DatePart),
    /// An operator between two operands.
    Binary {
        /// The operator; no set operator.
        op: BinaryOp,
        /// Whether a comparison gives 0 or 1.
        return_bool: bool,
        /// Whose value a comparison that filters lets through.
        keep: Keep,
        /// Where to report what is odd about native histograms.
        notes: NotesAt,
    },
    /// `-v`
    Negate,
    /// `clamp(v, min, max)`
    Clamp,
    /// `clamp_min(v, min)`
    ClampMin,
    /// `clamp_max(v, max)`
    ClampMax,
    /// `round(v, to)`
    Round,
    /// The step's time in seconds wherever there is a sample: `timestamp(v)` of a computed vector.
    StepTime(StepGrid),
    /// The first argument where the second has a sample: `and`.
    Where,
    /// The first argument where the second has no sample: `unless`.
    WhereNot,
    /// 1 where the argument has no sample: `absent(v)`.
    Absent,
    /// NaN where the argument has no sample: `scalar(v)`.
    OrNan,
    /// The only step of the argument at every step: a subtree that does not depend on the step.
    Repeat,
    /// A range function over the windows of a subquery. With native histograms, the second argument is the metric name.
    Subquery(SubqueryWindow),
    /// A number that each native histogram has: `histogram_count(v)`.
    Statistic(Statistic),
    /// The floats alone: `sort(v)`.
    Floats,
    /// The same as mixed vectors, for a union with such.
    Mixed,
}

impl VectorOp {
    fn name(&self) -> &'static str {
        match self {
            Self::Math(function) => function.name(),
            Self::Date(part) => part.name(),
            Self::Binary { op, .. } => op.as_str(),
            Self::Negate => "negate",
            Self::Clamp => "clamp",
            Self::ClampMin => "clamp_min",
            Self::ClampMax => "clamp_max",
            Self::Round => "round",
            Self::StepTime(_) => "step_time",
            Self::Where => "where_present",
            Self::WhereNot => "where_absent",
            Self::Absent => "absent",
            Self::OrNan => "or_nan",
            Self::Repeat => "repeat",
            Self::Subquery(_) => "subquery_window",
            Self::Statistic(statistic) => statistic.name(),
            Self::Floats => "floats",
            Self::Mixed => "mixed",
        }
    }

    /// Whether results may have native histograms, where arguments are mixed or not.
    fn is_mixed(&self, arguments: &[bool]) -> bool {
        let is_mixed = |index: usize| arguments.get(index).copied().unwrap_or(false);
        match self {
            Self::Mixed => true,
            Self::Negate | Self::Where | Self::WhereNot | Self::Repeat => is_mixed(0),
            Self::Binary { return_bool, .. } => !return_bool && (is_mixed(0) || is_mixed(1)),
            Self::Subquery(window) => window.function.gives_histograms() && is_mixed(0),
            _ => false,
        }
    }

    /// The parameters, for EXPLAIN.
    fn parameters(&self) -> Option<String> {
        match self {
            Self::Binary {
                return_bool: true, ..
            } => Some("bool".to_owned()),
            Self::StepTime(grid) => Some(grid.to_string()),
            Self::Subquery(window) => Some(window.to_string()),
            _ => None,
        }
    }
}

/// The UDF of a [`VectorOp`]; gives vectors of `steps` steps.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct VectorFunction {
    op: VectorOp,
    steps: usize,
    name: String,
    signature: Signature,
}

impl VectorFunction {
    /// A call of the function.
    pub fn call(op: VectorOp, steps: usize, args: Vec<Expr>) -> Expr {
        let name = match op.parameters() {
            None => op.name().to_owned(),
            Some(parameters) => format!("{}[{parameters}]", op.name()),
        };
        let function = Self {
            op,
            steps,
            name,
            signature: Signature::variadic_any(Volatility::Immutable),
        };
        ScalarUDF::new_from_impl(function).call(args)
    }
}

impl ScalarUDFImpl for VectorFunction {
    fn name(&self) -> &str {
        &self.name
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, arg_types: &[DataType]) -> Result<DataType> {
        let arguments: Vec<bool> = arg_types.iter().map(is_mixed).collect();
        Ok(vector_type_of(self.op.is_mixed(&arguments), self.steps))
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let rows = args.number_rows;
        if let VectorOp::Subquery(window) = &self.op {
            return Ok(ColumnarValue::Array(window.evaluate(&args.args, rows)?));
        }
        let operands = args
            .args
            .iter()
            .map(Operand::try_new)
            .collect::<Result<Vec<_>>>()?;
        let arguments: Vec<bool> = operands.iter().map(Operand::is_mixed).collect();
        let mixed = self.op.is_mixed(&arguments);
        let mut out = VectorsBuilder::of(mixed, self.steps, rows);
        let done = (mixed || arguments.contains(&true))
            && mixed::evaluate(&self.op, &operands, rows, self.steps, &mut out)?;
        if !done {
            evaluate(&self.op, &operands, rows, self.steps, &mut out)?;
        }
        Ok(ColumnarValue::Array(out.finish()?))
    }
}

fn operand(operands: &[Operand], index: usize) -> Result<&Operand> {
    operands.get(index).ok_or_else(|| {
        datafusion::error::DataFusionError::Internal(format!("argument {index} is missing"))
    })
}

/// One pass over rows and steps with the operation as a closure.
fn evaluate(
    op: &VectorOp,
    operands: &[Operand],
    rows: usize,
    steps: usize,
    out: &mut VectorsBuilder,
) -> Result<()> {
    let a = operand(operands, 0)?;
    let mut one = |f: &dyn Fn(f64) -> f64| {
        for row in 0..rows {
            out.extend((0..steps).map(|step| a.get(row, step).map(f)));
        }
    };
    match op {
        VectorOp::Math(function) => one(&function.kernel()),
        VectorOp::Date(part) => one(&|seconds| part.of(seconds)),
        VectorOp::Negate => one(&|value| -value),
        VectorOp::StepTime(grid) => {
            for row in 0..rows {
                out.extend((0..steps).map(|step| {
                    let time = grid.time_ms(step) as f64 / 1000.0;
                    a.get(row, step).map(|_| time)
                }));
            }
        }
        VectorOp::Absent => {
            for row in 0..rows {
                out.extend((0..steps).map(|step| a.get(row, step).is_none().then_some(1.0)));
            }
        }
        VectorOp::OrNan => {
            for row in 0..rows {
                out.extend((0..steps).map(|step| Some(a.get(row, step).unwrap_or(f64::NAN))));
            }
        }
        VectorOp::Repeat => {
            for row in 0..rows {
                let value = a.get(row, 0);
                out.extend((0..steps).map(|_| value));
            }
        }
        VectorOp::Binary {
            op,
            return_bool,
            keep,
            ..
        } => {
            let kernel = binary::kernel(*op, *return_bool, *keep);
            two(a, operand(operands, 1)?, rows, steps, out, |a, b| {
                kernel(a?, b?)
            });
        }
        VectorOp::Where => two(a, operand(operands, 1)?, rows, steps, out, |a, b| b.and(a)),
        VectorOp::WhereNot => two(a, operand(operands, 1)?, rows, steps, out, |a, b| match b {
            Some(_) => None,
            None => a,
        }),
        VectorOp::ClampMin => two(a, operand(operands, 1)?, rows, steps, out, |a, b| {
            Some(math::max(b?, a?))
        }),
        VectorOp::ClampMax => two(a, operand(operands, 1)?, rows, steps, out, |a, b| {
            Some(math::min(b?, a?))
        }),
        VectorOp::Round => two(a, operand(operands, 1)?, rows, steps, out, |a, b| {
            let inverse = 1.0 / b?;
            Some((a? * inverse + 0.5).floor() / inverse)
        }),
        VectorOp::Clamp => {
            let (low, high) = (operand(operands, 1)?, operand(operands, 2)?);
            for row in 0..rows {
                out.extend((0..steps).map(|step| {
                    let (low, high) = (low.get(row, step)?, high.get(row, step)?);
                    let value = a.get(row, step)?;
                    (high >= low || high.is_nan() || low.is_nan())
                        .then(|| math::max(low, math::min(high, value)))
                }));
            }
        }
        VectorOp::Floats => one(&|value| value),
        // No native histograms, nothing of theirs.
        VectorOp::Statistic(_) => out.extend((0..rows * steps).map(|_| None)),
        VectorOp::Subquery(_) | VectorOp::Mixed => {}
    }
    Ok(())
}

fn two(
    a: &Operand,
    b: &Operand,
    rows: usize,
    steps: usize,
    out: &mut VectorsBuilder,
    f: impl Fn(Option<f64>, Option<f64>) -> Option<f64>,
) {
    for row in 0..rows {
        out.extend((0..steps).map(|step| f(a.get(row, step), b.get(row, step))));
    }
}
