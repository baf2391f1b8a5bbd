#![allow(clippy::unwrap_used)]

use std::path::Path;

use varve_storage::Labels;

use super::*;
use crate::config::Config;

/// Rules written as in a configuration.
fn rules(yaml: &str) -> Vec<RelabelRule> {
    let text = format!("scrape_configs: [{{job_name: j, relabel_configs: [{yaml}]}}]");
    let config = Config::parse(&text, Path::new("")).unwrap();
    config.scrape_configs[0].relabel_configs.clone()
}

/// Labels written as `name=value`, separated by blanks.
fn builder(text: &str) -> LabelsBuilder {
    let pairs = text.split(' ').filter_map(|pair| pair.split_once('='));
    LabelsBuilder::from(&Labels::from_pairs(pairs))
}

fn show(labels: &LabelsBuilder) -> String {
    let pairs: Vec<_> = labels.iter().map(|(n, v)| format!("{n}={v}")).collect();
    pairs.join(" ")
}

#[test]
fn every_action_does_what_prometheus_does() {
    for (input, yaml, expected) in [
        // Replace: capture groups, several rules in a row, no match, deletion by an empty result.
        (
            "a=foo b=bar",
            "{source_labels: [a], regex: f(.*), target_label: d, replacement: 'ch${1}-ch${1}'}",
            "a=foo b=bar d=choo-choo",
        ),
        (
            "a=foo b=bar c=baz",
            "{source_labels: [a, b], regex: f(.*);(.*)r, target_label: a, replacement: 'b${1}${2}m'}, \
             {source_labels: [c, a], regex: (b).*b(.*)ba(.*), target_label: d, replacement: $1$2$2$3}",
            "a=boobam b=bar c=baz d=boooom",
        ),
        (
            "a=boo",
            "{source_labels: [a], regex: f, target_label: b, replacement: bar}",
            "a=boo",
        ),
        (
            "a=foo f=baz",
            "{source_labels: [a], regex: (f).*, target_label: $1, replacement: $2}",
            "a=foo",
        ),
        (
            "a=some-name-value",
            "{source_labels: [a], regex: 'some-([^-]+)-([^,]+)', target_label: '${1}', replacement: '${2}'}",
            "a=some-name-value name=value",
        ),
        (
            "a=some-name-0",
            "{source_labels: [a], regex: 'some-([^-]+)-([^,]+)', target_label: '${3}', replacement: '${1}'}",
            "a=some-name-0",
        ),
        (
            "a=x",
            "{target_label: b, replacement: static}",
            "a=x b=static",
        ),
        (
            "a=x b=y",
            "{source_labels: [missing], target_label: b}",
            "a=x",
        ),
        (
            "a=x",
            "{source_labels: [a], target_label: 'utf-8.label${1}'}",
            "a=x utf-8.labelx=x",
        ),
        (
            "a=l1l2",
            "{source_labels: [a], regex: '(l1)(?<second>l2)', target_label: 'n_$1', replacement: 'v_$second'}",
            "a=l1l2 n_l1=v_l2",
        ),
        (
            "a=x",
            "{regex: , target_label: b, replacement: empty}",
            "a=x b=empty",
        ),
        (
            "a=x",
            "{source_labels: [a], regex: , target_label: b, replacement: empty}",
            "a=x",
        ),
        (
            "a=1 b=2",
            "{source_labels: [a, b], separator: '', target_label: c}",
            "a=1 b=2 c=12",
        ),
        // Keep and drop.
        (
            "a=foo",
            "{action: drop, source_labels: [a], regex: .*o.*}",
            "dropped",
        ),
        (
            "a=foo",
            "{action: drop, source_labels: [a], regex: f|o}",
            "a=foo",
        ),
        ("a=foo", "{action: drop}", "dropped"),
        (
            "a=foo",
            "{action: keep, source_labels: [a], regex: no-match}",
            "dropped",
        ),
        (
            "a=foo",
            "{action: Keep, source_labels: [a], regex: f.*}",
            "a=foo",
        ),
        (
            "p=1 q=1",
            "{action: keepequal, source_labels: [p], target_label: q}",
            "p=1 q=1",
        ),
        (
            "p=1 q=2",
            "{action: keepequal, source_labels: [p], target_label: q}",
            "dropped",
        ),
        (
            "p=1 q=1",
            "{action: dropequal, source_labels: [p], target_label: q}",
            "dropped",
        ),
        (
            "p=1 q=2",
            "{action: dropequal, source_labels: [p], target_label: q}",
            "p=1 q=2",
        ),
        (
            "a=1",
            "{action: dropequal, source_labels: [x], target_label: y}",
            "dropped",
        ),
        // Hashes are MD5's last eight bytes.
        (
            "c=baz",
            "{action: hashmod, source_labels: [c], modulus: 1000, target_label: d}",
            "c=baz d=976",
        ),
        // Names.
        (
            "a=foo b1=bar b2=baz",
            "{action: labelmap, regex: (b.*), replacement: 'bar_${1}'}",
            "a=foo b1=bar b2=baz bar_b1=bar bar_b2=baz",
        ),
        (
            "__meta_my_bar=aaa __meta_o=c",
            "{action: labelmap, regex: __meta_(my.*)}",
            "__meta_my_bar=aaa __meta_o=c my_bar=aaa",
        ),
        (
            "a=foo b1=bar b2=baz",
            "{action: labelkeep, regex: b.*}",
            "b1=bar b2=baz",
        ),
        (
            "a=foo b1=bar b2=baz",
            "{action: labeldrop, regex: b.*}",
            "a=foo",
        ),
        // Case.
        (
            "f=bAr1",
            "{action: uppercase, source_labels: [f], target_label: u}, {action: lowercase, source_labels: [f], target_label: l}",
            "f=bAr1 l=bar1 u=BAR1",
        ),
    ] {
        let mut labels = builder(input);
        let kept = relabel(&mut labels, &rules(yaml));
        let got = if kept {
            show(&labels)
        } else {
            "dropped".to_owned()
        };
        assert_eq!(got, expected, "{input} {yaml}");
    }
}

#[test]
fn values_with_line_breaks_match_and_hash() {
    let mut labels = LabelsBuilder::default();
    labels.set("a", "foo\nbar");
    let rules = rules(
        "{source_labels: [a], regex: foo.*bar, target_label: m, replacement: 'yes'}, \
         {action: hashmod, source_labels: [a], modulus: 1000, target_label: h}",
    );
    assert!(relabel(&mut labels, &rules));
    assert_eq!(labels.get("m"), Some("yes"));
    assert_eq!(labels.get("h"), Some("734"));
}

#[test]
fn the_first_rule_that_drops_ends_it() {
    let mut labels = builder("a=foo");
    let rules =
        rules("{action: drop, source_labels: [a], regex: foo}, {target_label: b, replacement: c}");
    assert!(!relabel(&mut labels, &rules));
    assert_eq!(labels.get("b"), None);
}
