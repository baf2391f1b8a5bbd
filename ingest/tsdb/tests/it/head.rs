//! The head of a real Prometheus, while it runs and after it was killed.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use varve_tsdb::{ImportOptions, import_prometheus};

use crate::archive::Archive;
use crate::promtool::{dumped, promtool, skip};
use crate::{dump, server};

/// `VARVE_TEST_PROMETHEUS`, or Prometheus in the path.
fn prometheus() -> Option<PathBuf> {
    if let Some(named) = std::env::var_os("VARVE_TEST_PROMETHEUS") {
        return Some(named.into());
    }
    let path = std::env::var_os("PATH")?;
    let found = std::env::split_paths(&path)
        .map(|folder| folder.join("prometheus"))
        .find(|file| file.is_file());
    if found.is_none() {
        skip("prometheus is not installed");
    }
    found
}

/// Compares an existing data folder (`VARVE_TEST_TSDB`) of no running Prometheus with what promtool finds in it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs a data folder in VARVE_TEST_TSDB"]
async fn a_data_folder_is_imported_exactly() {
    let Some(promtool) = promtool() else { return };
    let Some(folder) = std::env::var_os("VARVE_TEST_TSDB").map(PathBuf::from) else {
        return skip("VARVE_TEST_TSDB names no data folder");
    };
    let archive = Archive::new().await;
    let started = std::time::Instant::now();
    let mut options = ImportOptions::new("x");
    options.on_event = std::sync::Arc::new(|event| {
        if !matches!(event, varve_tsdb::ImportEvent::Appended(_)) {
            eprintln!("{event:?}");
        }
    });
    let summary = import_prometheus(&folder, &archive.target(), &options)
        .await
        .unwrap();
    eprintln!(
        "{summary:?} in {:?}, {} bytes of WAL",
        started.elapsed(),
        archive.bytes_written()
    );
    dump::compare(&archive.samples().await, &dumped(&promtool, &folder));
}

/// Deletes series, or samples of them.
fn delete(prometheus: SocketAddr, query: &str) {
    let mut stream = TcpStream::connect(prometheus).unwrap();
    let request = format!(
        "POST /api/v1/admin/tsdb/delete_series?{query} HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
    );
    stream.write_all(request.as_bytes()).unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    assert!(answer.starts_with("HTTP/1.1 204"), "{answer}");
}

/// Lets Prometheus scrape itself and a target with all kinds of samples until it has cut blocks, mapped chunks and made
/// checkpoints; imports while it runs, kills it, imports again, and compares.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "takes minutes, and needs Prometheus and promtool of version 3"]
async fn the_head_of_a_killed_prometheus_is_imported_exactly() {
    let (Some(promtool), Some(prometheus)) = (promtool(), prometheus()) else {
        return;
    };
    let setting = |name, otherwise| {
        let text = std::env::var(name).ok();
        text.and_then(|text| text.parse::<u64>().ok())
            .unwrap_or(otherwise)
    };
    let seconds = setting("VARVE_TEST_SECONDS", 150);
    let block_seconds = setting("VARVE_TEST_BLOCK_SECONDS", 30);
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    let target = server::serve();
    let listener = std::net::TcpListener::bind(("127.0.0.1", 0)).unwrap();
    let own = listener.local_addr().unwrap();
    drop(listener);
    let config = format!(
        "global: {{scrape_interval: 1s}}\n\
         storage: {{tsdb: {{out_of_order_time_window: 10m}}, exemplars: {{max_exemplars: 100000}}}}\n\
         scrape_configs:\n\
         - {{job_name: own, static_configs: [{{targets: [\"{own}\"]}}]}}\n\
         - {{job_name: target, static_configs: [{{targets: [\"{target}\"]}}]}}\n\
         - {{job_name: nhcb, convert_classic_histograms_to_nhcb: true, static_configs: [{{targets: [\"{target}\"]}}]}}\n"
    );
    let config_file = folder.path().join("prometheus.yml");
    std::fs::write(&config_file, config).unwrap();
    let mut child = Command::new(&prometheus)
        .arg(format!("--config.file={}", config_file.display()))
        .arg(format!("--storage.tsdb.path={}", data.display()))
        .arg(format!("--web.listen-address={own}"))
        .arg("--web.enable-admin-api")
        .arg(format!(
            "--storage.tsdb.min-block-duration={block_seconds}s"
        ))
        .arg(format!(
            "--storage.tsdb.max-block-duration={}s",
            4 * block_seconds
        ))
        .args(["--enable-feature=native-histograms,exemplar-storage,metadata-wal-records"])
        .stdout(Stdio::null())
        .stderr(std::fs::File::create(folder.path().join("log")).unwrap())
        .spawn()
        .unwrap();
    tokio::time::sleep(Duration::from_secs(seconds)).await;
    // Tombstones, in blocks and in the log.
    let now = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap()
        .as_secs();
    delete(own, "match[]=flaky{series=%223%22}");
    delete(
        own,
        &format!("match[]=up&start={}&end={}", now - 45, now - 5),
    );
    let alive = child.try_wait().unwrap().is_none();
    let live = Archive::new().await;
    let imported = import_prometheus(&data, &live.target(), &ImportOptions::new("x")).await;
    let killed = child.kill();
    let _ = child.wait();
    assert!(
        alive,
        "{}",
        std::fs::read_to_string(folder.path().join("log")).unwrap()
    );
    killed.unwrap();
    let imported = imported.unwrap();
    eprintln!("while it ran: {imported:?}");

    let archive = Archive::new().await;
    let mut options = ImportOptions::new("x");
    options.on_event = std::sync::Arc::new(|event| {
        if let varve_tsdb::ImportEvent::Warning(_) = event {
            eprintln!("{event:?}");
        }
    });
    let summary = import_prometheus(&data, &archive.target(), &options)
        .await
        .unwrap();
    eprintln!(
        "killed: {summary:?}, {} bytes of WAL",
        archive.bytes_written()
    );
    let again = import_prometheus(&data, &archive.target(), &options)
        .await
        .unwrap();
    assert_eq!((again.finished, again.appended.batches), (true, 0));
    let samples = archive.samples().await;
    dump::compare(&samples, &dumped(&promtool, &data));
    // What was imported before is a part of it.
    for (labels, own) in live.samples().await {
        for (time, value) in own {
            let known = samples.get(&labels).and_then(|own| own.get(&time));
            let same = known.is_some_and(|known| match (known, &value) {
                (varve_storage::SampleValue::Float(a), varve_storage::SampleValue::Float(b)) => {
                    a.to_bits() == b.to_bits()
                }
                (
                    varve_storage::SampleValue::Histogram(a),
                    varve_storage::SampleValue::Histogram(b),
                ) => a.same_data(b),
                _ => false,
            });
            assert!(same, "{labels} {time}: {value:?} {known:?}");
        }
    }
    let (exemplars, metadata) = archive
        .segments()
        .await
        .iter()
        .fold((0, 0), |(e, m), segment| {
            (e + segment.exemplars.len(), m + segment.metadata.len())
        });
    assert!(
        exemplars > 0 && metadata > 0,
        "{exemplars} exemplars, {metadata} metadata"
    );
}
