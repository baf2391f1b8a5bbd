use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::Router;
use axum::extract::{Request, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use tokio::sync::watch;

use super::config::{entry, refused, shown};
use super::server::{discovery, found, lines};
use crate::discovery::TargetGroup;

/// An agent with blocking queries: each path has a document and the index at which it was made.
struct Agent {
    address: String,
    state: Arc<AgentState>,
}

struct AgentState {
    documents: watch::Sender<BTreeMap<String, (u64, String)>>,
    requests: Mutex<Vec<(String, String)>>,
}

async fn handle(State(state): State<Arc<AgentState>>, request: Request) -> Response {
    let path = request.uri().path().to_owned();
    let token = request.headers().get("x-consul-token");
    let token = token.map_or("", |token| token.to_str().unwrap());
    let line = (request.uri().to_string(), token.to_owned());
    state.requests.lock().unwrap().push(line);
    let query = request.uri().query().unwrap_or_default();
    let index = query
        .split('&')
        .find_map(|pair| pair.strip_prefix("index="));
    let index: u64 = index.map_or(0, |index| index.parse().unwrap());
    let mut documents = state.documents.subscribe();
    let documents = documents
        .wait_for(|documents| documents.get(&path).is_none_or(|(at, _)| *at > index))
        .await
        .unwrap();
    match documents.get(&path) {
        Some((at, body)) => {
            let headers = [("x-consul-index", at.to_string())];
            (headers, body.clone()).into_response()
        }
        None => (StatusCode::NOT_FOUND, "nothing here\n").into_response(),
    }
}

impl Agent {
    async fn start() -> Self {
        let state = Arc::new(AgentState {
            documents: watch::Sender::new(BTreeMap::new()),
            requests: Mutex::default(),
        });
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let router = Router::new()
            .fallback(handle)
            .with_state(Arc::clone(&state));
        tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
        let agent = Self { address, state };
        agent.put("agent/self", 1, r#"{"Config": {"Datacenter": "dc1"}}"#);
        agent
    }

    fn put(&self, path: &str, index: u64, body: &str) {
        self.state.documents.send_modify(|documents| {
            documents.insert(format!("/v1/{path}"), (index, body.to_owned()));
        });
    }

    fn put_service(&self, name: &str, index: u64, port: u16) {
        let body = format!(
            r#"[{{"Node": {{"Node": "n", "Address": "10.0.0.1"}}, "Service": {{"ID": "i", "Port": {port}}}, "Checks": []}}]"#
        );
        self.put(&format!("health/service/{name}"), index, &body);
    }

    fn requests(&self) -> Vec<(String, String)> {
        self.state.requests.lock().unwrap().clone()
    }
}

fn addresses(groups: &[TargetGroup]) -> Vec<&str> {
    groups.iter().flat_map(TargetGroup::addresses).collect()
}

#[test]
fn the_configuration_is_checked_and_shown() {
    refused(
        "consul",
        &[
            (
                "{server: ' '}",
                "consul SD configuration requires a server address",
            ),
            (
                "{username: u, basic_auth: {username: u}}",
                "at most one of consul SD configuration username and password and basic auth can be configured",
            ),
            (
                "{token: t, authorization: {credentials: c}}",
                "at most one of consul SD token, authorization, or oauth2 can be configured",
            ),
            (
                "{username: u, authorization: {credentials: c}}",
                "at most one of basic_auth, oauth2 & authorization must be configured",
            ),
            (
                "{service: [x]}",
                "field service not found in type consul.plain",
            ),
        ],
    );
    shown(
        "consul",
        "{server: 'consul:8500'}",
        "- server: consul:8500\n  tag_separator: ','\n  scheme: http\n  allow_stale: true\n  refresh_interval: 30s\n  follow_redirects: true\n  enable_http2: true",
    );
    shown(
        "consul",
        "{token: t, datacenter: d, namespace: ns, partition: p, username: u, password: w, allow_stale: false, services: [s], tags: [t], node_meta: {rack: '1'}, filter: f, health_filter: h, path_prefix: /c}",
        "- server: localhost:8500\n  path_prefix: /c\n  token: <secret>\n  datacenter: d\n  namespace: ns\n  partition: p\n  tag_separator: ','\n  scheme: http\n  username: u\n  password: <secret>\n  allow_stale: false\n  refresh_interval: 30s\n  services:\n  - s\n  tags:\n  - t\n  node_meta:\n    rack: \"1\"\n  filter: f\n  health_filter: h\n  follow_redirects: true\n  enable_http2: true",
    );
    let config = entry("consul", "{server: 'ftp://x'}");
    let error = config.discovery(Default::default()).unwrap_err();
    assert_eq!(error.to_string(), "Unknown protocol scheme: ftp");
}

#[tokio::test]
async fn instances_become_targets_with_all_their_labels() {
    let agent = Agent::start().await;
    let web = r#"[{
        "Node": {"Node": "node1", "Address": "10.0.0.1", "Datacenter": "dc1", "Meta": {"rack-no": "7"}, "TaggedAddresses": {"lan": "10.0.0.1", "wan_ipv4": "1.2.3.4"}},
        "Service": {"ID": "web-1", "Service": "web", "Address": "", "Port": 8080, "Tags": ["a", "b"], "Meta": {"v": "1"}, "Namespace": "ns1", "Partition": "p1"},
        "Checks": [{"CheckID": "x", "Status": "passing"}, {"CheckID": "y", "Status": "warning"}]
    }, {
        "Node": {"Node": "node2", "Address": "10.0.0.2", "Meta": null, "TaggedAddresses": null},
        "Service": {"ID": "web-2", "Address": "fd00::1", "Port": 80, "Tags": null, "Meta": null},
        "Checks": [{"CheckID": "_service_maintenance:web-2", "Status": "critical"}]
    }]"#;
    agent.put("health/service/web", 7, web);
    let fields = "services: [web], tag_separator: ';', allow_stale: true, token: t0, \
                  health_filter: 'Node.Meta.x == \"1\"', node_meta: {a: b}, namespace: ns1, partition: p1";
    let config = entry(
        "consul",
        &format!("{{server: 'http://{}', {fields}}}", agent.address),
    );
    let groups = found(&config).await.unwrap();
    assert_eq!((groups.len(), &*groups[0].source), (1, "web"));
    assert_eq!(
        lines(&groups[0].labels, "__meta_consul_"),
        ["dc=dc1", "service=web"]
    );
    assert_eq!(
        lines(&groups[0].targets[0], "__meta_consul_"),
        [
            "__address__=10.0.0.1:8080",
            "address=10.0.0.1",
            "health=warning",
            "metadata_rack_no=7",
            "namespace=ns1",
            "node=node1",
            "partition=p1",
            "service_id=web-1",
            "service_metadata_v=1",
            "service_port=8080",
            "tagged_address_lan=10.0.0.1",
            "tagged_address_wan_ipv4=1.2.3.4",
            "tags=;a;b;",
        ]
    );
    assert_eq!(
        lines(&groups[0].targets[1], "__meta_consul_"),
        [
            "__address__=[fd00::1]:80",
            "address=10.0.0.2",
            "health=maintenance",
            "node=node2",
            "service_address=fd00::1",
            "service_id=web-2",
            "service_port=80",
            "tags=;;",
        ]
    );
    let requests = agent.requests();
    assert_eq!(requests[0].0, "/v1/agent/self?ns=ns1&partition=p1");
    assert_eq!(
        requests[1].0,
        "/v1/health/service/web?ns=ns1&partition=p1&stale=&wait=120000ms&node-meta=a%3Ab&filter=Node.Meta.x+%3D%3D+%221%22"
    );
    assert!(requests.iter().all(|(_, token)| token == "t0"));
}

#[tokio::test]
async fn only_services_with_the_tags_are_asked_for() {
    let agent = Agent::start().await;
    let catalog = r#"{"web": ["a", "b"], "db": ["a"], "none": null}"#;
    agent.put("catalog/services", 3, catalog);
    agent.put_service("web", 3, 80);
    let config = entry(
        "consul",
        &format!(
            "{{server: '{}', datacenter: dc9, tags: [a, b], filter: F}}",
            agent.address
        ),
    );
    let groups = found(&config).await.unwrap();
    assert_eq!(addresses(&groups), ["10.0.0.1:80"]);
    assert_eq!(groups[0].labels["__meta_consul_dc"], "dc9");
    let paths: Vec<_> = agent.requests().into_iter().map(|(path, _)| path).collect();
    assert_eq!(
        paths,
        [
            "/v1/catalog/services?dc=dc9&stale=&wait=120000ms&filter=F",
            "/v1/health/service/web?dc=dc9&tag=a&tag=b&stale=&wait=120000ms"
        ]
    );
}

#[tokio::test]
async fn watches_follow_services_that_come_change_and_go() {
    let agent = Agent::start().await;
    agent.put("catalog/services", 5, r#"{"web": []}"#);
    agent.put_service("web", 5, 80);
    let config = entry(
        "consul",
        &format!("{{server: '{}', refresh_interval: 10ms}}", agent.address),
    );
    let mut discovery = discovery(&config);
    let groups = discovery.refresh().await.unwrap();
    assert_eq!(addresses(&groups), ["10.0.0.1:80"]);
    // Nothing happens, and nobody says that something does.
    let quiet = tokio::time::timeout(Duration::from_millis(100), discovery.changed());
    assert!(quiet.await.is_err());
    for (step, expected) in [
        (0, vec!["10.0.0.1:81"]),
        (1, vec!["10.0.0.1:90", "10.0.0.1:81"]),
        (2, vec!["10.0.0.1:90"]),
        (3, vec![]),
    ] {
        match step {
            0 => agent.put_service("web", 6, 81),
            1 => {
                agent.put_service("db", 7, 90);
                agent.put("catalog/services", 7, r#"{"web": [], "db": []}"#);
            }
            2 => agent.put("catalog/services", 8, r#"{"db": []}"#),
            _ => agent.put("health/service/db", 9, "[]"),
        }
        let update = async {
            loop {
                let groups = discovery.refresh().await.unwrap();
                if addresses(&groups) == expected {
                    return;
                }
                discovery.changed().await;
            }
        };
        let updated = tokio::time::timeout(Duration::from_secs(30), update);
        assert!(updated.await.is_ok(), "step {step}");
    }
    let requests = agent.requests();
    let blocking = requests.iter().filter(|(path, _)| path.contains("index=5"));
    assert_eq!(blocking.count(), 2);
}

#[tokio::test]
async fn one_service_that_fails_leaves_the_others() {
    let agent = Agent::start().await;
    agent.put_service("web", 5, 80);
    let server = format!("server: '{}'", agent.address);
    let config = entry("consul", &format!("{{{server}, services: [web, db]}}"));
    let groups = found(&config).await.unwrap();
    assert_eq!(addresses(&groups), ["10.0.0.1:80"]);
    let config = entry("consul", &format!("{{{server}, services: [db]}}"));
    let error = found(&config).await.unwrap_err();
    assert_eq!(error, "Unexpected response code: 404 (nothing here)");
}
