//! The syntax tree of an expression as `/api/v1/parse_query` gives it.
//!
//! Members are in alphabetical order, as Go writes maps. A duration that is an expression (experimental) appears as a tree of
//! its own beside a 0, because its value is known only when the query runs.

use serde_json::{Value, json};
use varve_promql::{
    Arity, At, Duration, DurationExpr, Expr, Function, Matcher, VectorMatching, VectorSelector,
};

/// The tree as JSON. Its depth is that of the expression, which the parser limits.
pub fn syntax_tree(expr: &Expr) -> Value {
    match expr {
        Expr::NumberLiteral(node) => json!({
            "type": "numberLiteral",
            "val": decimal(node.value),
        }),
        Expr::StringLiteral(node) => json!({
            "type": "stringLiteral",
            "val": node.value,
        }),
        Expr::VectorSelector(node) => selector(node),
        Expr::MatrixSelector(node) => {
            let mut tree = selector(&node.selector);
            let (range, range_expr) = duration(Some(&node.range));
            if let Value::Object(members) = &mut tree {
                members.insert("range".to_owned(), range);
                members.insert("rangeExpr".to_owned(), range_expr);
                members.insert("type".to_owned(), json!("matrixSelector"));
            }
            tree
        }
        Expr::Subquery(node) => {
            let (offset, offset_expr) = duration(node.offset.as_ref());
            let (range, range_expr) = duration(Some(&node.range));
            let (step, step_expr) = duration(node.step.as_ref());
            let (start_or_end, timestamp) = at(node.at);
            json!({
                "expr": syntax_tree(&node.expr),
                "offset": offset,
                "offsetExpr": offset_expr,
                "range": range,
                "rangeExpr": range_expr,
                "startOrEnd": start_or_end,
                "step": step,
                "stepExpr": step_expr,
                "timestamp": timestamp,
                "type": "subquery",
            })
        }
        Expr::Call(node) => json!({
            "args": node.args.iter().map(syntax_tree).collect::<Vec<_>>(),
            "func": function(node.function),
            "type": "call",
        }),
        Expr::Aggregate(node) => json!({
            "expr": syntax_tree(&node.expr),
            "grouping": node.grouping,
            "op": node.op.as_str(),
            "param": node.param.as_deref().map(syntax_tree),
            "type": "aggregation",
            "without": node.without,
        }),
        Expr::Binary(node) => json!({
            "bool": node.return_bool,
            "lhs": syntax_tree(&node.lhs),
            "matching": node.matching.as_ref().map(matching),
            "op": node.op.as_str(),
            "rhs": syntax_tree(&node.rhs),
            "type": "binaryExpr",
        }),
        Expr::Unary(node) => json!({
            "expr": syntax_tree(&node.expr),
            "op": node.op.as_str(),
            "type": "unaryExpr",
        }),
        Expr::Paren(node) => json!({
            "expr": syntax_tree(&node.expr),
            "type": "parenExpr",
        }),
    }
}

fn selector(node: &VectorSelector) -> Value {
    let (offset, offset_expr) = duration(node.offset.as_ref());
    let (start_or_end, timestamp) = at(node.at);
    json!({
        "anchored": node.anchored,
        "matchers": node.matchers.iter().map(matcher).collect::<Vec<_>>(),
        "name": node.name.as_deref().unwrap_or_default(),
        "offset": offset,
        "offsetExpr": offset_expr,
        "smoothed": node.smoothed,
        "startOrEnd": start_or_end,
        "timestamp": timestamp,
        "type": "vectorSelector",
    })
}

fn matcher(matcher: &Matcher) -> Value {
    json!({
        "name": matcher.name,
        "type": matcher.op.as_str(),
        "value": matcher.value,
    })
}

fn matching(matching: &VectorMatching) -> Value {
    json!({
        "card": matching.cardinality.as_str(),
        "fillValues": { "lhs": matching.fill.lhs, "rhs": matching.fill.rhs },
        "include": matching.include,
        "labels": matching.labels,
        "on": matching.on,
    })
}

fn function(function: &Function) -> Value {
    let types = function.args.iter().map(|arg| arg.as_str());
    // The number of optional arguments; -1 is any number.
    let variadic = match function.arity {
        Arity::Exact => 0,
        Arity::UpTo(repeats) => i64::from(repeats),
        Arity::Any => -1,
    };
    json!({
        "argTypes": types.collect::<Vec<_>>(),
        "name": function.name,
        "returnType": function.returns.as_str(),
        "variadic": variadic,
    })
}

/// `startOrEnd` and `timestamp`, in milliseconds.
fn at(at: Option<At>) -> (Value, Value) {
    match at {
        None => (Value::Null, Value::Null),
        Some(At::Timestamp(time_ms)) => (Value::Null, json!(time_ms)),
        Some(At::Start) => (json!("start"), Value::Null),
        Some(At::End) => (json!("end"), Value::Null),
    }
}

/// Milliseconds, 0 where there is no duration; and its expression, `null` where it is fixed.
fn duration(duration: Option<&Duration>) -> (Value, Value) {
    match duration {
        None => (json!(0), Value::Null),
        Some(Duration::Fixed { ms, .. }) => (json!(ms), Value::Null),
        Some(Duration::Expr(expr)) => (json!(0), duration_tree(expr, false)),
    }
}

fn duration_tree(expr: &DurationExpr, wrapped: bool) -> Value {
    let node = |op: &str, lhs: Value, rhs: Value| {
        json!({
            "lhs": lhs,
            "op": op,
            "rhs": rhs,
            "type": "durationExpr",
            "wrapped": wrapped,
        })
    };
    match expr {
        DurationExpr::Literal { seconds, unit, .. } => json!({
            "duration": unit,
            "type": "numberLiteral",
            "val": decimal(*seconds),
        }),
        DurationExpr::Step(_) => node("step", Value::Null, Value::Null),
        DurationExpr::Range(_) => node("range", Value::Null, Value::Null),
        DurationExpr::Negate { expr, .. } => node("-", Value::Null, duration_tree(expr, false)),
        DurationExpr::Paren { expr, .. } => duration_tree(expr, true),
        DurationExpr::Binary { op, lhs, rhs, .. } => node(
            op.as_str(),
            duration_tree(lhs, false),
            duration_tree(rhs, false),
        ),
    }
}

/// Without an exponent, however large or small.
fn decimal(value: f64) -> String {
    if value.is_nan() {
        "NaN".to_owned()
    } else if value.is_infinite() {
        if value > 0.0 { "+Inf" } else { "-Inf" }.to_owned()
    } else {
        value.to_string()
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::json::push_json;

    fn tree(query: &str) -> String {
        let mut out = Vec::new();
        push_json(&mut out, &syntax_tree(&varve_promql::parse(query).unwrap())).unwrap();
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn a_tree_has_prometheuss_members() {
        assert_eq!(
            tree("sum by (a) (rate(g{b!=\"<\"}[5m] offset 1m))"),
            concat!(
                r#"{"expr":{"args":[{"anchored":false,"matchers":[{"name":"b","type":"!=","value":"\u003c"},"#,
                r#"{"name":"__name__","type":"=","value":"g"}],"name":"g","offset":60000,"offsetExpr":null,"#,
                r#""range":300000,"rangeExpr":null,"smoothed":false,"startOrEnd":null,"timestamp":null,"#,
                r#""type":"matrixSelector"}],"func":{"argTypes":["matrix"],"name":"rate","returnType":"vector","#,
                r#""variadic":0},"type":"call"},"grouping":["a"],"op":"sum","param":null,"type":"aggregation","#,
                r#""without":false}"#
            )
        );
        assert_eq!(
            tree("-(g * on (a) group_left (b) h)"),
            concat!(
                r#"{"expr":{"expr":{"bool":false,"lhs":{"anchored":false,"matchers":[{"name":"__name__","type":"=","value":"g"}],"#,
                r#""name":"g","offset":0,"offsetExpr":null,"smoothed":false,"startOrEnd":null,"timestamp":null,"#,
                r#""type":"vectorSelector"},"matching":{"card":"many-to-one","fillValues":{"lhs":null,"rhs":null},"#,
                r#""include":["b"],"labels":["a"],"on":true},"op":"*","rhs":{"anchored":false,"matchers":"#,
                r#"[{"name":"__name__","type":"=","value":"h"}],"name":"h","offset":0,"offsetExpr":null,"smoothed":false,"#,
                r#""startOrEnd":null,"timestamp":null,"type":"vectorSelector"},"type":"binaryExpr"},"type":"parenExpr"},"#,
                r#""op":"-","type":"unaryExpr"}"#
            )
        );
    }

    #[test]
    fn numbers_have_no_exponent() {
        for (query, value) in [
            ("1e21", "1000000000000000000000"),
            ("1e-7", "0.0000001"),
            ("-Inf", "-Inf"),
            ("1h", "3600"),
        ] {
            assert_eq!(
                tree(query),
                format!(r#"{{"type":"numberLiteral","val":"{value}"}}"#)
            );
        }
    }

    #[test]
    fn a_subquery_says_where_it_is_anchored() {
        let subquery = tree("g[5m:10s] @ end()");
        assert!(
            subquery.contains(
                r#""range":300000,"rangeExpr":null,"startOrEnd":"end","step":10000,"stepExpr":null,"timestamp":null"#
            ),
            "{subquery}"
        );
        assert!(tree("g @ 1.5").contains(r#""startOrEnd":null,"timestamp":1500"#));
    }

    #[test]
    fn experimental_durations_are_trees() {
        let options = varve_promql::ParseOptions {
            duration_expressions: true,
            ..Default::default()
        };
        let expr = varve_promql::parse_with("g[(step() + 5m)]", &options).unwrap();
        let tree = syntax_tree(&expr);
        assert_eq!(tree["range"], 0);
        assert_eq!(tree["rangeExpr"]["op"], "+");
        assert_eq!(tree["rangeExpr"]["wrapped"], true);
        assert_eq!(tree["rangeExpr"]["lhs"]["op"], "step");
        assert_eq!(tree["rangeExpr"]["rhs"]["val"], "300");
    }
}
