//! Federation: `GET /federate`, from which another server scrapes the newest sample of selected series.
//!
//! Flow: the parameters `match[]` are selectors ([`federate`]); the newest stored sample of each series within the look-back becomes a metric
//! ([`family`]), unless it is a stale marker; the header `Accept` decides the format ([`negotiate`]), which is text ([`text`]) or protobuf
//! ([`message`]). Names that the client may not understand are escaped ([`escape`]).

mod escape;
mod family;
mod message;
mod negotiate;
mod text;

use std::collections::BTreeMap;

use axum::extract::State;
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use futures::StreamExt;
use varve_promql::{Matcher, parse_matchers};
use varve_storage::{Labels, SampleValue};

use self::family::{Sample, for_each_family};
use self::negotiate::{Encoding, Format};
use super::params::Form;
use super::routing::plain_error_of;
use super::{Api, now_ms};
use crate::selector::SelectorSpec;

pub(super) async fn federate(State(api): State<Api>, headers: HeaderMap, form: Form) -> Response {
    let refused = |message: String| plain_error_of(StatusCode::BAD_REQUEST, message + "\n");
    if let Err(error) = form.check() {
        return refused(error.message().to_owned());
    }
    let selectors: Result<Vec<_>, _> = form.all("match[]").map(parse_matchers).collect();
    let selectors = match selectors {
        Ok(selectors) => selectors,
        Err(error) => return refused(error.to_string()),
    };
    let accept = headers.get(header::ACCEPT).map(HeaderValue::as_bytes);
    let format = Format::negotiate(&String::from_utf8_lossy(accept.unwrap_or_default()));
    let samples = match newest(&api, selectors, now_ms()).await {
        Ok(samples) => samples,
        Err(error) => {
            tracing::warn!(%error, "federation failed");
            return plain_error_of(StatusCode::INTERNAL_SERVER_ERROR, format!("{error}\n"));
        }
    };
    let body = encoded(&samples, &api.host().external_labels(), format);
    ([(header::CONTENT_TYPE, format.content_type())], body).into_response()
}

/// The newest sample of every series that some selector selects, ordered by name and then by labels. Both ends of the look-back belong to it.
async fn newest(
    api: &Api,
    selectors: Vec<Vec<Matcher>>,
    now_ms: i64,
) -> crate::Result<Vec<Sample>> {
    let lookback_ms = i64::try_from(api.options().lookback.as_millis()).unwrap_or(i64::MAX);
    let mut newest: BTreeMap<Labels, (i64, SampleValue)> = BTreeMap::new();
    // Without matchers nothing is selected.
    for matchers in selectors
        .into_iter()
        .filter(|matchers| !matchers.is_empty())
    {
        let mut all = api.backend().raw(SelectorSpec {
            matchers,
            min_ms: now_ms.saturating_sub(lookback_ms),
            max_ms: now_ms,
        });
        while let Some(series) = all.next().await {
            let series = series?;
            // The formats have no stale markers.
            let last = series.samples.iter().next_back();
            if let Some(last) = last.filter(|(_, value)| !value.is_stale()) {
                newest.insert(series.labels, last);
            }
        }
    }
    let newest = newest.into_iter();
    let mut newest: Vec<Sample> = newest
        .map(|(labels, (time_ms, value))| (labels, time_ms, value))
        .collect();
    newest.sort_by(|(a, ..), (b, ..)| a.metric_name().cmp(b.metric_name()));
    Ok(newest)
}

/// The body of the answer.
fn encoded(samples: &[Sample], external: &Labels, format: Format) -> Vec<u8> {
    let mut bytes = Vec::new();
    let mut text = String::new();
    for_each_family(samples, external, format, |family| match format.encoding {
        Encoding::Text => text::write_family(&mut text, family),
        Encoding::Delimited => message::write_delimited(&mut bytes, family),
        Encoding::ProtoText => message::write_lines(&mut text, family),
        Encoding::ProtoCompact => message::write_line(&mut text, family),
    });
    match format.encoding {
        Encoding::Delimited => bytes,
        _ => text.into_bytes(),
    }
}

#[cfg(test)]
mod tests;
