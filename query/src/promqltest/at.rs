//! Instant queries as queries with `@`: pinned to their time, they give the same whenever they are evaluated.

use varve_promql::{At, Expr, ParseOptions, parse_with};

/// Functions that look at the time of evaluation, or of their argument's step.
const OF_TIME: [&str; 14] = [
    "days_in_month",
    "day_of_month",
    "day_of_week",
    "day_of_year",
    "end",
    "hour",
    "minute",
    "month",
    "year",
    "predict_linear",
    "range",
    "start",
    "step",
    "time",
];

/// The query pinned to a time in milliseconds, and the times at which it is evaluated again; `None` where it depends on these.
pub(super) fn pinned(
    query: &str,
    time_ms: i64,
    options: &ParseOptions,
) -> Option<(String, Vec<i64>)> {
    let mut expr = parse_with(query, options).ok()?;
    if depends_on_time(&expr) {
        return None;
    }
    pin(&mut expr, time_ms);
    let times = match time_ms {
        0 => vec![-1_000, 0, 1_000],
        _ => vec![-10 * time_ms, 0, time_ms / 5, time_ms, 10 * time_ms],
    };
    Some((expr.to_string(), times))
}

fn depends_on_time(expr: &Expr) -> bool {
    let looks = |name: &str| name == "timestamp" || OF_TIME.contains(&name);
    matches!(expr, Expr::Call(call) if looks(call.function.name))
        || expr.children().into_iter().any(depends_on_time)
}

/// Gives selectors and subqueries that have no `@` this time. What is inside of a subquery follows its steps.
fn pin(expr: &mut Expr, time_ms: i64) {
    let at = At::Timestamp(time_ms);
    match expr {
        Expr::VectorSelector(selector) => {
            selector.at.get_or_insert(at);
        }
        Expr::MatrixSelector(matrix) => {
            matrix.selector.at.get_or_insert(at);
        }
        Expr::Subquery(subquery) => {
            subquery.at.get_or_insert(at);
        }
        other => {
            for child in other.children_mut() {
                pin(child, time_ms);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    #[test]
    fn selectors_and_outermost_subqueries_are_pinned() {
        let options = ParseOptions::experimental();
        let text = |query| Some(pinned(query, 5_000, &options)?.0);
        for (query, want) in [
            (
                "rate(a[5m]) + b @ 7",
                Some("rate(a[5m] @ 5.000) + b @ 7.000"),
            ),
            (
                "sum(max_over_time(a[5m:1m]))",
                Some("sum(max_over_time(a[5m:1m] @ 5.000))"),
            ),
            ("timestamp(a)", None),
            ("hour()", None),
            ("1 +", None),
        ] {
            assert_eq!(text(query).as_deref(), want, "{query}");
        }
        assert_eq!(pinned("a", 0, &options).unwrap().1, [-1_000, 0, 1_000]);
    }
}
