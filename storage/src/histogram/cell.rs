//! Explicit counts of one side by the index of their bucket.

use super::Span;

/// The indexes and counts of a side in ascending order of indexes, empty ones too. Ends with the shorter of spans and counts.
pub(super) fn cells<'a, T: Copy>(
    spans: &'a [Span],
    counts: &'a [T],
) -> impl Iterator<Item = (i32, T)> + 'a {
    let mut end = 0i32;
    let indexes = spans.iter().flat_map(move |span| {
        let start = end.wrapping_add(span.offset);
        end = start.wrapping_add(span.length as i32);
        (0..span.length).map(move |nth| start.wrapping_add(nth as i32))
    });
    // Counts first: spans may be longer by billions.
    counts
        .iter()
        .zip(indexes)
        .map(|(count, index)| (index, *count))
}

/// The same in descending order.
pub(super) fn cells_reversed<'a>(
    spans: &'a [Span],
    counts: &'a [f64],
) -> impl Iterator<Item = (i32, f64)> + 'a {
    let mut end = spans.iter().fold(0i32, |end, span| {
        end.wrapping_add(span.offset)
            .wrapping_add(span.length as i32)
    });
    let indexes = spans.iter().rev().flat_map(move |span| {
        let last = end.wrapping_sub(1);
        end = end
            .wrapping_sub(span.length as i32)
            .wrapping_sub(span.offset);
        (0..span.length).map(move |nth| last.wrapping_sub(nth as i32))
    });
    counts
        .iter()
        .rev()
        .zip(indexes)
        .map(|(count, index)| (index, *count))
}

#[cfg(test)]
mod tests {
    use super::*;

    const SPANS: [Span; 3] = [
        Span {
            offset: -2,
            length: 2,
        },
        Span {
            offset: 1,
            length: 0,
        },
        Span {
            offset: 2,
            length: 1,
        },
    ];

    #[test]
    fn gaps_are_skipped_in_both_directions() {
        let counts = [1.0, 2.0, 3.0];
        let forward: Vec<_> = cells(&SPANS, &counts).collect();
        assert_eq!(forward, [(-2, 1.0), (-1, 2.0), (3, 3.0)]);
        let mut backward: Vec<_> = cells_reversed(&SPANS, &counts).collect();
        backward.reverse();
        assert_eq!(backward, forward);
    }

    #[test]
    fn the_shorter_of_spans_and_counts_counts() {
        assert_eq!(cells(&SPANS, &[1.0]).count(), 1);
        assert_eq!(cells(&SPANS, &[1.0; 9]).count(), 3);
        let endless = [Span {
            offset: i32::MAX,
            length: u32::MAX,
        }; 3];
        assert_eq!(cells(&endless, &[1.0; 2]).count(), 2);
        assert_eq!(cells_reversed(&endless, &[1.0; 2]).count(), 2);
    }
}
