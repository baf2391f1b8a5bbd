//! The order of an instant vector: by labels, unless the outermost function asks for another one.

use std::cmp::Ordering;

use varve_promql::{Aggregate, AggregateOp, Expr};
use varve_storage::{Labels, METRIC_NAME};

use crate::result::VectorSample;

/// Sorts samples, which come ordered by labels.
pub(super) fn sort(expr: &Expr, samples: &mut [VectorSample]) {
    // Native histograms have no order; these functions have left them out.
    let number = |sample: &VectorSample| sample.value.float().unwrap_or(f64::NAN);
    match expr.without_parens() {
        Expr::Call(call) => match call.function.name {
            "sort" => samples.sort_by(|a, b| ascending(number(a), number(b))),
            "sort_desc" => samples.sort_by(|a, b| descending(number(a), number(b))),
            name @ ("sort_by_label" | "sort_by_label_desc") => {
                let names: Vec<&str> = call
                    .args
                    .iter()
                    .filter_map(|arg| match arg.without_parens() {
                        Expr::StringLiteral(literal) => Some(literal.value.as_str()),
                        _ => None,
                    })
                    .collect();
                samples.sort_by(|a, b| by_labels(&names, &a.labels, &b.labels));
                if name == "sort_by_label_desc" {
                    samples.reverse();
                }
            }
            _ => {}
        },
        Expr::Aggregate(node) if node.op == AggregateOp::Topk => {
            samples.sort_by(|a, b| {
                group(node, &a.labels)
                    .cmp(&group(node, &b.labels))
                    .then_with(|| descending(number(a), number(b)))
            });
        }
        Expr::Aggregate(node) if node.op == AggregateOp::Bottomk => {
            samples.sort_by(|a, b| {
                group(node, &a.labels)
                    .cmp(&group(node, &b.labels))
                    .then_with(|| ascending(number(a), number(b)))
            });
        }
        _ => {}
    }
}

fn group(node: &Aggregate, labels: &Labels) -> Labels {
    let listed = |label: &str| node.grouping.iter().any(|name| name == label);
    let keep = |label: &str| match node.without {
        true => !listed(label) && label != METRIC_NAME,
        false => listed(label),
    };
    Labels::from_pairs(labels.iter().filter(|(name, _)| keep(name)))
}

/// Greater first, NaN last.
fn descending(a: f64, b: f64) -> Ordering {
    match (a.is_nan(), b.is_nan()) {
        (false, false) => b.partial_cmp(&a).unwrap_or(Ordering::Equal),
        (a, b) => a.cmp(&b),
    }
}

/// Smaller first, NaN last.
fn ascending(a: f64, b: f64) -> Ordering {
    match (a.is_nan(), b.is_nan()) {
        (false, false) => descending(b, a),
        (a, b) => a.cmp(&b),
    }
}

fn by_labels(names: &[&str], a: &Labels, b: &Labels) -> Ordering {
    let value = |labels: &Labels, name: &str| labels.get(name).unwrap_or("").to_owned();
    names
        .iter()
        .map(|name| natural(&value(a, name), &value(b, name)))
        .find(|order| order.is_ne())
        .unwrap_or_else(|| a.cmp(b))
}

/// Compares texts so that numbers in them count as numbers: "a2" before "a10".
fn natural(a: &str, b: &str) -> Ordering {
    let (mut a, mut b) = (a, b);
    loop {
        let ((x, rest_a), (y, rest_b)) = (chunk(a), chunk(b));
        if x.is_empty() || y.is_empty() {
            return x.len().cmp(&y.len());
        }
        let order = match (number(x), number(y)) {
            (Some(x), Some(y)) => (x.len(), x).cmp(&(y.len(), y)),
            _ => x.cmp(y),
        };
        if order.is_ne() {
            return order;
        }
        (a, b) = (rest_a, rest_b);
    }
}

/// The first run of digits, or of anything else.
fn chunk(text: &str) -> (&str, &str) {
    let digits = text.starts_with(|c: char| c.is_ascii_digit());
    let end = text
        .find(|c: char| c.is_ascii_digit() != digits)
        .unwrap_or(text.len());
    text.split_at(end)
}

/// The digits of a number without leading zeros.
fn number(chunk: &str) -> Option<&str> {
    chunk
        .starts_with(|c: char| c.is_ascii_digit())
        .then(|| chunk.trim_start_matches('0'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_in_labels_count_as_numbers() {
        let mut texts = ["a10", "a2", "b1", "a", "a02b"];
        texts.sort_by(|a, b| natural(a, b));
        assert_eq!(texts, ["a", "a2", "a02b", "a10", "b1"]);
    }

    #[test]
    fn nan_sorts_last_both_ways() {
        let mut values = [f64::NAN, 1.0, 3.0, 2.0];
        values.sort_by(|a, b| ascending(*a, *b));
        assert_eq!(values[..3], [1.0, 2.0, 3.0]);
        values.sort_by(|a, b| descending(*a, *b));
        assert_eq!(values[..3], [3.0, 2.0, 1.0]);
    }
}
