//! The labels of a group, as the path of a request has them: `/metrics/job/<job>{/<label>/<value>}`.

use std::collections::BTreeMap;

use base64::Engine;
use base64::alphabet::URL_SAFE;
use base64::engine::general_purpose::{GeneralPurpose, NO_PAD};
use varve_storage::SeriesId;
use varve_storage::{Labels, limits::LABELS_PER_SERIES_MAX};

/// What follows a label's name if its value is in base 64.
const BASE64_SUFFIX: &str = "@base64";

/// The labels that make a group, `job` among them. Values may be empty: such a label is none, but its group another.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct GroupKey(pub(super) BTreeMap<String, String>);

impl GroupKey {
    /// Reads the path behind `/metrics/`, still encoded; `Err` says what is wrong.
    pub(super) fn parse(path: &str) -> Result<Self, String> {
        let path = percent_decoded(path)?;
        // Slashes in a row are one, as everywhere in Go.
        let parts = path.split('/').filter(|part| !part.is_empty());
        let parts: Vec<&str> = parts.collect();
        let Some(([first, job], labels)) = parts.split_first_chunk::<2>() else {
            return Err("job name is required".to_owned());
        };
        let job = match *first {
            "job" => (*job).to_owned(),
            _ => from_base64(job)
                .map_err(|error| format!("invalid base64 encoding in job name {job:?}: {error}"))?,
        };
        let (pairs, rest) = labels.as_chunks::<2>();
        if !rest.is_empty() {
            return Err(format!(
                "odd number of components in label string {:?}",
                format!("/{}", labels.join("/"))
            ));
        }
        if pairs.len() >= LABELS_PER_SERIES_MAX {
            return Err("too many labels".to_owned());
        }
        let mut key = Self::default();
        for [name, value] in pairs {
            let encoded = name.strip_suffix(BASE64_SUFFIX);
            let trimmed = encoded.unwrap_or(name);
            let unescaped = unescaped(trimmed);
            if trimmed.starts_with("__") || unescaped.is_empty() {
                return Err(format!("improper label name {trimmed:?}"));
            }
            let value = match encoded {
                None => (*value).to_owned(),
                Some(_) => from_base64(value).map_err(|error| {
                    format!("invalid base64 encoding for label {trimmed}={value:?}: {error}")
                })?,
            };
            key.0.insert(unescaped, value);
        }
        if job.is_empty() {
            return Err("job name is required".to_owned());
        }
        key.0.insert("job".to_owned(), job);
        Ok(key)
    }

    /// What tells the group from others in a file name.
    pub(super) fn hash(&self) -> String {
        // So that no value is empty, which a label set would leave out.
        let marked = self
            .0
            .iter()
            .map(|(name, value)| (name, format!("={value}")));
        format!("{:?}", SeriesId::of(&Labels::from_pairs(marked)))
    }
}

fn percent_decoded(path: &str) -> Result<String, String> {
    let digit = |byte: u8| char::from(byte).to_digit(16);
    let mut out = Vec::with_capacity(path.len());
    let mut rest = path.as_bytes();
    while let Some((byte, behind)) = rest.split_first() {
        let code = match behind {
            [high, low, ..] if *byte == b'%' => digit(*high).zip(digit(*low)),
            _ => None,
        };
        match code.and_then(|(high, low)| u8::try_from(high << 4 | low).ok()) {
            Some(code) => {
                out.push(code);
                rest = behind.get(2..).unwrap_or_default();
            }
            None => {
                out.push(*byte);
                rest = behind;
            }
        }
    }
    String::from_utf8(out).map_err(|_| "the path is not UTF-8".to_owned())
}

/// Base 64 with the characters that URLs allow, padded or not.
fn from_base64(text: &str) -> Result<String, String> {
    let engine = GeneralPurpose::new(&URL_SAFE, NO_PAD);
    let bytes = engine
        .decode(text.trim_end_matches('='))
        .map_err(|error| error.to_string())?;
    String::from_utf8(bytes).map_err(|_| "not UTF-8".to_owned())
}

/// Undoes `U__`: `__` is an underscore and `_1f60a_` the character with that code. What is not written so stays as it is.
fn unescaped(name: &str) -> String {
    let decoded = || {
        let mut out = String::new();
        let mut rest = name.strip_prefix("U__")?;
        while let Some((before, behind)) = rest.split_once('_') {
            out.push_str(before);
            let (code, behind) = behind.split_once('_')?;
            out.push(match code {
                "" => '_',
                code if code.len() <= 6 => char::from_u32(u32::from_str_radix(code, 16).ok()?)?,
                _ => return None,
            });
            rest = behind;
        }
        out.push_str(rest);
        Some(out)
    };
    decoded().unwrap_or_else(|| name.to_owned())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use proptest::prelude::*;

    use super::*;

    fn shown(path: &str) -> Result<String, String> {
        let key = GroupKey::parse(path)?;
        let pairs = key.0.iter().map(|(n, v)| format!("{n}={v}"));
        Ok(pairs.collect::<Vec<_>>().join(" "))
    }

    #[test]
    fn paths_are_labels() {
        for (path, expected) in [
            ("job/some_job", "job=some_job"),
            ("job/some_job/", "job=some_job"),
            ("job/a/instance/b/c/d", "c=d instance=b job=a"),
            ("job/a/job/b", "job=a"),
            ("job@base64/L3Zhci90bXA/x@base64/=", "job=/var/tmp x="),
            ("job@base64/L3Zhci90bXA=/x//y", "job=/var/tmp x=y"),
            ("job/titan/name/%CE%A0%CF%81", "job=titan name=Πρ"),
            (
                "job/titan/name@base64/zqDPgc6_zrzOt864zrXPjc-C",
                "job=titan name=Προμηθεύς",
            ),
            ("job/example/U__foo_2e_bar/baz", "foo.bar=baz job=example"),
            (
                "job/example/U__foo_2e_bar@base64/YmF6",
                "foo.bar=baz job=example",
            ),
            ("job/a/U___55_____/b", "U__=b job=a"),
            ("job/a/U__in_xxx_valid/b", "U__in_xxx_valid=b job=a"),
            ("job/100%/a%2fb/c", "a=b c="),
        ] {
            if path.contains("%2f") {
                // An encoded slash is one all the same.
                assert!(shown(path).unwrap_err().starts_with("odd number"));
                continue;
            }
            assert_eq!(shown(path).as_deref(), Ok(expected), "{path}");
        }
    }

    #[test]
    fn broken_paths_are_errors() {
        for (path, message) in [
            ("job/", "job name is required"),
            ("job@base64/=", "job name is required"),
            ("job/a/b", "odd number of components in label string \"/b\""),
            ("job/a/__name__/b", "improper label name \"__name__\""),
            ("job/a/@base64/YQ", "improper label name \"\""),
            ("job/a/%ff/b", "the path is not UTF-8"),
        ] {
            assert_eq!(shown(path).unwrap_err(), message, "{path}");
        }
        for path in ["job@base64/*", "job/a/b@base64/_w", "job/a/b@base64/*"] {
            assert!(
                shown(path).unwrap_err().starts_with("invalid base64"),
                "{path}"
            );
        }
    }

    #[test]
    fn groups_with_empty_labels_are_others() {
        let hash = |path| GroupKey::parse(path).unwrap().hash();
        assert_eq!(hash("job/a/b/c/d/e"), hash("job/a/d/e/b/c"));
        assert_ne!(hash("job/a"), hash("job/a/b@base64/="));
        assert_eq!(hash("job/a").len(), 32);
    }

    proptest! {
        #[test]
        fn no_path_panics(path in "[a-z/_%@U0-9é=]{0,60}") {
            let _ = GroupKey::parse(&path);
            let _ = GroupKey::parse(&format!("job@base64/{path}"));
            let _ = unescaped(&format!("U__{path}"));
        }
    }
}
