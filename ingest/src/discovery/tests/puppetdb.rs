use super::config::{entry, refused, shown};
use super::server::{Server, found, lines};

#[test]
fn the_configuration_is_checked_and_shown() {
    refused(
        "puppetdb",
        &[
            ("{}", "URL is missing"),
            ("{url: 'http://x'}", "query missing"),
            (
                "{url: 'ssh://x', query: q}",
                "URL scheme must be 'http' or 'https'",
            ),
            ("{url: 'http://', query: q}", "host is missing in URL"),
        ],
    );
    shown(
        "puppetdb",
        "{url: 'http://x/p', query: q}",
        "- follow_redirects: true\n  enable_http2: true\n  refresh_interval: 1m\n  url: http://x/p\n  query: q\n  include_parameters: false\n  port: 80",
    );
}

#[tokio::test]
async fn resources_become_targets() {
    let server = Server::start().await;
    server.say(
        "/p/pdb/query/v4",
        r#"[{"certname": "a.org", "exported": false, "file": "f.pp", "tags": ["x", "y"], "title": "T", "type": "Class", "resource": "r",
             "environment": "prod", "parameters": {"port": 8080, "deep": {"a": "b"}}},
            {"certname": "b.org", "exported": true, "file": null, "tags": [], "parameters": null}]"#,
    );
    let url = format!("http://{}/p/", server.address);
    for (fields, more) in [
        ("", vec![]),
        (
            ", include_parameters: true",
            vec!["parameter_deep_a=b", "parameter_port=8080"],
        ),
    ] {
        let config = entry(
            "puppetdb",
            &format!("{{url: '{url}', query: 'Q', port: 9100{fields}}}"),
        );
        let groups = found(&config).await.unwrap();
        let mut expected = vec![
            "__address__=a.org:9100",
            "certname=a.org",
            "environment=prod",
            "exported=false",
            "file=f.pp",
        ];
        expected.extend(more);
        expected.extend([
            "query=Q",
            "resource=r",
            "tags=,x,y,",
            "title=T",
            "type=Class",
        ]);
        assert_eq!(lines(&groups[0].targets[0], "__meta_puppetdb_"), expected);
        assert_eq!(groups[0].source, format!("{url}pdb/query/v4?query=Q"));
        assert!(!groups[0].targets[1].contains_key("__meta_puppetdb_tags"));
    }
    assert_eq!(server.last().header("content-type"), "application/json");
    assert_eq!(server.last().body, r#"{"query":"Q"}"#);
    server.answer("/p/pdb/query/v4", 400, "");
    let config = entry("puppetdb", &format!("{{url: '{url}', query: 'Q'}}"));
    let error = found(&config).await.unwrap_err();
    assert_eq!(error, "server returned HTTP status 400 Bad Request");
}
