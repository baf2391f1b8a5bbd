//! Rows of text, as aligned columns for people or as CSV for programs.

/// A table with a header.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Table {
    header: Vec<String>,
    /// Columns that are aligned to the right.
    numeric: Vec<bool>,
    rows: Vec<Vec<String>>,
}

impl Table {
    /// A table with these columns; a name that ends in `>` marks a column of numbers.
    pub(crate) fn new<S: AsRef<str>>(header: impl IntoIterator<Item = S>) -> Self {
        let mut table = Self::default();
        for name in header {
            let name = name.as_ref();
            table.numeric.push(name.ends_with('>'));
            table.header.push(name.trim_end_matches('>').to_owned());
        }
        table
    }

    /// Adds a row with a cell for each column.
    pub(crate) fn push(&mut self, row: Vec<String>) {
        self.rows.push(row);
    }

    /// Columns padded with spaces, two between them, header in capitals.
    pub(crate) fn aligned(&self) -> String {
        let mut widths = self
            .header
            .iter()
            .map(|name| width(name))
            .collect::<Vec<_>>();
        for row in &self.rows {
            for (cell, widest) in row.iter().zip(&mut widths) {
                *widest = width(cell).max(*widest);
            }
        }
        let header = self.header.iter().map(|name| name.to_uppercase()).collect();
        let mut out = String::new();
        for row in std::iter::once(&header).chain(&self.rows) {
            let mut line = String::new();
            for ((cell, widest), numeric) in row.iter().zip(&widths).zip(&self.numeric) {
                if !line.is_empty() {
                    line.push_str("  ");
                }
                let padding = " ".repeat(widest - width(cell));
                match numeric {
                    true => line.extend([padding.as_str(), cell]),
                    false => line.extend([cell, padding.as_str()]),
                }
            }
            out.push_str(line.trim_end());
            out.push('\n');
        }
        out
    }

    /// CSV as RFC 4180 has it, but with plain line feeds.
    pub(crate) fn csv(&self) -> String {
        let mut out = String::new();
        for row in std::iter::once(&self.header).chain(&self.rows) {
            for (i, cell) in row.iter().enumerate() {
                if i > 0 {
                    out.push(',');
                }
                if cell.contains([',', '"', '\n', '\r']) {
                    out.push('"');
                    out.push_str(&cell.replace('"', "\"\""));
                    out.push('"');
                } else {
                    out.push_str(cell);
                }
            }
            out.push('\n');
        }
        out
    }
}

/// Characters, which is columns for all but some scripts.
fn width(text: &str) -> usize {
    text.chars().count()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn table() -> Table {
        let mut table = Table::new(["series", "value>"]);
        table.push(vec!["up".to_owned(), "1".to_owned()]);
        table.push(vec!["a, \"b\"".to_owned(), "1234".to_owned()]);
        table
    }

    #[test]
    fn columns_are_aligned() {
        assert_eq!(
            table().aligned(),
            "SERIES  VALUE\nup          1\na, \"b\"   1234\n"
        );
    }

    #[test]
    fn cells_are_quoted_where_csv_needs_it() {
        assert_eq!(table().csv(), "series,value\nup,1\n\"a, \"\"b\"\"\",1234\n");
    }
}
