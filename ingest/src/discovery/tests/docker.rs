use super::config::{entry, refused, shown};
use super::server::{Server, found, lines};

const CONTAINERS: &str = r#"[
  {"Id": "c1", "Names": ["/web"], "Image": "nginx", "ImageID": "sha256:1",
   "Ports": [{"IP": "0.0.0.0", "PrivatePort": 80, "PublicPort": 8080, "Type": "tcp"}, {"PrivatePort": 53, "Type": "udp"}, {"PrivatePort": 9090, "Type": "tcp"}],
   "Labels": {"com.example/team": "a"}, "HostConfig": {"NetworkMode": "front"},
   "NetworkSettings": {"Networks": {"front": {"NetworkID": "n1", "IPAddress": "172.18.0.2"}, "back": {"NetworkID": "n2", "IPAddress": "", "GlobalIPv6Address": "FD00::2"}, "absent": null}}},
  {"Id": "c2", "Names": ["/host"], "Ports": [], "Labels": null, "HostConfig": {"NetworkMode": "host"},
   "NetworkSettings": {"Networks": {"host": {"NetworkID": "n3", "IPAddress": ""}}}},
  {"Id": "c3", "Names": ["/side"], "HostConfig": {"NetworkMode": "container:c4"}, "NetworkSettings": {"Networks": {}}},
  {"Id": "c4", "Names": ["/main"], "HostConfig": {"NetworkMode": "container:c1"}, "NetworkSettings": {"Networks": {}}},
  {"Id": "c5", "Names": ["/circle"], "HostConfig": {"NetworkMode": "container:c5"}, "NetworkSettings": {"Networks": {}}},
  {"Id": "c6", "Names": [], "HostConfig": {"NetworkMode": "front"}, "NetworkSettings": {"Networks": {"front": {"NetworkID": "n1"}}}}
]"#;

const NETWORKS: &str = r#"[
  {"Id": "n1", "Name": "front", "Scope": "local", "Internal": false, "Ingress": false, "Labels": {"a-b": "c"}},
  {"Id": "n2", "Name": "back", "Scope": "local", "Internal": true, "Ingress": false, "Labels": {}}
]"#;

#[test]
fn the_configuration_is_checked_and_shown() {
    refused(
        "docker",
        &[
            ("{}", "host missing"),
            (
                "{host: 'unix:///x', filters: [{nam: x}]}",
                "field nam not found in type moby.Filter",
            ),
        ],
    );
    shown(
        "docker",
        "{host: 'unix:///var/run/docker.sock', filters: [{name: status, values: [running]}]}",
        "- follow_redirects: true\n  enable_http2: true\n  host: unix:///var/run/docker.sock\n  port: 80\n  filters:\n  - name: status\n    values:\n    - running\n  host_networking_host: localhost\n  refresh_interval: 1m\n  match_first_network: true",
    );
    for (host, expected) in [
        ("x", "unable to parse docker host \"x\""),
        (
            "ssh://x",
            "protocol ssh of docker host \"ssh://x\" is none of unix, tcp, http and https",
        ),
    ] {
        let config = entry("docker", &format!("{{host: '{host}'}}"));
        let error = config.discovery(Default::default()).unwrap_err();
        assert_eq!(error.to_string(), expected);
    }
}

fn serve(server: &Server, version: &str) {
    server.say(&format!("/{version}/containers/json"), CONTAINERS);
    server.say(&format!("/{version}/networks"), NETWORKS);
}

#[tokio::test]
async fn containers_become_targets_by_network_and_port() {
    let folder = tempfile::tempdir().unwrap();
    let socket = folder.path().join("docker.sock");
    let server = Server::start_on_socket(&socket);
    serve(&server, "v1.51");
    let fields = "filters: [{name: label, values: [x, y]}]";
    let host = format!("host: 'unix://{}'", socket.display());
    let config = entry("docker", &format!("{{{host}, {fields}}}"));
    let groups = found(&config).await.unwrap();
    let targets = &groups[0].targets;
    assert_eq!(
        groups[0].addresses().collect::<Vec<_>>(),
        [
            "[fd00::2]:80",
            "[fd00::2]:9090",
            "localhost",
            "[fd00::2]:80",
            "[fd00::2]:80"
        ]
    );
    assert_eq!(
        lines(&targets[0], "__meta_docker_"),
        [
            "__address__=[fd00::2]:80",
            "container_id=c1",
            "container_image=nginx",
            "container_image_id=sha256:1",
            "container_label_com_example_team=a",
            "container_name=/web",
            "container_network_mode=front",
            "network_id=n2",
            "network_ingress=false",
            "network_internal=true",
            "network_ip=fd00::2",
            "network_name=back",
            "network_scope=local",
            "port_private=80",
            "port_public=8080",
            "port_public_ip=0.0.0.0",
        ]
    );
    assert_eq!(
        lines(&targets[2], "__meta_docker_"),
        [
            "__address__=localhost",
            "container_id=c2",
            "container_name=/host",
            "container_network_mode=host",
            "network_ip=",
        ]
    );
    let paths: Vec<_> = server.requests().into_iter().map(|r| r.path).collect();
    assert_eq!(
        paths,
        [
            "/_ping",
            "/v1.51/containers/json?filters=%7B%22label%22%3A%7B%22x%22%3Atrue%2C%22y%22%3Atrue%7D%7D",
            "/v1.51/networks"
        ]
    );
}

#[tokio::test]
async fn every_network_counts_where_the_configuration_says_so() {
    let server = Server::start().await;
    serve(&server, "v1.51");
    let config = entry(
        "docker",
        &format!(
            "{{host: 'tcp://{}', match_first_network: false, port: 99}}",
            server.address
        ),
    );
    let groups = found(&config).await.unwrap();
    let addresses: Vec<_> = groups[0].addresses().collect();
    assert_eq!(
        addresses[..4],
        [
            "[fd00::2]:80",
            "[fd00::2]:9090",
            "172.18.0.2:80",
            "172.18.0.2:9090"
        ]
    );
    assert_eq!(addresses[5], "[fd00::2]:99");
    let label = "__meta_docker_network_label_a_b";
    assert_eq!(groups[0].targets[2][label], "c");
}

#[tokio::test]
async fn an_engine_that_answers_with_an_error_is_quoted() {
    let server = Server::start().await;
    server.answer(
        "/v1.51/containers/json",
        500,
        "{\"message\": \"out of order\"}",
    );
    let config = entry("docker", &format!("{{host: 'http://{}'}}", server.address));
    let error = found(&config).await.unwrap_err();
    assert_eq!(
        error,
        format!(
            "error while listing containers: http://{}/v1.51/containers/json: server returned HTTP status 500 Internal Server Error: {{\"message\": \"out of order\"}}",
            server.address
        )
    );
}
