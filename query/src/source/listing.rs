//! Series, label names and label values for the API; `samples` is never touched.

use std::collections::BTreeSet;

use varve_promql::Matcher;
use varve_storage::Labels;

use super::archive::ArchiveSource;
use super::matcher::CompiledMatchers;
use super::series;
use crate::error::Result;

/// The answer to a question about labels.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listing<T> {
    /// The answer, ascending.
    pub items: Vec<T>,
    /// Whether a limit cut it off.
    pub truncated: bool,
}

impl<T> Listing<T> {
    fn new(items: impl IntoIterator<Item = T>, limit: Option<usize>) -> Self {
        let mut items = items.into_iter();
        let kept = items.by_ref().take(limit.unwrap_or(usize::MAX)).collect();
        Self {
            items: kept,
            truncated: items.next().is_some(),
        }
    }
}

impl ArchiveSource {
    /// Label sets of all series that fulfil one of the selectors and may have samples in the closed range of time; all
    /// series if there is no selector.
    pub async fn series(
        &self,
        selectors: &[Vec<Matcher>],
        min_ms: i64,
        max_ms: i64,
        limit: Option<usize>,
    ) -> Result<Listing<Labels>> {
        let all = [Vec::new()];
        let selectors = if selectors.is_empty() {
            &all
        } else {
            selectors
        };
        let mut found = BTreeSet::new();
        for selector in selectors {
            let matchers = CompiledMatchers::new(selector)?;
            let series = series::find(self, &matchers, min_ms, max_ms).await?;
            found.extend(series.into_iter().map(|series| series.labels.clone()));
        }
        Ok(Listing::new(found, limit))
    }

    /// The names of all labels of those series.
    pub async fn label_names(
        &self,
        selectors: &[Vec<Matcher>],
        min_ms: i64,
        max_ms: i64,
        limit: Option<usize>,
    ) -> Result<Listing<String>> {
        let series = self.series(selectors, min_ms, max_ms, None).await?.items;
        let names: BTreeSet<&str> = series
            .iter()
            .flat_map(|labels| labels.iter().map(|(name, _)| name))
            .collect();
        Ok(Listing::new(names.into_iter().map(str::to_owned), limit))
    }

    /// The values of a label among those series.
    pub async fn label_values(
        &self,
        name: &str,
        selectors: &[Vec<Matcher>],
        min_ms: i64,
        max_ms: i64,
        limit: Option<usize>,
    ) -> Result<Listing<String>> {
        let series = self.series(selectors, min_ms, max_ms, None).await?.items;
        let values: BTreeSet<&str> = series
            .iter()
            .filter_map(|labels| labels.get(name))
            .collect();
        Ok(Listing::new(values.into_iter().map(str::to_owned), limit))
    }
}
