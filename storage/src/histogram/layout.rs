//! Merging the layouts of two sides: which spans the sum has, and which counts meet.

use super::Span;

/// Consecutive buckets by the index of the first.
struct Run {
    start: i32,
    length: u32,
}

impl Run {
    fn end(&self) -> i32 {
        self.start.wrapping_add(self.length as i32)
    }
}

/// Merges cells with ascending indexes into a side. `combine` adds to a count that is there; other counts are inserted as they are.
///
/// An inserted bucket lengthens the run that ends before it, else the one that starts behind it, else it is a run of its own. Runs that
/// come to touch each other stay apart: the layout is part of [`super::FloatHistogram::same_data`].
pub(super) fn merge<T: Copy>(
    spans: &[Span],
    counts: &[T],
    cells: impl Iterator<Item = (i32, T)>,
    combine: impl Fn(T, T) -> T,
) -> (Vec<Span>, Vec<T>) {
    let mut cells = cells.peekable();
    let mut merged = Merged {
        runs: Vec::with_capacity(spans.len() + 1),
        counts: Vec::with_capacity(counts.len()),
    };
    let (mut end, mut left) = (0i32, counts);
    for span in spans {
        let start = end.wrapping_add(span.offset);
        let (own, rest) = left.split_at(left.len().min(span.length as usize));
        left = rest;
        end = start.wrapping_add(span.length as i32);

        let mut run = Run { start, length: 0 };
        while let Some((index, count)) = cells.next_if(|(index, _)| *index < start) {
            if index.wrapping_add(1) == start && !merged.ends_at(index) {
                run.start = index;
                run.length = 1;
                merged.counts.push(count);
            } else {
                merged.insert(index, count);
            }
        }
        run.length = run.length.wrapping_add(own.len() as u32);
        merged.runs.push(run);
        let mut index = start;
        for count in own {
            let met = cells.next_if(|(other, _)| *other == index);
            let sum = met.map_or(*count, |(_, other)| combine(*count, other));
            merged.counts.push(sum);
            index = index.wrapping_add(1);
        }
    }
    for (index, count) in cells {
        merged.insert(index, count);
    }
    (spans_of(&merged.runs), merged.counts)
}

struct Merged<T> {
    runs: Vec<Run>,
    counts: Vec<T>,
}

impl<T> Merged<T> {
    fn ends_at(&self, index: i32) -> bool {
        self.runs.last().is_some_and(|run| run.end() == index)
    }

    fn insert(&mut self, index: i32, count: T) {
        self.counts.push(count);
        match self.runs.last_mut() {
            Some(run) if run.end() == index => run.length = run.length.wrapping_add(1),
            _ => self.runs.push(Run {
                start: index,
                length: 1,
            }),
        }
    }
}

fn spans_of(runs: &[Run]) -> Vec<Span> {
    let mut end = 0i32;
    runs.iter()
        .map(|run| {
            let offset = run.start.wrapping_sub(end);
            end = run.end();
            Span {
                offset,
                length: run.length,
            }
        })
        .collect()
}

/// The spans of cells with ascending indexes, as few as possible.
pub(super) fn spans_of_indexes(indexes: impl Iterator<Item = i32>) -> Vec<Span> {
    let mut runs: Vec<Run> = Vec::new();
    for index in indexes {
        match runs.last_mut() {
            Some(run) if run.end() == index => run.length += 1,
            _ => runs.push(Run {
                start: index,
                length: 1,
            }),
        }
    }
    spans_of(&runs)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn span(offset: i32, length: u32) -> Span {
        Span { offset, length }
    }

    fn add(cells: &[(i32, f64)]) -> (Vec<Span>, Vec<f64>) {
        // Indexes 0, 1, 5 and 6.
        let spans = [span(0, 2), span(3, 2)];
        merge(&spans, &[1.0; 4], cells.iter().copied(), |a, b| a + b)
    }

    #[test]
    fn counts_that_meet_are_added() {
        let (spans, counts) = add(&[(1, 10.0), (6, 20.0)]);
        assert_eq!(spans, [span(0, 2), span(3, 2)]);
        assert_eq!(counts, [1.0, 11.0, 1.0, 21.0]);
    }

    #[test]
    fn buckets_in_gaps_lengthen_runs_or_are_runs_of_their_own() {
        for (index, expected) in [
            (-2, vec![span(-2, 1), span(1, 2), span(3, 2)]),
            (-1, vec![span(-1, 3), span(3, 2)]),
            (2, vec![span(0, 3), span(2, 2)]),
            (3, vec![span(0, 2), span(1, 1), span(1, 2)]),
            (4, vec![span(0, 2), span(2, 3)]),
            (7, vec![span(0, 2), span(3, 3)]),
            (9, vec![span(0, 2), span(3, 2), span(2, 1)]),
        ] {
            assert_eq!(add(&[(index, 1.0)]).0, expected, "{index}");
        }
        assert_eq!(
            add(&[(2, 1.0), (3, 1.0), (4, 1.0)]).0,
            [span(0, 5), span(0, 2)]
        );
    }

    #[test]
    fn the_first_bucket_of_nothing_is_a_run() {
        let cells = [(4, 1.0), (5, 2.0), (8, 3.0)];
        let (spans, counts) = merge(&[], &[], cells.into_iter(), |a, b| a + b);
        assert_eq!(spans, [span(4, 2), span(2, 1)]);
        assert_eq!(counts, [1.0, 2.0, 3.0]);
        assert_eq!(spans_of_indexes([4, 5, 8].into_iter()), spans);
    }
}
