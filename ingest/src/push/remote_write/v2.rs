//! Version 2: `io.prometheus.write.v2.Request`.

use varve_storage::{MetricMetadata, MetricType, SeriesRef};

use super::v1::metric_type;
use super::{Reading, histogram};
use crate::push::RequestBuilder;
use varve_storage::protobuf::wire::{Field, Fields, WireError};

/// Reads a whole request. The table of symbols may come behind the series, so the message is walked twice.
pub(super) fn read(message: &[u8], reading: &mut Reading<'_>) -> Result<(), WireError> {
    let mut symbols: Vec<&[u8]> = Vec::new();
    let mut fields = Fields::new(message);
    while let Some(field) = fields.next()? {
        if field.number == 4 {
            symbols.push(field.bytes()?);
        }
    }
    let mut request = Request {
        symbols,
        refs: Vec::new(),
        labels: Vec::new(),
    };
    let mut fields = Fields::new(message);
    while let Some(field) = fields.next()? {
        if field.number == 5 {
            request.series(field, reading)?;
        }
    }
    Ok(())
}

/// The symbols, and buffers that are used for one series after the other.
struct Request<'a> {
    symbols: Vec<&'a [u8]>,
    refs: Vec<u32>,
    labels: Vec<(&'a [u8], &'a [u8])>,
}

impl<'a> Request<'a> {
    fn symbol(&self, reference: u32) -> Result<&'a [u8], String> {
        let index = usize::try_from(reference).unwrap_or(usize::MAX);
        self.symbols.get(index).copied().ok_or_else(|| {
            format!(
                "symbol reference {reference} is out of bounds of the {} symbols",
                self.symbols.len()
            )
        })
    }

    /// Turns the references into labels.
    fn resolve(&mut self) -> Result<(), String> {
        self.labels.clear();
        let (pairs, rest) = self.refs.as_chunks::<2>();
        if !rest.is_empty() {
            return Err(format!("invalid labelRefs length {}", self.refs.len()));
        }
        for [name, value] in pairs {
            let pair = (self.symbol(*name)?, self.symbol(*value)?);
            self.labels.push(pair);
        }
        Ok(())
    }

    fn series(&mut self, field: Field<'a>, reading: &mut Reading<'_>) -> Result<(), WireError> {
        self.refs.clear();
        let mut items = 0;
        let mut metadata = Metadata::default();
        let mut fields = field.message()?;
        while let Some(field) = fields.next()? {
            match field.number {
                1 => field.uint32s(&mut self.refs)?,
                2 | 3 => items += 1,
                5 => metadata = Metadata::read(field)?,
                _ => {}
            }
        }
        if let Err(reason) = self.resolve() {
            let reason = format!("parsing labels for series {:?}: {reason}", self.refs);
            reading.reject(reason, items);
            return Ok(());
        }
        let metadata = match self.metadata(metadata) {
            Ok(metadata) => metadata,
            Err(reason) => {
                let reason = format!("parsing metadata for series {:?}: {reason}", self.refs);
                reading.reject(reason, items);
                return Ok(());
            }
        };
        let series = match reading.builder.series(&self.labels) {
            Ok(series) => series,
            Err(rejected) => {
                reading.reject(rejected, items);
                return Ok(());
            }
        };
        if items == 0 {
            let reason = format!(
                "TimeSeries must contain at least one sample or histogram for series {}",
                series.labels
            );
            reading.reject(reason, 0);
            return Ok(());
        }
        if let Some(metadata) = metadata {
            reading.builder.metadata(MetricMetadata {
                family: family(series.labels.metric_name(), metadata.kind).to_owned(),
                ..metadata
            });
        }
        let mut fields = field.message()?;
        while let Some(field) = fields.next()? {
            match field.number {
                2 => float(field, &series, reading)?,
                3 => histogram_sample(field, &series, reading)?,
                4 => self.exemplar(field, &series, reading)?,
                _ => {}
            }
        }
        Ok(())
    }

    /// What is said about the series; nothing, where nothing is.
    fn metadata(&self, metadata: Metadata) -> Result<Option<MetricMetadata>, String> {
        let text = |reference| {
            let symbol = self.symbol(reference)?;
            Ok::<_, String>(String::from_utf8_lossy(symbol).into_owned())
        };
        // Reference 0 is the empty text, and a request without symbols has nothing to say.
        let known = MetricMetadata {
            family: String::new(),
            kind: metric_type(metadata.kind),
            unit: match metadata.unit {
                0 => String::new(),
                unit => text(unit)?,
            },
            help: match metadata.help {
                0 => String::new(),
                help => text(help)?,
            },
        };
        let says =
            known.kind != MetricType::Unknown || !known.unit.is_empty() || !known.help.is_empty();
        Ok(says.then_some(known))
    }

    fn exemplar(
        &mut self,
        field: Field<'a>,
        series: &SeriesRef,
        reading: &mut Reading<'_>,
    ) -> Result<(), WireError> {
        let (mut timestamp_ms, mut value) = (0, 0.0);
        self.refs.clear();
        let mut fields = field.message()?;
        while let Some(field) = fields.next()? {
            match field.number {
                1 => field.uint32s(&mut self.refs)?,
                2 => value = field.double()?,
                3 => timestamp_ms = field.int64()?,
                _ => {}
            }
        }
        if let Err(reason) = self.resolve() {
            let reason = format!("parsing exemplar for series {}: {reason}", series.labels);
            reading.reject(reason, 0);
            return Ok(());
        }
        let added = reading
            .builder
            .exemplar(series, &self.labels, timestamp_ms, value);
        match added {
            Ok(()) => reading.counts.exemplars += 1,
            Err(rejected) => reading.reject(rejected, 0),
        }
        Ok(())
    }
}

/// The metric family that a series' metadata is about: the series of classic histograms and summaries have suffixes, which the family has not.
fn family(name: &str, kind: MetricType) -> &str {
    let suffixes: &[&str] = match kind {
        MetricType::Histogram => &["_bucket", "_count", "_sum"],
        MetricType::GaugeHistogram => &["_bucket", "_gcount", "_gsum"],
        MetricType::Summary => &["_count", "_sum"],
        _ => &[],
    };
    let stripped = suffixes.iter().find_map(|suffix| name.strip_suffix(suffix));
    stripped.filter(|family| !family.is_empty()).unwrap_or(name)
}

fn float(field: Field<'_>, series: &SeriesRef, reading: &mut Reading<'_>) -> Result<(), WireError> {
    let (mut timestamp_ms, mut start_ms, mut value) = (0, 0, 0.0);
    let mut fields = field.message()?;
    while let Some(field) = fields.next()? {
        match field.number {
            1 => value = field.double()?,
            2 => timestamp_ms = field.int64()?,
            3 => start_ms = field.int64()?,
            _ => {}
        }
    }
    let start_ms = RequestBuilder::start_ms(start_ms, timestamp_ms);
    match reading.builder.float(series, timestamp_ms, start_ms, value) {
        Ok(()) => reading.counts.samples += 1,
        Err(rejected) => reading.reject(rejected, 1),
    }
    Ok(())
}

fn histogram_sample(
    field: Field<'_>,
    series: &SeriesRef,
    reading: &mut Reading<'_>,
) -> Result<(), WireError> {
    let histogram = histogram::read(field.message()?)?;
    let timestamp_ms = histogram.timestamp_ms;
    let start_ms = RequestBuilder::start_ms(histogram.start_timestamp_ms, timestamp_ms);
    let added = reading
        .builder
        .histogram(series, timestamp_ms, start_ms, histogram.value);
    match added {
        Ok(()) => reading.counts.histograms += 1,
        Err(rejected) => reading.reject(rejected, 1),
    }
    Ok(())
}

/// Metadata before its symbols are looked up.
#[derive(Debug, Default)]
struct Metadata {
    kind: u64,
    help: u32,
    unit: u32,
}

impl Metadata {
    fn read(field: Field<'_>) -> Result<Self, WireError> {
        let mut metadata = Self::default();
        let mut fields = field.message()?;
        while let Some(field) = fields.next()? {
            match field.number {
                1 => metadata.kind = field.uint64()?,
                3 => metadata.help = field.uint32()?,
                4 => metadata.unit = field.uint32()?,
                _ => {}
            }
        }
        Ok(metadata)
    }
}
