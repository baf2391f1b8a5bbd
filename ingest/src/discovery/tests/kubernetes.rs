use std::sync::Arc;
use std::time::Duration;

use super::config::{entry, refused, shown};
use super::server::{Server, found, lines};
use crate::discovery::TargetGroup;

#[test]
fn the_configuration_is_checked() {
    refused(
        "kubernetes",
        &[
            (
                "{}",
                "role missing (one of: pod, service, endpoints, endpointslice, node, ingress)",
            ),
            ("{role: x}", "unknown Kubernetes SD role \"x\""),
            (
                "{role: pod, kubeconfig_file: k, api_server: 'http://x'}",
                "cannot use 'kubeconfig_file' and 'api_server' simultaneously",
            ),
            (
                "{role: pod, kubeconfig_file: k, bearer_token: t}",
                "cannot use a custom HTTP client configuration together with 'kubeconfig_file'",
            ),
            (
                "{role: pod, bearer_token: t}",
                "to use custom HTTP client configuration please provide the 'api_server' URL explicitly",
            ),
            (
                "{role: pod, api_server: 'http://x', namespaces: {own_namespace: true}}",
                "cannot use 'api_server' and 'namespaces.own_namespace' simultaneously",
            ),
            (
                "{role: pod, kubeconfig_file: k, namespaces: {own_namespace: true}}",
                "cannot use 'kubeconfig_file' and 'namespaces.own_namespace' simultaneously",
            ),
            (
                "{role: pod, namespaces: {foo: [a]}}",
                "field foo not found in type kubernetes.plain",
            ),
            (
                "{role: pod, selectors: [{role: pod}, {role: pod}]}",
                "duplicated selector role: pod",
            ),
            (
                "{role: node, selectors: [{role: pod, label: a}]}",
                "node role supports only node selectors",
            ),
            (
                "{role: endpointslice, selectors: [{label: a}]}",
                "endpointslice role supports only pod, service, endpointslice selectors",
            ),
            (
                "{role: pod, selectors: [{role: pod, field: x}]}",
                "invalid selector: 'x'; can't understand 'x'",
            ),
            (
                "{role: pod, selectors: [{role: pod, label: 'a,'}]}",
                "found '', expected: identifier after ','",
            ),
        ],
    );
    shown(
        "kubernetes",
        "{role: pod}",
        "- role: pod\n  kubeconfig_file: \"\"\n  follow_redirects: true\n  enable_http2: true",
    );
    shown(
        "kubernetes",
        "{role: endpoints, api_server: 'https://u:p@x', authorization: {credentials: t}, namespaces: {names: [a, b]}, selectors: [{role: pod, label: a=b}], attach_metadata: {job: true}}",
        "- api_server: https://u:xxxxx@x/\n  role: endpoints\n  kubeconfig_file: \"\"\n  authorization:\n    type: Bearer\n    credentials: <secret>\n  follow_redirects: true\n  enable_http2: true\n  namespaces:\n    own_namespace: false\n    names:\n    - a\n    - b\n  selectors:\n  - role: pod\n    label: a=b\n  attach_metadata:\n    node: false\n    namespace: false\n    deployment: false\n    job: true\n    cronjob: false",
    );
}

const POD: &str = r#"{"metadata": {"name": "web-1", "namespace": "shop", "uid": "u-1", "labels": {"app.io/x": "web"},
    "annotations": {"note": "n"}, "ownerReferences": [{"kind": "ReplicaSet", "name": "web", "controller": true}]},
  "spec": {"nodeName": "n1", "containers": [
      {"name": "c", "image": "i:1", "ports": [{"name": "http", "containerPort": 80, "protocol": "TCP"}, {"name": "dbg", "containerPort": 81, "protocol": "TCP"}]},
      {"name": "side", "image": "s:1"}],
    "initContainers": [{"name": "init", "image": "x:1", "ports": [{"containerPort": 82, "protocol": "UDP"}]}]},
  "status": {"phase": "Running", "podIP": "10.1.0.1", "hostIP": "10.0.0.1",
    "conditions": [{"type": "Ready", "status": "True"}], "containerStatuses": [{"name": "c", "containerID": "docker://abc"}]}}"#;

const NODE: &str = r#"{"metadata": {"name": "n1", "labels": {"zone": "z"}}, "spec": {"providerID": "p://1"},
  "status": {"addresses": [{"type": "ExternalIP", "address": "1.2.3.4"}, {"type": "InternalIP", "address": "10.0.0.1"}, {"type": "InternalIP", "address": "10.0.0.2"}],
    "conditions": [{"type": "Ready", "status": "True"}], "daemonEndpoints": {"kubeletEndpoint": {"Port": 10250}}}}"#;

const SERVICE: &str = r#"{"metadata": {"name": "web", "namespace": "shop", "labels": {"a": "b"}},
  "spec": {"type": "LoadBalancer", "clusterIP": "10.2.0.1", "loadBalancerIP": "9.9.9.9", "ipFamilyPolicy": "PreferDualStack", "ipFamilies": ["IPv4", "IPv6"],
    "ports": [{"name": "http", "protocol": "TCP", "port": 8080}]},
  "status": {"loadBalancer": {"ingress": [{"ip": "8.8.8.8"}, {"hostname": "h"}, {"ip": "8.8.4.4"}]}}}"#;

fn list(items: &[&str]) -> String {
    let items = items.join(",");
    format!("{{\"metadata\": {{\"resourceVersion\": \"7\"}}, \"items\": [{items}]}}")
}

async fn groups(server: &Server, settings: &str) -> Result<Vec<TargetGroup>, String> {
    let config = format!("{{api_server: 'http://{}', {settings}}}", server.address);
    found(&entry("kubernetes", &config)).await
}

fn shown_group(group: &TargetGroup) -> String {
    let mut out = format!(
        "{}\n{}\n",
        group.source,
        lines(&group.labels, "__meta_kubernetes_").join(" ")
    );
    for target in &group.targets {
        out.push_str(&format!(
            "- {}\n",
            lines(target, "__meta_kubernetes_").join(" ")
        ));
    }
    out
}

const POD_LABELS: &str = "pod_annotation_note=n pod_annotationpresent_note=true pod_controller_kind=ReplicaSet pod_controller_name=web pod_host_ip=10.0.0.1 pod_ip=10.1.0.1 pod_label_app_io_x=web pod_labelpresent_app_io_x=true pod_name=web-1 pod_node_name=n1 pod_phase=Running pod_ready=true pod_uid=u-1";

#[tokio::test]
async fn nodes_services_and_ingresses_are_targets() {
    let server = Server::start().await;
    server.say(
        "/api/v1/nodes",
        &list(&[NODE, r#"{"metadata": {"name": "lost"}}"#]),
    );
    let found = groups(&server, "role: node").await.unwrap();
    assert_eq!(found.len(), 1);
    assert_eq!(
        shown_group(&found[0]),
        "node/n1\nnode_condition_ready=true node_label_zone=z node_labelpresent_zone=true node_name=n1 node_provider_id=p://1\n\
         - __address__=10.0.0.1:10250 node_address_ExternalIP=1.2.3.4 node_address_InternalIP=10.0.0.1 instance=n1\n"
    );
    server.say("/api/v1/namespaces/shop/services", &list(&[SERVICE]));
    let namespace = r#"{"metadata": {"name": "shop", "labels": {"team": "t"}}}"#;
    server.say("/api/v1/namespaces", &list(&[namespace]));
    let attached = "namespaces: {names: [shop]}, attach_metadata: {namespace: true}";
    let found = groups(&server, &format!("role: service, {attached}"))
        .await
        .unwrap();
    assert_eq!(
        shown_group(&found[0]),
        "svc/shop/web\nnamespace=shop namespace_label_team=t namespace_labelpresent_team=true service_label_a=b service_labelpresent_a=true service_name=web\n\
         - __address__=web.shop.svc:8080 service_cluster_ip=10.2.0.1 service_loadbalancer_ip=8.8.8.8,8.8.4.4 service_port_name=http service_port_number=8080 service_port_protocol=TCP service_type=LoadBalancer\n"
    );
    let ingress = r#"{"metadata": {"name": "i", "namespace": "shop"}, "spec": {"ingressClassName": "nginx", "tls": [{"hosts": ["*.x.org"]}],
        "rules": [{"host": "a.x.org", "http": {"paths": [{"path": "/p"}, {}]}}, {"host": "b.org"}]}}"#;
    server.say("/apis/networking.k8s.io/v1/ingresses", &list(&[ingress]));
    let found = groups(&server, "role: ingress").await.unwrap();
    assert_eq!(
        shown_group(&found[0]),
        "ingress/shop/i\ningress_class_name=nginx ingress_name=i namespace=shop\n\
         - __address__=a.x.org ingress_host=a.x.org ingress_path=/p ingress_scheme=https\n\
         - __address__=a.x.org ingress_host=a.x.org ingress_path=/ ingress_scheme=https\n\
         - __address__=b.org ingress_host=b.org ingress_path=/ ingress_scheme=http\n"
    );
}

#[tokio::test]
async fn pods_are_targets() {
    let server = Server::start().await;
    server.say("/api/v1/pods", &list(&[POD]));
    server.say("/api/v1/nodes", &list(&[NODE]));
    let replica_set = r#"{"metadata": {"name": "web", "namespace": "shop", "ownerReferences": [{"kind": "Deployment", "name": "web-d", "controller": true}]}}"#;
    server.say("/apis/apps/v1/replicasets", &list(&[replica_set]));
    let settings = "role: pod, selectors: [{role: pod, label: 'a in (b)', field: spec.nodeName=n1}], attach_metadata: {node: true, deployment: true}";
    let found = groups(&server, settings).await.unwrap();
    let labels = POD_LABELS.replace("pod_host_ip", "pod_deployment_name=web-d pod_host_ip");
    assert_eq!(
        shown_group(&found[0]),
        format!(
            "pod/shop/web-1\nnamespace=shop node_label_zone=z node_labelpresent_zone=true node_name=n1 {labels}\n\
             - __address__=10.1.0.1:80 pod_container_id=docker://abc pod_container_image=i:1 pod_container_init=false pod_container_name=c pod_container_port_name=http pod_container_port_number=80 pod_container_port_protocol=TCP\n\
             - __address__=10.1.0.1:81 pod_container_id=docker://abc pod_container_image=i:1 pod_container_init=false pod_container_name=c pod_container_port_name=dbg pod_container_port_number=81 pod_container_port_protocol=TCP\n\
             - __address__=10.1.0.1 pod_container_id= pod_container_image=s:1 pod_container_init=false pod_container_name=side\n\
             - __address__=10.1.0.1:82 pod_container_id= pod_container_image=x:1 pod_container_init=true pod_container_name=init pod_container_port_name= pod_container_port_number=82 pod_container_port_protocol=UDP\n"
        )
    );
    let asked: Vec<_> = server.requests().into_iter().map(|r| r.path).collect();
    assert!(
        asked.contains(
            &"/api/v1/pods?limit=500&labelSelector=a+in+%28b%29&fieldSelector=spec.nodeName%3Dn1"
                .to_owned()
        )
    );
    // A node that was not selected takes its pods with it.
    server.say("/api/v1/nodes", &list(&[]));
    let found = groups(&server, settings).await.unwrap();
    assert_eq!(found[0].targets, []);
}

#[tokio::test]
async fn jobs_and_cron_jobs_are_named() {
    let server = Server::start().await;
    let pod = POD
        .replace("ReplicaSet", "Job")
        .replace("\"name\": \"web\",", "\"name\": \"job\",");
    server.say("/api/v1/pods", &list(&[&pod]));
    let job = r#"{"metadata": {"name": "job", "namespace": "shop", "ownerReferences": [{"kind": "CronJob", "name": "nightly", "controller": true}]}}"#;
    server.say("/apis/batch/v1/jobs", &list(&[job]));
    let found = groups(
        &server,
        "role: pod, attach_metadata: {job: true, cronjob: true}",
    )
    .await
    .unwrap();
    assert_eq!(found[0].labels["__meta_kubernetes_pod_job_name"], "job");
    assert_eq!(
        found[0].labels["__meta_kubernetes_pod_cronjob_name"],
        "nightly"
    );
}

#[tokio::test]
async fn endpoints_and_the_pods_behind_them_are_targets() {
    let server = Server::start().await;
    server.say("/api/v1/pods", &list(&[POD]));
    server.say("/api/v1/services", &list(&[SERVICE]));
    let endpoints = r#"{"metadata": {"name": "web", "namespace": "shop"}, "subsets": [{"ports": [{"name": "http", "port": 80, "protocol": "SCTP"}],
        "addresses": [{"ip": "10.1.0.1", "nodeName": "n1", "hostname": "h", "targetRef": {"kind": "Pod", "namespace": "shop", "name": "web-1"}}],
        "notReadyAddresses": [{"ip": "10.1.0.9"}]}]}"#;
    server.say("/api/v1/endpoints", &list(&[endpoints]));
    let found = groups(&server, "role: endpoints").await.unwrap();
    let others = |number: u16,
                  name: &str,
                  init: bool,
                  container: &str,
                  image: &str,
                  protocol: &str| {
        format!(
            "- __address__=10.1.0.1:{number} {} pod_container_image={image} pod_container_init={init} pod_container_name={container} pod_container_port_name={name} pod_container_port_number={number} pod_container_port_protocol={protocol} {}\n",
            &POD_LABELS[..POD_LABELS.find("pod_controller").unwrap() - 1],
            &POD_LABELS[POD_LABELS.find("pod_controller").unwrap()..]
        )
    };
    let rest =
        others(81, "dbg", false, "c", "i:1", "TCP") + &others(82, "", true, "init", "x:1", "UDP");
    let covered = |protocol: &str| {
        others(80, "http", false, "c", "i:1", protocol).replace("- __address__=10.1.0.1:80 ", "")
    };
    assert_eq!(
        shown_group(&found[0]),
        format!(
            "endpoints/shop/web\nendpoints_name=web namespace=shop service_label_a=b service_labelpresent_a=true service_name=web\n\
             - __address__=10.1.0.1:80 endpoint_address_target_kind=Pod endpoint_address_target_name=web-1 endpoint_hostname=h endpoint_node_name=n1 endpoint_port_name=http endpoint_port_protocol=SCTP endpoint_ready=true {}\
             - __address__=10.1.0.9:80 endpoint_port_name=http endpoint_port_protocol=SCTP endpoint_ready=false\n{rest}",
            covered("SCTP")
        )
    );
    let slice = |family: &str| {
        format!(
            r#"{{"metadata": {{"name": "web-{family}", "namespace": "shop", "labels": {{"kubernetes.io/service-name": "web"}}}}, "addressType": "{family}",
        "ports": [{{"name": "http", "port": 80, "protocol": "SCTP", "appProtocol": "h2"}}],
        "endpoints": [{{"addresses": ["10.1.0.1"], "conditions": {{"ready": true, "terminating": false}}, "nodeName": "n1", "zone": "z",
            "deprecatedTopology": {{"a/b": "c"}}, "targetRef": {{"kind": "Pod", "namespace": "shop", "name": "web-1"}}}}]}}"#
        )
    };
    let slices = [slice("IPv4"), slice("IPv6")];
    let slices: Vec<_> = slices.iter().map(String::as_str).collect();
    server.say("/apis/discovery.k8s.io/v1/endpointslices", &list(&slices));
    let found = groups(&server, "role: endpointslice").await.unwrap();
    assert_eq!(
        shown_group(&found[0]),
        format!(
            "endpointslice/shop/web-IPv4\nendpointslice_address_type=IPv4 endpointslice_label_kubernetes_io_service_name=web endpointslice_labelpresent_kubernetes_io_service_name=true endpointslice_name=web-IPv4 namespace=shop service_label_a=b service_labelpresent_a=true service_name=web\n\
             - __address__=10.1.0.1:80 endpointslice_address_target_kind=Pod endpointslice_address_target_name=web-1 endpointslice_endpoint_conditions_ready=true endpointslice_endpoint_conditions_terminating=false endpointslice_endpoint_node_name=n1 endpointslice_endpoint_topology_a_b=c endpointslice_endpoint_topology_present_a_b=true endpointslice_endpoint_zone=z endpointslice_port=80 endpointslice_port_app_protocol=h2 endpointslice_port_name=http endpointslice_port_protocol=SCTP {}{rest}",
            covered("TCP")
        )
    );
    assert_eq!(found[1].targets, [], "the second family of a service");
}

#[tokio::test]
async fn a_namespace_that_cannot_be_listed_does_not_hide_others() {
    let server = Server::start().await;
    server.say("/api/v1/namespaces/shop/pods", &list(&[POD]));
    server.answer("/api/v1/namespaces/other/pods", 403, "forbidden");
    let found = groups(&server, "role: pod, namespaces: {names: [shop, other]}").await;
    assert_eq!(found.unwrap().len(), 1);
    let error = groups(&server, "role: pod, namespaces: {names: [other]}").await;
    let error = error.unwrap_err();
    assert!(
        error.ends_with("server returned HTTP status 403 Forbidden: forbidden"),
        "{error}"
    );
}

mod watching {
    use axum::Router;
    use axum::body::{Body, Bytes};
    use axum::extract::{Query, State};
    use axum::http::StatusCode;
    use axum::response::{IntoResponse, Response};
    use std::collections::BTreeMap;
    use std::sync::Mutex;
    use tokio::sync::mpsc;

    use super::*;
    use crate::discovery::Discovery;

    type Params = BTreeMap<String, String>;

    #[derive(Default)]
    pub(super) struct Api {
        /// What was asked for, with the parameters that matter.
        asked: Mutex<Vec<String>>,
        /// Bodies of lists, by the `continue` that they answer.
        pages: Mutex<BTreeMap<String, (u16, String)>>,
        /// The watch that is open.
        watch: Mutex<Option<mpsc::UnboundedSender<String>>>,
    }

    impl Api {
        fn page(&self, at: &str, status: u16, next: &str, version: &str, names: &[&str]) {
            let items: Vec<_> = names.iter().map(|name| pod(name, "1")).collect();
            let items = items.join(",");
            let page = format!(
                r#"{{"metadata": {{"resourceVersion": "{version}", "continue": "{next}"}}, "items": [{items}]}}"#
            );
            self.pages
                .lock()
                .unwrap()
                .insert(at.to_owned(), (status, page));
        }

        /// Sends an event as soon as a watch is open.
        async fn send(&self, kind: &str, object: &str) {
            loop {
                let sent = match &*self.watch.lock().unwrap() {
                    Some(watch) => watch
                        .send(format!("{{\"type\": \"{kind}\", \"object\": {object}}}\n"))
                        .is_ok(),
                    None => false,
                };
                match sent {
                    true => return,
                    false => tokio::time::sleep(Duration::from_millis(1)).await,
                }
            }
        }

        fn take_asked(&self) -> Vec<String> {
            std::mem::take(&mut *self.asked.lock().unwrap())
        }
    }

    fn pod(name: &str, version: &str) -> String {
        format!(
            r#"{{"metadata": {{"name": "{name}", "namespace": "n", "resourceVersion": "{version}"}}, "spec": {{"containers": [{{"name": "c"}}]}}, "status": {{"podIP": "10.0.0.1"}}}}"#
        )
    }

    async fn handle(State(api): State<Arc<Api>>, Query(params): Query<Params>) -> Response {
        let param = |name: &str| params.get(name).cloned().unwrap_or_default();
        if params.contains_key("watch") {
            let version = param("resourceVersion");
            api.asked.lock().unwrap().push(format!("watch {version}"));
            let (sender, receiver) = mpsc::unbounded_channel::<String>();
            *api.watch.lock().unwrap() = Some(sender);
            let events = futures::stream::unfold(receiver, |mut receiver| async move {
                let event = receiver.recv().await?;
                Some((Ok::<_, std::io::Error>(Bytes::from(event)), receiver))
            });
            return Body::from_stream(events).into_response();
        }
        let next = param("continue");
        let limit = param("limit");
        api.asked
            .lock()
            .unwrap()
            .push(format!("list {limit} {next}"));
        let page = api.pages.lock().unwrap().get(&next).cloned();
        let (status, body) = page.unwrap_or((404, String::new()));
        (StatusCode::from_u16(status).unwrap(), body).into_response()
    }

    async fn started() -> (Arc<Api>, Box<dyn Discovery>) {
        let api = Arc::<Api>::default();
        let router = Router::new().fallback(handle).with_state(Arc::clone(&api));
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
        let config = format!("{{api_server: 'http://{address}', role: pod}}");
        let discovery = crate::discovery::kubernetes::quick(&entry("kubernetes", &config));
        (api, discovery)
    }

    async fn names(discovery: &mut Box<dyn Discovery>) -> Vec<String> {
        let groups = discovery.refresh().await.unwrap();
        groups.into_iter().map(|group| group.source).collect()
    }

    #[tokio::test]
    async fn a_list_has_pages() {
        let (api, mut discovery) = started().await;
        api.page("", 200, "p2", "5", &["a"]);
        api.page("p2", 200, "", "5", &["b"]);
        assert_eq!(names(&mut discovery).await, ["pod/n/a", "pod/n/b"]);
        assert_eq!(api.take_asked(), ["list 500 ", "list 500 p2"]);
    }

    #[tokio::test]
    async fn a_list_that_expires_is_asked_for_at_once() {
        let (api, mut discovery) = started().await;
        api.page("", 200, "p2", "5", &["a"]);
        api.page("p2", 410, "", "5", &[]);
        let refreshed = tokio::spawn({
            let api = Arc::clone(&api);
            async move {
                while !api
                    .asked
                    .lock()
                    .unwrap()
                    .contains(&"list 500 p2".to_owned())
                {
                    tokio::task::yield_now().await;
                }
                api.page("", 200, "", "6", &["a", "b"]);
            }
        });
        let found = names(&mut discovery).await;
        refreshed.await.unwrap();
        assert_eq!(found.last().unwrap(), "pod/n/b");
        assert_eq!(api.take_asked().last().unwrap(), "list 0 ");
    }

    #[tokio::test]
    async fn events_change_what_is_found_without_a_list() {
        let (api, mut discovery) = started().await;
        api.page("", 200, "", "5", &["a", "b"]);
        assert_eq!(names(&mut discovery).await.len(), 2);
        let sender = tokio::spawn({
            let api = Arc::clone(&api);
            async move {
                api.send("ADDED", &pod("c", "6")).await;
                api.send("DELETED", &pod("a", "7")).await;
                api.send("BOOKMARK", r#"{"metadata": {"resourceVersion": "9"}}"#)
                    .await;
            }
        });
        discovery.changed().await;
        sender.await.unwrap();
        // The second event may have come after the changes were gathered.
        while names(&mut discovery).await != ["pod/n/b", "pod/n/c"] {
            discovery.changed().await;
        }
        assert_eq!(api.take_asked(), ["list 500 ", "watch 5"]);
    }

    #[tokio::test]
    async fn a_watch_that_ends_goes_on_where_it_was() {
        let (api, mut discovery) = started().await;
        api.page("", 200, "", "5", &["a"]);
        names(&mut discovery).await;
        let sender = tokio::spawn({
            let api = Arc::clone(&api);
            async move {
                api.send("BOOKMARK", r#"{"metadata": {"resourceVersion": "9"}}"#)
                    .await;
                *api.watch.lock().unwrap() = None;
                api.send("MODIFIED", &pod("b", "10")).await;
            }
        });
        discovery.changed().await;
        sender.await.unwrap();
        assert_eq!(names(&mut discovery).await, ["pod/n/a", "pod/n/b"]);
        assert_eq!(api.take_asked(), ["list 500 ", "watch 5", "watch 9"]);
    }

    #[tokio::test]
    async fn a_version_that_is_too_old_leads_to_a_list() {
        let (api, mut discovery) = started().await;
        api.page("", 200, "", "5", &["a"]);
        names(&mut discovery).await;
        api.page("", 200, "", "50", &["z"]);
        let sender = tokio::spawn({
            let api = Arc::clone(&api);
            async move {
                api.send(
                    "ERROR",
                    r#"{"kind": "Status", "code": 410, "message": "too old"}"#,
                )
                .await
            }
        });
        discovery.changed().await;
        sender.await.unwrap();
        assert_eq!(names(&mut discovery).await, ["pod/n/z"]);
        assert_eq!(api.take_asked(), ["list 500 ", "watch 5", "list 500 "]);
    }
}
