//! A predicate on series ids that stays fast for many of them.

use std::collections::HashSet;
use std::fmt;
use std::hash::{Hash, Hasher};
use std::sync::Arc;

use arrow::array::{Array, AsArray, BooleanArray, RecordBatch};
use arrow::datatypes::{DataType, Schema};
use datafusion::common::{Result, internal_err};
use datafusion::logical_expr::ColumnarValue;
use datafusion::physical_expr::PhysicalExpr;

/// `column IN (ids)` by one hash lookup per row; the set is shared, not copied into the plan.
#[derive(Clone, Debug)]
pub(super) struct SeriesIdFilter {
    column: Arc<dyn PhysicalExpr>,
    ids: Arc<HashSet<[u8; 16]>>,
}

impl SeriesIdFilter {
    pub(super) fn new(column: Arc<dyn PhysicalExpr>, ids: HashSet<[u8; 16]>) -> Self {
        Self {
            column,
            ids: Arc::new(ids),
        }
    }
}

impl PartialEq for SeriesIdFilter {
    fn eq(&self, other: &Self) -> bool {
        self.column.eq(&other.column) && self.ids == other.ids
    }
}

impl Eq for SeriesIdFilter {}

impl Hash for SeriesIdFilter {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.column.hash(state);
        self.ids.len().hash(state);
        self.ids.iter().min().hash(state);
    }
}

impl fmt::Display for SeriesIdFilter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} IN ({} series)", self.column, self.ids.len())
    }
}

impl PhysicalExpr for SeriesIdFilter {
    fn data_type(&self, _input_schema: &Schema) -> Result<DataType> {
        Ok(DataType::Boolean)
    }

    fn nullable(&self, _input_schema: &Schema) -> Result<bool> {
        Ok(false)
    }

    fn evaluate(&self, batch: &RecordBatch) -> Result<ColumnarValue> {
        let column = self.column.evaluate(batch)?.into_array(batch.num_rows())?;
        let Some(ids) = column.as_binary_opt::<i32>() else {
            return internal_err!("series ids have type {}", column.data_type());
        };
        let known = |id: Option<&[u8]>| {
            let id: Option<[u8; 16]> = id.and_then(|id| id.try_into().ok());
            Some(id.is_some_and(|id| self.ids.contains(&id)))
        };
        let selected: BooleanArray = ids.iter().map(known).collect();
        Ok(ColumnarValue::Array(Arc::new(selected)))
    }

    fn children(&self) -> Vec<&Arc<dyn PhysicalExpr>> {
        vec![&self.column]
    }

    fn with_new_children(
        self: Arc<Self>,
        mut children: Vec<Arc<dyn PhysicalExpr>>,
    ) -> Result<Arc<dyn PhysicalExpr>> {
        let (Some(column), true) = (children.pop(), children.is_empty()) else {
            return internal_err!("a filter of series ids has one child");
        };
        Ok(Arc::new(Self {
            column,
            ids: Arc::clone(&self.ids),
        }))
    }

    fn fmt_sql(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}
