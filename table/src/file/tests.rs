#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::sync::Arc;

use arrow::array::{
    ArrayRef, BinaryArray, Float64Array, Int64Array, ListArray, MapArray, RecordBatch, StringArray,
    StructArray, new_null_array,
};
use arrow::buffer::OffsetBuffer;
use arrow::datatypes::{DataType, Fields};
use chrono::NaiveDate;
use object_store::memory::InMemory;
use object_store::path::Path;
use object_store::{ObjectStore, ObjectStoreExt};
use varve_storage::columns;

use super::*;
use crate::delta::TableFile;
use crate::kind::TableKind;

fn entry(data_type: &DataType) -> (Arc<arrow::datatypes::Field>, Fields) {
    let DataType::Map(entries, _) = data_type else {
        panic!("not a map")
    };
    let DataType::Struct(fields) = entries.data_type() else {
        panic!("not a struct")
    };
    (Arc::clone(entries), fields.clone())
}

fn element(data_type: &DataType) -> Arc<arrow::datatypes::Field> {
    match data_type {
        DataType::List(element) => Arc::clone(element),
        other => panic!("{other}"),
    }
}

/// `rows` series of one metric with `samples` samples each.
fn batch(
    name: &str,
    rows: usize,
    samples: usize,
    value: impl Fn(usize, usize) -> f64,
) -> RecordBatch {
    let offsets = || OffsetBuffer::from_lengths(std::iter::repeat_n(samples, rows));
    let (entries, pair) = entry(&columns::labels_type());
    let keys: ArrayRef = Arc::new(StringArray::from(vec!["job"; rows]));
    let values: ArrayRef = Arc::new(StringArray::from_iter_values(
        (0..rows).map(|i| format!("{i}")),
    ));
    let labels = MapArray::new(
        entries,
        OffsetBuffer::from_lengths(std::iter::repeat_n(1, rows)),
        StructArray::new(pair, vec![keys, values], None),
        None,
        false,
    );
    let times = (0..rows).flat_map(|_| (0..samples as i64).map(|i| 1_000 + i * 15_000));
    let floats = (0..rows).flat_map(|row| (0..samples).map(move |i| (row, i)));
    let ids: Vec<[u8; 16]> = (0..rows).map(|i| (i as u128).to_be_bytes()).collect();
    let last = 1_000 + (samples as i64 - 1) * 15_000;
    let timestamps = Int64Array::from_iter_values(times);
    let values = Float64Array::from_iter_values(floats.map(|(row, i)| value(row, i)));
    RecordBatch::try_new(
        columns::samples_schema(),
        vec![
            Arc::new(StringArray::from(vec![name; rows])),
            Arc::new(BinaryArray::from_iter_values(ids)),
            Arc::new(labels),
            Arc::new(Int64Array::from(vec![1_000; rows])),
            Arc::new(Int64Array::from(vec![last; rows])),
            Arc::new(ListArray::new(
                element(&columns::timestamps_type()),
                offsets(),
                Arc::new(timestamps),
                None,
            )),
            Arc::new(ListArray::new(
                element(&columns::values_type()),
                offsets(),
                Arc::new(values),
                None,
            )),
            new_null_array(&columns::histograms_type(), rows),
            new_null_array(&columns::timestamps_type(), rows),
        ],
    )
    .unwrap()
}

fn write(level: u8, batches: &[RecordBatch]) -> NewFile {
    let date = NaiveDate::from_ymd_opt(1970, 1, 1).unwrap();
    let mut writer = TableFileWriter::new(TableKind::Samples, date, level);
    for batch in batches {
        writer.write(batch).unwrap();
    }
    writer.finish(7).unwrap().unwrap()
}

async fn read(store: &Arc<dyn ObjectStore>, file: &TableFile) -> crate::Result<Vec<RecordBatch>> {
    let root = Path::from("t/samples");
    let mut rows = SortedRows::open(store, &root, TableKind::Samples, file, 3).await?;
    let mut batches = Vec::new();
    while let Some(batch) = rows.next().await? {
        batches.push(batch);
    }
    Ok(batches)
}

#[tokio::test]
async fn a_file_comes_back_bit_for_bit_with_its_statistics() {
    let special = [
        f64::from_bits(varve_storage::STALE_NAN),
        f64::from_bits(0x7ff8_0000_0000_1234),
        f64::from_bits(0xfff0_0000_0000_0001),
        f64::NEG_INFINITY,
        -0.0,
        f64::MIN_POSITIVE / 4.0,
    ];
    let value = |row: usize, i: usize| special[(row + i) % special.len()];
    let batches = [batch("a", 5, 7, value), batch("b", 4, 2, value)];
    for level in [0, 1] {
        let file = write(level, &batches);
        assert_eq!((file.rows, file.samples), (9, 43));
        let store: Arc<dyn ObjectStore> = Arc::new(InMemory::new());
        let root = Path::from("t/samples");
        file.put(store.as_ref(), &root).await.unwrap();
        let live = TableFile::from_add(&root, file.add.clone()).unwrap();
        assert_eq!((live.level, live.rows, live.samples), (level, 9, 43));
        assert_eq!(live.min_name.as_deref(), Some("a"));
        assert_eq!(live.max_name.as_deref(), Some("b"));
        assert_eq!((live.min_time_ms, live.max_time_ms), (1_000, 91_000));
        let read = read(&store, &live).await.unwrap();
        let read = arrow::compute::concat_batches(&read[0].schema(), &read).unwrap();
        let written = arrow::compute::concat_batches(&batches[0].schema(), &batches).unwrap();
        assert_eq!(read.columns()[..6], written.columns()[..6]);
        let bits = |batch: &RecordBatch| -> Vec<u64> {
            use arrow::array::AsArray;
            let list = batch.column_by_name("values").unwrap().as_list::<i32>();
            let values = list
                .values()
                .as_primitive::<arrow::datatypes::Float64Type>();
            values.values().iter().map(|v| v.to_bits()).collect()
        };
        assert_eq!(bits(&read), bits(&written));
    }
}

/// The same rows, each sample counted since its own time less `age_ms`.
fn with_starts(batch: &RecordBatch, age_ms: i64) -> RecordBatch {
    use arrow::array::AsArray;
    let column = batch.column_by_name(columns::TIMESTAMPS).unwrap();
    let lists = column.as_list::<i32>();
    let times = lists.values().as_primitive::<arrow::datatypes::Int64Type>();
    let starts = times.values().iter().map(|time| time - age_ms);
    let mut arrays = batch.columns().to_vec();
    let last = arrays.len() - 1;
    arrays[last] = Arc::new(ListArray::new(
        element(&columns::timestamps_type()),
        lists.offsets().clone(),
        Arc::new(Int64Array::from_iter_values(starts)),
        None,
    ));
    RecordBatch::try_new(batch.schema(), arrays).unwrap()
}

#[tokio::test]
async fn start_timestamps_cost_a_column_only_where_there_are_some() {
    let value = |row: usize, i: usize| (row * 7 + i) as f64;
    let (plain, other) = (batch("a", 5, 7, value), batch("b", 5, 7, value));
    let started = with_starts(&other, 900);
    let store: Arc<dyn ObjectStore> = Arc::new(InMemory::new());
    let root = Path::from("t/samples");
    for (level, batches, columns_read) in [
        (0, vec![plain.clone()], 8),
        (1, vec![plain.clone(), other.clone()], 8),
        (0, vec![plain.clone(), started.clone()], 9),
        (1, vec![plain.clone(), started.clone()], 9),
        (2, vec![started.clone()], 9),
        // Whether the batches to come have some is not known when the first are written.
        (0, vec![plain.clone(), other.clone()], 9),
    ] {
        let file = write(level, &batches);
        file.put(store.as_ref(), &root).await.unwrap();
        let live = TableFile::from_add(&root, file.add.clone()).unwrap();
        let read = read(&store, &live).await.unwrap();
        let read = arrow::compute::concat_batches(&read[0].schema(), &read).unwrap();
        assert_eq!(read.num_columns(), columns_read, "level {level}");
        let written = arrow::compute::concat_batches(&plain.schema(), &batches).unwrap();
        if columns_read == 9 {
            assert_eq!(read.column(8), written.column(8));
        }
    }
}

#[tokio::test]
async fn every_truncation_and_every_flipped_bit_is_found() {
    let file = write(1, &[batch("a", 5, 7, |row, i| (row * i) as f64)]);
    let store: Arc<dyn ObjectStore> = Arc::new(InMemory::new());
    let root = Path::from("t/samples");
    let live = TableFile::from_add(&root, file.add.clone()).unwrap();
    let key = live.key(&root);
    for byte in (0..file.bytes.len()).step_by(5) {
        let mut broken = file.bytes.to_vec();
        broken[byte] ^= 4;
        store.put(&key, broken.into()).await.unwrap();
        let error = read(&store, &live).await.unwrap_err().to_string();
        assert!(error.contains(key.as_ref()), "{error}");
        store
            .put(&key, file.bytes.slice(..byte).into())
            .await
            .unwrap();
        let error = read(&store, &live).await.unwrap_err().to_string();
        assert!(error.contains(key.as_ref()), "{error}");
    }
}

#[test]
fn the_encoding_of_values_follows_the_data() {
    // A counter that rises by uneven steps: high bytes repeat, low bytes do not.
    let rising = batch("a", 100, 200, |row, i| {
        (1_000_000 + row * 7_919 + i * 137 + (i * i * 31 + row) % 97) as f64
    });
    let constant = batch("a", 100, 200, |row, _| row as f64 + 0.1);
    use parquet::basic::Encoding;
    let chosen =
        |batch: &RecordBatch| properties::values_encoding(std::slice::from_ref(batch), 1).unwrap();
    assert_eq!(chosen(&rising), Encoding::BYTE_STREAM_SPLIT);
    assert_eq!(chosen(&constant), Encoding::PLAIN);
}

#[tokio::test]
async fn a_file_of_exemplars_has_bounds_of_names_and_times() {
    use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
    use varve_storage::exemplar::{decode_exemplars, exemplars_batch};
    use varve_storage::{Exemplar, Labels, Series};
    let exemplar = |name: &str, timestamp_ms: i64| Exemplar {
        series: Arc::new(Series::new(Labels::from_pairs([
            ("__name__", name),
            ("le", "1"),
        ]))),
        labels: Labels::from_pairs([("trace_id", timestamp_ms.to_string().as_str())]),
        timestamp_ms,
        value: 0.5,
    };
    let exemplars = [exemplar("a", 7_000), exemplar("a", 9_000), exemplar("b", 5)];
    let date = NaiveDate::from_ymd_opt(1970, 1, 1).unwrap();
    let kind = TableKind::Exemplars;
    let mut writer = TableFileWriter::new(kind, date, 0);
    writer
        .write(&exemplars_batch(&exemplars[..1]).unwrap())
        .unwrap();
    writer
        .write(&exemplars_batch(&exemplars[1..]).unwrap())
        .unwrap();
    let file = writer.finish(7).unwrap().unwrap();
    let stats = file.add.stats.as_deref().unwrap();
    assert_eq!(
        stats,
        r#"{"numRecords":3,"minValues":{"__name__":"a","timestamp":5},"maxValues":{"__name__":"b","timestamp":9000},"nullCount":{"__name__":0,"timestamp":0}}"#
    );
    let parquet = ParquetRecordBatchReaderBuilder::try_new(file.bytes.clone()).unwrap();
    let group = parquet.metadata().row_group(0).clone();
    for column in group.columns() {
        let path = column.column_path().string();
        let wanted = ["__name__", "series_id", "timestamp"].contains(&path.as_str());
        assert_eq!(column.statistics().is_some(), wanted, "{path}");
    }
    let sorted = group.sorting_columns().unwrap().iter();
    let sorted: Vec<String> = sorted
        .map(|sorting| {
            let column = group.column(sorting.column_idx as usize);
            column.column_path().string()
        })
        .collect();
    assert_eq!(sorted, ["__name__", "series_id", "timestamp"]);

    let store: Arc<dyn ObjectStore> = Arc::new(InMemory::new());
    let root = Path::from("t/exemplars");
    file.put(store.as_ref(), &root).await.unwrap();
    let live = TableFile::from_add(&root, file.add.clone()).unwrap();
    assert_eq!((live.min_time_ms, live.max_time_ms), (5, 9_000));
    let mut rows = SortedRows::open(&store, &root, kind, &live, 2)
        .await
        .unwrap();
    let mut read = Vec::new();
    while let Some(batch) = rows.next().await.unwrap() {
        read.extend(decode_exemplars(&batch).unwrap());
    }
    let same = read
        .iter()
        .zip(&exemplars)
        .all(|(a, b)| a.total_cmp(b).is_eq());
    assert!(same && read.len() == 3, "{read:?}");
}
