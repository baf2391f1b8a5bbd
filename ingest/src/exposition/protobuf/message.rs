//! The messages, read one at a time.

use varve_storage::MetricType;
use varve_storage::columns::NO_START_MS;
use varve_storage::histogram::{
    ClassicHistogram, CounterResetHint, FloatHistogram, HistogramError, IntegerHistogram,
};

use crate::exposition::native::{check_spans, of_integers};
use crate::exposition::parser::EXPOSED_LABELS_MAX;
use crate::exposition::{ExpositionError, Observations, ParsedExemplar};
use varve_storage::protobuf::histogram::read_span;
use varve_storage::protobuf::wire::{Field, Fields, WireError};

impl From<WireError> for ExpositionError {
    fn from(error: WireError) -> Self {
        failure(error.to_string())
    }
}

pub(super) fn failure(message: String) -> ExpositionError {
    ExpositionError { line: 0, message }
}

/// What a family's metrics have in common.
#[derive(Debug)]
pub(super) struct Family<'a> {
    pub(super) name: &'a str,
    pub(super) help: &'a str,
    pub(super) unit: &'a str,
    pub(super) kind: MetricType,
    pub(super) metrics: usize,
}

/// One metric, before its kind is looked at.
#[derive(Debug, Default)]
pub(super) struct Metric<'a> {
    pub(super) labels: Vec<(&'a str, &'a str)>,
    /// The message of its kind.
    pub(super) gauge: &'a [u8],
    pub(super) counter: &'a [u8],
    pub(super) summary: &'a [u8],
    pub(super) untyped: &'a [u8],
    pub(super) histogram: &'a [u8],
    pub(super) timestamp_ms: i64,
}

pub(super) fn text<'a>(field: Field<'a>, what: &str) -> Result<&'a str, ExpositionError> {
    let bytes = field.bytes()?;
    std::str::from_utf8(bytes).map_err(|_| {
        failure(format!(
            "invalid {what}: {}",
            String::from_utf8_lossy(bytes)
        ))
    })
}

impl<'a> Family<'a> {
    pub(super) fn read(message: &'a [u8]) -> Result<Self, ExpositionError> {
        let (mut name, mut help, mut unit): (&str, &[u8], &str) = ("", &[], "");
        let (mut kind, mut metrics) = (0, 0);
        let mut fields = Fields::new(message);
        while let Some(field) = fields.next()? {
            match field.number {
                1 => name = text(field, "metric name")?,
                2 => help = field.bytes()?,
                3 => kind = field.uint64()?,
                4 => metrics += 1,
                5 => unit = text(field, "unit")?,
                _ => {}
            }
        }
        let help = std::str::from_utf8(help).map_err(|_| {
            let help = String::from_utf8_lossy(help);
            failure(format!("invalid help for metric {name:?}: {help}"))
        })?;
        if metrics > 0 && name.is_empty() {
            return Err(failure("invalid metric name: ".to_owned()));
        }
        let kind = match kind {
            0 => MetricType::Counter,
            1 => MetricType::Gauge,
            2 => MetricType::Summary,
            3 => MetricType::Unknown,
            4 => MetricType::Histogram,
            5 => MetricType::GaugeHistogram,
            kind => {
                return Err(failure(format!(
                    "unknown metric type for metric {name:?}: {kind}"
                )));
            }
        };
        Ok(Self {
            name,
            help,
            unit,
            kind,
            metrics,
        })
    }
}

impl<'a> Metric<'a> {
    pub(super) fn read(mut fields: Fields<'a>) -> Result<Self, ExpositionError> {
        let mut metric = Self::default();
        while let Some(field) = fields.next()? {
            match field.number {
                1 if metric.labels.len() == EXPOSED_LABELS_MAX => {
                    return Err(failure(format!(
                        "a metric has more than {EXPOSED_LABELS_MAX} labels"
                    )));
                }
                1 => metric.labels.push(label(field)?),
                2 => metric.gauge = field.bytes()?,
                3 => metric.counter = field.bytes()?,
                4 => metric.summary = field.bytes()?,
                5 => metric.untyped = field.bytes()?,
                6 => metric.timestamp_ms = field.int64()?,
                7 => metric.histogram = field.bytes()?,
                _ => {}
            }
        }
        Ok(metric)
    }

    /// The time; 0 stands for none.
    pub(super) fn timestamp_ms(&self) -> Option<i64> {
        Some(self.timestamp_ms).filter(|time_ms| *time_ms != 0)
    }
}

pub(super) fn label<'a>(field: Field<'a>) -> Result<(&'a str, &'a str), ExpositionError> {
    let (mut name, mut value) = ("", "");
    let mut fields = field.message()?;
    while let Some(field) = fields.next()? {
        match field.number {
            1 => name = text(field, "label name")?,
            2 => value = text(field, "label value")?,
            _ => {}
        }
    }
    match name.is_empty() {
        true => Err(failure("invalid label name: ".to_owned())),
        false => Ok((name, value)),
    }
}

/// A point in time, in milliseconds.
pub(super) fn timestamp_ms(field: Field<'_>) -> Result<i64, ExpositionError> {
    let (mut seconds, mut nanos) = (0_i64, 0_i64);
    let mut fields = field.message()?;
    while let Some(field) = fields.next()? {
        match field.number {
            1 => seconds = field.int64()?,
            2 => nanos = field.int64()?,
            _ => {}
        }
    }
    Ok(seconds
        .saturating_mul(1000)
        .saturating_add(nanos / 1_000_000))
}

pub(super) fn exemplar(message: &[u8]) -> Result<ParsedExemplar, ExpositionError> {
    let mut exemplar = ParsedExemplar {
        labels: Vec::new(),
        value: 0.0,
        timestamp_ms: None,
    };
    let mut fields = Fields::new(message);
    while let Some(field) = fields.next()? {
        match field.number {
            1 => {
                let (name, value) = label(field)?;
                exemplar.labels.push((name.to_owned(), value.to_owned()));
            }
            2 => exemplar.value = field.double()?,
            3 => exemplar.timestamp_ms = Some(timestamp_ms(field)?),
            _ => {}
        }
    }
    Ok(exemplar)
}

/// A classic bucket.
#[derive(Debug, Default)]
pub(super) struct Bucket<'a> {
    pub(super) count: f64,
    pub(super) upper: f64,
    pub(super) exemplar: Option<&'a [u8]>,
}

/// Of two counts the float one counts, unless it is 0.
pub(super) fn count(float: f64, integer: u64) -> f64 {
    match float == 0.0 {
        true => integer as f64,
        false => float,
    }
}

impl<'a> Bucket<'a> {
    pub(super) fn read(mut fields: Fields<'a>) -> Result<Self, ExpositionError> {
        let mut bucket = Self::default();
        let (mut integer, mut float) = (0, 0.0);
        while let Some(field) = fields.next()? {
            match field.number {
                1 => integer = field.uint64()?,
                2 => bucket.upper = field.double()?,
                3 => bucket.exemplar = Some(field.bytes()?),
                4 => float = field.double()?,
                _ => {}
            }
        }
        bucket.count = count(float, integer);
        Ok(bucket)
    }
}

/// A histogram with both of its sides.
#[derive(Debug, Default)]
pub(super) struct Histogram<'a> {
    pub(super) integer: IntegerHistogram,
    pub(super) float_count: f64,
    pub(super) float_zero_count: f64,
    pub(super) positive_counts: Vec<f64>,
    pub(super) negative_counts: Vec<f64>,
    pub(super) buckets: Vec<Bucket<'a>>,
    pub(super) exemplars: Vec<&'a [u8]>,
    pub(super) start_ms: i64,
}

impl<'a> Histogram<'a> {
    pub(super) fn read(message: &'a [u8]) -> Result<Self, ExpositionError> {
        let mut histogram = Self::default();
        let mut fields = Fields::new(message);
        while let Some(field) = fields.next()? {
            histogram.take(field)?;
        }
        Ok(histogram)
    }

    fn take(&mut self, field: Field<'a>) -> Result<(), ExpositionError> {
        let integer = &mut self.integer;
        match field.number {
            1 => integer.count = field.uint64()?,
            2 => integer.sum = field.double()?,
            3 => self.buckets.push(Bucket::read(field.message()?)?),
            4 => self.float_count = field.double()?,
            5 => integer.schema = field.sint32()?,
            6 => integer.zero_threshold = field.double()?,
            7 => integer.zero_count = field.uint64()?,
            8 => self.float_zero_count = field.double()?,
            9 => integer.negative_spans.push(read_span(field)?),
            10 => field.sint64s(&mut integer.negative_deltas)?,
            11 => field.doubles(&mut self.negative_counts)?,
            12 => integer.positive_spans.push(read_span(field)?),
            13 => field.sint64s(&mut integer.positive_deltas)?,
            14 => field.doubles(&mut self.positive_counts)?,
            15 => self.start_ms = timestamp_ms(field)?,
            16 => self.exemplars.push(field.bytes()?),
            _ => {}
        }
        Ok(())
    }

    /// Whether there is a native side. One without any observation has a span of no bucket to say so.
    pub(super) fn is_native(&self) -> bool {
        !self.integer.positive_spans.is_empty()
            || !self.integer.negative_spans.is_empty()
            || self.integer.zero_threshold > 0.0
            || self.integer.zero_count > 0
    }

    pub(super) fn count(&self) -> f64 {
        count(self.float_count, self.integer.count)
    }

    /// The native side, of which only that spans fit buckets is checked.
    pub(super) fn native(
        &self,
        kind: MetricType,
    ) -> Result<(FloatHistogram, Option<Observations>), String> {
        let is_float = self.float_count > 0.0 || self.float_zero_count > 0.0;
        let integer = &self.integer;
        let (positive, negative) = match is_float {
            true => (self.positive_counts.len(), self.negative_counts.len()),
            false => (integer.positive_deltas.len(), integer.negative_deltas.len()),
        };
        check_spans("positive", &integer.positive_spans, positive)?;
        check_spans("negative", &integer.negative_spans, negative)?;
        let integer = IntegerHistogram {
            counter_reset_hint: hint(kind),
            ..integer.clone()
        };
        if !is_float {
            let (histogram, observations) = of_integers(integer);
            return Ok((histogram, Some(observations)));
        }
        let mut histogram = FloatHistogram {
            counter_reset_hint: integer.counter_reset_hint,
            schema: integer.schema,
            zero_threshold: integer.zero_threshold,
            zero_count: self.float_zero_count,
            count: self.float_count,
            sum: integer.sum,
            positive_spans: integer.positive_spans,
            positive_buckets: self.positive_counts.clone(),
            negative_spans: integer.negative_spans,
            negative_buckets: self.negative_counts.clone(),
            custom_values: Vec::new(),
        };
        histogram.compact(0);
        Ok((histogram, None))
    }

    /// The classic side as a native histogram.
    pub(super) fn converted(&self, kind: MetricType) -> Result<FloatHistogram, HistogramError> {
        let mut classic = ClassicHistogram::default();
        classic.set_count(self.count())?;
        classic.set_sum(self.integer.sum);
        for bucket in &self.buckets {
            classic.set_bucket(bucket.upper, bucket.count)?;
        }
        let mut histogram = classic.to_native()?;
        histogram.counter_reset_hint = hint(kind);
        Ok(histogram)
    }

    /// The exemplars of the histogram as a whole: its own, or those of its buckets. Only those with a time: without one, two
    /// of them could not be told from one that is repeated.
    pub(super) fn exemplars(&self) -> Result<Vec<ParsedExemplar>, ExpositionError> {
        let of_buckets = self.buckets.iter().filter_map(|bucket| bucket.exemplar);
        let all: Vec<&[u8]> = match self.exemplars.is_empty() {
            true => of_buckets.collect(),
            false => self.exemplars.clone(),
        };
        let mut timed = Vec::new();
        for message in all {
            let exemplar = exemplar(message)?;
            if exemplar.timestamp_ms.is_some() {
                timed.push(exemplar);
            }
        }
        Ok(timed)
    }
}

pub(super) fn hint(kind: MetricType) -> CounterResetHint {
    match kind {
        MetricType::GaugeHistogram => CounterResetHint::Gauge,
        _ => CounterResetHint::Unknown,
    }
}

/// The value of a gauge or an untyped metric.
pub(super) fn only_value(message: &[u8]) -> Result<f64, ExpositionError> {
    let mut value = 0.0;
    let mut fields = Fields::new(message);
    while let Some(field) = fields.next()? {
        if field.number == 1 {
            value = field.double()?;
        }
    }
    Ok(value)
}

/// A counter's value, its exemplar, and since when it counts.
pub(super) fn counter(message: &[u8]) -> Result<(f64, Vec<ParsedExemplar>, i64), ExpositionError> {
    let (mut value, mut exemplars, mut start_ms) = (0.0, Vec::new(), NO_START_MS);
    let mut fields = Fields::new(message);
    while let Some(field) = fields.next()? {
        match field.number {
            1 => value = field.double()?,
            2 => exemplars = vec![exemplar(field.bytes()?)?],
            3 => start_ms = timestamp_ms(field)?,
            _ => {}
        }
    }
    Ok((value, exemplars, start_ms))
}

pub(super) fn quantile(field: Field<'_>) -> Result<(f64, f64), ExpositionError> {
    let (mut quantile, mut value) = (0.0, 0.0);
    let mut fields = field.message()?;
    while let Some(field) = fields.next()? {
        match field.number {
            1 => quantile = field.double()?,
            2 => value = field.double()?,
            _ => {}
        }
    }
    Ok((quantile, value))
}
