//! The series of a selector, and which of them an id stands for.

use std::collections::HashMap;
use std::hash::{Hash, Hasher};
use std::sync::Arc;

use varve_storage::{SeriesId, SeriesRef};

/// Series sorted by labels, each once.
#[derive(Clone, Debug)]
pub struct SeriesSet {
    series: Arc<[SeriesRef]>,
    index: HashMap<SeriesId, usize>,
}

impl SeriesSet {
    /// Series in any order, each once.
    pub fn new(series: &[SeriesRef]) -> Self {
        let mut series = series.to_vec();
        series.sort_by(|a, b| a.labels.cmp(&b.labels));
        let index = series.iter().enumerate().map(|(i, s)| (s.id, i)).collect();
        Self {
            series: series.into(),
            index,
        }
    }

    /// The metric name of a series; empty where there is none.
    pub(crate) fn metric_name(&self, index: usize) -> &str {
        let series = self.series.get(index);
        series.map_or("", |series| series.labels.metric_name())
    }

    /// The series, ascending by labels.
    pub fn series(&self) -> &[SeriesRef] {
        &self.series
    }

    /// Where an id is among them.
    pub fn index_of(&self, id: &[u8]) -> Option<usize> {
        let id: [u8; 16] = id.try_into().ok()?;
        self.index.get(&SeriesId(id)).copied()
    }

    /// The distinct metric names, ascending.
    pub fn names(&self) -> Vec<&str> {
        let mut names: Vec<&str> = self.series.iter().map(|s| s.labels.metric_name()).collect();
        names.sort_unstable();
        names.dedup();
        names
    }
}

/// Equal if the series are; the index follows from them.
impl PartialEq for SeriesSet {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.series, &other.series) || self.series == other.series
    }
}

impl Eq for SeriesSet {}

impl Hash for SeriesSet {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.series.len().hash(state);
        for series in self.series.iter() {
            series.id.hash(state);
        }
    }
}
