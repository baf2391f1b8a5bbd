//! Lifecycle rules: the one that an archive wants, and those that would eat it.

use aws_sdk_s3::error::BuildError;
use aws_sdk_s3::types::{
    AbortIncompleteMultipartUpload, ExpirationStatus, LifecycleRule, LifecycleRuleFilter,
    TransitionStorageClass,
};

use super::Finding;

/// After how many days an upload that was never completed is removed: compactions take minutes.
pub(super) const ABORT_DAYS: i32 = 3;

const NAME: &str = "lifecycle";

/// Removes the parts that a killed compactor leaves: they cost money and are not listed.
pub(super) fn abort_rule() -> Result<LifecycleRule, BuildError> {
    let abort = AbortIncompleteMultipartUpload::builder()
        .days_after_initiation(ABORT_DAYS)
        .build();
    LifecycleRule::builder()
        .id("varve-abort-incomplete-uploads")
        .status(ExpirationStatus::Enabled)
        .filter(LifecycleRuleFilter::builder().prefix("").build())
        .abort_incomplete_multipart_upload(abort)
        .build()
}

/// The prefix of the objects that a rule takes; `None` where it asks for tags, which no object of an archive has.
fn reach(rule: &LifecycleRule) -> Option<&str> {
    let Some(filter) = rule.filter() else {
        #[expect(deprecated, reason = "old buckets still have rules of the first form")]
        return Some(rule.prefix().unwrap_or_default());
    };
    if filter.tag().is_some() {
        return None;
    }
    match filter.and() {
        Some(and) if !and.tags().is_empty() => None,
        Some(and) => Some(and.prefix().unwrap_or_default()),
        None => Some(filter.prefix().unwrap_or_default()),
    }
}

/// Storage classes from which an object must be restored for hours before it can be read.
fn is_archive(class: Option<&TransitionStorageClass>) -> bool {
    matches!(
        class,
        Some(TransitionStorageClass::Glacier | TransitionStorageClass::DeepArchive)
    )
}

/// What the rules of a bucket mean for an archive under `prefix`.
pub(super) fn judge(rules: &[LifecycleRule], prefix: &str) -> Vec<Finding> {
    let archive = if prefix.is_empty() {
        String::new()
    } else {
        format!("{prefix}/")
    };
    let mut findings = Vec::new();
    let mut aborts = false;
    for rule in rules {
        let Some(reach) = reach(rule).filter(|_| rule.status() == &ExpirationStatus::Enabled)
        else {
            continue;
        };
        if !reach.starts_with(&archive) && !archive.starts_with(reach) {
            continue;
        }
        let id = rule.id().unwrap_or("without a name");
        aborts |= rule.abort_incomplete_multipart_upload().is_some() && archive.starts_with(reach);
        if rule
            .expiration()
            .is_some_and(|expiry| expiry.days().is_some() || expiry.date().is_some())
        {
            let detail = format!(
                "the rule {id:?} deletes objects of the archive behind Varve's back; remove it, or keep it off {archive:?}"
            );
            findings.push(Finding::error(NAME, detail));
        }
        if rule
            .transitions()
            .iter()
            .any(|transition| is_archive(transition.storage_class()))
        {
            let detail = format!(
                "the rule {id:?} moves objects of the archive to a class from which they cannot be read at once; keep it off {archive:?}"
            );
            findings.push(Finding::error(NAME, detail));
        }
    }
    if !aborts {
        let detail = "no rule removes uploads that were never completed; they cost money and are not listed: add AbortIncompleteMultipartUpload";
        findings.push(Finding::warn(NAME, detail));
    } else if findings.is_empty() {
        let detail =
            "uploads that were never completed are removed, and no rule touches the archive";
        findings.push(Finding::ok(NAME, detail));
    }
    findings
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;
    use crate::admin::Status;
    use aws_sdk_s3::types::{LifecycleExpiration, Tag, Transition};

    fn expiring(filter: LifecycleRuleFilter) -> LifecycleRule {
        LifecycleRule::builder()
            .id("old")
            .status(ExpirationStatus::Enabled)
            .filter(filter)
            .expiration(LifecycleExpiration::builder().days(30).build())
            .build()
            .unwrap()
    }

    fn under(prefix: &str) -> LifecycleRuleFilter {
        LifecycleRuleFilter::builder().prefix(prefix).build()
    }

    fn worst(rules: &[LifecycleRule], prefix: &str) -> Status {
        let findings = judge(rules, prefix);
        findings.iter().map(|f| f.status).max().unwrap()
    }

    #[test]
    fn a_rule_that_expires_the_archive_or_a_part_of_it_is_an_error() {
        let abort = abort_rule().unwrap();
        for (prefix, reach, want) in [
            ("", "", Status::Error),
            ("", "default/wal/", Status::Error),
            ("metrics", "", Status::Error),
            ("metrics", "met", Status::Error),
            ("metrics", "metrics/default/", Status::Error),
            ("metrics", "metrics-old/", Status::Ok),
            ("metrics", "logs/", Status::Ok),
        ] {
            let rules = [abort.clone(), expiring(under(reach))];
            assert_eq!(worst(&rules, prefix), want, "{prefix:?} {reach:?}");
        }
    }

    #[test]
    fn rules_for_tagged_objects_and_disabled_rules_do_not_count() {
        let abort = abort_rule().unwrap();
        let tag = Tag::builder().key("a").value("b").build().unwrap();
        let tagged = expiring(LifecycleRuleFilter::builder().tag(tag).build());
        assert_eq!(worst(&[abort.clone(), tagged], ""), Status::Ok);
        let mut disabled = expiring(under(""));
        disabled.status = ExpirationStatus::Disabled;
        assert_eq!(worst(&[abort, disabled], ""), Status::Ok);
    }

    #[test]
    fn glacier_is_an_error_and_a_missing_abort_rule_a_warning() {
        let to = |class| {
            let transition = Transition::builder().days(1).storage_class(class).build();
            let mut rule = abort_rule().unwrap();
            rule.transitions = Some(vec![transition]);
            rule
        };
        assert_eq!(
            worst(&[to(TransitionStorageClass::Glacier)], ""),
            Status::Error
        );
        assert_eq!(
            worst(&[to(TransitionStorageClass::StandardIa)], ""),
            Status::Ok
        );
        assert_eq!(worst(&[], ""), Status::Warn);
    }
}
