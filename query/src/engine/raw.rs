//! Stored samples series by series, without a plan: what remote read and federation hand on.
//!
//! A scan gives series in the order of their ids, and those who ask want them in the order of labels. So series are read in *passes*: as
//! many of them, ascending by labels, as fit in [`PASS_BYTES`]. Most requests are one pass. In a request of many, each pass scans the same
//! files again for other series; that costs requests and never memory.

use std::sync::Arc;

use futures::stream::{self, BoxStream, StreamExt};
use tokio::sync::mpsc;
use varve_storage::Labels;

use super::thread::on_large_stack;
use super::{Engine, SNAPSHOTS_MAX, Snapshot};
use crate::result::RawSeries;
use crate::selector::{ResolvedSelector, SelectorSpec};
use crate::{Error, Result};

/// Series with their stored samples, ascending by labels. Dropping it ends the work behind it. Nothing follows an error.
pub type RawStream = BoxStream<'static, Result<RawSeries>>;

/// Bytes that the samples of one pass may take. Ten requests at once, the usual limit, then stay below 2 GiB.
const PASS_BYTES: usize = 128 << 20;
/// Bytes of a series beside its samples.
const SERIES_BYTES: i64 = 512;
/// What a sample takes in memory, at the usual scrape interval.
const SAMPLE_BYTES: i64 = 16;
const SAMPLE_INTERVAL_MS: i64 = 15_000;
/// A pass has so many series at least, unless their samples turn out not to fit.
const PASS_SERIES_MIN: usize = 256;
/// Series that may wait for a reader who is slower than the scan.
const SERIES_AHEAD: usize = 16;

/// How many series of a range of time probably fit in a pass.
fn probable_series(spec: &SelectorSpec) -> usize {
    let samples = spec.max_ms.saturating_sub(spec.min_ms) / SAMPLE_INTERVAL_MS;
    let bytes = samples
        .saturating_mul(SAMPLE_BYTES)
        .saturating_add(SERIES_BYTES);
    let pass = i64::try_from(PASS_BYTES).unwrap_or(i64::MAX) / bytes.max(1);
    usize::try_from(pass).unwrap_or(0).max(PASS_SERIES_MIN)
}

impl Engine {
    /// The stored samples of the series that fulfil all matchers, in the closed range of time. No time limit applies: a reader may be slow.
    pub fn raw_series(&self, spec: SelectorSpec) -> RawStream {
        let (sender, mut receiver) = mpsc::channel(SERIES_AHEAD);
        let engine = self.clone();
        let failures = sender.clone();
        let work = on_large_stack(move || async move {
            tokio::select! {
                biased;
                () = sender.closed() => Ok(()),
                result = engine.send_raw(&spec, &sender) => result,
            }
        });
        tokio::spawn(async move {
            if let Err(error) = work.await {
                // Nobody may be listening any more.
                let _ = failures.send(Err(error)).await;
            }
        });
        stream::poll_fn(move |context| receiver.poll_recv(context)).boxed()
    }

    /// Sends every series; goes on with a fresh snapshot where compaction removed an object under it.
    async fn send_raw(
        &self,
        spec: &SelectorSpec,
        sender: &mpsc::Sender<Result<RawSeries>>,
    ) -> Result<()> {
        let mut sent = None;
        for _ in 1..SNAPSHOTS_MAX {
            let snapshot = self.archive.open().await?;
            match send_from(snapshot, spec, PASS_BYTES, &mut sent, sender).await {
                Err(error) if error.is_missing_object() => {
                    tracing::info!(%error, "an object was replaced and deleted under a read, which goes on with a fresh snapshot");
                }
                result => return result,
            }
        }
        let snapshot = self.archive.open().await?;
        send_from(snapshot, spec, PASS_BYTES, &mut sent, sender).await
    }
}

/// Sends the series behind the one that was sent last.
async fn send_from(
    snapshot: Snapshot,
    spec: &SelectorSpec,
    pass_bytes: usize,
    sent: &mut Option<Labels>,
    sender: &mpsc::Sender<Result<RawSeries>>,
) -> Result<()> {
    for warning in &snapshot.warnings {
        tracing::warn!(warning, "the samples that are read may be incomplete");
    }
    let source = snapshot.source;
    let mut selector = ascending(source.resolve(spec).await?);
    let mut next = match sent {
        Some(sent) => selector.series.partition_point(|s| s.labels <= *sent),
        None => 0,
    };
    let mut pass = probable_series(spec);
    while next < selector.series.len() {
        let end = next.saturating_add(pass).min(selector.series.len());
        let part = match source.raw(&selector, next..end, pass_bytes).await {
            Err(Error::HistogramsFound(metric)) if !selector.histograms => {
                source.remember_histograms(&metric);
                selector.histograms = true;
                continue;
            }
            part => part?,
        };
        // Where little was found, more fits.
        pass = match part.complete < end - next {
            true => part.complete.max(1),
            false => pass.saturating_mul(2),
        };
        next += part.complete.max(1);
        for series in part.series {
            *sent = Some(series.labels.clone());
            if sender.send(Ok(series)).await.is_err() {
                return Ok(());
            }
        }
    }
    Ok(())
}

fn ascending(mut selector: ResolvedSelector) -> ResolvedSelector {
    let mut series = selector.series.to_vec();
    series.sort_by(|a, b| a.labels.cmp(&b.labels));
    selector.series = Arc::from(series);
    selector
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;
    use crate::memory::MemoryArchive;
    use crate::{Archive, EngineOptions};

    fn archive() -> MemoryArchive {
        MemoryArchive::new((0..1_000).map(|number| {
            let labels = Labels::from_pairs([("__name__", "m"), ("n", &format!("{number:03}"))]);
            (labels, (0..number % 7).map(|t| (t, t as f64)).collect())
        }))
    }

    fn spec() -> SelectorSpec {
        SelectorSpec {
            matchers: Vec::new(),
            min_ms: 1,
            max_ms: 5,
        }
    }

    /// The values of the label `n`.
    async fn read(pass_bytes: usize, mut sent: Option<Labels>) -> Vec<usize> {
        let (sender, mut receiver) = mpsc::channel(SERIES_AHEAD);
        let reading = tokio::spawn(async move {
            let snapshot = archive().open().await.unwrap();
            send_from(snapshot, &spec(), pass_bytes, &mut sent, &sender).await
        });
        let mut numbers = Vec::new();
        while let Some(series) = receiver.recv().await {
            let series = series.unwrap();
            let number: usize = series.labels.get("n").unwrap().parse().unwrap();
            assert_eq!(series.samples.timestamps.len(), number % 7 - 1);
            numbers.push(number);
        }
        reading.await.unwrap().unwrap();
        numbers
    }

    #[tokio::test]
    async fn passes_of_any_size_give_every_series_once_and_in_order() {
        let expected: Vec<usize> = (0..1_000).filter(|number| number % 7 > 1).collect();
        for pass_bytes in [0, 100, 5_000, PASS_BYTES] {
            assert_eq!(read(pass_bytes, None).await, expected, "{pass_bytes}");
        }
    }

    #[tokio::test]
    async fn a_read_goes_on_behind_the_series_that_was_sent_last() {
        let sent = Labels::from_pairs([("__name__", "m"), ("n", "990")]);
        assert_eq!(
            read(100, Some(sent)).await,
            [991, 992, 993, 996, 997, 998, 999]
        );
    }

    #[tokio::test]
    async fn the_engine_gives_what_the_archive_has() {
        let engine = Engine::new(Arc::new(archive()), EngineOptions::default());
        let mut series = engine.raw_series(spec());
        let mut count = 0;
        while let Some(next) = series.next().await {
            next.unwrap();
            count += 1;
        }
        assert_eq!(count, (0..1_000).filter(|number| number % 7 > 1).count());
    }
}
