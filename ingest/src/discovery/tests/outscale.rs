//! Against a server that answers as Outscale's API does.

use super::config::{entry, refused, shown};
use super::server::{Server, found, lines};

#[test]
fn the_configuration_is_checked_and_shown() {
    refused(
        "outscale",
        &[
            (
                "{region: '', access_key: a, secret_key: s}",
                "outscale SD configuration requires a region",
            ),
            ("{}", "outscale SD configuration requires access_key"),
            (
                "{access_key: a}",
                "one of secret_key & secret_key_file must be configured",
            ),
            (
                "{access_key: a, secret_key: s, secret_key_file: f}",
                "at most one of secret_key & secret_key_file must be configured",
            ),
        ],
    );
    shown(
        "outscale",
        "{access_key: a, secret_key_file: f}",
        "- endpoint: https://api.eu-west-2.outscale.com/api/v1\n  region: eu-west-2\n  access_key: a\n  secret_key: \"\"\n  secret_key_file: /etc/varve/f\n  refresh_interval: 1m\n  port: 80\n  follow_redirects: true\n  enable_http2: true",
    );
}

#[tokio::test]
async fn machines_are_targets() {
    let server = Server::start().await;
    server.say(
        "/api/v1/ReadVms",
        r#"{"ResponseContext": {"RequestId": "0475ca1e"}, "Vms": [
            {"VmId": "i-1", "State": "running", "PrivateIp": "10.0.0.4", "PublicIp": "1.2.3.4", "Placement": {"SubregionName": "eu-west-2a", "Tenancy": "default"},
             "Tags": [{"Key": "na me", "Value": "x"}, {"Key": "empty", "Value": ""}]},
            {"VmId": "i-2", "State": "stopped"},
            {"VmId": "i-3", "State": "running", "PublicIp": "1.2.3.5"}]}"#,
    );
    let settings = format!(
        "{{endpoint: 'http://{}/api/v1', access_key: AK, secret_key: s, port: 9}}",
        server.address
    );
    let groups = found(&entry("outscale", &settings)).await.unwrap();
    assert_eq!(groups[0].source, "eu-west-2");
    assert_eq!(
        lines(&groups[0].targets[0], "__meta_outscale_vm_"),
        [
            "__address__=10.0.0.4:9",
            "instance_id=i-1",
            "private_ip=10.0.0.4",
            "public_ip=1.2.3.4",
            "region=eu-west-2",
            "state=running",
            "subregion=eu-west-2a",
            "tag_na_me=x",
        ]
    );
    assert_eq!(groups[0].targets[1]["__address__"], "1.2.3.5:9");
    assert_eq!(groups[0].targets.len(), 2);
    let request = server.last();
    assert_eq!(request.body, "{}");
    let authorization = request.header("authorization");
    assert!(
        authorization.starts_with("AWS4-HMAC-SHA256 Credential=AK/"),
        "{authorization}"
    );
    assert!(
        authorization.contains("/eu-west-2/oapi/aws4_request"),
        "{authorization}"
    );
    server.answer(
        "/api/v1/ReadVms",
        401,
        r#"{"Errors": [{"Type": "AccessDenied"}]}"#,
    );
    let error = found(&entry("outscale", &settings)).await.unwrap_err();
    assert!(error.starts_with("outscale ReadVms: "), "{error}");
}
