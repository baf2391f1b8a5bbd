//! Against a server that answers as Oracle's services do.

use std::process::Command;

use super::config::{entry, refused, shown};
use super::server::{Server, lines};
use crate::discovery::{DiscoveryConfig, DiscoveryError, Failures, TargetGroup};

const KEY: &str = "region: r, tenancy: t, user: u, fingerprint: f, key_file: k.pem";

async fn found(settings: &str, server: &Server) -> Result<Vec<TargetGroup>, DiscoveryError> {
    let DiscoveryConfig::Oci(config) = entry("oci", settings) else {
        unreachable!()
    };
    let url = format!("http://{}", server.address);
    let failures = Failures::default();
    let mut discovery = config.discovery_at(&url, &url, failures)?;
    discovery.refresh().await
}

#[tokio::test]
async fn the_configuration_is_checked_and_shown() {
    let missing = |name: &str| format!("oci_sd: api_key auth requires {name}");
    refused(
        "oci",
        &[
            ("{}", "oci_sd: region is required"),
            ("{region: r}", &missing("tenancy")),
            ("{region: r, tenancy: t}", &missing("user")),
            ("{region: r, tenancy: t, user: u}", &missing("fingerprint")),
            (
                "{region: r, tenancy: t, user: u, fingerprint: f}",
                &missing("key_file"),
            ),
            (
                &format!("{{{KEY}, key_passphrase: a, key_passphrase_file: b}}"),
                "oci_sd: at most one of key_passphrase and key_passphrase_file must be configured",
            ),
            (
                "{region: r, auth: instance_principal, user: u}",
                "oci_sd: instance_principal auth must not have tenancy, user, fingerprint, key_file, key_passphrase, or key_passphrase_file set",
            ),
            (
                "{region: r, auth: x}",
                "oci_sd: unknown auth method \"x\", expected \"api_key\" or \"instance_principal\"",
            ),
            (
                &format!("{{{KEY}, compartments: [a, '']}}"),
                "oci_sd: compartments[1] must not be empty",
            ),
            (
                &format!("{{{KEY}, refresh_interval: 0s}}"),
                "oci_sd: refresh_interval must be positive, got 0s",
            ),
        ],
    );
    let rest = "  follow_redirects: true\n  enable_http2: true\n  port: 80\n  refresh_interval: 1m";
    shown(
        "oci",
        &format!("{{{KEY}, key_passphrase: p, compartments: [c]}}"),
        &format!(
            "- auth: api_key\n  tenancy: t\n  user: u\n  fingerprint: f\n  key_file: /etc/varve/k.pem\n  key_passphrase: <secret>\n  region: r\n  compartments:\n  - c\n{rest}"
        ),
    );
    shown(
        "oci",
        "{region: r, auth: instance_principal}",
        &format!("- auth: instance_principal\n  region: r\n{rest}"),
    );
    let server = Server::start().await;
    let principal = found("{region: r, auth: instance_principal}", &server).await;
    let error = principal.unwrap_err().to_string();
    assert!(
        error.starts_with("oci_sd: not supported yet: auth instance_principal"),
        "{error}"
    );
}

#[tokio::test]
async fn instances_of_all_compartments_are_targets() {
    let folder = tempfile::tempdir().unwrap();
    let key = folder.path().join("key.pem");
    if Command::new("openssl")
        .args(["genrsa", "-out"])
        .arg(&key)
        .arg("2048")
        .output()
        .is_err()
    {
        eprintln!("SKIPPED: openssl is not installed");
        return;
    }
    let server = Server::start().await;
    let compartments = "/20160918/compartments?compartmentId=t&accessLevel=ACCESSIBLE&compartmentIdInSubtree=false&limit=100";
    server.say(
        compartments,
        r#"[{"id": "c", "lifecycleState": "ACTIVE"}, {"id": "d", "lifecycleState": "DELETED"}]"#,
    );
    let instances =
        |compartment: &str| format!("/20160918/instances?compartmentId={compartment}&limit=100");
    server.say(&instances("t"), "[]");
    let instance = |id: &str| {
        format!(
            r#"{{"id": "{id}", "compartmentId": "c", "displayName": "n", "lifecycleState": "RUNNING", "shape": "VM.Standard.E4.Flex",
            "availabilityDomain": "Uocm:PHX-AD-1", "faultDomain": "FAULT-DOMAIN-1", "region": "phx", "imageId": "img", "freeformTags": {{"a b": "c"}},
            "definedTags": {{"Oracle-Tags": {{"CreatedBy": "me", "Count": 3, "On": true, "List": []}}}}}}"#
        )
    };
    server.say(&instances("c"), &format!("[{}]", instance("i1")));
    server.add_header(&instances("c"), "opc-next-page", "two");
    server.say(
        &format!("{}&page=two", instances("c")),
        &format!("[{}, {}]", instance("i2"), instance("i3")),
    );
    let attachments =
        |id: &str| format!("/20160918/vnicAttachments?compartmentId=c&instanceId={id}&limit=100");
    server.say(
        &attachments("i1"),
        r#"[{"vnicId": "old", "lifecycleState": "DETACHED"}, {"vnicId": "v2", "lifecycleState": "ATTACHED"}, {"vnicId": "v1", "lifecycleState": "ATTACHED"}]"#,
    );
    server.say(
        "/20160918/vnics/v2",
        r#"{"id": "v2", "isPrimary": false, "privateIp": "10.0.0.9"}"#,
    );
    server.say(
        "/20160918/vnics/v1",
        r#"{"id": "v1", "isPrimary": true, "privateIp": "10.0.0.1", "publicIp": null, "ipv6Addresses": ["fd00::2", "fd00::1"], "hostnameLabel": "h"}"#,
    );
    // One without addresses, and one whose addresses cannot be had.
    server.say(&attachments("i2"), "[]");
    let settings = format!("{{{KEY}, port: 9}}").replace("k.pem", &key.display().to_string());
    let groups = found(&settings, &server).await.unwrap();
    assert_eq!(groups[0].source, "OCI");
    assert_eq!(groups[0].targets.len(), 1);
    assert_eq!(
        lines(&groups[0].targets[0], "__meta_oci_"),
        [
            "__address__=10.0.0.1:9",
            "availability_domain=Uocm:PHX-AD-1",
            "compartment_id=c",
            "defined_tag_Oracle_Tags_Count=3",
            "defined_tag_Oracle_Tags_CreatedBy=me",
            "defined_tag_Oracle_Tags_On=true",
            "fault_domain=FAULT-DOMAIN-1",
            "hostname_label=h",
            "image_id=img",
            "instance_id=i1",
            "instance_name=n",
            "instance_shape=VM.Standard.E4.Flex",
            "instance_state=RUNNING",
            "ipv6_addresses=,fd00::1,fd00::2,",
            "private_ip=10.0.0.1",
            "public_ip=",
            "region=phx",
            "tag_a_b=c",
            "tenancy_id=t",
            "vnic_id=v1",
        ]
    );
    let request = &server.requests()[0];
    let authorization = request.header("authorization").to_owned();
    let (start, signature) = authorization.split_once(",signature=\"").unwrap();
    assert_eq!(
        start,
        "Signature version=\"1\",headers=\"date (request-target) host\",keyId=\"t/u/f\",algorithm=\"rsa-sha256\""
    );
    // The signature is one of what arrived.
    let text = format!(
        "date: {}\n(request-target): get {}\nhost: {}",
        request.header("date"),
        request.path,
        request.header("host")
    );
    use base64::Engine as _;
    let signature = base64::engine::general_purpose::STANDARD
        .decode(signature.trim_end_matches('"'))
        .unwrap();
    std::fs::write(folder.path().join("text"), text).unwrap();
    std::fs::write(folder.path().join("signature"), signature).unwrap();
    let verified = Command::new("openssl")
        .current_dir(folder.path())
        .args([
            "dgst",
            "-sha256",
            "-prverify",
            "key.pem",
            "-signature",
            "signature",
            "text",
        ])
        .output();
    assert!(verified.unwrap().status.success());
}
