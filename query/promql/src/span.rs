//! Positions in the text of a query.

/// A range of bytes of the query: `start` inclusive, `end` exclusive.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Span {
    /// First byte.
    pub start: usize,
    /// One past the last byte.
    pub end: usize,
}

impl Span {
    /// The bytes from `start` up to, not including, `end`.
    pub const fn new(start: usize, end: usize) -> Span {
        Span { start, end }
    }

    /// From the start of `self` to the end of `last`, which comes later in the query.
    pub const fn to(self, last: Span) -> Span {
        Span {
            start: self.start,
            end: last.end,
        }
    }

    /// Line and column of the first byte in `query`, both counted from 1, the column in bytes, as Prometheus shows them.
    pub fn line_and_column(self, query: &str) -> (usize, usize) {
        let before = query
            .as_bytes()
            .get(..self.start)
            .unwrap_or(query.as_bytes());
        let line = before.iter().filter(|&&byte| byte == b'\n').count() + 1;
        let column = match before.iter().rposition(|&byte| byte == b'\n') {
            Some(line_break) => self.start - line_break,
            None => self.start + 1,
        };
        (line, column)
    }
}

#[cfg(test)]
mod tests {
    use super::Span;

    #[test]
    fn lines_and_columns_count_from_one() {
        let query = "a +\n  b";
        assert_eq!(Span::new(0, 1).line_and_column(query), (1, 1));
        assert_eq!(Span::new(2, 3).line_and_column(query), (1, 3));
        assert_eq!(Span::new(4, 5).line_and_column(query), (2, 1));
        assert_eq!(Span::new(6, 7).line_and_column(query), (2, 3));
        assert_eq!(Span::new(7, 7).line_and_column(query), (2, 4));
    }
}
