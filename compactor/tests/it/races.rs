//! Two compactors at once.

use std::sync::Arc;
use std::time::Duration;

use varve_compactor::CompactorOptions;
use varve_storage::store::fault::{Fault, FaultStore};
use varve_table::CleanUpOptions;

use crate::archive::{Archive, HOUR_MS, NOON_MS, Sample, at, options};

/// A small generator, so that a seed names a run.
struct Random(u64);

impl Random {
    fn below(&mut self, bound: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % bound
    }
}

async fn race(seed: u64) {
    let mut random = Random(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1);
    let mut archive = Archive::new();
    let options = CompactorOptions {
        small_files_max: 2,
        checkpoint_every: 3,
        pass_segments_max: 1 + random.below(4) as usize,
        // The clock below runs days ahead of the store's, and must not make fresh objects look old.
        clean_up: CleanUpOptions {
            orphan_age: Duration::from_secs(1_000 * 24 * 3600),
            log_retention: Duration::from_secs(1_000 * 24 * 3600),
            ..CleanUpOptions::default()
        },
        ..options()
    };
    let racer = |random: &mut Random| {
        let store = FaultStore::new(Arc::clone(&archive.objects));
        for number in 0..400 {
            let fault = match random.below(20) {
                0 => Fault::Before,
                1 => Fault::LostResponse,
                2..8 => Fault::Delay(Duration::from_micros(random.below(1_500))),
                _ => continue,
            };
            store.fail_request(number, fault);
        }
        store
    };
    let stores = [racer(&mut random), racer(&mut random)];
    let compactors = stores
        .clone()
        .map(|store| archive.compactor_on(Arc::new(store), options.clone()));
    for round in 0..3i64 {
        for i in 0..3i64 {
            let time = NOON_MS + (round * 3 + i) * 15_000;
            let samples: Vec<Sample> = (0..5).map(|s| (s, time, time as f64)).collect();
            // Shards are numbered without gaps: the first segment is that of shard 0.
            let shard = if round + i == 0 {
                0
            } else {
                random.below(2) as u32
            };
            archive.segment(shard, &samples).await;
        }
        let run = at(NOON_MS + round * 3 * HOUR_MS);
        // Faults make runs fail; whatever happens, nothing may be doubled or lost.
        let _ = futures::join!(compactors[0].run_once(&run), compactors[1].run_once(&run));
        archive.check_exactly_once().await;
    }
    for store in &stores {
        store.heal();
    }
    let run = at(NOON_MS + 48 * HOUR_MS);
    let (one, two) = futures::join!(compactors[0].run_once(&run), compactors[1].run_once(&run));
    one.unwrap();
    two.unwrap();
    assert!(archive.snapshot().await.wal.is_empty(), "seed {seed}");
    archive.check_exactly_once().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn end_with_every_sample_exactly_once() {
    let seeds = std::env::var("VARVE_RACE_SEEDS").ok();
    for seed in 0..seeds.and_then(|n| n.parse().ok()).unwrap_or(24) {
        race(seed).await;
    }
}
