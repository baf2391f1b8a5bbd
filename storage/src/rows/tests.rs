#![allow(clippy::unwrap_used)]

use super::*;
use crate::histogram::{CounterResetHint, Span};
use crate::labels::{Series, SeriesRef};
use crate::sample::stale_nan;
use proptest::prelude::*;

fn series(pairs: &[(&str, &str)]) -> SeriesRef {
    Arc::new(Series::new(Labels::from_pairs(pairs.iter().copied())))
}

fn histogram(count: f64) -> SampleValue {
    SampleValue::Histogram(Arc::new(FloatHistogram {
        counter_reset_hint: CounterResetHint::Gauge,
        schema: -53,
        zero_threshold: 0.0,
        zero_count: 0.0,
        count,
        sum: count * 2.0,
        positive_spans: vec![Span {
            offset: 0,
            length: 2,
        }],
        positive_buckets: vec![count, 0.0],
        negative_spans: Vec::new(),
        negative_buckets: Vec::new(),
        custom_values: vec![0.5, 1.0],
    }))
}

fn bits(value: &SampleValue) -> String {
    match value {
        SampleValue::Float(float) => format!("{:016x}", float.to_bits()),
        SampleValue::Histogram(histogram) => format!("{histogram:?}"),
    }
}

#[test]
fn rows_come_back_as_slices() {
    let up = series(&[("__name__", "up"), ("job", "a"), ("Zone", "z")]);
    let mut builder = SampleRowsBuilder::with_capacity(1, 2);
    builder.push(&up, &[1, 2], &[0.5, 1.5], &[], &[]).unwrap();
    assert_eq!((builder.rows(), builder.samples()), (1, 2));
    let batch = builder.finish().unwrap();
    let rows = SampleRows::new(&batch).unwrap();
    let row = rows.row(0);
    assert_eq!(row.name(), "up");
    assert_eq!(row.series_id(), up.id);
    assert_eq!(row.labels().unwrap(), up.labels);
    assert!(row.has_labels(&up.labels));
    let less = Labels::from_pairs([("__name__", "up"), ("job", "a")]);
    let other_name = Labels::from_pairs([("__name__", "down"), ("job", "a"), ("Zone", "z")]);
    assert!(!row.has_labels(&less) && !row.has_labels(&other_name));
    let pairs: Vec<_> = row.label_pairs().collect();
    assert_eq!(pairs, [("Zone", "z"), ("job", "a")]);
    assert_eq!(row.timestamps(), [1, 2]);
    assert_eq!(row.values(), [0.5, 1.5]);
    assert!(!row.has_histograms() && !row.is_histogram(0));
    assert!(row.value(2).is_none());
    assert!(row.start_timestamps().is_empty());
    assert_eq!(rows.samples(), 2);
}

#[test]
fn a_sliced_and_projected_batch_reads_the_same() {
    let rows: Vec<SeriesSamples> = ["a", "b", "c"]
        .map(|name| {
            let mut row = SeriesSamples::new(series(&[("__name__", name)]));
            row.push(1, &SampleValue::Float(1.0));
            row.push(2, &histogram(3.0));
            row
        })
        .to_vec();
    let batch = samples_batch(&rows).unwrap().slice(1, 2);
    let sliced = SampleRows::new(&batch).unwrap();
    assert_eq!(sliced.len(), 2);
    assert_eq!(sliced.samples(), 4);
    assert_eq!(sliced.row(1).name(), "c");
    assert_eq!(
        bits(&sliced.row(1).value(1).unwrap()),
        bits(&histogram(3.0))
    );
    assert!(!sliced.row(1).is_histogram(0) && sliced.row(1).is_histogram(1));

    // name, id, timestamps, values
    let projected = batch.project(&[0, 1, 5, 6]).unwrap();
    let rows = SampleRows::new(&projected).unwrap();
    assert_eq!(rows.row(0).timestamps(), [1, 2]);
    assert_eq!(rows.row(0).labels(), None);
    let error = SampleRows::new(&batch.project(&[0, 1, 5]).unwrap())
        .unwrap_err()
        .to_string();
    assert!(error.contains("no column values"), "{error}");
}

#[test]
fn a_batch_of_another_shape_is_refused_by_name() {
    use arrow::array::{ArrayRef, Int64Array};
    let batch = samples_batch(&[{
        let mut row = SeriesSamples::new(series(&[("__name__", "a")]));
        row.push(1, &SampleValue::Float(1.0));
        row
    }])
    .unwrap();
    let number: ArrayRef = Arc::new(Int64Array::from(vec![1]));
    for column in [columns::NAME, columns::SERIES_ID, columns::TIMESTAMPS] {
        let schema = batch.schema();
        let fields = schema.fields().iter().map(|field| {
            let array = if field.name() == column {
                Arc::clone(&number)
            } else {
                Arc::clone(batch.column_by_name(field.name()).unwrap())
            };
            (field.name().clone(), array, true)
        });
        let forged = RecordBatch::try_from_iter_with_nullable(fields.collect::<Vec<_>>()).unwrap();
        let error = SampleRows::new(&forged).unwrap_err().to_string();
        assert!(error.contains(column), "{error}");
    }
}

#[test]
fn the_builder_refuses_what_a_row_must_not_be_and_stays_usable() {
    let a = series(&[("__name__", "a")]);
    let mut builder = SampleRowsBuilder::with_capacity(1, 1);
    builder.push(&a, &[], &[], &[], &[]).unwrap_err();
    builder
        .push(&a, &[1, 1], &[1.0, 2.0], &[], &[])
        .unwrap_err();
    builder.push(&a, &[1, 2], &[1.0], &[], &[]).unwrap_err();
    let two = [1.0, 2.0];
    builder.push(&a, &[1, 2], &two, &[None], &[]).unwrap_err();
    builder.push(&a, &[1, 2], &two, &[], &[7]).unwrap_err();
    builder.push(&a, &[1, 2], &two, &[], &[]).unwrap();
    assert_eq!(builder.finish().unwrap().num_rows(), 1);
}

#[test]
fn start_timestamps_are_kept_where_one_is_known() {
    let mut with = SeriesSamples::new(series(&[("__name__", "a")]));
    with.push(1, &SampleValue::Float(1.0));
    with.push_started(2, -7, &histogram(3.0));
    with.push(3, &SampleValue::Float(2.0));
    assert_eq!(with.start_timestamps, [0, -7, 0]);
    let mut without = SeriesSamples::new(series(&[("__name__", "b")]));
    without.push_started(1, columns::NO_START_MS, &SampleValue::Float(1.0));
    let batch = samples_batch(&[with.clone(), without.clone()]).unwrap();
    let column = batch.column_by_name(columns::START_TIMESTAMPS).unwrap();
    assert!(!column.is_null(0) && column.is_null(1));
    let rows = SampleRows::new(&batch).unwrap();
    assert_eq!(rows.row(0).start_timestamps(), [0, -7, 0]);
    assert_eq!(rows.row(1).start_timestamps(), [0; 0]);

    // A list of another length than the others is no row.
    let short = StartLists::new(column).unwrap();
    assert_eq!(short.get(0), Some(&[0, -7, 0][..]));
    let mut forged = batch.columns().to_vec();
    let last = forged.len() - 1;
    forged[last] = Arc::clone(&forged[5]);
    let lists = samples_batch(&[without.clone(), with.clone()]).unwrap();
    forged[5] = Arc::clone(lists.column(5));
    forged[6] = Arc::clone(lists.column(6));
    forged[7] = Arc::clone(lists.column(7));
    let forged = RecordBatch::try_new(batch.schema(), forged).unwrap();
    let error = SampleRows::new(&forged).unwrap_err().to_string();
    assert!(error.contains("start timestamps"), "{error}");

    let mut all = SeriesSamples::new(Arc::clone(&with.series));
    all.append(&without);
    all.append(&with);
    all.append(&without);
    assert_eq!(all.start_timestamps, [0, 0, -7, 0, 0]);
    assert_eq!((all.histograms.len(), all.len()), (5, 5));
}

#[test]
fn a_nameless_series_comes_back() {
    let nameless = series(&[("job", "a")]);
    let mut row = SeriesSamples::new(Arc::clone(&nameless));
    row.push(1, &SampleValue::Float(1.0));
    let batch = samples_batch(&[row]).unwrap();
    let rows = SampleRows::new(&batch).unwrap();
    assert_eq!(rows.row(0).name(), "");
    assert_eq!(rows.row(0).labels().unwrap(), nameless.labels);
}

/// Values that are hard to compare: markers, NaNs with payloads, zeros of both signs, infinities, histograms.
fn value() -> impl Strategy<Value = SampleValue> {
    prop_oneof![
        Just(SampleValue::Float(stale_nan())),
        Just(SampleValue::Float(f64::NAN)),
        Just(SampleValue::Float(-f64::NAN)),
        Just(SampleValue::Float(0.0)),
        Just(SampleValue::Float(-0.0)),
        Just(SampleValue::Float(f64::INFINITY)),
        (0..4_u64).prop_map(|n| SampleValue::Float(f64::from_bits(0x7ff8_0000_0000_0000 + n))),
        any::<f64>().prop_map(SampleValue::Float),
        (0..3).prop_map(|n| histogram(f64::from(n))),
        Just(histogram(stale_nan())),
    ]
}

/// A series, a time, a start timestamp that most often is not known, and a value.
type Sample = (usize, i64, i64, SampleValue);

fn samples() -> impl Strategy<Value = Vec<Sample>> {
    let start = prop_oneof![3 => Just(columns::NO_START_MS), 2 => -2..3_i64];
    prop::collection::vec((0..3_usize, -3..4_i64, start, value()), 0..40)
}

fn all() -> [SeriesRef; 3] {
    ["a", "b", "c"].map(|name| series(&[("__name__", name), ("x", "y")]))
}

fn collected(samples: &[Sample]) -> Vec<SeriesSamples> {
    let series = all();
    let mut set = SampleSet::default();
    for (which, timestamp_ms, start_ms, value) in samples {
        let place = set.place(&series[*which]).unwrap();
        set.push_at(place, *timestamp_ms, *start_ms, value);
    }
    set.into_rows()
}

fn text(rows: &[SeriesSamples]) -> Vec<String> {
    rows.iter()
        .flat_map(|row| {
            (0..row.len()).map(|i| {
                let value = row.value(i).unwrap();
                let (time_ms, start_ms) = (row.timestamps[i], row.start_ms(i));
                format!("{:?} {time_ms} {start_ms} {}", row.series.id, bits(&value))
            })
        })
        .collect()
}

/// Merges sets of rows by way of batches, as a compactor does.
fn merged(parts: &[Vec<SeriesSamples>]) -> Vec<SeriesSamples> {
    let mut set = SampleSet::default();
    for part in parts {
        let batch = samples_batch(part).unwrap();
        let rows = SampleRows::new(&batch).unwrap();
        for (row, owner) in rows.iter().zip(part) {
            set.extend(&owner.series, row).unwrap();
        }
    }
    set.into_rows()
}

proptest! {
    #[test]
    fn the_order_of_samples_does_not_matter(samples in samples(), seed in any::<u64>()) {
        let mut shuffled = samples.clone();
        let mut state = seed | 1;
        for i in (1..shuffled.len()).rev() {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            shuffled.swap(i, (state >> 33) as usize % (i + 1));
        }
        prop_assert_eq!(text(&collected(&samples)), text(&collected(&shuffled)));
    }

    #[test]
    fn merging_is_associative_commutative_and_idempotent(
        a in samples(), b in samples(), c in samples()
    ) {
        let [a, b, c] = [a, b, c].map(|samples| collected(&samples));
        let m = |parts: &[&Vec<SeriesSamples>]| {
            merged(&parts.iter().map(|part| (*part).clone()).collect::<Vec<_>>())
        };
        let left = m(&[&m(&[&a, &b]), &c]);
        let right = m(&[&a, &m(&[&b, &c])]);
        prop_assert_eq!(text(&left), text(&right));
        prop_assert_eq!(text(&m(&[&a, &b])), text(&m(&[&b, &a])));
        prop_assert_eq!(text(&m(&[&a, &a])), text(&a));
    }

    #[test]
    fn a_batch_holds_exactly_its_rows(samples in samples()) {
        let rows = collected(&samples);
        let batch = samples_batch(&rows).unwrap();
        prop_assert_eq!(batch.schema(), columns::samples_schema());
        let views = SampleRows::new(&batch).unwrap();
        for (view, row) in views.iter().zip(&rows) {
            prop_assert_eq!(view.broken_rule(), None);
            prop_assert_eq!(view.timestamps(), row.timestamps.as_slice());
            let known = row.start_timestamps.iter().any(|start| *start != columns::NO_START_MS);
            let starts = if known { &row.start_timestamps[..] } else { &[] };
            prop_assert_eq!(view.start_timestamps(), starts);
            for i in 0..row.len() {
                prop_assert_eq!(bits(&view.value(i).unwrap()), bits(&row.value(i).unwrap()));
            }
        }
        prop_assert_eq!(text(&merged(std::slice::from_ref(&rows))), text(&rows));
    }
}
