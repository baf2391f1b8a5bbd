//! What a query is given and what it gives back.

use std::sync::Arc;
use std::time::Duration;

use varve_storage::{FloatHistogram, Labels, SampleValue};

/// Limits and settings of one query; what is `None` comes from the engine's options.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct QueryOptions {
    /// How far an instant selector looks back for a sample, in milliseconds.
    pub lookback_ms: Option<i64>,
    /// How long the query may take.
    pub timeout: Option<Duration>,
    /// The most series in the result; more are cut off with a warning.
    pub limit: Option<usize>,
}

/// The answer to a query.
#[derive(Clone, Debug, PartialEq)]
pub struct QueryResult {
    /// The value.
    pub value: QueryValue,
    /// What the caller should look at, in Prometheus's words with `(line:column)` where it is about a part of the query.
    pub warnings: Vec<String>,
    /// What the caller may like to know, likewise.
    pub infos: Vec<String>,
    /// What the query cost.
    pub stats: QueryStats,
}

/// The value of a query, of one of PromQL's types.
#[derive(Clone, Debug, PartialEq)]
pub enum QueryValue {
    /// A number: instant queries of scalar expressions.
    Scalar {
        /// The time of evaluation in milliseconds since the epoch.
        time_ms: i64,
        /// The number.
        value: f64,
    },
    /// A text: instant queries of string literals.
    String {
        /// The time of evaluation in milliseconds since the epoch.
        time_ms: i64,
        /// The text.
        value: String,
    },
    /// One sample per series: instant queries of vector expressions.
    Vector(Vec<VectorSample>),
    /// Samples over time per series, sorted by labels: range queries, and instant queries of range vectors.
    Matrix(Vec<MatrixSeries>),
}

/// A sample of an instant vector.
#[derive(Clone, Debug, PartialEq)]
pub struct VectorSample {
    /// The series.
    pub labels: Labels,
    /// The time in milliseconds since the epoch.
    pub time_ms: i64,
    /// The value.
    pub value: SampleValue,
}

/// A series of a matrix; it has a sample.
#[derive(Clone, Debug, PartialEq)]
pub struct MatrixSeries {
    /// The series.
    pub labels: Labels,
    /// Floats as (milliseconds since the epoch, value), ascending by time.
    pub samples: Vec<(i64, f64)>,
    /// Native histograms, likewise; no time is in both.
    pub histograms: Vec<(i64, Arc<FloatHistogram>)>,
}

impl MatrixSeries {
    /// A series without samples yet.
    pub fn new(labels: Labels) -> Self {
        Self::of_floats(labels, Vec::new())
    }

    /// A series of floats, ascending by time.
    pub fn of_floats(labels: Labels, samples: Vec<(i64, f64)>) -> Self {
        Self {
            labels,
            samples,
            histograms: Vec::new(),
        }
    }

    /// How many samples it has.
    pub fn len(&self) -> usize {
        self.samples.len() + self.histograms.len()
    }

    /// Whether it has no samples, which results never have.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Adds a sample that is later than all others.
    pub fn push(&mut self, time_ms: i64, value: SampleValue) {
        match value {
            SampleValue::Float(value) => self.samples.push((time_ms, value)),
            SampleValue::Histogram(histogram) => self.histograms.push((time_ms, histogram)),
        }
    }

    /// The sample of a time.
    pub fn at(&self, time_ms: i64) -> Option<SampleValue> {
        let float = self.samples.binary_search_by_key(&time_ms, |(t, _)| *t);
        if let Some((_, value)) = float.ok().and_then(|index| self.samples.get(index)) {
            return Some(SampleValue::Float(*value));
        }
        let found = self.histograms.binary_search_by_key(&time_ms, |(t, _)| *t);
        let (_, histogram) = found.ok().and_then(|index| self.histograms.get(index))?;
        Some(SampleValue::Histogram(Arc::clone(histogram)))
    }
}

/// The samples of one series as they are stored: stale markers are among them.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct RawSamples {
    /// Times in milliseconds since the epoch, strictly ascending.
    pub timestamps: Vec<i64>,
    /// As many values: [`stale_nan`](varve_storage::stale_nan) for a stale marker of either kind; those of histograms mean nothing.
    pub values: Vec<f64>,
    /// As many items, of which those of floats and of stale markers are `None`; empty if there is no histogram.
    pub histograms: Vec<Option<Arc<FloatHistogram>>>,
}

impl RawSamples {
    /// The samples with their times.
    pub fn iter(&self) -> impl DoubleEndedIterator<Item = (i64, SampleValue)> {
        let samples = self.timestamps.iter().zip(&self.values).enumerate();
        samples.map(|(index, (time_ms, value))| {
            let histogram = self.histograms.get(index).cloned().flatten();
            let value = histogram.map_or(SampleValue::Float(*value), SampleValue::Histogram);
            (*time_ms, value)
        })
    }
}

/// A series with its samples as they are stored; it has one at least.
#[derive(Clone, Debug, PartialEq)]
pub struct RawSeries {
    /// The series.
    pub labels: Labels,
    /// Its samples.
    pub samples: RawSamples,
}

/// What a query cost.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct QueryStats {
    /// Objects read, whole or in part.
    pub get_requests: u64,
    /// Objects asked for their size.
    pub head_requests: u64,
    /// Listings; 0 unless something is wrong.
    pub list_requests: u64,
    /// Bytes read from the object store.
    pub bytes_read: u64,
    /// Rows of the samples table and the WAL that passed the pruning by series and time.
    pub rows_scanned: u64,
    /// Samples in those rows.
    pub samples_read: u64,
    /// Series that the selectors of the query resolved to.
    pub series_selected: u64,
    /// Series in the result.
    pub series_returned: u64,
    /// Wall time from the text to the result.
    pub elapsed: Duration,
    /// Time that DataFusion's operators were busy, summed over threads.
    pub cpu: Duration,
    /// Most bytes that the operators held at once.
    pub memory_peak_bytes: u64,
}

/// How a query would be run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Explanation {
    /// The optimized logical plan.
    pub logical: String,
    /// The physical plan.
    pub physical: String,
}
