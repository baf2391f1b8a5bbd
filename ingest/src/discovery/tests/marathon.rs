use super::config::{entry, refused, shown};
use super::server::{Server, found, lines};

#[test]
fn the_configuration_is_checked_and_shown() {
    refused(
        "marathon",
        &[
            (
                "{}",
                "marathon_sd: must contain at least one Marathon server",
            ),
            (
                "{servers: [a], auth_token: t, auth_token_file: f}",
                "marathon_sd: at most one of auth_token & auth_token_file must be configured",
            ),
            (
                "{servers: [a], auth_token: t, basic_auth: {username: u}}",
                "marathon_sd: at most one of basic_auth, auth_token & auth_token_file must be configured",
            ),
            (
                "{servers: [a], auth_token_file: f, bearer_token: b}",
                "marathon_sd: at most one of bearer_token, bearer_token_file, auth_token & auth_token_file must be configured",
            ),
            (
                "{servers: [a], auth_token: t, authorization: {credentials: c}}",
                "marathon_sd: at most one of auth_token, auth_token_file & authorization must be configured",
            ),
        ],
    );
    shown(
        "marathon",
        "{servers: ['http://a', 'http://b'], auth_token: t}",
        "- servers:\n  - http://a\n  - http://b\n  refresh_interval: 30s\n  auth_token: <secret>\n  follow_redirects: true\n  enable_http2: true",
    );
    shown(
        "marathon",
        "{servers: ['http://a'], auth_token_file: f}",
        "- servers:\n  - http://a\n  refresh_interval: 30s\n  auth_token_file: /etc/varve/f\n  follow_redirects: true\n  enable_http2: true",
    );
}

/// What is found where Marathon knows one app.
async fn app(app: &str) -> Vec<String> {
    let server = Server::start().await;
    server.say("/v2/apps/", &format!("{{\"apps\": [{app}]}}"));
    let config = format!("{{servers: ['http://{}'], auth_token: t}}", server.address);
    let groups = found(&entry("marathon", &config)).await.unwrap();
    assert_eq!(server.last().path, "/v2/apps/?embed=apps.tasks");
    assert_eq!(server.last().header("authorization"), "token=t");
    let mut out = vec![lines(&groups[0].labels, "__meta_marathon_").join(" ")];
    let targets = groups[0].targets.iter();
    out.extend(targets.map(|target| lines(target, "__meta_marathon_").join(" ")));
    out
}

#[tokio::test]
async fn tasks_are_targets() {
    let task = r#""tasks": [{"id": "t", "host": "h", "ports": [31000, 32000], "ipAddresses": [{"ipAddress": "10.0.0.1", "protocol": "IPv4"}]}]"#;
    let mappings = r#"[{"labels": {"my-x": "y"}, "containerPort": 80, "hostPort": 0}, {"containerPort": 81, "hostPort": 32001}]"#;
    let head = |rest: &str| format!(r#"{{"id": "/a", {task}, "labels": {{"my-l": "v"}}, {rest}}}"#);
    let of_app = "app=/a app_label_my_l=v image=";
    for (rest, expected) in [
        (
            format!(r#""container": {{"docker": {{"image": "i:1"}}, "portMappings": {mappings}}}"#),
            vec![
                "app=/a app_label_my_l=v image=i:1",
                "__address__=h:31000 port_index=0 port_mapping_label_my_x=y task=t",
                "__address__=h:32001 port_index=1 task=t",
            ],
        ),
        (
            format!(r#""container": {{"docker": {{"portMappings": {mappings}}}}}, "networks": [{{"mode": "container", "name": "n"}}]"#),
            vec![
                of_app,
                "__address__=10.0.0.1:80 port_index=0 port_mapping_label_my_x=y task=t",
                "__address__=10.0.0.1:81 port_index=1 task=t",
            ],
        ),
        (
            r#""portDefinitions": [{"labels": {"x": "y"}, "port": 8080}, {"port": 8081}], "requirePorts": true"#.to_owned(),
            vec![
                of_app,
                "__address__=h:8080 port_definition_label_x=y port_index=0 task=t",
                "__address__=h:8081 port_index=1 task=t",
            ],
        ),
        (
            r#""portDefinitions": [{"port": 8080}, {"port": 8081}]"#.to_owned(),
            vec![
                of_app,
                "__address__=h:31000 port_index=0 task=t",
                "__address__=h:32000 port_index=1 task=t",
            ],
        ),
        (
            r#""container": null"#.to_owned(),
            vec![
                of_app,
                "__address__=h:31000 port_index=0 task=t",
                "__address__=h:32000 port_index=1 task=t",
            ],
        ),
    ] {
        assert_eq!(app(&head(&rest)).await, expected, "{rest}");
    }
}

#[tokio::test]
async fn a_server_that_fails_is_an_error() {
    let server = Server::start().await;
    server.answer("/v2/apps/", 503, "");
    let config = format!("{{servers: ['http://{}']}}", server.address);
    let error = found(&entry("marathon", &config)).await.unwrap_err();
    assert_eq!(
        error,
        "non 2xx status '503' response during marathon service discovery"
    );
}
