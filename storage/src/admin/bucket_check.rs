//! Looking at a bucket's settings with an archive in mind.

use aws_sdk_s3::error::{ProvideErrorMetadata, SdkError};
use aws_sdk_s3::types::BucketVersioningStatus;

use super::bucket::{Bucket, reason, region_hint, status};
use super::{Finding, lifecycle};
use crate::error::Result;

const PLACE: &str = "bucket";

pub(super) async fn check(name: &str, prefix: &str) -> Result<Vec<Finding>> {
    let bucket = Bucket::connect(name).await?;
    let place = reach(&bucket).await;
    if place.status == super::Status::Error {
        return Ok(vec![place]);
    }
    let (versioning, encryption, public, rules) = futures::join!(
        versioning(&bucket),
        encryption(&bucket),
        public_access(&bucket),
        lifecycle_rules(&bucket, prefix)
    );
    let mut findings = vec![place, versioning, encryption, public];
    findings.extend(rules);
    Ok(findings)
}

/// Whether the bucket exists, can be reached, and lies in the region that is configured.
async fn reach(bucket: &Bucket) -> Finding {
    let name = &bucket.name;
    let found = match bucket.client.head_bucket().bucket(name).send().await {
        Ok(found) => found,
        Err(error) => {
            let detail = match (status(&error), region_hint(&error)) {
                (Some(404), _) => format!(
                    "s3://{name} does not exist: create it with `varve storage init --storage.url=s3://{name}`"
                ),
                (_, Some(region)) if region != bucket.region => format!(
                    "s3://{name} lies in {region}, and {} is configured: set AWS_REGION={region}",
                    bucket.region
                ),
                (Some(403), _) => format!(
                    "s3://{name} exists, and these credentials may not use it: allow s3:ListBucket, s3:GetObject, s3:PutObject and s3:DeleteObject, or choose another name"
                ),
                _ => format!("s3://{name} cannot be reached: {}", reason(&error)),
            };
            return Finding::error(PLACE, detail);
        }
    };
    match found.bucket_region() {
        Some(region) if region != bucket.region && !bucket.custom_endpoint => Finding::warn(
            PLACE,
            format!(
                "s3://{name} lies in {region}, and {} is configured: every request takes a detour; set AWS_REGION={region}",
                bucket.region
            ),
        ),
        region => Finding::ok(
            PLACE,
            format!(
                "s3://{name} can be reached in {}",
                region.unwrap_or(&bucket.region)
            ),
        ),
    }
}

/// A finding for a call that failed: not every provider has every call, and not every user may make it.
fn unknown<E>(name: &'static str, error: &SdkError<E>) -> Finding
where
    E: std::error::Error + ProvideErrorMetadata + 'static,
{
    Finding::warn(name, format!("cannot be asked: {}", reason(error)))
}

async fn versioning(bucket: &Bucket) -> Finding {
    const NAME: &str = "versioning";
    let request = bucket.client.get_bucket_versioning().bucket(&bucket.name);
    match request.send().await {
        Ok(found) if found.status() == Some(&BucketVersioningStatus::Enabled) => Finding::warn(
            NAME,
            "on: objects that Varve deletes stay and cost money, unless a lifecycle rule expires noncurrent versions",
        ),
        Ok(_) => Finding::ok(NAME, "off: what is deleted is gone"),
        Err(error) => unknown(NAME, &error),
    }
}

async fn encryption(bucket: &Bucket) -> Finding {
    const NAME: &str = "encryption";
    let request = bucket.client.get_bucket_encryption().bucket(&bucket.name);
    let none = || Finding::warn(NAME, "objects are not encrypted by default");
    match request.send().await {
        Ok(found) => found
            .server_side_encryption_configuration()
            .and_then(|rules| rules.rules().first())
            .and_then(|rule| rule.apply_server_side_encryption_by_default())
            .map_or_else(none, |rule| {
                let how = rule.sse_algorithm().as_str();
                Finding::ok(NAME, format!("objects are encrypted by default ({how})"))
            }),
        Err(error) if error.code() == Some("ServerSideEncryptionConfigurationNotFoundError") => {
            none()
        }
        Err(error) => unknown(NAME, &error),
    }
}

async fn public_access(bucket: &Bucket) -> Finding {
    const NAME: &str = "public access";
    let open = || {
        Finding::warn(
            NAME,
            "not blocked: a policy or an ACL could make the archive public; block it unless that is meant",
        )
    };
    let request = bucket.client.get_public_access_block().bucket(&bucket.name);
    match request.send().await {
        Ok(found) => {
            let whole = found.public_access_block_configuration().is_some_and(|b| {
                [
                    b.block_public_acls(),
                    b.ignore_public_acls(),
                    b.block_public_policy(),
                    b.restrict_public_buckets(),
                ]
                .iter()
                .all(|on| *on == Some(true))
            });
            if whole {
                Finding::ok(NAME, "blocked")
            } else {
                open()
            }
        }
        Err(error) if error.code() == Some("NoSuchPublicAccessBlockConfiguration") => open(),
        Err(error) => unknown(NAME, &error),
    }
}

async fn lifecycle_rules(bucket: &Bucket, prefix: &str) -> Vec<Finding> {
    let request = bucket
        .client
        .get_bucket_lifecycle_configuration()
        .bucket(&bucket.name);
    match request.send().await {
        Ok(found) => lifecycle::judge(found.rules(), prefix),
        Err(error) if error.code() == Some("NoSuchLifecycleConfiguration") => {
            lifecycle::judge(&[], prefix)
        }
        Err(error) => vec![unknown("lifecycle", &error)],
    }
}
