//! URLs of servers in a configuration.

use url::Url;

/// Checks that a URL is one of HTTP and has a host; an error is what is wrong, in Prometheus's words.
pub(crate) fn check_http_url(url: &str) -> Result<(), String> {
    let (scheme, rest) = url.split_once(':').unwrap_or(("", url));
    if !scheme.eq_ignore_ascii_case("http") && !scheme.eq_ignore_ascii_case("https") {
        return Err("URL scheme must be 'http' or 'https'".to_owned());
    }
    // The URL standard forgives missing slashes, Go does not.
    let authority = rest.strip_prefix("//").unwrap_or("");
    if authority.is_empty() || authority.starts_with(['/', '?', '#']) {
        return Err("host is missing in URL".to_owned());
    }
    parse(url).map(drop)
}

/// Parses a URL; an error names it.
pub(crate) fn parse(url: &str) -> Result<Url, String> {
    Url::parse(url).map_err(|error| format!("parse {url:?}: {error}"))
}

/// A URL as it may be shown: without its password.
pub(crate) fn redacted(url: &str) -> String {
    match Url::parse(url) {
        Ok(mut parsed) if parsed.password().is_some() => {
            // Only a URL without host cannot have a password.
            let _ = parsed.set_password(Some("xxxxx"));
            parsed.to_string()
        }
        _ => url.to_owned(),
    }
}
