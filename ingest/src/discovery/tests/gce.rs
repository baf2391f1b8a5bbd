//! Against a server that answers as Google's Compute API does.

use super::config::{entry, refused, shown};
use super::server::{Server, lines};
use crate::discovery::{DiscoveryConfig, DiscoveryError, TargetGroup};
use crate::environment::Environment;

async fn found(settings: &str, server: &Server) -> Result<Vec<TargetGroup>, DiscoveryError> {
    let DiscoveryConfig::Gce(config) = entry("gce", settings) else {
        unreachable!()
    };
    let environment = Environment::of(&[("GCE_METADATA_HOST", &server.address)]);
    let url = format!("http://{}/compute/v1", server.address);
    let mut discovery = config.discovery_at(&url, environment).unwrap();
    discovery.refresh().await
}

#[test]
fn the_configuration_is_checked_and_shown() {
    refused(
        "gce",
        &[
            ("{zone: z}", "GCE SD configuration requires a project"),
            ("{project: p}", "GCE SD configuration requires a zone"),
            (
                "{project: p, zone: z, basic_auth: {}}",
                "field basic_auth not found in type gce.plain",
            ),
        ],
    );
    shown(
        "gce",
        "{project: p, zone: z, filter: 'f=1', port: 9}",
        "- project: p\n  zone: z\n  filter: f=1\n  refresh_interval: 1m\n  port: 9\n  tag_separator: ','",
    );
}

#[tokio::test]
async fn instances_of_all_pages_are_targets() {
    let server = Server::start().await;
    server.say(
        "/computeMetadata/v1/instance/service-accounts/default/token",
        r#"{"access_token": "ya29", "expires_in": 3599, "token_type": "Bearer"}"#,
    );
    let list = "/compute/v1/projects/p/zones/z/instances";
    server.say(
        &format!("{list}?alt=json&filter=labels.a%3Db"),
        r#"{"kind": "compute#instanceList", "nextPageToken": "next=", "items": [
            {"id": "4520031799277581759", "name": "one", "status": "RUNNING", "zone": "https://www.googleapis.com/compute/v1/projects/p/zones/z",
             "machineType": "https://www.googleapis.com/compute/v1/projects/p/zones/z/machineTypes/f1-micro",
             "tags": {"items": ["http-server", "b"], "fingerprint": "x"},
             "metadata": {"fingerprint": "y", "items": [{"key": "startup-script", "value": "s"}, {"key": "none"}]},
             "labels": {"team-name": "t"},
             "networkInterfaces": [
                {"name": "nic0", "network": "net", "subnetwork": "sub", "networkIP": "10.0.0.2",
                 "accessConfigs": [{"type": "ONE_TO_ONE_NAT", "natIP": "1.2.3.4"}]},
                {"name": "nic1", "networkIP": "10.1.0.2"}]},
            {"id": "2", "name": "without", "networkInterfaces": []}]}"#,
    );
    server.say(
        &format!("{list}?alt=json&filter=labels.a%3Db&pageToken=next%3D"),
        r#"{"items": [{"id": "3", "networkInterfaces": [{"name": "nic0", "networkIP": "10.0.0.3"}]}]}"#,
    );
    let settings = "{project: p, zone: z, filter: 'labels.a=b', tag_separator: ;}";
    let groups = found(settings, &server).await.unwrap();
    assert_eq!(server.last().header("authorization"), "Bearer ya29");
    assert_eq!(groups.len(), 1);
    assert_eq!(groups[0].source, "GCE_p_z");
    assert_eq!(
        lines(&groups[0].targets[0], "__meta_gce_"),
        [
            "__address__=10.0.0.2:80",
            "instance_id=4520031799277581759",
            "instance_name=one",
            "instance_status=RUNNING",
            "interface_ipv4_nic0=10.0.0.2",
            "interface_ipv4_nic1=10.1.0.2",
            "label_team_name=t",
            "machine_type=https://www.googleapis.com/compute/v1/projects/p/zones/z/machineTypes/f1-micro",
            "metadata_startup_script=s",
            "network=net",
            "private_ip=10.0.0.2",
            "project=p",
            "public_ip=1.2.3.4",
            "subnetwork=sub",
            "tags=;http-server;b;",
            "zone=https://www.googleapis.com/compute/v1/projects/p/zones/z",
        ]
    );
    assert_eq!(groups[0].targets.len(), 2);
    server.answer(&format!("{list}?alt=json"), 403, "no");
    let error = found("{project: p, zone: z}", &server).await.unwrap_err();
    let error = error.to_string();
    assert!(
        error.starts_with("error retrieving refresh targets from gce: "),
        "{error}"
    );
}
