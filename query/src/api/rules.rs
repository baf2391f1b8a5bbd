//! Rules, alerts, Alertmanagers and notifications: there are none, and clients ask for them before anything else.
//!
//! Parameters are checked all the same, so that a wrong one is noticed today.

use axum::http::StatusCode;
use axum::response::Response;
use serde::Serialize;
use varve_promql::format::quote;

use super::labels::matchers;
use super::params::{Form, integer_error};
use super::respond::{ApiError, success};

/// `/api/v1/rules`
pub(super) async fn rules(form: Form) -> Result<Response, ApiError> {
    #[derive(Serialize)]
    struct Rules {
        groups: [(); 0],
    }
    form.check()?;
    matchers(&form).map_err(ApiError::bad_data)?;
    let kind = form.value("type").to_lowercase();
    if !matches!(kind.as_str(), "" | "alert" | "record") {
        return Err(ApiError::invalid_parameter(
            "type",
            format!("not supported value {}", quote(&kind)),
        ));
    }
    check_exclude_alerts(&form)?;
    check_page(&form)?;
    success(&Rules { groups: [] })
}

fn check_exclude_alerts(form: &Form) -> Result<(), ApiError> {
    let text = form.value("exclude_alerts").to_lowercase();
    match text.as_str() {
        "" | "1" | "t" | "true" | "0" | "f" | "false" => Ok(()),
        text => Err(ApiError::invalid_parameter(
            "exclude_alerts",
            format!(
                "error converting exclude_alerts: strconv.ParseBool: parsing {}: invalid syntax",
                quote(text)
            ),
        )),
    }
}

fn check_page(form: &Form) -> Result<(), ApiError> {
    let (limit, token) = (form.value("group_limit"), form.value("group_next_token"));
    let token_error = |reason: String| Err(ApiError::invalid_parameter("group_next_token", reason));
    if limit.is_empty() {
        return match token {
            "" => Ok(()),
            _ => token_error(
                "group_limit needs to be present in order to paginate over the groups".to_owned(),
            ),
        };
    }
    let limit = limit
        .parse::<i32>()
        .map_err(|e| integer_error("ParseInt", limit, &e))
        .map_err(|reason| format!("group_limit needs to be a valid number: {reason}"))
        .and_then(|number| match number {
            1.. => Ok(number),
            _ => Err("group_limit needs to be greater than 0".to_owned()),
        });
    limit.map_err(|reason| ApiError::invalid_parameter("group_limit", reason))?;
    match token {
        "" => Ok(()),
        // Without groups every token is an old one.
        token => token_error(format!(
            "invalid group_next_token '{token}'. were rule groups changed?"
        )),
    }
}

/// `/api/v1/alerts`
pub(super) async fn alerts() -> Result<Response, ApiError> {
    #[derive(Serialize)]
    struct Alerts {
        alerts: [(); 0],
    }
    success(&Alerts { alerts: [] })
}

/// `/api/v1/alertmanagers`
pub(super) async fn alertmanagers() -> Result<Response, ApiError> {
    #[derive(Serialize)]
    #[serde(rename_all = "camelCase")]
    struct Alertmanagers {
        active_alertmanagers: [(); 0],
        dropped_alertmanagers: [(); 0],
    }
    success(&Alertmanagers {
        active_alertmanagers: [],
        dropped_alertmanagers: [],
    })
}

/// `/api/v1/notifications`
pub(super) async fn notifications() -> Result<Response, ApiError> {
    success::<[(); 0]>(&[])
}

/// `/api/v1/notifications/live`: "no content" tells a browser not to connect again.
pub(super) async fn live_notifications() -> StatusCode {
    StatusCode::NO_CONTENT
}
