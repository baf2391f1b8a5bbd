//! The S3 double as a real client sees it.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures::TryStreamExt as _;
use futures::future::join_all;
use object_store::aws::{AmazonS3, AmazonS3Builder};
use object_store::path::Path;
use object_store::{
    BackoffConfig, Error, ObjectStore, ObjectStoreExt as _, PutMode, PutOptions, RetryConfig,
    UpdateVersion, WriteMultipart,
};
use varve_tests::s3::{ACCESS_KEY, Fault, FaultRule, REGION, RequestClass, S3Double, SECRET_KEY};

const BUCKET: &str = "bucket";

fn builder(double: &S3Double) -> AmazonS3Builder {
    AmazonS3Builder::new()
        .with_endpoint(double.endpoint())
        .with_allow_http(true)
        .with_region(REGION)
        .with_bucket_name(BUCKET)
        .with_access_key_id(ACCESS_KEY)
        .with_secret_access_key(SECRET_KEY)
}

/// A client that shows every fault instead of trying again.
fn client(double: &S3Double) -> AmazonS3 {
    let retry = RetryConfig {
        max_retries: 0,
        ..RetryConfig::default()
    };
    builder(double).with_retry(retry).build().unwrap()
}

fn absent() -> PutOptions {
    PutMode::Create.into()
}

#[tokio::test]
async fn objects_are_written_read_listed_and_deleted() {
    let double = S3Double::with_bucket(BUCKET).await.unwrap();
    let client = client(&double);
    for key in ["a/1", "a/2", "b"] {
        let bytes = Bytes::from(format!("bytes of {key}"));
        client.put(&key.into(), bytes.into()).await.unwrap();
    }
    let path = Path::from("a/1");
    let whole = client.get(&path).await.unwrap().bytes().await.unwrap();
    assert_eq!(whole, "bytes of a/1");
    assert_eq!(client.get_range(&path, 6..8).await.unwrap(), "of");
    assert_eq!(client.head(&path).await.unwrap().size, 12);
    let prefix = Path::from("a");
    let listed: Vec<_> = client.list(Some(&prefix)).try_collect().await.unwrap();
    assert_eq!(listed.len(), 2);
    let after: Vec<_> = client
        .list_with_offset(Some(&prefix), &path)
        .try_collect()
        .await
        .unwrap();
    assert_eq!(after[0].location.as_ref(), "a/2");
    let level = client.list_with_delimiter(None).await.unwrap();
    assert_eq!(level.common_prefixes, [prefix]);
    assert_eq!(level.objects[0].location.as_ref(), "b");

    client.delete(&path).await.unwrap();
    let error = client.get(&path).await.unwrap_err();
    assert!(matches!(error, Error::NotFound { .. }), "{error}");
    assert_eq!(double.keys(BUCKET), ["a/2", "b"]);
    let counts = double.counts();
    assert_eq!(counts[&RequestClass::Put], 3);
    assert_eq!(counts[&RequestClass::Get], 3);
    assert_eq!(counts[&RequestClass::List], 3);
}

#[tokio::test]
async fn a_listing_of_several_pages_is_complete() {
    let double = S3Double::with_bucket(BUCKET).await.unwrap();
    for n in 0..2_345 {
        let key = format!("k/{n:05}");
        double.overwrite(BUCKET, &key, Bytes::new()).unwrap();
    }
    let listed: Vec<_> = client(&double)
        .list(Some(&Path::from("k")))
        .try_collect()
        .await
        .unwrap();
    assert_eq!(listed.len(), 2_345);
    assert_eq!(double.counts()[&RequestClass::List], 3);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_many_writers_that_create_one_name_one_wins() {
    let double = S3Double::with_bucket(BUCKET).await.unwrap();
    let client = Arc::new(client(&double));
    for round in 0..20 {
        let path = Path::from(format!("log/{round}"));
        let writers = (0..8).map(|writer| {
            let (client, path) = (Arc::clone(&client), path.clone());
            tokio::spawn(async move {
                let bytes = Bytes::from(format!("writer {writer}"));
                (writer, client.put_opts(&path, bytes.into(), absent()).await)
            })
        });
        let mut winner = None;
        for joined in join_all(writers).await {
            let (writer, result) = joined.unwrap();
            match result {
                Ok(_) => assert_eq!(winner.replace(writer), None, "a second winner"),
                Err(error) => assert!(matches!(error, Error::AlreadyExists { .. }), "{error}"),
            }
        }
        let bytes = double.read(BUCKET, path.as_ref()).unwrap();
        assert_eq!(bytes, format!("writer {}", winner.unwrap()));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn compare_and_swap_loses_no_update() {
    let double = S3Double::with_bucket(BUCKET).await.unwrap();
    let client = Arc::new(client(&double));
    let path = Path::from("counter");
    client.put(&path, Bytes::from("0").into()).await.unwrap();
    let adders = (0..4).map(|_| {
        let (client, path) = (Arc::clone(&client), path.clone());
        tokio::spawn(async move {
            let mut added = 0;
            while added < 10 {
                let got = client.get(&path).await.unwrap();
                let version = UpdateVersion {
                    e_tag: got.meta.e_tag.clone(),
                    version: None,
                };
                let text = got.bytes().await.unwrap();
                let value: u32 = std::str::from_utf8(&text).unwrap().parse().unwrap();
                let next = Bytes::from((value + 1).to_string());
                let mode = PutMode::Update(version);
                match client.put_opts(&path, next.into(), mode.into()).await {
                    Ok(_) => added += 1,
                    Err(error) => assert!(matches!(error, Error::Precondition { .. }), "{error}"),
                }
            }
        })
    });
    for adder in join_all(adders).await {
        adder.unwrap();
    }
    assert_eq!(double.read(BUCKET, "counter").unwrap(), "40");
}

#[tokio::test]
async fn a_multipart_upload_becomes_one_object() {
    let double = S3Double::with_bucket(BUCKET).await.unwrap();
    let client = client(&double);
    let path = Path::from("big");
    let upload = client.put_multipart(&path).await.unwrap();
    let mut write = WriteMultipart::new(upload);
    let bytes: Vec<u8> = (0..12 << 20).map(|n: u32| (n % 251) as u8).collect();
    write.write(&bytes);
    assert_eq!(
        double.read(BUCKET, "big"),
        None,
        "visible before completion"
    );
    write.finish().await.unwrap();
    assert_eq!(double.read(BUCKET, "big").unwrap(), bytes);
    assert!(double.counts()[&RequestClass::Multipart] >= 4);
}

#[tokio::test]
async fn a_missing_bucket_and_a_wrong_secret_are_refused() {
    let double = S3Double::start().await.unwrap();
    let put = |client: AmazonS3| async move {
        let result = client.put(&"k".into(), Bytes::new().into()).await;
        result.unwrap_err().to_string()
    };
    let message = put(client(&double)).await;
    assert!(message.contains("NoSuchBucket"), "{message}");
    let forger = builder(&double).with_secret_access_key("guess");
    let message = put(forger.build().unwrap()).await;
    assert!(message.contains("SignatureDoesNotMatch"), "{message}");
}

#[tokio::test]
async fn faults_before_the_effect_have_none() {
    let double = S3Double::with_bucket(BUCKET).await.unwrap();
    let client = client(&double);
    for fault in [
        Fault::SlowDown,
        Fault::InternalError,
        Fault::Conflict,
        Fault::ConnectionLost,
    ] {
        double.inject(FaultRule::new(fault).class(RequestClass::Put));
        let path = Path::from("k");
        let put = client.put_opts(&path, Bytes::from("x").into(), absent());
        let error = put.await.unwrap_err();
        // object_store reads any 409 as "already exists", though nothing does: writers have to look.
        let exists = matches!(error, Error::AlreadyExists { .. });
        assert_eq!(exists, fault == Fault::Conflict, "{fault:?}: {error}");
        assert_eq!(double.keys(BUCKET), [""; 0], "{fault:?}");
    }
    let statuses: Vec<_> = double.take_log().into_iter().map(|r| r.status).collect();
    assert_eq!(statuses, [Some(503), Some(500), Some(409), None]);
}

#[tokio::test]
async fn faults_after_the_effect_leave_the_object() {
    let double = S3Double::with_bucket(BUCKET).await.unwrap();
    let client = client(&double);
    for fault in [Fault::ResponseLost, Fault::ErrorAfterEffect] {
        let key = format!("{fault:?}");
        let path = Path::from(key.clone());
        double.inject(FaultRule::new(fault).key_part(&key));
        let put = client.put_opts(&path, Bytes::from("x").into(), absent());
        put.await.unwrap_err();
        assert_eq!(double.read(BUCKET, &key).unwrap(), "x");
        // The retry meets the object that the first attempt left.
        let again = client.put_opts(&path, Bytes::from("x").into(), absent());
        let error = again.await.unwrap_err();
        assert!(matches!(error, Error::AlreadyExists { .. }), "{error}");
    }
}

#[tokio::test]
async fn a_client_that_retries_gets_past_a_slow_down() {
    let double = S3Double::with_bucket(BUCKET).await.unwrap();
    let retry = RetryConfig {
        backoff: BackoffConfig {
            init_backoff: Duration::from_millis(1),
            ..BackoffConfig::default()
        },
        ..RetryConfig::default()
    };
    let client = builder(&double).with_retry(retry).build().unwrap();
    double.inject(FaultRule::new(Fault::SlowDown).times(3));
    client.put(&"k".into(), Bytes::new().into()).await.unwrap();
    assert_eq!(double.take_log().len(), 4);
    double.inject(FaultRule::new(Fault::InternalError).times(u64::MAX));
    double.heal();
    client.head(&"k".into()).await.unwrap();
}
