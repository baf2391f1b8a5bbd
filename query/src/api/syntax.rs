//! Questions about an expression alone: `/api/v1/format_query`.

use axum::response::Response;

use super::params::Form;
use super::respond::{ApiError, success};

/// `/api/v1/format_query`: the expression as Prometheus lays it out.
pub(super) async fn format(form: Form) -> Result<Response, ApiError> {
    success(&parse(&form)?.prettify())
}

fn parse(form: &Form) -> Result<varve_promql::Expr, ApiError> {
    varve_promql::parse(form.value("query")).map_err(|e| ApiError::invalid_parameter("query", e))
}
