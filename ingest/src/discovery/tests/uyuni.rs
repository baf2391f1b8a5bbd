//! Against a server of our own, which answers calls of XML-RPC as Uyuni does.

use axum::Router;

use super::config::{entry, refused, shown};
use super::server::{found, lines};

#[test]
fn the_configuration_is_checked_and_shown() {
    refused(
        "uyuni",
        &[
            ("{}", "Uyuni SD configuration requires server host"),
            (
                "{server: 'http://x'}",
                "Uyuni SD configuration requires a username",
            ),
            (
                "{server: 'http://x', username: u}",
                "Uyuni SD configuration requires a password",
            ),
        ],
    );
    shown(
        "uyuni",
        "{server: 'https://x', username: u, password: p}",
        "- server: https://x\n  username: u\n  password: <secret>\n  follow_redirects: true\n  enable_http2: true\n  entitlement: monitoring_entitled\n  separator: ','\n  refresh_interval: 1m",
    );
}

fn answer(value: &str) -> String {
    format!(
        "<?xml version=\"1.0\"?><methodResponse><params><param><value>{value}</value></param></params></methodResponse>"
    )
}

fn fields(pairs: &[(&str, &str)]) -> String {
    let members = pairs
        .iter()
        .map(|(name, value)| format!("<member><name>{name}</name><value>{value}</value></member>"));
    format!("<struct>{}</struct>", members.collect::<String>())
}

fn list(items: &[String]) -> String {
    let items = items.iter().map(|item| format!("<value>{item}</value>"));
    format!("<array><data>{}</data></array>", items.collect::<String>())
}

async fn call(body: String) -> String {
    let (_, method) = body.split_once("<methodName>").unwrap();
    let (method, parameters) = method.split_once("</methodName>").unwrap();
    match method {
        "auth.login" if parameters.contains("<string>p&amp;q</string>") => {
            assert!(parameters.contains("<int>600</int>"), "{parameters}");
            answer("<string>session</string>")
        }
        "auth.login" => {
            let fault = fields(&[("faultCode", "<int>2950</int>"), ("faultString", "no")]);
            format!("<methodResponse><fault><value>{fault}</value></fault></methodResponse>")
        }
        "system.listSystemGroupsForSystemsWithEntitlement" => {
            assert!(parameters.contains("<string>monitoring_entitled</string>"));
            let group = |name| fields(&[("id", "<int>1</int>"), ("name", name)]);
            let groups = list(&[group("a"), group("b")]);
            answer(&list(&[fields(&[
                ("id", "<int>1000010000</int>"),
                ("system_groups", &groups),
            ])]))
        }
        "system.monitoring.listEndpoints" => {
            assert!(parameters.contains("<data><value><int>1000010000</int></value></data>"));
            let endpoint = |port: &str, tls: &str| {
                fields(&[
                    ("system_id", "<int>1000010000</int>"),
                    ("endpoint_name", "<string>postgres_exporter</string>"),
                    ("exporter_name", "postgres_exporter"),
                    ("module", ""),
                    ("path", "/metrics"),
                    ("port", &format!("<int>{port}</int>")),
                    ("tls_enabled", &format!("<boolean>{tls}</boolean>")),
                ])
            };
            answer(&list(&[endpoint("9187", "0"), endpoint("9188", "1")]))
        }
        "system.getNetworkForSystems" => answer(&list(&[fields(&[
            ("system_id", "<i4>1000010000</i4>"),
            ("hostname", "server.test"),
            ("primary_fqdn", "server.test.example"),
            ("ip", "10.0.0.1"),
        ])])),
        other => unreachable!("{other}"),
    }
}

#[tokio::test]
async fn endpoints_of_entitled_systems_are_targets() {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let router = Router::new().route("/manager/rpc/api", axum::routing::post(call));
    tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
    let settings = |password: &str| {
        format!(
            "{{server: 'http://{address}/manager/', username: u, password: '{password}', separator: ;}}"
        )
    };
    let groups = found(&entry("uyuni", &settings("p&q"))).await.unwrap();
    assert_eq!(
        groups[0].source,
        format!("http://{address}/manager/rpc/api")
    );
    assert_eq!(
        lines(&groups[0].targets[0], "__meta_uyuni_"),
        [
            "__address__=server.test:9187",
            "endpoint_name=postgres_exporter",
            "exporter=postgres_exporter",
            "groups=a;b",
            "metrics_path=/metrics",
            "minion_hostname=server.test",
            "primary_fqdn=server.test.example",
            "proxy_module=",
            "scheme=http",
            "system_id=1000010000",
        ]
    );
    assert_eq!(groups[0].targets[1]["__meta_uyuni_scheme"], "https");
    let error = found(&entry("uyuni", &settings("wrong")))
        .await
        .unwrap_err();
    assert_eq!(
        error,
        "unable to login to Uyuni API: error: \"no\" code: 2950"
    );
}
