//! From YAML nodes to fields: every field is asked for by name, and what nobody asked for is an error.

use std::collections::BTreeMap;
use std::time::Duration;

use super::error::ConfigError;
use super::yaml::{Key, Node, Value};
use crate::duration::{ByteSize, parse_duration};

/// The entries of one mapping, taken out one by one.
pub(crate) struct Fields<'a> {
    type_name: &'static str,
    entries: Vec<(&'a Key, &'a Node)>,
}

/// An error at a node.
pub(crate) fn error_at<T>(node: &Node, message: impl Into<String>) -> Result<T, ConfigError> {
    Err(ConfigError::new(Some(node.at), message))
}

fn cannot_unmarshal<T>(node: &Node, into: &str) -> Result<T, ConfigError> {
    error_at(
        node,
        format!("cannot unmarshal {} into {into}", node.describe()),
    )
}

impl<'a> Fields<'a> {
    /// The fields of a mapping. `type_name` is the type that Prometheus's messages name.
    pub(crate) fn of(node: &'a Node, type_name: &'static str) -> Result<Self, ConfigError> {
        let Value::Mapping(entries) = &node.value else {
            return cannot_unmarshal(node, type_name);
        };
        let mut seen: Vec<(&Key, &Node)> = Vec::with_capacity(entries.len());
        for (key, value) in entries {
            if seen.iter().any(|(k, _)| k.name == key.name) {
                return Err(ConfigError::new(
                    Some(key.at),
                    format!("field {} already set in type {type_name}", key.name),
                ));
            }
            seen.push((key, value));
        }
        Ok(Self {
            type_name,
            entries: seen,
        })
    }

    /// Takes a field out; a field without a value counts as absent.
    pub(crate) fn take(&mut self, name: &str) -> Option<&'a Node> {
        self.take_even_null(name).filter(|node| !node.is_null())
    }

    /// Takes a field out, also one that is there without a value.
    pub(crate) fn take_even_null(&mut self, name: &str) -> Option<&'a Node> {
        let index = self.entries.iter().position(|(k, _)| k.name == name)?;
        Some(self.entries.remove(index).1)
    }

    /// Takes a field out; one with an empty text counts as absent.
    pub(crate) fn take_text(&mut self, name: &str) -> Option<&'a Node> {
        self.take(name)
            .filter(|node| !matches!(&node.value, Value::Scalar { text, .. } if text.is_empty()))
    }

    /// Takes a field whose value null is something else than its default: what `read` makes of it.
    pub(crate) fn read_even_null<T>(
        &mut self,
        name: &str,
        read: impl FnOnce(&'a Node) -> Result<T, ConfigError>,
    ) -> Result<Option<T>, ConfigError> {
        self.take_even_null(name).map(read).transpose()
    }

    /// Takes a field and reads it.
    pub(crate) fn read<T>(
        &mut self,
        name: &str,
        read: impl FnOnce(&'a Node) -> Result<T, ConfigError>,
    ) -> Result<Option<T>, ConfigError> {
        self.take(name).map(read).transpose()
    }

    /// Refuses what is left: fields that Prometheus has and Varve has not, unless they say nothing, and fields that
    /// nobody knows.
    pub(crate) fn finish(self, unsupported: &[&str]) -> Result<(), ConfigError> {
        for (key, node) in &self.entries {
            if !unsupported.contains(&key.name.as_str()) {
                return Err(ConfigError::new(
                    Some(key.at),
                    format!("field {} not found in type {}", key.name, self.type_name),
                ));
            }
            refuse_unsupported(key, node, "")?;
        }
        Ok(())
    }

    /// Refuses a field that Prometheus has and Varve has not, unless it says nothing. `hint` ends the message.
    pub(crate) fn refuse(&mut self, name: &str, hint: &str) -> Result<(), ConfigError> {
        let Some(index) = self.entries.iter().position(|(k, _)| k.name == name) else {
            return Ok(());
        };
        let (key, node) = self.entries.remove(index);
        refuse_unsupported(key, node, hint)
    }
}

fn refuse_unsupported(key: &Key, node: &Node, hint: &str) -> Result<(), ConfigError> {
    // A list with an empty item asks for something, if only for an error.
    let empty = match &node.value {
        Value::Sequence(items) => items.is_empty(),
        _ => node.is_vacuous(),
    };
    if empty {
        return Ok(());
    }
    Err(ConfigError::new(
        Some(key.at),
        format!("not supported yet: {}{hint}", key.name),
    ))
}

/// A string: the text of any scalar; null is the empty one.
pub(crate) fn string(node: &Node) -> Result<String, ConfigError> {
    match &node.value {
        Value::Scalar { .. } if node.is_null() => Ok(String::new()),
        Value::Scalar { text, .. } => Ok(text.clone()),
        _ => cannot_unmarshal(node, "string"),
    }
}

/// A boolean, by the words of YAML 1.1; null is false.
pub(crate) fn boolean(node: &Node) -> Result<bool, ConfigError> {
    if node.is_null() {
        return Ok(false);
    }
    if let Value::Scalar { text, plain: true } = &node.value {
        match text.as_str() {
            "true" | "True" | "TRUE" | "y" | "Y" | "yes" | "Yes" | "YES" | "on" | "On" | "ON" => {
                return Ok(true);
            }
            "false" | "False" | "FALSE" | "n" | "N" | "no" | "No" | "NO" | "off" | "Off"
            | "OFF" => {
                return Ok(false);
            }
            _ => {}
        }
    }
    cannot_unmarshal(node, "bool")
}

/// A whole number that is not negative, in the notations of YAML 1.1. Of a fraction the whole part counts.
pub(crate) fn unsigned(node: &Node) -> Result<u64, ConfigError> {
    let number = match &node.value {
        Value::Scalar { text, plain: true } => number(text),
        _ => None,
    };
    match number {
        Some(Number::Whole(whole)) if whole >= 0 => Ok(u64::try_from(whole).unwrap_or(u64::MAX)),
        Some(Number::Fraction(fraction)) if fraction >= 0.0 => Ok(fraction as u64),
        _ => cannot_unmarshal(node, "uint"),
    }
}

/// A number.
pub(crate) fn float(node: &Node) -> Result<f64, ConfigError> {
    let number = match &node.value {
        Value::Scalar { text, plain: true } => number(text),
        _ => None,
    };
    match number {
        Some(Number::Whole(whole)) => Ok(whole as f64),
        Some(Number::Fraction(fraction)) => Ok(fraction),
        None => cannot_unmarshal(node, "float64"),
    }
}

/// A whole number.
pub(crate) fn integer(node: &Node) -> Result<i64, ConfigError> {
    let number = match &node.value {
        Value::Scalar { text, plain: true } => number(text),
        _ => None,
    };
    let whole = match number {
        Some(Number::Whole(whole)) => i64::try_from(whole).ok(),
        Some(Number::Fraction(fraction)) => Some(fraction as i64),
        None => None,
    };
    whole.map_or_else(|| cannot_unmarshal(node, "int"), Ok)
}

enum Number {
    Whole(i128),
    Fraction(f64),
}

/// Reads a number: decimal, `0x`, `0o` or `0` for octal, `0b`, or a float; underscores do not count.
fn number(text: &str) -> Option<Number> {
    let text = text.replace('_', "");
    let (negative, digits) = match text.strip_prefix('-') {
        Some(digits) => (true, digits),
        None => (false, text.strip_prefix('+').unwrap_or(&text)),
    };
    let prefixes = [
        ("0x", 16),
        ("0X", 16),
        ("0o", 8),
        ("0O", 8),
        ("0b", 2),
        ("0B", 2),
        ("0", 8),
    ];
    let (digits, radix) = prefixes
        .into_iter()
        .find_map(|(prefix, radix)| Some((digits.strip_prefix(prefix)?, radix)))
        .filter(|(digits, _)| !digits.is_empty())
        .unwrap_or((digits, 10));
    let plain = digits.chars().all(|c| c.is_digit(radix));
    if plain
        && let Ok(whole) = i128::from_str_radix(digits, radix)
        && whole <= i128::from(u64::MAX)
    {
        return Some(Number::Whole(if negative { -whole } else { whole }));
    }
    let is_float = text
        .bytes()
        .all(|b| b.is_ascii_digit() || matches!(b, b'.' | b'e' | b'E' | b'+' | b'-'));
    let value = text.parse::<f64>().ok().filter(|_| is_float)?;
    Some(Number::Fraction(value))
}

/// A duration.
pub(crate) fn duration(node: &Node) -> Result<Duration, ConfigError> {
    parse_duration(&string(node)?).or_else(|message| error_at(node, message))
}

/// A number of bytes.
pub(crate) fn byte_size(node: &Node) -> Result<ByteSize, ConfigError> {
    ByteSize::parse(&string(node)?).or_else(|message| error_at(node, message))
}

/// A list, each item read by `read`.
pub(crate) fn list<'a, T>(
    node: &'a Node,
    read: impl FnMut(&'a Node) -> Result<T, ConfigError>,
) -> Result<Vec<T>, ConfigError> {
    match &node.value {
        Value::Sequence(items) => items.iter().map(read).collect(),
        _ => cannot_unmarshal(node, "list"),
    }
}

/// A list of strings.
pub(crate) fn strings(node: &Node) -> Result<Vec<String>, ConfigError> {
    list(node, string)
}

/// A map with string keys.
pub(crate) fn map<T>(
    node: &Node,
    mut read: impl FnMut(&Key, &Node) -> Result<T, ConfigError>,
) -> Result<BTreeMap<String, T>, ConfigError> {
    let Value::Mapping(entries) = &node.value else {
        return cannot_unmarshal(node, "map");
    };
    let mut out = BTreeMap::new();
    for (key, value) in entries {
        let value = read(key, value)?;
        if out.insert(key.name.clone(), value).is_some() {
            return Err(ConfigError::new(
                Some(key.at),
                format!("key {:?} already set in map", key.name),
            ));
        }
    }
    Ok(out)
}

/// A label set. Names are checked; null values are empty ones.
pub(crate) fn labels(node: &Node) -> Result<BTreeMap<String, String>, ConfigError> {
    map(node, |key, value| {
        if key.name.is_empty() {
            return Err(ConfigError::new(
                Some(key.at),
                format!("{:?} is not a valid label name", key.name),
            ));
        }
        string(value)
    })
}
