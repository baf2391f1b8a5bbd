//! Against a server that answers as STACKIT's API does.

use super::config::{entry, refused, shown};
use super::server::{Server, found, lines};
use crate::discovery::DiscoveryConfig;

#[test]
fn the_configuration_is_checked_and_shown() {
    refused(
        "stackit",
        &[
            ("{region: ''}", "stackit_sd: endpoint and region missing"),
            (
                "{endpoint: '://invalid'}",
                "stackit_sd: invalid endpoint \"://invalid\": parse \"://invalid\": relative URL without a base",
            ),
        ],
    );
    shown(
        "stackit",
        "{project: p, service_account_key: s, private_key_path: k}",
        "- follow_redirects: true\n  enable_http2: true\n  project: p\n  refresh_interval: 1m\n  port: 80\n  region: eu01\n  service_account_key: <secret>\n  private_key_path: k",
    );
}

#[tokio::test]
async fn servers_are_targets() {
    let server = Server::start().await;
    let path = "/v1/projects/p/servers?details=true";
    server.say(
        path,
        r#"{"items": [
            {"availabilityZone": "eu01-3", "id": "b4176700", "labels": {"provisionSTACKITServerAgent": "true", "number": 5, "stackit_project_id": "00000000"},
             "machineType": "g1r.1", "name": "runcommandtest", "status": "INACTIVE", "powerStatus": "STOPPED",
             "nics": [{"networkName": "net-1", "ipv4": "10.0.0.153", "publicIp": "192.0.2.1"}, {"networkName": "net 2", "ipv4": "10.1.0.2"}]},
            {"id": "none", "nics": null},
            {"id": "private", "nics": [{"networkName": "n", "ipv4": "10.0.0.5"}]}]}"#,
    );
    let settings = format!(
        "{{project: p, endpoint: 'http://{}', port: 9, authorization: {{credentials: t}}}}",
        server.address
    );
    let groups = found(&entry("stackit", &settings)).await.unwrap();
    assert_eq!(server.last().header("authorization"), "Bearer t");
    assert_eq!(
        lines(&groups[0].targets[0], "__meta_stackit_"),
        [
            "__address__=192.0.2.1:9",
            "availability_zone=eu01-3",
            "id=b4176700",
            "label_provisionSTACKITServerAgent=true",
            "label_stackit_project_id=00000000",
            "labelpresent_provisionSTACKITServerAgent=true",
            "labelpresent_stackit_project_id=true",
            "name=runcommandtest",
            "power_status=STOPPED",
            "private_ipv4_net_1=10.0.0.153",
            "private_ipv4_net_2=10.1.0.2",
            "project=p",
            "public_ipv4=192.0.2.1",
            "status=INACTIVE",
            "type=g1r.1",
        ]
    );
    assert_eq!(groups[0].targets[1]["__address__"], "10.0.0.5:9");
    assert_eq!(groups[0].targets.len(), 2);
    server.answer(path, 403, "no");
    let error = found(&entry("stackit", &settings)).await.unwrap_err();
    assert_eq!(error, "unexpected status code 403: no");
}

#[tokio::test]
async fn a_service_account_has_tokens() {
    let folder = tempfile::tempdir().unwrap();
    let key = folder.path().join("key.pem");
    let made = std::process::Command::new("openssl")
        .args(["genrsa", "-out"])
        .arg(&key)
        .arg("2048")
        .output();
    if made.is_err() {
        eprintln!("SKIPPED: openssl is not installed");
        return;
    }
    let server = Server::start().await;
    server.say("/v1/projects/p/servers", r#"{"items": null}"#);
    server.say(
        "/token",
        r#"{"access_token": "abc", "expires_in": 3600, "token_type": "Bearer"}"#,
    );
    let account = r#"{"id": "i", "publicKey": "x", "credentials": {"kid": "k", "iss": "me@sa.stackit.cloud", "sub": "s", "aud": "https://aud.example"}}"#;
    let settings = format!(
        "{{project: p, endpoint: 'http://{}', service_account_key: '{account}', private_key_path: '{}'}}",
        server.address,
        key.display()
    );
    let DiscoveryConfig::Stackit(config) = entry("stackit", &settings) else {
        unreachable!()
    };
    let url = format!("http://{}/token", server.address);
    let mut discovery = config.discovery_with(&url).unwrap();
    assert_eq!(discovery.refresh().await.unwrap()[0].targets.len(), 0);
    assert_eq!(server.last().header("authorization"), "Bearer abc");
    let body = server.requests()[0].body.clone();
    let (_, assertion) = body.split_once("assertion=").unwrap();
    let part = |index| {
        use base64::Engine as _;
        let part = assertion.split('.').nth(index).unwrap();
        let bytes = base64::engine::general_purpose::URL_SAFE_NO_PAD
            .decode(part)
            .unwrap();
        serde_json::from_slice::<serde_json::Value>(&bytes).unwrap()
    };
    assert_eq!(part(0)["alg"], "RS512");
    assert_eq!(part(0)["kid"], "k");
    assert_eq!(part(1)["aud"], "https://aud.example");
}
