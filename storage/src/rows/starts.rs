//! The `start_timestamps` column: a list per row that has any, read and built.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, Int64Array, ListArray, new_null_array};
use arrow::buffer::NullBuffer;
use arrow::datatypes::{DataType, Int64Type};
use arrow::error::ArrowError;

use super::histograms::offsets;
use super::{Reason, range};
use crate::columns;
use crate::error::Error;

/// The column, borrowed.
#[derive(Debug)]
pub struct StartLists<'a> {
    lists: &'a ListArray,
    items: &'a [i64],
}

impl<'a> StartLists<'a> {
    /// Borrows the column of a batch whose other columns are read elsewhere.
    ///
    /// # Errors
    /// [`Error::Corrupt`] where it has another type.
    pub fn new(array: &'a ArrayRef) -> Result<Self, Error> {
        Self::check(array).map_err(|reason| Error::Corrupt {
            key: "a batch of samples".to_owned(),
            reason,
        })
    }

    pub(super) fn check(array: &'a ArrayRef) -> Result<Self, Reason> {
        let wrong = || format!("column start_timestamps has the type {}", array.data_type());
        let lists = array.as_list_opt::<i32>().ok_or_else(wrong)?;
        let items = lists.values().as_primitive_opt::<Int64Type>();
        let items = items.ok_or_else(wrong)?;
        if items.null_count() > 0 {
            return Err("column start_timestamps has a null item".to_owned());
        }
        Ok(Self {
            lists,
            items: items.values(),
        })
    }

    /// A row's start timestamps in milliseconds, one per sample; `None` where none is known.
    pub fn get(&self, row: usize) -> Option<&'a [i64]> {
        (!self.lists.is_null(row)).then(|| &self.items[range(self.lists.value_offsets(), row)])
    }
}

/// Builds the column row by row.
#[derive(Debug, Default)]
pub(super) struct StartListsBuilder {
    ends: Vec<i32>,
    rows_valid: Vec<bool>,
    items: Vec<i64>,
}

impl StartListsBuilder {
    /// Adds a row: nothing, or an item per sample. Rows in which none is known are all written alike, as null.
    pub(super) fn push(&mut self, starts: &[i64]) {
        let known = starts.iter().any(|start| *start != columns::NO_START_MS);
        if known {
            self.items.extend_from_slice(starts);
        }
        self.ends.push(self.items.len() as i32);
        self.rows_valid.push(known);
    }

    pub(super) fn finish(self) -> Result<ArrayRef, ArrowError> {
        let list = columns::timestamps_type();
        if self.items.is_empty() {
            return Ok(new_null_array(&list, self.rows_valid.len()));
        }
        let DataType::List(element) = list else {
            return Err(ArrowError::SchemaError(
                "start timestamps are lists".to_owned(),
            ));
        };
        let items = Arc::new(Int64Array::from(self.items));
        let valid = Some(NullBuffer::from(self.rows_valid));
        let lists = ListArray::try_new(element, offsets(self.ends), items, valid)?;
        Ok(Arc::new(lists))
    }
}
