use super::config::{entry, refused, shown};
use super::server::{Server, found, lines};

#[test]
fn the_configuration_is_checked_and_shown() {
    refused(
        "nomad",
        &[
            (
                "{server: ' '}",
                "nomad SD configuration requires a server address",
            ),
            ("{token: x}", "field token not found in type nomad.plain"),
        ],
    );
    shown(
        "nomad",
        "{allow_stale: false}",
        "- allow_stale: false\n  follow_redirects: true\n  enable_http2: true\n  namespace: default\n  refresh_interval: 1m\n  region: global\n  server: http://localhost:4646\n  tag_separator: ','",
    );
}

#[tokio::test]
async fn instances_become_targets() {
    let server = Server::start().await;
    server.say(
        "/v1/services",
        r#"[{"Namespace": "default", "Services": [{"ServiceName": "a b", "Tags": ["x"]}]}]"#,
    );
    server.say(
        "/v1/service/a%20b",
        r#"[{"ID": "_i", "ServiceName": "a b", "Namespace": "default", "NodeID": "n", "Datacenter": "dc1", "Tags": ["x", "y"], "Address": "10.0.0.1", "Port": 30456},
            {"ID": "_j", "ServiceName": "a b", "Tags": null, "Address": "fd00::1", "Port": 1}]"#,
    );
    let config = entry("nomad", &format!("{{server: 'http://{}'}}", server.address));
    let groups = found(&config).await.unwrap();
    assert_eq!(
        lines(&groups[0].targets[0], "__meta_nomad_"),
        [
            "__address__=10.0.0.1:30456",
            "address=10.0.0.1",
            "dc=dc1",
            "namespace=default",
            "node_id=n",
            "service=a b",
            "service_address=10.0.0.1",
            "service_id=_i",
            "service_port=30456",
            "tags=,x,y,",
        ]
    );
    assert!(!groups[0].targets[1].contains_key("__meta_nomad_tags"));
    assert_eq!(
        server.last().path,
        "/v1/service/a%20b?namespace=default&region=global&stale="
    );
    server.answer("/v1/services", 500, "no leader\n");
    let error = found(&config).await.unwrap_err();
    assert_eq!(error, "Unexpected response code: 500 (no leader)");
}
