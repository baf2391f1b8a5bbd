//! The messages of OTLP metrics: the fields that are read, for the JSON form, which names them. Fields that nobody reads are missing here and so passed over.

/// A message.
#[derive(Debug)]
pub(super) struct Schema {
    fields: &'static [FieldSchema],
}

/// A field of a message.
#[derive(Debug)]
pub(super) struct FieldSchema {
    /// The name in JSON.
    name: &'static str,
    pub(super) number: u32,
    pub(super) kind: Kind,
    pub(super) repeated: bool,
}

/// The type of a field, and how it looks in JSON.
#[derive(Clone, Copy, Debug)]
pub(super) enum Kind {
    String,
    /// `bytes` in base 64.
    Base64,
    /// `bytes` in hexadecimal digits: the ids of traces.
    Hex,
    Bool,
    /// Of variable length: `int64`, `uint64`, `uint32`.
    Integer,
    /// Of variable length and folded: `sint32`.
    Folded,
    /// `fixed64` and `sfixed64`.
    Fixed,
    Double,
    /// An enumeration with its names.
    Enum(&'static [(&'static str, u64)]),
    Message(&'static Schema),
}

impl Kind {
    /// Whether numbers may have fractions.
    pub(super) fn is_double(self) -> bool {
        matches!(self, Self::Double)
    }
}

impl Schema {
    /// A field by its name in JSON, in camel case or as the protocol's definition spells it.
    pub(super) fn field(&self, name: &str) -> Option<&'static FieldSchema> {
        self.fields.iter().find(|field| is_same(field.name, name))
    }
}

/// Whether a name is another one in camel case, but for underscores.
fn is_same(camel: &str, name: &str) -> bool {
    if camel == name {
        return true;
    }
    let mut upper = false;
    let mut expected = camel.chars();
    for c in name.chars() {
        if c == '_' {
            upper = true;
            continue;
        }
        let c = match std::mem::take(&mut upper) {
            true => c.to_ascii_uppercase(),
            false => c,
        };
        if expected.next() != Some(c) {
            return false;
        }
    }
    expected.next().is_none() && name.contains('_')
}

const fn one(name: &'static str, number: u32, kind: Kind) -> FieldSchema {
    FieldSchema {
        name,
        number,
        kind,
        repeated: false,
    }
}

const fn many(name: &'static str, number: u32, kind: Kind) -> FieldSchema {
    FieldSchema {
        name,
        number,
        kind,
        repeated: true,
    }
}

macro_rules! schema {
    ($($(#[$doc:meta])* $name:ident: $($cardinality:ident $field:literal $number:literal $kind:expr),+;)+) => {
        $($(#[$doc])* pub(super) static $name: Schema = Schema {
            fields: &[$($cardinality($field, $number, $kind)),+],
        };)+
    };
}

use Kind::{Base64, Bool, Double, Enum, Fixed, Folded, Hex, Integer, Message, String};

const TEMPORALITY: Kind = Enum(&[
    ("AGGREGATION_TEMPORALITY_UNSPECIFIED", 0),
    ("AGGREGATION_TEMPORALITY_DELTA", 1),
    ("AGGREGATION_TEMPORALITY_CUMULATIVE", 2),
]);

schema! {
    /// `ExportMetricsServiceRequest`.
    REQUEST:
        many "resourceMetrics" 1 Message(&RESOURCE_METRICS);
    RESOURCE_METRICS:
        one "resource" 1 Message(&RESOURCE),
        many "scopeMetrics" 2 Message(&SCOPE_METRICS);
    RESOURCE:
        many "attributes" 1 Message(&KEY_VALUE);
    SCOPE_METRICS:
        one "scope" 1 Message(&SCOPE),
        many "metrics" 2 Message(&METRIC),
        one "schemaUrl" 3 String;
    SCOPE:
        one "name" 1 String,
        one "version" 2 String,
        many "attributes" 3 Message(&KEY_VALUE);
    METRIC:
        one "name" 1 String,
        one "description" 2 String,
        one "unit" 3 String,
        one "gauge" 5 Message(&NUMBERS),
        one "sum" 7 Message(&NUMBERS),
        one "histogram" 9 Message(&HISTOGRAMS),
        one "exponentialHistogram" 10 Message(&EXPONENTIALS),
        one "summary" 11 Message(&SUMMARIES);
    NUMBERS:
        many "dataPoints" 1 Message(&NUMBER),
        one "aggregationTemporality" 2 TEMPORALITY,
        one "isMonotonic" 3 Bool;
    NUMBER:
        one "startTimeUnixNano" 2 Fixed,
        one "timeUnixNano" 3 Fixed,
        one "asDouble" 4 Double,
        many "exemplars" 5 Message(&EXEMPLAR),
        one "asInt" 6 Fixed,
        many "attributes" 7 Message(&KEY_VALUE),
        one "flags" 8 Integer;
    HISTOGRAMS:
        many "dataPoints" 1 Message(&HISTOGRAM),
        one "aggregationTemporality" 2 TEMPORALITY;
    HISTOGRAM:
        one "startTimeUnixNano" 2 Fixed,
        one "timeUnixNano" 3 Fixed,
        one "count" 4 Fixed,
        one "sum" 5 Double,
        many "bucketCounts" 6 Fixed,
        many "explicitBounds" 7 Double,
        many "exemplars" 8 Message(&EXEMPLAR),
        many "attributes" 9 Message(&KEY_VALUE),
        one "flags" 10 Integer;
    EXPONENTIALS:
        many "dataPoints" 1 Message(&EXPONENTIAL),
        one "aggregationTemporality" 2 TEMPORALITY;
    EXPONENTIAL:
        many "attributes" 1 Message(&KEY_VALUE),
        one "startTimeUnixNano" 2 Fixed,
        one "timeUnixNano" 3 Fixed,
        one "count" 4 Fixed,
        one "sum" 5 Double,
        one "scale" 6 Folded,
        one "zeroCount" 7 Fixed,
        one "positive" 8 Message(&BUCKETS),
        one "negative" 9 Message(&BUCKETS),
        one "flags" 10 Integer,
        many "exemplars" 11 Message(&EXEMPLAR);
    BUCKETS:
        one "offset" 1 Folded,
        many "bucketCounts" 2 Integer;
    SUMMARIES:
        many "dataPoints" 1 Message(&SUMMARY);
    SUMMARY:
        one "startTimeUnixNano" 2 Fixed,
        one "timeUnixNano" 3 Fixed,
        one "count" 4 Fixed,
        one "sum" 5 Double,
        many "quantileValues" 6 Message(&QUANTILE),
        many "attributes" 7 Message(&KEY_VALUE),
        one "flags" 8 Integer;
    QUANTILE:
        one "quantile" 1 Double,
        one "value" 2 Double;
    EXEMPLAR:
        one "timeUnixNano" 2 Fixed,
        one "asDouble" 3 Double,
        one "spanId" 4 Hex,
        one "traceId" 5 Hex,
        one "asInt" 6 Fixed,
        many "filteredAttributes" 7 Message(&KEY_VALUE);
    KEY_VALUE:
        one "key" 1 String,
        one "value" 2 Message(&ANY_VALUE);
    ANY_VALUE:
        one "stringValue" 1 String,
        one "boolValue" 2 Bool,
        one "intValue" 3 Integer,
        one "doubleValue" 4 Double,
        one "arrayValue" 5 Message(&ARRAY_VALUE),
        one "kvlistValue" 6 Message(&KEY_VALUES),
        one "bytesValue" 7 Base64;
    ARRAY_VALUE:
        many "values" 1 Message(&ANY_VALUE);
    KEY_VALUES:
        many "values" 1 Message(&KEY_VALUE);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_in_camel_case_or_with_underscores() {
        for (camel, name, same) in [
            ("timeUnixNano", "timeUnixNano", true),
            ("timeUnixNano", "time_unix_nano", true),
            ("timeUnixNano", "timeunixnano", false),
            ("timeUnixNano", "time_unix", false),
            ("sum", "sum_", true),
            ("sum", "sums", false),
        ] {
            assert_eq!(is_same(camel, name), same, "{name}");
        }
    }
}
