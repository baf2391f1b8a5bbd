use super::config::{entry, refused, shown};
use super::server::{Server, found, lines};

const APPS: &str = r#"<applications><versions__delta>1</versions__delta><application><name>A &amp; B</name>
  <instance><instanceId>i:1</instanceId><hostName>h1</hostName><ipAddr>1.2.3.4</ipAddr><status>UP</status>
    <port enabled="true">8080</port><securePort enabled="false">443</securePort><countryId>1</countryId>
    <dataCenterInfo class="x"><name>Amazon</name><metadata><ami-id>a</ami-id></metadata></dataCenterInfo>
    <metadata><management.port>8090</management.port><e/></metadata>
    <homePageUrl>http://h1/</homePageUrl><vipAddress>v</vipAddress></instance>
  <instance><instanceId>i:2</instanceId><hostName>h2</hostName></instance>
</application></applications>"#;

#[test]
fn the_configuration_is_checked_and_shown() {
    refused(
        "eureka",
        &[
            ("{}", "eureka_sd: empty or null eureka server"),
            ("{server: x}", "eureka_sd: invalid eureka server URL"),
            (
                "{server: 'http://'}",
                "eureka_sd: invalid eureka server URL",
            ),
        ],
    );
    shown(
        "eureka",
        "{server: 'http://x/eureka'}",
        "- server: http://x/eureka\n  follow_redirects: true\n  enable_http2: true\n  refresh_interval: 30s",
    );
}

#[tokio::test]
async fn instances_become_targets() {
    let server = Server::start().await;
    server.say("/eureka/apps", APPS);
    let url = format!("http://{}/eureka", server.address);
    let config = entry("eureka", &format!("{{server: '{url}'}}"));
    let groups = found(&config).await.unwrap();
    let shown: Vec<_> = lines(&groups[0].targets[0], "__meta_eureka_")
        .into_iter()
        .filter(|line| !line.ends_with('='))
        .collect();
    assert_eq!(
        shown,
        [
            "__address__=h1:8080",
            "app_instance_country_id=1",
            "app_instance_datacenterinfo_metadata_ami_id=a",
            "app_instance_datacenterinfo_name=Amazon",
            "app_instance_homepage_url=http://h1/",
            "app_instance_hostname=h1",
            "app_instance_id=i:1",
            "app_instance_ip_addr=1.2.3.4",
            "app_instance_metadata_management_port=8090",
            "app_instance_port=8080",
            "app_instance_port_enabled=true",
            "app_instance_secure_port=443",
            "app_instance_secure_port_enabled=false",
            "app_instance_status=UP",
            "app_instance_vip_address=v",
            "app_name=A & B",
            "instance=i:1",
        ]
    );
    assert_eq!(groups[0].targets[1]["__address__"], "h2:80");
    server.answer("/eureka/apps", 404, "");
    let error = found(&config).await.unwrap_err();
    assert_eq!(
        error,
        "non 2xx status '404' response during eureka service discovery"
    );
    server.say("/eureka/apps", "<applications><application>");
    let error = found(&config).await.unwrap_err();
    assert!(error.starts_with(&format!("\"{url}/apps\": ")), "{error}");
}
