#![allow(clippy::unwrap_used)]
//! Messages as clients write them.

use proptest::prelude::*;
use varve_storage::histogram::CounterResetHint;

use super::*;
use crate::exposition::Format;
use crate::exposition::notes::Notes;
use varve_storage::protobuf::encode::Message;

fn delimited(families: &[Message]) -> Vec<u8> {
    let mut body = Vec::new();
    for family in families {
        // The same bytes as a field's: a length and the message.
        let mut field = Message::default();
        field.bytes(1, family.as_bytes());
        body.extend_from_slice(&field.into_bytes()[1..]);
    }
    body
}

fn family(name: &str, kind: u64, metric: impl FnOnce(&mut Message)) -> Message {
    let mut family = Message::default();
    // Metrics before the name that they need.
    family.message(4, metric);
    family.string(1, name);
    family.string(2, "helps");
    family.uint64(3, kind);
    family
}

fn time(message: &mut Message, number: u32, seconds: i64, nanos: i64) {
    message.message(number, |time| {
        time.int64(1, seconds);
        time.int64(2, nanos);
    });
}

fn label(message: &mut Message, name: &str, value: &str) {
    message.message(1, |label| {
        label.string(1, name);
        label.string(2, value);
    });
}

fn lines(families: &[Message], options: ReadOptions) -> Vec<String> {
    let mut notes = Notes::default();
    crate::exposition::read(&delimited(families), Format::Protobuf, &options, &mut notes).unwrap();
    notes.lines
}

fn all() -> ReadOptions {
    ReadOptions {
        native_histograms: true,
        classic_histograms: true,
        convert_classic_histograms: false,
        start_timestamps: true,
    }
}

/// A histogram with a classic and, if asked for, a native side.
fn histogram(name: &str, kind: u64, native: bool) -> Message {
    family(name, kind, |metric| {
        label(metric, "a", "b");
        metric.message(7, |histogram| {
            histogram.uint64(1, 4);
            histogram.double(2, 5.5);
            for (count, upper) in [(1, 0.5), (3, 1.0)] {
                histogram.message(3, |bucket| {
                    bucket.uint64(1, count);
                    bucket.double(2, upper);
                    bucket.message(3, |exemplar| {
                        label(exemplar, "id", &count.to_string());
                        exemplar.double(2, upper);
                        if count == 3 {
                            time(exemplar, 3, 7, 5_000_000);
                        }
                    });
                });
            }
            time(histogram, 15, 3, 0);
            if native {
                histogram.sint32(5, 1);
                histogram.double(6, 0.001);
                histogram.uint64(7, 1);
                histogram.message(12, |span| {
                    span.sint32(1, 1);
                    span.uint64(2, 2);
                });
                histogram.sint64s(13, &[1, 1]);
            }
        });
    })
}

#[test]
fn every_kind_of_metric_is_read() {
    let mut counter = family("c_total", 0, |metric| {
        label(metric, "a", "b");
        metric.message(3, |counter| {
            counter.double(1, 2.5);
            counter.message(2, |exemplar| {
                label(exemplar, "id", "x");
                exemplar.double(2, 1.0);
            });
            time(counter, 3, 12, 345_000_000);
        });
        metric.int64(6, 99);
    });
    counter.string(5, "seconds");
    let gauge = family("g", 1, |metric| {
        metric.message(2, |gauge| gauge.double(1, -0.5))
    });
    let untyped = family("u", 3, |metric| {
        metric.message(5, |value| value.double(1, 7.0))
    });
    let summary = family("s", 2, |metric| {
        metric.message(4, |summary| {
            summary.uint64(1, 3);
            summary.double(2, 1.5);
            summary.message(3, |quantile| {
                quantile.double(1, 1.0);
                quantile.double(2, 9.0);
            });
        });
    });
    let mut empty = Message::default();
    empty.string(1, "nothing");
    let families = [counter, gauge, untyped, empty, summary];
    assert_eq!(
        lines(&families, all()),
        [
            "help c_total helps",
            "unit c_total seconds",
            "type c_total counter",
            r#"__name__=c_total,a=b 2.5 @99 since 12345 # [("id", "x")] 1 None"#,
            "help g helps",
            "type g gauge",
            "__name__=g -0.5",
            "help u helps",
            "type u unknown",
            "__name__=u 7.0",
            "help s helps",
            "type s summary",
            "__name__=s_count 3.0",
            "__name__=s_sum 1.5",
            "__name__=s,quantile=1.0 9.0",
        ]
    );
}

#[test]
fn histograms_have_two_sides() {
    let native = "__name__=h,a=b schema 1 count 4 Unknown [1.0, 2.0] since 3000 # [(\"id\", \"3\")] 1 Some(7005)";
    let classic = [
        "__name__=h_count,a=b 4.0 since 3000",
        "__name__=h_sum,a=b 5.5 since 3000",
        "__name__=h_bucket,a=b,le=0.5 1.0 since 3000 # [(\"id\", \"1\")] 0.5 None",
        "__name__=h_bucket,a=b,le=1.0 3.0 since 3000 # [(\"id\", \"3\")] 1 Some(7005)",
        "__name__=h_bucket,a=b,le=+Inf 4.0 since 3000",
    ];
    let both = [histogram("h", 4, true)];
    assert_eq!(lines(&both, all())[2..], [&[native][..], &classic].concat());
    let only_native = ReadOptions {
        classic_histograms: false,
        ..all()
    };
    assert_eq!(lines(&both, only_native)[2..], [native]);
    let no_native = ReadOptions {
        native_histograms: false,
        ..only_native
    };
    assert_eq!(lines(&both, no_native)[2..], classic);
    assert_eq!(
        lines(&[histogram("h", 4, false)], only_native)[2..],
        classic
    );
}

#[test]
fn classic_histograms_are_converted() {
    let converted = "__name__=h,a=b schema -53 count 4 Gauge [1.0, 2.0, 1.0] since 3000 # [(\"id\", \"3\")] 1 Some(7005)";
    let options = ReadOptions {
        convert_classic_histograms: true,
        classic_histograms: false,
        ..all()
    };
    let family = [histogram("h", 5, false)];
    assert_eq!(lines(&family, options)[2..], [converted]);
    let keeping = ReadOptions {
        classic_histograms: true,
        ..options
    };
    let kept = lines(&family, keeping);
    assert_eq!((kept.len(), kept[7].as_str()), (8, converted));
    // What is native already stays as it is.
    assert!(lines(&[histogram("h", 4, true)], options)[2].contains("schema 1"));
}

#[test]
fn float_histograms_have_float_counts() {
    let family = family("h", 5, |metric| {
        metric.message(7, |histogram| {
            histogram.double(4, 1.5);
            histogram.double(8, 0.5);
            histogram.message(12, |span| span.uint64(2, 1));
            histogram.doubles(14, &[1.0]);
        });
    });
    let hint = CounterResetHint::Gauge;
    assert_eq!(
        lines(&[family], all())[2],
        format!("__name__=h schema 0 count 1.5 {hint:?} [1.0]")
    );
}

#[test]
fn the_expected_series_is_recognized() {
    let gauge = || family("g", 1, |metric| label(metric, "a", "b"));
    let mut first = Notes::default();
    let body = delimited(&[gauge()]);
    let options = all();
    super::read(&body, &options, &mut first).unwrap();
    let mut second = Notes {
        expected: first.keys[0].clone(),
        ..Notes::default()
    };
    super::read(&body, &options, &mut second).unwrap();
    assert!(second.lines[2].ends_with("expected"));
}

#[test]
fn what_is_wrong_is_said() {
    let wrong_spans = family("h", 4, |metric| {
        metric.message(7, |histogram| {
            histogram.uint64(1, 1);
            histogram.message(12, |span| span.uint64(2, 3));
            histogram.sint64s(13, &[1]);
        });
    });
    let unknown = family("x", 9, |_| {});
    let nameless = family("", 1, |_| {});
    let bad_label = family("g", 1, |metric| label(metric, "", "b"));
    for (body, message) in [
        (
            delimited(&[wrong_spans]),
            "histogram \"h\": positive side: spans require 3 buckets, have 1",
        ),
        (
            delimited(&[unknown]),
            "unknown metric type for metric \"x\": 9",
        ),
        (delimited(&[nameless]), "invalid metric name: "),
        (delimited(&[bad_label]), "invalid label name: "),
        (
            vec![5, 1, 2],
            "a metric family of 5 bytes is announced, and 2 follow",
        ),
        (vec![0xff; 20], "the length of a metric family is malformed"),
        (vec![2, 0x0a, 5], "unexpected EOF"),
        (vec![3, 0x0a, 1, 0xff], "invalid metric name: \u{fffd}"),
    ] {
        let error = super::read(&body, &all(), &mut Notes::default()).unwrap_err();
        assert_eq!(error.to_string(), message);
    }
}

proptest! {
    #[test]
    fn no_bytes_panic(bytes in proptest::collection::vec(any::<u8>(), 0..300), native: bool, convert: bool) {
        let options = ReadOptions {
            native_histograms: native,
            convert_classic_histograms: convert,
            ..all()
        };
        let _ = super::read(&bytes, &options, &mut Notes::default());
    }

    #[test]
    fn no_changed_byte_panics(at in 0..200_usize, byte: u8) {
        let mut body = delimited(&[histogram("h", 4, true)]);
        let length = body.len();
        body[at % length] = byte;
        let _ = super::read(&body, &all(), &mut Notes::default());
    }
}
