//! Who is asked: a server over HTTP, or an archive through the same API in this process.

use std::time::Duration;

use axum::body::{Body, to_bytes};
use axum::http;
use tower::ServiceExt;
use url::Url;
use url::form_urlencoded::{Serializer, byte_serialize};
use varve_storage::StorageUrl;

use crate::archive::Features;
use crate::failure::Failure;

/// A question to the API.
#[derive(Clone, Debug)]
pub(super) struct Request {
    /// Behind `/api/v1/`, percent-encoded.
    path: String,
    parameters: Vec<(&'static str, String)>,
    /// Whether the parameters go into a form, which has no limit of length; not every question may be asked so.
    post: bool,
}

impl Request {
    pub(super) fn new(path: &str) -> Self {
        Self {
            path: path.to_owned(),
            parameters: Vec::new(),
            post: true,
        }
    }

    pub(super) fn label_values(label: &str) -> Self {
        // Percent-encoded as a path wants it: a form's `+` for a space would not do.
        let encoded: String = byte_serialize(label.as_bytes())
            .flat_map(|part| {
                if part == "+" {
                    "%20".chars()
                } else {
                    part.chars()
                }
            })
            .collect();
        Self {
            path: format!("label/{encoded}/values"),
            parameters: Vec::new(),
            post: false,
        }
    }

    pub(super) fn push(&mut self, name: &'static str, value: impl Into<String>) {
        self.parameters.push((name, value.into()));
    }

    pub(super) fn push_all(&mut self, name: &'static str, values: &[String]) {
        for value in values {
            self.push(name, value);
        }
    }

    fn form(&self) -> String {
        Serializer::new(String::new())
            .extend_pairs(&self.parameters)
            .finish()
    }
}

/// What came back.
#[derive(Clone, Debug)]
pub(super) struct Reply {
    /// Who answered.
    pub(super) from: String,
    pub(super) status: u16,
    pub(super) body: String,
    /// Names in lower case.
    pub(super) headers: Vec<(String, String)>,
}

impl Reply {
    /// What the query cost, as one line.
    pub(super) fn cost(&self) -> String {
        let header = |name: &str| {
            let found = self.headers.iter().find(|(key, _)| key == name);
            found.map_or("?", |(_, value)| value)
        };
        format!(
            "{} requests, {} bytes read, {} samples read, {}",
            header("x-varve-requests"),
            header("x-varve-bytes-read"),
            header("x-varve-samples"),
            header("server-timing"),
        )
    }
}

/// Who answers.
pub(super) enum Endpoint {
    Server { client: reqwest::Client, url: Url },
    Archive { router: axum::Router, name: String },
}

impl Endpoint {
    /// A server at a base URL; a path in it (behind a proxy) is kept.
    pub(super) fn server(mut url: Url) -> Result<Self, Failure> {
        if !matches!(url.scheme(), "http" | "https") {
            return Err(Failure::usage(format!(
                "--url {url}: must begin with http:// or https://; for an archive use --storage.url"
            )));
        }
        if !url.path().ends_with('/') {
            let path = format!("{}/", url.path());
            url.set_path(&path);
        }
        let client = reqwest::Client::builder()
            .connect_timeout(Duration::from_secs(10))
            .build()
            .map_err(|e| Failure::error(format!("cannot make an HTTP client: {e}")))?;
        Ok(Self::Server { client, url })
    }

    /// An archive, opened for reading.
    pub(super) fn archive(storage: &StorageUrl, features: Features) -> Result<Self, Failure> {
        let router = crate::archive::read_only_api(storage, features)?;
        Ok(Self::Archive {
            router,
            name: storage.to_string(),
        })
    }

    pub(super) async fn ask(&self, request: &Request) -> Result<Reply, Failure> {
        match self {
            Self::Server { client, url } => ask_server(client, url, request).await,
            Self::Archive { router, name } => ask_archive(router.clone(), name, request).await,
        }
    }
}

const FORM: &str = "application/x-www-form-urlencoded";

async fn ask_server(
    client: &reqwest::Client,
    base: &Url,
    request: &Request,
) -> Result<Reply, Failure> {
    let mut url = base
        .join(&format!("api/v1/{}", request.path))
        .map_err(|e| Failure::usage(format!("--url {base}: {e}")))?;
    let form = request.form();
    let builder = if request.post {
        let builder = client.post(url.clone()).header("content-type", FORM);
        builder.body(form)
    } else {
        url.set_query(Some(form.as_str()).filter(|form| !form.is_empty()));
        client.get(url.clone())
    };
    let unreachable = |error: reqwest::Error| {
        let reason = root_cause(&error);
        Failure::error(format!(
            "cannot ask {base}: {reason}; is a server running there? (`varve serve`, or --storage.url to read an archive)"
        ))
    };
    let response = builder.send().await.map_err(unreachable)?;
    let headers = response.headers().iter().filter_map(|(name, value)| {
        Some((name.as_str().to_owned(), value.to_str().ok()?.to_owned()))
    });
    Ok(Reply {
        from: base.to_string(),
        status: response.status().as_u16(),
        headers: headers.collect(),
        body: response.text().await.map_err(unreachable)?,
    })
}

/// The innermost error says why; the outer ones only repeat the URL.
fn root_cause(error: &dyn std::error::Error) -> String {
    match error.source() {
        Some(source) => root_cause(source),
        None => error.to_string(),
    }
}

async fn ask_archive(
    router: axum::Router,
    name: &str,
    request: &Request,
) -> Result<Reply, Failure> {
    let form = request.form();
    let path = format!("/api/v1/{}", request.path);
    let builder = http::Request::builder();
    let built = if request.post {
        let builder = builder
            .method("POST")
            .uri(path)
            .header("content-type", FORM);
        builder.body(Body::from(form))
    } else {
        builder.uri(format!("{path}?{form}")).body(Body::empty())
    };
    let built =
        built.map_err(|e| Failure::usage(format!("this question makes no request: {e}")))?;
    let Ok(response) = router.oneshot(built).await;
    let headers = response.headers().iter().filter_map(|(name, value)| {
        Some((name.as_str().to_owned(), value.to_str().ok()?.to_owned()))
    });
    let (headers, status) = (headers.collect(), response.status().as_u16());
    let body = to_bytes(response.into_body(), usize::MAX)
        .await
        .map_err(|e| Failure::error(format!("cannot read the answer of {name}: {e}")))?;
    Ok(Reply {
        from: name.to_owned(),
        status,
        headers,
        body: String::from_utf8_lossy(&body).into_owned(),
    })
}
