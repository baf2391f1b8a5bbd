//! Cross-origin requests: which web pages may read answers.

use axum::extract::{Request, State};
use axum::http::{HeaderValue, Method, StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use regex::Regex;

use super::Api;

/// The origins that may call the API from a browser: a regular expression that must match all of the origin.
#[derive(Clone, Debug)]
pub struct CorsOrigin {
    /// `None` allows every origin.
    pattern: Option<Regex>,
}

impl CorsOrigin {
    /// Every origin.
    pub fn any() -> Self {
        Self { pattern: None }
    }

    /// Compiles the value of `--web.cors.origin`; `.*` allows every origin.
    ///
    /// # Errors
    /// The expression does not compile.
    pub fn new(pattern: &str) -> Result<Self, regex::Error> {
        match pattern {
            ".*" => Ok(Self::any()),
            other => Ok(Self {
                pattern: Some(Regex::new(&format!("^(?s:{other})$"))?),
            }),
        }
    }

    fn allows(&self, origin: &HeaderValue) -> bool {
        match &self.pattern {
            None => true,
            Some(pattern) => origin.to_str().is_ok_and(|origin| pattern.is_match(origin)),
        }
    }
}

/// Adds the headers to every answer of the API, and answers a browser's preflight request. The router's own refusals go without.
pub(super) async fn apply(State(api): State<Api>, request: Request, next: Next) -> Response {
    if !request.uri().path().starts_with("/api/v1/") {
        return next.run(request).await;
    }
    let origin = request.headers().get(header::ORIGIN).cloned();
    let mut response = if request.method() == Method::OPTIONS {
        StatusCode::NO_CONTENT.into_response()
    } else {
        next.run(request).await
    };
    let refused = [StatusCode::NOT_FOUND, StatusCode::METHOD_NOT_ALLOWED];
    if refused.contains(&response.status()) {
        return response;
    }
    let headers = response.headers_mut();
    headers.append(header::VARY, HeaderValue::from_static("Origin"));
    let Some(origin) = origin.filter(|origin| !origin.is_empty()) else {
        return response;
    };
    for (name, value) in [
        (
            header::ACCESS_CONTROL_ALLOW_HEADERS,
            "Accept, Authorization, Content-Type, Origin",
        ),
        (header::ACCESS_CONTROL_ALLOW_METHODS, "GET, POST, OPTIONS"),
        (
            header::ACCESS_CONTROL_EXPOSE_HEADERS,
            "Date, Server-Timing, X-Varve-Requests, X-Varve-Bytes-Read, X-Varve-Samples",
        ),
    ] {
        headers.insert(name, HeaderValue::from_static(value));
    }
    if api.options().cors_origin.allows(&origin) {
        headers.insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, origin);
    }
    response
}
