#![allow(clippy::unwrap_used)]

mod managed;

use std::collections::BTreeMap;
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::Router;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use serde_json::{Value, json};

use super::api::AwsClient;
use super::*;
use crate::discovery::tests::config::{entry, refused, shown};
use crate::discovery::tests::server::{found, lines};
use crate::discovery::{DiscoveryConfig, TargetGroup};
use crate::environment::Environment;

#[test]
fn the_configuration_is_checked_and_shown() {
    refused(
        "ec2",
        &[
            (
                "{filters: [{name: a}]}",
                "EC2 SD configuration filter values cannot be empty",
            ),
            (
                "{clusters: [a]}",
                "field clusters not found in type aws.plain",
            ),
            ("{port: x}", "cannot unmarshal !!str `x` into int"),
        ],
    );
    refused(
        "aws",
        &[
            ("{}", "unknown AWS SD role \"\""),
            ("{role: s3}", "unknown AWS SD role \"s3\""),
        ],
    );
    shown(
        "ec2",
        "{}",
        "- endpoint: \"\"\n  region: \"\"\n  refresh_interval: 1m\n  port: 80\n  filters: []\n  follow_redirects: true\n  enable_http2: true",
    );
    shown(
        "ec2",
        "{region: r, access_key: a, secret_key: s, profile: p, role_arn: x, external_id: e, port: 9100, filters: [{name: f, values: [a, b]}]}",
        "- endpoint: \"\"\n  region: r\n  access_key: a\n  secret_key: <secret>\n  profile: p\n  role_arn: x\n  external_id: e\n  refresh_interval: 1m\n  port: 9100\n  filters:\n  - name: f\n    values:\n    - a\n    - b\n  follow_redirects: true\n  enable_http2: true",
    );
    shown(
        "ecs",
        "{clusters: [c], refresh_interval: 30s}",
        "- region: \"\"\n  endpoint: \"\"\n  clusters:\n  - c\n  port: 80\n  refresh_interval: 30s\n  request_concurrency: 20\n  follow_redirects: true\n  enable_http2: true",
    );
    shown(
        "lightsail",
        "{region: r}",
        "- endpoint: \"\"\n  region: r\n  refresh_interval: 1m\n  port: 80\n  follow_redirects: true\n  enable_http2: true",
    );
    shown(
        "aws",
        "{role: ec2, region: r, filters: [{name: f, values: [v]}]}",
        "- role: ec2\n  region: r\n  follow_redirects: false\n  enable_http2: false\n  filters:\n  - name: f\n    values:\n    - v",
    );
    shown(
        "aws",
        "{role: ecs, port: 9100, refresh_interval: 10s, clusters: [c], follow_redirects: true}",
        "- role: ecs\n  refresh_interval: 10s\n  port: 9100\n  follow_redirects: true\n  enable_http2: false\n  clusters:\n  - c",
    );
}

type Asked = Arc<Mutex<Vec<(HeaderMap, String)>>>;

/// A service that answers by action, and what it was asked.
async fn service(answers: &[(&'static str, u16, String)]) -> (String, Asked) {
    type Answers = Arc<BTreeMap<&'static str, (u16, String)>>;
    async fn handle(
        State((answers, asked)): State<(Answers, Asked)>,
        headers: HeaderMap,
        body: Bytes,
    ) -> (StatusCode, String) {
        let body = String::from_utf8(body.to_vec()).unwrap();
        let action = match headers.get("x-amz-target") {
            Some(target) => target.to_str().unwrap().rsplit('.').next().unwrap(),
            None => body
                .split('&')
                .next()
                .unwrap()
                .strip_prefix("Action=")
                .unwrap(),
        };
        let answer = answers.get(action).cloned();
        let (status, answer) = answer.unwrap_or((400, format!("no {action}")));
        asked.lock().unwrap().push((headers.clone(), body.clone()));
        (StatusCode::from_u16(status).unwrap(), answer)
    }
    let answers = answers.iter().cloned();
    let answers: Answers = Arc::new(
        answers
            .map(|(a, status, body)| (a, (status, body)))
            .collect(),
    );
    let asked = Asked::default();
    let state = (answers, Arc::clone(&asked));
    let router = Router::new().fallback(handle).with_state(state);
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
    (url, asked)
}

fn settings(url: &str) -> String {
    format!("endpoint: '{url}', region: eu-west-2, access_key: a, secret_key: s")
}

const INSTANCES: &str = r#"<?xml version="1.0" encoding="UTF-8"?>
<DescribeInstancesResponse xmlns="http://ec2.amazonaws.com/doc/2016-11-15/"><requestId>r</requestId><reservationSet><item>
  <ownerId>42</ownerId><instancesSet>
  <item><instanceId>i-1</instanceId><imageId>ami-1</imageId><instanceState><code>16</code><name>running</name></instanceState>
    <privateDnsName>ip-10.internal</privateDnsName><dnsName>ec2.example</dnsName><instanceType>t3.nano</instanceType>
    <placement><availabilityZone>eu-west-2a</availabilityZone></placement><architecture>x86_64</architecture><platform>windows</platform>
    <privateIpAddress>10.0.0.1</privateIpAddress><ipAddress>1.2.3.4</ipAddress><instanceLifecycle>spot</instanceLifecycle>
    <vpcId>vpc-1</vpcId><subnetId>s-1</subnetId>
    <networkInterfaceSet><item><subnetId>s-1</subnetId><attachment><deviceIndex>1</deviceIndex></attachment>
        <ipv6AddressesSet><item><ipv6Address>fd::1</ipv6Address><isPrimaryIpv6>false</isPrimaryIpv6></item>
          <item><ipv6Address>fd::2</ipv6Address><isPrimaryIpv6>true</isPrimaryIpv6></item></ipv6AddressesSet></item>
      <item><subnetId>s-1</subnetId></item><item><subnetId>s-2</subnetId></item></networkInterfaceSet>
    <tagSet><item><key>Name</key><value>web &amp; more</value></item><item><key>a:b</key><value>c</value></item></tagSet></item>
  <item><instanceId>i-2</instanceId><imageId>ami-1</imageId><instanceState><name>stopped</name></instanceState><privateDnsName/>
    <placement><availabilityZone>x</availabilityZone></placement></item>
  </instancesSet></item></reservationSet></DescribeInstancesResponse>"#;

#[tokio::test]
async fn instances_of_ec2_are_targets() {
    let zones = "<R><availabilityZoneInfo><item><zoneName>eu-west-2a</zoneName><zoneId>euw2-az2</zoneId></item></availabilityZoneInfo></R>";
    let (url, asked) = service(&[
        ("DescribeAvailabilityZones", 200, zones.to_owned()),
        ("DescribeInstances", 200, INSTANCES.to_owned()),
    ])
    .await;
    let filters = "filters: [{name: 'tag:a b', values: [x, y]}]";
    let config = format!("{{{}, {filters}, port: 9100}}", settings(&url));
    let groups = found(&entry("ec2", &config)).await.unwrap();
    assert_eq!(groups[0].source, "eu-west-2");
    assert_eq!(groups[0].targets.len(), 1);
    assert_eq!(
        lines(&groups[0].targets[0], "__meta_ec2_"),
        [
            "__address__=10.0.0.1:9100",
            "ami=ami-1",
            "architecture=x86_64",
            "availability_zone=eu-west-2a",
            "availability_zone_id=euw2-az2",
            "default_ipv6_address=fd::2",
            "instance_id=i-1",
            "instance_lifecycle=spot",
            "instance_state=running",
            "instance_type=t3.nano",
            "ipv6_addresses=,fd::1,fd::2,",
            "owner_id=42",
            "platform=windows",
            "primary_ipv6_addresses=,,fd::2,",
            "primary_subnet_id=s-1",
            "private_dns_name=ip-10.internal",
            "private_ip=10.0.0.1",
            "public_dns_name=ec2.example",
            "public_ip=1.2.3.4",
            "region=eu-west-2",
            "subnet_id=,s-1,s-2,",
            "tag_Name=web & more",
            "tag_a_b=c",
            "vpc_id=vpc-1",
        ]
    );
    let (headers, body) = asked.lock().unwrap().last().unwrap().clone();
    assert_eq!(
        body,
        "Action=DescribeInstances&Version=2016-11-15&Filter.1.Name=tag%3Aa+b&Filter.1.Value.1=x&Filter.1.Value.2=y"
    );
    let authorization = headers["authorization"].to_str().unwrap();
    assert!(authorization.contains("/eu-west-2/ec2/aws4_request, SignedHeaders="));
}

#[tokio::test]
async fn errors_are_told_in_amazons_words() {
    let refused = "<Response><Errors><Error><Code>AuthFailure</Code><Message>no such key</Message></Error></Errors></Response>";
    let invalid =
        r##"{"__type": "com.amazonaws.ecs#InvalidParameterException", "message": "wrong"}"##;
    let (url, _) = service(&[
        ("DescribeInstances", 401, refused.to_owned()),
        ("ListClusters", 400, invalid.to_owned()),
    ])
    .await;
    let error = found(&entry("ec2", &format!("{{{}}}", settings(&url)))).await;
    assert_eq!(
        error.unwrap_err(),
        "could not describe instances: operation error EC2: DescribeInstances, https response error StatusCode: 401, api error AuthFailure: no such key"
    );
    let error = found(&entry("ecs", &format!("{{{}}}", settings(&url)))).await;
    assert_eq!(
        error.unwrap_err(),
        "could not list clusters: operation error ECS: ListClusters, https response error StatusCode: 400, api error InvalidParameterException: wrong"
    );
}

#[tokio::test]
async fn instances_of_lightsail_are_targets() {
    let instances = json!({"instances": [
        {"name": "n", "privateIpAddress": "10.0.0.1", "publicIpAddress": "1.2.3.4", "ipv6Addresses": ["fd::1"],
         "location": {"availabilityZone": "z"}, "state": {"code": 16, "name": "running"}, "blueprintId": "b", "bundleId": "m",
         "supportCode": "c", "tags": [{"key": "k", "value": "v"}, {"key": "no value"}]},
        {"name": "no address"}]});
    let (url, asked) = service(&[("GetInstances", 200, instances.to_string())]).await;
    let config = format!("{{role: lightsail, {}}}", settings(&url));
    let groups = found(&entry("aws", &config)).await.unwrap();
    assert_eq!(groups[0].targets.len(), 1);
    assert_eq!(
        lines(&groups[0].targets[0], "__meta_lightsail_"),
        [
            "__address__=10.0.0.1:80",
            "availability_zone=z",
            "blueprint_id=b",
            "bundle_id=m",
            "instance_name=n",
            "instance_state=running",
            "instance_support_code=c",
            "ipv6_addresses=,fd::1,",
            "private_ip=10.0.0.1",
            "public_ip=1.2.3.4",
            "region=eu-west-2",
            "tag_k=v",
        ]
    );
    let (headers, _) = asked.lock().unwrap().last().unwrap().clone();
    assert_eq!(headers["x-amz-target"], "Lightsail_20161128.GetInstances");
}

#[tokio::test]
async fn tasks_of_ecs_are_targets() {
    let interface =
        |details: Value| json!([{"type": "ElasticNetworkInterface", "details": details}]);
    let tasks = json!({"tasks": [
        {"taskArn": "t1", "group": "service:web", "taskDefinitionArn": "d1", "launchType": "FARGATE", "healthStatus": "HEALTHY",
         "lastStatus": "RUNNING", "desiredStatus": "RUNNING", "availabilityZone": "z", "platformFamily": "Linux", "platformVersion": "1.4",
         "tags": [{"key": "k", "value": "task"}],
         "attachments": interface(json!([{"name": "subnetId", "value": "s-1"}, {"name": "networkInterfaceId", "value": "eni-1"},
             {"name": "privateIPv4Address", "value": "10.0.0.1"}, {"name": "x"}]))},
        {"taskArn": "t2", "group": "family:x", "launchType": "EC2", "healthStatus": "UNKNOWN", "containerInstanceArn": "ci-1"},
        {"taskArn": "t3", "launchType": "FARGATE"}]});
    let instances = "<R><reservationSet><item><instancesSet><item><instanceId>i-1</instanceId><instanceType>t3</instanceType><subnetId>s-2</subnetId>\
        <privateIpAddress>10.9.9.9</privateIpAddress><ipAddress>9.9.9.9</ipAddress><instanceState><name>running</name></instanceState>\
        <tagSet><item><key>k</key><value>host</value></item></tagSet></item></instancesSet></item></reservationSet></R>";
    let interfaces = "<R><networkInterfaceSet><item><networkInterfaceId>eni-1</networkInterfaceId><association><publicIp>8.8.8.8</publicIp></association></item></networkInterfaceSet></R>";
    let service_of = json!({"services": [{"serviceArn": "s1", "serviceName": "web", "status": "ACTIVE", "tags": [{"key": "k", "value": "service"}]}]});
    let (url, _) = service(&[
        ("ListClusters", 200, json!({"clusterArns": ["c1"]}).to_string()),
        (
            "DescribeClusters",
            200,
            json!({"clusters": [{"clusterArn": "c1", "clusterName": "main", "tags": [{"key": "k", "value": "cluster"}]}]}).to_string(),
        ),
        ("ListServices", 200, json!({"serviceArns": ["s1"]}).to_string()),
        ("ListTasks", 200, json!({"taskArns": ["t1", "t2", "t3"]}).to_string()),
        ("DescribeServices", 200, service_of.to_string()),
        ("DescribeTasks", 200, tasks.to_string()),
        (
            "DescribeContainerInstances",
            200,
            json!({"containerInstances": [{"containerInstanceArn": "ci-1", "ec2InstanceId": "i-1"}]}).to_string(),
        ),
        ("DescribeInstances", 200, instances.to_owned()),
        ("DescribeNetworkInterfaces", 200, interfaces.to_owned()),
    ])
    .await;
    let DiscoveryConfig::Ecs(config) = entry("ecs", &format!("{{{}}}", settings(&url))) else {
        unreachable!()
    };
    let environment = Environment::of(&[("AWS_ENDPOINT_URL_EC2", &url)]);
    let discovery = config.discovery_in(environment, Failures::default());
    let groups = discovery.unwrap().refresh().await.unwrap();
    let shown: Vec<_> = groups[0]
        .targets
        .iter()
        .map(|t| lines(t, "__meta_ecs_").join(" "))
        .collect();
    assert_eq!(
        shown,
        [
            "__address__=10.0.0.1:80 availability_zone=z cluster=main cluster_arn=c1 desired_status=RUNNING health_status=HEALTHY ip_address=10.0.0.1 last_status=RUNNING launch_type=FARGATE network_mode=awsvpc platform_family=Linux platform_version=1.4 public_ip=8.8.8.8 region=eu-west-2 service=web service_arn=s1 service_status=ACTIVE subnet_id=s-1 tag_cluster_k=cluster tag_service_k=service tag_task_k=task task_arn=t1 task_definition=d1 task_group=service:web",
            "__address__=10.9.9.9:80 cluster=main cluster_arn=c1 container_instance_arn=ci-1 ec2_instance_id=i-1 ec2_instance_private_ip=10.9.9.9 ec2_instance_public_ip=9.9.9.9 ec2_instance_type=t3 health_status=UNKNOWN ip_address=10.9.9.9 launch_type=EC2 network_mode=bridge public_ip=9.9.9.9 region=eu-west-2 subnet_id=s-2 tag_cluster_k=cluster tag_ec2_k=host task_arn=t2 task_group=family:x",
        ]
    );
}

/// A server double of AWS that checks signatures after its first requests.
struct Moto(Child);

impl Drop for Moto {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

impl Moto {
    async fn start(port: u16, unchecked_requests: u32) -> Option<Self> {
        let started = Command::new("moto_server")
            .args(["-H", "127.0.0.1", "-p", &port.to_string()])
            .env(
                "INITIAL_NO_AUTH_ACTION_COUNT",
                unchecked_requests.to_string(),
            )
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn();
        let Ok(child) = started else {
            eprintln!("SKIPPED: moto_server is not installed");
            return None;
        };
        let moto = Self(child);
        for _ in 0..600 {
            let address = ("127.0.0.1", port);
            if tokio::net::TcpStream::connect(address).await.is_ok() {
                return Some(moto);
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        unreachable!("moto_server does not listen");
    }
}

fn aws_settings(config: &DiscoveryConfig) -> AwsSettings {
    match config {
        DiscoveryConfig::Ec2(config) => config.aws.clone(),
        DiscoveryConfig::Ecs(config) => config.0.aws.clone(),
        other => unreachable!("{other:?}"),
    }
}

async fn ask(
    client: &mut AwsClient,
    service: (&'static str, &str),
    action: &str,
    parameters: &[(&str, &str)],
) -> String {
    let parameters = parameters
        .iter()
        .map(|(k, v)| ((*k).to_owned(), (*v).to_owned()));
    let parameters: Vec<_> = parameters.collect();
    let (name, version) = service;
    let service = client.other_service(name, name).await.unwrap();
    let answer = client
        .ask_for_text(&service, action, version, &parameters)
        .await;
    answer.unwrap()
}

fn text<'a>(xml: &'a str, name: &str) -> &'a str {
    let (_, rest) = xml.split_once(&format!("<{name}>")).unwrap();
    rest.split_once(&format!("</{name}>")).unwrap().0
}

#[tokio::test]
#[ignore = "starts moto_server"]
async fn a_double_of_aws_is_understood() {
    let Some(_moto) = Moto::start(19571, 6).await else {
        return;
    };
    let url = "http://127.0.0.1:19571";
    let environment = [("AWS_ENDPOINT_URL", url)];
    let environment = Environment::of(&environment);
    let config = entry(
        "ec2",
        "{region: us-east-1, access_key: a, secret_key: s, port: 9100}",
    );
    let mut client = AwsClient::new(&aws_settings(&config), environment.clone()).unwrap();
    let ec2 = ("ec2", "2016-11-15");
    let iam = ("iam", "2010-05-08");
    // Not checked: what is to be found, and those who may look.
    let images = ask(&mut client, ec2, "DescribeImages", &[]).await;
    let image = text(&images, "imageId").to_owned();
    let run = [
        ("ImageId", image.as_str()),
        ("MinCount", "2"),
        ("MaxCount", "2"),
        ("InstanceType", "t3.nano"),
        ("TagSpecification.1.ResourceType", "instance"),
        ("TagSpecification.1.Tag.1.Key", "Name"),
        ("TagSpecification.1.Tag.1.Value", "web"),
    ];
    ask(&mut client, ec2, "RunInstances", &run).await;
    let policy = json!({"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Action": "*", "Resource": "*"}]}).to_string();
    let user = ("UserName", "u");
    ask(&mut client, iam, "CreateUser", &[user]).await;
    ask(
        &mut client,
        iam,
        "PutUserPolicy",
        &[user, ("PolicyName", "p"), ("PolicyDocument", &policy)],
    )
    .await;
    let key = ask(&mut client, iam, "CreateAccessKey", &[user]).await;
    let (access, secret) = (text(&key, "AccessKeyId"), text(&key, "SecretAccessKey"));
    let trust = json!({"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Principal": {"AWS": "*"}, "Action": "sts:AssumeRole"}]}).to_string();
    let role = ask(
        &mut client,
        iam,
        "CreateRole",
        &[("RoleName", "r"), ("AssumeRolePolicyDocument", &trust)],
    )
    .await;
    let role = text(&role, "Arn").to_owned();

    // From here on signatures count.
    let find = async |settings: String| -> Result<Vec<TargetGroup>, String> {
        let config = entry(
            "ec2",
            &format!("{{region: us-east-1, port: 9100, {settings}}}"),
        );
        let DiscoveryConfig::Ec2(config) = config else {
            unreachable!()
        };
        let mut discovery = config.discovery_in(environment.clone()).unwrap();
        discovery.refresh().await.map_err(|error| error.to_string())
    };
    let keys = format!("access_key: {access}, secret_key: '{secret}'");
    let filter = "filters: [{name: 'tag:Name', values: ['web', 'x y+z/']}]";
    let groups = find(format!("{keys}, {filter}")).await.unwrap();
    assert_eq!(groups[0].targets.len(), 2);
    let target = &groups[0].targets[0];
    assert_eq!(target["__meta_ec2_tag_Name"], "web");
    assert_eq!(target["__meta_ec2_ami"], image);
    assert_eq!(
        target["__meta_ec2_availability_zone_id"].split('-').next(),
        Some("use1")
    );
    let error = find(format!("access_key: {access}, secret_key: wrong")).await;
    let error = error.unwrap_err();
    assert!(
        error.contains("could not describe instances: operation error EC2: DescribeInstances"),
        "{error}"
    );
    // A role is taken on with the key.
    let mut settings = aws_settings(&config);
    settings.access_key = access.to_owned();
    settings.secret_key = Some(Secret::new(secret));
    settings.role_arn = role;
    let mut provider = crate::sigv4::Provider::new(
        settings.credentials(),
        environment.clone(),
        crate::discovery::api_client::ApiClient::new(&settings.http, Duration::from_secs(60))
            .unwrap(),
    );
    let credentials = provider.credentials("us-east-1").await.unwrap();
    assert!(credentials.session_token.is_some() && credentials.expires.is_some());

    let DiscoveryConfig::Ecs(config) = entry("ecs", &format!("{{region: us-east-1, {keys}}}"))
    else {
        unreachable!()
    };
    let mut discovery = config
        .discovery_in(environment, Failures::default())
        .unwrap();
    assert_eq!(discovery.refresh().await.unwrap()[0].targets, []);
}
