//! The line protocol of InfluxDB over HTTP, for Telegraf and its like: `/write`, `/api/v2/write`, and what else such clients ask for.
//!
//! Every field that is a number becomes a series: its name is `measurement_field` (only `field` where the measurement is empty), the tags are its labels. The
//! parameter `db` becomes the label `db`, unless a tag has that name; `bucket`, `org`, `rp` and the rest say nothing. Booleans are 1 or 0, texts are left out.
//! Names stay as they are, as they do in VictoriaMetrics; PromQL takes those with other characters than letters, digits and underscores in quotes.
//!
//! A line that is wrong is reported by its number, and the others are stored. Such an answer has the status 400, which a client does not repeat; all answers
//! that are errors are JSON, for Telegraf repeats for ever what it cannot read.

mod line;
mod routes;

use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde_json::json;
use url::form_urlencoded;

use self::line::{Lines, Point};
pub(super) use self::routes::router;
use super::body::from_gzip;
use super::metrics::add;
use super::routes::Refused;
use super::{PushReceiver, RequestBuilder};

/// So many wrong lines are told; of the others only their number.
const REASONS_MAX: usize = 10;

/// The version of the interface, which shows in how errors are told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Version {
    V1,
    V2,
}

/// What the parameters and headers of a request say.
#[derive(Clone, Debug)]
pub(super) struct Parameters {
    database: String,
    precision: Precision,
    gzip: bool,
}

/// The unit of timestamps.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Precision {
    /// So many to a millisecond.
    Finer(i64),
    /// So many milliseconds.
    Coarser(i64),
}

impl Precision {
    fn of(name: &str) -> Option<Self> {
        Some(match name {
            "" | "n" | "ns" => Self::Finer(1_000_000),
            "u" | "us" | "µ" => Self::Finer(1_000),
            "ms" => Self::Coarser(1),
            "s" => Self::Coarser(1_000),
            "m" => Self::Coarser(60_000),
            "h" => Self::Coarser(3_600_000),
            _ => return None,
        })
    }

    fn milliseconds(self, timestamp: i64) -> i64 {
        match self {
            Self::Finer(parts) => timestamp.div_euclid(parts),
            Self::Coarser(unit_ms) => timestamp.saturating_mul(unit_ms),
        }
    }
}

impl Parameters {
    /// Those of a request by its query and its headers.
    pub(super) fn of(query: &str, headers: &HeaderMap) -> Result<Self, Refused> {
        let mut parameters = Self {
            database: String::new(),
            precision: Precision::Finer(1_000_000),
            gzip: false,
        };
        for (name, value) in form_urlencoded::parse(query.as_bytes()) {
            match name.as_ref() {
                "db" => parameters.database = value.into_owned(),
                "precision" => {
                    parameters.precision = Precision::of(&value).ok_or_else(|| {
                        Refused::bad_request(format!(
                            "invalid precision {value:?} (use n, u, ms, s, m or h)"
                        ))
                    })?;
                }
                _ => {}
            }
        }
        let encoding = headers.get(header::CONTENT_ENCODING);
        parameters.gzip = match encoding.map(|encoding| encoding.as_bytes()) {
            Some(b"gzip") => true,
            None | Some(b"" | b"identity") => false,
            Some(other) => {
                return Err(Refused::unsupported(format!(
                    "unsupported compression: {}; only gzip or none",
                    String::from_utf8_lossy(other)
                )));
            }
        };
        Ok(parameters)
    }
}

/// What came of a body.
#[derive(Debug, Default)]
struct Outcome {
    samples: u64,
    /// Lines that are not stored, and samples of those that are in part.
    rejected: u64,
    reasons: Vec<String>,
}

impl Outcome {
    fn reject(&mut self, line: usize, reason: impl std::fmt::Display) {
        self.rejected += 1;
        if self.reasons.len() < REASONS_MAX {
            self.reasons.push(format!("line {line}: {reason}"));
        }
    }

    fn message(&self) -> String {
        let kind = match self.samples {
            0 => "unable to parse",
            // What Telegraf looks for.
            _ => "partial write",
        };
        let others = self.rejected - self.reasons.len() as u64;
        let others = match others {
            0 => String::new(),
            others => format!("; and {others} more"),
        };
        format!("{kind}: {}{others}", self.reasons.join("; "))
    }
}

/// Stores a body; on return what is valid of it is durable.
pub(super) async fn receive(
    receiver: &PushReceiver,
    parameters: &Parameters,
    body: &[u8],
    now_ms: i64,
) -> Result<(), Refused> {
    let (builder, outcome) = read(receiver, parameters, body, now_ms)?;
    receiver.store(builder.finish()).await?;
    let metrics = receiver.metrics();
    add(&metrics.samples, outcome.samples);
    add(&metrics.rejected, outcome.rejected);
    match outcome.rejected {
        0 => Ok(()),
        _ => Err(Refused::bad_request(outcome.message())),
    }
}

fn read<'r>(
    receiver: &'r PushReceiver,
    parameters: &Parameters,
    body: &[u8],
    now_ms: i64,
) -> Result<(RequestBuilder<'r>, Outcome), Refused> {
    let decompressed;
    let body = match parameters.gzip {
        true => {
            decompressed = from_gzip(body, receiver.options().body_bytes_max)?;
            decompressed.as_slice()
        }
        false => body,
    };
    add(&receiver.metrics().body_bytes, body.len() as u64);
    let mut builder = receiver.request(now_ms);
    let mut outcome = Outcome::default();
    for (number, line) in Lines::new(body) {
        match Point::parse(line) {
            Ok(point) => take(
                &mut builder,
                &mut outcome,
                parameters,
                number,
                &point,
                now_ms,
            ),
            Err(error) => outcome.reject(number, error),
        }
    }
    Ok((builder, outcome))
}

/// Takes the fields of one line.
fn take(
    builder: &mut RequestBuilder<'_>,
    outcome: &mut Outcome,
    parameters: &Parameters,
    line: usize,
    point: &Point<'_>,
    now_ms: i64,
) {
    let time_ms = match point.timestamp {
        Some(timestamp) => parameters.precision.milliseconds(timestamp),
        None => now_ms,
    };
    let tags = point.tags.iter();
    let mut labels: Vec<(&[u8], &[u8])> = tags.map(|(n, v)| (n.as_bytes(), v.as_bytes())).collect();
    if !labels.iter().any(|(name, _)| *name == b"db") {
        labels.push((b"db", parameters.database.as_bytes()));
    }
    for (field, value) in &point.fields {
        let name = match point.measurement.is_empty() {
            true => field.clone().into_owned(),
            false => format!("{}_{field}", point.measurement),
        };
        let name: [(&[u8], &[u8]); 1] = [(b"__name__", name.as_bytes())];
        let own: Vec<(&[u8], &[u8])> = labels.iter().copied().chain(name).collect();
        let added = builder
            .series(&own)
            .and_then(|series| builder.float(&series, time_ms, 0, *value));
        match added {
            Ok(()) => outcome.samples += 1,
            Err(rejected) => outcome.reject(line, rejected),
        }
    }
}

/// An error as clients of a version read it.
fn error(version: Version, refused: Refused) -> Response {
    let Refused { status, message } = refused;
    let body = match version {
        Version::V1 => json!({"error": message}),
        Version::V2 => {
            let code = match status {
                StatusCode::BAD_REQUEST => "invalid",
                StatusCode::NOT_FOUND => "not found",
                StatusCode::PAYLOAD_TOO_LARGE => "request too large",
                StatusCode::SERVICE_UNAVAILABLE => "unavailable",
                _ => "internal error",
            };
            json!({"code": code, "message": message})
        }
    };
    (status, answer(&body)).into_response()
}

fn answer(body: &serde_json::Value) -> Response {
    let kind = [(header::CONTENT_TYPE, "application/json")];
    (kind, format!("{body}\n")).into_response()
}

/// Reads a body and forgets it: what tests with arbitrary bytes call. The number of samples it has.
#[doc(hidden)]
pub fn read_any(receiver: &PushReceiver, body: &[u8]) -> u64 {
    let parameters = Parameters {
        database: "db".to_owned(),
        precision: Precision::Finer(1_000_000),
        gzip: false,
    };
    read(receiver, &parameters, body, 0).map_or(0, |(_, outcome)| outcome.samples)
}

#[cfg(test)]
mod tests;
