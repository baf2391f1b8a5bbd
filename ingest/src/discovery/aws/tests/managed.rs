//! Services that Amazon runs for its users: against servers that answer as Amazon's do.

use super::*;
use crate::discovery::tests::server::Server;

#[test]
fn the_configurations_are_checked_and_shown() {
    for kind in ["elasticache", "msk"] {
        refused(
            kind,
            &[("{filters: []}", "field filters not found in type aws.plain")],
        );
        shown(
            kind,
            "{region: r, clusters: [c]}",
            "- region: r\n  endpoint: \"\"\n  clusters:\n  - c\n  port: 80\n  refresh_interval: 1m\n  request_concurrency: 10\n  follow_redirects: true\n  enable_http2: true",
        );
    }
    shown(
        "rds",
        "{filters: [{name: engine, values: [mysql]}], request_concurrency: 5}",
        "- region: \"\"\n  endpoint: \"\"\n  port: 80\n  refresh_interval: 1m\n  filters:\n  - name: engine\n    values:\n    - mysql\n  request_concurrency: 5\n  follow_redirects: true\n  enable_http2: true",
    );
    for role in ["elasticache", "msk", "rds"] {
        shown(
            "aws",
            &format!("{{role: {role}, clusters: [c]}}"),
            &format!(
                "- role: {role}\n  follow_redirects: false\n  enable_http2: false\n  clusters:\n  - c"
            ),
        );
    }
}

fn targets(groups: &[TargetGroup], prefix: &str) -> Vec<Vec<String>> {
    assert_eq!(groups.len(), 1);
    assert_eq!(groups[0].source, "eu-west-1");
    let targets = groups[0].targets.iter();
    targets.map(|target| lines(target, prefix)).collect()
}

const KEYS: &str = "region: eu-west-1, access_key: a, secret_key: s";

#[tokio::test]
async fn brokers_and_controllers_are_targets() {
    let server = Server::start().await;
    let arn = "arn:aws:kafka:eu-west-1:1:cluster/c/u-1";
    let cluster = format!(
        r#"{{"clusterArn": "{arn}", "clusterName": "c", "clusterType": "PROVISIONED", "currentVersion": "K1", "state": "ACTIVE", "tags": {{"a-b": "c"}},
        "provisioned": {{"currentBrokerSoftwareInfo": {{"kafkaVersion": "3.6.0", "configurationArn": "conf", "configurationRevision": 2}},
            "openMonitoring": {{"prometheus": {{"jmxExporter": {{"enabledInBroker": true}}, "nodeExporter": {{"enabledInBroker": false}}}}}}}}}}"#
    );
    let list = "/api/v2/clusters?clusterTypeFilter=PROVISIONED&maxResults=100";
    server.say(list, r#"{"clusterInfoList": [], "nextToken": "t+"}"#);
    let page = format!(r#"{{"clusterInfoList": [{cluster}]}}"#);
    server.say(&format!("{list}&nextToken=t%2B"), &page);
    server.say(
        "/v1/clusters/arn%3Aaws%3Akafka%3Aeu-west-1%3A1%3Acluster%2Fc%2Fu-1/nodes?maxResults=100",
        r#"{"nodeInfoList": [
            {"nodeARN": "n1", "addedToClusterTime": "2023-01-01T00:00:00Z", "instanceType": "kafka.m5.large", "nodeType": "BROKER",
             "brokerNodeInfo": {"attachedENIId": "eni-1", "brokerId": 1.0, "clientSubnet": "sub", "clientVpcIpAddress": "10.0.0.1",
                "endpoints": ["b-1.example", "b-1b.example"]}},
            {"nodeARN": "n2", "controllerNodeInfo": {"endpoints": ["c-1.example"]}}, {"nodeARN": "n3"}]}"#,
    );
    let settings = |rest: &str| {
        format!(
            "{{{KEYS}, endpoint: 'http://{}', port: 11001 {rest}}}",
            server.address
        )
    };
    let groups = found(&entry("msk", &settings(""))).await.unwrap();
    let found_targets = targets(&groups, "__meta_msk_");
    assert_eq!(found_targets.len(), 3);
    assert_eq!(
        found_targets[1],
        [
            "__address__=b-1b.example:11001",
            "broker_client_subnet=sub",
            "broker_client_vpc_ip=10.0.0.1",
            "broker_endpoint_index=1",
            "broker_id=1",
            "broker_node_exporter_enabled=false",
            "cluster_arn=arn:aws:kafka:eu-west-1:1:cluster/c/u-1",
            "cluster_configuration_arn=conf",
            "cluster_configuration_revision=2",
            "cluster_jmx_exporter_enabled=true",
            "cluster_kafka_version=3.6.0",
            "cluster_name=c",
            "cluster_state=ACTIVE",
            "cluster_tag_a_b=c",
            "cluster_type=PROVISIONED",
            "cluster_version=K1",
            "node_added_time=2023-01-01T00:00:00Z",
            "node_arn=n1",
            "node_attached_eni=eni-1",
            "node_instance_type=kafka.m5.large",
            "node_type=BROKER",
        ]
    );
    assert!(found_targets[2].contains(&"controller_endpoint_index=0".to_owned()));
    assert!(
        server
            .last()
            .header("authorization")
            .contains("/eu-west-1/kafka/aws4_request")
    );
    // Clusters that are named, of which one has no brokers.
    let path = "/api/v2/clusters/arn%3Aaws%3Akafka%3Aeu-west-1%3A1%3Acluster%2Fc%2Fu-1";
    server.say(path, &format!(r#"{{"clusterInfo": {cluster}}}"#));
    server.say(
        "/api/v2/clusters/other",
        r#"{"clusterInfo": {"clusterArn": "other", "clusterType": "SERVERLESS"}}"#,
    );
    let groups = found(&entry(
        "msk",
        &settings(&format!(", clusters: [other, '{arn}']")),
    ))
    .await;
    assert_eq!(groups.unwrap()[0].targets.len(), 3);
    let error = found(&entry("msk", &settings(", clusters: [x]")))
        .await
        .unwrap_err();
    assert!(
        error.starts_with(
            "could not describe cluster x: operation error Kafka: DescribeClusterV2, "
        ),
        "{error}"
    );
}

#[tokio::test]
async fn databases_of_clusters_are_targets() {
    let clusters = "<DescribeDBClustersResponse xmlns=\"http://rds.amazonaws.com/doc/2014-10-31/\"><DescribeDBClustersResult><DBClusters><DBCluster>\
        <DBClusterArn>arn:aws:rds:eu-west-1:1:cluster:c</DBClusterArn><DBClusterIdentifier>c</DBClusterIdentifier><AllocatedStorage>1</AllocatedStorage>\
        <ClusterCreateTime>2024-01-02T03:04:05.678Z</ClusterCreateTime><MultiAZ>true</MultiAZ><DBSubnetGroup>default</DBSubnetGroup>\
        <DBClusterMembers><DBClusterMember><DBInstanceIdentifier>i</DBInstanceIdentifier><IsClusterWriter>true</IsClusterWriter></DBClusterMember></DBClusterMembers>\
        <TagList><Tag><Key>k-1</Key><Value>v &amp; w</Value></Tag></TagList><Endpoint>c.example</Endpoint></DBCluster></DBClusters></DescribeDBClustersResult></DescribeDBClustersResponse>";
    let instances = "<DescribeDBInstancesResponse><DescribeDBInstancesResult><DBInstances><DBInstance><DBInstanceIdentifier>i</DBInstanceIdentifier>\
        <DBInstanceArn>arn:i</DBInstanceArn><DBInstanceClass>db.r5.large</DBInstanceClass><DbiResourceId>db-X</DbiResourceId>\
        <Endpoint><Address>i.example</Address><Port>3306</Port><HostedZoneId>Z</HostedZoneId></Endpoint>\
        <DBSubnetGroup><DBSubnetGroupName>sub</DBSubnetGroupName></DBSubnetGroup><InstanceCreateTime>2024-01-02T03:04:05Z</InstanceCreateTime>\
        <TagList><Tag><Key>t</Key><Value>u</Value></Tag></TagList></DBInstance></DBInstances></DescribeDBInstancesResult></DescribeDBInstancesResponse>";
    let (url, asked) = service(&[
        ("DescribeDBClusters", 200, clusters.to_owned()),
        ("DescribeDBInstances", 200, instances.to_owned()),
    ])
    .await;
    let settings = format!(
        "{{{KEYS}, endpoint: '{url}', port: 9104, filters: [{{name: engine, values: [mysql]}}]}}"
    );
    let groups = found(&entry("rds", &settings)).await.unwrap();
    assert_eq!(
        targets(&groups, "__meta_rds_"),
        [[
            "__address__=i.example:9104",
            "cluster_allocated_storage=1",
            "cluster_arn=arn:aws:rds:eu-west-1:1:cluster:c",
            "cluster_cluster_create_time=2024-01-02T03:04:05Z",
            "cluster_endpoint=c.example",
            "cluster_identifier=c",
            "cluster_multi_az=true",
            "cluster_subnet_group=default",
            "cluster_tag_k_1=v & w",
            "instance_arn=arn:i",
            "instance_class=db.r5.large",
            "instance_endpoint_address=i.example",
            "instance_endpoint_hosted_zone_id=Z",
            "instance_endpoint_port=3306",
            "instance_identifier=i",
            "instance_instance_create_time=2024-01-02T03:04:05Z",
            "instance_is_cluster_writer=true",
            "instance_resource_id=db-X",
            "instance_subnet_group=sub",
            "instance_tag_t=u",
        ]]
    );
    let (_, question) = asked.lock().unwrap().pop().unwrap();
    assert_eq!(
        question,
        "Action=DescribeDBInstances&Version=2014-10-31&Filters.Filter.1.Name=db-cluster-id&Filters.Filter.1.Values.Value.1=arn%3Aaws%3Ards%3Aeu-west-1%3A1%3Acluster%3Ac&Filters.Filter.2.Name=engine&Filters.Filter.2.Values.Value.1=mysql&MaxRecords=100"
    );
    let given = format!("{{role: rds, {KEYS}, endpoint: '{url}', clusters: [x]}}");
    assert_eq!(
        found(&entry("aws", &given)).await.unwrap()[0].targets.len(),
        1
    );
    let refusal = "<ErrorResponse><Error><Code>AccessDenied</Code><Message>no</Message></Error></ErrorResponse>";
    let (url, _) = service(&[("DescribeDBClusters", 403, refusal.to_owned())]).await;
    let settings = format!("{{{KEYS}, endpoint: '{url}'}}");
    assert_eq!(
        found(&entry("rds", &settings)).await.unwrap_err(),
        "error describing all DB clusters: failed to describe DB clusters: operation error RDS: DescribeDBClusters, https response error StatusCode: 403, api error AccessDenied: no"
    );
}

#[tokio::test]
async fn caches_are_targets() {
    let serverless = "<DescribeServerlessCachesResponse><DescribeServerlessCachesResult><ServerlessCaches><member><ARN>arn:s</ARN>\
        <ServerlessCacheName>s</ServerlessCacheName><Status>available</Status><CreateTime>2024-01-02T03:04:05.678Z</CreateTime>\
        <Endpoint><Address>s.example</Address><Port>6379</Port></Endpoint><ReaderEndpoint><Address>r.example</Address><Port>6380</Port></ReaderEndpoint>\
        <SecurityGroupIds><SecurityGroupId>sg-1</SecurityGroupId></SecurityGroupIds><SubnetIds><SubnetId>sub-1</SubnetId><SubnetId>sub-2</SubnetId></SubnetIds>\
        <CacheUsageLimits><DataStorage><Maximum>10</Maximum><Unit>GB</Unit></DataStorage></CacheUsageLimits></member></ServerlessCaches>\
        </DescribeServerlessCachesResult></DescribeServerlessCachesResponse>";
    let clusters = "<DescribeCacheClustersResponse><DescribeCacheClustersResult><CacheClusters><CacheCluster><ARN>arn:c</ARN><CacheClusterId>c</CacheClusterId>\
        <Engine>redis</Engine><CacheParameterGroup><CacheParameterGroupName>pg</CacheParameterGroupName></CacheParameterGroup>\
        <SecurityGroups><member><SecurityGroupId>sg-2</SecurityGroupId><Status>active</Status></member></SecurityGroups>\
        <LogDeliveryConfigurations><LogDeliveryConfiguration><LogType>slow-log</LogType><DestinationDetails><CloudWatchLogsDetails><LogGroup>lg</LogGroup></CloudWatchLogsDetails></DestinationDetails></LogDeliveryConfiguration></LogDeliveryConfigurations>\
        <PendingModifiedValues><CacheNodeIdsToRemove><CacheNodeId>1</CacheNodeId><CacheNodeId>2</CacheNodeId></CacheNodeIdsToRemove></PendingModifiedValues>\
        <CacheNodes><CacheNode><CacheNodeId>0001</CacheNodeId><CacheNodeCreateTime>2024-01-02T03:04:05Z</CacheNodeCreateTime><Endpoint><Address>n1.example</Address><Port>6379</Port></Endpoint></CacheNode>\
        <CacheNode><CacheNodeId>0002</CacheNodeId></CacheNode></CacheNodes></CacheCluster></CacheClusters></DescribeCacheClustersResult></DescribeCacheClustersResponse>";
    let tags = "<ListTagsForResourceResponse><ListTagsForResourceResult><TagList><Tag><Key>k</Key><Value>v</Value></Tag></TagList></ListTagsForResourceResult></ListTagsForResourceResponse>";
    let (url, asked) = service(&[
        ("DescribeServerlessCaches", 200, serverless.to_owned()),
        ("DescribeCacheClusters", 200, clusters.to_owned()),
        ("ListTagsForResource", 200, tags.to_owned()),
    ])
    .await;
    let groups = found(&entry(
        "elasticache",
        &format!("{{{KEYS}, endpoint: '{url}'}}"),
    ))
    .await;
    let found_targets = targets(&groups.unwrap(), "__meta_elasticache_");
    assert_eq!(found_targets.len(), 3);
    assert_eq!(
        found_targets[0],
        [
            "__address__=s.example:6379",
            "deployment_option=serverless",
            "serverless_cache_arn=arn:s",
            "serverless_cache_cache_usage_limit_data_storagemaximum=10",
            "serverless_cache_cache_usage_limit_data_storageunit=GB",
            "serverless_cache_create_time=2024-01-02T03:04:05Z",
            "serverless_cache_endpoint_address=s.example",
            "serverless_cache_endpoint_port=6379",
            "serverless_cache_endpoint_reader_address=r.example",
            "serverless_cache_endpoint_reader_port=6380",
            "serverless_cache_name=s",
            "serverless_cache_security_group_id_0=sg-1",
            "serverless_cache_status=available",
            "serverless_cache_subnet_id_0=sub-1",
            "serverless_cache_subnet_id_1=sub-2",
            "serverless_cache_tag_k=v",
        ]
    );
    assert_eq!(
        found_targets[1],
        [
            "__address__=n1.example:6379",
            "cache_cluster_arn=arn:c",
            "cache_cluster_cache_cluster_id=c",
            "cache_cluster_cache_parameter_group=pg",
            "cache_cluster_engine=redis",
            "cache_cluster_log_delivery_configuration_log_group_0=lg",
            "cache_cluster_log_delivery_configuration_log_type_0=slow-log",
            "cache_cluster_node_create_time=2024-01-02T03:04:05Z",
            "cache_cluster_node_endpoint_address=n1.example",
            "cache_cluster_node_endpoint_port=6379",
            "cache_cluster_node_id=0001",
            "cache_cluster_pending_modified_values_cache_node_ids_to_remove=1,2",
            "cache_cluster_security_group_membership_id_0=sg-2",
            "cache_cluster_security_group_membership_status_0=active",
            "cache_cluster_tag_k=v",
            "deployment_option=node",
        ]
    );
    let given = "['arn:aws:elasticache:r:1:serverlesscache:s', 'arn:aws:elasticache:r:1:replicationgroup:g', nonsense]";
    let settings = format!("{{role: elasticache, {KEYS}, endpoint: '{url}', clusters: {given}}}");
    asked.lock().unwrap().clear();
    found(&entry("aws", &settings)).await.unwrap();
    let asked = asked.lock().unwrap();
    let asks = |part: &str| asked.iter().filter(|(_, body)| body.contains(part)).count();
    assert_eq!(asks("ServerlessCacheName=s"), 1);
    assert_eq!(asks("CacheClusterId=g"), 2);
}
