//! Making a bucket with settings fit for an archive.

use aws_sdk_s3::types::{
    BucketLifecycleConfiguration, BucketLocationConstraint, CreateBucketConfiguration,
    PublicAccessBlockConfiguration, ServerSideEncryption, ServerSideEncryptionByDefault,
    ServerSideEncryptionConfiguration, ServerSideEncryptionRule,
};

use super::bucket::{Bucket, reason, status};
use super::{Finding, lifecycle};
use crate::error::{Error, Result};

const CREATE: &str = "create bucket";

/// Makes the bucket if it is missing. Only a bucket made here gets settings: another one may serve other ends too.
pub(super) async fn init(name: &str) -> Result<Vec<Finding>> {
    let bucket = Bucket::connect(name).await?;
    if let Err(error) = bucket.client.head_bucket().bucket(name).send().await {
        if status(&error) == Some(404) {
            return create(&bucket).await;
        }
        // The check that follows says what is wrong with it.
        let detail = format!("s3://{name} is not missing: {}", reason(&error));
        return Ok(vec![Finding::warn(CREATE, detail)]);
    }
    let detail = format!("s3://{name} was there already; its settings were not changed");
    Ok(vec![Finding::ok(CREATE, detail)])
}

async fn create(bucket: &Bucket) -> Result<Vec<Finding>> {
    let mut request = bucket.client.create_bucket().bucket(&bucket.name);
    // AWS refuses to be told of the region that it takes anyway.
    if bucket.region != "us-east-1" {
        let place = CreateBucketConfiguration::builder()
            .location_constraint(BucketLocationConstraint::from(bucket.region.as_str()))
            .build();
        request = request.create_bucket_configuration(place);
    }
    if let Err(error) = request.send().await {
        let detail = format!("s3://{} cannot be created: {}", bucket.name, reason(&error));
        return Ok(vec![Finding::error(CREATE, detail)]);
    }
    let created = format!("s3://{} was created in {}", bucket.name, bucket.region);
    Ok(vec![
        Finding::ok(CREATE, created),
        block_public_access(bucket).await,
        encrypt(bucket).await?,
        abort_uploads(bucket).await?,
    ])
}

async fn block_public_access(bucket: &Bucket) -> Finding {
    const NAME: &str = "set public access block";
    let all = PublicAccessBlockConfiguration::builder()
        .block_public_acls(true)
        .ignore_public_acls(true)
        .block_public_policy(true)
        .restrict_public_buckets(true)
        .build();
    let request = bucket
        .client
        .put_public_access_block()
        .bucket(&bucket.name)
        .public_access_block_configuration(all);
    match request.send().await {
        Ok(_) => Finding::ok(NAME, "nothing in the bucket can be made public"),
        Err(error) => Finding::warn(NAME, format!("not set: {}", reason(&error))),
    }
}

fn unbuildable(error: impl std::fmt::Display) -> Error {
    Error::Invalid(format!("a bucket setting cannot be built: {error}"))
}

async fn encrypt(bucket: &Bucket) -> Result<Finding> {
    const NAME: &str = "set encryption";
    let by_default = ServerSideEncryptionByDefault::builder()
        .sse_algorithm(ServerSideEncryption::Aes256)
        .build()
        .map_err(unbuildable)?;
    let rule = ServerSideEncryptionRule::builder()
        .apply_server_side_encryption_by_default(by_default)
        .build();
    let rules = ServerSideEncryptionConfiguration::builder()
        .rules(rule)
        .build()
        .map_err(unbuildable)?;
    let request = bucket
        .client
        .put_bucket_encryption()
        .bucket(&bucket.name)
        .server_side_encryption_configuration(rules);
    Ok(match request.send().await {
        Ok(_) => Finding::ok(NAME, "objects are encrypted with AES-256 by default"),
        Err(error) => Finding::warn(NAME, format!("not set: {}", reason(&error))),
    })
}

async fn abort_uploads(bucket: &Bucket) -> Result<Finding> {
    const NAME: &str = "set lifecycle";
    let rule = lifecycle::abort_rule().map_err(unbuildable)?;
    let rules = BucketLifecycleConfiguration::builder()
        .rules(rule)
        .build()
        .map_err(unbuildable)?;
    let request = bucket
        .client
        .put_bucket_lifecycle_configuration()
        .bucket(&bucket.name)
        .lifecycle_configuration(rules);
    Ok(match request.send().await {
        Ok(_) => Finding::ok(
            NAME,
            format!(
                "uploads that were never completed are removed after {} days",
                lifecycle::ABORT_DAYS
            ),
        ),
        Err(error) => Finding::warn(NAME, format!("not set: {}", reason(&error))),
    })
}
