//! `/api/v1/series`, `/api/v1/labels` and `/api/v1/label/<name>/values`.

use axum::body::Body;
use axum::extract::State;
use axum::http::{StatusCode, Uri};
use axum::response::Response;
use varve_promql::format::quote_bytes;
use varve_promql::{Matcher, ParseError, parse_matchers};

use super::Api;
use super::backend::LabelQuery;
use super::params::{Form, unescape};
use super::respond::{
    ApiError, TRUNCATED, json_response, push_success_head, push_success_tail, success_with,
};
use crate::json::push_list;
use crate::json::text::push_labels;

pub(super) async fn series(State(api): State<Api>, form: Form) -> Result<Response, ApiError> {
    form.check()?;
    if form.all("match[]").next().is_none() {
        return Err(ApiError::bad_data("no match[] parameter provided"));
    }
    let limit = form.limit()?;
    let (start_ms, end_ms) = form.time_range_ms()?;
    let matchers = matchers(&form).map_err(|e| ApiError::invalid_parameter("match[]", e))?;
    let query = label_query(matchers, start_ms, end_ms, limit);
    let (mut series, mut warnings) = api.backend().series(&query).await?;
    truncate(&mut series, limit, &mut warnings);
    let mut body = Vec::new();
    push_success_head(&mut body);
    push_list(&mut body, &series, push_labels);
    push_success_tail(&mut body, &warnings, &[]);
    Ok(json_response(StatusCode::OK, Body::from(body)))
}

pub(super) async fn names(State(api): State<Api>, form: Form) -> Result<Response, ApiError> {
    let limit = form.limit()?;
    let (start_ms, end_ms) = form.time_range_ms()?;
    let matchers = matchers(&form).map_err(ApiError::bad_data)?;
    let query = label_query(matchers, start_ms, end_ms, limit);
    let (mut names, mut warnings) = api.backend().label_names(&query).await?;
    truncate(&mut names, limit, &mut warnings);
    success_with(&names, &warnings)
}

pub(super) async fn values(
    State(api): State<Api>,
    uri: Uri,
    form: Form,
) -> Result<Response, ApiError> {
    let name = name_in_path(uri.path())?;
    let limit = form.limit()?;
    let (start_ms, end_ms) = form.time_range_ms()?;
    let matchers = matchers(&form).map_err(ApiError::bad_data)?;
    let query = label_query(matchers, start_ms, end_ms, limit);
    let (mut values, mut warnings) = api.backend().label_values(&name, &query).await?;
    truncate(&mut values, limit, &mut warnings);
    success_with(&values, &warnings)
}

/// The label that `…/label/<name>/values` is about. Taken from the path as it was sent, since a name that is no UTF-8 is an
/// error of its own.
fn name_in_path(path: &str) -> Result<String, ApiError> {
    let escaped = path
        .strip_suffix("/values")
        .unwrap_or(path)
        .rsplit('/')
        .next();
    let name = unescape(escaped.unwrap_or_default().as_bytes(), false);
    let name = name.map_err(ApiError::bad_data)?;
    let invalid =
        |name: &[u8]| ApiError::bad_data(format!("invalid label name: {}", quote_bytes(name)));
    let name = String::from_utf8(name).map_err(|e| invalid(e.as_bytes()))?;
    match unescape_name(&name) {
        name if name.is_empty() => Err(invalid(b"")),
        name => Ok(name),
    }
}

/// One result more than the limit is asked for, so that truncation shows.
fn label_query(
    matchers: Vec<Vec<Matcher>>,
    start_ms: i64,
    end_ms: i64,
    limit: Option<usize>,
) -> LabelQuery {
    LabelQuery {
        matchers,
        start_ms,
        end_ms,
        limit: limit.map(|limit| limit.saturating_add(1)),
    }
}

fn truncate<T>(list: &mut Vec<T>, limit: Option<usize>, warnings: &mut Vec<String>) {
    let Some(limit) = limit.filter(|limit| list.len() > *limit) else {
        return;
    };
    list.truncate(limit);
    if !warnings.iter().any(|warning| warning == TRUNCATED) {
        warnings.push(TRUNCATED.to_owned());
    }
}

/// The selectors in `match[]`, each with at least one matcher that an absent label does not fulfil.
pub(super) fn matchers(form: &Form) -> Result<Vec<Vec<Matcher>>, String> {
    let selectors = form
        .all("match[]")
        .map(parse_matchers)
        .collect::<Result<Vec<_>, ParseError>>()
        .map_err(|e| e.to_string())?;
    let selects = |selector: &Vec<Matcher>| selector.iter().any(|matcher| !matcher.matches_empty());
    if !selectors.iter().all(selects) {
        return Err("match[] must contain at least one non-empty matcher".to_owned());
    }
    Ok(selectors)
}

/// Undoes Prometheus's escaping of UTF-8 names in paths: after `U__`, `__` is `_`, and `_2e_` the character U+002E.
/// A name that is not such an escape is left as it is.
fn unescape_name(name: &str) -> String {
    let unescaped = name.strip_prefix("U__").and_then(|escaped| {
        let mut out = String::with_capacity(escaped.len());
        let mut rest = escaped;
        while let Some((plain, tail)) = rest.split_once('_') {
            out.push_str(plain);
            rest = match tail.strip_prefix('_') {
                Some(tail) => {
                    out.push('_');
                    tail
                }
                None => {
                    let (code, tail) = tail.split_once('_')?;
                    let lower_hex = |b: u8| b.is_ascii_digit() || (b'a'..=b'f').contains(&b);
                    if !(1..=6).contains(&code.len()) || !code.bytes().all(lower_hex) {
                        return None;
                    }
                    out.push(char::from_u32(u32::from_str_radix(code, 16).ok()?)?);
                    tail
                }
            };
        }
        out.push_str(rest);
        Some(out)
    });
    unescaped.unwrap_or_else(|| name.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn escaped_names_are_unescaped() {
        assert_eq!(unescape_name("job"), "job");
        assert_eq!(unescape_name("U__http_2e_status__code"), "http.status_code");
        assert_eq!(unescape_name("U__x_zz_"), "U__x_zz_");
    }

    #[test]
    fn a_name_is_taken_from_the_path() {
        let name = |path: &str| name_in_path(path).map_err(|e| e.message().to_owned());
        assert_eq!(name("/label/job/values"), Ok("job".to_owned()));
        assert_eq!(name("/label/a%20b%2Fc/values"), Ok("a b/c".to_owned()));
        assert_eq!(name("/label/values/values"), Ok("values".to_owned()));
        let invalid = |name: &str| Err(format!("invalid label name: {name}"));
        assert_eq!(name("/label/%ff/values"), invalid(r#""\xff""#));
        assert_eq!(name("/label/U__/values"), invalid(r#""""#));
    }

    #[test]
    fn a_selector_that_every_series_fulfils_is_refused() {
        for (text, accepted) in [
            ("up", true),
            ("{job=\"\"}", false),
            ("{job=~\".*\"}", false),
            ("{job=~\".+\"}", true),
            ("{job!=\"x\"}", false),
            ("{job!~\".*\"}", true),
            ("{job!=\"\"}", true),
        ] {
            let mut query = url::form_urlencoded::Serializer::new(String::new());
            let form = Form::from_query(&query.append_pair("match[]", text).finish());
            assert_eq!(matchers(&form).is_ok(), accepted, "{text}");
        }
    }
}
