//! Providers of servers.

use super::config::{entry, parse, refused, shown};
use super::server::{Server, lines};
use crate::discovery::{Discovery, DiscoveryConfig, DiscoveryError, TargetGroup};

/// The discovery of an entry, asking a server instead of the provider.
fn discovery(kind: &str, settings: &str, url: &str) -> Box<dyn Discovery> {
    let discovery = match entry(kind, settings) {
        DiscoveryConfig::DigitalOcean(config) => config.discovery_at(url),
        DiscoveryConfig::Hetzner(config) => config.discovery_at(url),
        DiscoveryConfig::Ionos(config) => config.discovery_at(url),
        DiscoveryConfig::Linode(config) => config.discovery_at(url),
        DiscoveryConfig::Vultr(config) => config.discovery_at(url),
        other => unreachable!("{other:?}"),
    };
    discovery.unwrap()
}

async fn found(
    kind: &str,
    settings: &str,
    server: &Server,
) -> Result<Vec<TargetGroup>, DiscoveryError> {
    let url = format!("http://{}", server.address);
    discovery(kind, settings, &url).refresh().await
}

/// The targets of the one group, each on a line.
fn targets(groups: &[TargetGroup], prefix: &str) -> Vec<String> {
    assert_eq!(groups.len(), 1);
    let targets = groups[0].targets.iter();
    targets
        .map(|target| lines(target, prefix).join(" "))
        .collect()
}

const HTTP: &str = "  follow_redirects: true\n  enable_http2: true";

#[test]
fn the_configurations_are_checked_and_shown() {
    refused(
        "digitalocean",
        &[
            ("{role: x}", "unknown DigitalOcean SD role \"x\""),
            (
                "{region: x}",
                "field region not found in type digitalocean.plain",
            ),
        ],
    );
    refused(
        "hetzner",
        &[
            ("{}", "role missing (one of: robot, hcloud)"),
            ("{role: x}", "unknown role \"x\""),
        ],
    );
    refused("ionos", &[("{}", "datacenter id can't be empty")]);
    let project = "project_id: 11111111-1111-1111-1111-111111111112";
    let key = "access_key: SCWXXXXXXXXXXXXXXXXX";
    let secret = "secret_key: 11111111-1111-1111-1111-111111111111";
    refused(
        "scaleway",
        &[
            ("{}", "role missing (one of: instance, baremetal)"),
            ("{role: x}", "unknown role \"x\""),
            ("{role: instance}", "project_id is mandatory"),
            (
                &format!("{{role: instance, {project}, {key}}}"),
                "one of secret_key & secret_key_file must be configured",
            ),
            (
                &format!("{{role: instance, {project}, {key}, {secret}, secret_key_file: f}}"),
                "at most one of secret_key & secret_key_file must be configured",
            ),
            (
                &format!("{{role: instance, {project}, {secret}}}"),
                "access_key is mandatory",
            ),
            (
                &format!("{{role: instance, {project}, {secret}, access_key: x}}"),
                "scaleway-sdk-go: invalid access key format 'x', expected SCWXXXXXXXXXXXXXXXXX format",
            ),
            (
                &format!("{{role: instance, {project}, {key}, secret_key: hush}}"),
                "scaleway-sdk-go: invalid secret key format '<secret>', expected a UUID: xxxxxxxx-xxxx-xxxx-xxxx-xxxxxxxxxxxx",
            ),
            (
                &format!("{{role: instance, {project}, {key}, {secret}, zone: x}}"),
                "scaleway-sdk-go: invalid default zone format 'x'",
            ),
        ],
    );
    let rest = "  refresh_interval: 1m\n  port: 80";
    let common = format!("{HTTP}\n{rest}");
    let first = common.replacen("  ", "- ", 1);
    shown("digitalocean", "{}", &format!("{first}\n  role: droplets"));
    shown("vultr", "{}", &first);
    shown("linode", "{}", &format!("{first}\n  tag_separator: ','"));
    shown(
        "linode",
        "{region: eu, tag_separator: ;}",
        &format!("{first}\n  tag_separator: ;\n  region: eu"),
    );
    shown(
        "hetzner",
        "{role: hcloud, label_selector: 'a=b', basic_auth: {username: u, password: p}}",
        &format!(
            "- basic_auth:\n    username: u\n    password: <secret>\n{common}\n  role: hcloud\n  label_selector: a=b"
        ),
    );
    shown(
        "ionos",
        "{datacenter_id: d}",
        &format!("- datacenter_id: d\n{common}"),
    );
    let scaleway = format!("role: baremetal, {project}, {key}, tags_filter: [a], name_filter: x");
    let shown_key = |key: &str, file: &str| {
        format!(
            "- project_id: 11111111-1111-1111-1111-111111111112\n  api_url: https://api.scaleway.com\n  zone: fr-par-1\n  access_key: SCWXXXXXXXXXXXXXXXXX\n  secret_key: {key}\n  secret_key_file: {file}\n  name_filter: x\n  tags_filter:\n  - a\n{common}\n  role: baremetal"
        )
    };
    shown(
        "scaleway",
        &format!("{{{scaleway}, secret_key_file: f}}"),
        &shown_key("\"\"", "/etc/varve/f"),
    );
    // A key that is hidden does not look like one any more, so this cannot be read back.
    let yaml = parse("scaleway", &format!("{{{scaleway}, {secret}}}"))
        .unwrap()
        .to_yaml();
    let expected = shown_key("<secret>", "\"\"").replace('\n', "\n  ");
    assert!(yaml.contains(&format!("{expected}\n")), "{yaml}");
}

#[tokio::test]
async fn droplets_and_databases_are_targets() {
    let server = Server::start().await;
    let droplet = |id: u32| {
        format!(
            r#"{{"id": {id}, "name": "d", "image": {{"slug": "debian-12", "name": "12 x64"}}, "region": {{"slug": "nyc1"}}, "size_slug": "s-1",
        "status": "active", "vpc_uuid": "v", "features": ["backups", "ipv6"], "tags": ["a"],
        "networks": {{"v4": [{{"ip_address": "10.0.0.{id}", "type": "private"}}, {{"ip_address": "1.2.3.{id}", "type": "public"}}],
            "v6": [{{"ip_address": "fd::{id}", "type": "public"}}]}}}}"#
        )
    };
    let links = r#"{"pages": {"last": "https://x/?page=2", "next": "https://x/?page=2"}}"#;
    let page = "/v2/droplets?page=1&per_page=100";
    let nowhere = r#"{"id": 9, "image": {"slug": null}, "networks": {"v4": []}}"#;
    server.say(
        page,
        &format!(
            r#"{{"droplets": [{}, {nowhere}], "links": {links}}}"#,
            droplet(1)
        ),
    );
    server.say(
        "/v2/droplets?page=2&per_page=100",
        &format!(r#"{{"droplets": [{}], "links": {{}}}}"#, droplet(2)),
    );
    let groups = found("digitalocean", "{port: 9100, bearer_token: t}", &server).await;
    let groups = groups.unwrap();
    assert_eq!(groups[0].source, "DigitalOcean");
    let target = |id: u32| {
        format!(
            "__address__=1.2.3.{id}:9100 droplet_id={id} droplet_name=d features=,backups,ipv6, image=debian-12 image_name=12 x64 private_ipv4=10.0.0.{id} public_ipv4=1.2.3.{id} public_ipv6=fd::{id} region=nyc1 size=s-1 status=active tags=,a, vpc=v"
        )
    };
    assert_eq!(
        targets(&groups, "__meta_digitalocean_"),
        [target(1), target(2)]
    );
    assert_eq!(server.last().header("authorization"), "Bearer t");

    let databases = r#"{"databases": [
        {"id": "i", "name": "n", "engine": "pg", "version": "16", "status": "online", "region": "nyc1", "size": "db-1", "num_nodes": 2,
         "connection": {"host": "public.example"}, "private_connection": {"host": "private.example"}, "tags": ["prod:a"]},
        {"id": "j", "connection": {"host": "public.example"}}, {"id": "k"}]}"#;
    server.say("/v2/databases", r#"{"databases": []}"#);
    server.say("/v2/databases?page=1&per_page=100", databases);
    let groups = found("digitalocean", "{role: databases}", &server)
        .await
        .unwrap();
    assert_eq!(groups[0].source, "DigitalOcean Databases");
    let empty =
        "db_engine= db_id=ID db_name= db_num_nodes=0 db_region= db_size= db_status= db_version=";
    assert_eq!(
        targets(&groups, "__meta_digitalocean_"),
        [
            "__address__=private.example:80 db_engine=pg db_host=public.example db_id=i db_name=n db_num_nodes=2 db_private_host=private.example db_region=nyc1 db_size=db-1 db_status=online db_tag_prod:a=true db_version=16".to_owned(),
            "__address__=public.example:80 ".to_owned() + &empty.replace("db_id=ID", "db_host=public.example db_id=j"),
            empty.replace("ID", "k"),
        ]
    );
    server.answer("/v2/databases?page=1&per_page=100", 401, "no");
    let error = found("digitalocean", "{role: databases}", &server)
        .await
        .unwrap_err();
    let error = error.to_string();
    assert!(
        error.starts_with("error while listing database clusters page 1: "),
        "{error}"
    );
}

#[tokio::test]
async fn servers_of_hetzner_are_targets() {
    let server = Server::start().await;
    let servers = r#"{"servers": [
      {"id": 42, "name": "s", "status": "running", "public_net": {"ipv4": {"ip": "1.2.3.4"}, "ipv6": {"ip": "2001:db8::/64"}},
       "private_net": [{"network": 7, "ip": "10.0.0.2"}, {"network": 8, "ip": "10.1.0.2"}],
       "server_type": {"name": "cx11", "cores": 1, "cpu_type": "shared", "memory": 2.0, "disk": 20},
       "location": {"name": "fsn1", "network_zone": "eu-central"},
       "image": {"name": "ubuntu-20.04", "description": "Ubuntu 20.04", "os_flavor": "ubuntu", "os_version": "20.04"},
       "labels": {"my-key": "v", "empty": ""}},
      {"id": 43, "public_net": {"ipv4": null, "ipv6": null}, "image": null}],
      "meta": {"pagination": {"next_page": null}}}"#;
    server.say("/servers", servers);
    let networks =
        r#"{"networks": [{"id": 7, "name": "my net"}], "meta": {"pagination": {"next_page": 2}}}"#;
    server.say("/networks?page=1&per_page=50", networks);
    server.say("/networks?page=2&per_page=50", r#"{"networks": []}"#);
    let groups = found(
        "hetzner",
        "{role: hcloud, label_selector: 'a in (b)'}",
        &server,
    )
    .await;
    assert_eq!(
        targets(&groups.unwrap(), "__meta_hetzner_"),
        [
            "__address__=1.2.3.4:80 hcloud_cpu_cores=1 hcloud_cpu_type=shared hcloud_datacenter_location=fsn1 hcloud_datacenter_location_network_zone=eu-central hcloud_disk_size_gb=20 hcloud_image_description=Ubuntu 20.04 hcloud_image_name=ubuntu-20.04 hcloud_image_os_flavor=ubuntu hcloud_image_os_version=20.04 hcloud_label_empty= hcloud_label_my_key=v hcloud_labelpresent_empty=true hcloud_labelpresent_my_key=true hcloud_location=fsn1 hcloud_location_network_zone=eu-central hcloud_memory_size_gb=2 hcloud_private_ipv4_my_net=10.0.0.2 hcloud_server_type=cx11 public_ipv4=1.2.3.4 public_ipv6_network=2001:db8::/64 role=hcloud server_id=42 server_name=s server_status=running",
            "__address__=<nil>:80 hcloud_cpu_cores=0 hcloud_cpu_type= hcloud_datacenter_location= hcloud_datacenter_location_network_zone= hcloud_disk_size_gb=0 hcloud_location= hcloud_location_network_zone= hcloud_memory_size_gb=0 hcloud_server_type= public_ipv4=<nil> public_ipv6_network=<nil> role=hcloud server_id=43 server_name= server_status=",
        ]
    );
    let first = &server.requests()[0].path;
    assert_eq!(
        first,
        "/servers?page=1&per_page=50&label_selector=a+in+%28b%29"
    );

    let servers = r#"[{"server": {"server_ip": "5.6.7.8", "server_number": 1, "server_name": "r", "dc": "NBG1-DC1", "status": "ready",
        "product": "DS 3000", "cancelled": false, "subnet": [{"ip": "5.6.7.8", "mask": "32"}, {"ip": "2a01::", "mask": "64"}]}},
        {"server": {"server_ip": null, "subnet": null, "cancelled": true}}]"#;
    server.say("/server", servers);
    let groups = found("hetzner", "{role: robot}", &server).await.unwrap();
    assert_eq!(
        targets(&groups, "__meta_hetzner_"),
        [
            "__address__=5.6.7.8:80 datacenter=nbg1-dc1 public_ipv4=5.6.7.8 public_ipv6_network=2a01::/64 robot_cancelled=false robot_datacenter=nbg1-dc1 robot_product=DS 3000 role=robot server_id=1 server_name=r server_status=ready",
            "__address__=:80 datacenter= public_ipv4= robot_cancelled=true robot_datacenter= robot_product= role=robot server_id=0 server_name= server_status=",
        ]
    );
    server.answer("/server", 401, "");
    let error = found("hetzner", "{role: robot}", &server)
        .await
        .unwrap_err();
    assert_eq!(
        error.to_string(),
        "non 2xx status '401' response during hetzner service discovery with role robot"
    );
}

const LINODES: &str = r#"{"pages": 1, "data": [
  {"id": 1, "label": "l", "image": "linode/arch", "ipv4": ["1.2.3.4", "192.168.1.1", "1.2.3.5"], "ipv6": "fd::1/128", "region": "eu", "type": "g6",
   "status": "running", "group": "", "hypervisor": "kvm", "backups": {"enabled": true}, "tags": ["a", "b"],
   "specs": {"disk": 2, "memory": 1, "vcpus": 3, "transfer": 4, "gpus": 0}},
  {"id": 2, "ipv4": []}]}"#;

#[tokio::test]
async fn instances_of_linode_are_targets() {
    let server = Server::start().await;
    server.say("/linode/instances", LINODES);
    let addresses = r#"{"pages": 2, "data": [
        {"address": "1.2.3.4", "rdns": "x.example", "public": true}, {"address": "192.168.1.1", "rdns": null, "public": false}]}"#;
    server.say("/networking/ips?page=1&page_size=500", addresses);
    let addresses = r#"{"pages": 2, "data": [
        {"address": "1.2.3.5", "rdns": "null", "public": true}, {"address": "fd::1", "rdns": "y.example", "public": true}]}"#;
    server.say("/networking/ips?page=2&page_size=500", addresses);
    let ranges = r#"{"pages": 1, "data": [{"range": "fd:1::", "prefix": 64, "route_target": "fd::1"}, {"range": "x", "prefix": 1, "route_target": "fd::2"}]}"#;
    server.say("/networking/ipv6/ranges", ranges);
    let url = format!("http://{}", server.address);
    let mut discovery = discovery("linode", "{region: eu, tag_separator: ;}", &url);
    let groups = discovery.refresh().await.unwrap();
    assert_eq!(
        targets(&groups, "__meta_linode_"),
        [
            "__address__=1.2.3.4:80 backups=enabled extra_ips=;1.2.3.5; gpus=0 group= hypervisor=kvm image=linode/arch instance_id=1 instance_label=l ipv6_ranges=;fd:1::/64; private_ipv4=192.168.1.1 private_ipv4_rdns= public_ipv4=1.2.3.4 public_ipv4_rdns=x.example public_ipv6=fd::1 public_ipv6_rdns=y.example region=eu specs_disk_bytes=2097152 specs_memory_bytes=1048576 specs_transfer_bytes=4194304 specs_vcpus=3 status=running tags=;a;b; type=g6"
        ]
    );
    assert_eq!(server.last().header("x-filter"), r#"{"region":"eu"}"#);

    // Nothing is listed again before something happened.
    server.say("/account/events", r#"{"data": []}"#);
    let before = server.requests().len();
    assert_eq!(discovery.refresh().await.unwrap(), groups);
    assert_eq!(server.requests().len(), before + 1);
    assert!(
        server
            .last()
            .header("x-filter")
            .starts_with(r#"{"created":{"+gte":"20"#)
    );
    server.say("/account/events", r#"{"data": [{"id": 1}]}"#);
    server.say("/linode/instances", r#"{"pages": 1, "data": []}"#);
    assert_eq!(discovery.refresh().await.unwrap()[0].targets, []);
    // An error is told, and the list of before still is the last one.
    server.answer("/account/events", 500, "");
    assert!(discovery.refresh().await.is_err());
    server.say("/account/events", r#"{"data": []}"#);
    assert_eq!(discovery.refresh().await.unwrap()[0].targets, []);
    // Who may not see events lists everything every time.
    server.answer("/account/events", 401, "");
    server.say("/linode/instances", LINODES);
    assert_eq!(discovery.refresh().await.unwrap(), groups);
    let before = server.requests().len();
    discovery.refresh().await.unwrap();
    let after = server.requests().split_off(before);
    assert!(after.iter().all(|request| !request.path.contains("events")));
}

#[tokio::test]
async fn instances_of_vultr_are_targets() {
    let server = Server::start().await;
    let instance = r#"{"id": "i", "label": "l", "os": "Debian", "os_id": 5, "region": "ewr", "plan": "vc2", "vcpu_count": 2, "ram": 4096,
        "allowed_bandwidth": 3, "disk": 80, "main_ip": "1.2.3.4", "v6_main_ip": "fd::1", "internal_ip": "10.0.0.1", "hostname": "h",
        "server_status": "ok", "features": ["ipv6"], "tags": []}"#;
    let first = format!(
        r#"{{"instances": [{instance}], "meta": {{"links": {{"next": "b=", "prev": ""}}}}}}"#
    );
    server.say("/v2/instances", &first);
    let second =
        r#"{"instances": [{"id": "j", "tags": ["x", "y"]}], "meta": {"links": {"next": ""}}}"#;
    server.say("/v2/instances?per_page=100&cursor=b%3D", second);
    let groups = found("vultr", "{port: 9100}", &server).await.unwrap();
    assert_eq!(
        targets(&groups, "__meta_vultr_instance_"),
        [
            "__address__=1.2.3.4:9100 allowed_bandwidth_gb=3 disk_gb=80 features=,ipv6, hostname=h id=i internal_ip=10.0.0.1 label=l main_ip=1.2.3.4 main_ipv6=fd::1 os=Debian os_id=5 plan=vc2 ram_mb=4096 region=ewr server_status=ok vcpu_count=2",
            "__address__=:9100 allowed_bandwidth_gb=0 disk_gb=0 hostname= id=j internal_ip= label= main_ip= main_ipv6= os= os_id=0 plan= ram_mb=0 region= server_status= tags=,x,y, vcpu_count=0",
        ]
    );
}

#[tokio::test]
async fn servers_of_ionos_are_targets() {
    let server = Server::start().await;
    let servers = r#"{"id": "dc/servers", "items": [
      {"id": "s1", "metadata": {"state": "AVAILABLE"},
       "properties": {"name": "n", "type": "ENTERPRISE", "availabilityZone": "ZONE_1", "cpuFamily": "INTEL", "vmState": "RUNNING", "bootCdrom": null, "bootVolume": {"id": "v"}},
       "entities": {"nics": {"items": [{"properties": {"name": "lan 1", "ips": ["10.0.0.1", "10.0.0.2"]}}, {"properties": {"ips": ["1.2.3.4"]}},
            {"properties": {"name": "none", "ips": null}}, {}]},
         "volumes": {"items": [{"properties": {"image": "img"}}, {"properties": {"image": "other"}}]}}},
      {"id": "no address", "entities": {"nics": {"items": []}}}]}"#;
    server.say("/cloudapi/v6/datacenters/dc/servers", servers);
    let groups = found("ionos", "{datacenter_id: dc}", &server)
        .await
        .unwrap();
    assert_eq!(
        targets(&groups, "__meta_ionos_server_"),
        [
            "__address__=1.2.3.4:80 availability_zone=ZONE_1 boot_image_id=img boot_volume_id=v cpu_family=INTEL id=s1 ip=,1.2.3.4,10.0.0.1,10.0.0.2, lifecycle=AVAILABLE name=n nic_ip_lan_1=,10.0.0.1,10.0.0.2, nic_ip_none=,, nic_ip_unnamed=,1.2.3.4, servers_id=dc/servers state=RUNNING type=ENTERPRISE"
        ]
    );
    assert!(server.last().path.ends_with("?depth=3"));
}

#[tokio::test]
async fn servers_of_scaleway_are_targets() {
    let server = Server::start().await;
    let instances = r#"{"servers": [
      {"id": "a", "name": "n", "organization": "o", "project": "p", "hostname": "h", "boot_type": "local", "commercial_type": "DEV1-S", "state": "running",
       "zone": "fr-par-1", "tags": ["x", "y"], "image": {"id": "im", "name": "Debian", "arch": "x86_64"},
       "location": {"cluster_id": "1", "hypervisor_id": "2", "node_id": "3"}, "security_group": {"id": "sg", "name": "default"},
       "public_ip": {"address": "1.2.3.4", "family": "inet"}, "ipv6": {"address": "fd::1"}, "private_ip": "10.0.0.1",
       "public_ips": [{"address": "1.2.3.4", "family": "inet"}, {"address": "fd::1", "family": "inet6"}, {"address": "1.2.3.5", "family": "inet"}]},
      {"id": "b", "zone": "fr-par-1", "private_nics": [{"id": "nic-1"}]},
      {"id": "c", "zone": "fr-par-1", "public_ip": {"address": "fd::2", "family": "inet6"}},
      {"id": "no address", "zone": "fr-par-1"}], "total_count": 4}"#;
    let ips = r#"{"ips": [{"address": "fd::9/64", "is_ipv6": true, "resource": {"id": "nic-1"}}, {"address": "172.16.0.2/22", "is_ipv6": false, "resource": {"id": "nic-1"}}], "total_count": 2}"#;
    server.say("/instance/v1/zones/fr-par-1/servers", instances);
    server.say("/ipam/v1/regions/fr-par/ips", ips);
    let settings = |role: &str| {
        let config = format!(
            "{{role: {role}, project_id: 11111111-1111-1111-1111-111111111112, access_key: SCWXXXXXXXXXXXXXXXXX, secret_key: 11111111-1111-1111-1111-111111111111, api_url: 'http://{}', name_filter: n, tags_filter: [x, y]}}",
            server.address
        );
        entry("scaleway", &config)
    };
    let groups = super::server::found(&settings("instance")).await.unwrap();
    let empty = "boot_type= hostname= id=ID name= organization_id= IP project_id= PUBLICregion=fr-par status= type= zone=fr-par-1";
    assert_eq!(
        targets(&groups, "__meta_scaleway_instance_"),
        [
            "__address__=10.0.0.1:80 boot_type=local hostname=h id=a image_arch=x86_64 image_id=im image_name=Debian location_cluster_id=1 location_hypervisor_id=2 location_node_id=3 name=n organization_id=o private_ipv4=10.0.0.1 project_id=p public_ipv4=1.2.3.4 public_ipv4_addresses=,1.2.3.4,1.2.3.5, public_ipv6=fd::1 public_ipv6_addresses=,fd::1, region=fr-par security_group_id=sg security_group_name=default status=running tags=,x,y, type=DEV1-S zone=fr-par-1".to_owned(),
            "__address__=172.16.0.2:80 ".to_owned() + &empty.replace("ID", "b").replace("IP", "private_ipv4=172.16.0.2").replace("PUBLIC", ""),
            "__address__=[fd::2]:80 ".to_owned() + &empty.replace("ID", "c").replace("IP ", "").replace("PUBLIC", ""),
        ]
    );
    let requests = server.requests();
    assert_eq!(
        requests[0].path,
        "/instance/v1/zones/fr-par-1/servers?page=1&per_page=100&name=n&tags=x%2Cy"
    );
    let token = requests[0].header("x-auth-token");
    assert_eq!(token, "11111111-1111-1111-1111-111111111111");

    let servers = r#"{"servers": [
      {"id": "a", "name": "n", "zone": "fr-par-2", "status": "ready", "project_id": "p", "offer_id": "of", "install": {"os_id": "os"}, "tags": ["x"],
       "ips": [{"address": "fd::1", "version": "IPv6"}, {"address": "1.2.3.4", "version": "IPv4"}, {"address": "1.2.3.5", "version": "IPv4"}]},
      {"id": "b", "ips": [{"address": "fd::2", "version": "IPv6"}]}], "total_count": 2}"#;
    server.say("/baremetal/v1/zones/fr-par-1/servers", servers);
    server.say(
        "/baremetal/v1/zones/fr-par-1/offers",
        r#"{"offers": [{"id": "of", "name": "EM-A"}], "total_count": 1}"#,
    );
    server.say(
        "/baremetal/v1/zones/fr-par-1/os",
        r#"{"os": [{"id": "os", "name": "Ubuntu", "version": "22.04"}], "total_count": 1}"#,
    );
    let groups = super::server::found(&settings("baremetal")).await.unwrap();
    assert_eq!(
        targets(&groups, "__meta_scaleway_baremetal_"),
        [
            "__address__=1.2.3.4:80 id=a name=n os_name=Ubuntu os_version=22.04 project_id=p public_ipv4=1.2.3.4 public_ipv6=fd::1 status=ready tags=,x, type=EM-A zone=fr-par-2",
            "__address__=[fd::2]:80 id=b name= project_id= public_ipv6=fd::2 status= zone=",
        ]
    );
    let listed = server.requests().into_iter().map(|request| request.path);
    let listed = listed.filter(|path| path.contains("baremetal") && path.contains("servers"));
    assert_eq!(
        listed.collect::<Vec<_>>(),
        ["/baremetal/v1/zones/fr-par-1/servers?page=1&page_size=100&name=n&tags=x&tags=y"]
    );
}
