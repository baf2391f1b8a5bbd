//! Vector relations, and the steps that every builder takes on them.

use std::collections::HashMap;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, RecordBatch, RecordBatchOptions, StringArray};
use arrow::datatypes::{Field, Schema};
use datafusion::catalog::MemTable;
use datafusion::common::tree_node::{Transformed, TreeNode};
use datafusion::common::{Column, DFSchema, TableReference};
use datafusion::datasource::provider_as_source;
use datafusion::error::DataFusionError;
use datafusion::logical_expr::{
    EmptyRelation, Expr, LogicalPlan, LogicalPlanBuilder, SortExpr, lit,
};
use datafusion::scalar::ScalarValue;

use super::names::Removal;
use crate::Result;
use crate::aggregates::{Disjoint, MaskOp, MaskWindow};
use crate::functions::label::{LabelFunction, LabelOp};
use crate::functions::{VectorFunction, VectorOp};
use crate::grid::StepGrid;
use crate::selector::METADATA_LABELS;
use crate::vector::{VALUE, is_mixed, label_column, vector_type};
use crate::window::label_type;
use varve_storage::{Labels, SeriesRef};

/// The plan of a vector expression with what is known about its rows.
#[derive(Clone, Debug)]
pub struct Relation {
    /// Gives the columns `l:<label>` in the order of `labels`, for [`Removal::Marked`] the column of marks, then `value`.
    pub plan: LogicalPlan,
    /// The labels that some row may have, ascending.
    pub labels: Vec<String>,
    /// The steps of `value`.
    pub grid: StepGrid,
    /// Whether no two rows have the same labels.
    pub unique: bool,
    /// Whether no two rows have the same labels when the metadata labels are left out.
    pub unique_without_name: bool,
    /// Whether it is known already that there are no rows.
    pub empty: bool,
    /// Which rows lose their metadata labels at the end of the query.
    pub removal: Removal,
    /// The series of which there is a row each, if the rows are those of a selector.
    pub series: Option<Arc<[SeriesRef]>>,
}

/// A column by its exact name.
pub(super) fn column(name: &str) -> Expr {
    Expr::Column(Column::new_unqualified(name))
}

/// The column of a label.
pub(super) fn label(name: &str) -> Expr {
    column(&label_column(name))
}

/// The column of vectors.
pub(super) fn value() -> Expr {
    column(VALUE)
}

/// The absent label.
pub(super) fn no_label() -> Expr {
    lit(ScalarValue::Utf8(None))
}

/// A projection of a plan. On top of a projection, both become one.
///
/// DataFusion's optimizer takes a projection that equals the one below it for a repetition and drops it. Ours may be equal and
/// mean two steps: in `x * 2 * 2` both are `value * 2 AS value`. So they are never stacked.
pub(super) fn project(plan: LogicalPlan, exprs: Vec<Expr>) -> Result<LogicalPlan> {
    let (plan, exprs) = match plan {
        LogicalPlan::Projection(below) => {
            let exprs = exprs.into_iter().map(|expr| on_top_of(&below, expr));
            let exprs = exprs.collect::<Result<Vec<_>>>()?;
            (Arc::unwrap_or_clone(below.input), exprs)
        }
        plan => (plan, exprs),
    };
    Ok(LogicalPlanBuilder::from(plan).project(exprs)?.build()?)
}

/// An expression over the columns of a projection, in terms of the columns below it.
fn on_top_of(below: &datafusion::logical_expr::Projection, expr: Expr) -> Result<Expr> {
    let name = expr.schema_name().to_string();
    let names = below.schema.fields().iter().map(|field| field.name());
    let columns: HashMap<&String, &Expr> = names.zip(&below.expr).collect();
    let replaced = expr.unalias().transform(|expr| {
        Ok(match &expr {
            Expr::Column(column) => match columns.get(&column.name) {
                Some(meaning) => Transformed::yes((*meaning).clone().unalias()),
                None => Transformed::no(expr),
            },
            _ => Transformed::no(expr),
        })
    })?;
    Ok(replaced.data.alias(name))
}

/// The scan of a relation whose rows are known: their label sets, of which the columns are `labels`, and their vectors.
pub(crate) fn in_memory<'a>(
    name: &str,
    labels: &[String],
    label_sets: impl Iterator<Item = &'a Labels> + Clone,
    vectors: ArrayRef,
) -> Result<LogicalPlan> {
    let (mut fields, mut columns) = (Vec::new(), Vec::<ArrayRef>::new());
    for label in labels {
        let texts = label_sets.clone().map(|labels| labels.get(label));
        columns.push(Arc::new(texts.collect::<StringArray>()));
        fields.push(Field::new(label_column(label), label_type(), true));
    }
    let rows = RecordBatchOptions::new().with_row_count(Some(vectors.len()));
    fields.push(Field::new(VALUE, vectors.data_type().clone(), true));
    columns.push(vectors);
    let schema = Arc::new(Schema::new(fields));
    let batch = RecordBatch::try_new_with_options(Arc::clone(&schema), columns, &rows)
        .map_err(DataFusionError::from)?;
    let table = MemTable::try_new(schema, vec![vec![batch]])?;
    let source = provider_as_source(Arc::new(table));
    Ok(LogicalPlanBuilder::scan(TableReference::bare(name), source, None)?.build()?)
}

/// An aggregation of a plan.
pub(super) fn aggregate(
    plan: LogicalPlan,
    by: Vec<Expr>,
    aggregates: Vec<Expr>,
) -> Result<LogicalPlan> {
    Ok(LogicalPlanBuilder::from(plan)
        .aggregate(by, aggregates)?
        .build()?)
}

impl Relation {
    /// A relation without rows.
    pub fn nothing(grid: StepGrid) -> Result<Self> {
        let fields = vec![Field::new(VALUE, vector_type(grid.steps), true)];
        let schema = DFSchema::try_from(Schema::new(fields))?;
        let plan = LogicalPlan::EmptyRelation(EmptyRelation {
            produce_one_row: false,
            schema: Arc::new(schema),
        });
        Ok(Self {
            empty: true,
            ..Self::new(plan, Vec::new(), grid)
        })
    }

    /// One row without labels, computed from nothing.
    pub fn one_row(vector: Expr, grid: StepGrid) -> Result<Self> {
        let plan = project(
            LogicalPlanBuilder::empty(true).build()?,
            vec![vector.alias(VALUE)],
        )?;
        Ok(Self::new(plan, Vec::new(), grid))
    }

    /// A relation whose rows differ in their labels.
    pub(super) fn new(plan: LogicalPlan, labels: Vec<String>, grid: StepGrid) -> Self {
        let unique_without_name = !labels.iter().any(|label| is_metadata(label));
        Self {
            plan,
            labels,
            grid,
            unique: true,
            unique_without_name,
            empty: false,
            removal: Removal::None,
            series: None,
        }
    }

    /// Whether the vectors may have native histograms.
    pub fn is_mixed(&self) -> bool {
        let mut fields = self.plan.schema().fields().iter();
        fields.any(|field| field.name() == VALUE && is_mixed(field.data_type()))
    }

    /// The same with mixed vectors.
    pub(super) fn into_mixed(self) -> Result<Self> {
        if self.is_mixed() {
            return Ok(self);
        }
        let mixed = VectorFunction::call(VectorOp::Mixed, self.grid.steps, vec![value()]);
        self.with_value(mixed)
    }

    /// Whether rows may have a label.
    pub fn has(&self, label: &str) -> bool {
        self.labels.iter().any(|known| known == label)
    }

    /// All label columns.
    pub(super) fn label_columns(&self) -> Vec<Expr> {
        self.labels.iter().map(|name| label(name)).collect()
    }

    /// The columns of everything but the vectors.
    pub(super) fn row_columns(&self) -> Vec<Expr> {
        let mut columns = self.label_columns();
        columns.extend(self.mark_column());
        columns
    }

    /// The column of a label, or the absent label where no row has it.
    pub(super) fn label_or_null(&self, name: &str) -> Expr {
        if self.has(name) {
            label(name)
        } else {
            no_label()
        }
    }

    /// The columns of labels, or absent labels.
    pub(super) fn label_keys(&self, names: &[String]) -> Vec<Expr> {
        names.iter().map(|name| self.label_or_null(name)).collect()
    }

    /// The order of Prometheus's label sets: that in which samples are added, or chosen among equals.
    pub(super) fn label_order(&self) -> Vec<SortExpr> {
        let op = LabelOp::Order {
            names: self.labels.clone(),
        };
        vec![LabelFunction::call(op, self.label_columns()).sort(true, true)]
    }

    /// The same rows with other vectors on the same grid.
    pub(super) fn with_value(self, vector: Expr) -> Result<Self> {
        let mut exprs = self.row_columns();
        exprs.push(vector.alias(VALUE));
        Ok(Self {
            plan: project(self.plan, exprs)?,
            ..self
        })
    }

    /// The same rows without columns that are neither labels nor the vectors.
    pub(super) fn tidy(self) -> Result<Self> {
        self.with_value(value())
    }

    /// The rows without their metadata labels, the metric name among them; rows that become one are merged.
    pub(super) fn without_name(self) -> Result<Self> {
        if !self.labels.iter().any(|label| is_metadata(label)) {
            return Ok(self);
        }
        let mut relation = self;
        relation.labels.retain(|label| !is_metadata(label));
        relation.unique = relation.unique_without_name;
        let relation = relation.tidy()?;
        relation.merged(Disjoint::Labels)
    }

    /// As [`Relation::without_name`] after a range function: Prometheus refuses two series that become one even if no step has
    /// samples of both.
    pub(super) fn without_name_of_series(self) -> Result<Self> {
        let mut relation = self;
        relation.labels.retain(|label| !is_metadata(label));
        let unique = relation.unique_without_name;
        relation.unique = unique;
        let relation = relation.tidy()?;
        if unique {
            return Ok(relation);
        }
        let checked = MaskWindow::call(
            MaskOp::Distinct,
            relation.grid.steps,
            vec![value()],
            relation.label_columns(),
            Vec::new(),
        );
        let plan = LogicalPlanBuilder::from(relation.plan.clone())
            .window([checked.alias("distinct")])?
            .build()?;
        Relation { plan, ..relation }
            .with_value(column("distinct"))?
            .merged(Disjoint::Labels)
    }

    /// One row per label set.
    pub fn distinct(self) -> Result<Self> {
        self.merged(Disjoint::Labels)
    }
}

/// The literal of a label value; "" is the absent label.
pub(super) fn label_literal(value: &str) -> Expr {
    match value {
        "" => no_label(),
        text => lit(ScalarValue::Utf8(Some(text.to_owned()))),
    }
}

/// Whether a label is dropped where the result of an operation is another quantity.
pub(super) fn is_metadata(label: &str) -> bool {
    METADATA_LABELS.contains(&label)
}
