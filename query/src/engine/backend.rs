//! The engine behind the HTTP API.

use std::collections::BTreeSet;
use std::sync::Arc;

use async_trait::async_trait;
use varve_promql::{Expr, ParseError, parse_with};
use varve_storage::{Labels, MetricMetadata, SeriesRef};

use super::thread::on_large_stack;
use super::{Engine, RawStream, on_fresh_snapshots};
use crate::Result;
use crate::api::backend::{LabelQuery, Listed, QueryBackend, TimeGrid};
use crate::exemplars::{ExemplarQuery, SeriesExemplars};
use crate::result::{Explanation, QueryOptions, QueryResult};
use crate::selector::SelectorSpec;

impl Engine {
    /// Series that fulfil one set of matchers at least, and what was wrong with the snapshot.
    async fn listed(&self, query: &LabelQuery) -> Result<(Vec<SeriesRef>, Vec<String>)> {
        let snapshot = self.archive.open().await?;
        let mut sets = query.matchers.clone();
        if sets.is_empty() {
            sets.push(Vec::new());
        }
        let mut series = Vec::new();
        for matchers in sets {
            let spec = SelectorSpec {
                matchers,
                min_ms: query.start_ms,
                max_ms: query.end_ms,
            };
            let resolved = snapshot.source.resolve(&spec).await?;
            series.extend(resolved.series.iter().cloned());
        }
        Ok((series, snapshot.warnings))
    }
}

fn first<T>(items: BTreeSet<T>, limit: Option<usize>) -> Vec<T> {
    let items = items.into_iter();
    items.take(limit.unwrap_or(usize::MAX)).collect()
}

#[async_trait]
impl QueryBackend for Engine {
    async fn instant(
        &self,
        query: &str,
        time_ms: i64,
        options: &QueryOptions,
    ) -> Result<QueryResult> {
        Engine::instant(self, query, time_ms, options).await
    }

    async fn range(
        &self,
        query: &str,
        grid: TimeGrid,
        options: &QueryOptions,
    ) -> Result<QueryResult> {
        let TimeGrid {
            start_ms,
            end_ms,
            step_ms,
        } = grid;
        Engine::range(self, query, start_ms, end_ms, step_ms, options).await
    }

    async fn explain(
        &self,
        query: &str,
        grid: TimeGrid,
        options: &QueryOptions,
    ) -> Result<Explanation> {
        let TimeGrid {
            start_ms,
            end_ms,
            step_ms,
        } = grid;
        Engine::explain(self, query, start_ms, end_ms, step_ms, options).await
    }

    async fn series(&self, query: &LabelQuery) -> Listed<Labels> {
        let (series, warnings) = self.listed(query).await?;
        let labels = series.iter().map(|series| series.labels.clone()).collect();
        Ok((first(labels, query.limit), warnings))
    }

    async fn label_names(&self, query: &LabelQuery) -> Listed<String> {
        let (series, warnings) = self.listed(query).await?;
        let names: BTreeSet<&str> = series
            .iter()
            .flat_map(|series| series.labels.iter().map(|(name, _)| name))
            .collect();
        let names = first(names, query.limit).into_iter();
        Ok((names.map(str::to_owned).collect(), warnings))
    }

    async fn label_values(&self, name: &str, query: &LabelQuery) -> Listed<String> {
        let (series, warnings) = self.listed(query).await?;
        let values: BTreeSet<&str> = series
            .iter()
            .filter_map(|series| series.labels.get(name))
            .collect();
        let values = first(values, query.limit).into_iter();
        Ok((values.map(str::to_owned).collect(), warnings))
    }

    fn raw(&self, selector: SelectorSpec) -> RawStream {
        self.raw_series(selector)
    }

    fn parse(&self, query: &str) -> Result<Expr, ParseError> {
        parse_with(query, &self.options.parse)
    }

    /// On a thread of its own, because decoding takes processor time.
    async fn exemplars(&self, query: &ExemplarQuery) -> Listed<SeriesExemplars> {
        let (archive, query) = (Arc::clone(&self.archive), query.clone());
        let work = on_large_stack(move || async move {
            on_fresh_snapshots(|| archive.exemplars(&query)).await
        });
        self.limited(&QueryOptions::default(), work).await
    }

    async fn metadata(&self, family: &str) -> Listed<MetricMetadata> {
        let work = on_fresh_snapshots(|| self.archive.metadata(family));
        self.limited(&QueryOptions::default(), work).await
    }
}
