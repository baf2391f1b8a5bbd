//! What queries and questions about labels are answered with.

use varve_promql::{MatchOp, Matcher};

use super::*;
use crate::exemplars::ExemplarQuery;

#[tokio::test]
async fn query_results_are_prometheuss_to_the_byte() {
    assert_bodies(&Site::start().await, &[
        (
            "/api/v1/query?query=up&time=1435781451.781",
            200,
            r#"{"status":"success","data":{"resultType":"vector","result":[{"metric":{"__name__":"up","job":"a"},"value":[1435781451.781,"1.5"]},{"metric":{"__name__":"up","job":"b"},"value":[1435781451.781,"1.5"]}]}}"#,
        ),
        (
            "/api/v1/query?query=none",
            200,
            r#"{"status":"success","data":{"resultType":"vector","result":[]}}"#,
        ),
        (
            "/api/v1/query?query=1&time=1435781430",
            200,
            r#"{"status":"success","data":{"resultType":"scalar","result":[1435781430,"1"]}}"#,
        ),
        (
            "/api/v1/query?query='x'&time=2015-07-01T20:10:51.78Z",
            200,
            r#"{"status":"success","data":{"resultType":"string","result":[1435781451.78,"x \u0026 \u003cy\u003e"]}}"#,
        ),
        (
            "/api/v1/query?query=annotated&time=0",
            200,
            r#"{"status":"success","data":{"resultType":"vector","result":[{"metric":{"__name__":"up","job":"a"},"value":[0,"1.5"]}]},"warnings":["PromQL warning: w (1:1)"],"infos":["PromQL info: i (1:1)"]}"#,
        ),
        (
            "/api/v1/query?query=up&time=0&limit=1",
            200,
            r#"{"status":"success","data":{"resultType":"vector","result":[{"metric":{"__name__":"up","job":"a"},"value":[0,"1.5"]}]},"warnings":["results truncated due to limit"]}"#,
        ),
        (
            "/api/v1/query_range?query=up&start=1435781430&end=1435781460&step=15s",
            200,
            r#"{"status":"success","data":{"resultType":"matrix","result":[{"metric":{"__name__":"up","job":"a"},"values":[[1435781430,"1"],[1435781445,"NaN"]]},{"metric":{"__name__":"up","job":"b"},"values":[[1435781430,"1e-09"]]}]}}"#,
        ),
        (
            "/api/v1/query_range?query=up&start=1&end=2&step=1&limit=1",
            200,
            r#"{"status":"success","data":{"resultType":"matrix","result":[{"metric":{"__name__":"up","job":"a"},"values":[[1,"1"],[16,"NaN"]]}]},"warnings":["results truncated due to limit"]}"#,
        ),
        (
            "/api/v1/explain?query=up&time=1",
            200,
            r#"{"status":"success","data":{"logical":"up \u0026 TimeGrid { start_ms: 1000, end_ms: 1000, step_ms: 1 }","physical":"Scan\n"}}"#,
        ),
        (
            "/api/v1/explain?query=up&start=1&end=3&step=1",
            200,
            r#"{"status":"success","data":{"logical":"up \u0026 TimeGrid { start_ms: 1000, end_ms: 3000, step_ms: 1000 }","physical":"Scan\n"}}"#,
        ),
    ])
    .await;
}

#[tokio::test]
async fn expressions_are_formatted() {
    let site = Site::start().await;
    let formatted = site.get("/api/v1/format_query?query=foo/bar").await;
    assert_eq!(formatted.body, r#"{"status":"success","data":"foo / bar"}"#);
    assert_bodies(&site, &[
        (
            "/api/v1/parse_query?query=-(1)",
            200,
            r#"{"status":"success","data":{"expr":{"expr":{"type":"numberLiteral","val":"1"},"type":"parenExpr"},"op":"-","type":"unaryExpr"}}"#,
        ),
        (
            "/api/v1/parse_query",
            400,
            r#"{"status":"error","errorType":"bad_data","error":"invalid parameter \"query\": unknown position: parse error: no expression found in input"}"#,
        ),
    ])
    .await;
    let wrong = site
        .get("/api/v1/format_query?query=invalid_expression/")
        .await;
    assert_eq!(
        wrong.body,
        r#"{"status":"error","errorType":"bad_data","error":"invalid parameter \"query\": 1:20: parse error: unexpected end of input"}"#
    );
}

#[tokio::test]
async fn exemplars_are_written_as_prometheus_does() {
    let site = Site::start().await;
    assert_bodies(&site, &[
        (
            "/api/v1/query_exemplars?query=up",
            200,
            r#"{"status":"success","data":[{"seriesLabels":{"__name__":"up","job":"a"},"exemplars":[{"labels":{"trace_id":"EpTxMJ40fUus7aGY"},"value":"6","timestamp":1600096945.479},{"labels":{},"value":"1e-09","timestamp":1600096955}]},{"seriesLabels":{"__name__":"up","job":"<b>"},"exemplars":[{"labels":{"trace_id":"<&>"},"value":"NaN","timestamp":-1.500}]}]}"#,
        ),
        (
            "/api/v1/query_exemplars?query=none",
            200,
            r#"{"status":"success","data":[]}"#,
        ),
        (
            "/api/v1/query_exemplars?query=many",
            200,
            r#"{"status":"success","data":[],"warnings":["only the newest"]}"#,
        ),
        (
            "/api/v1/query_exemplars?query=fails",
            422,
            r#"{"status":"error","errorType":"execution","error":"one id"}"#,
        ),
        (
            "/api/v1/query_exemplars?query=(",
            400,
            r#"{"status":"error","errorType":"bad_data","error":"1:2: parse error: unclosed left parenthesis"}"#,
        ),
        (
            "/api/v1/query_exemplars",
            400,
            r#"{"status":"error","errorType":"bad_data","error":"unknown position: parse error: no expression found in input"}"#,
        ),
        (
            "/api/v1/query_exemplars?query=up&start=x",
            400,
            r#"{"status":"error","errorType":"bad_data","error":"invalid parameter \"start\": invalid time value for 'start': cannot parse \"x\" to a valid timestamp"}"#,
        ),
        (
            "/api/v1/query_exemplars?query=(&start=5&end=1",
            400,
            r#"{"status":"error","errorType":"bad_data","error":"end timestamp must not be before start timestamp"}"#,
        ),
    ])
    .await;
    let nothing = site.get("/api/v1/query_exemplars?query=1").await;
    assert_eq!((nothing.status, nothing.body.as_str()), (204, ""));
}

#[tokio::test]
async fn exemplars_are_asked_for_all_selectors_of_an_expression() {
    let site = Site::start().await;
    let body = "query=rate(up%7Bjob%3D%22a%22%7D%5B5m%20%5D%20offset%201h)%20%2F%20max_over_time(down%5B1h%3A1m%5D)";
    let request = format!(
        "POST /api/v1/query_exemplars?start=1.5&end=1970-01-01T00:00:02Z HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\
         Content-Type: application/x-www-form-urlencoded\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    );
    assert_eq!(site.send(&request).await.status, 200);
    let matcher = |name: &str, value: &str| Matcher::new(name, MatchOp::Equal, value);
    let query = ExemplarQuery {
        matchers: vec![
            vec![matcher("job", "a"), matcher("__name__", "up")],
            vec![matcher("__name__", "down")],
        ],
        start_ms: 1_500,
        end_ms: 2_000,
    };
    assert_eq!(site.last_asked(), format!("exemplars {query:?}"));
    site.get("/api/v1/query_exemplars?query=up").await;
    let asked = site.last_asked();
    let open = "start_ms: -9223309901257974000, end_ms: 9223309901257974999 }";
    assert!(asked.ends_with(open), "{asked}");
}

#[tokio::test]
async fn wrong_parameters_get_prometheuss_messages() {
    assert_bodies(&Site::start().await, &[
        (
            "/api/v1/query?query=bad",
            400,
            r#"{"status":"error","errorType":"bad_data","error":"invalid parameter \"query\": 1:4: parse error: unexpected x"}"#,
        ),
        (
            "/api/v1/query?query=up&time=abc",
            400,
            r#"{"status":"error","errorType":"bad_data","error":"invalid parameter \"time\": invalid time value for 'time': cannot parse \"abc\" to a valid timestamp"}"#,
        ),
        (
            "/api/v1/query?query=up&timeout=x",
            400,
            r#"{"status":"error","errorType":"bad_data","error":"invalid parameter \"timeout\": cannot parse \"x\" to a valid duration"}"#,
        ),
        (
            "/api/v1/query?query=up&limit=1.5",
            400,
            r#"{"status":"error","errorType":"bad_data","error":"invalid parameter \"limit\": strconv.Atoi: parsing \"1.5\": invalid syntax"}"#,
        ),
        (
            "/api/v1/query?query=up&lookback_delta=x",
            400,
            r#"{"status":"error","errorType":"bad_data","error":"error parsing lookback delta duration: cannot parse \"x\" to a valid duration"}"#,
        ),
        (
            "/api/v1/query_range?query=up",
            400,
            r#"{"status":"error","errorType":"bad_data","error":"invalid parameter \"start\": cannot parse \"\" to a valid timestamp"}"#,
        ),
        (
            "/api/v1/query_range?query=up&start=5&end=1&step=1",
            400,
            r#"{"status":"error","errorType":"bad_data","error":"invalid parameter \"end\": end timestamp must not be before start time"}"#,
        ),
        (
            "/api/v1/query_range?query=up&start=1&end=5&step=foo",
            400,
            r#"{"status":"error","errorType":"bad_data","error":"invalid parameter \"step\": cannot parse \"foo\" to a valid duration"}"#,
        ),
        (
            "/api/v1/query_range?query=up&start=1&end=5&step=0",
            400,
            r#"{"status":"error","errorType":"bad_data","error":"invalid parameter \"step\": zero or negative query resolution step widths are not accepted. Try a positive integer"}"#,
        ),
        (
            "/api/v1/query_range?query=up&start=0&end=11001&step=1",
            400,
            r#"{"status":"error","errorType":"bad_data","error":"exceeded maximum resolution of 11,000 points per timeseries. Try decreasing the query resolution (?step=XX)"}"#,
        ),
        (
            "/api/v1/query_range?query=up&start=0&end=10&step=0.0001",
            400,
            r#"{"status":"error","errorType":"bad_data","error":"exceeded maximum resolution of 11,000 points per timeseries. Try decreasing the query resolution (?step=XX)"}"#,
        ),
        (
            "/api/v1/query_range?query=up&start=0&end=0&step=NaN",
            400,
            r#"{"status":"error","errorType":"bad_data","error":"invalid parameter \"step\": zero or negative query resolution step widths are not accepted. Try a positive integer"}"#,
        ),
        (
            "/api/v1/query?query=up&timeout=0",
            503,
            r#"{"status":"error","errorType":"timeout","error":"query timed out in query execution"}"#,
        ),
        (
            "/api/v1/query?query=fails",
            422,
            r#"{"status":"error","errorType":"execution","error":"many-to-many \"\u003c\u003e\""}"#,
        ),
        (
            "/api/v1/query?query=canceled",
            499,
            r#"{"status":"error","errorType":"canceled","error":"query was canceled in expression evaluation"}"#,
        ),
        (
            "/api/v1/query?query=slow&timeout=20ms",
            503,
            r#"{"status":"error","errorType":"timeout","error":"query timed out in expression evaluation"}"#,
        ),
        (
            "/api/v1/series",
            400,
            r#"{"status":"error","errorType":"bad_data","error":"no match[] parameter provided"}"#,
        ),
        (
            "/api/v1/series?match[]=up&limit=%zz",
            400,
            r#"{"status":"error","errorType":"bad_data","error":"error parsing form values: invalid URL escape \"%zz\""}"#,
        ),
        (
            "/api/v1/label/%ff/values",
            400,
            r#"{"status":"error","errorType":"bad_data","error":"invalid label name: \"\\xff\""}"#,
        ),
        (
            "/api/v1/series?match[]={}",
            400,
            r#"{"status":"error","errorType":"bad_data","error":"invalid parameter \"match[]\": match[] must contain at least one non-empty matcher"}"#,
        ),
        (
            "/api/v1/labels?match[]={}",
            400,
            r#"{"status":"error","errorType":"bad_data","error":"match[] must contain at least one non-empty matcher"}"#,
        ),
        (
            "/api/v1/labels?start=x",
            400,
            r#"{"status":"error","errorType":"bad_data","error":"invalid parameter \"start\": invalid time value for 'start': cannot parse \"x\" to a valid timestamp"}"#,
        ),
        (
            "/api/v1/metadata?limit=x",
            400,
            r#"{"status":"error","errorType":"bad_data","error":"limit must be a number"}"#,
        ),
        (
            "/api/v1/metadata?limit_per_metric=x",
            400,
            r#"{"status":"error","errorType":"bad_data","error":"limit_per_metric must be a number"}"#,
        ),
    ])
    .await;
}

#[tokio::test]
async fn labels_and_series_are_prometheuss_to_the_byte() {
    assert_bodies(&Site::start().await, &[
        (
            "/api/v1/series?match[]=up",
            200,
            r#"{"status":"success","data":[{"__name__":"up","job":"a"},{"__name__":"up","job":"<b>"}]}"#,
        ),
        (
            "/api/v1/series?match[]=up&limit=1",
            200,
            r#"{"status":"success","data":[{"__name__":"up","job":"a"}],"warnings":["results truncated due to limit"]}"#,
        ),
        (
            "/api/v1/labels",
            200,
            r#"{"status":"success","data":["__name__","job"],"warnings":["quarantined"]}"#,
        ),
        (
            "/api/v1/label/job/values",
            200,
            r#"{"status":"success","data":["a","\u003cb\u003e"]}"#,
        ),
        (
            "/api/v1/label/job/values?limit=1",
            200,
            r#"{"status":"success","data":["a"],"warnings":["results truncated due to limit"]}"#,
        ),
        (
            "/api/v1/label/missing/values",
            200,
            r#"{"status":"success","data":[]}"#,
        ),
    ])
    .await;
}
