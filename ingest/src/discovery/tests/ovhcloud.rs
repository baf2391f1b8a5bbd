//! Against a server that answers as OVHcloud's API does.

use super::config::{entry, refused, shown};
use super::server::{Server, discovery, found, lines};
use crate::discovery::Failures;

const KEYS: &str = "application_key: a, application_secret: b, consumer_key: c";

#[test]
fn the_configuration_is_checked_and_shown() {
    refused(
        "ovhcloud",
        &[
            ("{endpoint: ''}", "endpoint can not be empty"),
            ("{}", "application key can not be empty"),
            (
                "{application_key: a}",
                "application secret can not be empty",
            ),
            (
                "{application_key: a, application_secret: b}",
                "consumer key can not be empty",
            ),
            (&format!("{{{KEYS}, service: x}}"), "unknown service: x"),
            (&format!("{{{KEYS}}}"), "unknown service: "),
        ],
    );
    shown(
        "ovhcloud",
        &format!("{{{KEYS}, service: vps}}"),
        "- endpoint: ovh-eu\n  application_key: a\n  application_secret: <secret>\n  consumer_key: <secret>\n  refresh_interval: 1m\n  service: vps",
    );
    let unknown = entry(
        "ovhcloud",
        &format!("{{{KEYS}, service: vps, endpoint: nowhere}}"),
    );
    let error = unknown.discovery(Failures::default()).unwrap_err();
    assert_eq!(
        error.to_string(),
        "unknown endpoint 'nowhere', consider checking 'Endpoints' list or using an URL"
    );
}

#[tokio::test]
async fn virtual_and_dedicated_servers_are_targets() {
    let server = Server::start().await;
    server.say("/1.0/auth/time", "1366560945");
    server.say("/1.0/vps", r#"["abc", "bad"]"#);
    server.say(
        "/1.0/vps/abc",
        r#"{"keymap": null, "zone": "zone", "model": {"maximumAdditionnalIp": 16, "offer": "VPS abc", "datacenter": ["dc1", "dc2"], "vcore": 1,
            "version": "2019v1", "name": "vps-value-1-2-40", "disk": 40, "memory": 2048}, "displayName": "abc", "monitoringIpBlocks": [],
            "cluster": "cluster_test", "state": "running", "name": "abc", "netbootMode": "local", "memoryLimit": 2048, "offerType": "ssd", "vcore": 1}"#,
    );
    server.say(
        "/1.0/vps/abc/ips",
        r#"["192.0.2.1", "2001:db1:1:1:1:1:1:1"]"#,
    );
    server.answer(
        "/1.0/vps/bad",
        404,
        r#"{"message": "This service does not exist"}"#,
    );
    let settings = |service: &str| {
        format!(
            "{{{KEYS}, endpoint: 'http://{}/1.0', service: {service}}}",
            server.address
        )
    };
    let mut vps = discovery(&entry("ovhcloud", &settings("vps")));
    let groups = vps.refresh().await.unwrap();
    assert_eq!(groups[0].source, "ovhcloud_vps");
    assert_eq!(groups[0].targets.len(), 1);
    assert_eq!(
        lines(&groups[0].targets[0], "__meta_ovhcloud_vps_"),
        [
            "__address__=192.0.2.1",
            "cluster=cluster_test",
            "datacenter=[dc1 dc2]",
            "disk=40",
            "display_name=abc",
            "ipv4=192.0.2.1",
            "ipv6=2001:db1:1:1:1:1:1:1",
            "maximum_additional_ip=16",
            "memory=2048",
            "memory_limit=2048",
            "model_name=vps-value-1-2-40",
            "model_vcore=1",
            "name=abc",
            "netboot_mode=local",
            "offer=VPS abc",
            "offer_type=ssd",
            "state=running",
            "vcore=1",
            "version=2019v1",
            "zone=zone",
            "instance=abc",
        ]
    );
    let request = server.last();
    assert_eq!(request.header("x-ovh-application"), "a");
    assert_eq!(request.header("x-ovh-consumer"), "c");
    // The time is the server's.
    let time: i64 = request.header("x-ovh-timestamp").parse().unwrap();
    assert!((1366560945..1366561005).contains(&time), "{time}");
    server.say("/1.0/dedicated/server", r#"["abcde"]"#);
    server.say(
        "/1.0/dedicated/server/abcde",
        r#"{"ip": "1.2.3.4", "newUpgradeSystem": true, "commercialRange": "Advance-1 Gen 2", "rack": "TESTRACK", "rescueMail": null,
            "supportLevel": "pro", "bootId": 1, "linkSpeed": 123, "professionalUse": false, "monitoring": true, "noIntervention": false,
            "name": "abcde", "rootDevice": null, "state": "test", "datacenter": "gra3", "os": "debian11_64", "reverse": "abcde-rev", "serverId": 1234}"#,
    );
    server.say(
        "/1.0/dedicated/server/abcde/ips",
        r#"["1.2.3.4/32", "2001:0db8::1"]"#,
    );
    let groups = found(&entry("ovhcloud", &settings("dedicated_server")))
        .await
        .unwrap();
    assert_eq!(
        lines(&groups[0].targets[0], "__meta_ovhcloud_dedicated_server_"),
        [
            "__address__=1.2.3.4",
            "commercial_range=Advance-1 Gen 2",
            "datacenter=gra3",
            "ipv4=1.2.3.4",
            "ipv6=2001:db8::1",
            "link_speed=123",
            "name=abcde",
            "no_intervention=false",
            "os=debian11_64",
            "rack=TESTRACK",
            "reverse=abcde-rev",
            "server_id=1234",
            "state=test",
            "support_level=pro",
            "instance=abcde",
        ]
    );
}
