//! Relabelling rules in a configuration.

use super::decode::{Fields, error_at, list, string, unsigned};
use super::error::ConfigError;
use super::yaml::Node;
use crate::names::NameValidation;
use crate::relabel::{Action, AnchoredRegex, RelabelRule};

/// Reads a list of rules. `what` names the list in the error about an empty rule: "target" or "metric".
pub(super) fn rules(
    node: &Node,
    what: &str,
    validation: NameValidation,
) -> Result<Vec<RelabelRule>, ConfigError> {
    let empty = format!("empty or null {what} relabeling rule in scrape config");
    rules_or(node, &empty, validation)
}

/// Reads a list of rules; `empty` is the error about an empty one.
pub(super) fn rules_or(
    node: &Node,
    empty: &str,
    validation: NameValidation,
) -> Result<Vec<RelabelRule>, ConfigError> {
    list(node, |item| match item.is_null() {
        true => error_at(item, empty),
        false => rule(item, validation),
    })
}

fn rule(node: &Node, validation: NameValidation) -> Result<RelabelRule, ConfigError> {
    let mut fields = Fields::of(node, "relabel.Config")?;
    let default = RelabelRule::default();
    let regex = match fields.take_even_null("regex") {
        None => None,
        Some(node) => {
            // `regex:` without a value is the expression that matches the empty text.
            let source = if node.is_null() {
                String::new()
            } else {
                string(node)?
            };
            let regex = AnchoredRegex::new(&source).or_else(|reason| error_at(node, reason))?;
            Some(regex)
        }
    };
    let action = match fields.take_even_null("action") {
        None => default.action,
        Some(node) if node.is_null() => return error_at(node, "relabel action cannot be empty"),
        Some(node) => Action::parse(&string(node)?).or_else(|reason| error_at(node, reason))?,
    };
    let source_labels = fields.read("source_labels", |node| {
        list(node, |item| {
            let name = string(item)?;
            if name.is_empty() && !item.is_null() {
                return error_at(item, "\"\" is not a valid label name");
            }
            Ok(name)
        })
    })?;
    let names_no_sources = source_labels.as_ref().is_some_and(Vec::is_empty);
    if names_no_sources && matches!(action, Action::LabelDrop | Action::LabelKeep) {
        return error_at(
            node,
            format!("{action} action requires only 'regex', and no other fields"),
        );
    }
    let rule = RelabelRule {
        source_labels: source_labels.unwrap_or_default(),
        separator: fields
            .read_even_null("separator", string)?
            .unwrap_or(default.separator),
        regex,
        modulus: fields.read("modulus", unsigned)?.unwrap_or(0),
        target_label: fields.read("target_label", string)?.unwrap_or_default(),
        replacement: fields
            .read_even_null("replacement", string)?
            .unwrap_or(default.replacement),
        action,
        validation,
    };
    fields.finish(&[])?;
    rule.validate().or_else(|reason| error_at(node, reason))?;
    Ok(rule)
}
