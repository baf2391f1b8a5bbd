//! Varve beside a real Prometheus with random queries: the same samples must give the same answers, bit by bit where the versions compute alike.
//!
//! What is asked is drawn from a grammar (`tests/src/grammar`) with a fixed seed, so that a run of CI means the same tomorrow. By hand,
//! `VARVE_TEST_SEED` draws other queries, `VARVE_TEST_QUERIES` or `VARVE_TEST_SECONDS` more of them, and `VARVE_TEST_PROMETHEUS` asks another
//! Prometheus: one of version 3 also gets native histograms. Both servers can be asked by hand for `VARVE_TEST_STAY` seconds after a difference.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::time::{Duration, Instant};

use futures::StreamExt as _;
use varve_storage::wal::SampleRow;
use varve_tests::archive::Archive;
use varve_tests::grammar::{Dialect, Generator, Times};
use varve_tests::http_api::{Answer, ApiClient};
use varve_tests::prometheus::Prometheus;
use varve_tests::query_list::ListedQuery;
use varve_tests::random::Random;
use varve_tests::remote_write;
use varve_tests::samples::{self, START_MS};
use varve_tests::server::ServerSetup;

use super::compare::NOTHING_TO_SCRAPE;

const SCRAPES: i64 = 700;
const QUERIES: usize = 3_000;
/// Queries at once: both servers are then busy.
const AT_ONCE: usize = 2;
/// Differences that are printed, and the characters of each.
const PRINTED: (usize, usize) = (20, 900);

/// A query with both answers.
#[derive(Debug)]
struct Asked {
    query: ListedQuery,
    times: Times,
    ours: Answer,
    theirs: Answer,
}

impl Asked {
    async fn new(
        varve: &ApiClient,
        peer: &ApiClient,
        (query, times): (ListedQuery, Times),
    ) -> Self {
        let text = &query.text;
        let (ours, theirs) = match times {
            Times::Instant(at) => tokio::join!(varve.instant(text, at), peer.instant(text, at)),
            Times::Range(grid) => tokio::join!(varve.range(text, grid), peer.range(text, grid)),
        };
        Self {
            ours: ours.unwrap().sorted(),
            theirs: theirs.unwrap().sorted(),
            query,
            times,
        }
    }

    fn difference(&self) -> Option<String> {
        let (ours, theirs) = (&self.ours, &self.theirs);
        let words = || {
            format!(
                "{} {:?}\n  against {} {:?}",
                ours.kind, ours.notes, theirs.kind, theirs.notes
            )
        };
        let difference = ours.difference(theirs, self.query.tolerance);
        let difference = match difference {
            Some(difference) if ours.is_error() != theirs.is_error() => {
                Some(format!("{difference}\n  {}", words()))
            }
            None if self.query.words && notes(ours) != notes(theirs) => Some(words()),
            difference => difference,
        }?;
        let mut text = format!("{}\n  ({:?})\n  ", self.query.text, self.times);
        let short = difference.chars().take(PRINTED.1);
        text.extend(short);
        Some(text)
    }

    /// Whether a difference is one of those that no query can be kept from having.
    fn is_excused(&self) -> bool {
        let (ours, theirs) = (&self.ours, &self.theirs);
        let absent = self.query.text.contains("absent");
        let nothing = !ours.is_error() && (ours.samples() == 0 || absent);
        // Varve does not compute what is matched with nothing, nor the best 0 series: it finds no error there, and no reason to warn.
        let spared = match theirs.is_error() {
            true => theirs.kind.starts_with("error: execution"),
            false => theirs.samples() == 0 && texts(ours).is_subset(&texts(theirs)),
        };
        // 3.14 looks for several matches before it drops what a comparison says no to, earlier versions afterwards.
        let earlier = ours.kind.contains("multiple matches for labels") && !theirs.is_error();
        nothing && spared || earlier
    }
}

/// Warnings and infos; only their number where there are too many for all to be said: it is by chance which are.
fn notes(answer: &Answer) -> Vec<String> {
    match answer
        .notes
        .iter()
        .any(|note| note.contains("more warning annotations omitted"))
    {
        true => vec![answer.notes.len().to_string()],
        false => answer.notes.clone(),
    }
}

/// Warnings and infos without their places: of two places with the same to say, the last one that was computed is named.
fn texts(answer: &Answer) -> BTreeSet<&str> {
    let notes = answer.notes.iter();
    let text = |note: &'_ String| note.rfind(" (").unwrap_or(note.len());
    notes.map(|note| &note[..text(note)]).collect()
}

fn variable(name: &str) -> Option<u64> {
    std::env::var(name).ok()?.parse().ok()
}

/// An archive with half of the samples compacted.
async fn half_compacted(url: &str, rows: &[SampleRow]) {
    let store = varve_storage::Store::open(&url.parse().unwrap()).unwrap();
    let archive = Archive::new(store);
    let (first, second) = rows.split_at(rows.len() / 2);
    archive.append(0, first, 5_000).await.unwrap();
    archive.compact(START_MS).await.unwrap();
    archive.append(0, second, 5_000).await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs Prometheus and two minutes: .ci/run end_to_end"]
async fn random_queries_give_the_answers_of_prometheus() {
    let folder = tempfile::tempdir().unwrap();
    let features = "promql-experimental-functions,native-histograms";
    let peer = Prometheus::start_with(folder.path(), NOTHING_TO_SCRAPE, features);
    let Some(peer) = peer.await.unwrap() else {
        return;
    };
    let dialect = match peer.major_version {
        ..3 => Dialect::Version2,
        _ => Dialect::Version3,
    };
    let mut random = Random::printed_or("random queries", 1);
    let mut rows = samples::invented(random.bits(), SCRAPES);
    rows.extend(samples::high_counters(random.bits(), SCRAPES));
    if dialect == Dialect::Version3 {
        rows.extend(samples::native(random.bits(), SCRAPES));
    }
    rows.sort_by_key(|row| row.timestamp_ms);
    let remote = remote_write::write(peer.client.base_url(), &rows);
    remote.await.unwrap();
    half_compacted(&format!("file://{}/data", folder.path().display()), &rows).await;
    let setup = ServerSetup::new(folder.path(), NOTHING_TO_SCRAPE).unwrap();
    let setup = setup.arguments(&[
        "--compactor.interval=1d",
        "--enable-feature=promql-experimental-functions",
    ]);
    let _varve = setup.start().await.unwrap();
    let varve = setup.client();

    let (number, end) = match (
        variable("VARVE_TEST_QUERIES"),
        variable("VARVE_TEST_SECONDS"),
    ) {
        (None, Some(seconds)) => (usize::MAX, Some(Duration::from_secs(seconds))),
        (number, seconds) => (
            number.map_or(QUERIES, |number| number as usize),
            seconds.map(Duration::from_secs),
        ),
    };
    let started = Instant::now();
    let mut generator = Generator::new(random, dialect);
    let queries = std::iter::from_fn(|| Some(generator.query()));
    let queries = queries
        .take(number)
        .take_while(|_| end.is_none_or(|end| started.elapsed() < end));
    let asked = futures::stream::iter(queries).map(|query| Asked::new(&varve, &peer.client, query));
    let mut asked = std::pin::pin!(asked.buffered(AT_ONCE));
    let (mut all, mut telling, mut errors, mut ranges) = (0, 0, 0, 0);
    let (mut differences, mut excused, mut printed) = (0, 0, String::new());
    while let Some(asked) = asked.next().await {
        all += 1;
        telling += usize::from(asked.theirs.samples() > 0);
        errors += usize::from(asked.theirs.is_error());
        ranges += usize::from(matches!(asked.times, Times::Range(_)));
        if let Some(difference) = asked.difference() {
            // Prometheus 3.5 has answers about histograms that it does not repeat: it uses memory again that is in use.
            let query = (asked.query.clone(), asked.times);
            let again = Asked::new(&varve, &peer.client, query).await;
            let recanted = again.ours == asked.ours && again.difference().is_none();
            if asked.is_excused() || recanted {
                excused += 1;
                continue;
            }
            differences += 1;
            if differences <= PRINTED.0 {
                let _ = writeln!(printed, "{difference}\n");
            }
        }
    }
    eprintln!(
        "{all} queries in {} s, {ranges} of ranges: {telling} answers with samples, {errors} errors, {excused} excused, {differences} differ",
        started.elapsed().as_secs()
    );
    if let Some(seconds) = variable("VARVE_TEST_STAY").filter(|_| differences > 0) {
        let urls = (varve.base_url(), peer.client.base_url());
        eprintln!("{printed}Varve and Prometheus: {urls:?}");
        tokio::time::sleep(Duration::from_secs(seconds)).await;
    }
    assert!(
        differences == 0,
        "{differences} differences, Varve first:\n{printed}"
    );
    assert!(
        excused * 50 < all.max(500),
        "too many differences are excused"
    );
    assert!(telling * 2 > all, "most answers were empty");
    assert!(ranges * 4 > all, "too few range queries");
}
