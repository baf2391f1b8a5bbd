//! Remote write, versions 1.0 and 2.0.
//!
//! Both are one protobuf message in snappy's block format. Version 1 spells labels out; version 2 has a table of symbols, metadata and
//! start timestamps with each series, and says in headers of the answer how much was written.
//!
//! What is invalid is rejected by itself: the rest is stored, and the answer is 400 with what was wrong, which a sender does not repeat. What is
//! not stored for reasons of ours is answered with 5xx, and then nothing counts as written.

mod histogram;
mod v1;
mod v2;

use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};

use super::PushReceiver;
use super::body::from_snappy;
use super::metrics::add;
use super::routes::Refused;

/// So many reasons are listed in an answer; of the others only their number.
const REASONS_MAX: usize = 10;

/// The version of a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Version {
    /// `prometheus.WriteRequest`.
    V1,
    /// `io.prometheus.write.v2.Request`.
    V2,
}

/// What came of a request.
#[derive(Debug)]
pub(super) struct Outcome {
    version: Version,
    counts: Counts,
    /// What was rejected and why.
    pub(super) rejected: Vec<String>,
}

/// What was written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Counts {
    samples: u64,
    histograms: u64,
    exemplars: u64,
    rejected: u64,
}

/// The version that a request's headers announce.
pub(super) fn negotiate(headers: &HeaderMap) -> Result<Version, Refused> {
    let text = |name: HeaderName| {
        let value = headers.get(name).map(HeaderValue::as_bytes);
        String::from_utf8_lossy(value.unwrap_or_default()).into_owned()
    };
    let content_type = text(header::CONTENT_TYPE);
    let version = version(&content_type)?;
    let encoding = text(header::CONTENT_ENCODING);
    // Old senders do not say it.
    if !encoding.is_empty() && !encoding.eq_ignore_ascii_case("snappy") {
        return Err(Refused::unsupported(format!(
            "{encoding} encoding (compression) is not accepted by this server; only snappy is acceptable"
        )));
    }
    Ok(version)
}

fn version(content_type: &str) -> Result<Version, Refused> {
    let content_type = content_type.trim();
    if content_type.is_empty() {
        return Ok(Version::V1);
    }
    let mut parts = content_type.split(';').map(str::trim);
    if parts.next() != Some("application/x-protobuf") {
        return Err(Refused::unsupported(format!(
            "expected application/x-protobuf as the first (media) part, got {content_type} content-type"
        )));
    }
    for part in parts {
        let Some((name, value)) = part.split_once('=') else {
            return Err(Refused::unsupported(format!(
                "as per https://www.rfc-editor.org/rfc/rfc9110#parameter expected parameters to be key-values, got {part} in {content_type} content-type"
            )));
        };
        match (name.trim(), value.trim()) {
            ("proto", "prometheus.WriteRequest") => return Ok(Version::V1),
            ("proto", "io.prometheus.write.v2.Request") => return Ok(Version::V2),
            ("proto", other) => {
                return Err(Refused::unsupported(format!(
                    "unknown type for remote write protobuf message {other}, supported: [prometheus.WriteRequest io.prometheus.write.v2.Request]"
                )));
            }
            _ => {}
        }
    }
    Ok(Version::V1)
}

/// Stores a request; on return what is valid of it is durable.
pub(super) async fn receive(
    receiver: &PushReceiver,
    version: Version,
    body: &[u8],
    now_ms: i64,
) -> Result<Outcome, Refused> {
    let message = from_snappy(body, receiver.options().body_bytes_max)?;
    add(&receiver.metrics().body_bytes, message.len() as u64);
    let reading = read(receiver, version, &message, now_ms)?;
    drop(message);
    let Reading {
        builder,
        counts,
        rejected,
    } = reading;
    receiver.store(builder.finish()).await?;
    let metrics = receiver.metrics();
    add(&metrics.samples, counts.samples);
    add(&metrics.histograms, counts.histograms);
    add(&metrics.exemplars, counts.exemplars);
    add(&metrics.rejected, counts.rejected);
    Ok(Outcome {
        version,
        counts,
        rejected,
    })
}

fn read<'a>(
    receiver: &'a PushReceiver,
    version: Version,
    message: &[u8],
    now_ms: i64,
) -> Result<Reading<'a>, Refused> {
    let mut reading = Reading {
        builder: receiver.request(now_ms),
        counts: Counts::default(),
        rejected: Vec::new(),
    };
    let read = match version {
        Version::V1 => v1::read(message, &mut reading),
        Version::V2 => v2::read(message, &mut reading),
    };
    read.map_err(|error| Refused::bad_request(error.to_string()))?;
    Ok(reading)
}

/// Reads a message of version 2 or else 1 and forgets it: what tests with arbitrary bytes call. The number of samples that it has and that could
/// be stored.
#[doc(hidden)]
pub fn read_any(receiver: &PushReceiver, message: &[u8], version_2: bool) -> u64 {
    let version = match version_2 {
        true => Version::V2,
        false => Version::V1,
    };
    let reading = read(receiver, version, message, 0);
    reading.map_or(0, |reading| {
        reading.builder.finish();
        reading.counts.samples
    })
}

/// A request while it is read.
struct Reading<'a> {
    builder: super::RequestBuilder<'a>,
    counts: Counts,
    rejected: Vec<String>,
}

impl Reading<'_> {
    /// Notes that so many samples are not stored.
    fn reject(&mut self, reason: impl std::fmt::Display, samples: u64) {
        self.counts.rejected += samples;
        if self.rejected.len() < REASONS_MAX {
            self.rejected.push(reason.to_string());
        } else if self.rejected.len() == REASONS_MAX {
            self.rejected.push("and more".to_owned());
        }
    }
}

impl IntoResponse for Outcome {
    fn into_response(self) -> Response {
        let mut headers = HeaderMap::new();
        if self.version == Version::V2 {
            for (name, count) in [
                (
                    "x-prometheus-remote-write-samples-written",
                    self.counts.samples,
                ),
                (
                    "x-prometheus-remote-write-histograms-written",
                    self.counts.histograms,
                ),
                (
                    "x-prometheus-remote-write-exemplars-written",
                    self.counts.exemplars,
                ),
            ] {
                headers.insert(HeaderName::from_static(name), HeaderValue::from(count));
            }
        }
        if self.rejected.is_empty() {
            return (StatusCode::NO_CONTENT, headers).into_response();
        }
        let message = self.rejected.join("\n");
        (headers, Refused::bad_request(message)).into_response()
    }
}

#[cfg(test)]
mod tests;
