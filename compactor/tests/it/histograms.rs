//! Native histograms through every level.

use std::sync::Arc;

use object_store::ObjectStoreExt;
use uuid::Uuid;
use varve_compactor::CompactorOptions;
use varve_storage::histogram::{CounterResetHint, Span};
use varve_storage::rows::{SampleRows, SampleSet};
use varve_storage::wal::{SegmentContent, encode_segment};
use varve_storage::{FloatHistogram, SampleValue, stale_nan};
use varve_table::TableKind;

use crate::archive::{Archive, HOUR_MS, NOON_MS, at, options, series};

fn histogram(count: f64) -> FloatHistogram {
    FloatHistogram {
        counter_reset_hint: CounterResetHint::NotCounterReset,
        schema: 3,
        zero_threshold: 1e-128,
        zero_count: 1.0,
        count,
        sum: if count == 0.0 {
            stale_nan()
        } else {
            count * 0.3
        },
        positive_spans: vec![
            Span {
                offset: -2,
                length: 2,
            },
            Span {
                offset: 4,
                length: 1,
            },
        ],
        positive_buckets: vec![count, 2.0, 3.0],
        negative_spans: vec![Span {
            offset: 0,
            length: 1,
        }],
        negative_buckets: vec![7.5],
        custom_values: Vec::new(),
    }
}

#[tokio::test]
async fn histograms_and_floats_of_one_series_come_back_bit_for_bit() {
    let archive = Archive::new();
    let compactor = archive.compactor(CompactorOptions {
        small_files_max: 2,
        ..options()
    });
    let value = |i: i64| match i % 3 {
        0 => SampleValue::Float(i as f64),
        _ => SampleValue::Histogram(Arc::new(histogram((i % 5) as f64))),
    };
    for segment in 0..4i64 {
        let mut set = SampleSet::default();
        for i in segment * 5..segment * 5 + 5 {
            set.push(&series(0), NOON_MS + i * 600_000, &value(i))
                .unwrap();
            set.push(&series(1), NOON_MS + i * 600_000, &SampleValue::Float(1.0))
                .unwrap();
        }
        let content = SegmentContent {
            rows: set.into_rows(),
            ..SegmentContent::default()
        };
        let sequence = segment as u64 + 1;
        let bytes = encode_segment(Uuid::nil(), 0, sequence, &content).unwrap();
        let key = archive.keys.wal_segment(0, sequence);
        archive.objects.put(&key, bytes.into()).await.unwrap();
        compactor.run_once(&at(NOON_MS)).await.unwrap();
    }
    for hours in [0, 5, 30] {
        compactor
            .run_once(&at(NOON_MS + hours * HOUR_MS))
            .await
            .unwrap();
        let snapshot = archive.snapshot().await;
        let mut found = 0;
        for (_, batch) in archive.batches(TableKind::Samples, &snapshot.samples).await {
            let rows = SampleRows::new(&batch).unwrap();
            for row in rows.iter().filter(|row| row.series_id() == series(0).id) {
                for (index, time) in row.timestamps().iter().enumerate() {
                    let expected = value((time - NOON_MS) / 600_000);
                    match (row.value(index).unwrap(), expected) {
                        (SampleValue::Float(a), SampleValue::Float(b)) => assert_eq!(a, b),
                        (SampleValue::Histogram(a), SampleValue::Histogram(b)) => {
                            assert!(a.total_cmp(&b).is_eq(), "{a:?} {b:?}");
                        }
                        (a, b) => panic!("{a:?} {b:?}"),
                    }
                    found += 1;
                }
            }
        }
        assert_eq!(found, 20);
    }
}
