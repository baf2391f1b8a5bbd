//! What the engine answers from an archive, and from a plain map with the samples that the archive should hold.

use std::sync::Arc;

use varve_query::memory::MemoryArchive;
use varve_query::source::SourceCaches;
use varve_query::{Engine, EngineOptions, QueryOptions, QueryValue, StoredArchive};
use varve_table::ArchiveReader;

use crate::archive::{Archive, Samples};
use crate::http_api::Grid;
use crate::query_list::ListedQuery;

/// An engine on an archive, with empty caches.
pub fn engine_of(archive: &Archive) -> Engine {
    let store = archive.store.clone();
    let reader = ArchiveReader::new(store.clone(), archive.keys.clone());
    let stored = StoredArchive::new(Arc::new(reader), store, Arc::new(SourceCaches::default()));
    Engine::new(Arc::new(stored), EngineOptions::default())
}

/// An engine on samples in memory.
pub fn engine_on(samples: &Samples) -> Engine {
    let series = samples.iter().map(|(labels, samples)| {
        let float = |(time, bits): (&i64, &u64)| (*time, f64::from_bits(*bits));
        (labels.clone(), samples.iter().map(float).collect())
    });
    Engine::new(
        Arc::new(MemoryArchive::new(series)),
        EngineOptions::default(),
    )
}

/// A point of an answer: series, time and value.
type Point = (String, i64, f64);

async fn answer(engine: &Engine, query: &str, grid: Grid) -> Result<Vec<Point>, String> {
    let options = QueryOptions::default();
    let result = engine.range(query, grid.start_ms, grid.end_ms, grid.step_ms, &options);
    let result = result.await.map_err(|e| e.to_string())?;
    let QueryValue::Matrix(matrix) = result.value else {
        return Err(format!("{query}: a range query gave {:?}", result.value));
    };
    let mut points = Vec::new();
    for series in matrix {
        let labels = series.labels.to_string();
        points.extend(series.samples.iter().map(|(t, v)| (labels.clone(), *t, *v)));
    }
    Ok(points)
}

fn equal(a: &Point, b: &Point, tolerance: f64) -> bool {
    let near = || (a.2 - b.2).abs() <= tolerance * a.2.abs().max(b.2.abs());
    let nans = a.2.is_nan() && b.2.is_nan();
    a.0 == b.0 && a.1 == b.1 && (nans || a.2.to_bits() == b.2.to_bits() || near())
}

/// Where two engines answer differently, and the number of points that were compared.
pub async fn differences(
    one: &Engine,
    other: &Engine,
    queries: &[ListedQuery],
    grid: Grid,
) -> (Vec<String>, usize) {
    let (mut found, mut points) = (Vec::new(), 0);
    for query in queries {
        let text = &query.text;
        let answers = (
            answer(one, text, grid).await,
            answer(other, text, grid).await,
        );
        match answers {
            (Ok(a), Ok(b)) if a.len() != b.len() => {
                found.push(format!("{text}: {} points against {}", a.len(), b.len()));
            }
            (Ok(a), Ok(b)) => {
                points += a.len();
                let pairs = a.iter().zip(&b);
                let mut unequal = pairs.filter(|(a, b)| !equal(a, b, query.tolerance));
                found.extend(unequal.next().map(|pair| format!("{text}: {pair:?}")));
            }
            (Err(a), Err(b)) if a == b => {}
            (a, b) => found.push(format!("{text}: {a:?} against {b:?}")),
        }
    }
    (found, points)
}
