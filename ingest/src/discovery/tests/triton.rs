//! Against a server that answers as Triton's container monitor does.

use super::config::{entry, refused, shown};
use super::server::{Server, lines};
use crate::discovery::{Discovery, DiscoveryConfig};

fn discovery(settings: &str, server: &Server) -> Box<dyn Discovery> {
    let DiscoveryConfig::Triton(config) = entry("triton", settings) else {
        unreachable!()
    };
    let url = format!("http://{}", server.address);
    config.discovery_at(&url).unwrap()
}

const REQUIRED: &str = "account: a, dns_suffix: d.example, endpoint: e.example";

#[test]
fn the_configuration_is_checked_and_shown() {
    let requires = |what: &str| format!("triton SD configuration requires {what}");
    refused(
        "triton",
        &[
            ("{role: x}", &requires("role to be 'container' or 'cn'")),
            ("{}", &requires("an account")),
            ("{account: a}", &requires("a dns_suffix")),
            ("{account: a, dns_suffix: d}", &requires("an endpoint")),
            (
                &format!("{{{REQUIRED}, refresh_interval: 0s}}"),
                &requires("RefreshInterval to be a positive integer"),
            ),
        ],
    );
    shown(
        "triton",
        &format!("{{{REQUIRED}, groups: [g], tls_config: {{server_name: s}}}}"),
        "- account: a\n  role: container\n  dns_suffix: d.example\n  endpoint: e.example\n  groups:\n  - g\n  port: 9163\n  refresh_interval: 1m\n  tls_config:\n    server_name: s\n    insecure_skip_verify: false\n  version: 1",
    );
}

#[tokio::test]
async fn containers_and_nodes_are_targets() {
    let server = Server::start().await;
    server.say(
        "/v1/discover?groups=g%2Ch",
        r#"{"containers": [
            {"groups": ["foo", "bar"], "server_uuid": "44454c4c-5000-104d-8037-b7c04f5a5131", "vm_alias": "server01", "vm_brand": "lx",
             "vm_image_uuid": "7b27a514-89d7-11e6-bee6-3f96f367bee7", "vm_uuid": "ad466fbf-46a2-4027-9b64-8d3cdb7e9072"},
            {"vm_uuid": "u", "vm_alias": "v"}]}"#,
    );
    let settings = format!("{{{REQUIRED}, groups: [g, h]}}");
    let groups = discovery(&settings, &server).refresh().await.unwrap();
    assert_eq!(
        lines(&groups[0].targets[0], "__meta_triton_"),
        [
            "__address__=ad466fbf-46a2-4027-9b64-8d3cdb7e9072.d.example:9163",
            "groups=,foo,bar,",
            "machine_alias=server01",
            "machine_brand=lx",
            "machine_id=ad466fbf-46a2-4027-9b64-8d3cdb7e9072",
            "machine_image=7b27a514-89d7-11e6-bee6-3f96f367bee7",
            "server_id=44454c4c-5000-104d-8037-b7c04f5a5131",
        ]
    );
    assert!(!groups[0].targets[1].contains_key("__meta_triton_groups"));
    server.say(
        "/v2/gz/discover",
        r#"{"cns": [{"server_uuid": "u", "server_hostname": "h"}]}"#,
    );
    let settings = format!("{{{REQUIRED}, role: cn, version: 2, port: 1}}");
    let mut nodes = discovery(&settings, &server);
    let groups = nodes.refresh().await.unwrap();
    assert_eq!(
        lines(&groups[0].targets[0], "__meta_triton_"),
        [
            "__address__=u.d.example:1",
            "machine_alias=h",
            "machine_id=u"
        ]
    );
    server.say("/v2/gz/discover", "<html>");
    let error = nodes.refresh().await.unwrap_err().to_string();
    let expected = "an error occurred unmarshaling the compute node discovery response json: ";
    assert!(error.starts_with(expected), "{error}");
}
