//! What the process says about itself.

use super::*;

#[tokio::test]
async fn the_process_describes_itself_as_prometheus_does() {
    assert_bodies(&Site::start().await, &[
        (
            "/api/v1/targets",
            200,
            r#"{"status":"success","data":{"activeTargets":[{"discoveredLabels":{"__address__":"127.0.0.1:9100","job":"node"},"labels":{"instance":"127.0.0.1:9100"},"scrapePool":"node","scrapeUrl":"http://127.0.0.1:9100/metrics?a=1\u0026b=2","globalUrl":"http://host:9100/metrics","lastError":"","lastScrape":"2015-07-01T20:10:51.781Z","lastScrapeDuration":0.010651205,"health":"up","scrapeInterval":"15s","scrapeTimeout":"10s"}],"droppedTargets":[{"discoveredLabels":{"__address__":"127.0.0.1:9100"},"scrapePool":"other"}],"droppedTargetCounts":{"node":0,"other":1}}}"#,
        ),
        (
            "/api/v1/targets?state=dropped&scrapePool=node",
            200,
            r#"{"status":"success","data":{"activeTargets":[],"droppedTargets":[],"droppedTargetCounts":{"node":0,"other":1}}}"#,
        ),
        (
            "/api/v1/targets?state=active&scrapePool=x",
            200,
            r#"{"status":"success","data":{"activeTargets":[],"droppedTargets":[],"droppedTargetCounts":null}}"#,
        ),
        (
            "/api/v1/scrape_pools",
            200,
            r#"{"status":"success","data":{"scrapePools":["node","other"]}}"#,
        ),
        (
            "/api/v1/metadata",
            200,
            r#"{"status":"success","data":{"go_threads":[{"type":"gauge","unit":"","help":"How \u003cmany\u003e."}],"old_total":[{"type":"counter","unit":"s","help":"Zuletzt."},{"type":"counter","unit":"s","help":"Anfangs."}],"pushed":[{"type":"gauge","unit":"s","help":"A \u003c b."}],"up":[{"type":"gauge","unit":"","help":"If."},{"type":"gauge","unit":"","help":"Whether."}]}}"#,
        ),
        (
            "/api/v1/metadata?metric=up&limit_per_metric=1",
            200,
            r#"{"status":"success","data":{"up":[{"type":"gauge","unit":"","help":"If."}]}}"#,
        ),
        (
            "/api/v1/metadata?limit=2&limit_per_metric=1",
            200,
            r#"{"status":"success","data":{"go_threads":[{"type":"gauge","unit":"","help":"How \u003cmany\u003e."}],"old_total":[{"type":"counter","unit":"s","help":"Zuletzt."}]}}"#,
        ),
        (
            "/api/v1/metadata?metric=pushed",
            200,
            r#"{"status":"success","data":{"pushed":[{"type":"gauge","unit":"s","help":"A \u003c b."}]},"warnings":["a file is broken"]}"#,
        ),
        (
            "/api/v1/metadata?metric=nothing&limit_per_metric=0",
            200,
            r#"{"status":"success","data":{}}"#,
        ),
        ("/api/v1/metadata?limit=0", 200, r#"{"status":"success","data":{}}"#),
        (
            "/api/v1/targets/metadata?match_target={instance=~%22.a.%22}",
            200,
            r#"{"status":"success","data":[{"target":{"instance":"<a>"},"metric":"go_threads","type":"gauge","help":"How \u003cmany\u003e.","unit":""},{"target":{"instance":"<a>"},"metric":"up","type":"gauge","help":"Whether.","unit":""}]}"#,
        ),
        (
            "/api/v1/targets/metadata?metric=up&limit=1",
            200,
            r#"{"status":"success","data":[{"target":{"instance":"<a>"},"type":"gauge","help":"Whether.","unit":""}]}"#,
        ),
        (
            "/api/v1/targets/metadata?match_target=(",
            400,
            r#"{"status":"error","errorType":"bad_data","error":"invalid parameter \"match_target\": 1:1: parse error: unexpected \"(\""}"#,
        ),
        (
            "/api/v1/status/walreplay",
            200,
            r#"{"status":"success","data":{"min":0,"max":0,"current":0}}"#,
        ),
        (
            "/api/v1/status/config",
            200,
            r#"{"status":"success","data":{"yaml":"global:\n  scrape_interval: 15s\n"}}"#,
        ),
        (
            "/api/v1/status/flags",
            200,
            r#"{"status":"success","data":{"query.timeout":"2m"}}"#,
        ),
        (
            "/api/v1/status/buildinfo",
            200,
            r#"{"status":"success","data":{"version":"3.14.0","revision":"r","branch":"b","buildUser":"u","buildDate":"d","goVersion":"g"}}"#,
        ),
        (
            "/api/v1/status/runtimeinfo",
            200,
            r#"{"status":"success","data":{"startTime":"2015-07-01T20:10:51.781Z","CWD":"/","hostname":"h","serverTime":"2015-07-01T20:10:51.781Z","reloadConfigSuccess":true,"lastConfigTime":"0001-01-01T00:00:00Z","corruptionCount":0,"goroutineCount":1,"GOMAXPROCS":2,"GOMEMLIMIT":3,"GOGC":"","GODEBUG":"","storageRetention":""}}"#,
        ),
    ])
    .await;
}

#[tokio::test]
async fn version_has_no_envelope() {
    let answer = Site::start().await.get("/version").await;
    assert_eq!(
        answer.body,
        "{\"version\":\"3.14.0\",\"revision\":\"r\",\"branch\":\"b\",\"buildUser\":\"u\",\"buildDate\":\"d\",\"goVersion\":\"g\"}\n"
    );
}

#[tokio::test]
async fn series_are_counted() {
    let site = Site::start().await;
    let answer = site.get("/api/v1/status/tsdb?limit=1").await;
    let (head, lists) = answer.body.split_once(",\"chunkCount\"").unwrap();
    assert_eq!(
        head,
        r#"{"status":"success","data":{"headStats":{"numSeries":2,"numLabelPairs":3"#
    );
    let (_, lists) = lists.split_once("},").unwrap();
    assert_eq!(
        lists,
        concat!(
            r#""seriesCountByMetricName":[{"name":"up","value":2}],"labelValueCountByLabelName":[{"name":"job","value":2}],"#,
            r#""memoryInBytesByLabelName":[{"name":"__name__","value":4}],"#,
            r#""seriesCountByLabelValuePair":[{"name":"__name__=up","value":2}]}}"#
        )
    );
    for (limit, message) in [
        ("0", "limit must be a positive number"),
        ("x", "limit must be a positive number"),
        ("10001", "limit must not exceed 10000"),
    ] {
        let answer = site
            .get(&format!("/api/v1/status/tsdb?limit={limit}"))
            .await;
        assert_eq!(answer.status, 400);
        assert!(answer.body.contains(message), "{}", answer.body);
    }
}

#[tokio::test]
async fn there_are_no_rules_and_wrong_questions_about_them_are_errors() {
    let site = Site::start().await;
    assert_bodies(&site, &[
        (
            "/api/v1/rules?type=Alert&exclude_alerts=T&group_limit=5&match[]=up&rule_name[]=x",
            200,
            r#"{"status":"success","data":{"groups":[]}}"#,
        ),
        ("/api/v1/alerts", 200, r#"{"status":"success","data":{"alerts":[]}}"#),
        (
            "/api/v1/alertmanagers",
            200,
            r#"{"status":"success","data":{"activeAlertmanagers":[],"droppedAlertmanagers":[]}}"#,
        ),
        ("/api/v1/notifications", 200, r#"{"status":"success","data":[]}"#),
    ])
    .await;
    assert_eq!(site.get("/api/v1/notifications/live").await.status, 204);
    for (question, message) in [
        ("match[]=(", r#"1:1: parse error: unexpected "(""#),
        (
            "type=x",
            r#"invalid parameter "type": not supported value "x""#,
        ),
        (
            "exclude_alerts=x",
            r#"invalid parameter "exclude_alerts": error converting exclude_alerts: strconv.ParseBool: parsing "x": invalid syntax"#,
        ),
        (
            "group_limit=99999999999",
            r#"invalid parameter "group_limit": group_limit needs to be a valid number: strconv.ParseInt: parsing "99999999999": value out of range"#,
        ),
        (
            "group_limit=0",
            r#"invalid parameter "group_limit": group_limit needs to be greater than 0"#,
        ),
        (
            "group_next_token=x",
            r#"invalid parameter "group_next_token": group_limit needs to be present in order to paginate over the groups"#,
        ),
        (
            "group_limit=1&group_next_token=x",
            r#"invalid parameter "group_next_token": invalid group_next_token 'x'. were rule groups changed?"#,
        ),
    ] {
        let answer = site.get(&format!("/api/v1/rules?{question}")).await;
        let message = message.replace('"', "\\\"");
        let expected =
            format!(r#"{{"status":"error","errorType":"bad_data","error":"{message}"}}"#);
        assert_eq!((answer.status, answer.body), (400, expected), "{question}");
    }
}
