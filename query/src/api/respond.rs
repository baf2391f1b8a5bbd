//! The envelope of every answer: `{"status":…,"data":…,"errorType":…,"error":…,"warnings":[…],"infos":[…]}`.

use axum::body::Body;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use varve_promql::format::quote;

use crate::json::push_json;
use crate::{Error, ErrorKind};

/// The warning that goes with a shortened result.
pub const TRUNCATED: &str = "results truncated due to limit";

/// At most so many warnings, and so many infos, are returned; of the others only their number.
const ANNOTATIONS_MAX: usize = 10;

/// The class of an error, with Prometheus's names and status codes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ErrorType {
    /// A parameter is wrong.
    BadData,
    /// The query cannot be evaluated.
    Execution,
    /// The client went away, or the server is stopping.
    Canceled,
    /// The query took too long.
    Timeout,
    /// A table is unreadable, or Varve has a fault.
    Internal,
    /// The object store does not answer; the same request may succeed later.
    Unavailable,
}

impl ErrorType {
    fn as_str(self) -> &'static str {
        match self {
            Self::BadData => "bad_data",
            Self::Execution => "execution",
            Self::Canceled => "canceled",
            Self::Timeout => "timeout",
            Self::Internal => "internal",
            Self::Unavailable => "unavailable",
        }
    }

    fn status(self) -> StatusCode {
        match self {
            Self::BadData => StatusCode::BAD_REQUEST,
            Self::Execution => StatusCode::UNPROCESSABLE_ENTITY,
            // nginx's code for a client that closed the connection; it is no member of the standard's list.
            Self::Canceled => {
                StatusCode::from_u16(499).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR)
            }
            Self::Timeout | Self::Unavailable => StatusCode::SERVICE_UNAVAILABLE,
            Self::Internal => StatusCode::INTERNAL_SERVER_ERROR,
        }
    }
}

/// An error as the API reports it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ApiError {
    error_type: ErrorType,
    message: String,
}

impl ApiError {
    /// An error of any class.
    pub fn new(error_type: ErrorType, message: impl Into<String>) -> Self {
        Self {
            error_type,
            message: message.into(),
        }
    }

    /// A request that makes no sense.
    pub fn bad_data(message: impl Into<String>) -> Self {
        Self::new(ErrorType::BadData, message)
    }

    /// A parameter that cannot be read: `invalid parameter "step": …`.
    pub fn invalid_parameter(name: &str, reason: impl std::fmt::Display) -> Self {
        Self::bad_data(format!("invalid parameter {}: {reason}", quote(name)))
    }

    /// An error that the text of a query led to.
    pub(super) fn of_query(error: Error) -> Self {
        match error.kind() {
            ErrorKind::BadData => Self::invalid_parameter("query", error),
            _ => error.into(),
        }
    }

    /// The class of the error.
    pub fn error_type(&self) -> ErrorType {
        self.error_type
    }

    /// The text for the user.
    pub fn message(&self) -> &str {
        &self.message
    }
}

/// An error of a query or of a question about labels. Where a wrong query text is to blame, the caller says which parameter.
impl From<Error> for ApiError {
    fn from(error: Error) -> Self {
        let error_type = match error.kind() {
            ErrorKind::BadData => ErrorType::BadData,
            ErrorKind::Execution => ErrorType::Execution,
            ErrorKind::Timeout => ErrorType::Timeout,
            ErrorKind::Canceled => ErrorType::Canceled,
            ErrorKind::Unavailable => ErrorType::Unavailable,
            ErrorKind::Internal => ErrorType::Internal,
        };
        Self::new(error_type, error.to_string())
    }
}

impl IntoResponse for ApiError {
    fn into_response(self) -> Response {
        #[derive(Serialize)]
        #[serde(rename_all = "camelCase")]
        struct Envelope<'a> {
            status: &'a str,
            error_type: &'a str,
            error: &'a str,
        }
        let mut body = Vec::new();
        let envelope = Envelope {
            status: "error",
            error_type: self.error_type.as_str(),
            error: &self.message,
        };
        // Three strings always serialize.
        let _ = push_json(&mut body, &envelope);
        json_response(self.error_type.status(), Body::from(body))
    }
}

/// A response with a JSON body.
pub(super) fn json_response(status: StatusCode, body: Body) -> Response {
    let mut response = Response::new(body);
    *response.status_mut() = status;
    response.headers_mut().insert(
        header::CONTENT_TYPE,
        HeaderValue::from_static("application/json"),
    );
    response
}

/// The start of a successful answer, up to its data.
pub(super) fn push_success_head(out: &mut Vec<u8>) {
    out.extend_from_slice(b"{\"status\":\"success\",\"data\":");
}

/// The end of a successful answer, from behind its data.
pub(super) fn push_success_tail(out: &mut Vec<u8>, warnings: &[String], infos: &[String]) {
    push_annotations(out, "warnings", "warning", warnings);
    push_annotations(out, "infos", "info", infos);
    out.push(b'}');
}

fn push_annotations(out: &mut Vec<u8>, key: &str, what: &str, annotations: &[String]) {
    if annotations.is_empty() {
        return;
    }
    let shown = annotations.iter().take(ANNOTATIONS_MAX);
    let mut texts = shown.map(String::as_str).collect::<Vec<_>>();
    let omitted = annotations.len().saturating_sub(ANNOTATIONS_MAX);
    let omission = format!("{omitted} more {what} annotations omitted");
    if omitted > 0 {
        texts.push(&omission);
    }
    out.extend_from_slice(b",\"");
    out.extend_from_slice(key.as_bytes());
    out.extend_from_slice(b"\":");
    // A list of strings always serializes.
    let _ = push_json(out, &texts);
}

/// A successful answer with any data.
pub(super) fn success<T: Serialize + ?Sized>(data: &T) -> Result<Response, ApiError> {
    success_with(data, &[])
}

/// A successful answer with any data, and warnings.
pub(super) fn success_with<T: Serialize + ?Sized>(
    data: &T,
    warnings: &[String],
) -> Result<Response, ApiError> {
    let mut body = Vec::new();
    push_success_head(&mut body);
    push_json(&mut body, data).map_err(|e| {
        ApiError::new(
            ErrorType::Internal,
            format!("error marshaling response: {e}"),
        )
    })?;
    push_success_tail(&mut body, warnings, &[]);
    Ok(json_response(StatusCode::OK, Body::from(body)))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn at_most_ten_annotations_are_shown() {
        let warnings = (0..12).map(|i| format!("w{i}")).collect::<Vec<_>>();
        let mut out = Vec::new();
        push_success_tail(&mut out, &warnings, &["<i>".to_owned()]);
        assert_eq!(
            String::from_utf8(out).unwrap(),
            r#","warnings":["w0","w1","w2","w3","w4","w5","w6","w7","w8","w9","2 more warning annotations omitted"],"infos":["\u003ci\u003e"]}"#
        );
    }
}
