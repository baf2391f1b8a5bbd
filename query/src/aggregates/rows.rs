//! Aggregations that need all samples of a group at a step.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, AsArray, BooleanArray, ListArray, StringArray, StringBuilder, StructArray,
};
use arrow::buffer::{OffsetBuffer, ScalarBuffer};
use arrow::datatypes::{DataType, Field, FieldRef, Fields};
use datafusion::error::{DataFusionError, Result};
use datafusion::logical_expr::function::{AccumulatorArgs, StateFieldsArgs};
use datafusion::logical_expr::{
    Accumulator, AggregateUDF, AggregateUDFImpl, EmitTo, Expr, GroupsAccumulator, Signature,
    Volatility,
};
use varve_histogram::Note;
use varve_histogram::text::histogram_string;
use varve_promql::format::{format_float, format_float_g};

use super::group::{Group, STATE};
use super::histogram;
use super::native::Histogram;
use super::single::SingleGroup;
use crate::Error;
use crate::annotations::NotesAt;
use crate::grid::StepGrid;
use crate::kernels::quantile;
use crate::vector::{Vectors, VectorsBuilder, vector_type};

/// The most distinct values of `count_values` in one group: each becomes a series.
const DISTINCT_VALUES_MAX: usize = 10_000;

/// What a [`RowsAggregate`] computes from the vectors of a group.
///
/// Arguments: the vectors; then one column of vectors or numbers per scalar parameter; then, for histograms, the label `le` and
/// the metric name with [`BUCKET_SEPARATOR`](super::BUCKET_SEPARATOR) between them.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum RowsOp {
    /// The φ-quantile of floats; native histograms are left out and reported. Parameter: φ.
    Quantile(NotesAt),
    /// How many series have each value: a list of (label value, counts).
    CountValues,
    /// The φ-quantile of histograms. Parameter: φ.
    HistogramQuantile(Notes),
    /// Several φ-quantiles of histograms: a list of (φ as a label value, quantiles). Parameters: as many φ.
    HistogramQuantiles {
        /// Where to report.
        notes: Notes,
        /// The number of parameters.
        count: usize,
    },
    /// The share of observations between two bounds. Parameters: lower, upper.
    HistogramFraction(Notes),
}

/// Where histogram functions report what is odd about their input.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Notes {
    /// The argument that the notes are about.
    pub at: NotesAt,
    /// The times of the steps.
    pub grid: StepGrid,
}

impl RowsOp {
    fn name(&self) -> &'static str {
        match self {
            Self::Quantile(_) => "quantile",
            Self::CountValues => "count_values",
            Self::HistogramQuantile(_) => "histogram_quantile",
            Self::HistogramQuantiles { .. } => "histogram_quantiles",
            Self::HistogramFraction(_) => "histogram_fraction",
        }
    }

    fn parameters(&self) -> usize {
        match self {
            Self::CountValues => 0,
            Self::Quantile(_) | Self::HistogramQuantile(_) => 1,
            Self::HistogramFraction(_) => 2,
            Self::HistogramQuantiles { count, .. } => *count,
        }
    }

    fn notes(&self) -> Option<&Notes> {
        match self {
            Self::HistogramQuantile(notes)
            | Self::HistogramFraction(notes)
            | Self::HistogramQuantiles { notes, .. } => Some(notes),
            _ => None,
        }
    }
}

/// The fields of an item of a list.
fn listed_fields(steps: usize) -> Fields {
    Fields::from(vec![
        Field::new("label", DataType::Utf8, true),
        Field::new("value", vector_type(steps), true),
    ])
}

/// The UDAF of a [`RowsOp`] over vectors of `steps` steps.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct RowsAggregate {
    op: RowsOp,
    steps: usize,
    signature: Signature,
}

impl RowsAggregate {
    /// The aggregation of columns as [`RowsOp`] describes them.
    pub fn call(op: RowsOp, steps: usize, args: Vec<Expr>) -> Expr {
        let aggregate = Self {
            op,
            steps,
            signature: Signature::any(args.len(), Volatility::Immutable),
        };
        AggregateUDF::new_from_impl(aggregate).call(args)
    }

    fn groups(&self) -> Groups {
        Groups {
            aggregate: self.clone(),
            groups: Vec::new(),
        }
    }
}

fn list_type(item: DataType) -> DataType {
    DataType::List(Arc::new(Field::new("item", item, true)))
}

impl AggregateUDFImpl for RowsAggregate {
    fn name(&self) -> &str {
        self.op.name()
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, _arg_types: &[DataType]) -> Result<DataType> {
        Ok(match self.op {
            RowsOp::CountValues | RowsOp::HistogramQuantiles { .. } => {
                list_type(DataType::Struct(listed_fields(self.steps)))
            }
            _ => vector_type(self.steps),
        })
    }

    fn state_fields(&self, args: StateFieldsArgs<'_>) -> Result<Vec<FieldRef>> {
        let field = |name: &str, item: DataType| -> FieldRef {
            Arc::new(Field::new(
                format!("{}[{name}]", args.name),
                list_type(item),
                true,
            ))
        };
        Ok(STATE
            .iter()
            .map(|(name, item)| field(name, item.clone()))
            .collect())
    }

    fn accumulator(&self, _args: AccumulatorArgs<'_>) -> Result<Box<dyn Accumulator>> {
        let mut groups = self.groups();
        groups.resize(1);
        Ok(Box::new(SingleGroup(groups)))
    }

    fn groups_accumulator_supported(&self, _args: AccumulatorArgs<'_>) -> bool {
        true
    }

    fn create_groups_accumulator(
        &self,
        _args: AccumulatorArgs<'_>,
    ) -> Result<Box<dyn GroupsAccumulator>> {
        Ok(Box::new(self.groups()))
    }
}

struct Groups {
    aggregate: RowsAggregate,
    groups: Vec<Group>,
}

impl fmt::Debug for Groups {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Groups({:?}, {})", self.aggregate.op, self.groups.len())
    }
}

impl Groups {
    fn resize(&mut self, groups: usize) {
        let length = groups.max(self.groups.len());
        self.groups.resize_with(length, Group::default);
    }

    fn take(&mut self, emit_to: EmitTo) -> Vec<Group> {
        match emit_to {
            EmitTo::All => std::mem::take(&mut self.groups),
            EmitTo::First(groups) => {
                let rest = self.groups.split_off(groups);
                std::mem::replace(&mut self.groups, rest)
            }
        }
    }

    fn add(
        &mut self,
        values: &[ArrayRef],
        rows: impl Iterator<Item = (usize, usize)>,
    ) -> Result<()> {
        let missing = || DataFusionError::Internal("an argument is missing".to_owned());
        let vectors = Vectors::try_new(values.first().ok_or_else(missing)?)?;
        let count = self.aggregate.op.parameters();
        let parameters: Vec<&ArrayRef> = values.iter().skip(1).take(count).collect();
        let buckets: Option<StringArray> = match self.aggregate.op.notes() {
            None => None,
            Some(_) => {
                let array = values.get(1 + count).ok_or_else(missing)?;
                let array = arrow::compute::cast(array, &DataType::Utf8)?;
                array.as_string_opt::<i32>().cloned()
            }
        };
        for (row, index) in rows {
            let Some(group) = self.groups.get_mut(index) else {
                continue;
            };
            group.push(&vectors, row);
            if group.parameters.is_empty() {
                for parameter in &parameters {
                    let steps = self.aggregate.steps;
                    group
                        .parameters
                        .extend(super::parameter(parameter, row, steps)?);
                }
            }
            if let Some(buckets) = &buckets {
                let bucket = if buckets.is_valid(row) {
                    buckets.value(row)
                } else {
                    ""
                };
                group.buckets.push(bucket.to_owned());
            }
        }
        Ok(())
    }

    fn vectors(&self, groups: Vec<Group>) -> Result<ArrayRef> {
        let steps = self.aggregate.steps;
        let mut out = VectorsBuilder::new(steps, groups.len());
        let mut values = Vec::new();
        for group in &groups {
            let bounds = match self.aggregate.op.notes() {
                Some(notes) => bounds(group, steps, notes),
                None => Vec::new(),
            };
            if let (RowsOp::Quantile(notes), true) = (&self.aggregate.op, group.has_histograms()) {
                notes.note(Note::IgnoredInAggregation(self.aggregate.op.name()), "");
            }
            for step in 0..steps {
                let parameter = |index| group.parameter(index, steps, step);
                out.push(match &self.aggregate.op {
                    RowsOp::HistogramQuantile(notes) => {
                        let found = Histogram::at(group, &bounds, (steps, step), notes)?;
                        found.quantile(parameter(0), step, notes)
                    }
                    RowsOp::HistogramFraction(notes) => {
                        let found = Histogram::at(group, &bounds, (steps, step), notes)?;
                        found.fraction(parameter(0), parameter(1), notes)
                    }
                    RowsOp::Quantile(_)
                    | RowsOp::CountValues
                    | RowsOp::HistogramQuantiles { .. } => {
                        values.clear();
                        values.extend(group.at(steps, step).map(|(_, value)| value));
                        (!values.is_empty()).then(|| quantile(parameter(0), &mut values))
                    }
                });
            }
        }
        out.finish()
    }

    /// For each group a list of label values with vectors.
    fn listed(
        &self,
        groups: &[Group],
        of_group: impl Fn(&Group) -> Result<BTreeMap<String, Vec<Option<f64>>>>,
    ) -> Result<ArrayRef> {
        let steps = self.aggregate.steps;
        let mut labels = StringBuilder::new();
        let mut vectors = VectorsBuilder::new(steps, groups.len());
        let (mut offsets, mut items) = (vec![0_i32], 0_i32);
        for group in groups {
            for (label, vector) in of_group(group)? {
                labels.append_value(label);
                vectors.extend(vector);
                items += 1;
            }
            offsets.push(items);
        }
        let fields = listed_fields(steps);
        let columns: Vec<ArrayRef> = vec![Arc::new(labels.finish()), vectors.finish()?];
        let structs = StructArray::try_new(fields.clone(), columns, None)?;
        Ok(Arc::new(ListArray::try_new(
            Arc::new(Field::new("item", DataType::Struct(fields), true)),
            OffsetBuffer::new(ScalarBuffer::from(offsets)),
            Arc::new(structs),
            None,
        )?))
    }

    fn counts(&self, group: &Group) -> Result<BTreeMap<String, Vec<Option<f64>>>> {
        let steps = self.aggregate.steps;
        let mut distinct = BTreeMap::<String, Vec<Option<f64>>>::new();
        for step in 0..steps {
            let floats = group.at(steps, step).map(|(_, value)| format_float(value));
            let histograms = group.histograms_at(steps, step)?.into_iter();
            let histograms = histograms.map(|(_, histogram)| histogram_string(&histogram));
            for text in floats.chain(histograms) {
                let count = distinct.entry(text).or_insert_with(|| vec![None; steps]);
                if let Some(count) = count.get_mut(step) {
                    *count = Some(count.unwrap_or(0.0) + 1.0);
                }
            }
            if distinct.len() > DISTINCT_VALUES_MAX {
                return Err(Error::Execution(format!(
                    "count_values found more than {DISTINCT_VALUES_MAX} distinct values in one group"
                ))
                .into());
            }
        }
        Ok(distinct)
    }

    fn quantiles(
        &self,
        group: &Group,
        notes: &Notes,
        count: usize,
    ) -> Result<BTreeMap<String, Vec<Option<f64>>>> {
        let steps = self.aggregate.steps;
        let bounds = bounds(group, steps, notes);
        let mut quantiles = BTreeMap::<String, Vec<Option<f64>>>::new();
        for step in 0..steps {
            let histogram = Histogram::at(group, &bounds, (steps, step), notes)?;
            for index in 0..count {
                let phi = group.parameter(index, steps, step);
                let found = histogram.quantile(phi, step, notes);
                let label = format_open_metrics_float(phi);
                let vector = quantiles.entry(label).or_insert_with(|| vec![None; steps]);
                match vector.get_mut(step) {
                    Some(Some(_)) if found.is_some() => {
                        let why = super::Disjoint::Labels.message().to_owned();
                        return Err(Error::Execution(why).into());
                    }
                    Some(item) => *item = found,
                    None => {}
                }
            }
        }
        Ok(quantiles)
    }
}

/// A number as OpenMetrics writes it in labels: one that could be an integer has a decimal point.
fn format_open_metrics_float(number: f64) -> String {
    let text = format_float_g(number);
    match text.contains(['.', 'e', 'N', 'I']) {
        true => text,
        false => text + ".0",
    }
}

/// The bounds of the rows of a group that have floats.
fn bounds(group: &Group, steps: usize, notes: &Notes) -> Vec<Option<f64>> {
    let buckets = group.buckets.iter().enumerate();
    buckets
        .map(|(row, bucket)| {
            let classic = !group.has_histograms() || group.has_floats(steps, row);
            classic.then(|| histogram::bound(bucket, notes)).flatten()
        })
        .collect()
}

impl GroupsAccumulator for Groups {
    fn update_batch(
        &mut self,
        values: &[ArrayRef],
        group_indices: &[usize],
        opt_filter: Option<&BooleanArray>,
        total_num_groups: usize,
    ) -> Result<()> {
        self.resize(total_num_groups);
        let chosen = |row: usize| opt_filter.is_none_or(|f| f.is_valid(row) && f.value(row));
        let rows = group_indices.iter().copied().enumerate();
        self.add(values, rows.filter(|(row, _)| chosen(*row)))
    }

    fn evaluate(&mut self, emit_to: EmitTo) -> Result<ArrayRef> {
        let groups = self.take(emit_to);
        match &self.aggregate.op {
            RowsOp::CountValues => self.listed(&groups, |group| self.counts(group)),
            RowsOp::HistogramQuantiles { notes, count } => {
                self.listed(&groups, |group| self.quantiles(group, notes, *count))
            }
            _ => self.vectors(groups),
        }
    }

    fn state(&mut self, emit_to: EmitTo) -> Result<Vec<ArrayRef>> {
        let groups = self.take(emit_to);
        Ok(Group::states(&groups))
    }

    fn merge_batch(
        &mut self,
        values: &[ArrayRef],
        group_indices: &[usize],
        total_num_groups: usize,
    ) -> Result<()> {
        self.resize(total_num_groups);
        for (row, index) in group_indices.iter().enumerate() {
            if let Some(group) = self.groups.get_mut(*index) {
                group.merge(values, row)?;
            }
        }
        Ok(())
    }

    fn convert_to_state(
        &self,
        values: &[ArrayRef],
        opt_filter: Option<&BooleanArray>,
    ) -> Result<Vec<ArrayRef>> {
        let rows = values.first().map_or(0, |array| array.len());
        let mut each = self.aggregate.groups();
        let indices: Vec<usize> = (0..rows).collect();
        each.update_batch(values, &indices, opt_filter, rows)?;
        each.state(EmitTo::All)
    }

    fn size(&self) -> usize {
        let groups: usize = self.groups.iter().map(Group::heap_bytes).sum();
        size_of::<Self>() + self.groups.capacity() * size_of::<Group>() + groups
    }
}
