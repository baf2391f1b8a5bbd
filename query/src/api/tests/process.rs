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
            r#"{"status":"success","data":{"go_threads":[{"type":"gauge","unit":"","help":"How \u003cmany\u003e."}],"up":[{"type":"gauge","unit":"","help":"If."},{"type":"gauge","unit":"","help":"Whether."}]}}"#,
        ),
        (
            "/api/v1/metadata?metric=up&limit_per_metric=1",
            200,
            r#"{"status":"success","data":{"up":[{"type":"gauge","unit":"","help":"If."}]}}"#,
        ),
        ("/api/v1/metadata?limit=0", 200, r#"{"status":"success","data":{}}"#),
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
