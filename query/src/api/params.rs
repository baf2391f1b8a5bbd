//! Request parameters, as Prometheus reads them.

use axum::body::{Bytes, HttpBody, to_bytes};
use axum::extract::{FromRequest, Request};
use axum::http::{Method, header};
use url::form_urlencoded;
use varve_promql::format::{parse_time, quote};

use super::respond::ApiError;

/// The start of a time range that was left open, as Prometheus has it: far before any sample, far from overflow.
pub const TIME_MS_MIN: i64 = i64::MIN / 1000 * 1000 + 62_135_596_801_000;
/// The end of a time range that was left open.
pub const TIME_MS_MAX: i64 = i64::MAX / 1000 * 1000 - 62_135_596_801_000 + 999;
/// The largest form that is read from a body, as in Go.
const FORM_BYTES_MAX: usize = 10 << 20;

/// The parameters of a request: those of a form in the body first, then those of the URL.
#[derive(Clone, Debug, Default)]
pub struct Form {
    pairs: Vec<(String, String)>,
}

impl Form {
    /// The parameters of a URL's query part.
    pub fn from_query(query: &str) -> Self {
        let mut form = Self::default();
        form.extend(query.as_bytes());
        form
    }

    fn extend(&mut self, text: &[u8]) {
        let pairs = form_urlencoded::parse(text);
        self.pairs
            .extend(pairs.map(|(name, value)| (name.into_owned(), value.into_owned())));
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
            value
                .as_bytes()
                .to_ascii_lowercase()
                .starts_with(b"application/x-www-form-urlencoded")
        });
        if parts.method == Method::POST && is_form && !body.is_end_stream() {
            let bytes: Bytes = to_bytes(body, FORM_BYTES_MAX)
                .await
                .map_err(|e| ApiError::bad_data(format!("error parsing form values: {e}")))?;
            form.extend(&bytes);
        }
        form.extend(parts.uri.query().unwrap_or("").as_bytes());
        Ok(form)
    }
}

/// An integer as Go's `Atoi` reads it, with its messages.
///
/// # Errors
/// Go's message.
pub fn parse_integer(text: &str) -> Result<i64, String> {
    use std::num::IntErrorKind;
    text.parse::<i64>().map_err(|e| {
        let reason = match e.kind() {
            IntErrorKind::PosOverflow | IntErrorKind::NegOverflow => "value out of range",
            _ => "invalid syntax",
        };
        format!("strconv.Atoi: parsing {}: {reason}", quote(text))
    })
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
