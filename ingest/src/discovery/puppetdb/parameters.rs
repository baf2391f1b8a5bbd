//! Parameters of resources as labels.

use serde_json::{Map, Number, Value};

use crate::discovery::LabelMap;
use crate::discovery::labels::sanitized;

/// Adds the parameters as labels whose names begin with `prefix`. Empty ones are left out, and what lies deeper gets longer names.
pub(super) fn add(labels: &mut LabelMap, prefix: &str, parameters: &Map<String, Value>) {
    for (name, value) in parameters {
        let label = format!("{prefix}{}", sanitized(name));
        let value = match value {
            Value::Object(deeper) => {
                add(labels, &format!("{label}_"), deeper);
                continue;
            }
            Value::Array(items) => {
                let items: Vec<_> = items.iter().map(scalar).collect();
                items.join(",")
            }
            value => scalar(value),
        };
        if !value.is_empty() {
            labels.insert(label, value);
        }
    }
}

/// The text of a value that is neither a list nor an object.
fn scalar(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        Value::Bool(flag) => flag.to_string(),
        Value::Number(value) => number(value),
        Value::Null | Value::Array(_) | Value::Object(_) => String::new(),
    }
}

/// A number in Go's format `g` with as few digits as possible: with an exponent below -4 and from 6 on.
fn number(value: &Number) -> String {
    let value = value.as_f64().unwrap_or(0.0);
    let scientific = format!("{value:e}");
    let (digits, exponent) = scientific.split_once('e').unwrap_or((&scientific, "0"));
    let exponent: i32 = exponent.parse().unwrap_or(0);
    if (-4..6).contains(&exponent) {
        return value.to_string();
    }
    let sign = if exponent < 0 { '-' } else { '+' };
    format!("{digits}e{sign}{:02}", exponent.unsigned_abs())
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn values_of_all_types_become_labels() {
        let parameters = json!({
            "text": "a", "flag": true, "none": null, "empty": "", "e": [], "n": 8080, "big": 1_234_567, "small": 0.00001,
            "list": ["x", 1, 2.5, false, null, {"q": 1}], "deep": {"a.b": "c", "d": {"e": false}},
        });
        let mut labels = LabelMap::new();
        let empty = Map::new();
        add(&mut labels, "p_", parameters.as_object().unwrap_or(&empty));
        let shown: Vec<_> = labels.iter().map(|(k, v)| format!("{k}={v}")).collect();
        assert_eq!(
            shown,
            [
                "p_big=1.234567e+06",
                "p_deep_a_b=c",
                "p_deep_d_e=false",
                "p_flag=true",
                "p_list=x,1,2.5,false,,",
                "p_n=8080",
                "p_small=1e-05",
                "p_text=a",
            ]
        );
    }
}
