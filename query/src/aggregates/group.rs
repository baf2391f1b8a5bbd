//! The vectors of a group, kept for aggregations that need all samples of a step.

use std::sync::Arc;

use arrow::array::{
    ArrayRef, AsArray, Float64Builder, LargeBinaryBuilder, ListArray, ListBuilder, StringBuilder,
};
use arrow::datatypes::{DataType, Float64Type};
use datafusion::error::{DataFusionError, Result};
use varve_storage::FloatHistogram;

use super::histogram;
use crate::vector::{Vectors, decode};

/// The fields of a group's state, with the type of their lists' items.
pub(super) const STATE: [(&str, DataType); 4] = [
    ("rows", DataType::Float64),
    ("histograms", DataType::LargeBinary),
    ("parameters", DataType::Float64),
    ("buckets", DataType::Utf8),
];

/// The vectors of one group, one after the other.
#[derive(Clone, Debug, Default)]
pub(super) struct Group {
    samples: Vec<Option<f64>>,
    /// As many encoded native histograms; empty as long as there is none.
    histograms: Vec<Option<Box<[u8]>>>,
    histogram_bytes: usize,
    /// The parameters' vectors, one after the other; from the first row, because they are the same in all.
    pub(super) parameters: Vec<Option<f64>>,
    /// The label `le` of each row, with its metric name.
    pub(super) buckets: Vec<String>,
}

impl Group {
    pub(super) fn heap_bytes(&self) -> usize {
        let texts: usize = self.buckets.iter().map(|text| text.capacity() + 24).sum();
        (self.samples.capacity() + self.parameters.capacity()) * size_of::<Option<f64>>()
            + self.histograms.capacity() * size_of::<Option<Box<[u8]>>>()
            + self.histogram_bytes
            + texts
    }

    /// Adds a row of vectors.
    pub(super) fn push(&mut self, vectors: &Vectors, row: usize) {
        if vectors.is_mixed() {
            let items = (0..vectors.steps()).map(|step| vectors.histogram(row, step));
            self.push_histograms(items);
        }
        self.samples.extend(vectors.floats(row));
        self.pad();
    }

    fn push_histograms<'a>(&mut self, items: impl Iterator<Item = Option<&'a [u8]>>) {
        for (index, item) in (self.samples.len()..).zip(items) {
            if let Some(bytes) = item {
                self.histograms.resize(index, None);
                self.histograms.push(Some(bytes.into()));
                self.histogram_bytes += bytes.len();
            }
        }
    }

    /// Histograms are as many as samples, or none.
    fn pad(&mut self) {
        if !self.histograms.is_empty() {
            self.histograms.resize(self.samples.len(), None);
        }
    }

    /// The floats of a step with the rows that they are of.
    pub(super) fn at(&self, steps: usize, step: usize) -> impl Iterator<Item = (usize, f64)> + '_ {
        let column = self.samples.iter().skip(step).step_by(steps.max(1));
        column
            .enumerate()
            .filter_map(|(row, sample)| Some((row, (*sample)?)))
    }

    /// Whether there are native histograms at any step.
    pub(super) fn has_histograms(&self) -> bool {
        !self.histograms.is_empty()
    }

    /// The native histograms of a step with the rows that they are of.
    pub(super) fn histograms_at(
        &self,
        steps: usize,
        step: usize,
    ) -> Result<Vec<(usize, FloatHistogram)>> {
        let column = self.histograms.iter().skip(step).step_by(steps.max(1));
        let found = column
            .enumerate()
            .filter_map(|(row, item)| Some((row, item.as_deref()?)));
        found
            .map(|(row, bytes)| Ok((row, decode(bytes)?)))
            .collect()
    }

    /// Whether a row has a float at any step.
    pub(super) fn has_floats(&self, steps: usize, row: usize) -> bool {
        let row = self.samples.get(row * steps..(row + 1) * steps);
        row.is_some_and(|row| row.iter().any(Option::is_some))
    }

    /// The metric name of a row; empty where it is gone.
    pub(super) fn metric_of(&self, row: usize) -> &str {
        let bucket = self.buckets.get(row);
        bucket.map_or("", |bucket| histogram::metric_name(bucket))
    }

    /// The metric name of the first row; empty where it is gone.
    pub(super) fn metric(&self) -> &str {
        self.metric_of(0)
    }

    pub(super) fn parameter(&self, index: usize, steps: usize, step: usize) -> f64 {
        let item = self.parameters.get(index * steps + step);
        item.copied().flatten().unwrap_or(f64::NAN)
    }

    /// The columns of [`STATE`], a row per group.
    pub(super) fn states(groups: &[Self]) -> Vec<ArrayRef> {
        let mut rows = ListBuilder::new(Float64Builder::new());
        let mut histograms = ListBuilder::new(LargeBinaryBuilder::new());
        let mut parameters = ListBuilder::new(Float64Builder::new());
        let mut buckets = ListBuilder::new(StringBuilder::new());
        for group in groups {
            for sample in &group.samples {
                rows.values().append_option(*sample);
            }
            rows.append(true);
            for item in &group.histograms {
                histograms.values().append_option(item.as_deref());
            }
            histograms.append(true);
            for item in &group.parameters {
                parameters.values().append_option(*item);
            }
            parameters.append(true);
            for bucket in &group.buckets {
                buckets.values().append_value(bucket);
            }
            buckets.append(true);
        }
        vec![
            Arc::new(rows.finish()),
            Arc::new(histograms.finish()),
            Arc::new(parameters.finish()),
            Arc::new(buckets.finish()),
        ]
    }

    /// Adds a row of [`Group::states`].
    pub(super) fn merge(&mut self, states: &[ArrayRef], row: usize) -> Result<()> {
        let lists: Vec<&ListArray> = states
            .iter()
            .filter_map(|a| a.as_list_opt::<i32>())
            .collect();
        let [rows, histograms, parameters, buckets] = lists[..] else {
            return Err(DataFusionError::Internal("not a state".to_owned()));
        };
        let floats = |list: &ListArray| -> Vec<Option<f64>> {
            let items = list.value(row);
            let items = items.as_primitive_opt::<Float64Type>();
            items
                .map(|items| items.iter().collect())
                .unwrap_or_default()
        };
        if let Some(items) = histograms.value(row).as_binary_opt::<i64>() {
            self.push_histograms(items.iter());
        }
        self.samples.extend(floats(rows));
        self.pad();
        if self.parameters.is_empty() {
            self.parameters = floats(parameters);
        }
        if let Some(texts) = buckets.value(row).as_string_opt::<i32>() {
            let texts = texts.iter().map(|text| text.unwrap_or("").to_owned());
            self.buckets.extend(texts);
        }
        Ok(())
    }
}
