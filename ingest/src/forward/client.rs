//! Requests to one receiver, repeated until they are taken or refused for good.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use reqwest::header::{CONTENT_ENCODING, CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue};
use reqwest::{Method, StatusCode, Url};
use tokio::sync::watch;

use super::metrics::{ForwardMetrics, add};
use super::proof::Proof;
use crate::config::{RemoteWriteConfig, WriteMessage};
use crate::environment::Environment;
use crate::error::{Error, Result};
use crate::http_client::{HttpClient, chain};

/// Bytes of an answer that are shown.
const SHOWN_BYTES_MAX: usize = 512;

/// What came of a request in the end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Sent {
    /// The receiver has it.
    Taken,
    /// The receiver will never take it.
    Refused,
    /// The process stops, or the configuration changed, before the receiver had it.
    Stopped,
}

/// Makes the requests to one receiver.
#[derive(Debug)]
pub(super) struct ReceiverClient {
    config: Arc<RemoteWriteConfig>,
    client: HttpClient,
    proof: Option<Proof>,
    url: Url,
    headers: HeaderMap,
    metrics: Arc<ForwardMetrics>,
    stop: watch::Receiver<bool>,
}

/// Why one attempt failed.
struct Failure {
    reason: String,
    /// `None`: for good. Else the pause that the receiver asks for, or nothing in particular.
    again: Option<Option<Duration>>,
}

impl ReceiverClient {
    pub(super) fn new(
        config: &Arc<RemoteWriteConfig>,
        metrics: &Arc<ForwardMetrics>,
        stop: watch::Receiver<bool>,
    ) -> Result<Self> {
        Self::with_environment(config, metrics, stop, Environment::default())
    }

    /// The same with other environment variables than those of the process.
    pub(super) fn with_environment(
        config: &Arc<RemoteWriteConfig>,
        metrics: &Arc<ForwardMetrics>,
        stop: watch::Receiver<bool>,
        environment: Environment,
    ) -> Result<Self> {
        let owner = format!("remote write to {}", config.label());
        let mut headers = HeaderMap::new();
        for (name, value) in &config.headers {
            let name = HeaderName::from_bytes(name.as_bytes())
                .map_err(|_| Error::Body(format!("{name:?} is not a valid header name")))?;
            let value = HeaderValue::from_str(value)
                .map_err(|_| Error::Body(format!("the value of {name} is not valid")))?;
            headers.insert(name, value);
        }
        let (kind, version) = match config.message {
            WriteMessage::V1 => ("application/x-protobuf", "0.1.0"),
            WriteMessage::V2 => (
                "application/x-protobuf;proto=io.prometheus.write.v2.Request",
                "2.0.0",
            ),
        };
        headers.insert(CONTENT_TYPE, HeaderValue::from_static(kind));
        headers.insert(CONTENT_ENCODING, HeaderValue::from_static("snappy"));
        headers.insert(
            "x-prometheus-remote-write-version",
            HeaderValue::from_static(version),
        );
        let wrong = |reason| Error::Client {
            owner: owner.clone(),
            reason,
        };
        let auth = config.cloud_auth.as_ref();
        let proof = auth.map(|auth| Proof::of(auth, environment));
        let proof = proof.transpose().map_err(wrong)?;
        let url = proof.as_ref().map(|proof| proof.url(&config.url));
        Ok(Self {
            client: HttpClient::new(&config.http).map_err(wrong)?,
            proof,
            url: url.unwrap_or_else(|| config.url.clone()),
            config: Arc::clone(config),
            headers,
            metrics: Arc::clone(metrics),
            stop,
        })
    }

    /// Sends a message.
    pub(super) async fn send(&self, message: &[u8]) -> Sent {
        let body = match snap::raw::Encoder::new().compress_vec(message) {
            Ok(body) => Bytes::from(body),
            Err(error) => {
                tracing::error!(%error, "a message could not be compressed");
                return Sent::Refused;
            }
        };
        let mut stop = self.stop.clone();
        let mut pause = self.config.queue.min_backoff;
        let mut attempt = 0_u32;
        loop {
            let tried = tokio::select! {
                tried = self.attempt(&body, attempt) => tried,
                _ = stop.wait_for(|stop| *stop) => return Sent::Stopped,
            };
            let Err(failure) = tried else {
                add(&self.metrics.bytes, body.len());
                return Sent::Taken;
            };
            let receiver = self.config.label();
            let Some(asked) = failure.again else {
                tracing::error!(
                    receiver,
                    reason = failure.reason,
                    "a receiver refuses samples"
                );
                return Sent::Refused;
            };
            if attempt.is_power_of_two() || attempt == 0 {
                let reason = failure.reason;
                tracing::warn!(
                    receiver,
                    reason,
                    attempt,
                    "a receiver does not take samples; trying again"
                );
            }
            add(&self.metrics.retries, 1);
            let wait = asked.unwrap_or(pause).max(self.config.queue.min_backoff);
            pause = (2 * pause).min(self.config.queue.max_backoff);
            attempt = attempt.saturating_add(1);
            tokio::select! {
                () = tokio::time::sleep(wait) => {}
                _ = stop.wait_for(|stop| *stop) => return Sent::Stopped,
            }
        }
    }

    async fn attempt(&self, body: &Bytes, attempt: u32) -> std::result::Result<(), Failure> {
        let again = |reason: String| Failure {
            reason,
            again: Some(None),
        };
        let mut headers = self.headers.clone();
        if attempt > 0 {
            headers.insert("retry-attempt", HeaderValue::from(attempt));
        }
        if let Some(proof) = &self.proof {
            let proved = proof.add(&self.url, &mut headers, body);
            let proved = tokio::time::timeout(self.config.remote_timeout, proved).await;
            proved
                .unwrap_or_else(|_| Err("context deadline exceeded".to_owned()))
                .map_err(again)?;
        }
        let request = self.client.request(Method::POST, &self.url, headers).await;
        let request = request
            .map_err(|error| again(error.to_string()))?
            .timeout(self.config.remote_timeout)
            .body(body.clone());
        let sent = request.send().await;
        let mut response = sent.map_err(|error| again(chain(&error)))?;
        let status = response.status();
        if status.is_success() {
            return Ok(());
        }
        let limited = status == StatusCode::TOO_MANY_REQUESTS;
        let repeat = status.is_server_error() || (limited && self.config.queue.retry_on_rate_limit);
        let asked = response.headers().get("retry-after");
        let asked = asked.and_then(|value| value.to_str().ok()?.parse().ok());
        let text = response.chunk().await.ok().flatten().unwrap_or_default();
        let text = text
            .get(..text.len().min(SHOWN_BYTES_MAX))
            .unwrap_or_default();
        let text = String::from_utf8_lossy(text);
        Err(Failure {
            reason: format!("server returned HTTP status {status}: {}", text.trim()),
            again: repeat.then(|| asked.map(Duration::from_secs)),
        })
    }
}
