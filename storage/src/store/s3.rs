//! An S3 bucket, or what speaks its protocol, from the environment.

use std::fmt;
use std::ops::Range;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use futures::StreamExt;
use futures::stream::BoxStream;
use object_store::aws::{AmazonS3, AmazonS3Builder, AmazonS3ConfigKey};
use object_store::client::ClientConfigKey;
use object_store::path::Path;
use object_store::{
    BackoffConfig, CopyOptions, GetOptions, GetResult, ListResult, MultipartUpload, ObjectMeta,
    ObjectStore, PutMultipartOptions, PutOptions, PutPayload, PutResult, RenameOptions, Result,
    RetryConfig,
};

use crate::error::Error;

/// Retries of one request: both limits hold. The WAL writer and the compactor retry beyond that with their own rules.
const RETRIES_MAX: usize = 6;
const RETRY_TIME_MAX: Duration = Duration::from_secs(45);

/// The settings of the process's environment that S3 takes, empty ones left out.
pub(super) fn environment() -> impl Iterator<Item = (String, String)> {
    std::env::vars_os().filter_map(|(name, value)| {
        let (name, value) = (name.into_string().ok()?, value.into_string().ok()?);
        (name.starts_with("AWS_") && !value.is_empty()).then_some((name, value))
    })
}

/// The settings of one bucket. Unknown `AWS_` variables belong to other programs and are ignored.
pub(super) fn builder(
    bucket: &str,
    variables: impl Iterator<Item = (String, String)>,
) -> AmazonS3Builder {
    let mut builder = AmazonS3Builder::new().with_retry(RetryConfig {
        backoff: BackoffConfig::default(),
        max_retries: RETRIES_MAX,
        retry_timeout: RETRY_TIME_MAX,
    });
    let mut region = None;
    let mut style_given = false;
    for (name, value) in variables {
        let Ok(key) = name.to_ascii_lowercase().parse::<AmazonS3ConfigKey>() else {
            continue;
        };
        match key {
            // AWS_REGION wins whatever the order of the environment.
            AmazonS3ConfigKey::Region => region = Some(value.clone()),
            AmazonS3ConfigKey::VirtualHostedStyleRequest => style_given = true,
            // Puts without their condition would lose data, and the URL names the bucket.
            AmazonS3ConfigKey::ConditionalPut | AmazonS3ConfigKey::Bucket => continue,
            _ => {}
        }
        builder = builder.with_config(key, value);
    }
    if let Some(region) = region {
        builder = builder.with_region(region);
    }
    let endpoint = endpoint(&builder);
    if endpoint
        .as_deref()
        .is_some_and(|url| url.starts_with("http://"))
    {
        builder = builder.with_config(
            AmazonS3ConfigKey::Client(ClientConfigKey::AllowHttp),
            "true",
        );
    }
    if endpoint.is_none() && !style_given && !bucket.contains('.') {
        // AWS asks for the bucket in the host name; its certificate does not cover dots in it.
        builder = builder.with_virtual_hosted_style_request(true);
    }
    builder.with_bucket_name(bucket)
}

/// The endpoint override, where there is one.
pub(super) fn endpoint(builder: &AmazonS3Builder) -> Option<String> {
    builder
        .get_config_value(&AmazonS3ConfigKey::S3Endpoint)
        .or_else(|| builder.get_config_value(&AmazonS3ConfigKey::Endpoint))
}

/// Connects to a bucket; no request is made.
pub(super) fn connect(bucket: &str) -> crate::Result<S3Bucket> {
    let inner = builder(bucket, environment())
        .build()
        .map_err(|e| Error::Invalid(format!("s3://{bucket}: {e}")))?;
    Ok(S3Bucket {
        inner,
        bucket: bucket.to_owned(),
    })
}

/// What another client needs to ask the same provider with the same credentials.
#[cfg(feature = "admin")]
#[derive(Debug)]
pub(crate) struct S3Settings {
    pub(crate) credentials: object_store::aws::AwsCredentialProvider,
    pub(crate) region: String,
    pub(crate) endpoint: Option<String>,
    pub(crate) path_style: bool,
}

#[cfg(feature = "admin")]
impl S3Settings {
    pub(crate) fn from_env(bucket: &str) -> crate::Result<Self> {
        let builder = builder(bucket, environment());
        let region = builder.get_config_value(&AmazonS3ConfigKey::Region);
        let hosted = builder.get_config_value(&AmazonS3ConfigKey::VirtualHostedStyleRequest);
        Ok(Self {
            region: region.unwrap_or_else(|| "us-east-1".to_owned()),
            endpoint: endpoint(&builder),
            path_style: hosted.as_deref() != Some("true"),
            credentials: std::sync::Arc::clone(connect(bucket)?.inner.credentials()),
        })
    }
}

/// A bucket whose absence is an error of its own.
///
/// S3 answers a request for an object of a missing bucket with 404, as it does for a missing object, and a reader would see an
/// empty archive. Here it is a failure that says what to do.
#[derive(Debug)]
pub(super) struct S3Bucket {
    inner: AmazonS3,
    bucket: String,
}

fn explain(bucket: &str, error: object_store::Error) -> object_store::Error {
    // Listings fail with another variant than reads, and both carry S3's answer in their text.
    if !error.to_string().contains("NoSuchBucket") {
        return error;
    }
    let text = format!(
        "the bucket {bucket} does not exist: create it with `varve storage init --storage.url=s3://{bucket}`"
    );
    object_store::Error::Generic {
        store: "S3",
        source: text.into(),
    }
}

impl S3Bucket {
    fn explained<T>(&self, result: Result<T>) -> Result<T> {
        result.map_err(|error| explain(&self.bucket, error))
    }

    fn explained_stream<T: 'static>(
        &self,
        stream: BoxStream<'static, Result<T>>,
    ) -> BoxStream<'static, Result<T>> {
        let bucket = self.bucket.clone();
        stream
            .map(move |item| item.map_err(|error| explain(&bucket, error)))
            .boxed()
    }
}

impl fmt::Display for S3Bucket {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "s3://{}", self.bucket)
    }
}

#[async_trait]
#[deny(clippy::missing_trait_methods)]
impl ObjectStore for S3Bucket {
    async fn put_opts(
        &self,
        location: &Path,
        payload: PutPayload,
        options: PutOptions,
    ) -> Result<PutResult> {
        self.explained(self.inner.put_opts(location, payload, options).await)
    }

    async fn put_multipart_opts(
        &self,
        location: &Path,
        options: PutMultipartOptions,
    ) -> Result<Box<dyn MultipartUpload>> {
        self.explained(self.inner.put_multipart_opts(location, options).await)
    }

    async fn get_opts(&self, location: &Path, options: GetOptions) -> Result<GetResult> {
        self.explained(self.inner.get_opts(location, options).await)
    }

    async fn get_ranges(&self, location: &Path, ranges: &[Range<u64>]) -> Result<Vec<Bytes>> {
        self.explained(self.inner.get_ranges(location, ranges).await)
    }

    fn delete_stream(
        &self,
        locations: BoxStream<'static, Result<Path>>,
    ) -> BoxStream<'static, Result<Path>> {
        self.explained_stream(self.inner.delete_stream(locations))
    }

    fn list(&self, prefix: Option<&Path>) -> BoxStream<'static, Result<ObjectMeta>> {
        self.explained_stream(self.inner.list(prefix))
    }

    fn list_with_offset(
        &self,
        prefix: Option<&Path>,
        offset: &Path,
    ) -> BoxStream<'static, Result<ObjectMeta>> {
        self.explained_stream(self.inner.list_with_offset(prefix, offset))
    }

    async fn list_with_delimiter(&self, prefix: Option<&Path>) -> Result<ListResult> {
        self.explained(self.inner.list_with_delimiter(prefix).await)
    }

    async fn copy_opts(&self, from: &Path, to: &Path, options: CopyOptions) -> Result<()> {
        self.explained(self.inner.copy_opts(from, to, options).await)
    }

    async fn rename_opts(&self, from: &Path, to: &Path, options: RenameOptions) -> Result<()> {
        self.explained(self.inner.rename_opts(from, to, options).await)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn built(variables: &[(&str, &str)]) -> AmazonS3Builder {
        let variables = variables
            .iter()
            .map(|(n, v)| (n.to_string(), v.to_string()));
        builder("metrics", variables)
    }

    fn value(builder: &AmazonS3Builder, key: AmazonS3ConfigKey) -> Option<String> {
        builder.get_config_value(&key)
    }

    #[test]
    fn an_endpoint_means_path_style_and_http_if_it_says_so() {
        let minio = built(&[("AWS_ENDPOINT_URL", "http://127.0.0.1:9000")]);
        let http = AmazonS3ConfigKey::Client(ClientConfigKey::AllowHttp);
        let style = AmazonS3ConfigKey::VirtualHostedStyleRequest;
        assert_eq!(value(&minio, http).as_deref(), Some("true"));
        assert_eq!(value(&minio, style).as_deref(), Some("false"));

        let aws = built(&[]);
        assert_eq!(value(&aws, http).as_deref(), Some("false"));
        assert_eq!(value(&aws, style).as_deref(), Some("true"));
    }

    #[test]
    fn the_more_specific_variable_wins_in_any_order() {
        let region = AmazonS3ConfigKey::Region;
        for variables in [
            [
                ("AWS_REGION", "eu-west-1"),
                ("AWS_DEFAULT_REGION", "us-east-2"),
            ],
            [
                ("AWS_DEFAULT_REGION", "us-east-2"),
                ("AWS_REGION", "eu-west-1"),
            ],
        ] {
            assert_eq!(
                value(&built(&variables), region).as_deref(),
                Some("eu-west-1")
            );
        }
        let both = built(&[
            ("AWS_ENDPOINT_URL_S3", "http://s3.local"),
            ("AWS_ENDPOINT_URL", "http://all.local"),
        ]);
        assert_eq!(endpoint(&both).as_deref(), Some("http://s3.local"));
    }

    #[test]
    fn the_environment_cannot_switch_conditional_puts_off_or_change_the_bucket() {
        let builder = built(&[
            ("AWS_CONDITIONAL_PUT", "disabled"),
            ("AWS_BUCKET", "other"),
            ("AWS_PROFILE", "ignored"),
        ]);
        let put = value(&builder, AmazonS3ConfigKey::ConditionalPut);
        assert_ne!(put.as_deref(), Some("disabled"));
        let bucket = value(&builder, AmazonS3ConfigKey::Bucket);
        assert_eq!(bucket.as_deref(), Some("metrics"));
    }

    #[test]
    fn a_missing_bucket_is_not_a_missing_object() {
        let absent = |source: &str| object_store::Error::NotFound {
            path: "a".to_owned(),
            source: source.into(),
        };
        let error = explain("metrics", absent("404: <Code>NoSuchBucket</Code>"));
        assert!(error.to_string().contains("varve storage init"), "{error}");
        let listing = object_store::Error::Generic {
            store: "S3",
            source: "404: <Code>NoSuchBucket</Code>".into(),
        };
        let error = explain("metrics", listing);
        assert!(error.to_string().contains("varve storage init"), "{error}");
        let error = explain("metrics", absent("404: <Code>NoSuchKey</Code>"));
        assert!(matches!(error, object_store::Error::NotFound { .. }));
    }
}
