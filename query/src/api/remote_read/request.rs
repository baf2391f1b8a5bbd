//! What a client of remote read asks: a `prometheus.ReadRequest` in snappy's block format.

use varve_promql::{MatchOp, Matcher};
use varve_storage::Labels;
use varve_storage::protobuf::wire::{Fields, WireError};

use crate::selector::SelectorSpec;

/// The largest request, before and after decompression.
pub(super) const REQUEST_BYTES_MAX: usize = 32 << 20;

/// The types of answers, by their numbers in the protocol.
pub(super) const SAMPLES: u32 = 0;
pub(super) const STREAMED_XOR_CHUNKS: u32 = 1;

/// A whole request.
#[derive(Debug, Default, PartialEq)]
pub(super) struct ReadRequest {
    pub(super) queries: Vec<Query>,
    /// Types of answers in the order of the client's preference.
    accepted: Vec<u32>,
}

/// One selector with its range of time.
#[derive(Debug, Default, PartialEq)]
pub(super) struct Query {
    start_ms: i64,
    end_ms: i64,
    matchers: Vec<RawMatcher>,
    hints: Option<Hints>,
}

#[derive(Debug, Default, PartialEq)]
struct RawMatcher {
    op: u64,
    name: String,
    value: String,
}

/// What the client needs the samples for.
#[derive(Debug, Default, PartialEq)]
struct Hints {
    start_ms: i64,
    end_ms: i64,
    function: String,
}

/// Undoes the compression and reads the message; the errors are what the client is told.
pub(super) fn decode(body: &[u8]) -> Result<ReadRequest, String> {
    let corrupt = |_| "snappy: corrupt input".to_owned();
    let bytes = snap::raw::decompress_len(body).map_err(corrupt)?;
    if bytes > REQUEST_BYTES_MAX {
        return Err(format!(
            "snappy: decoded length {bytes} exceeds limit {REQUEST_BYTES_MAX}"
        ));
    }
    let message = snap::raw::Decoder::new()
        .decompress_vec(body)
        .map_err(corrupt)?;
    ReadRequest::read(&message).map_err(|error| error.to_string())
}

impl ReadRequest {
    fn read(message: &[u8]) -> Result<Self, WireError> {
        let mut request = Self::default();
        let mut fields = Fields::new(message);
        while let Some(field) = fields.next()? {
            match field.number {
                1 => request.queries.push(Query::read(field.message()?)?),
                2 => field.uint32s(&mut request.accepted)?,
                _ => {}
            }
        }
        Ok(request)
    }

    /// The first type of answers among the accepted ones that there is.
    pub(super) fn response_type(&self) -> Result<u32, String> {
        if self.accepted.is_empty() {
            return Ok(SAMPLES);
        }
        let known = |kind: &&u32| matches!(**kind, SAMPLES | STREAMED_XOR_CHUNKS);
        self.accepted
            .iter()
            .find(known)
            .copied()
            .ok_or_else(|| self.no_response_type())
    }

    fn no_response_type(&self) -> String {
        // Numbers of enumerations have a sign.
        let accepted = self
            .accepted
            .iter()
            .map(|kind| kind.cast_signed().to_string());
        format!(
            "server does not support any of the requested response types: [{}]; supported: map[SAMPLES:{{}} STREAMED_XOR_CHUNKS:{{}}]",
            accepted.collect::<Vec<_>>().join(" ")
        )
    }
}

impl Query {
    fn read(mut fields: Fields<'_>) -> Result<Self, WireError> {
        let mut query = Self::default();
        while let Some(field) = fields.next()? {
            match field.number {
                1 => query.start_ms = field.int64()?,
                2 => query.end_ms = field.int64()?,
                3 => query.matchers.push(RawMatcher::read(field.message()?)?),
                4 => {
                    let hints = query.hints.get_or_insert_default();
                    hints.read(field.message()?)?;
                }
                _ => {}
            }
        }
        Ok(query)
    }

    /// Whether the client wants to know which series there are, and no samples.
    pub(super) fn only_series(&self) -> bool {
        self.hints
            .as_ref()
            .is_some_and(|hints| hints.function == "series")
    }

    /// The selector of stored series. They lack the external labels, so a matcher for the value of one of those is a matcher for none.
    /// `None` where nothing is selected: without matchers.
    pub(super) fn selector(&self, external: &Labels) -> Result<Option<SelectorSpec>, String> {
        let matchers = self.matchers.iter();
        let matchers: Vec<Matcher> = matchers
            .map(|matcher| matcher.stored(external))
            .collect::<Result<_, _>>()?;
        // All selectors of a query ask for the whole range of the query; the hints say what the selector needs.
        let (mut min_ms, mut max_ms) = (self.start_ms, self.end_ms);
        if let Some(hints) = &self.hints {
            min_ms = min_ms.max(hints.start_ms);
            max_ms = max_ms.min(hints.end_ms);
        }
        Ok((!matchers.is_empty()).then_some(SelectorSpec {
            matchers,
            min_ms,
            max_ms,
        }))
    }
}

impl RawMatcher {
    fn read(mut fields: Fields<'_>) -> Result<Self, WireError> {
        let mut matcher = Self::default();
        while let Some(field) = fields.next()? {
            match field.number {
                1 => matcher.op = field.uint64()?,
                2 => matcher.name = field.string()?.to_owned(),
                3 => matcher.value = field.string()?.to_owned(),
                _ => {}
            }
        }
        Ok(matcher)
    }

    fn stored(&self, external: &Labels) -> Result<Matcher, String> {
        let op = match self.op {
            0 => MatchOp::Equal,
            1 => MatchOp::NotEqual,
            2 => MatchOp::Regex,
            3 => MatchOp::NotRegex,
            _ => return Err("invalid matcher type".to_owned()),
        };
        let is_external = external.get(&self.name).unwrap_or("") == self.value;
        let value = match op == MatchOp::Equal && is_external {
            true => "",
            false => self.value.as_str(),
        };
        let matcher = Matcher::new(&self.name, op, value);
        if matches!(op, MatchOp::Regex | MatchOp::NotRegex) {
            matcher
                .anchored_regex()
                .map_err(|error| error.to_string())?;
        }
        Ok(matcher)
    }
}

impl Hints {
    fn read(&mut self, mut fields: Fields<'_>) -> Result<(), WireError> {
        while let Some(field) = fields.next()? {
            match field.number {
                2 => self.function = field.string()?.to_owned(),
                3 => self.start_ms = field.int64()?,
                4 => self.end_ms = field.int64()?,
                _ => {}
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use proptest::prelude::*;
    use varve_storage::protobuf::encode::Message;

    use super::*;

    proptest! {
        #[test]
        fn no_bytes_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            let _ = decode(&bytes);
            if let Ok(request) = ReadRequest::read(&bytes) {
                let _ = request.response_type();
                for query in &request.queries {
                    let _ = query.selector(&Labels::empty());
                }
            }
        }
    }

    fn compressed(message: &Message) -> Vec<u8> {
        let mut encoder = snap::raw::Encoder::new();
        encoder.compress_vec(message.as_bytes()).unwrap()
    }

    fn query(matchers: &[(u64, &str, &str)], hints: Option<(i64, i64)>) -> Query {
        let mut request = Message::default();
        request.message(1, |query| {
            query.int64(1, -5);
            query.int64(2, 1_000);
            for (op, name, value) in matchers {
                query.message(3, |matcher| {
                    matcher.uint64(1, *op);
                    matcher.string(2, name);
                    matcher.string(3, value);
                });
            }
            if let Some((start_ms, end_ms)) = hints {
                query.message(4, |hints| {
                    hints.string(2, "series");
                    hints.int64(3, start_ms);
                    hints.int64(4, end_ms);
                });
            }
        });
        let mut request = decode(&compressed(&request)).unwrap();
        assert_eq!(request.response_type(), Ok(SAMPLES));
        request.queries.remove(0)
    }

    #[test]
    fn all_four_types_of_matchers_are_read() {
        let matchers = [(0, "a", "1"), (1, "b", ""), (2, "c", "x|y"), (3, "d", ".+")];
        let query = query(&matchers, None);
        assert!(!query.only_series());
        let selector = query.selector(&Labels::empty()).unwrap().unwrap();
        assert_eq!((selector.min_ms, selector.max_ms), (-5, 1_000));
        use MatchOp::{Equal, NotEqual, NotRegex, Regex};
        let expected = [
            Matcher::new("a", Equal, "1"),
            Matcher::new("b", NotEqual, ""),
            Matcher::new("c", Regex, "x|y"),
            Matcher::new("d", NotRegex, ".+"),
        ];
        assert_eq!(selector.matchers, expected);
    }

    #[test]
    fn matchers_for_external_labels_select_series_without_them() {
        let external = Labels::from_pairs([("region", "eu")]);
        let selected = |matcher| {
            let selector = query(&[matcher], None).selector(&external).unwrap();
            selector.unwrap().matchers[0].value.clone()
        };
        assert_eq!(selected((0, "region", "eu")), "");
        assert_eq!(selected((0, "region", "us")), "us");
        assert_eq!(selected((1, "region", "eu")), "eu");
        assert_eq!(selected((2, "region", "eu")), "eu");
        assert_eq!(selected((0, "zone", "")), "");
    }

    #[test]
    fn errors_of_matchers_are_prometheuss() {
        let error = |matcher| {
            query(&[matcher], None)
                .selector(&Labels::empty())
                .unwrap_err()
        };
        assert_eq!(error((4, "a", "b")), "invalid matcher type");
        assert_eq!(
            error((2, "a", "(")),
            "error parsing regexp: missing closing ): `(`"
        );
    }

    #[test]
    fn hints_narrow_the_range_and_no_matchers_select_nothing() {
        let query = query(&[(0, "a", "b")], Some((-10, 20)));
        let selector = query.selector(&Labels::empty()).unwrap().unwrap();
        assert_eq!((selector.min_ms, selector.max_ms), (-5, 20));
        assert!(query.only_series());
        assert_eq!(Query::default().selector(&Labels::empty()), Ok(None));
    }

    #[test]
    fn the_first_known_type_of_answers_is_taken() {
        let negotiate = |types: &[u32]| {
            let mut message = Message::default();
            message.uint32s(2, types);
            decode(&compressed(&message)).unwrap().response_type()
        };
        assert_eq!(negotiate(&[7, 1, 0]), Ok(STREAMED_XOR_CHUNKS));
        assert_eq!(negotiate(&[0, 1]), Ok(SAMPLES));
        let error = negotiate(&[7, u32::MAX]).unwrap_err();
        assert_eq!(
            error,
            "server does not support any of the requested response types: [7 -1]; supported: map[SAMPLES:{} STREAMED_XOR_CHUNKS:{}]"
        );
    }

    #[test]
    fn what_is_no_request_is_refused() {
        let error = |body: &[u8]| decode(body).unwrap_err();
        assert_eq!(error(&[]), "snappy: corrupt input");
        assert_eq!(error(&[3, 0xff]), "snappy: corrupt input");
        // A length of 32 MiB and one byte.
        assert_eq!(
            error(&[0x81, 0x80, 0x80, 0x10]),
            "snappy: decoded length 33554433 exceeds limit 33554432"
        );
        let mut encoder = snap::raw::Encoder::new();
        let cut = encoder.compress_vec(&[0x0a, 5, 1]).unwrap();
        assert_eq!(error(&cut), "unexpected EOF");
    }
}
