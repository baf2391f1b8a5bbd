//! Blocks that promtool made, and blocks that it is to read.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;

use varve_storage::histogram::{CounterResetHint, Span};
use varve_storage::{FloatHistogram, Labels, SampleValue, stale_nan};
use varve_tsdb::{BlockOptions, BlockWriter, ImportOptions, Sample, import_prometheus};

use crate::archive::{Archive, Samples};
use crate::dump;

/// Set by `.ci/run`: what is missing is an error then, not a reason to skip a test.
const REQUIRE: &str = "VARVE_TEST_REQUIRE";

pub(crate) fn skip(reason: &str) {
    assert!(
        std::env::var_os(REQUIRE).is_none(),
        "{reason}, and {REQUIRE} is set"
    );
    eprintln!("SKIPPED: {reason}");
}

/// `VARVE_TEST_PROMTOOL`, or promtool in the path.
pub(crate) fn promtool() -> Option<PathBuf> {
    if let Some(named) = std::env::var_os("VARVE_TEST_PROMTOOL") {
        return Some(named.into());
    }
    let path = std::env::var_os("PATH")?;
    let found = std::env::split_paths(&path)
        .map(|folder| folder.join("promtool"))
        .find(|file| file.is_file());
    if found.is_none() {
        skip("promtool is not installed");
    }
    found
}

pub(crate) fn run(program: &Path, arguments: &[&str], folder: &Path) -> String {
    let output = Command::new(program)
        .args(arguments)
        .arg(folder)
        .output()
        .unwrap();
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{arguments:?}: {errors}");
    String::from_utf8(output.stdout).unwrap()
}

/// What promtool finds in a copy of a data folder. It wants a folder `wal` there.
///
/// promtool takes the end of the block that begins last for the beginning of the head, even if that block is one of samples out
/// of order; Prometheus does not. So these blocks are made to begin early.
pub(crate) fn dumped(promtool: &Path, folder: &Path) -> String {
    let copied = tempfile::tempdir().unwrap();
    copy(folder, copied.path());
    std::fs::create_dir_all(copied.path().join("wal")).unwrap();
    for entry in std::fs::read_dir(copied.path()).unwrap() {
        let path = entry.unwrap().path().join("meta.json");
        if let Ok(text) = std::fs::read_to_string(&path) {
            let mut meta: varve_tsdb::BlockMeta = serde_json::from_str(&text).unwrap();
            if !meta.ends_head() {
                meta.min_time = 0;
                std::fs::write(&path, serde_json::to_vec(&meta).unwrap()).unwrap();
            }
        }
    }
    run(promtool, &["tsdb", "dump"], copied.path())
}

fn copy(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let to = to.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            copy(&entry.path(), &to);
        } else if entry.file_name() != "lock" {
            std::fs::copy(entry.path(), to).unwrap();
        }
    }
}

fn exposition() -> String {
    let mut text = String::new();
    for series in 0..40 {
        text.push_str(&format!("# TYPE m{series} gauge\n"));
        for instance in 0..3 {
            for step in 0..500i64 {
                let time = 1_700_000_000 + 15 * step + i64::from(step % 7 == 0);
                let value = match series % 4 {
                    0 => format!("{step}"),
                    1 => format!("{}", f64::from(series) + 0.1 * step as f64),
                    2 => {
                        if step % 50 == 0 {
                            "+Inf".to_owned()
                        } else {
                            "1e-300".to_owned()
                        }
                    }
                    _ => "7".to_owned(),
                };
                text.push_str(&format!(
                    "m{series}{{instance=\"é{instance}\",z=\"a b\"}} {value} {time}\n"
                ));
            }
        }
    }
    text + "# EOF\n"
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn blocks_of_promtool_are_imported_exactly() {
    let Some(promtool) = promtool() else { return };
    let folder = tempfile::tempdir().unwrap();
    let text = folder.path().join("text");
    std::fs::write(&text, exposition()).unwrap();
    let data = folder.path().join("data");
    run(
        &promtool,
        &[
            "tsdb",
            "create-blocks-from",
            "openmetrics",
            text.to_str().unwrap(),
        ],
        &data,
    );
    let archive = Archive::new().await;
    let options = ImportOptions::new("x");
    let summary = import_prometheus(&data, &archive.target(), &options)
        .await
        .unwrap();
    assert!(summary.finished && summary.blocks > 0);
    assert_eq!(summary.appended.samples, 40 * 3 * 500);
    dump::compare(&archive.samples().await, &dumped(&promtool, &data));

    let again = import_prometheus(&data, &archive.target(), &options)
        .await
        .unwrap();
    assert_eq!(
        (again.appended.samples, again.blocks_before),
        (0, summary.blocks)
    );
}

fn histogram(count: u32, offset: i32, gauge: bool) -> SampleValue {
    let count = f64::from(count);
    SampleValue::Histogram(Arc::new(FloatHistogram {
        counter_reset_hint: if gauge {
            CounterResetHint::Gauge
        } else {
            CounterResetHint::Unknown
        },
        schema: 1,
        zero_threshold: 0.001,
        zero_count: count / 2.0,
        count: 2.5 * count,
        sum: count * 1.25,
        positive_spans: vec![
            Span { offset, length: 1 },
            Span {
                offset: 2,
                length: 1,
            },
        ],
        positive_buckets: vec![count, 0.5 * count],
        negative_spans: vec![Span {
            offset: 0,
            length: 1,
        }],
        negative_buckets: vec![0.5 * count],
        ..FloatHistogram::default()
    }))
}

/// Series of all kinds in the first two hours after `start`.
fn written(start: i64) -> Samples {
    let mut samples = Samples::new();
    for number in 0..200i64 {
        let labels = Labels::from_pairs([
            ("__name__", "m"),
            ("i", &format!("{number:03}")),
            ("z", "ü"),
        ]);
        let own = samples.entry(labels).or_default();
        for step in 0..300i64 {
            let value = match number % 5 {
                0 => SampleValue::Float(step as f64),
                1 => SampleValue::Float(0.1 * (step * number) as f64),
                2 => histogram((step % 100) as u32, (step / 60) as i32, false),
                3 => histogram((step % 7) as u32, (step / 60) as i32, true),
                _ if step % 100 == 99 => SampleValue::Float(stale_nan()),
                _ if step % 90 > 45 => histogram(step as u32, 0, false),
                _ => SampleValue::Float(-1e300),
            };
            own.insert(start + 20_000 * step + number, value);
        }
    }
    samples
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn written_blocks_are_read_by_promtool() {
    let Some(promtool) = promtool() else { return };
    let folder = tempfile::tempdir().unwrap();
    let start = 1_699_999_200_000;
    let samples = written(start);
    let options = BlockOptions {
        chunks_file_bytes_max: 100_000,
        ..BlockOptions::default()
    };
    let mut writer =
        BlockWriter::create(folder.path(), (start, start + 7_200_000), options).unwrap();
    for (labels, own) in &samples {
        let sample = |(time, value): (&i64, &SampleValue)| Sample {
            timestamp_ms: *time,
            start_timestamp_ms: 0,
            value: value.clone(),
        };
        writer
            .append(labels, own.iter().map(sample).collect())
            .unwrap();
    }
    let meta = writer.finish().unwrap().unwrap();
    let dump = dumped(&promtool, folder.path());
    dump::compare(&samples, &dump);
    let list = run(&promtool, &["tsdb", "list"], folder.path());
    assert!(list.contains(meta.ulid.as_str()), "{list}");
    let analysis = run(&promtool, &["tsdb", "analyze", "--extended"], folder.path());
    assert!(analysis.contains("Series: 200"), "{analysis}");

    // The same block comes back.
    let archive = Archive::new().await;
    import_prometheus(folder.path(), &archive.target(), &ImportOptions::new("x"))
        .await
        .unwrap();
    dump::compare(&archive.samples().await, &dump);
}
