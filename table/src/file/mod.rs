//! Data files: sorted rows as Parquet, with what the log says about them.
//!
//! `FORMAT.md` beside this crate gives the layout with the measurements behind it.

mod object;
mod properties;
mod reader;
mod writer;

pub(crate) use properties::flat_options;
pub use reader::SortedRows;
pub use writer::{NewFile, TableFileWriter};

#[cfg(test)]
mod tests;
