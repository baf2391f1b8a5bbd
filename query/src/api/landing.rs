//! The page at `/`: a query box and links, without a build step.

use axum::response::Html;

pub(super) async fn page() -> Html<&'static str> {
    Html(include_str!("landing.html"))
}
