//! Version 1: `prometheus.WriteRequest`.

use varve_storage::columns::NO_START_MS;
use varve_storage::{MetricMetadata, MetricType};

use super::{Reading, histogram};
use varve_storage::protobuf::wire::{Field, Fields, WireError};

/// Reads a whole request. Labels, which belong to a series' samples, may come behind them, so every series is walked twice.
pub(super) fn read(message: &[u8], reading: &mut Reading<'_>) -> Result<(), WireError> {
    let mut labels = Vec::new();
    let mut fields = Fields::new(message);
    while let Some(field) = fields.next()? {
        match field.number {
            1 => {
                labels.clear();
                series(field, &mut labels, reading)?;
            }
            3 => {
                let metadata = metadata(field)?;
                reading.builder.metadata(metadata);
            }
            _ => {}
        }
    }
    Ok(())
}

fn series<'a>(
    field: Field<'a>,
    labels: &mut Vec<(&'a [u8], &'a [u8])>,
    reading: &mut Reading<'_>,
) -> Result<(), WireError> {
    let mut items = 0;
    let mut fields = field.message()?;
    while let Some(field) = fields.next()? {
        match field.number {
            1 => labels.push(label(field)?),
            2 | 4 => items += 1,
            _ => {}
        }
    }
    let series = match reading.builder.series(labels) {
        Ok(series) => series,
        Err(rejected) => {
            reading.reject(rejected, items);
            return Ok(());
        }
    };
    let mut fields = field.message()?;
    let mut exemplar_labels = Vec::new();
    while let Some(field) = fields.next()? {
        match field.number {
            2 => {
                let (timestamp_ms, value) = sample(field)?;
                let added = reading
                    .builder
                    .float(&series, timestamp_ms, NO_START_MS, value);
                match added {
                    Ok(()) => reading.counts.samples += 1,
                    Err(rejected) => reading.reject(rejected, 1),
                }
            }
            3 => {
                exemplar_labels.clear();
                let (timestamp_ms, value) = exemplar(field, &mut exemplar_labels)?;
                let added =
                    reading
                        .builder
                        .exemplar(&series, &exemplar_labels, timestamp_ms, value);
                // An exemplar is no reason to refuse samples.
                reading.counts.exemplars += u64::from(added.is_ok());
            }
            4 => {
                let histogram = histogram::read(field.message()?)?;
                let added = reading.builder.histogram(
                    &series,
                    histogram.timestamp_ms,
                    NO_START_MS,
                    histogram.value,
                );
                match added {
                    Ok(()) => reading.counts.histograms += 1,
                    Err(rejected) => reading.reject(rejected, 1),
                }
            }
            _ => {}
        }
    }
    Ok(())
}

fn label<'a>(field: Field<'a>) -> Result<(&'a [u8], &'a [u8]), WireError> {
    let (mut name, mut value): (&[u8], &[u8]) = (&[], &[]);
    let mut fields = field.message()?;
    while let Some(field) = fields.next()? {
        match field.number {
            1 => name = field.bytes()?,
            2 => value = field.bytes()?,
            _ => {}
        }
    }
    Ok((name, value))
}

fn sample(field: Field<'_>) -> Result<(i64, f64), WireError> {
    let (mut timestamp_ms, mut value) = (0, 0.0);
    let mut fields = field.message()?;
    while let Some(field) = fields.next()? {
        match field.number {
            1 => value = field.double()?,
            2 => timestamp_ms = field.int64()?,
            _ => {}
        }
    }
    Ok((timestamp_ms, value))
}

fn exemplar<'a>(
    field: Field<'a>,
    labels: &mut Vec<(&'a [u8], &'a [u8])>,
) -> Result<(i64, f64), WireError> {
    let (mut timestamp_ms, mut value) = (0, 0.0);
    let mut fields = field.message()?;
    while let Some(field) = fields.next()? {
        match field.number {
            1 => labels.push(label(field)?),
            2 => value = field.double()?,
            3 => timestamp_ms = field.int64()?,
            _ => {}
        }
    }
    Ok((timestamp_ms, value))
}

fn metadata(field: Field<'_>) -> Result<MetricMetadata, WireError> {
    let mut metadata = MetricMetadata {
        family: String::new(),
        kind: MetricType::Unknown,
        unit: String::new(),
        help: String::new(),
    };
    let mut fields = field.message()?;
    while let Some(field) = fields.next()? {
        match field.number {
            1 => metadata.kind = metric_type(field.uint64()?),
            2 => field.string()?.clone_into(&mut metadata.family),
            4 => field.string()?.clone_into(&mut metadata.help),
            5 => field.string()?.clone_into(&mut metadata.unit),
            _ => {}
        }
    }
    Ok(metadata)
}

/// The type by its number, which is the same in both versions.
pub(super) fn metric_type(number: u64) -> MetricType {
    match number {
        1 => MetricType::Counter,
        2 => MetricType::Gauge,
        3 => MetricType::Histogram,
        4 => MetricType::GaugeHistogram,
        5 => MetricType::Summary,
        6 => MetricType::Info,
        7 => MetricType::StateSet,
        _ => MetricType::Unknown,
    }
}
