//! Start timestamps of scrapes.

use super::*;
use varve_storage::protobuf::encode::Message;

const BODY: &str = "# TYPE c counter\nc_total 5\nc_created 0.5\n# TYPE h histogram\nh_count 2\nh_sum 1\nh_created 1.5\n# EOF\n";

fn target(store: bool, zero_samples: bool, job: &str) -> Fixture {
    let mut target = Fixture::new(job);
    target.starts = StartTimestamps {
        store,
        zero_samples,
    };
    target.time_ms = 1000;
    target
}

#[test]
fn starts_are_stored_where_that_is_wanted() {
    let stored = [
        "__name__=c_total job=j 5 @2000 since 500",
        "__name__=h_count job=j 2 @2000 since 1500",
        "__name__=h_sum job=j 1 @2000 since 1500",
    ];
    let mut starting = target(true, false, "");
    assert_eq!(starting.rows(BODY), stored);
    // The series are known now.
    let again = stored.map(|row| row.replace("@2000", "@3000"));
    assert_eq!(starting.rows(BODY), again);
    let plain = target(false, false, "").rows(BODY);
    assert_eq!(plain.len(), 5);
    assert!(plain.iter().all(|row| !row.contains("since")));
}

#[test]
fn a_sample_of_zero_begins_a_counter() {
    let mut target = target(false, true, "");
    assert_eq!(
        target.rows(BODY),
        [
            "__name__=c_total job=j 0 @500",
            "__name__=c_total job=j 5 @2000",
            "__name__=h_count job=j 0 @1500",
            "__name__=h_count job=j 2 @2000",
            "__name__=h_sum job=j 0 @1500",
            "__name__=h_sum job=j 1 @2000",
        ]
    );
    // Only once; and again after a reset.
    assert_eq!(target.rows(BODY).len(), 3);
    let reset = BODY.replace("c_created 0.5", "c_created 3.5");
    assert_eq!(
        target.rows(&reset)[..2],
        [
            "__name__=c_total job=j 0 @3500",
            "__name__=c_total job=j 5 @4000"
        ]
    );
    // Not in the future, nor long ago.
    target.time_ms = 10_000_000;
    for start in ["c_created 99999", "c_created 6.4"] {
        assert_eq!(
            target.rows(&BODY.replace("c_created 0.5", start)).len(),
            3,
            "{start}"
        );
    }
}

#[test]
fn histograms_begin_empty() {
    let mut target = target(true, true, ", convert_classic_histograms_to_nhcb: true");
    let body = "# TYPE h histogram\nh_bucket{le=\"1\"} 2\nh_count 2\nh_created 1.5\n# EOF\n";
    assert_eq!(
        target.rows(body),
        [
            "__name__=h job=j count 0 @1500",
            "__name__=h job=j count 2 @2000 since 1500",
        ]
    );
}

#[test]
fn messages_say_it_too() {
    let mut family = Message::default();
    family.string(1, "c");
    family.message(4, |metric| {
        metric.message(3, |counter| {
            counter.double(1, 7.0);
            counter.message(3, |time| time.int64(1, 1));
        });
    });
    let mut field = Message::default();
    field.bytes(1, family.as_bytes());
    let body = &field.into_bytes()[1..];
    let mut both = target(true, true, "");
    assert_eq!(
        both.scrape_as(Format::Protobuf, body).rows,
        [
            "__name__=c job=j 0 @1000",
            "__name__=c job=j 7 @2000 since 1000"
        ]
    );
    let mut neither = target(false, false, "");
    assert_eq!(
        neither.scrape_as(Format::Protobuf, body).rows,
        ["__name__=c job=j 7 @2000"]
    );
}
