//! Request parameters, as Prometheus reads them.

use std::num::{IntErrorKind, ParseIntError};

use axum::body::{Bytes, HttpBody, to_bytes};
use axum::extract::{FromRequest, Request};
use axum::http::{Method, header};
use varve_promql::format::{
    ValueError, parse_duration_or_seconds, parse_go_float, parse_time, quote, quote_bytes,
};

use super::respond::ApiError;

/// The start of a time range that was left open, as Prometheus has it: far before any sample, far from overflow.
pub const TIME_MS_MIN: i64 = i64::MIN / 1000 * 1000 + 62_135_596_801_000;
/// The end of a time range that was left open.
pub const TIME_MS_MAX: i64 = i64::MAX / 1000 * 1000 - 62_135_596_801_000 + 999;
/// The largest form that is read from a body, as in Go.
const FORM_BYTES_MAX: usize = 10 << 20;

/// The parameters of a request: those of a form in the body first, then those of the URL.
///
/// Pairs that cannot be decoded are left out, as in Go; [`Form::check`] is for the few endpoints that complain.
#[derive(Clone, Debug, Default)]
pub struct Form {
    pairs: Vec<(String, String)>,
    /// What was wrong with the first pair that was left out.
    error: Option<String>,
}

impl Form {
    /// The parameters of a URL's query part.
    pub fn from_query(query: &str) -> Self {
        let mut form = Self::default();
        form.extend(query.as_bytes());
        form
    }

    fn extend(&mut self, text: &[u8]) {
        for pair in text.split(|byte| *byte == b'&').filter(|p| !p.is_empty()) {
            match pair_of(pair) {
                Ok(pair) => self.pairs.push(pair),
                Err(error) => {
                    self.error.get_or_insert(error);
                }
            }
        }
    }

    /// Whether every parameter could be decoded.
    ///
    /// # Errors
    /// Prometheus's message about the first that could not.
    pub fn check(&self) -> Result<(), ApiError> {
        match &self.error {
            None => Ok(()),
            Some(error) => Err(ApiError::bad_data(format!(
                "error parsing form values: {error}"
            ))),
        }
    }

    /// The first value of a parameter, "" where it is missing.
    pub fn value(&self, name: &str) -> &str {
        let pair = self.pairs.iter().find(|(n, _)| n == name);
        pair.map_or("", |(_, value)| value.as_str())
    }

    /// Every value of a parameter.
    pub fn all<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a str> {
        self.pairs
            .iter()
            .filter(move |(n, _)| n == name)
            .map(|(_, value)| value.as_str())
    }

    /// A time; `None` where the parameter is missing or empty.
    ///
    /// # Errors
    /// Prometheus's message for a time that cannot be parsed.
    pub fn time_ms(&self, name: &str) -> Result<Option<i64>, ApiError> {
        match self.value(name) {
            "" => Ok(None),
            text => match parse_time(text) {
                Ok(time_ms) => Ok(Some(time_ms)),
                Err(reason) => Err(ApiError::invalid_parameter(
                    name,
                    format!("invalid time value for '{name}': {reason}"),
                )),
            },
        }
    }

    /// A time that must be there.
    ///
    /// # Errors
    /// As [`Form::time_ms`], in the words of `/query_range`.
    pub fn required_time_ms(&self, name: &str) -> Result<i64, ApiError> {
        parse_time(self.value(name)).map_err(|e| ApiError::invalid_parameter(name, e))
    }

    /// `start` and `end`, wide open where they are missing.
    ///
    /// # Errors
    /// As [`Form::time_ms`].
    pub fn time_range_ms(&self) -> Result<(i64, i64), ApiError> {
        let start_ms = self.time_ms("start")?.unwrap_or(TIME_MS_MIN);
        let end_ms = self.time_ms("end")?.unwrap_or(TIME_MS_MAX);
        Ok((start_ms, end_ms))
    }

    /// `limit`: `None` where it is missing or 0.
    ///
    /// # Errors
    /// Prometheus's message for a limit that is no number or negative.
    pub fn limit(&self) -> Result<Option<usize>, ApiError> {
        let text = self.value("limit");
        if text.is_empty() {
            return Ok(None);
        }
        let limit =
            parse_integer(text).map_err(|reason| ApiError::invalid_parameter("limit", reason))?;
        match usize::try_from(limit) {
            Ok(0) => Ok(None),
            Ok(limit) => Ok(Some(limit)),
            Err(_) => Err(ApiError::invalid_parameter(
                "limit",
                "limit must be non-negative",
            )),
        }
    }
}

impl<S: Send + Sync> FromRequest<S> for Form {
    type Rejection = ApiError;

    async fn from_request(request: Request, _state: &S) -> Result<Self, ApiError> {
        let mut form = Self::default();
        let (parts, body) = request.into_parts();
        let content_type = parts.headers.get(header::CONTENT_TYPE);
        let is_form = content_type.is_some_and(|value| {
            let media_type = value.as_bytes().split(|byte| *byte == b';').next();
            let media_type = media_type.unwrap_or_default().trim_ascii();
            media_type.eq_ignore_ascii_case(b"application/x-www-form-urlencoded")
        });
        if parts.method == Method::POST && is_form && !body.is_end_stream() {
            let bytes: Bytes = to_bytes(body, FORM_BYTES_MAX).await.map_err(|e| {
                ApiError::bad_data(format!("error parsing form values: {}", body_error(&e)))
            })?;
            form.extend(&bytes);
        }
        form.extend(parts.uri.query().unwrap_or("").as_bytes());
        Ok(form)
    }
}

/// Why a body could not be read, in Go's words where it has some.
fn body_error(error: &axum::Error) -> String {
    let text = error.to_string();
    match text.as_str() {
        "length limit exceeded" => "http: POST too large".to_owned(),
        _ => text,
    }
}

/// One `name=value` of a form; bytes that are no UTF-8 are replaced.
fn pair_of(pair: &[u8]) -> Result<(String, String), String> {
    if pair.contains(&b';') {
        return Err("invalid semicolon separator in query".to_owned());
    }
    let mut halves = pair.splitn(2, |byte| *byte == b'=');
    let mut text = || -> Result<String, String> {
        let bytes = unescape(halves.next().unwrap_or_default(), true)?;
        Ok(String::from_utf8_lossy(&bytes).into_owned())
    };
    Ok((text()?, text()?))
}

/// Undoes the percent-encoding of a URL; in its query `+` is a space.
///
/// # Errors
/// Go's message about an escape that is none.
pub(super) fn unescape(text: &[u8], plus_is_space: bool) -> Result<Vec<u8>, String> {
    let mut out = Vec::with_capacity(text.len());
    let mut rest = text;
    while let Some((byte, tail)) = rest.split_first() {
        let start = rest;
        rest = tail;
        match byte {
            b'%' => {
                let digit = |at: usize| tail.get(at).and_then(|b| char::from(*b).to_digit(16));
                let code = digit(0).zip(digit(1)).map(|(high, low)| high * 16 + low);
                let Some(code) = code.and_then(|code| u8::try_from(code).ok()) else {
                    let escape = start.get(..3).unwrap_or(start);
                    return Err(format!("invalid URL escape {}", quote_bytes(escape)));
                };
                out.push(code);
                rest = tail.get(2..).unwrap_or_default();
            }
            b'+' if plus_is_space => out.push(b' '),
            byte => out.push(*byte),
        }
    }
    Ok(out)
}

/// A duration or a number of seconds in nanoseconds. Not a number is less than any duration.
///
/// # Errors
/// Prometheus's message.
pub fn parse_duration_ns(text: &str) -> Result<i64, ValueError> {
    match parse_go_float(text) {
        Ok(seconds) if seconds.is_nan() => Ok(i64::MIN),
        Ok(seconds) if (seconds * 1e9).abs() < i64::MAX as f64 => Ok((seconds * 1e9) as i64),
        _ => Ok(parse_duration_or_seconds(text)?.saturating_mul(1_000_000)),
    }
}

/// An integer as Go's `Atoi` reads it, with its messages.
///
/// # Errors
/// Go's message.
pub fn parse_integer(text: &str) -> Result<i64, String> {
    text.parse::<i64>()
        .map_err(|e| integer_error("Atoi", text, &e))
}

/// The message of a function of Go's package `strconv` about a text that is no integer.
pub(super) fn integer_error(function: &str, text: &str, error: &ParseIntError) -> String {
    let reason = match error.kind() {
        IntErrorKind::PosOverflow | IntErrorKind::NegOverflow => "value out of range",
        _ => "invalid syntax",
    };
    format!("strconv.{function}: parsing {}: {reason}", quote(text))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn open_bounds_are_prometheuss() {
        assert_eq!(TIME_MS_MIN, -9_223_309_901_257_974_000);
        assert_eq!(TIME_MS_MAX, 9_223_309_901_257_974_999);
    }

    #[test]
    fn limits_are_gos_integers() {
        let limit = |text: &str| Form::from_query(&format!("limit={text}")).limit();
        assert_eq!(limit("").unwrap(), None);
        assert_eq!(limit("0").unwrap(), None);
        assert_eq!(limit("7").unwrap(), Some(7));
        assert_eq!(
            limit("x").unwrap_err().message(),
            r#"invalid parameter "limit": strconv.Atoi: parsing "x": invalid syntax"#
        );
        assert_eq!(
            limit("-1").unwrap_err().message(),
            r#"invalid parameter "limit": limit must be non-negative"#
        );
    }

    #[test]
    fn pairs_that_cannot_be_decoded_are_left_out() {
        let form = Form::from_query("a=%zz&b=1;c=2&%=x&d=%C3%A9+%2B&e&=f&g=%ff");
        let pairs = [("d", "é +"), ("e", ""), ("", "f"), ("g", "\u{fffd}")];
        let expected = pairs.map(|(name, value)| (name.to_owned(), value.to_owned()));
        assert_eq!(form.pairs, expected);
        assert_eq!(
            form.check().unwrap_err().message(),
            r#"error parsing form values: invalid URL escape "%zz""#
        );
        let message = |text| {
            Form::from_query(text)
                .check()
                .unwrap_err()
                .message()
                .to_owned()
        };
        assert!(message("a;b").ends_with("invalid semicolon separator in query"));
        assert!(message("a=1%2").ends_with(r#"invalid URL escape "%2""#));
        Form::from_query("a=1&b=%20").check().unwrap();
    }

    #[test]
    fn durations_are_exact_to_the_nanosecond() {
        assert_eq!(parse_duration_ns("0.0001"), Ok(100_000));
        assert_eq!(parse_duration_ns("1m"), Ok(60_000_000_000));
        assert_eq!(parse_duration_ns("NaN"), Ok(i64::MIN));
        assert_eq!(
            parse_duration_ns("1e10").unwrap_err().to_string(),
            r#"cannot parse "1e10" to a valid duration. It overflows int64"#
        );
    }

    #[test]
    fn a_parameter_may_repeat() {
        let form = Form::from_query("match[]=a&match%5B%5D=b%7Bc%3D%22d+e%22%7D&x=");
        assert_eq!(
            form.all("match[]").collect::<Vec<_>>(),
            ["a", "b{c=\"d e\"}"]
        );
        assert_eq!(form.value("x"), "");
        assert_eq!(form.value("y"), "");
    }
}
