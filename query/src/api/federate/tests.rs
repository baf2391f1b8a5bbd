//! Bodies of federation, to the byte.
#![allow(clippy::unwrap_used)]

use varve_storage::FloatHistogram;
use varve_storage::histogram::{CounterResetHint, SCHEMA_CUSTOM, Span};

use super::escape::Escaping;
use super::*;

fn float(labels: &[(&str, &str)], value: f64) -> Sample {
    let labels = Labels::from_pairs(labels.iter().copied());
    (labels, 6_000_000, SampleValue::Float(value))
}

fn histogram(name: &str, histogram: FloatHistogram) -> Sample {
    let labels = Labels::from_pairs([("__name__", name)]);
    (labels, 6_000_000, SampleValue::Histogram(histogram.into()))
}

fn native() -> FloatHistogram {
    FloatHistogram {
        count: 12.0,
        sum: 39.4,
        schema: 1,
        zero_threshold: 0.001,
        zero_count: 2.0,
        positive_spans: vec![Span {
            offset: -1,
            length: 2,
        }],
        positive_buckets: vec![1.0, 2.0],
        ..FloatHistogram::default()
    }
}

fn custom() -> FloatHistogram {
    let span = |offset, length| Span { offset, length };
    FloatHistogram {
        count: 6.0,
        sum: 1.234,
        schema: SCHEMA_CUSTOM,
        positive_spans: vec![span(0, 2), span(2, 1)],
        positive_buckets: vec![3.0, 2.0, 1.0],
        custom_values: vec![0.1, 0.2, 0.5, 1.0, 2.0],
        ..FloatHistogram::default()
    }
}

fn body(samples: &[Sample], external: &[(&str, &str)], format: Format) -> String {
    let external = Labels::from_pairs(external.iter().copied());
    String::from_utf8(encoded(samples, &external, format)).unwrap()
}

fn text(escaping: Escaping) -> Format {
    Format {
        encoding: Encoding::Text,
        escaping,
    }
}

#[test]
fn external_labels_stand_behind_those_of_the_series() {
    let samples = [
        float(
            &[("__name__", "m1"), ("foo", "bar"), ("instance", "i")],
            10_000.0,
        ),
        float(&[("__name__", "m1"), ("foo", "boo"), ("zone", "x")], 1.0),
        float(&[("__name__", "m2"), ("A", "b")], 1e6),
    ];
    assert_eq!(
        body(&samples, &[], text(Escaping::default())),
        "# TYPE m1 untyped\n\
         m1{foo=\"bar\",instance=\"i\"} 10000 6000000\n\
         m1{foo=\"boo\",zone=\"x\",instance=\"\"} 1 6000000\n\
         # TYPE m2 untyped\n\
         m2{A=\"b\",instance=\"\"} 1e+06 6000000\n"
    );
    assert_eq!(
        body(
            &samples,
            &[("zone", "ie"), ("instance", "z")],
            text(Escaping::default())
        ),
        "# TYPE m1 untyped\n\
         m1{foo=\"bar\",instance=\"i\",zone=\"ie\"} 10000 6000000\n\
         m1{foo=\"boo\",zone=\"x\",instance=\"z\"} 1 6000000\n\
         # TYPE m2 untyped\n\
         m2{A=\"b\",instance=\"z\",zone=\"ie\"} 1e+06 6000000\n"
    );
}

#[test]
fn values_are_written_as_go_does() {
    for (value, expected) in [
        (0.0, "0"),
        (-0.0, "0"),
        (-1.0, "-1"),
        (123_456.0, "123456"),
        (1_234_567.0, "1.234567e+06"),
        (0.000_01, "1e-05"),
        (f64::NAN, "NaN"),
        (f64::INFINITY, "+Inf"),
        (f64::NEG_INFINITY, "-Inf"),
    ] {
        let samples = [float(&[("__name__", "m"), ("a", "\"\\\n\t")], value)];
        let expected = format!(
            "# TYPE m untyped\nm{{a=\"\\\"\\\\\\n\t\",instance=\"\"}} {expected} 6000000\n"
        );
        assert_eq!(body(&samples, &[], text(Escaping::default())), expected);
    }
}

#[test]
fn names_are_quoted_or_escaped() {
    let samples = [float(
        &[("__name__", "a.b"), ("c.d", "e.f"), ("g", "h")],
        1.0,
    )];
    assert_eq!(
        body(&samples, &[], text(Escaping::AllowUtf8)),
        "# TYPE \"a.b\" untyped\n{\"a.b\",\"c.d\"=\"e.f\",g=\"h\",instance=\"\"} 1 6000000\n"
    );
    assert_eq!(
        body(&samples, &[], text(Escaping::Dots)),
        "# TYPE a_dot_b untyped\na_dot_b{c_dot_d=\"e.f\",g=\"h\",instance=\"\"} 1 6000000\n"
    );
}

#[test]
fn text_has_custom_buckets_as_classic_ones_and_no_native_histograms() {
    let samples = [
        histogram("h", custom()),
        histogram("h", native()),
        float(&[("__name__", "h"), ("a", "b")], 1.0),
        float(&[("a", "nameless")], 1.0),
    ];
    assert_eq!(
        body(&samples, &[], text(Escaping::default())),
        "# TYPE h histogram\n\
         h_bucket{instance=\"\",le=\"0.1\"} 3 6000000\n\
         h_bucket{instance=\"\",le=\"0.2\"} 5 6000000\n\
         h_bucket{instance=\"\",le=\"0.5\"} 5 6000000\n\
         h_bucket{instance=\"\",le=\"1\"} 5 6000000\n\
         h_bucket{instance=\"\",le=\"2\"} 6 6000000\n\
         h_bucket{instance=\"\",le=\"+Inf\"} 6 6000000\n\
         h_sum{instance=\"\"} 1.234 6000000\n\
         h_count{instance=\"\"} 6 6000000\n\
         # TYPE h untyped\n\
         h{a=\"b\",instance=\"\"} 1 6000000\n"
    );
}

/// What the three forms of protobuf have to say.
fn mixed() -> Vec<Sample> {
    let gauge = FloatHistogram {
        counter_reset_hint: CounterResetHint::Gauge,
        custom_values: vec![0.5],
        positive_spans: Vec::new(),
        positive_buckets: Vec::new(),
        ..custom()
    };
    vec![
        float(&[("__name__", "h")], f64::NAN),
        histogram("h", native()),
        histogram("h", gauge),
    ]
}

#[test]
fn protobuf_as_text() {
    let format = |encoding| Format {
        encoding,
        escaping: Escaping::default(),
    };
    let pair = "label:{name:\"instance\" value:\"\"}";
    assert_eq!(
        body(&mixed(), &[], format(Encoding::ProtoCompact)),
        format!(
            "name:\"h\" type:UNTYPED metric:{{{pair} untyped:{{value:nan}} timestamp_ms:6000000}}\n\
             name:\"h\" type:HISTOGRAM metric:{{{pair} timestamp_ms:6000000 histogram:{{sample_sum:39.4 sample_count_float:12 schema:1 zero_threshold:0.001 zero_count_float:2 positive_span:{{offset:-1 length:2}} positive_count:1 positive_count:2}}}}\n\
             name:\"h\" type:GAUGE_HISTOGRAM metric:{{{pair} timestamp_ms:6000000 histogram:{{sample_sum:1.234 bucket:{{upper_bound:0.5 cumulative_count_float:0}} sample_count_float:6}}}}\n"
        )
    );
    assert_eq!(
        body(&mixed()[..1], &[], format(Encoding::ProtoText)),
        "name: \"h\"\ntype: UNTYPED\nmetric: {\n  label: {\n    name: \"instance\"\n    value: \"\"\n  }\n  \
         untyped: {\n    value: nan\n  }\n  timestamp_ms: 6000000\n}\n\n"
    );
}

#[test]
fn protobuf_with_lengths() {
    let format = Format {
        encoding: Encoding::Delimited,
        escaping: Escaping::default(),
    };
    let bytes = encoded(&mixed(), &Labels::empty(), format);
    let label = [b"\x0a\x0c\x0a\x08instance".as_slice(), b"\x12\x00"].concat();
    let time = b"\x30\x80\x9b\xee\x02".as_slice();
    let expected = [
        b"\x25\x0a\x01h\x18\x03\x22\x1e".as_slice(),
        &label,
        b"\x2a\x09\x09",
        &f64::NAN.to_le_bytes(),
        time,
        b"\x5a\x0a\x01h\x18\x04\x22\x53",
        &label,
        time,
        b"\x3a\x3e\x11",
        &39.4f64.to_le_bytes(),
        b"\x21",
        &12f64.to_le_bytes(),
        b"\x28\x02\x31",
        &0.001f64.to_le_bytes(),
        b"\x41",
        &2f64.to_le_bytes(),
        b"\x62\x04\x08\x01\x10\x02\x71",
        &1f64.to_le_bytes(),
        b"\x71",
        &2f64.to_le_bytes(),
        b"\x42\x0a\x01h\x18\x05\x22\x3b",
        &label,
        time,
        b"\x3a\x26\x11",
        &1.234f64.to_le_bytes(),
        b"\x1a\x12\x11",
        &0.5f64.to_le_bytes(),
        b"\x21",
        &0f64.to_le_bytes(),
        b"\x21",
        &6f64.to_le_bytes(),
    ]
    .concat();
    assert_eq!(bytes, expected);
}
