//! Relabelling: rules that rewrite, keep or drop a label set.
//!
//! Used twice: `relabel_configs` on a target before it is scraped, `metric_relabel_configs` on every new series.
//! Rules apply in order; the first that drops ends it. Actions, defaults, validation and messages are Prometheus's.

mod case;
mod regex;
mod steps;

use std::fmt;

use md5::{Digest, Md5};
use varve_storage::LabelsBuilder;

use self::case::{lowercase, uppercase};
pub use self::regex::AnchoredRegex;
pub use self::steps::{RelabelStep, relabel_steps};
use crate::names::NameValidation;

/// What a rule does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    /// Writes the expanded replacement into the target label if the expression matches.
    Replace,
    /// Drops the set unless the expression matches.
    Keep,
    /// Drops the set if the expression matches.
    Drop,
    /// Drops the set unless the source labels equal the target label.
    KeepEqual,
    /// Drops the set if the source labels equal the target label.
    DropEqual,
    /// Writes the hash of the source labels, modulo `modulus`, into the target label.
    HashMod,
    /// Copies every label whose name matches to the name that the replacement gives.
    LabelMap,
    /// Removes the labels whose names match.
    LabelDrop,
    /// Removes the labels whose names do not match.
    LabelKeep,
    /// Writes the source labels in lower case into the target label.
    Lowercase,
    /// Writes the source labels in upper case into the target label.
    Uppercase,
}

impl Action {
    const ALL: [(&'static str, Self); 11] = [
        ("replace", Self::Replace),
        ("keep", Self::Keep),
        ("drop", Self::Drop),
        ("keepequal", Self::KeepEqual),
        ("dropequal", Self::DropEqual),
        ("hashmod", Self::HashMod),
        ("labelmap", Self::LabelMap),
        ("labeldrop", Self::LabelDrop),
        ("labelkeep", Self::LabelKeep),
        ("lowercase", Self::Lowercase),
        ("uppercase", Self::Uppercase),
    ];

    /// The action of a name in any case.
    pub fn parse(name: &str) -> Result<Self, String> {
        let lower = name.to_lowercase();
        Self::ALL
            .iter()
            .find(|(known, _)| *known == lower)
            .map(|(_, action)| *action)
            .ok_or_else(|| format!("unknown relabel action {name:?}"))
    }

    /// The name in a configuration.
    pub fn as_str(self) -> &'static str {
        Self::ALL
            .iter()
            .find(|(_, action)| *action == self)
            .map_or("", |(name, _)| name)
    }
}

impl fmt::Display for Action {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// One relabelling rule.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RelabelRule {
    /// The labels whose values are joined; an absent one is empty.
    pub source_labels: Vec<String>,
    /// What stands between the joined values.
    pub separator: String,
    /// The expression that the joined value, or a label name, is matched against; `None` is the default `(.*)`.
    pub regex: Option<AnchoredRegex>,
    /// For [`Action::HashMod`].
    pub modulus: u64,
    /// The label that is written or compared; templates are allowed for [`Action::Replace`].
    pub target_label: String,
    /// The template of the value, or of the name for [`Action::LabelMap`].
    pub replacement: String,
    /// What to do.
    pub action: Action,
    /// Which names may be written.
    pub validation: NameValidation,
}

const DEFAULT_SEPARATOR: &str = ";";
const DEFAULT_REPLACEMENT: &str = "$1";

impl Default for RelabelRule {
    fn default() -> Self {
        Self {
            source_labels: Vec::new(),
            separator: DEFAULT_SEPARATOR.to_owned(),
            regex: None,
            modulus: 0,
            target_label: String::new(),
            replacement: DEFAULT_REPLACEMENT.to_owned(),
            action: Action::Replace,
            validation: NameValidation::Utf8,
        }
    }
}

impl RelabelRule {
    /// Checks the rule as a whole.
    pub fn validate(&self) -> Result<(), String> {
        use Action::{DropEqual, HashMod, KeepEqual, LabelDrop, LabelKeep, LabelMap, Lowercase};
        use Action::{Replace, Uppercase};
        let action = self.action;
        if action == HashMod && self.modulus == 0 {
            return Err("relabel configuration for hashmod requires non-zero modulus".to_owned());
        }
        let writes_or_compares = matches!(
            action,
            Replace | HashMod | Lowercase | Uppercase | KeepEqual | DropEqual
        );
        if writes_or_compares && self.target_label.is_empty() {
            return Err(format!(
                "relabel configuration for {action} action requires 'target_label' value"
            ));
        }
        let valid_target = if action == Replace && has_variable(&self.target_label) {
            self.is_valid_template(&self.target_label)
        } else {
            !writes_or_compares || self.validation.is_label_name(&self.target_label)
        };
        if !valid_target {
            return Err(format!(
                "{:?} is invalid 'target_label' for {action} action",
                self.target_label
            ));
        }
        let default_replacement = self.replacement == DEFAULT_REPLACEMENT;
        if matches!(action, Lowercase | Uppercase | KeepEqual | DropEqual) && !default_replacement {
            return Err(format!("'replacement' can not be set for {action} action"));
        }
        if action == LabelMap && !self.is_valid_template(&self.replacement) {
            return Err(format!(
                "{:?} is invalid 'replacement' for {action} action",
                self.replacement
            ));
        }
        let plain = self.modulus == 0 && self.separator == DEFAULT_SEPARATOR && default_replacement;
        if matches!(action, DropEqual | KeepEqual) && (self.regex.is_some() || !plain) {
            return Err(format!(
                "{action} action requires only 'source_labels' and `target_label`, and no other fields"
            ));
        }
        let no_labels = self.source_labels.is_empty() && self.target_label.is_empty();
        if matches!(action, LabelDrop | LabelKeep) && !(no_labels && plain) {
            return Err(format!(
                "{action} action requires only 'regex', and no other fields"
            ));
        }
        Ok(())
    }

    /// Whether a label name with variables in it can become a label name.
    fn is_valid_template(&self, template: &str) -> bool {
        match self.validation {
            NameValidation::Utf8 => self.validation.is_label_name(template),
            NameValidation::Legacy => is_legacy_template(template),
        }
    }

    fn matches(&self, text: &str) -> bool {
        // The default expression matches everything.
        self.regex.as_ref().is_none_or(|regex| regex.is_match(text))
    }

    fn expand(&self, text: &str, template: &str) -> Option<String> {
        match &self.regex {
            Some(regex) => regex.expand(text, template),
            None => Some(regex::expand_anything(text, template)),
        }
    }

    /// Applies the rule; `false` drops the set.
    fn apply(&self, labels: &mut LabelsBuilder) -> bool {
        let value = self.source_value(labels);
        match self.action {
            Action::Drop => !self.matches(&value),
            Action::Keep => self.matches(&value),
            Action::DropEqual => labels.get(&self.target_label).unwrap_or("") != value,
            Action::KeepEqual => labels.get(&self.target_label).unwrap_or("") == value,
            Action::Replace => {
                if let Some(target) = self.expand(&value, &self.target_label)
                    && self.validation.is_label_name(&target)
                    && let Some(replacement) = self.expand(&value, &self.replacement)
                {
                    labels.set(&target, &replacement);
                }
                true
            }
            Action::Lowercase => {
                labels.set(&self.target_label, &lowercase(&value));
                true
            }
            Action::Uppercase => {
                labels.set(&self.target_label, &uppercase(&value));
                true
            }
            Action::HashMod => {
                let hash = hash_of(&value) % self.modulus.max(1);
                labels.set(&self.target_label, &hash.to_string());
                true
            }
            Action::LabelMap => {
                let mapped: Vec<(String, String)> = labels
                    .iter()
                    .filter_map(|(name, value)| {
                        let name = self.expand(name, &self.replacement)?;
                        Some((name, value.to_owned()))
                    })
                    .collect();
                for (name, value) in mapped {
                    labels.set(&name, &value);
                }
                true
            }
            Action::LabelDrop => {
                labels.retain(|name, _| !self.matches(name));
                true
            }
            Action::LabelKeep => {
                labels.retain(|name, _| self.matches(name));
                true
            }
        }
    }

    fn source_value(&self, labels: &LabelsBuilder) -> String {
        let mut value = String::new();
        for (i, name) in self.source_labels.iter().enumerate() {
            if i > 0 {
                value.push_str(&self.separator);
            }
            value.push_str(labels.get(name).unwrap_or(""));
        }
        value
    }
}

/// Applies rules in order; `false` means that the set is dropped.
pub fn relabel(labels: &mut LabelsBuilder, rules: &[RelabelRule]) -> bool {
    rules.iter().all(|rule| rule.apply(labels))
}

/// The last eight bytes of the MD5 sum, big-endian: what Prometheus's `hashmod` has always used.
fn hash_of(value: &str) -> u64 {
    let digest = Md5::digest(value.as_bytes());
    let mut last = [0; 8];
    last.copy_from_slice(&digest[8..]);
    u64::from_be_bytes(last)
}

fn has_variable(template: &str) -> bool {
    template.contains('$')
}

/// Legacy label names with variables in them: letters, digits, `_` and `$name` or `${name}`, no digit first.
fn is_legacy_template(template: &str) -> bool {
    let is_word = |b: u8| b.is_ascii_alphanumeric() || b == b'_';
    let bytes = template.as_bytes();
    let mut at = 0;
    while let Some(&byte) = bytes.get(at) {
        if byte == b'$' {
            let braced = bytes.get(at + 1) == Some(&b'{');
            let start = at + 1 + usize::from(braced);
            let name = bytes[start..].iter().take_while(|b| is_word(**b)).count();
            at = start + name;
            if name == 0 || (braced && bytes.get(at) != Some(&b'}')) {
                return false;
            }
            at += usize::from(braced);
        } else if is_word(byte) && (at > 0 || !byte.is_ascii_digit()) {
            at += 1;
        } else {
            return false;
        }
    }
    !template.is_empty()
}

#[cfg(test)]
mod tests;
