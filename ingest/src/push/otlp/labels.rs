//! From the attributes of a resource, a scope and a data point to the labels of a series.
//!
//! A data point's own attributes come first; promoted attributes of the resource fill in what is missing; `job`, `instance` and the labels of the scope
//! replace what is there. Attributes whose names become one label are joined by `;` in the order of their original names.

use std::borrow::Cow;
use std::collections::BTreeMap;

use varve_storage::limits::LABELS_PER_SERIES_MAX;

use super::OtlpError;
use super::names::LabelNames;
use super::value::attribute;
use crate::config::OtlpConfig;
use varve_storage::protobuf::wire::Field;

const SERVICE_NAME: &str = "service.name";
const SERVICE_NAMESPACE: &str = "service.namespace";
const SERVICE_INSTANCE: &str = "service.instance.id";

/// The attributes that say which target a resource is, and become `job` and `instance`.
pub(super) const IDENTIFYING: [&str; 3] = [SERVICE_NAMESPACE, SERVICE_NAME, SERVICE_INSTANCE];

/// Attributes as they come, with their values as texts.
#[derive(Debug, Default)]
pub(super) struct Attributes<'a>(pub(super) Vec<(&'a str, Cow<'a, str>)>);

impl<'a> Attributes<'a> {
    /// Takes one more attribute.
    pub(super) fn push(&mut self, field: Field<'a>) -> Result<(), OtlpError> {
        // More than a series may have labels; attributes that are joined are not that many.
        if self.0.len() >= LABELS_PER_SERIES_MAX {
            let reason = format!("more than {LABELS_PER_SERIES_MAX} attributes in one list");
            return Err(OtlpError::Untranslatable(reason));
        }
        self.0.push(attribute(field)?);
        Ok(())
    }

    pub(super) fn get(&self, name: &str) -> Option<&str> {
        let mut found = self.0.iter().filter(|(key, _)| *key == name);
        found.next().map(|(_, value)| value.as_ref())
    }
}

/// Labels of a series, its name aside. No value is empty.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct LabelMap<'a>(BTreeMap<Cow<'a, str>, Cow<'a, str>>);

impl<'a> LabelMap<'a> {
    /// Sets a label; an empty value removes it.
    pub(super) fn set(&mut self, name: impl Into<Cow<'a, str>>, value: impl Into<Cow<'a, str>>) {
        let (name, value) = (name.into(), value.into());
        match value.is_empty() {
            true => self.0.remove(&name),
            false => self.0.insert(name, value),
        };
    }

    pub(super) fn has(&self, name: &str) -> bool {
        self.0.contains_key(name)
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        self.0.iter().map(|(n, v)| (n.as_ref(), v.as_ref()))
    }
}

/// How attributes become labels.
#[derive(Clone, Copy, Debug)]
pub(super) struct LabelRules<'c> {
    pub(super) config: &'c OtlpConfig,
    pub(super) names: LabelNames,
}

/// What a resource says about every series under it.
#[derive(Debug, Default)]
pub(super) struct ResourceLabels<'a> {
    job: String,
    instance: String,
    promoted: LabelMap<'a>,
}

/// What a scope says about every series under it, in the order in which it is set.
#[derive(Debug, Default)]
pub(super) struct ScopeLabels<'a>(Vec<(Cow<'a, str>, Cow<'a, str>)>);

/// Two or more attributes that became one label.
#[derive(Debug)]
pub(super) struct Collision {
    pub(super) label: String,
    /// Their names in quotes.
    pub(super) attributes: String,
}

impl LabelRules<'_> {
    fn is_promoted(&self, name: &str) -> bool {
        let named = |names: &[String]| names.iter().any(|other| other == name);
        match self.config.promote_all_resource_attributes {
            true => !named(&self.config.ignore_resource_attributes),
            false => named(&self.config.promote_resource_attributes),
        }
    }

    /// The labels of a resource.
    pub(super) fn resource<'a>(
        &self,
        attributes: &'a Attributes<'_>,
    ) -> Result<ResourceLabels<'a>, String> {
        let mut labels = ResourceLabels::default();
        if let Some(name) = attributes.get(SERVICE_NAME) {
            labels.job = match attributes.get(SERVICE_NAMESPACE) {
                Some(namespace) => format!("{namespace}/{name}"),
                None => name.to_owned(),
            };
        }
        if let Some(instance) = attributes.get(SERVICE_INSTANCE) {
            labels.instance = instance.to_owned();
        }
        for (name, value) in &attributes.0 {
            if self.is_promoted(name) {
                let name = self.names.build(name)?;
                labels.promoted.set(name, value.as_ref());
            }
        }
        Ok(labels)
    }

    /// The labels of a scope, none where they are not asked for or the scope has no name.
    pub(super) fn scope<'a>(
        &self,
        name: &'a str,
        version: &'a str,
        schema_url: &'a str,
        attributes: &'a Attributes<'_>,
    ) -> Result<ScopeLabels<'a>, String> {
        let mut labels = ScopeLabels::default();
        if !self.config.promote_scope_metadata || name.is_empty() {
            return Ok(labels);
        }
        // Of attributes with one label the last counts, unless it is empty.
        let mut own = LabelMap::default();
        for (key, value) in &attributes.0 {
            let key = format!("otel_scope_{key}");
            let key = self.names.build(&key)?.into_owned();
            own.set(key, value.as_ref());
        }
        labels.0.extend(own.0);
        for (label, value) in [
            ("otel_scope_name", name),
            ("otel_scope_version", version),
            ("otel_scope_schema_url", schema_url),
        ] {
            labels.0.push((label.into(), value.into()));
        }
        Ok(labels)
    }

    /// The labels of a data point, without its name.
    pub(super) fn point<'a>(
        &self,
        attributes: Attributes<'a>,
        resource: &'a ResourceLabels<'_>,
        scope: &'a ScopeLabels<'_>,
        collisions: &mut Vec<Collision>,
    ) -> Result<LabelMap<'a>, String> {
        let mut labels = self.own(attributes, &["__name__"], collisions)?;
        for (name, value) in resource.promoted.iter() {
            if !labels.has(name) {
                labels.set(name, value);
            }
        }
        resource.identify(&mut labels);
        for (name, value) in &scope.0 {
            labels.set(name.as_ref(), value.as_ref());
        }
        Ok(labels)
    }

    /// The labels of `target_info`, without its name: all attributes of the resource.
    pub(super) fn target<'a>(
        &self,
        attributes: Attributes<'a>,
        resource: &'a ResourceLabels<'_>,
        collisions: &mut Vec<Collision>,
    ) -> Result<LabelMap<'a>, String> {
        let ignored: &[&str] = match self.config.keep_identifying_resource_attributes {
            true => &[],
            false => &IDENTIFYING,
        };
        let mut labels = self.own(attributes, ignored, collisions)?;
        resource.identify(&mut labels);
        Ok(labels)
    }

    fn own<'a>(
        &self,
        mut attributes: Attributes<'a>,
        ignored: &[&str],
        collisions: &mut Vec<Collision>,
    ) -> Result<LabelMap<'a>, String> {
        let mut labels = LabelMap::default();
        attributes.0.retain(|(name, _)| !ignored.contains(name));
        attributes.0.sort_by_key(|(name, _)| *name);
        if !self.names.escapes {
            // Prometheus stores labels without a name, which nobody can ask for.
            attributes.0.retain(|(name, _)| !name.is_empty());
            for (name, value) in attributes.0 {
                labels.set(name, value);
            }
            return Ok(labels);
        }
        let mut joined: Vec<String> = Vec::new();
        for (name, value) in &attributes.0 {
            let name = self.names.build(name)?;
            match labels.0.get_mut(&name) {
                None => labels.set(name, value.clone()),
                Some(present) => {
                    let present = present.to_mut();
                    present.push(';');
                    present.push_str(value);
                    if !joined.iter().any(|other| *other == name) {
                        joined.push(name.into_owned());
                    }
                }
            }
        }
        for label in joined {
            let names = attributes.0.iter().map(|(name, _)| *name);
            let same = names.filter(|name| self.names.build(name).is_ok_and(|n| n == label));
            let same: Vec<String> = same.map(|name| format!("{name:?}")).collect();
            collisions.push(Collision {
                label,
                attributes: same.join(", "),
            });
        }
        Ok(labels)
    }
}

impl ResourceLabels<'_> {
    fn identify<'a>(&'a self, labels: &mut LabelMap<'a>) {
        for (name, value) in [("job", &self.job), ("instance", &self.instance)] {
            if !value.is_empty() {
                labels.set(name, value.as_str());
            }
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn rules(config: &OtlpConfig) -> LabelRules<'_> {
        LabelRules {
            config,
            names: LabelNames {
                escapes: config.translation_strategy.escapes(),
                sanitizes_underscores: config.label_name_underscore_sanitization,
                keeps_underscores: config.label_name_preserve_multiple_underscores,
            },
        }
    }

    fn attributes<'a>(pairs: &[(&'a str, &'a str)]) -> Attributes<'a> {
        Attributes(pairs.iter().map(|(n, v)| (*n, (*v).into())).collect())
    }

    fn shown(labels: &LabelMap<'_>) -> String {
        let pairs = labels.iter().map(|(n, v)| format!("{n}={v}"));
        pairs.collect::<Vec<_>>().join(" ")
    }

    #[test]
    fn labels_come_from_point_resource_and_scope() {
        let config = OtlpConfig {
            promote_resource_attributes: vec!["host.name".to_owned(), "own".to_owned()],
            promote_scope_metadata: true,
            ..OtlpConfig::default()
        };
        let rules = rules(&config);
        let resource = attributes(&[
            ("service.name", "n"),
            ("service.namespace", "ns"),
            ("service.instance.id", "i"),
            ("host.name", "h"),
            ("own", "resource"),
            ("other", "o"),
        ]);
        let scope = attributes(&[("a.b", "c")]);
        let resource_labels = rules.resource(&resource).unwrap();
        let scope = rules.scope("s", "", "url", &scope).unwrap();
        let point = attributes(&[("own", "point"), ("__name__", "x"), ("job", "j"), ("e", "")]);
        let mut collisions = Vec::new();
        let labels = rules
            .point(point, &resource_labels, &scope, &mut collisions)
            .unwrap();
        assert_eq!(
            shown(&labels),
            "host_name=h instance=i job=ns/n otel_scope_a_b=c otel_scope_name=s otel_scope_schema_url=url own=point"
        );
        let target = rules
            .target(
                attributes(
                    &resource
                        .0
                        .iter()
                        .map(|(n, v)| (*n, v.as_ref()))
                        .collect::<Vec<_>>(),
                ),
                &resource_labels,
                &mut collisions,
            )
            .unwrap();
        assert_eq!(
            shown(&target),
            "host_name=h instance=i job=ns/n other=o own=resource"
        );
        assert!(collisions.is_empty());
    }

    #[test]
    fn colliding_names_are_joined_in_order() {
        let config = OtlpConfig::default();
        let mut collisions = Vec::new();
        let point = attributes(&[("a_b", "3"), ("a.b", "2"), ("a-b", "1"), ("a/b", "")]);
        let labels = rules(&config).own(point, &[], &mut collisions).unwrap();
        assert_eq!(shown(&labels), "a_b=1;2;;3");
        assert_eq!(collisions.len(), 1);
        assert_eq!(collisions[0].attributes, r#""a-b", "a.b", "a/b", "a_b""#);
        let bad = attributes(&[("__", "1")]);
        assert!(rules(&config).own(bad, &[], &mut collisions).is_err());
    }

    #[test]
    fn all_attributes_may_be_promoted_but_some() {
        let config = OtlpConfig {
            promote_all_resource_attributes: true,
            ignore_resource_attributes: vec!["b".to_owned()],
            ..OtlpConfig::default()
        };
        let resource = attributes(&[("a", "1"), ("b", "2")]);
        let labels = rules(&config).resource(&resource).unwrap();
        assert_eq!(shown(&labels.promoted), "a=1");
    }
}
