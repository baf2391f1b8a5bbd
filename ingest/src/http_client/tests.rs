#![allow(clippy::unwrap_used)]
//! Against servers of our own on the loopback interface.

use std::path::Path;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use axum::Router;
use axum::extract::{Request, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response as Answer};

use super::*;
use crate::config::Config;

/// What a server saw.
#[derive(Default)]
struct Seen {
    /// Method, URI, `Authorization` and body.
    requests: Mutex<Vec<String>>,
    tokens: AtomicUsize,
}

async fn serve(handler: Router) -> String {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move { axum::serve(listener, handler).await.unwrap() });
    format!("http://{address}")
}

async fn note(State(seen): State<Arc<Seen>>, request: Request) -> Answer {
    let (parts, body) = request.into_parts();
    let body = axum::body::to_bytes(body, 1 << 20).await.unwrap();
    let text = |name: &str| match parts.headers.get(name) {
        Some(value) => value.to_str().unwrap().to_owned(),
        None => "-".to_owned(),
    };
    let line = format!(
        "{} {} {} {}",
        parts.method,
        parts.uri,
        text("authorization"),
        String::from_utf8_lossy(&body)
    );
    seen.requests.lock().unwrap().push(line);
    match parts.uri.path() {
        "/token" if text("authorization").starts_with("Basic ") => {
            StatusCode::UNAUTHORIZED.into_response()
        }
        "/token" => {
            let number = seen.tokens.fetch_add(1, Ordering::SeqCst);
            let life = if number == 0 { 5 } else { 3600 };
            let body = format!(
                r#"{{"access_token": "t{number}", "token_type": "bearer", "expires_in": {life}}}"#
            );
            ([("content-type", "application/json")], body).into_response()
        }
        _ => "ok".into_response(),
    }
}

fn http(fields: &str) -> HttpClientConfig {
    let text = format!("scrape_configs:\n- job_name: j\n{fields}");
    let config = Config::parse(&text, Path::new("/")).unwrap();
    config.scrape_configs[0].http.clone()
}

async fn get(client: &HttpClient, url: &str) -> Result<Response> {
    client.get(url, HeaderMap::new()).await
}

#[tokio::test]
async fn tokens_are_asked_for_and_kept() {
    let seen = Arc::new(Seen::default());
    let url = serve(Router::new().fallback(note).with_state(seen.clone())).await;
    let config = http(&format!(
        "  oauth2: {{client_id: me, client_secret: 's&cret', token_url: '{url}/token', scopes: [a, b], endpoint_params: {{x: y}}}}\n"
    ));
    let client = HttpClient::new(&config).unwrap();
    for _ in 0..3 {
        assert!(
            get(&client, &format!("{url}/m"))
                .await
                .unwrap()
                .status()
                .is_success()
        );
    }
    let basic = "grant_type=client_credentials&scope=a+b&x=y";
    let body = format!("{basic}&client_id=me&client_secret=s%26cret");
    let pair = "Basic bWU6cyUyNmNyZXQ=";
    // The first token ends too soon to be used again.
    assert_eq!(
        *seen.requests.lock().unwrap(),
        [
            format!("POST /token {pair} {basic}"),
            format!("POST /token - {body}"),
            "GET /m Bearer t0 ".to_owned(),
            format!("POST /token {pair} {basic}"),
            format!("POST /token - {body}"),
            "GET /m Bearer t1 ".to_owned(),
            "GET /m Bearer t1 ".to_owned(),
        ]
    );
}

#[tokio::test]
async fn a_server_without_tokens_is_an_error() {
    let url = serve(Router::new().fallback(|| async { "{}" })).await;
    let config = http(&format!(
        "  oauth2: {{client_id: me, client_secret: s, token_url: '{url}'}}\n"
    ));
    let client = HttpClient::new(&config).unwrap();
    let request = client
        .request(Method::GET, &Url::parse(&url).unwrap(), HeaderMap::new())
        .await;
    assert_eq!(
        request.unwrap_err().to_string(),
        "oauth2: cannot fetch token: server response missing access_token"
    );
}

#[tokio::test]
async fn requests_go_through_the_proxy_but_for_what_it_is_not_for() {
    let seen = Arc::new(Seen::default());
    let proxy = serve(Router::new().fallback(note).with_state(seen.clone())).await;
    let direct = serve(Router::new().fallback(|| async { "direct" })).await;
    let config = http(&format!("  proxy_url: {proxy}\n  no_proxy: 127.0.0.1\n"));
    let client = HttpClient::new(&config).unwrap();
    let answer = get(&client, "http://metrics.invalid/x").await.unwrap();
    assert_eq!(answer.text().await.unwrap(), "ok");
    let answer = get(&client, &direct).await.unwrap();
    assert_eq!(answer.text().await.unwrap(), "direct");
    assert_eq!(
        *seen.requests.lock().unwrap(),
        ["GET http://metrics.invalid/x - "]
    );
}

#[tokio::test]
async fn headers_do_not_follow_a_redirect_to_another_host() {
    let seen = Arc::new(Seen::default());
    let other = serve(Router::new().fallback(note).with_state(seen.clone())).await;
    let other = other.replace("127.0.0.1", "localhost");
    let here = serve(Router::new().fallback(move || {
        let to = format!("{other}/stolen");
        async move { axum::response::Redirect::temporary(&to) }
    }))
    .await;
    let client = HttpClient::new(&http("  http_headers: {X-Key: {secrets: [k]}}\n"));
    let answer = get(&client.unwrap(), &here).await.unwrap();
    assert_eq!(answer.status(), StatusCode::TEMPORARY_REDIRECT);
    assert!(seen.requests.lock().unwrap().is_empty());
    // Without such headers it is followed.
    let client = HttpClient::new(&http("")).unwrap();
    assert!(get(&client, &here).await.unwrap().status().is_success());
}

#[test]
fn contradictions_are_errors_in_prometheus_words() {
    for (fields, message) in [
        (
            "no_proxy: a",
            "if no_proxy is configured, proxy_url must also be configured",
        ),
        (
            "proxy_url: http://p\n  proxy_from_environment: true",
            "if proxy_from_environment is configured, proxy_url must not be configured",
        ),
        (
            "proxy_connect_header: {a: [b]}",
            "if proxy_connect_header is configured, proxy_url or proxy_from_environment must also be configured",
        ),
        (
            "oauth2: {client_id: a}",
            "oauth2 token_url must be configured",
        ),
        (
            "oauth2: {token_url: a}",
            "oauth2 client_id must be configured",
        ),
        (
            "oauth2: {client_id: a, token_url: b}\n  basic_auth: {username: u}",
            "at most one of basic_auth, oauth2 & authorization must be configured",
        ),
        (
            "oauth2: {client_id: a, token_url: b, grant_type: 'urn:ietf:params:oauth:grant-type:jwt-bearer', signature_algorithm: x}",
            "valid signature algorithms are RS256, RS384 and RS512",
        ),
    ] {
        let text = format!("scrape_configs:\n- job_name: j\n  {fields}\n");
        let error = Config::parse(&text, Path::new("/"))
            .unwrap_err()
            .to_string();
        assert!(error.ends_with(message), "{error}");
    }
}

/// A certificate is made by OpenSSL, whose absence is said.
fn openssl(folder: &Path, arguments: &[&str]) -> bool {
    let run = std::process::Command::new("openssl")
        .args(arguments)
        .current_dir(folder)
        .stderr(std::process::Stdio::null())
        .status();
    let made = run.is_ok_and(|status| status.success());
    if !made {
        eprintln!("SKIPPED: openssl is not installed");
    }
    made
}

#[tokio::test]
async fn assertions_are_signed_with_the_key() {
    let folder = tempfile::tempdir().unwrap();
    if !openssl(folder.path(), &["genrsa", "-out", "key.pem", "2048"]) {
        return;
    }
    let seen = Arc::new(Seen::default());
    let url = serve(Router::new().fallback(note).with_state(seen.clone())).await;
    let config = http(&format!(
        "  oauth2: {{client_id: me, grant_type: 'urn:ietf:params:oauth:grant-type:jwt-bearer', client_certificate_key_file: '{}/key.pem', client_certificate_key_id: k1, token_url: '{url}/token', claims: {{n: 7, s: x}}}}\n",
        folder.path().display()
    ));
    let client = HttpClient::new(&config).unwrap();
    assert!(
        get(&client, &format!("{url}/m"))
            .await
            .unwrap()
            .status()
            .is_success()
    );
    let requests = seen.requests.lock().unwrap().clone();
    let (form, assertion) = requests[0].split_once("&assertion=").unwrap();
    assert_eq!(
        form,
        "POST /token - grant_type=urn%3Aietf%3Aparams%3Aoauth%3Agrant-type%3Ajwt-bearer"
    );
    assert_eq!(requests[1], "GET /m Bearer t0 ");
    use base64::Engine as _;
    let decode = |part: &str| {
        base64::engine::general_purpose::URL_SAFE_NO_PAD
            .decode(part)
            .unwrap()
    };
    let parts: Vec<&str> = assertion.split('.').collect();
    let json = |part: &str| serde_json::from_slice::<serde_json::Value>(&decode(part)).unwrap();
    assert_eq!(
        json(parts[0]),
        serde_json::json!({"alg": "RS256", "typ": "JWT", "kid": "k1"})
    );
    let claims = json(parts[1]);
    assert_eq!(
        (&claims["iss"], &claims["n"], &claims["s"]),
        (&"me".into(), &7.into(), &"x".into())
    );
    // OpenSSL agrees with the signature.
    std::fs::write(folder.path().join("signature"), decode(parts[2])).unwrap();
    std::fs::write(
        folder.path().join("text"),
        format!("{}.{}", parts[0], parts[1]),
    )
    .unwrap();
    assert!(openssl(
        folder.path(),
        &["rsa", "-in", "key.pem", "-pubout", "-out", "public.pem"]
    ));
    assert!(openssl(
        folder.path(),
        &[
            "dgst",
            "-sha256",
            "-verify",
            "public.pem",
            "-signature",
            "signature",
            "text"
        ]
    ));
}
