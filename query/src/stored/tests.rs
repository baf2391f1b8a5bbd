//! Exemplars and metadata of archives whose tables and segments are made by hand, at every stage in which a compactor may leave them.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use chrono::{DateTime, NaiveDate};
use object_store::memory::InMemory;
use object_store::{ObjectStore, ObjectStoreExt};
use proptest::prelude::*;
use varve_promql::{MatchOp, Matcher};
use varve_storage::exemplar::exemplars_batch;
use varve_storage::keys::TenantKeys;
use varve_storage::store::fault::{FaultStore, RequestClass};
use varve_storage::wal::{Append, WalOptions, WalWriter};
use varve_storage::{Exemplar, Labels, MetricType, Series, SeriesRef};
use varve_table::rows::encode_metadata;
use varve_table::{Commit, CommitOutcome, DeltaTable, TableFileWriter, TableKind};

use super::*;

const DAY_MS: i64 = 24 * 3_600_000;

/// An archive in memory, and what was asked of its store.
struct Fixture {
    store: FaultStore,
    archive: StoredArchive,
    keys: TenantKeys,
    /// Requests that were looked at.
    seen: AtomicUsize,
}

impl Fixture {
    fn new() -> Self {
        let store = FaultStore::new(Arc::new(InMemory::new()));
        let keys = TenantKeys::default();
        let archive = Self::open(&store, &keys);
        Self {
            store,
            archive,
            keys,
            seen: AtomicUsize::new(0),
        }
    }

    fn open(store: &FaultStore, keys: &TenantKeys) -> StoredArchive {
        let store = Store::from_object_store(Arc::new(store.clone()));
        let reader = ArchiveReader::new(store.clone(), keys.clone());
        StoredArchive::new(Arc::new(reader), store, Arc::default())
    }

    fn objects(&self) -> Arc<dyn ObjectStore> {
        Arc::new(self.store.clone())
    }

    /// One segment of shard 0 for each append.
    async fn segments(&self, appends: Vec<Append>) {
        let options = WalOptions {
            flush_interval: Duration::from_millis(1),
            ..WalOptions::default()
        };
        let writer = WalWriter::open(self.objects(), self.keys.clone(), 0, options)
            .await
            .unwrap();
        for append in appends {
            writer
                .append(append)
                .await
                .unwrap()
                .durable()
                .await
                .unwrap();
        }
        writer.close().await.unwrap();
    }

    /// Commits a file per item, and the mark of shard 0 if it rises.
    async fn commit(
        &self,
        kind: TableKind,
        files: Vec<(NaiveDate, arrow::array::RecordBatch)>,
        mark: (u64, u64),
    ) {
        let root = self.keys.table(kind.name());
        let table = DeltaTable::open_or_create(self.objects(), root, kind, 0)
            .await
            .unwrap();
        let mut commit = Commit::append("TEST");
        for (date, batch) in files {
            let mut writer = TableFileWriter::new(kind, date, 0);
            writer.write(&batch).unwrap();
            let file = writer.finish(0).unwrap().unwrap();
            file.put(table.store().as_ref(), table.root())
                .await
                .unwrap();
            commit = commit.add_file(file.add);
        }
        if mark.1 > mark.0 {
            commit = commit.advance(0, mark.0, mark.1);
        }
        let outcome = table.commit(&commit, 0).await.unwrap();
        assert!(matches!(outcome, CommitOutcome::Committed(_)));
    }

    async fn exemplar_files(&self, files: Vec<Vec<Exemplar>>, mark: (u64, u64)) {
        let mut encoded = Vec::new();
        for file in files {
            let mut days: BTreeMap<NaiveDate, Vec<Exemplar>> = BTreeMap::new();
            for exemplar in file {
                let day = days.entry(date_of(exemplar.timestamp_ms)).or_default();
                day.push(exemplar);
            }
            for (date, mut day) in days {
                day.sort_by(Exemplar::total_cmp);
                encoded.push((date, exemplars_batch(&day).unwrap()));
            }
        }
        self.commit(TableKind::Exemplars, encoded, mark).await;
    }

    /// Reads of objects since the last call.
    fn reads(&self) -> Vec<String> {
        let log = self.store.log();
        let seen = self.seen.swap(log.len(), Ordering::Relaxed);
        let log = log.into_iter().skip(seen);
        let gets = log.filter(|request| request.class == RequestClass::Get);
        gets.map(|request| request.key).collect()
    }
}

fn date_of(time_ms: i64) -> NaiveDate {
    DateTime::from_timestamp_millis(time_ms)
        .unwrap()
        .date_naive()
}

fn series(name: &str, job: &str) -> SeriesRef {
    Arc::new(Series::new(Labels::from_pairs([
        ("__name__", name),
        ("job", job),
    ])))
}

fn exemplar(name: &str, job: &str, timestamp_ms: i64, trace: &str) -> Exemplar {
    Exemplar {
        series: series(name, job),
        labels: Labels::from_pairs([("trace_id", trace)]),
        timestamp_ms,
        value: 0.25,
    }
}

fn with_exemplars(exemplars: Vec<Exemplar>) -> Append {
    Append {
        exemplars,
        ..Append::default()
    }
}

fn query(matchers: &[(&str, MatchOp, &str)], start_ms: i64, end_ms: i64) -> ExemplarQuery {
    let matchers = matchers.iter().map(|(n, op, v)| Matcher::new(*n, *op, *v));
    ExemplarQuery {
        matchers: vec![matchers.collect()],
        start_ms,
        end_ms,
    }
}

/// Name, job, time and trace of each exemplar, in the order of the answer.
async fn found(archive: &StoredArchive, query: &ExemplarQuery) -> Vec<String> {
    let (found, warnings) = archive.exemplars(query).await.unwrap();
    assert_eq!(warnings, [""; 0]);
    let text = |e: &Exemplar| {
        let job = e.series.labels.get("job").unwrap_or("").to_owned();
        let trace = e.labels.get("trace_id").unwrap_or("").to_owned();
        format!(
            "{} {job} {} {trace}",
            e.series.labels.metric_name(),
            e.timestamp_ms
        )
    };
    let exemplars = found.iter().flat_map(|series| &series.exemplars);
    exemplars.map(text).collect()
}

#[tokio::test]
async fn exemplars_of_table_and_tail_are_found_once() {
    let fixture = Fixture::new();
    let everything = query(&[("__name__", MatchOp::Regex, ".+")], i64::MIN, i64::MAX);
    assert_eq!(found(&fixture.archive, &everything).await, [""; 0]);
    let first = vec![exemplar("a", "x", 10, "1"), exemplar("b", "y", 20, "2")];
    let second = vec![exemplar("a", "x", 30, "3"), exemplar("a", "x", 10, "1")];
    let third = vec![exemplar("a", "w", DAY_MS, "4")];
    let appends = [first.clone(), second.clone(), third];
    fixture.segments(appends.map(with_exemplars).to_vec()).await;
    let all = ["a w 86400000 4", "a x 10 1", "a x 30 3", "b y 20 2"];
    assert_eq!(found(&fixture.archive, &everything).await, all);
    // Committed, and `samples` is not there yet: the segments are read all the same.
    fixture.exemplar_files(vec![first, second], (0, 2)).await;
    assert_eq!(found(&fixture.archive, &everything).await, all);
    fixture.commit(TableKind::Samples, Vec::new(), (0, 2)).await;
    for archive in [
        &fixture.archive,
        &Fixture::open(&fixture.store, &fixture.keys),
    ] {
        assert_eq!(found(archive, &everything).await, all);
        use MatchOp::{Equal, NotEqual};
        let asked = query(&[("job", Equal, "x")], 10, 29);
        assert_eq!(found(archive, &asked).await, ["a x 10 1"]);
        let asked = query(
            &[("__name__", Equal, "a"), ("job", NotEqual, "x")],
            0,
            DAY_MS,
        );
        assert_eq!(found(archive, &asked).await, ["a w 86400000 4"]);
        let asked = query(&[("__name__", Equal, "a")], 11, 29);
        assert_eq!(found(archive, &asked).await, [""; 0]);
        let mut both = query(&[("__name__", Equal, "b")], 0, 99);
        both.matchers
            .push(vec![Matcher::new("__name__", Equal, "a")]);
        let wanted = ["a x 10 1", "a x 30 3", "b y 20 2"];
        assert_eq!(found(archive, &both).await, wanted);
    }
}

#[tokio::test]
async fn only_files_that_may_have_exemplars_are_read_and_never_those_of_samples() {
    let fixture = Fixture::new();
    let files = vec![
        vec![exemplar("a", "x", 10, "1"), exemplar("c", "x", 20, "2")],
        vec![exemplar("a", "x", 30_000, "3")],
        vec![exemplar("b", "x", DAY_MS + 7, "4")],
    ];
    fixture.exemplar_files(files, (0, 0)).await;
    fixture.commit(TableKind::Samples, Vec::new(), (0, 0)).await;
    let asked = |name: &str, start_ms, end_ms| {
        query(&[("__name__", MatchOp::Equal, name)], start_ms, end_ms)
    };
    let data = |reads: Vec<String>| -> Vec<String> {
        assert!(
            reads
                .iter()
                .all(|key| !key.ends_with(".parquet") || key.contains("/exemplars/"))
        );
        let date = |key: &String| Some(key.split("date=").nth(1)?.get(..10)?.to_owned());
        reads.iter().filter_map(date).collect()
    };
    for (query, wanted, dates) in [
        (asked("a", 0, 99), vec!["a x 10 1"], vec!["1970-01-01"]),
        (asked("b", 0, DAY_MS - 1), vec![], vec!["1970-01-01"]),
        (
            asked("b", DAY_MS, DAY_MS * 2),
            vec!["b x 86400007 4"],
            vec!["1970-01-02"],
        ),
        (asked("b", DAY_MS, DAY_MS + 6), vec![], vec![]),
        (asked("zzz", 0, i64::MAX), vec![], vec![]),
        (asked("a", 21, 29_999), vec![], vec![]),
    ] {
        fixture.reads();
        assert_eq!(found(&fixture.archive, &query).await, wanted, "{query:?}");
        assert_eq!(data(fixture.reads()), dates, "{query:?}");
    }
}

#[tokio::test]
async fn of_too_many_exemplars_the_newest_are_given_and_older_files_left_alone() {
    let fixture = Fixture::new();
    let file = |from: i64| {
        (from..from + 10)
            .map(|t| exemplar("a", "x", t, ""))
            .collect()
    };
    fixture
        .exemplar_files(vec![file(0), file(100), file(200), file(300)], (0, 0))
        .await;
    let table = fixture
        .archive
        .reader
        .exemplars_with(&fixture.objects())
        .await
        .unwrap();
    let asked = query(&[("job", MatchOp::Equal, "x")], 0, 305);
    let (caches, newest) = (Arc::default(), NewestExemplars::new(14, 1 << 20));
    let newest = find_exemplars(&fixture.objects(), &caches, &table, &[], &asked, newest)
        .await
        .unwrap();
    let (found, truncated) = newest.into_series();
    let times: Vec<i64> = found[0].exemplars.iter().map(|e| e.timestamp_ms).collect();
    assert!(truncated);
    let wanted: Vec<i64> = (202..210).chain(300..306).collect();
    assert_eq!(times, wanted);
}

#[tokio::test]
async fn a_broken_file_of_exemplars_is_named() {
    let fixture = Fixture::new();
    let file = vec![exemplar("a", "x", 10, "1")];
    fixture.exemplar_files(vec![file], (0, 0)).await;
    let table = fixture
        .archive
        .reader
        .exemplars_with(&fixture.objects())
        .await
        .unwrap();
    let file = table.files.values().next().unwrap();
    let key = file.key(&table.root);
    let broken = vec![7u8; usize::try_from(file.size_bytes).unwrap()];
    fixture.objects().put(&key, broken.into()).await.unwrap();
    let asked = query(&[("job", MatchOp::Equal, "x")], 0, 99);
    let error = fixture.archive.exemplars(&asked).await.unwrap_err();
    assert!(error.to_string().contains(key.as_ref()), "{error}");
    assert_eq!(error.kind(), crate::ErrorKind::Internal);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, ..ProptestConfig::default() })]

    /// However exemplars lie in files and segments, and wherever the marks stand: those that match, each once.
    #[test]
    fn it_does_not_matter_how_exemplars_lie(
        segments in prop::collection::vec(
            prop::collection::vec((0..3usize, 0..2usize, 0..60i64, 0..3usize), 0..8),
            1..6,
        ),
        in_table in 0..6usize,
        consumed in 0..6usize,
        split in 1..4usize,
        (start, length) in (0..60i64, 0..60i64),
        name in 0..4usize,
    ) {
        let names = ["a", "b", "bb"];
        let segments: Vec<Vec<Exemplar>> = segments
            .iter()
            .map(|rows| {
                let row = |(name, job, hour, trace): &(usize, usize, i64, usize)| {
                    let (job, trace) = (["x", "y"][*job], ["1", "2", "3"][*trace]);
                    exemplar(names[*name], job, hour * 3_600_000 - DAY_MS, trace)
                };
                rows.iter().map(row).collect()
            })
            .filter(|rows: &Vec<Exemplar>| !rows.is_empty())
            .collect();
        let in_table = in_table.min(segments.len());
        let consumed = consumed.min(in_table);
        let (start_ms, end_ms) = (start * 3_600_000 - DAY_MS, (start + length) * 3_600_000 - DAY_MS);
        let matchers = match names.get(name) {
            Some(name) => vec![("__name__", MatchOp::Equal, *name)],
            None => vec![("__name__", MatchOp::Regex, "b.*"), ("job", MatchOp::NotEqual, "y")],
        };
        let asked = query(&matchers, start_ms, end_ms);
        let selects = |e: &Exemplar| match names.get(name) {
            Some(name) => e.series.labels.metric_name() == *name,
            None => {
                e.series.labels.metric_name().starts_with('b')
                    && e.series.labels.get("job") != Some("y")
            }
        };
        let wanted: BTreeSet<String> = segments
            .iter()
            .flatten()
            .filter(|e| selects(e) && (start_ms..=end_ms).contains(&e.timestamp_ms))
            .map(|e| {
                let (job, trace) = (e.series.labels.get("job"), e.labels.get("trace_id"));
                let name = e.series.labels.metric_name();
                format!("{name} {} {} {}", job.unwrap(), e.timestamp_ms, trace.unwrap())
            })
            .collect();
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let answer = runtime.block_on(async {
            let fixture = Fixture::new();
            let appends = segments.iter().cloned().map(with_exemplars);
            fixture.segments(appends.collect()).await;
            if in_table > 0 {
                let files = segments[..in_table].chunks(split).map(<[_]>::concat);
                fixture.exemplar_files(files.collect(), (0, in_table as u64)).await;
            }
            if consumed > 0 {
                fixture.commit(TableKind::Samples, Vec::new(), (0, consumed as u64)).await;
            }
            found(&fixture.archive, &asked).await
        });
        prop_assert_eq!(answer.len(), wanted.len());
        prop_assert_eq!(answer.into_iter().collect::<BTreeSet<_>>(), wanted);
    }
}

fn entry(family: &str, help: &str) -> MetricMetadata {
    MetricMetadata {
        family: family.to_owned(),
        kind: MetricType::Counter,
        unit: String::new(),
        help: help.to_owned(),
    }
}

fn day(number: i64) -> NaiveDate {
    date_of(number * DAY_MS)
}

impl Fixture {
    async fn metadata_file(&self, date: NaiveDate, rows: &[MetricMetadata]) {
        let file = (date, encode_metadata(rows).unwrap());
        self.commit(TableKind::Metadata, vec![file], (0, 0)).await;
    }
}

/// Families and help texts, in the order of the answer.
async fn known(archive: &StoredArchive, family: &str) -> Vec<String> {
    let (known, warnings) = archive.metadata(family).await.unwrap();
    assert_eq!(warnings, [""; 0]);
    let text = |entry: &MetricMetadata| format!("{} {}", entry.family, entry.help);
    known.iter().map(text).collect()
}

#[tokio::test]
async fn metadata_of_table_and_tail_is_given_once_and_the_newest_first() {
    let fixture = Fixture::new();
    assert_eq!(known(&fixture.archive, "").await, [""; 0]);
    let (old, new) = (entry("a", "old"), entry("a", "new"));
    fixture
        .metadata_file(day(1), &[new.clone(), old.clone(), entry("b", "B")])
        .await;
    fixture.metadata_file(day(9), &[entry("a", "newer")]).await;
    fixture.metadata_file(day(9), &[entry("a", "later")]).await;
    fixture.metadata_file(day(5), &[new, entry("c", "C")]).await;
    let of_table = ["a later", "a newer", "a new", "a old"];
    assert_eq!(known(&fixture.archive, "a").await, of_table);
    let append = |metadata| Append {
        metadata,
        ..Append::default()
    };
    fixture
        .segments(vec![
            append(vec![old, entry("d", "pushed")]),
            append(vec![entry("a", "now"), entry("d", "pushed")]),
        ])
        .await;
    let with_tail = ["a now", "a old", "a later", "a newer", "a new"];
    assert_eq!(known(&fixture.archive, "a").await, with_tail);
    assert_eq!(known(&fixture.archive, "d").await, ["d pushed"]);
    assert_eq!(known(&fixture.archive, "e").await, [""; 0]);
    let all: BTreeSet<String> = known(&fixture.archive, "").await.into_iter().collect();
    assert_eq!(all.len(), 8, "{all:?}");
}

#[tokio::test]
async fn a_warm_process_reads_no_file_of_metadata_twice() {
    let fixture = Fixture::new();
    fixture.metadata_file(day(1), &[entry("a", "A")]).await;
    fixture.metadata_file(day(2), &[entry("b", "B")]).await;
    let files = |reads: Vec<String>| {
        let is_data = |key: &&String| key.ends_with(".parquet");
        reads.iter().filter(is_data).count()
    };
    fixture.reads();
    known(&fixture.archive, "").await;
    assert_eq!(files(fixture.reads()), 2);
    known(&fixture.archive, "").await;
    known(&fixture.archive, "b").await;
    assert_eq!(files(fixture.reads()), 0);
    fixture.metadata_file(day(3), &[entry("c", "C")]).await;
    fixture.reads();
    assert_eq!(known(&fixture.archive, "").await, ["a A", "b B", "c C"]);
    assert_eq!(files(fixture.reads()), 1);
}

#[tokio::test]
async fn a_broken_file_of_metadata_is_named_and_the_others_are_read() {
    let fixture = Fixture::new();
    fixture.metadata_file(day(1), &[entry("a", "A")]).await;
    let snapshot = fixture.archive.reader.snapshot().await.unwrap();
    let file = snapshot.metadata.files.values().next().unwrap();
    let key = file.key(&snapshot.metadata.root);
    fixture
        .objects()
        .put(&key, vec![1u8; 9].into())
        .await
        .unwrap();
    fixture.metadata_file(day(1), &[entry("b", "B")]).await;
    for _ in 0..2 {
        let (known, warnings) = fixture.archive.metadata("").await.unwrap();
        assert_eq!(known, [entry("b", "B")]);
        assert_eq!(warnings.len(), 1);
        assert!(warnings[0].contains(key.as_ref()), "{warnings:?}");
    }
}
