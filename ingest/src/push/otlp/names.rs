//! Names of metrics, units and labels, as Prometheus makes them from those of OpenTelemetry.
//!
//! Where names are escaped, a metric's name is cut into *tokens* at every character that a legacy name may not have, and at underscores; units and types add
//! tokens unless they are there already. Where they are not, suffixes are added to the name as it is.

use std::borrow::Cow;

/// What a name's suffixes depend on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum NamedKind {
    Gauge,
    MonotonicSum,
    /// Whatever gets no suffix for its type.
    Other,
}

/// How metrics are named.
#[derive(Clone, Copy, Debug)]
pub(super) struct MetricNames {
    pub(super) escapes: bool,
    pub(super) adds_suffixes: bool,
}

/// How labels are named.
#[derive(Clone, Copy, Debug)]
pub(super) struct LabelNames {
    pub(super) escapes: bool,
    pub(super) sanitizes_underscores: bool,
    pub(super) keeps_underscores: bool,
}

fn is_label_char(c: char) -> bool {
    c.is_ascii_alphanumeric()
}

fn is_metric_char(c: char) -> bool {
    is_label_char(c) || c == ':'
}

impl MetricNames {
    /// The name of a metric; `Err` says why it has none.
    pub(super) fn build(self, name: &str, unit: &str, kind: NamedKind) -> Result<String, String> {
        if !self.escapes {
            return Ok(match self.adds_suffixes {
                true => with_suffixes(name, unit, kind),
                false => name.to_owned(),
            });
        }
        let built = match self.adds_suffixes {
            true => from_tokens(name, unit, kind),
            false => without_suffixes(name),
        };
        if built.is_empty() {
            return Err(format!(
                "normalization for metric {name:?} resulted in empty name"
            ));
        }
        if built != name && built.bytes().all(|b| b == b'_') {
            return Err(format!(
                "normalization for metric {name:?} resulted in invalid name {built:?}"
            ));
        }
        Ok(built)
    }
}

fn without_suffixes(name: &str) -> String {
    let parts = name.split(|c| !is_metric_char(c) && c != '_');
    let parts: Vec<&str> = parts.filter(|part| !part.is_empty()).collect();
    no_digit_first(parts.join("_"))
}

fn from_tokens(name: &str, unit: &str, kind: NamedKind) -> String {
    let (main, per) = unit_suffixes(unit);
    let (main, per) = (cleaned(&main), cleaned(&per));
    let (mut main, mut per) = (main.as_str(), per.as_str());
    let tokens = name.split(|c| !is_metric_char(c));
    let mut tokens: Vec<&str> = tokens.filter(|token| !token.is_empty()).collect();
    if tokens.contains(&main) {
        main = "";
    }
    if per == "per_" {
        per = "";
    } else {
        per = per.strip_suffix('_').unwrap_or(per);
        if tokens.contains(&per) {
            per = "";
        }
    }
    if !per.is_empty() {
        main = main.strip_suffix('_').unwrap_or(main);
    }
    tokens.extend([main, per].into_iter().filter(|suffix| !suffix.is_empty()));
    let mut move_to_end = |suffix| {
        tokens.retain(|token| *token != suffix);
        tokens.push(suffix);
    };
    match kind {
        NamedKind::MonotonicSum => move_to_end("total"),
        NamedKind::Gauge if unit == "1" => move_to_end("ratio"),
        _ => {}
    }
    no_digit_first(tokens.join("_"))
}

fn no_digit_first(mut name: String) -> String {
    if name.starts_with(|c: char| c.is_ascii_digit()) {
        name.insert(0, '_');
    }
    name
}

/// A name as it is, with what its unit and type add at its end. A suffix that is there already is moved to its place.
fn with_suffixes(name: &str, unit: &str, kind: NamedKind) -> String {
    let is_ratio = unit == "1" && kind == NamedKind::Gauge;
    let (main, per) = unit_suffixes(unit);
    let mut base = name;
    if is_ratio {
        base = without_suffix(base, "ratio");
    }
    if kind == NamedKind::MonotonicSum {
        base = without_suffix(base, "total");
    }
    if !per.is_empty() {
        base = without_suffix(base, &per);
    }
    let mut out = base.to_owned();
    let mut add = |suffix: &str| {
        out.push('_');
        out.push_str(suffix);
    };
    if !main.is_empty() && !base.ends_with(main.as_ref()) {
        add(&main);
    }
    if !per.is_empty() {
        add(&per);
    }
    if kind == NamedKind::MonotonicSum {
        add("total");
    }
    if is_ratio {
        add("ratio");
    }
    out
}

/// A name without a suffix and the character before it, whatever that is.
fn without_suffix<'a>(name: &'a str, suffix: &str) -> &'a str {
    match name.strip_suffix(suffix) {
        Some(rest) if rest.len() > 1 => {
            let mut chars = rest.chars();
            chars.next_back();
            chars.as_str()
        }
        _ => name,
    }
}

/// The unit of a metric as its metadata has it.
pub(super) fn unit_name(unit: &str) -> String {
    let (main, per) = unit_suffixes(unit);
    let (main, per) = (cleaned(&main), cleaned(&per));
    let name = match (main.is_empty(), per.is_empty()) {
        (false, false) => format!("{main}_{per}"),
        (false, true) => main,
        (true, _) => per,
    };
    let name = name.strip_prefix('_').unwrap_or(&name);
    name.strip_suffix('_').unwrap_or(name).to_owned()
}

/// The words for a unit before and behind its slash. Annotations in braces say nothing.
fn unit_suffixes(unit: &str) -> (Cow<'_, str>, Cow<'_, str>) {
    let (main, per) = unit.split_once('/').unwrap_or((unit, ""));
    let said = |part: &str| !part.is_empty() && !part.contains(['{', '}']);
    let (main, per) = (main.trim(), per.trim());
    let main = match said(main) {
        true => main_unit(main),
        false => "",
    };
    let per = match said(per) {
        true => format!("per_{}", per_unit(per)),
        false => String::new(),
    };
    (Cow::Borrowed(main), Cow::Owned(per))
}

/// The word for a unit by its abbreviation.
fn main_unit(unit: &str) -> &str {
    match unit {
        "d" => "days",
        "h" => "hours",
        "min" => "minutes",
        "s" => "seconds",
        "ms" => "milliseconds",
        "us" => "microseconds",
        "ns" => "nanoseconds",
        "By" => "bytes",
        "KiBy" => "kibibytes",
        "MiBy" => "mebibytes",
        "GiBy" => "gibibytes",
        "TiBy" => "tibibytes",
        "KBy" => "kilobytes",
        "MBy" => "megabytes",
        "GBy" => "gigabytes",
        "TBy" => "terabytes",
        "m" => "meters",
        "V" => "volts",
        "A" => "amperes",
        "J" => "joules",
        "W" => "watts",
        "g" => "grams",
        "Cel" => "celsius",
        "Hz" => "hertz",
        "1" => "",
        "%" => "percent",
        other => other,
    }
}

/// The word for a unit behind a slash.
fn per_unit(unit: &str) -> &str {
    match unit {
        "s" => "second",
        "m" => "minute",
        "h" => "hour",
        "d" => "day",
        "w" => "week",
        "mo" => "month",
        "y" => "year",
        other => other,
    }
}

/// A unit with the characters of legacy names, one underscore for any run of others and none at its beginning.
fn cleaned(unit: &str) -> String {
    let mut out = String::with_capacity(unit.len());
    for c in unit.chars() {
        match is_metric_char(c) {
            true => out.push(c),
            false if out.ends_with('_') => {}
            false => out.push('_'),
        }
    }
    match out.strip_prefix('_') {
        Some(rest) => rest.to_owned(),
        None => out,
    }
}

impl LabelNames {
    /// The label for an attribute; `Err` says why there is none.
    pub(super) fn build(self, name: &str) -> Result<Cow<'_, str>, String> {
        if name.is_empty() {
            return Err("label name is empty".to_owned());
        }
        if !self.escapes {
            return match name.bytes().all(|b| b == b'_') {
                true => Err(format!("label name {name:?} contains only underscores")),
                false => Ok(Cow::Borrowed(name)),
            };
        }
        let mut built = self.escaped(name);
        if built.starts_with(|c: char| c.is_ascii_digit()) {
            built = Cow::Owned(format!("key_{built}"));
        } else if self.sanitizes_underscores && built.starts_with('_') && !built.starts_with("__") {
            built = Cow::Owned(format!("key{built}"));
        }
        match built.bytes().all(|b| b == b'_') {
            true => Err(format!(
                "normalization for label name {name:?} resulted in invalid name {built:?}"
            )),
            false => Ok(built),
        }
    }

    fn escaped(self, name: &str) -> Cow<'_, str> {
        let reserved = name
            .strip_prefix("__")
            .and_then(|rest| rest.strip_suffix("__"));
        let (inner, frame) = match reserved {
            Some(inner) if !self.keeps_underscores => (inner, "__"),
            _ => (name, ""),
        };
        let mut out = String::with_capacity(name.len());
        out.push_str(frame);
        let mut after_underscore = false;
        for c in inner.chars() {
            let valid = is_label_char(c);
            if valid {
                out.push(c);
            } else if self.keeps_underscores || !after_underscore {
                out.push('_');
            }
            after_underscore = !valid;
        }
        out.push_str(frame);
        match out == name {
            true => Cow::Borrowed(name),
            false => Cow::Owned(out),
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const ESCAPED: MetricNames = MetricNames {
        escapes: true,
        adds_suffixes: true,
    };

    #[test]
    fn metrics_get_suffixes_by_unit_and_type() {
        use NamedKind::{Gauge, MonotonicSum, Other};
        for (name, unit, kind, expected) in [
            (
                "http.server.duration",
                "s",
                Other,
                "http_server_duration_seconds",
            ),
            ("system.io", "foo/bar", Gauge, "system_io_foo_per_bar"),
            ("requests", "1", MonotonicSum, "requests_total"),
            (
                "requests.total.count",
                "",
                MonotonicSum,
                "requests_count_total",
            ),
            ("cpu.ratio.used", "1", Gauge, "cpu_used_ratio"),
            ("memory.bytes.used", "By", Gauge, "memory_bytes_used"),
            ("speed", "m/s", Gauge, "speed_meters_per_second"),
            ("errors", "{error}/min", Gauge, "errors_per_min"),
            ("errors", "{error}", Gauge, "errors"),
            ("1st.metric", "", Gauge, "_1st_metric"),
            ("a__b..c", "", Other, "a_b_c"),
            ("a:b", "", Other, "a:b"),
            ("größe", "", Other, "gr_e"),
            ("x", "%", Gauge, "x_percent"),
            ("x", "m_", Gauge, "x_m_"),
            ("x", " s / h ", Gauge, "x_seconds_per_hour"),
            ("x", "/s", Gauge, "x_per_second"),
            ("x", "$/_", Gauge, "x"),
        ] {
            assert_eq!(
                ESCAPED.build(name, unit, kind).as_deref(),
                Ok(expected),
                "{name} {unit}"
            );
        }
        assert_eq!(
            ESCAPED.build("", "", Other),
            Err("normalization for metric \"\" resulted in empty name".to_owned())
        );
        assert!(ESCAPED.build("...", "", Other).is_err());
        let plain = MetricNames {
            adds_suffixes: false,
            ..ESCAPED
        };
        assert_eq!(
            plain.build("a__b..c.", "s", MonotonicSum).as_deref(),
            Ok("a__b_c")
        );
        assert_eq!(plain.build("9", "s", MonotonicSum).as_deref(), Ok("_9"));
        assert!(plain.build("._.", "", Other).is_err());
        assert_eq!(plain.build("__", "", Other).as_deref(), Ok("__"));
    }

    #[test]
    fn unescaped_metrics_keep_their_characters() {
        use NamedKind::{Gauge, MonotonicSum, Other};
        let utf8 = MetricNames {
            escapes: false,
            adds_suffixes: true,
        };
        for (name, unit, kind, expected) in [
            (
                "http.server.duration",
                "s",
                Other,
                "http.server.duration_seconds",
            ),
            ("requests.total", "1", MonotonicSum, "requests_total"),
            ("total", "", MonotonicSum, "total_total"),
            ("size_per_second", "By/s", Gauge, "size_bytes_per_second"),
            ("größeratio", "1", Gauge, "größ_ratio"),
            ("already_seconds", "s", Other, "already_seconds"),
        ] {
            assert_eq!(
                utf8.build(name, unit, kind).as_deref(),
                Ok(expected),
                "{name} {unit}"
            );
        }
        let none = MetricNames {
            escapes: false,
            adds_suffixes: false,
        };
        assert_eq!(none.build("a b", "s", MonotonicSum).as_deref(), Ok("a b"));
    }

    #[test]
    fn units_are_words() {
        for (unit, word) in [
            ("s", "seconds"),
            ("By/s", "bytes_per_second"),
            ("1", ""),
            ("/h", "per_hour"),
            ("{a}", ""),
            ("°C", "C"),
        ] {
            assert_eq!(unit_name(unit), word, "{unit}");
        }
    }

    #[test]
    fn labels_have_legacy_names_where_asked() {
        let build = |name, sanitizes_underscores, keeps_underscores| {
            let names = LabelNames {
                escapes: true,
                sanitizes_underscores,
                keeps_underscores,
            };
            names.build(name).map(Cow::into_owned)
        };
        for (name, both, neither) in [
            ("http.method", "http_method", "http_method"),
            ("1a", "key_1a", "key_1a"),
            ("_a", "key_a", "_a"),
            ("__a", "__a", "_a"),
            ("__a__", "__a__", "__a__"),
            ("a..b", "a__b", "a_b"),
            ("ä", "_", "_"),
            ("__a..b__", "__a__b__", "__a_b__"),
            (".a", "key_a", "_a"),
        ] {
            if both == "_" {
                assert!(build(name, false, false).is_err());
                continue;
            }
            assert_eq!(build(name, true, true).as_deref(), Ok(both), "{name}");
            assert_eq!(build(name, false, false).as_deref(), Ok(neither), "{name}");
        }
        assert_eq!(build("", true, true), Err("label name is empty".to_owned()));
        assert_eq!(
            build("___", true, true),
            Err("normalization for label name \"___\" resulted in invalid name \"___\"".to_owned())
        );
        let utf8 = LabelNames {
            escapes: false,
            sanitizes_underscores: true,
            keeps_underscores: true,
        };
        assert_eq!(utf8.build("a.b").as_deref(), Ok("a.b"));
        assert_eq!(
            utf8.build("__"),
            Err("label name \"__\" contains only underscores".to_owned())
        );
    }

    proptest! {
        #[test]
        fn names_are_legacy_ones_or_errors(name in "\\PC*", unit in "\\PC*", flags in 0..16_u8) {
            use crate::names::NameValidation::Legacy;
            let metrics = MetricNames { escapes: true, adds_suffixes: flags & 1 != 0 };
            let kind = if flags & 2 != 0 { NamedKind::MonotonicSum } else { NamedKind::Gauge };
            if let Ok(built) = metrics.build(&name, &unit, kind) {
                prop_assert!(Legacy.is_metric_name(&built), "{built}");
            }
            let labels = LabelNames { escapes: true, sanitizes_underscores: flags & 4 != 0, keeps_underscores: flags & 8 != 0 };
            if let Ok(built) = labels.build(&name) {
                prop_assert!(Legacy.is_label_name(&built), "{built}");
            }
            let _ = MetricNames { escapes: false, adds_suffixes: true }.build(&name, &unit, kind);
            unit_name(&unit);
        }
    }
}
