//! Questions to the HTTP APIs that kinds of discovery are made of.

use std::time::Duration;

use bytes::Bytes;
use reqwest::header::{
    ACCEPT, ACCEPT_ENCODING, CONTENT_ENCODING, CONTENT_TYPE, HeaderMap, HeaderValue, USER_AGENT,
};
use reqwest::{Method, Response, StatusCode, Url};
use serde::de::{Deserialize, DeserializeOwned, Deserializer};

use super::DiscoveryError;
use crate::config::HttpClientConfig;
use crate::error::Error;
use crate::http_client::{AGENT, Body, HttpClient, chain};

/// Bytes of an answer after decompression: hundreds of thousands of targets.
const BODY_BYTES_MAX: u64 = 256 << 20;

/// How long requests of kinds may take that have no limit of their own in Prometheus.
pub(crate) const PATIENCE: Duration = Duration::from_secs(120);

/// Bytes of an error's text that its message quotes.
const QUOTED_BYTES_MAX: usize = 512;

/// Asks one server.
#[derive(Clone, Debug)]
pub(crate) struct ApiClient {
    client: HttpClient,
    timeout: Duration,
    headers: HeaderMap,
}

/// An answer of any status.
#[derive(Debug)]
pub(crate) struct ApiAnswer {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Vec<u8>,
}

impl ApiClient {
    /// A client by a configuration. A request may take `timeout`, its body included.
    pub(crate) fn new(
        config: &HttpClientConfig,
        timeout: Duration,
    ) -> Result<Self, DiscoveryError> {
        let client = HttpClient::new(config).map_err(DiscoveryError::Setup)?;
        Ok(Self::with_client(client, timeout))
    }

    /// The same with an HTTP client that is made already.
    pub(crate) fn with_client(client: HttpClient, timeout: Duration) -> Self {
        let headers = HeaderMap::from_iter([
            (USER_AGENT, HeaderValue::from_static(AGENT)),
            (ACCEPT, HeaderValue::from_static("application/json")),
            (ACCEPT_ENCODING, HeaderValue::from_static("gzip")),
        ]);
        Self {
            client,
            timeout,
            headers,
        }
    }

    /// Headers that every request has.
    pub(crate) fn headers_mut(&mut self) -> &mut HeaderMap {
        &mut self.headers
    }

    /// Asks for a URL. An answer with whatever status is an answer.
    pub(crate) async fn get(&self, url: &str) -> Result<ApiAnswer, DiscoveryError> {
        let answer = async {
            let response = self.client.get(url, self.headers.clone()).await?;
            read_answer(response, url).await
        };
        self.in_time(url, answer).await
    }

    /// Sends a question in JSON.
    pub(crate) async fn post_json(
        &self,
        url: &Url,
        question: &serde_json::Value,
    ) -> Result<ApiAnswer, DiscoveryError> {
        let mut headers = self.headers.clone();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        let shown = url.as_str();
        let answer = async {
            let request = self.client.request(Method::POST, url, headers).await?;
            let response = request.body(question.to_string()).send().await;
            let response = response.map_err(|error| failed(shown, chain(&error)))?;
            read_answer(response, shown).await
        };
        self.in_time(shown, answer).await
    }

    /// Sends any request, which must be one that may arrive twice. `headers` replace those that every request has. An
    /// answer with whatever status is an answer.
    pub(crate) async fn send(
        &self,
        method: Method,
        url: &str,
        headers: HeaderMap,
        body: Bytes,
    ) -> Result<ApiAnswer, DiscoveryError> {
        let mut all = self.headers.clone();
        all.extend(headers);
        let answer = async {
            let parsed = Url::parse(url).map_err(|error| failed(url, error.to_string()))?;
            let request = self.client.request(method, &parsed, all).await?;
            let request = match body.is_empty() {
                true => request,
                false => request.body(body),
            };
            let response = request.send().await;
            let response = response.map_err(|error| failed(url, chain(&error)))?;
            read_answer(response, url).await
        };
        self.in_time(url, answer).await
    }

    async fn in_time(
        &self,
        url: &str,
        answer: impl Future<Output = Result<ApiAnswer, Error>>,
    ) -> Result<ApiAnswer, DiscoveryError> {
        match tokio::time::timeout(self.timeout, answer).await {
            Ok(answer) => Ok(answer?),
            Err(_) => Err(failed(url, "context deadline exceeded".to_owned()).into()),
        }
    }

    /// Asks for a URL whose answer goes on and on, uncompressed. It has to begin in time, and may have any status.
    pub(crate) async fn open(&self, url: &str) -> Result<Response, DiscoveryError> {
        let mut headers = self.headers.clone();
        headers.remove(ACCEPT_ENCODING);
        match tokio::time::timeout(self.timeout, self.client.get(url, headers)).await {
            Ok(response) => Ok(response?),
            Err(_) => Err(failed(url, "context deadline exceeded".to_owned()).into()),
        }
    }

    /// Asks for a URL whose answer must be JSON with status 200.
    pub(crate) async fn get_json<T: DeserializeOwned>(
        &self,
        url: &str,
    ) -> Result<T, DiscoveryError> {
        self.get(url).await?.json(url)
    }
}

async fn read_answer(mut response: Response, url: &str) -> Result<ApiAnswer, Error> {
    let gzip = response.headers().get(CONTENT_ENCODING);
    let gzip = gzip.is_some_and(|value| value.as_bytes() == b"gzip");
    let mut body = Body::new(gzip, BODY_BYTES_MAX);
    while let Some(chunk) = next_chunk(&mut response, url).await? {
        body.push(&chunk)?;
    }
    Ok(ApiAnswer {
        status: response.status(),
        headers: std::mem::take(response.headers_mut()),
        body: body.finish()?,
    })
}

async fn next_chunk(response: &mut Response, url: &str) -> Result<Option<bytes::Bytes>, Error> {
    let chunk = response.chunk().await;
    chunk.map_err(|error| failed(url, chain(&error)))
}

fn failed(url: &str, reason: String) -> Error {
    Error::Request {
        url: url.to_owned(),
        reason,
    }
}

impl ApiAnswer {
    /// The beginning of the body, for messages.
    pub(crate) fn quoted(&self) -> String {
        let quoted = self.body.get(..QUOTED_BYTES_MAX).unwrap_or(&self.body);
        String::from_utf8_lossy(quoted).trim().to_owned()
    }

    /// The body as JSON. `url` is for messages. A status other than 200 is an error that quotes the body.
    pub(crate) fn json<T: DeserializeOwned>(&self, url: &str) -> Result<T, DiscoveryError> {
        if self.status != StatusCode::OK {
            return Err(DiscoveryError::Answer(format!(
                "{url}: server returned HTTP status {}: {}",
                self.status,
                self.quoted()
            )));
        }
        serde_json::from_slice(&self.body)
            .map_err(|error| DiscoveryError::Answer(format!("{url}: {error}")))
    }
}

/// Reads null as the default, as Go's JSON decoder does; for fields of answers.
pub(crate) fn nullable<'de, D, T>(deserializer: D) -> Result<T, D::Error>
where
    D: Deserializer<'de>,
    T: Deserialize<'de> + Default,
{
    Ok(Option::<T>::deserialize(deserializer)?.unwrap_or_default())
}
