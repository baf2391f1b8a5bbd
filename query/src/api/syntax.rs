//! Questions about an expression alone: `/api/v1/format_query`, `parse_query` and `query_exemplars`.

use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};

use super::params::Form;
use super::respond::{ApiError, success};
use crate::json::tree::syntax_tree;

/// `/api/v1/format_query`: the expression as Prometheus lays it out.
pub(super) async fn format(form: Form) -> Result<Response, ApiError> {
    success(&parse(&form)?.prettify())
}

/// `/api/v1/parse_query`: the expression as a tree.
pub(super) async fn tree(form: Form) -> Result<Response, ApiError> {
    success(&syntax_tree(&parse(&form)?))
}

fn parse(form: &Form) -> Result<varve_promql::Expr, ApiError> {
    varve_promql::parse(form.value("query")).map_err(|e| ApiError::invalid_parameter("query", e))
}

/// `/api/v1/query_exemplars`: the table keeps none yet. Clients ask along with every panel.
pub(super) async fn exemplars(form: Form) -> Result<Response, ApiError> {
    let (start_ms, end_ms) = form.time_range_ms()?;
    if end_ms < start_ms {
        return Err(ApiError::bad_data(
            "end timestamp must not be before start timestamp",
        ));
    }
    let expr =
        varve_promql::parse(form.value("query")).map_err(|e| ApiError::bad_data(e.to_string()))?;
    if expr.selectors().is_empty() {
        return Ok(StatusCode::NO_CONTENT.into_response());
    }
    success::<[(); 0]>(&[])
}
