use super::config::{entry, refused, shown};
use super::server::{Server, found};

#[test]
fn the_configuration_is_checked_and_shown() {
    refused(
        "http",
        &[
            ("{}", "URL is missing"),
            ("{url: 'ftp://x'}", "URL scheme must be 'http' or 'https'"),
            ("{url: x}", "URL scheme must be 'http' or 'https'"),
            ("{url: 'http://'}", "host is missing in URL"),
            ("{url: 'http:///x'}", "host is missing in URL"),
            (
                "{url: 'http://x', path: y}",
                "field path not found in type http.plain",
            ),
            ("~", "empty or null section in http_sd_configs"),
        ],
    );
    shown(
        "http",
        "{url: 'http://x/y', basic_auth: {username: u, password: p}}",
        "- basic_auth:\n    username: u\n    password: <secret>\n  follow_redirects: true\n  enable_http2: true\n  refresh_interval: 1m\n  url: http://x/y",
    );
}

#[tokio::test]
async fn the_server_is_asked_as_prometheus_asks() {
    let server = Server::start().await;
    server.say("/sd", r#"[{"targets": ["a:1"], "labels": {"x": "y"}}]"#);
    let url = format!("http://{}/sd?a=b", server.address);
    let config = entry(
        "http",
        &format!("{{url: '{url}', refresh_interval: 90s, bearer_token: t}}"),
    );
    let groups = found(&config).await.unwrap();
    assert_eq!(groups[0].addresses().collect::<Vec<_>>(), ["a:1"]);
    assert_eq!(groups[0].labels["__meta_url"], url);
    let request = server.last();
    assert_eq!(request.path, "/sd?a=b");
    for (name, value) in [
        ("accept", "application/json"),
        ("x-prometheus-refresh-interval-seconds", "90"),
        ("authorization", "Bearer t"),
    ] {
        assert_eq!(request.header(name), value, "{name}");
    }
    server.answer("/sd", 500, "");
    let error = found(&config).await.unwrap_err();
    assert_eq!(
        error,
        "server returned HTTP status 500 Internal Server Error"
    );
}
