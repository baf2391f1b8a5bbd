//! Questions about an expression alone: `/api/v1/format_query` and `parse_query`.

use axum::extract::State;
use axum::response::Response;

use super::Api;
use super::params::Form;
use super::respond::{ApiError, success};
use crate::json::tree::syntax_tree;

/// `/api/v1/format_query`: the expression as Prometheus lays it out.
pub(super) async fn format(State(api): State<Api>, form: Form) -> Result<Response, ApiError> {
    success(&parse(&api, &form)?.prettify())
}

/// `/api/v1/parse_query`: the expression as a tree.
pub(super) async fn tree(State(api): State<Api>, form: Form) -> Result<Response, ApiError> {
    success(&syntax_tree(&parse(&api, &form)?))
}

fn parse(api: &Api, form: &Form) -> Result<varve_promql::Expr, ApiError> {
    let expr = api.backend().parse(form.value("query"));
    expr.map_err(|e| ApiError::invalid_parameter("query", e))
}
