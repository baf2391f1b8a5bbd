//! Which expressions give the same at every step.

use varve_promql::Expr;

/// Functions that look at the time of the step itself.
const OF_STEP_TIME: [&str; 11] = [
    "time",
    "timestamp",
    "predict_linear",
    "minute",
    "hour",
    "day_of_week",
    "day_of_month",
    "day_of_year",
    "days_in_month",
    "month",
    "year",
];

/// Whether an expression reads data, all of it at fixed times. Expressions without any selector are not counted: they are
/// cheap, and mostly literals already.
pub(super) fn is_step_invariant(expr: &Expr) -> bool {
    let mut reads = false;
    is_fixed(expr, &mut reads) && reads
}

fn is_fixed(expr: &Expr, reads: &mut bool) -> bool {
    match expr {
        Expr::VectorSelector(selector) => {
            *reads = true;
            selector.at.is_some()
        }
        Expr::MatrixSelector(matrix) => {
            *reads = true;
            matrix.selector.at.is_some()
        }
        // What is inside sees the subquery's own steps, which are the same for every outer step.
        Expr::Subquery(subquery) => {
            *reads = true;
            subquery.at.is_some()
        }
        // Prometheus does not look at the parameter: one that changes is then taken from the first step.
        Expr::Aggregate(aggregate) => is_fixed(&aggregate.expr, reads),
        Expr::Call(call) if OF_STEP_TIME.contains(&call.function.name) => false,
        other => other
            .children()
            .into_iter()
            .all(|child| is_fixed(child, reads)),
    }
}
