//! From data points to samples, and from a resource to `target_info`.

use varve_storage::histogram::FloatHistogram;
use varve_storage::{MetricMetadata, MetricType, SeriesRef, stale_nan};

use super::cumulative::LeftOut;
use super::labels::{Attributes, IDENTIFYING, LabelMap, ResourceLabels};
use super::native::{self, Native};
use super::points::{
    ExponentialPoint, Head, HistogramPoint, NumberPoint, PointExemplar, SummaryPoint, milliseconds,
};
use super::translate::{Context, Metric, Translation, untranslatable};
use super::{OtlpError, Warning};
use crate::push::RequestBuilder;

/// Samples of `target_info` for one resource: a few years at the usual interval.
const TARGET_INFOS_MAX: u64 = 1_000_000;

impl Translation<'_> {
    /// The labels of a data point. Its attributes are taken out of it.
    fn labels<'a, 'b: 'a>(
        &mut self,
        head: &mut Head<'b>,
        metric: &'a Metric<'_>,
    ) -> Result<LabelMap<'a>, OtlpError> {
        if head.time_ns == 0 {
            // Prometheus finds the year 1970 out of bounds; for an archive no time is.
            return Err(untranslatable(format!(
                "out of bounds: a data point of metric {:?} has no time",
                metric.name
            )));
        }
        let attributes = std::mem::take(&mut head.attributes);
        let mut collisions = Vec::new();
        let Context { resource, scope } = *metric.context;
        let labels = self
            .rules
            .point(attributes, resource, scope, &mut collisions)
            .map_err(untranslatable)?;
        self.warn_of_collisions("data point", collisions);
        Ok(labels)
    }

    fn series(
        &mut self,
        name: &str,
        labels: &LabelMap<'_>,
        bound: Option<(&str, &str)>,
    ) -> Result<SeriesRef, OtlpError> {
        let replaced = bound.map(|(name, _)| name);
        let own = labels
            .iter()
            .filter(|(n, _)| *n != "__name__" && Some(*n) != replaced);
        let pairs = own.chain([("__name__", name)]).chain(bound);
        let pairs: Vec<(&[u8], &[u8])> = pairs.map(|(n, v)| (n.as_bytes(), v.as_bytes())).collect();
        self.builder.series(&pairs).map_err(untranslatable)
    }

    fn float(&mut self, series: &SeriesRef, head: &Head<'_>, value: f64) -> Result<(), OtlpError> {
        let value = match head.has_no_value() {
            true => stale_nan(),
            false => value,
        };
        let time_ms = head.time_ms();
        let start_ms = RequestBuilder::start_ms(head.start_ms(), time_ms);
        let added = self.builder.float(series, time_ms, start_ms, value);
        added.map_err(untranslatable)?;
        self.outcome.samples += 1;
        Ok(())
    }

    /// Adds what exemplars it can; they are no reason to refuse samples.
    fn exemplars<'a>(
        &mut self,
        series: &SeriesRef,
        time_ms: i64,
        exemplars: impl IntoIterator<Item = &'a PointExemplar<'a>>,
    ) {
        for exemplar in exemplars {
            let labels = exemplar.labels.iter();
            let labels: Vec<(&[u8], &[u8])> =
                labels.map(|(n, v)| (n.as_bytes(), v.as_bytes())).collect();
            let time_ms = match exemplar.time_ms {
                0 => time_ms,
                own_ms => own_ms,
            };
            let added = self
                .builder
                .exemplar(series, &labels, time_ms, exemplar.value);
            self.outcome.exemplars += u64::from(added.is_ok());
        }
    }

    pub(super) fn number(
        &mut self,
        mut point: NumberPoint<'_>,
        metric: &Metric<'_>,
    ) -> Result<(), OtlpError> {
        let labels = self.labels(&mut point.head, metric)?;
        let series = self.series(&metric.family, &labels, None)?;
        drop(labels);
        if metric.accumulates && !point.head.has_no_value() {
            let added = self.receiver.totals().number(series.id, &mut point);
            if let Err(LeftOut) = added {
                self.outcome.left_out += 1;
                return Ok(());
            }
        }
        self.float(&series, &point.head, point.value)?;
        self.exemplars(&series, point.head.time_ms(), &point.head.exemplars);
        Ok(())
    }

    pub(super) fn classic(
        &mut self,
        mut point: HistogramPoint<'_>,
        metric: &Metric<'_>,
    ) -> Result<(), OtlpError> {
        let family = metric.family.as_str();
        let labels = self.labels(&mut point.head, metric)?;
        let count = self.series(&format!("{family}_count"), &labels, None)?;
        if metric.accumulates && !point.head.has_no_value() {
            let added = self.receiver.totals().histogram(count.id, &mut point);
            if let Err(LeftOut) = added {
                self.outcome.left_out += 1;
                return Ok(());
            }
        }
        let HistogramPoint { head, .. } = &point;
        if let Some(sum) = point.sum {
            let series = self.series(&format!("{family}_sum"), &labels, None)?;
            self.float(&series, head, sum)?;
        }
        self.float(&count, head, point.count as f64)?;
        let bucket = format!("{family}_bucket");
        let mut cumulative = 0_u64;
        let mut exemplars = head.exemplars.as_slice();
        for (bound, count) in point.bounds.iter().zip(&point.bucket_counts) {
            cumulative = cumulative.wrapping_add(*count);
            let series = self.series(&bucket, &labels, Some(("le", &plain(*bound))))?;
            self.float(&series, head, cumulative as f64)?;
            // Exemplars come in the order of buckets.
            let within = exemplars
                .iter()
                .take_while(|e| e.value <= *bound || e.value.is_nan())
                .count();
            let (own, others) = exemplars.split_at_checked(within).unwrap_or_default();
            self.exemplars(&series, head.time_ms(), own);
            exemplars = others;
        }
        let series = self.series(&bucket, &labels, Some(("le", "+Inf")))?;
        self.float(&series, head, point.count as f64)?;
        self.exemplars(&series, head.time_ms(), exemplars);
        Ok(())
    }

    pub(super) fn custom(
        &mut self,
        mut point: HistogramPoint<'_>,
        metric: &Metric<'_>,
    ) -> Result<(), OtlpError> {
        let labels = self.labels(&mut point.head, metric)?;
        let series = self.series(&metric.family, &labels, None)?;
        drop(labels);
        if metric.accumulates && !point.head.has_no_value() {
            let added = self.receiver.totals().histogram(series.id, &mut point);
            if let Err(LeftOut) = added {
                self.outcome.left_out += 1;
                return Ok(());
            }
        }
        self.warn_of_sum("histogram", &point.head, point.count, point.sum);
        let native = native::custom(&point, metric.hint);
        self.native(&series, &point.head, native)
    }

    pub(super) fn exponential(
        &mut self,
        mut point: ExponentialPoint<'_>,
        metric: &Metric<'_>,
    ) -> Result<(), OtlpError> {
        let mut native = native::exponential(&point, metric.hint).map_err(untranslatable)?;
        self.warn_of_sum("exponential histogram", &point.head, point.count, point.sum);
        let labels = self.labels(&mut point.head, metric)?;
        let series = self.series(&metric.family, &labels, None)?;
        drop(labels);
        if let Ok(histogram) = &mut native
            && metric.accumulates
            && !point.head.has_no_value()
        {
            let mut totals = self.receiver.totals();
            let added = totals.native(series.id, &mut point.head, histogram);
            drop(totals);
            match added {
                Err(LeftOut) => {
                    self.outcome.left_out += 1;
                    return Ok(());
                }
                Ok(Err(error)) => native = Err(error),
                Ok(Ok(())) => {}
            }
        }
        self.native(&series, &point.head, native)
    }

    fn warn_of_sum(&mut self, what: &str, head: &Head<'_>, count: u64, sum: Option<f64>) {
        let sum = sum.unwrap_or(0.0);
        if count == 0 && sum != 0.0 && !head.has_no_value() {
            let text = format!("{what} data point has zero count, but non-zero sum: {sum:.6}");
            self.warn(Warning::ZeroCountNonZeroSum, text);
        }
    }

    fn native(
        &mut self,
        series: &SeriesRef,
        head: &Head<'_>,
        native: Native,
    ) -> Result<(), OtlpError> {
        let time_ms = head.time_ms();
        let start_ms = RequestBuilder::start_ms(head.start_ms(), time_ms);
        let native = native.and_then(FloatHistogram::received);
        let added = self.builder.histogram(series, time_ms, start_ms, native);
        added.map_err(untranslatable)?;
        self.outcome.histograms += 1;
        self.exemplars(series, time_ms, &head.exemplars);
        Ok(())
    }

    pub(super) fn summary(
        &mut self,
        mut point: SummaryPoint<'_>,
        metric: &Metric<'_>,
    ) -> Result<(), OtlpError> {
        let family = metric.family.as_str();
        let labels = self.labels(&mut point.head, metric)?;
        let head = &point.head;
        for (suffix, value) in [("sum", point.sum), ("count", point.count as f64)] {
            let series = self.series(&format!("{family}_{suffix}"), &labels, None)?;
            self.float(&series, head, value)?;
        }
        for (quantile, value) in &point.quantiles {
            let series = self.series(family, &labels, Some(("quantile", &plain(*quantile))))?;
            self.float(&series, head, *value)?;
        }
        Ok(())
    }

    /// Writes the attributes of a resource as labels of `target_info`, as often from the earliest to the latest of its data points that a query
    /// finds them at any time between.
    pub(super) fn target_info(
        &mut self,
        attributes: Attributes<'_>,
        resource: &ResourceLabels<'_>,
        (earliest_ns, latest_ns): (u64, u64),
    ) -> Result<(), OtlpError> {
        let identifying = IDENTIFYING
            .iter()
            .filter(|name| attributes.get(name).is_some())
            .count();
        if attributes.0.len() == identifying {
            return Ok(());
        }
        let mut collisions = Vec::new();
        let labels = self
            .rules
            .target(attributes, resource, &mut collisions)
            .map_err(untranslatable)?;
        self.warn_of_collisions("resource", collisions);
        if !labels.has("job") && !labels.has("instance") {
            return Ok(());
        }
        let series = self.series("target_info", &labels, None)?;
        self.builder.metadata(MetricMetadata {
            family: "target_info".to_owned(),
            kind: MetricType::Gauge,
            unit: String::new(),
            help: "Target metadata".to_owned(),
        });
        let lookback = self.receiver.options().lookback.as_nanos() / 2;
        let interval = u64::try_from(lookback).unwrap_or(u64::MAX).max(1_000_000);
        if latest_ns.saturating_sub(earliest_ns) / interval > TARGET_INFOS_MAX {
            return Err(untranslatable(
                "the times of the data points are too far apart; send less at once",
            ));
        }
        let mut time_ns = earliest_ns;
        while time_ns < latest_ns {
            self.target_sample(&series, milliseconds(time_ns))?;
            time_ns = time_ns.saturating_add(interval);
        }
        self.target_sample(&series, milliseconds(latest_ns))
    }

    fn target_sample(&mut self, series: &SeriesRef, time_ms: i64) -> Result<(), OtlpError> {
        if self.targets.insert((series.id, time_ms)) {
            let added = self.builder.float(series, time_ms, 0, 1.0);
            added.map_err(untranslatable)?;
            self.outcome.samples += 1;
        }
        Ok(())
    }
}

/// A bound as digits without an exponent.
fn plain(value: f64) -> String {
    match value {
        f64::INFINITY => "+Inf".to_owned(),
        f64::NEG_INFINITY => "-Inf".to_owned(),
        value => value.to_string(),
    }
}
