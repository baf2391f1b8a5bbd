//! Routes and paths as Go's routers treat them.
//!
//! Of the methods, only those that a route names are served: HEAD is not implied by GET, OPTIONS names the methods, and every
//! other is refused with an `Allow` header. Paths with empty or dotted segments are redirected to their clean form, so that
//! a base URL that ends in a slash works; paths with broken escapes are refused.

use axum::body::Body;
use axum::extract::Request;
use axum::handler::Handler;
use axum::http::{HeaderValue, Method, StatusCode, Uri, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use axum::routing::{self, MethodRouter};

use super::Api;
use super::params::unescape;

/// A route for GET.
pub(super) fn get<H, T>(handler: H) -> MethodRouter<Api>
where
    H: Handler<T, Api>,
    T: 'static,
{
    let allowed = "GET, OPTIONS";
    let router = routing::get(handler).head(move || refuse(allowed));
    refuse_others(router, allowed)
}

/// A route for GET and HEAD.
pub(super) fn get_or_head<H, T>(handler: H) -> MethodRouter<Api>
where
    H: Handler<T, Api>,
    T: 'static,
{
    refuse_others(routing::get(handler), "GET, HEAD, OPTIONS")
}

/// A route for GET and POST.
pub(super) fn get_or_post<H, T>(handler: H) -> MethodRouter<Api>
where
    H: Handler<T, Api>,
    T: 'static,
{
    let allowed = "GET, OPTIONS, POST";
    let router = routing::get(handler.clone())
        .post(handler)
        .head(move || refuse(allowed));
    refuse_others(router, allowed)
}

/// A route for POST.
pub(super) fn post<H, T>(handler: H) -> MethodRouter<Api>
where
    H: Handler<T, Api>,
    T: 'static,
{
    refuse_others(routing::post(handler), "OPTIONS, POST")
}

/// A route that changes something: for POST and PUT; GET is told so.
pub(super) fn post_or_put<H, T>(handler: H) -> MethodRouter<Api>
where
    H: Handler<T, Api>,
    T: 'static,
{
    let allowed = "GET, OPTIONS, POST, PUT";
    let router = routing::post(handler.clone())
        .put(handler)
        .get(only_post_or_put)
        .head(move || refuse(allowed));
    refuse_others(router, allowed)
}

fn refuse_others(router: MethodRouter<Api>, allowed: &'static str) -> MethodRouter<Api> {
    router
        .options(move || options(allowed))
        .fallback(move || refuse(allowed))
}

async fn options(allowed: &'static str) -> impl IntoResponse {
    (StatusCode::OK, [(header::ALLOW, allowed)])
}

async fn refuse(allowed: &'static str) -> impl IntoResponse {
    let refusal = plain_error(StatusCode::METHOD_NOT_ALLOWED, "Method Not Allowed\n");
    ([(header::ALLOW, allowed)], refusal)
}

async fn only_post_or_put() -> (StatusCode, &'static str) {
    (
        StatusCode::METHOD_NOT_ALLOWED,
        "Only POST or PUT requests allowed",
    )
}

pub(super) async fn not_found() -> impl IntoResponse {
    plain_error(StatusCode::NOT_FOUND, "404 page not found\n")
}

/// A plain message as Go's `http.Error` sends it.
fn plain_error(status: StatusCode, text: &'static str) -> impl IntoResponse {
    plain_error_of(status, text)
}

/// [`plain_error`] with a text that is made at run time, and ends in a line break.
pub(super) fn plain_error_of(status: StatusCode, text: impl Into<Body>) -> Response {
    let headers = [
        (header::CONTENT_TYPE, "text/plain; charset=utf-8"),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
    ];
    (status, headers, text.into()).into_response()
}

/// Refuses paths that cannot be decoded, and redirects those that are not clean.
pub(super) async fn tidy(request: Request, next: Next) -> Response {
    let path = request.uri().path();
    if unescape(path.as_bytes(), false).is_err() {
        return (StatusCode::BAD_REQUEST, "400 Bad Request").into_response();
    }
    match clean(path) {
        None => next.run(request).await,
        Some(path) => redirect(request.method(), request.uri(), &path),
    }
}

fn redirect(method: &Method, uri: &Uri, path: &str) -> Response {
    let target = match uri.query() {
        Some(query) => format!("{path}?{query}"),
        None => path.to_owned(),
    };
    let Ok(location) = HeaderValue::from_str(&target) else {
        return StatusCode::BAD_REQUEST.into_response();
    };
    let head = (
        StatusCode::MOVED_PERMANENTLY,
        [(header::LOCATION, location)],
    );
    if !matches!(*method, Method::GET | Method::HEAD) {
        return head.into_response();
    }
    let target = target
        .replace('&', "&amp;")
        .replace('<', "&lt;")
        .replace('>', "&gt;")
        .replace('"', "&#34;")
        .replace('\'', "&#39;");
    let html = [(header::CONTENT_TYPE, "text/html; charset=utf-8")];
    let body = format!("<a href=\"{target}\">Moved Permanently</a>.\n\n");
    (head.0, head.1, html, body).into_response()
}

/// The path without empty, `.` and `..` segments, a slash at its end kept; `None` where it is clean already.
fn clean(path: &str) -> Option<String> {
    let mut segments = Vec::new();
    for segment in path.split('/') {
        match segment {
            "" | "." => {}
            ".." => {
                segments.pop();
            }
            segment => segments.push(segment),
        }
    }
    let mut cleaned = String::with_capacity(path.len());
    for segment in segments {
        cleaned.push('/');
        cleaned.push_str(segment);
    }
    if path.ends_with('/') || cleaned.is_empty() {
        cleaned.push('/');
    }
    // "*" is the whole server, for OPTIONS.
    (cleaned != path && path != "*").then_some(cleaned)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_are_cleaned() {
        for (path, cleaned) in [
            ("/", None),
            ("/api/v1/query", None),
            ("/api/v1/query/", None),
            ("/a..b/.c", None),
            ("*", None),
            ("", Some("/")),
            ("//api//v1/query", Some("/api/v1/query")),
            ("/api/./v1/../v1/query/", Some("/api/v1/query/")),
            ("/../..", Some("/")),
            ("//evil.example", Some("/evil.example")),
        ] {
            assert_eq!(clean(path).as_deref(), cleaned, "{path}");
        }
    }
}
