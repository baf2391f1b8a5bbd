//! What each rule does to a label set, for those who write rules.

use serde::ser::{Serialize, SerializeMap as _, Serializer};
use varve_storage::{Labels, LabelsBuilder};

use super::RelabelRule;

/// What one rule did.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RelabelStep {
    /// The rule.
    pub rule: RelabelRule,
    /// The labels after it; none once the set is dropped.
    pub output: Labels,
    /// Whether the set is still there.
    pub keep: bool,
}

/// Applies rules one after the other, and notes each step. A rule behind the one that dropped the set does nothing.
pub fn relabel_steps(labels: &Labels, rules: &[RelabelRule]) -> Vec<RelabelStep> {
    let mut builder = LabelsBuilder::from(labels);
    let mut keep = true;
    let steps = rules.iter().map(|rule| {
        keep = keep && rule.apply(&mut builder);
        RelabelStep {
            rule: rule.clone(),
            output: match keep {
                true => builder.clone().build(),
                false => Labels::empty(),
            },
            keep,
        }
    });
    steps.collect()
}

/// In the form of Prometheus's HTTP API.
impl Serialize for RelabelRule {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        if !self.source_labels.is_empty() {
            map.serialize_entry("source_labels", &self.source_labels)?;
        }
        map.serialize_entry("separator", &self.separator)?;
        let regex = self.regex.as_ref().map_or("(.*)", |regex| regex.as_str());
        map.serialize_entry("regex", regex)?;
        if self.modulus != 0 {
            map.serialize_entry("modulus", &self.modulus)?;
        }
        if !self.target_label.is_empty() {
            map.serialize_entry("target_label", &self.target_label)?;
        }
        map.serialize_entry("replacement", &self.replacement)?;
        map.serialize_entry("action", self.action.as_str())?;
        map.end()
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::Config;
    use std::path::Path;

    #[test]
    fn every_rule_has_a_step() {
        let text = "scrape_configs: [{job_name: j, relabel_configs: [\
            {source_labels: [a, b], target_label: c, regex: 'x;(.*)'}, {action: drop, source_labels: [c], regex: y}, \
            {target_label: d, replacement: e}]}]";
        let config = Config::parse(text, Path::new("")).unwrap();
        let rules = &config.scrape_configs[0].relabel_configs;
        let steps = |b: &str| {
            let labels = Labels::from_pairs([("a", "x"), ("b", b)]);
            let steps = relabel_steps(&labels, rules).into_iter();
            steps
                .map(|step| (step.output.to_string(), step.keep))
                .collect::<Vec<_>>()
        };
        let text = |text: &str, keep| (text.to_owned(), keep);
        assert_eq!(
            steps("y"),
            [
                text(r#"{a="x", b="y", c="y"}"#, true),
                text("{}", false),
                text("{}", false)
            ]
        );
        assert_eq!(steps("z")[2], text(r#"{a="x", b="z", c="z", d="e"}"#, true));
        assert_eq!(
            serde_json::to_string(&rules[0]).unwrap(),
            r#"{"source_labels":["a","b"],"separator":";","regex":"x;(.*)","target_label":"c","replacement":"$1","action":"replace"}"#
        );
    }
}
