//! Expositions that ask for too much.

use super::*;
use varve_storage::protobuf::encode::Message;

/// A body that must be refused, and the next scrape, which must not notice.
fn refused(format: Format, body: &[u8], reason: &str) {
    for options in ["", ", convert_classic_histograms_to_nhcb: true"] {
        let mut target = Fixture::new(options);
        target.rows("a 1\n");
        let error = target.scrape_as(format, body).error.unwrap();
        assert!(error.contains(reason), "{}", &error[..error.len().min(500)]);
        assert!(error.len() < 100_000, "{}", error.len());
        assert!(target.cache.entries() < 10);
        assert_eq!(target.rows("a 1\n"), ["__name__=a job=j 1 @3000"]);
    }
}

fn gauge(labels: &[(String, &str)]) -> Vec<u8> {
    let mut family = Message::default();
    family.string(1, "m");
    family.uint64(3, 1);
    family.message(4, |metric| {
        for (name, value) in labels {
            metric.message(1, |label| {
                label.string(1, name);
                label.string(2, value);
            });
        }
    });
    let mut field = Message::default();
    field.bytes(1, family.as_bytes());
    field.into_bytes()[1..].to_vec()
}

#[test]
fn a_million_labels() {
    let labels: String = (0..1_000_000).map(|i| format!("l{i}=\"\",")).collect();
    let text = format!("# TYPE m histogram\nm{{{labels}}} 1\n");
    refused(Format::Text, text.as_bytes(), "more than 10000 labels");
    let text = format!("{text}# EOF\n");
    refused(
        Format::OpenMetrics,
        text.as_bytes(),
        "more than 10000 labels",
    );
    let labels: Vec<_> = (0..1_000_000).map(|i| (format!("l{i}"), "")).collect();
    refused(Format::Protobuf, &gauge(&labels), "more than 10000 labels");
}

#[test]
fn values_and_names_of_megabytes() {
    let long = "x".repeat(10 << 20);
    let reason = "at most 1000 labels of 1048576 bytes can be stored";
    for text in [
        format!("m{{l=\"{long}\"}} 1\n"),
        format!("m{{{long}=\"l\"}} 1\n"),
        format!("{long} 1\n"),
    ] {
        refused(Format::Text, text.as_bytes(), reason);
        let text = format!("{text}# EOF\n");
        refused(Format::OpenMetrics, text.as_bytes(), reason);
    }
    let labels = [("l".to_owned(), long.as_str())];
    refused(Format::Protobuf, &gauge(&labels), reason);
    // What is wrong besides is not repeated in full.
    let text = format!("m{{l=\"{long}\"}} x\n");
    refused(Format::Text, text.as_bytes(), "invalid syntax");
}

#[test]
fn a_value_that_does_not_end() {
    let mut body = b"m{l=\"".to_vec();
    body.resize(10 << 20, b'x');
    refused(Format::Text, &body, "expected label value");
    refused(Format::OpenMetrics, &body, "expected label value");
    // A family that ends after the exposition.
    let body = [&[0xff, 0xff, 0xff, 0x7f][..], &body].concat();
    refused(Format::Protobuf, &body, "is announced");
}
