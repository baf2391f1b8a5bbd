//! The bytes of one log entry, and the names of the log's objects.

use object_store::path::Path;

use super::actions::{Action, CommitInfo};
use crate::error::{Error, Result};

/// The log's folder under a table's root.
pub(super) fn log_folder(root: &Path) -> Path {
    root.clone().join("_delta_log")
}

/// The key of a version's log entry.
pub(super) fn entry_key(root: &Path, version: i64) -> Path {
    log_folder(root).join(format!("{version:020}.json"))
}

/// The key of a version's checkpoint.
pub(super) fn checkpoint_key(root: &Path, version: i64) -> Path {
    log_folder(root).join(format!("{version:020}.checkpoint.parquet"))
}

/// The key of the pointer to the newest checkpoint.
pub(super) fn last_checkpoint_key(root: &Path) -> Path {
    log_folder(root).join("_last_checkpoint")
}

/// What an object in the log's folder is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum LogObject {
    Entry(i64),
    Checkpoint(i64),
}

/// Recognises the objects that Varve writes into the log's folder; `None` for any other.
pub(super) fn parse_key(key: &Path) -> Option<LogObject> {
    let name = key.filename()?;
    let (digits, rest) = name.split_at_checked(20)?;
    let version = digits
        .bytes()
        .all(|b| b.is_ascii_digit())
        .then(|| digits.parse().ok())??;
    match rest {
        ".json" => Some(LogObject::Entry(version)),
        ".checkpoint.parquet" => Some(LogObject::Checkpoint(version)),
        _ => None,
    }
}

/// Writes an entry: `info` first, completed with the checksum of everything after it.
pub(super) fn encode_entry(mut info: CommitInfo, actions: &[Action]) -> Result<Vec<u8>> {
    let line = |action: &Action, out: &mut Vec<u8>| -> Result<()> {
        serde_json::to_writer(&mut *out, action).map_err(|e| Error::encode("a log entry", e))?;
        out.push(b'\n');
        Ok(())
    };
    let mut body = Vec::new();
    for action in actions {
        line(action, &mut body)?;
    }
    info.crc32 = Some(crc32fast::hash(&body));
    let mut bytes = Vec::with_capacity(body.len() + 512);
    let first = Action {
        commit_info: Some(info),
        ..Action::default()
    };
    line(&first, &mut bytes)?;
    bytes.extend_from_slice(&body);
    Ok(bytes)
}

/// Reads an entry and verifies its checksum. Entries of other engines have none and are taken as they are.
pub(super) fn decode_entry(key: &Path, bytes: &[u8]) -> Result<Vec<Action>> {
    let mut actions = Vec::new();
    let mut rest = bytes;
    let mut number = 0;
    while !rest.is_empty() {
        number += 1;
        let (line, tail) = match rest.iter().position(|b| *b == b'\n') {
            Some(end) => (&rest[..end], &rest[end + 1..]),
            None => (rest, &rest[rest.len()..]),
        };
        rest = tail;
        if line.iter().all(u8::is_ascii_whitespace) {
            continue;
        }
        let action: Action = serde_json::from_slice(line)
            .map_err(|e| Error::corrupt(key, format!("line {number} is not an action: {e}")))?;
        if let Some(expected) = action.commit_info.as_ref().and_then(|info| info.crc32)
            && crc32fast::hash(rest) != expected
        {
            return Err(Error::corrupt(
                key,
                "the checksum of its actions does not match",
            ));
        }
        actions.push(action);
    }
    if actions.is_empty() {
        return Err(Error::corrupt(key, "it holds no action"));
    }
    Ok(actions)
}

/// Percent-encodes what a `path` of the protocol may not hold as it is.
pub(crate) fn encode_path(path: &str) -> String {
    let mut out = String::with_capacity(path.len());
    for byte in path.bytes() {
        match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' | b'/' | b'=' => {
                out.push(char::from(byte));
            }
            _ => {
                out.push('%');
                for digit in [byte >> 4, byte & 15] {
                    out.push(
                        char::from_digit(u32::from(digit), 16)
                            .map_or('0', |c| c.to_ascii_uppercase()),
                    );
                }
            }
        }
    }
    out
}

/// Undoes percent-encoding; `None` where the text is not valid.
pub(super) fn decode_path(path: &str) -> Option<String> {
    let mut out = Vec::with_capacity(path.len());
    let mut bytes = path.bytes();
    while let Some(byte) = bytes.next() {
        if byte == b'%' {
            let high = char::from(bytes.next()?).to_digit(16)?;
            let low = char::from(bytes.next()?).to_digit(16)?;
            out.push(u8::try_from(high * 16 + low).ok()?);
        } else {
            out.push(byte);
        }
    }
    String::from_utf8(out).ok()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::delta::actions::Txn;

    fn example() -> (Path, Vec<u8>) {
        let txn = |version| Action {
            txn: Some(Txn {
                app_id: "wal/0".to_owned(),
                version,
                last_updated: None,
            }),
            ..Action::default()
        };
        let key = entry_key(&Path::from("t/samples"), 7);
        (
            key,
            encode_entry(CommitInfo::default(), &[txn(1), txn(2)]).unwrap(),
        )
    }

    #[test]
    fn keys_are_the_protocols() {
        let root = Path::from("t/samples");
        assert_eq!(
            entry_key(&root, 7).as_ref(),
            "t/samples/_delta_log/00000000000000000007.json"
        );
        assert_eq!(parse_key(&entry_key(&root, 7)), Some(LogObject::Entry(7)));
        assert_eq!(
            parse_key(&checkpoint_key(&root, 9)),
            Some(LogObject::Checkpoint(9))
        );
        assert_eq!(parse_key(&last_checkpoint_key(&root)), None);
    }

    #[test]
    fn every_truncation_and_bit_flip_behind_the_first_line_is_found() {
        let (key, bytes) = example();
        let first = bytes.iter().position(|b| *b == b'\n').unwrap() + 1;
        assert_eq!(decode_entry(&key, &bytes).unwrap().len(), 3);
        for end in 0..bytes.len() {
            let error = decode_entry(&key, &bytes[..end]).unwrap_err().to_string();
            assert!(error.contains("00000000000000000007.json"), "{error}");
        }
        for bit in first * 8..bytes.len() * 8 {
            let mut broken = bytes.clone();
            broken[bit / 8] ^= 1 << (bit % 8);
            assert!(decode_entry(&key, &broken).is_err(), "bit {bit}");
        }
    }

    #[test]
    fn paths_are_percent_encoded_as_the_protocol_says() {
        assert_eq!(
            encode_path("date=2026-11-23/a b%ü.parquet"),
            "date=2026-11-23/a%20b%25%C3%BC.parquet"
        );
        for path in ["date=2026-11-23/a b%ü.parquet", "x"] {
            assert_eq!(decode_path(&encode_path(path)).as_deref(), Some(path));
        }
        assert_eq!(decode_path("a%2"), None);
        assert_eq!(decode_path("a%zz"), None);
    }
}
