//! Targets from files (`file_sd_configs`).
//!
//! Files are polled: their modification time and size every few seconds, their content when one of these changed or
//! when the refresh interval is over. A file that cannot be read or parsed keeps its last good groups; a file that is
//! gone takes its groups with it.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant, SystemTime};

use async_trait::async_trait;

use super::kind::{Kind, refresh_interval, render_interval};
use super::{Discovery, DiscoveryError, Failures, TargetGroup};
use crate::config::decode::{Fields, error_at, list, string};
use crate::config::write::{Entries, Yaml};
use crate::config::yaml::Node;
use crate::config::{ConfigError, parse_target_groups};

/// How often files are looked at.
const POLL_INTERVAL: Duration = Duration::from_secs(1);

/// One entry of `file_sd_configs`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FileConfig {
    /// The files; the last part of a path may be a pattern with `*`, `?` and `[…]`.
    pub files: Vec<PathBuf>,
    /// How often files are read again even where nothing seems to have changed.
    pub refresh_interval: Duration,
}

impl Kind for FileConfig {
    const NAME: &'static str = "file";

    fn decode(node: &Node, directory: &Path) -> Result<Self, ConfigError> {
        let mut fields = Fields::of(node, "file.plain")?;
        let files = fields.read("files", |node| {
            list(node, |item| {
                let name = string(item)?;
                if !is_discovery_file(&name) {
                    return error_at(
                        item,
                        format!("path name {name:?} is not valid for file discovery"),
                    );
                }
                Ok(directory.join(name))
            })
        })?;
        let config = Self {
            files: files.unwrap_or_default(),
            refresh_interval: refresh_interval(&mut fields, Duration::from_secs(5 * 60))?,
        };
        if config.files.is_empty() {
            return error_at(
                node,
                "file service discovery config must contain at least one path name",
            );
        }
        fields.finish(&[])?;
        Ok(config)
    }

    fn render(&self, entries: &mut Entries) {
        let files = self.files.iter();
        let files = files.map(|file| Yaml::Text(file.display().to_string()));
        entries.put("files", Yaml::List(files.collect()));
        render_interval(entries, self.refresh_interval);
    }

    fn discovery(&self, failures: Failures) -> Result<Box<dyn Discovery>, DiscoveryError> {
        Ok(Box::new(FileDiscovery {
            files: Arc::new(Mutex::new(Files::new(self.clone(), failures))),
        }))
    }
}

/// A path that has `*` in its last part only and ends in `.json`, `.yml` or `.yaml`, all in lower or all in upper case.
fn is_discovery_file(name: &str) -> bool {
    let known = [".json", ".yml", ".yaml", ".JSON", ".YML", ".YAML"]
        .iter()
        .any(|suffix| name.ends_with(suffix));
    known
        && name
            .split_once('*')
            .is_none_or(|(_, rest)| !rest.contains('/'))
}

#[derive(Debug)]
struct FileDiscovery {
    /// Shared with the thread that reads them.
    files: Arc<Mutex<Files>>,
}

impl FileDiscovery {
    /// Does something to the files on a thread where it may wait for the file system.
    async fn blocking<T: Send + 'static>(
        &self,
        action: impl FnOnce(&mut Files) -> T + Send + 'static,
    ) -> Result<T, DiscoveryError> {
        let files = Arc::clone(&self.files);
        let done = tokio::task::spawn_blocking(move || {
            action(&mut files.lock().unwrap_or_else(PoisonError::into_inner))
        });
        done.await
            .map_err(|error| DiscoveryError::Answer(format!("reading files failed: {error}")))
    }
}

#[async_trait]
impl Discovery for FileDiscovery {
    async fn refresh(&mut self) -> Result<Vec<TargetGroup>, DiscoveryError> {
        self.blocking(|files| {
            files.poll();
            files.groups()
        })
        .await
    }

    async fn changed(&mut self) {
        loop {
            tokio::time::sleep(POLL_INTERVAL).await;
            if let Ok(true) = self.blocking(Files::poll).await {
                return;
            }
        }
    }
}

/// What a file looked like when it was read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Stamp {
    modified: Option<SystemTime>,
    bytes: u64,
}

#[derive(Debug)]
struct FileState {
    stamp: Option<Stamp>,
    groups: Vec<TargetGroup>,
}

/// The files of one entry, as of the last look.
#[derive(Debug)]
struct Files {
    config: FileConfig,
    files: BTreeMap<PathBuf, FileState>,
    refreshed: Option<Instant>,
    failures: Failures,
}

impl Files {
    fn new(config: FileConfig, failures: Failures) -> Self {
        Self {
            config,
            files: BTreeMap::new(),
            refreshed: None,
            failures,
        }
    }

    /// Looks at the files and reads those that changed; `true` if any group is different from before. Waits for the file system.
    fn poll(&mut self) -> bool {
        let due = self
            .refreshed
            .is_none_or(|at| at.elapsed() >= self.config.refresh_interval);
        if due {
            self.refreshed = Some(Instant::now());
        }
        let mut changed = false;
        let mut previous = std::mem::take(&mut self.files);
        for path in self.matching_files() {
            let mut state = previous.remove(&path).unwrap_or(FileState {
                stamp: None,
                groups: Vec::new(),
            });
            let stamp = stamp(&path);
            if due || stamp != state.stamp {
                match read_groups(&path) {
                    Ok(groups) => {
                        changed |= groups != state.groups;
                        state.groups = groups;
                    }
                    Err(reason) => {
                        self.failures.count();
                        tracing::error!(
                            path = %path.display(),
                            reason,
                            "cannot read a file with targets; its last good targets stay"
                        );
                    }
                }
                state.stamp = stamp;
            }
            self.files.insert(path, state);
        }
        // What is left matched before and is gone now.
        changed | previous.values().any(|state| !state.groups.is_empty())
    }

    /// The groups of all files.
    fn groups(&self) -> Vec<TargetGroup> {
        let files = self.files.values();
        files.flat_map(|state| &state.groups).cloned().collect()
    }

    fn matching_files(&self) -> Vec<PathBuf> {
        self.config
            .files
            .iter()
            .flat_map(|p| files_matching(p))
            .collect()
    }
}

fn stamp(path: &Path) -> Option<Stamp> {
    let metadata = std::fs::metadata(path).ok()?;
    Some(Stamp {
        modified: metadata.modified().ok(),
        bytes: metadata.len(),
    })
}

fn read_groups(path: &Path) -> Result<Vec<TargetGroup>, String> {
    let file = path.display().to_string();
    let text = std::fs::read_to_string(path).map_err(|error| error.to_string())?;
    groups_of(&text, &file)
}

fn groups_of(text: &str, file: &str) -> Result<Vec<TargetGroup>, String> {
    if file.to_ascii_lowercase().ends_with(".json") {
        // JSON is YAML too, but a `.json` file that only YAML accepts is a mistake.
        serde_json::from_str::<serde_json::Value>(text).map_err(|error| error.to_string())?;
    }
    parse_target_groups(text, file).map_err(|error| error.to_string())
}

/// Reads a text as a file of that name would be and forgets it: what tests with arbitrary texts call. The number of groups, if it can be read.
#[doc(hidden)]
pub fn read_any(text: &str, file: &str) -> Option<usize> {
    groups_of(text, file).ok().map(|groups| groups.len())
}

/// The files that a path with a pattern in its last part stands for; one without stands for itself where it exists.
pub(crate) fn files_matching(pattern: &Path) -> Vec<PathBuf> {
    let name = pattern.file_name().unwrap_or_default().to_string_lossy();
    if !name.contains(['*', '?', '[']) {
        return match pattern.exists() {
            true => vec![pattern.to_owned()],
            false => Vec::new(),
        };
    }
    let pattern_chars: Vec<char> = name.chars().collect();
    let folder = match pattern.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    };
    let Ok(entries) = std::fs::read_dir(folder) else {
        return Vec::new();
    };
    let mut files: Vec<_> = entries
        .filter_map(|entry| entry.ok()?.file_name().into_string().ok())
        .filter(|file| matches(&pattern_chars, &file.chars().collect::<Vec<_>>()))
        .map(|file| pattern.with_file_name(file))
        .collect();
    files.sort();
    files
}

/// Whether a name matches a pattern: `*` is any text, `?` any character, `[a-z]` and `[^a-z]` one of a set or none of it, and
/// a backslash takes the character after it as it is.
fn matches(pattern: &[char], name: &[char]) -> bool {
    match (pattern, name) {
        ([], _) => name.is_empty(),
        (['*', rest @ ..], _) => (0..=name.len()).any(|at| matches(rest, &name[at..])),
        (['?', rest @ ..], [_, name @ ..]) => matches(rest, name),
        (['[', set @ ..], [c, name @ ..]) => match take_set(set, *c) {
            Some((true, rest)) => matches(rest, name),
            _ => false,
        },
        (['\\', c, rest @ ..], [first, name @ ..]) | ([c, rest @ ..], [first, name @ ..]) => {
            c == first && matches(rest, name)
        }
        _ => false,
    }
}

/// Reads a set after its opening bracket: whether it has the character, and the pattern after it.
fn take_set(set: &[char], c: char) -> Option<(bool, &[char])> {
    let (negated, mut rest) = match set {
        ['^', rest @ ..] => (true, rest),
        _ => (false, set),
    };
    let mut found = false;
    let mut first = true;
    loop {
        match rest {
            [']', after @ ..] if !first => return Some((found != negated, after)),
            [low, '-', high, after @ ..] if *high != ']' => {
                found |= (*low..=*high).contains(&c);
                rest = after;
            }
            [one, after @ ..] => {
                found |= *one == c;
                rest = after;
            }
            [] => return None,
        }
        first = false;
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn discovery(folder: &Path, pattern: &str) -> Files {
        let config = FileConfig {
            files: vec![folder.join(pattern)],
            refresh_interval: Duration::from_secs(300),
        };
        Files::new(config, Failures::default())
    }

    fn addresses(files: &Files) -> Vec<String> {
        let groups = files.groups();
        let addresses = groups.iter().flat_map(TargetGroup::addresses);
        addresses.map(str::to_owned).collect()
    }

    #[test]
    fn files_come_change_and_go() {
        let folder = tempfile::tempdir().unwrap();
        let mut found = discovery(folder.path(), "t*.yml");
        assert!(!found.poll());
        std::fs::write(folder.path().join("t1.yml"), "- targets: [a:1]\n").unwrap();
        std::fs::write(folder.path().join("other.yml"), "- targets: [x:1]\n").unwrap();
        assert!(found.poll() && !found.poll());
        assert_eq!(addresses(&found), ["a:1"]);
        std::fs::write(folder.path().join("t2.yml"), "- targets: [b:1, c:1]\n").unwrap();
        assert!(found.poll());
        assert_eq!(addresses(&found), ["a:1", "b:1", "c:1"]);
        std::fs::remove_file(folder.path().join("t1.yml")).unwrap();
        assert!(found.poll());
        assert_eq!(addresses(&found), ["b:1", "c:1"]);
    }

    #[test]
    fn patterns_are_those_of_go() {
        for (pattern, name, expected) in [
            ("a*.json", "a.json", true),
            ("a*b*.json", "axbyb.json", true),
            ("a*b*.json", "axy.json", false),
            ("a?.yml", "ab.yml", true),
            ("a?.yml", "a.yml", false),
            ("[a-c]x.yml", "bx.yml", true),
            ("[^a-c]x.yml", "bx.yml", false),
            ("[a.yml", "[a.yml", false),
            ("\\*.yml", "*.yml", true),
            ("\\*.yml", "x.yml", false),
        ] {
            let chars = |text: &str| text.chars().collect::<Vec<_>>();
            assert_eq!(
                matches(&chars(pattern), &chars(name)),
                expected,
                "{pattern}"
            );
        }
    }

    #[test]
    fn a_broken_file_keeps_its_last_good_targets() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("t.json");
        std::fs::write(&path, r#"[{"targets": ["a:1"]}]"#).unwrap();
        let mut found = discovery(folder.path(), "t.json");
        assert!(found.poll());
        for broken in [
            r#"[{"targets": ["#,
            "- targets: [not json]\n",
            r#"[{"tragets": []}]"#,
        ] {
            std::fs::write(&path, broken).unwrap();
            assert!(!found.poll(), "{broken}");
            assert_eq!(addresses(&found), ["a:1"]);
        }
        assert_eq!(found.failures.total(), 3);
        std::fs::write(&path, r#"[{"targets": ["b:1"], "labels": {"x": "y"}}]"#).unwrap();
        assert!(found.poll());
        let group = &found.groups()[0];
        assert_eq!(group.labels["__meta_filepath"], path.display().to_string());
        assert_eq!(group.labels["x"], "y");
    }
}
