//! Start timestamps in files of both kinds and in the tail, read only where they are wanted.
#![allow(clippy::unwrap_used, clippy::panic)]

use std::sync::Arc;

use datafusion::physical_plan::ExecutionPlan;
use varve_storage::columns::START_TIMESTAMPS;
use varve_storage::rows::SeriesSamples;
use varve_storage::{SampleValue, SeriesRef};

use super::fixture::{Fixture, named, resolve, series, slice};
use super::tests::Opened;
use crate::grid::StepGrid;
use crate::kernels::WindowGrid;
use crate::{Engine, EngineOptions, QueryOptions, QueryValue};

/// Deltas: each was counted since the second before it.
fn deltas(series: &SeriesRef, seconds: &[i64]) -> SeriesSamples {
    let mut rows = slice(series, &[]);
    for second in seconds {
        let value = SampleValue::Float(*second as f64);
        rows.push_started(second * 1_000, (second - 1) * 1_000, &value);
    }
    rows
}

/// An old file, a new one, and the tail; the samples at 5 s are in two of them, once without their start timestamp.
async fn fixture() -> Fixture {
    let (a, b) = (
        series(&[("__name__", "m_total"), ("job", "a")]),
        series(&[("__name__", "m_total"), ("job", "b")]),
    );
    let mut fixture = Fixture::new();
    fixture.start_column = false;
    fixture
        .add_file(vec![
            slice(&a, &[(2_000, 2.0), (5_000, 5.0)]),
            slice(&b, &[(2_000, 2.0)]),
        ])
        .await;
    fixture.start_column = true;
    fixture
        .add_file(vec![
            deltas(&a, &[3, 4, 5]),
            slice(&b, &[(3_000, 3.0), (5_000, 5.0)]),
        ])
        .await;
    fixture.add_wal(vec![deltas(&a, &[6]), slice(&b, &[(6_000, 6.0)])]);
    fixture
}

async fn answer(fixture: &Fixture, query: &str, use_start_timestamps: bool) -> Vec<f64> {
    let mut options = EngineOptions {
        use_start_timestamps,
        ..EngineOptions::default()
    };
    options.parse.experimental_functions = true;
    let source = Opened(Arc::new(fixture.source().0));
    let engine = Engine::new(Arc::new(source), options);
    let result = engine.instant(query, 6_000, &QueryOptions::default()).await;
    let QueryValue::Vector(mut samples) = result.unwrap().value else {
        panic!("{query} gives no vector")
    };
    samples.sort_by(|a, b| a.labels.cmp(&b.labels));
    let floats = samples.iter().map(|sample| sample.value.float().unwrap());
    floats.collect()
}

#[tokio::test]
async fn start_timestamps_of_all_files_and_the_tail_count() {
    let fixture = fixture().await;
    for (query, with, without) in [
        // Of a: 4 and 5 are deltas behind deltas, and 6 behind 5, whose start only one of its two places knows.
        ("resets(m_total[10s])", vec![3.0, 0.0], vec![0.0, 0.0]),
        ("irate(m_total[10s])", vec![6.0, 1.0], vec![1.0, 1.0]),
        ("changes(m_total[10s])", vec![4.0, 3.0], vec![4.0, 3.0]),
        ("start_timestamp(m_total)", vec![5.0, 0.0], vec![]),
        (
            "start_timestamp(m_total) + m_total",
            vec![11.0, 6.0],
            vec![],
        ),
    ] {
        assert_eq!(answer(&fixture, query, true).await, with, "{query}");
        assert_eq!(answer(&fixture, query, false).await, without, "{query}");
    }
}

#[tokio::test]
async fn the_column_is_read_only_where_it_is_wanted() {
    let fixture = fixture().await;
    let (source, _) = fixture.source();
    let windows = WindowGrid {
        grid: StepGrid::instant(6_000),
        range_ms: 10_000,
        offset_ms: 0,
        at_ms: None,
    };
    let mut resolved = resolve(&source, &named("m_total"), &windows).await.unwrap();
    for wanted in [false, true] {
        resolved.start_timestamps = wanted;
        let scan = source.scan(&resolved, windows.fetch_range_ms()).unwrap();
        let plan: Arc<dyn ExecutionPlan> = scan.physical(None).unwrap();
        let read = plan.schema().column_with_name(START_TIMESTAMPS).is_some();
        assert_eq!(read, wanted);
        assert_eq!(scan.name().ends_with("start timestamps"), wanted);
    }
}
