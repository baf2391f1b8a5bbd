//! Faults that an S3 endpoint shows now and then, on demand and at a chosen request.

use std::time::Duration;

use hyper::Method;

/// What a request does, as far as cost and faults are concerned.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum RequestClass {
    /// GET of an object or of a range of it.
    Get,
    /// HEAD of an object.
    Head,
    /// PUT of an object, copies included.
    Put,
    /// GET of a bucket: a listing.
    List,
    /// DELETE of one object, or POST of many deletions.
    Delete,
    /// Any step of a multipart upload.
    Multipart,
    /// Anything about a bucket as a whole.
    Bucket,
}

impl RequestClass {
    /// The class of a request in path style: `/bucket/key?query`.
    pub fn of(method: &Method, path: &str, query: &str) -> Self {
        let key = path.trim_start_matches('/').split_once('/');
        let has_key = key.is_some_and(|(_, key)| !key.is_empty());
        let has = |name: &str| query.split('&').any(|p| p.split('=').next() == Some(name));
        if has("uploadId") || has("uploads") {
            return Self::Multipart;
        }
        match method.as_str() {
            "GET" if has_key => Self::Get,
            "GET" if has("list-type") => Self::List,
            "HEAD" if has_key => Self::Head,
            "PUT" if has_key => Self::Put,
            "DELETE" if has_key => Self::Delete,
            "POST" if has("delete") => Self::Delete,
            _ => Self::Bucket,
        }
    }
}

/// What goes wrong with a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// 503 SlowDown; the request has no effect.
    SlowDown,
    /// 500 InternalError; the request has no effect.
    InternalError,
    /// 409 ConditionalRequestConflict; the request has no effect.
    Conflict,
    /// The request waits, then is served.
    Delay(Duration),
    /// The connection closes before the request has any effect.
    ConnectionLost,
    /// The request takes effect; then the connection closes without a response.
    ResponseLost,
    /// The request takes effect; then the response says 500 InternalError.
    ErrorAfterEffect,
}

/// When a fault strikes: at requests that match class and key, after `skip` of them passed, `times` times.
#[derive(Clone, Debug)]
pub struct FaultRule {
    fault: Fault,
    class: Option<RequestClass>,
    key_part: Option<String>,
    skip: u64,
    times: u64,
}

impl FaultRule {
    /// Strikes at the next request, once.
    pub fn new(fault: Fault) -> Self {
        Self {
            fault,
            class: None,
            key_part: None,
            skip: 0,
            times: 1,
        }
    }

    /// Only at requests of one class.
    pub fn class(mut self, class: RequestClass) -> Self {
        self.class = Some(class);
        self
    }

    /// Only at requests whose path (`/bucket/key`) contains a text.
    pub fn key_part(mut self, part: &str) -> Self {
        self.key_part = Some(part.to_owned());
        self
    }

    /// Only after so many matching requests.
    pub fn skip(mut self, requests: u64) -> Self {
        self.skip = requests;
        self
    }

    /// At so many matching requests in a row; `u64::MAX` for ever.
    pub fn times(mut self, requests: u64) -> Self {
        self.times = requests;
        self
    }

    fn strike(&mut self, class: RequestClass, path: &str) -> Option<Fault> {
        let matches = self.class.is_none_or(|c| c == class)
            && self
                .key_part
                .as_ref()
                .is_none_or(|part| path.contains(part));
        if !matches {
            return None;
        }
        if self.skip > 0 {
            self.skip -= 1;
            return None;
        }
        if self.times == 0 {
            return None;
        }
        self.times = self.times.saturating_sub(1);
        Some(self.fault)
    }
}

/// The rules in force.
#[derive(Debug, Default)]
pub(super) struct FaultPlan {
    rules: Vec<FaultRule>,
}

impl FaultPlan {
    pub(super) fn add(&mut self, rule: FaultRule) {
        self.rules.push(rule);
    }

    pub(super) fn clear(&mut self) {
        self.rules.clear();
    }

    /// The fault for a request, if any. Every rule sees every request; the first that strikes decides.
    pub(super) fn strike(&mut self, class: RequestClass, path: &str) -> Option<Fault> {
        let strikes = self.rules.iter_mut().map(|rule| rule.strike(class, path));
        strikes.fold(None, |first, fault| first.or(fault))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn classes_follow_the_operations() {
        use RequestClass::*;
        for (method, path, query, class) in [
            (Method::GET, "/b/k", "", Get),
            (Method::GET, "/b", "list-type=2&prefix=k", List),
            (Method::GET, "/b/", "list-type=2", List),
            (Method::HEAD, "/b/k", "", Head),
            (Method::HEAD, "/b", "", Bucket),
            (Method::PUT, "/b", "", Bucket),
            (Method::PUT, "/b/k/l", "x-id=PutObject", Put),
            (Method::PUT, "/b/k", "partNumber=1&uploadId=u", Multipart),
            (Method::POST, "/b/k", "uploads", Multipart),
            (Method::DELETE, "/b/k", "", Delete),
            (Method::POST, "/b", "delete", Delete),
        ] {
            let found = RequestClass::of(&method, path, query);
            assert_eq!(found, class, "{method} {path}?{query}");
        }
    }

    #[test]
    fn a_rule_skips_then_strikes_then_rests() {
        let mut plan = FaultPlan::default();
        let rule = FaultRule::new(Fault::SlowDown).class(RequestClass::Put);
        plan.add(rule.key_part("/wal/").skip(1).times(2));
        let mut put = |path| plan.strike(RequestClass::Put, path);
        assert_eq!(put("/b/wal/1"), None);
        assert_eq!(put("/b/log/1"), None);
        assert_eq!(put("/b/wal/2"), Some(Fault::SlowDown));
        assert_eq!(put("/b/wal/3"), Some(Fault::SlowDown));
        assert_eq!(put("/b/wal/4"), None);
    }
}
