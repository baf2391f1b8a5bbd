use super::config::{entry, refused, shown};
use super::server::{Server, found, lines};
use crate::discovery::LabelMap;

const SERVICES: &str = r#"[
  {"ID": "s1", "Spec": {"Name": "web", "Labels": {"team.name": "a"}, "Mode": {"Replicated": {"Replicas": 2}},
     "TaskTemplate": {"ContainerSpec": {"Image": "nginx:1", "Hostname": "web-host"}}},
   "UpdateStatus": {"State": "completed"},
   "Endpoint": {"Ports": [{"Name": "http", "Protocol": "tcp", "TargetPort": 80, "PublishedPort": 8080, "PublishMode": "ingress"}, {"Protocol": "udp", "PublishedPort": 53, "PublishMode": "ingress"}],
     "VirtualIPs": [{"NetworkID": "n1", "Addr": "10.0.0.5/24"}]}},
  {"ID": "s2", "Spec": {"Name": "agent", "Mode": {"Global": {}}, "TaskTemplate": {}},
   "Endpoint": {"VirtualIPs": [{"NetworkID": "n2", "Addr": "fd00::5/64"}]}},
  {"ID": "s3", "Spec": {"Name": "job", "Mode": {"ReplicatedJob": {}}}, "Endpoint": {}}
]"#;

const TASKS: &str = r#"[
  {"ID": "t1", "ServiceID": "s1", "NodeID": "m1", "Slot": 2, "DesiredState": "running",
   "Status": {"State": "running", "ContainerStatus": {"ContainerID": "c1"}, "PortStatus": {"Ports": [{"Protocol": "tcp", "PublishedPort": 30000, "PublishMode": "host"}]}},
   "Spec": {"ContainerSpec": {"Labels": {"x.y": "z"}}},
   "NetworksAttachments": [{"Network": {"ID": "n1"}, "Addresses": ["10.0.0.9/24"]}]},
  {"ID": "t2", "ServiceID": "s2", "NodeID": "m1", "DesiredState": "running", "Status": {"State": "failed", "PortStatus": {}}, "Spec": {},
   "NetworksAttachments": [{"Network": {"ID": "n9"}, "Addresses": ["10.0.1.9/24"]}]}
]"#;

const NODES: &str = r#"[
  {"ID": "m1", "Spec": {"Role": "manager", "Availability": "active", "Labels": {"disk": "ssd"}},
   "Description": {"Hostname": "oslo", "Platform": {"Architecture": "x86_64", "OS": "linux"}, "Engine": {"EngineVersion": "24.0"}},
   "Status": {"State": "ready", "Addr": "10.1.0.1"}, "ManagerStatus": {"Leader": true, "Reachability": "reachable", "Addr": "10.1.0.1:2377"}},
  {"ID": "m2", "Spec": {"Role": "worker", "Availability": "drain"}, "Description": {"Hostname": "bergen"}, "Status": {"State": "down", "Addr": "10.1.0.2"}}
]"#;

const NETWORKS: &str = r#"[{"Id": "n1", "Name": "ingress", "Scope": "swarm", "Ingress": true}]"#;

async fn targets(role: &str) -> Vec<LabelMap> {
    let server = Server::start().await;
    for (path, body) in [
        ("services", SERVICES),
        ("tasks", TASKS),
        ("nodes", NODES),
        ("networks", NETWORKS),
    ] {
        server.say(&format!("/v1.51/{path}"), body);
    }
    let fields = format!("{{host: 'http://{}', role: {role}}}", server.address);
    let mut groups = found(&entry("dockerswarm", &fields)).await.unwrap();
    assert_eq!((groups.len(), &*groups[0].source), (1, "DockerSwarm"));
    groups.remove(0).targets
}

const NETWORK: [&str; 5] = [
    "network_id=n1",
    "network_ingress=true",
    "network_internal=false",
    "network_name=ingress",
    "network_scope=swarm",
];

const NODE: [&str; 8] = [
    "node_address=10.1.0.1",
    "node_availability=active",
    "node_hostname=oslo",
    "node_id=m1",
    "node_label_disk=ssd",
    "node_platform_architecture=x86_64",
    "node_platform_os=linux",
    "node_role=manager",
];

#[track_caller]
fn check(target: &LabelMap, expected: &[&[&str]]) {
    let mut expected = expected.concat();
    expected.sort_unstable();
    let mut shown = lines(target, "__meta_dockerswarm_");
    shown.sort_unstable();
    assert_eq!(shown, expected);
}

#[test]
fn the_configuration_is_checked_and_shown() {
    refused(
        "dockerswarm",
        &[
            ("{role: nodes}", "host missing"),
            ("{host: x}", "role missing (one of: tasks, services, nodes)"),
            (
                "{host: x, role: pods}",
                "invalid role pods, expected tasks, services, or nodes",
            ),
        ],
    );
    shown(
        "dockerswarm",
        "{host: 'http://x', role: nodes, port: 9100}",
        "- follow_redirects: true\n  enable_http2: true\n  host: http://x\n  role: nodes\n  port: 9100\n  filters: []\n  refresh_interval: 1m",
    );
}

#[tokio::test]
async fn services_become_targets() {
    let targets = targets("services").await;
    assert_eq!(targets.len(), 2);
    let web = [
        "__address__=10.0.0.5:8080",
        "service_endpoint_port_name=http",
        "service_endpoint_port_publish_mode=ingress",
        "service_id=s1",
        "service_label_team_name=a",
        "service_mode=replicated",
        "service_name=web",
        "service_task_container_hostname=web-host",
        "service_task_container_image=nginx:1",
        "service_updating_status=completed",
    ];
    check(&targets[0], &[&web, &NETWORK]);
    let agent = [
        "__address__=[fd00::5]:80",
        "service_id=s2",
        "service_mode=global",
        "service_name=agent",
    ];
    check(&targets[1], &[&agent]);
}

#[tokio::test]
async fn tasks_become_targets() {
    let targets = targets("tasks").await;
    assert_eq!(targets.len(), 3);
    let common = [
        "container_label_x_y=z",
        "node_status=ready",
        "service_id=s1",
        "service_label_team_name=a",
        "service_mode=replicated",
        "service_name=web",
        "task_container_id=c1",
        "task_desired_state=running",
        "task_id=t1",
        "task_slot=2",
        "task_state=running",
    ];
    let published = ["__address__=10.1.0.1:30000", "task_port_publish_mode=host"];
    check(&targets[0], &[&published, &common, &NODE]);
    let attached = [
        "__address__=10.0.0.9:8080",
        "task_port_publish_mode=ingress",
    ];
    check(&targets[1], &[&attached, &common, &NODE, &NETWORK]);
    assert_eq!(targets[2]["__address__"], "10.0.1.9:80");
    assert_eq!(targets[2]["__meta_dockerswarm_task_slot"], "0");
}

#[tokio::test]
async fn nodes_become_targets() {
    let targets = targets("nodes").await;
    assert_eq!(targets.len(), 2);
    let own = [
        "__address__=10.1.0.1:80",
        "node_engine_version=24.0",
        "node_manager_address=10.1.0.1:2377",
        "node_manager_leader=true",
        "node_manager_reachability=reachable",
        "node_status=ready",
    ];
    check(&targets[0], &[&own, &NODE]);
    assert_eq!(targets[1]["__meta_dockerswarm_node_availability"], "drain");
    assert!(!targets[1].contains_key("__meta_dockerswarm_node_manager_leader"));
}
