//! Against a server that answers as Keystone, Nova, Neutron and Octavia do.

use super::config::{entry, refused, shown};
use super::server::{Server, discovery, found, lines};

const LOGIN: &str =
    "region: RegionOne, username: u, password: p, project_name: pn, domain_name: dn";

#[test]
fn the_configuration_is_checked_and_shown() {
    refused(
        "openstack",
        &[
            ("{role: x}", "unknown OpenStack SD role \"x\""),
            (
                "{role: instance, region: r, availability: x}",
                "unknown availability x, must be one of admin, internal or public",
            ),
            (
                "{region: r}",
                "role missing (one of: instance, hypervisor, loadbalancer)",
            ),
            (
                "{role: instance}",
                "openstack SD configuration requires a region",
            ),
        ],
    );
    shown(
        "openstack",
        "{role: hypervisor, region: r, password: p, all_tenants: true}",
        "- identity_endpoint: \"\"\n  username: \"\"\n  userid: \"\"\n  password: <secret>\n  project_name: \"\"\n  project_id: \"\"\n  domain_name: \"\"\n  domain_id: \"\"\n  application_credential_name: \"\"\n  application_credential_id: \"\"\n  application_credential_secret: \"\"\n  role: hypervisor\n  region: r\n  refresh_interval: 1m\n  port: 80\n  all_tenants: true\n  availability: public",
    );
}

/// A server that knows who logs in.
async fn server() -> Server {
    let server = Server::start().await;
    let url = format!("http://{}", server.address);
    let endpoints = |path: &str| {
        format!(
            r#"[{{"interface": "public", "region": "Other", "region_id": "Other", "url": "http://other.invalid"}},
            {{"interface": "admin", "region": "RegionOne", "region_id": "RegionOne", "url": "http://admin.invalid"}},
            {{"interface": "public", "region": "RegionOne", "region_id": "RegionOne", "url": "{url}/{path}"}}]"#
        )
    };
    let catalog: Vec<_> = [
        ("compute", "nova/v2.1"),
        ("network", "neutron"),
        ("load-balancer", "octavia/v2.0/"),
    ]
    .iter()
    .map(|(kind, path)| {
        format!(
            r#"{{"type": "{kind}", "name": "n", "endpoints": {}}}"#,
            endpoints(path)
        )
    })
    .collect();
    let token = format!(
        r#"{{"token": {{"expires_at": "2030-01-01T00:00:00Z", "catalog": [{}]}}}}"#,
        catalog.join(",")
    );
    server.answer("/identity/v3/auth/tokens", 201, &token);
    server.add_header("/identity/v3/auth/tokens", "x-subject-token", "gAAAA");
    server
}

fn settings(server: &Server, endpoint: &str, rest: &str) -> String {
    format!(
        "{{{LOGIN}, identity_endpoint: 'http://{}/{endpoint}', {rest}}}",
        server.address
    )
}

#[tokio::test]
async fn hypervisors_are_targets() {
    let server = server().await;
    server.answer(
        "/identity/",
        300,
        &format!(
            r#"{{"versions": {{"values": [{{"id": "v2.0", "status": "deprecated", "links": []}},
            {{"id": "v3.14", "status": "stable", "links": [{{"rel": "self", "href": "http://{}/identity/v3/"}}]}}]}}}}"#,
            server.address
        ),
    );
    server.say(
        "/nova/v2.1/os-hypervisors/detail",
        r#"{"hypervisors": [{"id": 1, "hypervisor_hostname": "nc14.cloud.com", "host_ip": "172.16.70.14", "status": "enabled", "state": "up",
            "hypervisor_type": "QEMU", "hypervisor_version": 2002000}, {"id": "c48f6247", "host_ip": "172.16.70.13"}]}"#,
    );
    let config = entry(
        "openstack",
        &settings(&server, "identity", "role: hypervisor"),
    );
    let groups = found(&config).await.unwrap();
    assert_eq!(groups[0].source, "OS_RegionOne");
    assert_eq!(
        lines(&groups[0].targets[0], "__meta_openstack_"),
        [
            "__address__=172.16.70.14:80",
            "hypervisor_host_ip=172.16.70.14",
            "hypervisor_hostname=nc14.cloud.com",
            "hypervisor_id=1",
            "hypervisor_state=up",
            "hypervisor_status=enabled",
            "hypervisor_type=QEMU",
        ]
    );
    assert_eq!(
        groups[0].targets[1]["__meta_openstack_hypervisor_id"],
        "c48f6247"
    );
    assert_eq!(server.last().header("x-auth-token"), "gAAAA");
    let login: serde_json::Value = serde_json::from_str(&server.requests()[1].body).unwrap();
    assert_eq!(
        login,
        serde_json::json!({"auth": {
            "identity": {"methods": ["password"], "password": {"user": {"name": "u", "password": "p", "domain": {"name": "dn"}}}},
            "scope": {"project": {"name": "pn", "domain": {"name": "dn"}}},
        }})
    );
}

#[tokio::test]
async fn addresses_of_instances_are_targets() {
    let server = server().await;
    server.say(
        "/neutron/v2.0/ports",
        r#"{"ports": [{"id": "port", "device_id": "ef079b0c"}]}"#,
    );
    server.say(
        "/neutron/v2.0/floatingips",
        r#"{"floatingips": [{"port_id": "port", "fixed_ip_address": "10.0.0.32", "floating_ip_address": "10.10.10.2"},
            {"port_id": null, "fixed_ip_address": null, "floating_ip_address": "10.10.10.3"},
            {"port_id": "unknown", "fixed_ip_address": "1.1.1.1", "floating_ip_address": "10.10.10.4"}]}"#,
    );
    let list = "/nova/v2.1/servers/detail?all_tenants=true";
    server.say(
        list,
        &format!(
            r#"{{"servers": [{{"id": "ef079b0c", "status": "ACTIVE", "name": "herp", "tenant_id": "fcad67a6", "user_id": "9349aff8",
            "flavor": {{"vcpus": 1, "original_name": "m1.small"}}, "image": {{"id": "f90f6034"}}, "metadata": {{"env-x": "prod"}},
            "addresses": {{"private": [{{"addr": "10.0.0.32", "version": 4, "OS-EXT-IPS:type": "fixed"}}, {{"addr": "10.10.10.2", "version": 4}}],
                "six": [{{"addr": "2001:db8::5"}}]}}}}],
            "servers_links": [{{"rel": "next", "href": "http://{}{list}&marker=ef079b0c"}}]}}"#,
            server.address
        ),
    );
    server.say(
        &format!("{list}&marker=ef079b0c"),
        r#"{"servers": [{"id": "2", "flavor": {"id": "1"}, "image": "", "addresses": {"private": [{"addr": "10.0.0.33"}]}},
            {"id": "3", "flavor": {}, "addresses": {"private": [{"addr": "10.0.0.34"}]}}, {"id": "4", "flavor": {"id": "1"}, "addresses": {}}]}"#,
    );
    let rest = "role: instance, all_tenants: true, port: 9";
    let config = entry("openstack", &settings(&server, "identity/v3", rest));
    let groups = found(&config).await.unwrap();
    let targets: Vec<_> = groups[0]
        .targets
        .iter()
        .map(|t| lines(t, "__meta_openstack_"))
        .collect();
    assert_eq!(targets.len(), 3);
    assert_eq!(
        targets[0],
        [
            "__address__=10.0.0.32:9",
            "address_pool=private",
            "instance_flavor=m1.small",
            "instance_id=ef079b0c",
            "instance_image=f90f6034",
            "instance_name=herp",
            "instance_status=ACTIVE",
            "private_ip=10.0.0.32",
            "project_id=fcad67a6",
            "public_ip=10.10.10.2",
            "tag_env_x=prod",
            "user_id=9349aff8",
        ]
    );
    assert_eq!(targets[1][0], "__address__=[2001:db8::5]:9");
    assert_eq!(targets[2][2], "instance_flavor=1");
}

#[tokio::test]
async fn load_balancers_with_metrics_are_targets() {
    let server = server().await;
    server.say(
        "/octavia/v2.0/lbaas/loadbalancers",
        r#"{"loadbalancers": [{"id": "ef079b0c", "name": "lb1", "operating_status": "ONLINE", "provisioning_status": "ACTIVE", "availability_zone": "az1",
            "vip_address": "10.0.0.32", "vip_port_id": "b4ca07d1", "provider": "amphora", "project_id": "fcad67a6", "tags": ["tag1", "tag2"]},
            {"id": "without", "vip_address": "10.0.0.33"}]}"#,
    );
    server.say(
        "/octavia/v2.0/lbaas/listeners",
        r#"{"listeners": [{"id": "1", "protocol": "HTTP", "protocol_port": 8080, "loadbalancers": [{"id": "ef079b0c"}, {"id": "without"}]},
            {"id": "2", "protocol": "PROMETHEUS", "protocol_port": 9273, "loadbalancers": [{"id": "ef079b0c"}]}]}"#,
    );
    server.say(
        "/neutron/v2.0/floatingips",
        r#"{"floatingips": [{"port_id": "b4ca07d1", "floating_ip_address": "192.168.1.2"}]}"#,
    );
    let config = entry(
        "openstack",
        &settings(&server, "identity/v3/", "role: loadbalancer"),
    );
    let groups = found(&config).await.unwrap();
    assert_eq!(groups[0].targets.len(), 1);
    assert_eq!(
        lines(&groups[0].targets[0], "__meta_openstack_"),
        [
            "__address__=10.0.0.32:9273",
            "loadbalancer_availability_zone=az1",
            "loadbalancer_floating_ip=192.168.1.2",
            "loadbalancer_id=ef079b0c",
            "loadbalancer_name=lb1",
            "loadbalancer_operating_status=ONLINE",
            "loadbalancer_provider=amphora",
            "loadbalancer_provisioning_status=ACTIVE",
            "loadbalancer_tags=tag1,tag2",
            "loadbalancer_vip=10.0.0.32",
            "project_id=fcad67a6",
        ]
    );
}

#[tokio::test]
async fn logins_and_services_that_fail_are_errors() {
    let server = server().await;
    let config = |rest: &str| entry("openstack", &settings(&server, "identity/v3", rest));
    let error = found(&config("role: hypervisor, availability: internal"))
        .await
        .unwrap_err();
    assert_eq!(
        error,
        "could not create OpenStack compute session: No suitable endpoint could be found in the service catalog."
    );
    let rest = "role: hypervisor, application_credential_id: i, application_credential_secret: s";
    let mut by_credential = discovery(&config(rest));
    server.answer("/identity/v3/auth/tokens", 401, "no");
    let error = by_credential.refresh().await.unwrap_err().to_string();
    assert!(
        error.starts_with("could not authenticate to OpenStack: Expected HTTP response code [201] when accessing [POST http://"),
        "{error}"
    );
    assert_eq!(
        server.last().body,
        r#"{"auth":{"identity":{"application_credential":{"id":"i","secret":"s"},"methods":["application_credential"]}}}"#
    );
}
