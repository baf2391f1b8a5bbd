//! Label sets in canonical form, and the identity of a series.
//!
//! A [`Labels`] is sorted by label name in byte order, holds each name once and no empty value: to Prometheus a
//! label with an empty value is a label that is absent. The metric name is the label `__name__`.

use std::cmp::Ordering;
use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use sha2::{Digest, Sha256};

/// The label that holds the metric name.
pub const METRIC_NAME: &str = "__name__";

/// An immutable label set in canonical order; cloning it copies one pointer.
///
/// A million label sets are held at once, and compared again and again: so each is one allocation, which walks read from its beginning to its end.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct Labels {
    /// How many labels there are, then name and value of each behind their lengths in bytes, numbers as [`push_number`] writes them. Equal sets
    /// have equal texts.
    text: Arc<str>,
}

/// Appends a number as characters: six bits each, least first, with the seventh bit set in all but the last. They are ASCII, so they can stand
/// among the text that they describe.
fn push_number(text: &mut String, mut number: usize) {
    while number > 0x3f {
        text.push(char::from((number & 0x3f) as u8 | 0x40));
        number >>= 6;
    }
    text.push(char::from(number as u8));
}

/// Takes a number off the front of a text that begins with one.
#[inline]
fn take_number(text: &str) -> (usize, &str) {
    match text.as_bytes() {
        // Nearly all are this small.
        [number @ 0..=0x3f, ..] => (usize::from(*number), text.get(1..).unwrap_or("")),
        _ => take_long_number(text),
    }
}

fn take_long_number(text: &str) -> (usize, &str) {
    let mut number = 0;
    for (index, byte) in text.bytes().enumerate() {
        number |= usize::from(byte & 0x3f) << (6 * index);
        if byte & 0x40 == 0 {
            return (number, text.get(index + 1..).unwrap_or(""));
        }
    }
    (number, "")
}

/// Labels as (name, value), ascending by name.
#[derive(Clone, Debug)]
struct Pairs<'a> {
    rest: &'a str,
    left: usize,
}

impl<'a> Pairs<'a> {
    /// The next name or value.
    fn take(&mut self) -> &'a str {
        let (length, rest) = take_number(self.rest);
        let (text, rest) = rest.split_at_checked(length).unwrap_or((rest, ""));
        self.rest = rest;
        text
    }
}

impl<'a> Iterator for Pairs<'a> {
    type Item = (&'a str, &'a str);

    fn next(&mut self) -> Option<Self::Item> {
        self.left = self.left.checked_sub(1)?;
        Some((self.take(), self.take()))
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        (self.left, Some(self.left))
    }
}

impl ExactSizeIterator for Pairs<'_> {}

impl Labels {
    /// The set without labels.
    pub fn empty() -> Self {
        Self {
            text: Arc::from("\0"),
        }
    }

    /// Builds a set from pairs in any order. Of two pairs with one name the last wins; empty values are dropped.
    pub fn from_pairs<N: AsRef<str>, V: AsRef<str>>(
        pairs: impl IntoIterator<Item = (N, V)>,
    ) -> Self {
        let mut builder = LabelsBuilder::default();
        for (name, value) in pairs {
            builder.set(name.as_ref(), value.as_ref());
        }
        builder.build()
    }

    /// Builds a set from pairs that are already canonical (names strictly ascending, no empty value); `None` if
    /// they are not. This is the way in for bytes read from storage: one pass and no sorting.
    pub fn from_canonical<'a>(pairs: impl IntoIterator<Item = (&'a str, &'a str)>) -> Option<Self> {
        let pairs = pairs.into_iter();
        let mut text = String::with_capacity(256);
        let mut count = 0;
        let mut last: Option<&str> = None;
        for (name, value) in pairs {
            if value.is_empty() || name.is_empty() || last.is_some_and(|last| last >= name) {
                return None;
            }
            last = Some(name);
            for part in [name, value] {
                push_number(&mut text, part.len());
                text.push_str(part);
            }
            count += 1;
        }
        let mut number = String::new();
        push_number(&mut number, count);
        text.insert_str(0, &number);
        Some(Self { text: text.into() })
    }

    /// The number of labels.
    pub fn len(&self) -> usize {
        take_number(&self.text).0
    }

    /// Whether the set has no label.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Labels as (name, value), ascending by name.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = (&str, &str)> + Clone {
        let (left, rest) = take_number(&self.text);
        Pairs { rest, left }
    }

    /// The value of a label, `None` where it is absent.
    pub fn get(&self, name: &str) -> Option<&str> {
        self.iter().find(|(n, _)| *n == name).map(|(_, v)| v)
    }

    /// The metric name, "" where there is none.
    pub fn metric_name(&self) -> &str {
        self.get(METRIC_NAME).unwrap_or("")
    }

    /// Bytes of heap memory that the set holds (shared with its clones).
    pub fn heap_bytes(&self) -> usize {
        self.text.len() + 16
    }
}

/// The order of Prometheus's `labels.Compare`: pair by pair, names before values, a prefix first.
impl Ord for Labels {
    fn cmp(&self, other: &Self) -> Ordering {
        if Arc::ptr_eq(&self.text, &other.text) {
            return Ordering::Equal;
        }
        self.iter().cmp(other.iter())
    }
}

impl PartialOrd for Labels {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl fmt::Debug for Labels {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// As Prometheus prints label sets in its messages: `{__name__="up", job="node"}`.
impl fmt::Display for Labels {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("{")?;
        for (i, (name, value)) in self.iter().enumerate() {
            if i > 0 {
                f.write_str(", ")?;
            }
            if is_legacy_label_name(name) {
                write!(f, "{name}={value:?}")?;
            } else {
                write!(f, "{name:?}={value:?}")?;
            }
        }
        f.write_str("}")
    }
}

/// Whether a name needs no quotes in PromQL: `[a-zA-Z_][a-zA-Z0-9_]*`.
pub fn is_legacy_label_name(name: &str) -> bool {
    let mut bytes = name.bytes();
    bytes
        .next()
        .is_some_and(|b| b.is_ascii_alphabetic() || b == b'_')
        && bytes.all(|b| b.is_ascii_alphanumeric() || b == b'_')
}

/// Collects labels, then makes a canonical [`Labels`].
#[derive(Clone, Debug, Default)]
pub struct LabelsBuilder {
    labels: BTreeMap<String, String>,
}

impl LabelsBuilder {
    /// Sets a label; an empty value removes it.
    pub fn set(&mut self, name: &str, value: &str) -> &mut Self {
        if value.is_empty() {
            self.labels.remove(name);
        } else {
            self.labels.insert(name.to_owned(), value.to_owned());
        }
        self
    }

    /// Removes a label.
    pub fn remove(&mut self, name: &str) -> &mut Self {
        self.labels.remove(name);
        self
    }

    /// The value of a label, `None` where it is absent.
    pub fn get(&self, name: &str) -> Option<&str> {
        self.labels.get(name).map(String::as_str)
    }

    /// Labels as (name, value), ascending by name.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        self.labels.iter().map(|(n, v)| (n.as_str(), v.as_str()))
    }

    /// Keeps the labels for which `keep` holds.
    pub fn retain(&mut self, mut keep: impl FnMut(&str, &str) -> bool) {
        self.labels.retain(|n, v| keep(n, v));
    }

    /// The canonical set.
    pub fn build(&self) -> Labels {
        // The map is sorted and `set` drops empty values; only an empty name could be refused.
        Labels::from_canonical(self.iter().filter(|(n, _)| !n.is_empty()))
            .unwrap_or_else(Labels::empty)
    }
}

impl From<&Labels> for LabelsBuilder {
    fn from(labels: &Labels) -> Self {
        Self {
            labels: labels
                .iter()
                .map(|(n, v)| (n.to_owned(), v.to_owned()))
                .collect(),
        }
    }
}

/// The 128-bit identity of a label set: the first 16 bytes of SHA-256 over every name and value, each followed by
/// the byte 0xFF, in canonical order.
///
/// 0xFF never occurs in UTF-8, so the encoding is injective; and nobody can craft two label sets with one id.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct SeriesId(pub [u8; 16]);

impl SeriesId {
    /// The id of a label set.
    pub fn of(labels: &Labels) -> Self {
        let mut hash = Sha256::new();
        for (name, value) in labels.iter() {
            hash.update(name.as_bytes());
            hash.update([0xff]);
            hash.update(value.as_bytes());
            hash.update([0xff]);
        }
        let digest = hash.finalize();
        let mut id = [0; 16];
        id.copy_from_slice(&digest[..16]);
        Self(id)
    }
}

impl fmt::Debug for SeriesId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for byte in self.0 {
            write!(f, "{byte:02x}")?;
        }
        Ok(())
    }
}

/// A label set with its id, computed once.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Series {
    /// The identity.
    pub id: SeriesId,
    /// The whole label set, the metric name included.
    pub labels: Labels,
}

/// A series shared by all that hold samples of it.
pub type SeriesRef = Arc<Series>;

impl Series {
    /// Computes the id of a label set.
    pub fn new(labels: Labels) -> Self {
        Self {
            id: SeriesId::of(&labels),
            labels,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn empty_values_are_absent_and_the_last_of_a_name_wins() {
        let labels = Labels::from_pairs([("b", "1"), ("a", "x"), ("b", "2"), ("c", "")]);
        assert_eq!(labels.iter().collect::<Vec<_>>(), [("a", "x"), ("b", "2")]);
        assert_eq!(labels.get("c"), None);
        assert_eq!(labels.to_string(), r#"{a="x", b="2"}"#);
    }

    #[test]
    fn order_is_by_pair_and_not_by_concatenated_text() {
        let ab = Labels::from_pairs([("a", "b")]);
        let ab_c = Labels::from_pairs([("a", "b"), ("c", "d")]);
        let b = Labels::from_pairs([("b", "a")]);
        assert!(Labels::empty() < ab && ab < ab_c && ab_c < b);
        // The same text cut in other places is another set with another id.
        let cut = Labels::from_pairs([("ab", "c")]);
        let other = Labels::from_pairs([("a", "bc")]);
        assert_ne!(cut, other);
        assert_ne!(SeriesId::of(&cut), SeriesId::of(&other));
    }

    #[test]
    fn the_id_is_the_one_that_format_md_gives() {
        let up = Labels::from_pairs([("__name__", "up"), ("job", "node")]);
        let id = "98d994527137a6ec514311301ec0cdb8";
        assert_eq!(format!("{:?}", SeriesId::of(&up)), id);
    }

    #[test]
    fn lengths_of_any_size_come_back() {
        for length in [1, 63, 64, 4_095, 4_096, 300_000] {
            let long = "\u{e9}x".repeat(length);
            let labels = Labels::from_pairs([("a", long.as_str()), (&long, "b")]);
            let pairs: Vec<_> = labels.iter().collect();
            assert_eq!(pairs, [("a", long.as_str()), (long.as_str(), "b")]);
            assert!(labels > Labels::from_pairs([("a", "b")]));
        }
        let many: Vec<(String, String)> = (0..5_000)
            .map(|i| (format!("l{i:04}"), "v".to_owned()))
            .collect();
        let labels = Labels::from_pairs(many.iter().map(|(n, v)| (n, v)));
        assert_eq!((labels.len(), labels.iter().len()), (5_000, 5_000));
        assert_eq!(labels.get("l4999"), Some("v"));
        assert!(Labels::empty().is_empty());
        assert_eq!(Labels::empty(), Labels::from_pairs([("a", "")]));
    }

    #[test]
    fn only_canonical_pairs_pass() {
        assert!(Labels::from_canonical([("a", "1"), ("b", "2")]).is_some());
        assert!(Labels::from_canonical([("b", "1"), ("a", "2")]).is_none());
        assert!(Labels::from_canonical([("a", "1"), ("a", "2")]).is_none());
        assert!(Labels::from_canonical([("a", "")]).is_none());
    }
}
