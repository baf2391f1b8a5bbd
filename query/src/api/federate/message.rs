//! Families as messages of `io.prometheus.client`, and three ways to write those.

use std::fmt::Write;

use varve_promql::format::format_float_g;
use varve_storage::FloatHistogram;
use varve_storage::histogram::Span;
use varve_storage::protobuf::encode::Message;

use super::family::{Classic, Family, Kind, Metric, Value};

/// A field of a message. The messages say by the presence of fields what they mean, so all of them are written.
struct Field<'a> {
    number: u32,
    name: &'static str,
    content: Content<'a>,
}

enum Content<'a> {
    Text(&'a str),
    Double(f64),
    Integer(i64),
    /// With small numbers for small negative ones.
    Signed(i32),
    Unsigned(u32),
    /// A member of an enumeration.
    Member(u64, &'static str),
    Message(Vec<Field<'a>>),
}

fn field<'a>(number: u32, name: &'static str, content: Content<'a>) -> Field<'a> {
    Field {
        number,
        name,
        content,
    }
}

/// Appends a family as a message behind its length.
pub(super) fn write_delimited(out: &mut Vec<u8>, family: &Family<'_>) {
    let mut message = Message::default();
    write_fields(&mut message, &family_fields(family));
    let mut head = Message::default();
    head.varint(message.as_bytes().len() as u64);
    out.extend_from_slice(head.as_bytes());
    out.extend_from_slice(message.as_bytes());
}

/// Appends a family as text, a field on each line, and an empty line.
pub(super) fn write_lines(out: &mut String, family: &Family<'_>) {
    push_lines(out, &family_fields(family), 0);
    out.push('\n');
}

/// Appends a family as text on one line.
pub(super) fn write_line(out: &mut String, family: &Family<'_>) {
    push_compact(out, &family_fields(family));
    out.push('\n');
}

fn family_fields<'a>(family: &'a Family<'a>) -> Vec<Field<'a>> {
    let (number, kind) = match family.kind {
        Kind::Untyped => (3, "UNTYPED"),
        Kind::Histogram => (4, "HISTOGRAM"),
        Kind::GaugeHistogram => (5, "GAUGE_HISTOGRAM"),
    };
    let mut fields = vec![
        field(1, "name", Content::Text(&family.name)),
        field(3, "type", Content::Member(number, kind)),
    ];
    let metrics = family.metrics.iter();
    fields
        .extend(metrics.map(|metric| field(4, "metric", Content::Message(metric_fields(metric)))));
    fields
}

fn metric_fields<'a>(metric: &'a Metric<'a>) -> Vec<Field<'a>> {
    let pair = |(name, value): &'a (std::borrow::Cow<'a, str>, &'a str)| {
        let pair = vec![
            field(1, "name", Content::Text(name)),
            field(2, "value", Content::Text(value)),
        ];
        field(1, "label", Content::Message(pair))
    };
    let mut fields: Vec<Field<'a>> = metric.labels.iter().map(pair).collect();
    let time = field(6, "timestamp_ms", Content::Integer(metric.time_ms));
    match &metric.value {
        Value::Float(value) => {
            let value = vec![field(1, "value", Content::Double(*value))];
            fields.push(field(5, "untyped", Content::Message(value)));
            fields.push(time);
        }
        Value::Native(histogram) => {
            fields.push(time);
            fields.push(field(
                7,
                "histogram",
                Content::Message(native_fields(histogram)),
            ));
        }
        Value::Classic(histogram) => {
            fields.push(time);
            fields.push(field(
                7,
                "histogram",
                Content::Message(classic_fields(histogram)),
            ));
        }
    }
    fields
}

fn native_fields(histogram: &FloatHistogram) -> Vec<Field<'static>> {
    let spans = |number, name, spans: &[Span]| -> Vec<Field<'static>> {
        let span = |span: &Span| {
            let fields = vec![
                field(1, "offset", Content::Signed(span.offset)),
                field(2, "length", Content::Unsigned(span.length)),
            ];
            field(number, name, Content::Message(fields))
        };
        spans.iter().map(span).collect()
    };
    let counts = |number, name, counts: &[f64]| -> Vec<Field<'static>> {
        let counts = counts.iter();
        counts
            .map(|count| field(number, name, Content::Double(*count)))
            .collect()
    };
    let mut fields = vec![
        field(2, "sample_sum", Content::Double(histogram.sum)),
        field(4, "sample_count_float", Content::Double(histogram.count)),
        field(5, "schema", Content::Signed(histogram.schema)),
        field(
            6,
            "zero_threshold",
            Content::Double(histogram.zero_threshold),
        ),
        field(8, "zero_count_float", Content::Double(histogram.zero_count)),
    ];
    fields.extend(spans(9, "negative_span", &histogram.negative_spans));
    fields.extend(counts(11, "negative_count", &histogram.negative_buckets));
    fields.extend(spans(12, "positive_span", &histogram.positive_spans));
    fields.extend(counts(14, "positive_count", &histogram.positive_buckets));
    fields
}

fn classic_fields(histogram: &Classic) -> Vec<Field<'static>> {
    let mut fields = vec![field(2, "sample_sum", Content::Double(histogram.sum))];
    fields.extend(histogram.buckets.iter().map(|(bound, count)| {
        let bucket = vec![
            field(2, "upper_bound", Content::Double(*bound)),
            field(4, "cumulative_count_float", Content::Double(*count)),
        ];
        field(3, "bucket", Content::Message(bucket))
    }));
    fields.push(field(
        4,
        "sample_count_float",
        Content::Double(histogram.count),
    ));
    fields
}

fn write_fields(message: &mut Message, fields: &[Field<'_>]) {
    for Field {
        number, content, ..
    } in fields
    {
        match content {
            Content::Text(text) => message.bytes(*number, text.as_bytes()),
            Content::Double(value) => message.double_always(*number, *value),
            Content::Integer(value) => message.uint64_always(*number, value.cast_unsigned()),
            Content::Signed(value) => message.sint32_always(*number, *value),
            Content::Unsigned(value) => message.uint64_always(*number, u64::from(*value)),
            Content::Member(member, _) => message.uint64_always(*number, *member),
            Content::Message(fields) => {
                message.message(*number, |inner| write_fields(inner, fields));
            }
        }
    }
}

fn push_lines(out: &mut String, fields: &[Field<'_>], depth: usize) {
    for Field { name, content, .. } in fields {
        // Writing to a string cannot fail, here and below.
        let _ = write!(out, "{:1$}{name}: ", "", 2 * depth);
        match content {
            Content::Message(fields) => {
                out.push_str("{\n");
                push_lines(out, fields, depth + 1);
                let _ = writeln!(out, "{:1$}}}", "", 2 * depth);
            }
            content => {
                push_scalar(out, content);
                out.push('\n');
            }
        }
    }
}

fn push_compact(out: &mut String, fields: &[Field<'_>]) {
    for (index, Field { name, content, .. }) in fields.iter().enumerate() {
        let _ = write!(out, "{}{name}:", if index > 0 { " " } else { "" });
        match content {
            Content::Message(fields) => {
                out.push('{');
                push_compact(out, fields);
                out.push('}');
            }
            content => push_scalar(out, content),
        }
    }
}

fn push_scalar(out: &mut String, content: &Content<'_>) {
    let _ = match content {
        Content::Text(text) => {
            push_quoted(out, text);
            Ok(())
        }
        Content::Double(value) if value.is_nan() => out.write_str("nan"),
        Content::Double(f64::INFINITY) => out.write_str("inf"),
        Content::Double(f64::NEG_INFINITY) => out.write_str("-inf"),
        Content::Double(value) => out.write_str(&format_float_g(*value)),
        Content::Integer(value) => write!(out, "{value}"),
        Content::Signed(value) => write!(out, "{value}"),
        Content::Unsigned(value) => write!(out, "{value}"),
        Content::Member(_, name) => out.write_str(name),
        Content::Message(_) => Ok(()),
    };
}

fn push_quoted(out: &mut String, text: &str) {
    out.push('"');
    for c in text.chars() {
        let _ = match c {
            '"' | '\\' => write!(out, "\\{c}"),
            '\n' => out.write_str("\\n"),
            '\r' => out.write_str("\\r"),
            '\t' => out.write_str("\\t"),
            c if c < ' ' || c == '\x7f' => write!(out, "\\x{:02x}", u32::from(c)),
            c => out.write_char(c),
        };
    }
    out.push('"');
}
