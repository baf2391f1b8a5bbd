//! Which format a client wants, from its `Accept` header.

use super::escape::Escaping;

/// A clause beyond these is not looked at: no client has so many, and their order takes time that grows with their square.
const CLAUSES_MAX: usize = 64;

/// The formats that there are. OpenMetrics is none of them: Prometheus does not federate in it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Encoding {
    /// Version 0.0.4 of the text format.
    Text,
    /// Protobuf messages, each with its length in front.
    Delimited,
    /// Protobuf messages as text.
    ProtoText,
    /// Protobuf messages as text, one a line.
    ProtoCompact,
}

/// A format with its escaping of names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Format {
    pub(super) encoding: Encoding,
    pub(super) escaping: Escaping,
}

impl Format {
    /// The best of the accepted formats that there is, and else text.
    pub(super) fn negotiate(accept: &str) -> Self {
        let mut escaping = Escaping::default();
        for clause in clauses(accept) {
            // Also one that names no format of ours says how names are to be escaped.
            if let Some(scheme) = clause.parameter("escaping").and_then(Escaping::of) {
                escaping = scheme;
            }
            if let Some(encoding) = clause.encoding() {
                return Self { encoding, escaping };
            }
        }
        Self {
            encoding: Encoding::Text,
            escaping,
        }
    }

    /// The `Content-Type` of an answer.
    pub(super) fn content_type(self) -> String {
        let protobuf =
            "application/vnd.google.protobuf; proto=io.prometheus.client.MetricFamily; encoding";
        let escaping = self.escaping.as_str();
        match self.encoding {
            Encoding::Text => {
                format!("text/plain; version=0.0.4; charset=utf-8; escaping={escaping}")
            }
            Encoding::Delimited => format!("{protobuf}=delimited; escaping={escaping}"),
            Encoding::ProtoText => format!("{protobuf}=text; escaping={escaping}"),
            Encoding::ProtoCompact => format!("{protobuf}=compact-text; escaping={escaping}"),
        }
    }
}

/// One clause of the header.
#[derive(Clone, Debug, PartialEq)]
struct Clause<'a> {
    kind: &'a str,
    subtype: &'a str,
    quality: f64,
    parameters: Vec<(&'a str, &'a str)>,
}

impl<'a> Clause<'a> {
    fn read(text: &'a str) -> Option<Self> {
        let mut parts = text.split(';');
        let range = parts.next().unwrap_or_default();
        let (kind, subtype) = match range.split_once('/') {
            Some((kind, subtype)) if !subtype.is_empty() => (trim(kind), trim(subtype)),
            _ if trim(range) == "*" => ("*", "*"),
            _ => return None,
        };
        if subtype.contains('/') {
            return None;
        }
        let mut clause = Self {
            kind,
            subtype,
            quality: 1.0,
            parameters: Vec::new(),
        };
        for part in parts {
            match part.split_once('=') {
                Some((_, "")) | None => {}
                Some((_, value)) if value.contains('=') => {}
                // What is no number is the least quality.
                Some((name, value)) if trim(name) == "q" => {
                    clause.quality = value.parse().unwrap_or(0.0);
                }
                Some((name, value)) => clause.parameters.push((trim(name), trim(value))),
            }
        }
        Some(clause)
    }

    /// The last value of a parameter.
    fn parameter(&self, name: &str) -> Option<&'a str> {
        let mut found = self.parameters.iter().rev();
        found.find(|(n, _)| *n == name).map(|(_, value)| *value)
    }

    fn encoding(&self) -> Option<Encoding> {
        match (self.kind, self.subtype) {
            ("application", "vnd.google.protobuf") => {
                if self.parameter("proto") != Some("io.prometheus.client.MetricFamily") {
                    return None;
                }
                match self.parameter("encoding")? {
                    "delimited" => Some(Encoding::Delimited),
                    "text" => Some(Encoding::ProtoText),
                    "compact-text" => Some(Encoding::ProtoCompact),
                    _ => None,
                }
            }
            ("text", "plain") => match self.parameter("version") {
                None | Some("0.0.4") => Some(Encoding::Text),
                Some(_) => None,
            },
            _ => None,
        }
    }

    /// Whether this one goes before another. A wildcard stands behind what is none, whatever the qualities: so Go's library has it.
    fn is_before(&self, other: &Self) -> bool {
        self.quality > other.quality
            || (self.kind != "*" && other.kind == "*")
            || (self.subtype != "*" && other.subtype == "*")
    }
}

fn trim(text: &str) -> &str {
    text.trim_matches(' ')
}

/// The clauses in the order of preference. The order above is none that a sort could rely on, so clauses are put in one by one as Go does.
fn clauses(accept: &str) -> Vec<Clause<'_>> {
    let mut clauses: Vec<Clause<'_>> = Vec::new();
    for part in accept.split(',').take(CLAUSES_MAX) {
        let Some(clause) = Clause::read(trim(part)) else {
            continue;
        };
        let behind = clauses.iter().rposition(|other| !clause.is_before(other));
        clauses.insert(behind.map_or(0, |place| place + 1), clause);
    }
    clauses
}

#[cfg(test)]
mod tests {
    use super::*;

    fn negotiated(accept: &str) -> (Encoding, Escaping) {
        let format = Format::negotiate(accept);
        (format.encoding, format.escaping)
    }

    const PROTOBUF: &str =
        "application/vnd.google.protobuf;proto=io.prometheus.client.MetricFamily;encoding";

    #[test]
    fn the_best_known_format_is_taken() {
        use Encoding::{Delimited, ProtoCompact, ProtoText, Text};
        use Escaping::{AllowUtf8, Dots, Underscores, Values};
        for (accept, expected) in [
            (String::new(), (Text, Underscores)),
            ("*/*".to_owned(), (Text, Underscores)),
            (
                "application/openmetrics-text;version=1.0.0".to_owned(),
                (Text, Underscores),
            ),
            (format!("{PROTOBUF}=delimited"), (Delimited, Underscores)),
            (format!("{PROTOBUF}=text;escaping=dots"), (ProtoText, Dots)),
            (
                format!("{PROTOBUF}=compact-text"),
                (ProtoCompact, Underscores),
            ),
            (format!("{PROTOBUF}=other"), (Text, Underscores)),
            (
                "application/vnd.google.protobuf;encoding=delimited".to_owned(),
                (Text, Underscores),
            ),
            (
                format!("text/plain;q=0.4,{PROTOBUF}=delimited;q=0.5"),
                (Delimited, Underscores),
            ),
            (
                format!("text/plain;q=0.6,{PROTOBUF}=delimited;q=0.5"),
                (Text, Underscores),
            ),
            (
                format!("text/plain;version=1.0.0,{PROTOBUF}=delimited;q=0.1"),
                (Delimited, Underscores),
            ),
            (
                "text/plain;version=0.0.4;escaping=allow-utf-8".to_owned(),
                (Text, AllowUtf8),
            ),
            (
                "text/plain; version=0.0.4; escaping=nonsense".to_owned(),
                (Text, Underscores),
            ),
            (
                "application/openmetrics-text;escaping=values,text/plain;q=0.5".to_owned(),
                (Text, Values),
            ),
        ] {
            assert_eq!(negotiated(&accept), expected, "{accept}");
        }
    }

    #[test]
    fn what_prometheus_sends_is_understood() {
        let accept = "application/openmetrics-text;version=1.0.0;escaping=allow-utf-8;q=0.6,\
            application/openmetrics-text;version=0.0.1;q=0.5,text/plain;version=1.0.0;escaping=allow-utf-8;q=0.4,\
            text/plain;version=0.0.4;q=0.3,*/*;q=0.2";
        assert_eq!(negotiated(accept), (Encoding::Text, Escaping::AllowUtf8));
        let format = Format::negotiate(accept);
        let expected = "text/plain; version=0.0.4; charset=utf-8; escaping=allow-utf-8";
        assert_eq!(format.content_type(), expected);
    }

    #[test]
    fn clauses_are_in_gos_order() {
        let order = |accept| clauses(accept).iter().map(|c| c.kind).collect::<Vec<_>>();
        assert_eq!(order("a/x;q=0.1,b/x,c/x;q=0.5,b/y"), ["b", "b", "c", "a"]);
        assert_eq!(order("*/*,a/x;q=0.1"), ["a", "*"]);
        assert_eq!(order("a/x;q=x,b/x;q=0.1,nothing,c/d/e,*"), ["*", "b", "a"]);
    }
}
