//! From rows of a relation to series.

use std::collections::HashMap;
use std::sync::Arc;

use arrow::array::{Array, AsArray, RecordBatch, StringArray};
use datafusion::error::DataFusionError;
use varve_storage::Labels;

use crate::grid::StepGrid;
use crate::result::MatrixSeries;
use crate::vector::{VALUE, Vectors, decode, label_column};
use crate::{Error, Result};

/// Series with their samples so far; slices of a grid are appended one after the other.
#[derive(Debug)]
pub(super) struct SeriesSet {
    series: HashMap<Labels, MatrixSeries>,
    samples: usize,
    samples_max: usize,
}

impl SeriesSet {
    pub(super) fn new(samples_max: usize) -> Self {
        Self {
            series: HashMap::new(),
            samples: 0,
            samples_max,
        }
    }

    /// Appends samples that are later than all of the series.
    pub(super) fn extend(&mut self, series: MatrixSeries) -> Result<()> {
        if series.is_empty() {
            return Ok(());
        }
        self.samples += series.len();
        if self.samples > self.samples_max {
            return Err(Error::TooManySamples("query execution"));
        }
        match self.series.get_mut(&series.labels) {
            Some(known) => {
                known.samples.extend(series.samples);
                known.histograms.extend(series.histograms);
            }
            None => {
                self.series.insert(series.labels.clone(), series);
            }
        }
        Ok(())
    }

    /// Appends the rows of a relation with these labels on a grid.
    pub(super) fn add(
        &mut self,
        batch: &RecordBatch,
        labels: &[String],
        grid: StepGrid,
    ) -> Result<()> {
        let missing = |name: &str| {
            let message = format!("column {name} is missing in a result");
            Error::DataFusion(DataFusionError::Internal(message))
        };
        let vectors = batch.column_by_name(VALUE).ok_or_else(|| missing(VALUE))?;
        let vectors = Vectors::try_new(vectors)?;
        let mut columns: Vec<&StringArray> = Vec::with_capacity(labels.len());
        for label in labels {
            let name = label_column(label);
            let column = batch.column_by_name(&name);
            let column = column.and_then(|column| column.as_string_opt::<i32>());
            columns.push(column.ok_or_else(|| missing(&name))?);
        }
        for row in 0..batch.num_rows() {
            let steps = grid.times_ms().zip(vectors.floats(row));
            let samples = steps.filter_map(|(time_ms, sample)| Some((time_ms, sample?)));
            let mut series = MatrixSeries::of_floats(Labels::empty(), samples.collect());
            if vectors.is_mixed() {
                for (step, time_ms) in grid.times_ms().enumerate() {
                    if let Some(bytes) = vectors.histogram(row, step) {
                        let histogram = Arc::new(decode(bytes)?);
                        series.histograms.push((time_ms, histogram));
                    }
                }
            }
            if series.is_empty() {
                continue;
            }
            let pairs = labels.iter().zip(&columns).filter_map(|(label, column)| {
                let present = column.is_valid(row);
                present.then(|| (label.as_str(), column.value(row)))
            });
            series.labels =
                Labels::from_canonical(pairs.clone()).unwrap_or_else(|| Labels::from_pairs(pairs));
            self.extend(series)?;
        }
        Ok(())
    }

    /// All series, sorted by labels.
    pub(super) fn into_matrix(self) -> Vec<MatrixSeries> {
        let mut matrix: Vec<MatrixSeries> = self.series.into_values().collect();
        matrix.sort_unstable_by(|a, b| a.labels.cmp(&b.labels));
        matrix
    }
}
