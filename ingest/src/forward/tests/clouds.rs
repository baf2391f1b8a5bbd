#![allow(clippy::unwrap_used)]
//! Receivers of clouds, played by servers of our own.

use super::*;

/// What a receiver of Amazon finds when it signs a request as its sender should have.
fn is_signed_by(parts: &axum::http::request::Parts, body: &[u8], secret: &str) -> bool {
    let header = |name: &str| parts.headers[name].to_str().unwrap().to_owned();
    let given = header("authorization");
    let (_, names) = given.split_once("SignedHeaders=").unwrap();
    let (names, _) = names.split_once(',').unwrap();
    let mut headers = reqwest::header::HeaderMap::new();
    for name in names.split(';').filter(|name| *name != "host") {
        let name = reqwest::header::HeaderName::from_bytes(name.as_bytes()).unwrap();
        headers.insert(name.clone(), header(name.as_str()).parse().unwrap());
    }
    let url = format!("http://{}{}", header("host"), parts.uri);
    let url = reqwest::Url::parse(&url).unwrap();
    let time = chrono::NaiveDateTime::parse_from_str(&header("x-amz-date"), "%Y%m%dT%H%M%SZ");
    let credentials = crate::sigv4::Credentials {
        access_key: "AK".to_owned(),
        secret_key: crate::config::Secret::new(secret),
        session_token: None,
        expires: None,
    };
    let scope = crate::sigv4::Scope {
        region: "eu-west-1",
        service: "aps",
    };
    let request = ("POST", &url);
    let time = time.unwrap().and_utc();
    crate::sigv4::sign(request, &mut headers, body, &credentials, scope, time).unwrap();
    headers["authorization"] == given
}

/// A receiver that wants signatures, on top of another.
async fn signing_peer(peer: &Peer, verdicts: Arc<Mutex<Vec<bool>>>) -> String {
    let target = peer.url.clone();
    let handler = move |request: Request| async move {
        let (parts, body) = request.into_parts();
        let body = axum::body::to_bytes(body, 1 << 20).await.unwrap();
        let verdict = is_signed_by(&parts, &body, "SK");
        verdicts.lock().unwrap().push(verdict);
        if !verdict {
            return StatusCode::FORBIDDEN;
        }
        assert_eq!(parts.headers["x-scope"], "tenant");
        let passed = reqwest::Client::new().post(&target).body(body);
        let names = [
            "content-type",
            "content-encoding",
            "x-prometheus-remote-write-version",
        ];
        let passed = names.iter().fold(passed, |passed, name| {
            passed.header(*name, &parts.headers[*name])
        });
        passed.send().await.unwrap().status()
    };
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let router = axum::Router::new().fallback(handler);
    tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
    format!("http://{address}//workspaces/ws-1/api/v1/remote_write")
}

#[tokio::test]
async fn requests_to_amazon_are_signed_and_repetitions_anew() {
    let peer = Peer::start().await;
    peer.failing.store(1, Ordering::SeqCst);
    let verdicts = Arc::default();
    let url = signing_peer(&peer, Arc::clone(&verdicts)).await;
    let sender = Sender::new().await;
    let config = format!(
        "remote_write: [{{url: '{url}', headers: {{X-Scope: tenant}}, metadata_config: {{send: false}}, sigv4: {{region: eu-west-1, access_key: AK, secret_key: SK}}}}]"
    );
    let manager = sender.manager(&config).await;
    sender.append_number(1).await;
    peer.wait_for(1).await;
    manager.shutdown().await;
    assert_eq!(*verdicts.lock().unwrap(), [true, true]);
}

#[tokio::test]
async fn requests_carry_tokens_of_google_and_microsoft() {
    let server = crate::discovery::tests::server::Server::start().await;
    server.answer("/write", 204, "");
    let url = format!("http://{}/write", server.address);
    for (auth, environment, path, token) in [
        (
            "google_iam: {}",
            ("GCE_METADATA_HOST", server.address.clone()),
            "/computeMetadata/v1/instance/service-accounts/default/token",
            "g",
        ),
        (
            "azuread: {managed_identity: {}}",
            (
                "IDENTITY_ENDPOINT",
                format!("http://{}/msi", server.address),
            ),
            "/msi",
            "a",
        ),
    ] {
        let answer = format!(r#"{{"access_token": "{token}", "expires_in": 3600}}"#);
        server.say(path, &answer);
        let config = parse(&format!("remote_write: [{{url: '{url}', {auth}}}]"));
        let (name, value) = environment;
        let variables = [(name, value.as_str()), ("IDENTITY_HEADER", "key")];
        let environment = crate::environment::Environment::of(&variables);
        let (_stop, stopped) = tokio::sync::watch::channel(false);
        let metrics = Arc::new(ForwardMetrics::default());
        let client = client::ReceiverClient::with_environment(
            &config.remote_write[0],
            &metrics,
            stopped,
            environment,
        );
        assert_eq!(client.unwrap().send(b"message").await, client::Sent::Taken);
        assert_eq!(
            server.last().header("authorization"),
            format!("Bearer {token}")
        );
    }
}
