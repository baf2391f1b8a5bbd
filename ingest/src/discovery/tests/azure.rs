//! Against a server that answers as Microsoft's login and resource manager do.

use super::config::{entry, refused, shown};
use super::server::{Server, lines};
use crate::discovery::{Discovery, DiscoveryConfig};

fn discovery(settings: &str, server: &Server) -> Box<dyn Discovery> {
    let DiscoveryConfig::Azure(config) = entry("azure", settings) else {
        unreachable!()
    };
    let url = format!("http://{}", server.address);
    config.discovery_at(&url).unwrap()
}

const OAUTH: &str = "subscription_id: S, tenant_id: t, client_id: c, client_secret: s";

#[test]
fn the_configuration_is_checked_and_shown() {
    refused(
        "azure",
        &[
            ("{}", "azure SD configuration requires a subscription_id"),
            (
                "{subscription_id: S}",
                "azure SD configuration requires a tenant_id",
            ),
            (
                "{subscription_id: S, tenant_id: t}",
                "azure SD configuration requires a client_id",
            ),
            (
                "{subscription_id: S, tenant_id: t, client_id: c}",
                "azure SD configuration requires a client_secret",
            ),
            (
                "{subscription_id: S, authentication_method: invalid}",
                "unknown authentication_type \"invalid\". Supported types are \"OAuth\", \"ManagedIdentity\", \"SDK\" or \"WorkloadIdentity\"",
            ),
        ],
    );
    shown(
        "azure",
        &format!("{{{OAUTH}, resource_group: g}}"),
        "- environment: AzurePublicCloud\n  port: 80\n  subscription_id: S\n  tenant_id: t\n  client_id: c\n  client_secret: <secret>\n  refresh_interval: 5m\n  authentication_method: OAuth\n  resource_group: g\n  follow_redirects: true\n  enable_http2: true",
    );
    shown(
        "azure",
        "{subscription_id: S, authentication_method: ManagedIdentity}",
        "- environment: AzurePublicCloud\n  port: 80\n  subscription_id: S\n  refresh_interval: 5m\n  authentication_method: ManagedIdentity\n  follow_redirects: true\n  enable_http2: true",
    );
    let DiscoveryConfig::Azure(config) = entry("azure", &format!("{{{OAUTH}, environment: x}}"))
    else {
        unreachable!()
    };
    let error = config.discovery_at("http://x").unwrap_err().to_string();
    assert_eq!(
        error,
        "could not create Azure client: there is no cloud configuration matching the name \"X\""
    );
}

/// An interface's answer.
fn interface(primary: &str, private: &str, public: &str) -> String {
    let public = match public {
        "" => String::new(),
        ip => {
            format!(r#", "publicIPAddress": {{"id": "p", "properties": {{"ipAddress": "{ip}"}}}}"#)
        }
    };
    format!(
        r#"{{"name": "nic", "properties": {{{primary} "ipConfigurations": [
            {{"name": "ipconfig1", "properties": {{"privateIPAddress": "{private}" {public}}}}}]}}}}"#
    )
}

#[tokio::test]
async fn machines_and_those_of_scale_sets_are_targets() {
    let server = Server::start().await;
    server.say(
        "/t/oauth2/v2.0/token",
        r#"{"access_token": "abc", "expires_in": 3599}"#,
    );
    let group = "/subscriptions/S/resourceGroups/G/providers";
    let machine = |name: &str, nics: &str| {
        format!(
            r#"{{"id": "{group}/Microsoft.Compute/virtualMachines/{name}", "name": "{name}", "type": "Microsoft.Compute/virtualMachines",
            "location": "westeurope", "tags": {{"a-b": "c"}}, "properties": {{
                "hardwareProfile": {{"vmSize": "Standard_B1s"}}, "storageProfile": {{"osDisk": {{"osType": "Linux"}}}},
                "osProfile": {{"computerName": "host"}}, "networkProfile": {{"networkInterfaces": [{nics}]}}}}}}"#
        )
    };
    let nic =
        |name: &str| format!(r#"{{"id": "{group}/Microsoft.Network/networkInterfaces/{name}"}}"#);
    let all = "/subscriptions/S/providers/Microsoft.Compute";
    let first = machine("one", &[nic("second"), nic("first")].join(","));
    let next = format!("http://{}/next", server.address);
    server.say(
        &format!("{all}/virtualMachines?api-version=2023-09-01"),
        &format!(r#"{{"value": [{first}], "nextLink": "{next}"}}"#),
    );
    let off = machine("off", &nic("off"));
    let gone = machine("gone", &nic("gone"));
    server.say("/next", &format!(r#"{{"value": [{off}, {gone}]}}"#));
    server.say(
        &format!("{all}/virtualMachineScaleSets"),
        &format!(r#"{{"value": [{{"id": "{group}/Microsoft.Compute/virtualMachineScaleSets/set", "name": "set"}}]}}"#),
    );
    let set = format!("{group}/Microsoft.Compute/virtualMachineScaleSets/set/virtualMachines");
    let set_machine = machine("set_7", &nic("of_set")).replacen(
        "\"location\"",
        "\"instanceId\": \"7\", \"location\"",
        1,
    );
    server.say(&set, &format!(r#"{{"value": [{set_machine}]}}"#));
    let interfaces = format!("{group}/Microsoft.Network/networkInterfaces");
    let primary = "\"primary\": true,";
    server.say(
        &format!("{interfaces}/second"),
        &interface("\"primary\": false,", "10.0.0.9", ""),
    );
    server.say(
        &format!("{interfaces}/first"),
        &interface(primary, "10.0.0.1", "1.2.3.4"),
    );
    server.say(&format!("{interfaces}/off"), &interface("", "10.0.0.2", ""));
    let of_set = "/subscriptions/S/resourceGroups/G/providers/microsoft.Compute/virtualMachineScaleSets/set/virtualMachines/7/networkInterfaces/of_set";
    server.say(of_set, &interface(primary, "10.0.0.3", ""));
    let mut discovery = discovery(&format!("{{{OAUTH}, port: 9}}"), &server);
    let groups = discovery.refresh().await.unwrap();
    assert_eq!(server.last().header("authorization"), "Bearer abc");
    assert_eq!(groups.len(), 1);
    let [one, of_set] = &groups[0].targets[..] else {
        unreachable!("{groups:?}")
    };
    assert_eq!(
        lines(one, "__meta_azure_"),
        [
            "__address__=10.0.0.1:9",
            "machine_computer_name=host",
            "machine_id=/subscriptions/S/resourceGroups/G/providers/Microsoft.Compute/virtualMachines/one",
            "machine_location=westeurope",
            "machine_name=one",
            "machine_os_type=Linux",
            "machine_private_ip=10.0.0.1",
            "machine_public_ip=1.2.3.4",
            "machine_resource_group=G",
            "machine_size=Standard_B1s",
            "machine_tag_a_b=c",
            "subscription_id=S",
            "tenant_id=t",
        ]
    );
    assert_eq!(of_set["__address__"], "10.0.0.3:9");
    assert_eq!(of_set["__meta_azure_machine_scale_set"], "set");
    // Interfaces that are known are not asked for again, but for the one that was not there.
    let asked = || {
        let requests = server.requests();
        let interfaces = requests
            .iter()
            .filter(|r| r.path.contains("networkInterfaces"));
        interfaces.count()
    };
    assert_eq!(asked(), 5);
    assert_eq!(discovery.refresh().await.unwrap()[0].targets.len(), 2);
    assert_eq!(asked(), 6);
}

#[tokio::test]
async fn answers_that_would_lead_elsewhere_or_are_missing_are_errors() {
    let server = Server::start().await;
    server.say(
        "/t/oauth2/v2.0/token",
        r#"{"access_token": "abc", "expires_in": 3599}"#,
    );
    let list = "/subscriptions/S/resourceGroups/G/providers/Microsoft.Compute/virtualMachines";
    server.say(
        list,
        r#"{"value": [], "nextLink": "https://elsewhere.example/next"}"#,
    );
    let mut discovery = discovery(&format!("{{{OAUTH}, resource_group: G}}"), &server);
    let error = discovery.refresh().await.unwrap_err().to_string();
    assert_eq!(
        error,
        "could not get virtual machines: could not list virtual machines: a page is on another server: https://elsewhere.example/next"
    );
    server.say(list, r#"{"value": []}"#);
    let error = discovery.refresh().await.unwrap_err().to_string();
    let expected =
        "could not get virtual machine scale sets: could not list virtual machine scale sets: ";
    assert!(error.starts_with(expected), "{error}");
}
