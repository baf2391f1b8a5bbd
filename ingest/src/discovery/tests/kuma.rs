use super::config::{entry, refused, shown};
use super::server::{Server, discovery, found, lines};

#[test]
fn the_configuration_is_checked_and_shown() {
    refused(
        "kuma",
        &[
            ("{}", "kuma SD server must not be empty: "),
            (
                "{server: x}",
                "kuma SD server must not be empty and have a scheme: x",
            ),
            (
                "{server: 'http://'}",
                "kuma SD server must not be empty and have a scheme: http://",
            ),
        ],
    );
    shown(
        "kuma",
        "{server: 'http://k:5676', client_id: me}",
        "- follow_redirects: true\n  enable_http2: true\n  refresh_interval: 15s\n  fetch_timeout: 2m\n  server: http://k:5676\n  client_id: me",
    );
}

#[tokio::test]
async fn proxies_are_targets() {
    let server = Server::start().await;
    let path = "/base/v3/discovery:monitoringassignments";
    let answer = r#"{"version_info": "v1", "nonce": "n1", "type_url": "type.googleapis.com/kuma.observability.v1.MonitoringAssignment", "resources": [
      {"@type": "type.googleapis.com/kuma.observability.v1.MonitoringAssignment", "mesh": "m", "service": "s", "labels": {"kuma.io/x": "of all"},
       "targets": [{"name": "p1", "scheme": "http", "address": "10.0.0.1:5670", "metrics_path": "/metrics", "labels": {"kuma.io/x": "own", "y": "z"}},
         {"name": "p2", "scheme": "https", "address": "10.0.0.2:5670", "metricsPath": "/m"}]}]}"#;
    server.say(path, answer);
    let config = format!(
        "{{server: 'http://{}/base/', client_id: me}}",
        server.address
    );
    let mut discovery = discovery(&entry("kuma", &config));
    let groups = discovery.refresh().await.unwrap();
    assert_eq!(groups[0].source, "kuma");
    let targets = groups[0].targets.iter();
    let targets: Vec<_> = targets
        .map(|t| lines(t, "__meta_kuma_").join(" "))
        .collect();
    assert_eq!(
        targets,
        [
            "__address__=10.0.0.1:5670 dataplane=p1 label_kuma_io_x=of all label_y=z mesh=m service=s __metrics_path__=/metrics __scheme__=http instance=p1",
            "__address__=10.0.0.2:5670 dataplane=p2 label_kuma_io_x=of all mesh=m service=s __metrics_path__=/m __scheme__=https instance=p2",
        ]
    );
    assert_eq!(server.last().path, format!("{path}?fetch-timeout=2m"));
    server.answer(path, 304, "");
    assert_eq!(discovery.refresh().await.unwrap(), groups);
    server.answer(path, 500, "");
    assert_eq!(
        discovery.refresh().await.unwrap_err().to_string(),
        "non 200 status '500' response during xDS fetch"
    );
    server.say(path, r#"{"type_url": "x"}"#);
    assert_eq!(
        found(&entry("kuma", &config)).await.unwrap_err(),
        "received invalid typeURL for Kuma MADS v1 Resource: x"
    );
}
