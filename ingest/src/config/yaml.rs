//! YAML as a tree of nodes that know where they stand in the file.
//!
//! The tree keeps the text of every scalar: whether `1.50` is a number or a string is decided by the field that reads
//! it, so that label values, regular expressions and durations arrive as they were written. Anchors, aliases and
//! merge keys (`<<`) are resolved here; their expansion is bounded.

use std::collections::HashMap;
use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use granit_parser::{Event, Parser, ScalarStyle, Span};

use super::error::ConfigError;

/// Nodes of one file after aliases are expanded: far above any real configuration, far below what hurts.
const NODES_MAX: usize = 2_000_000;

/// A place in a file; both counted from 1.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Position {
    /// The line.
    pub line: usize,
    /// The column, in characters.
    pub column: usize,
}

impl fmt::Display for Position {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "line {}, column {}", self.line, self.column)
    }
}

/// One value of the file.
#[derive(Clone, Debug)]
pub(crate) struct Node {
    pub(crate) at: Position,
    pub(crate) value: Value,
}

/// What a [`Node`] holds.
#[derive(Clone, Debug)]
pub(crate) enum Value {
    /// A scalar's text; `plain` unless it was quoted or a block.
    Scalar {
        text: String,
        plain: bool,
    },
    Sequence(Vec<Node>),
    Mapping(Vec<(Key, Node)>),
}

/// The key of a mapping entry.
#[derive(Clone, Debug)]
pub(crate) struct Key {
    pub(crate) at: Position,
    pub(crate) name: String,
}

impl Node {
    fn null(at: Position) -> Self {
        Self {
            at,
            value: Value::Scalar {
                text: String::new(),
                plain: true,
            },
        }
    }

    /// Whether the value is absent: nothing at all, `~` or `null`.
    pub(crate) fn is_null(&self) -> bool {
        matches!(&self.value, Value::Scalar { text, plain: true } if matches!(text.as_str(), "" | "~" | "null" | "Null" | "NULL"))
    }

    /// Whether nothing below this node says anything: null, or collections of nothing but nulls.
    pub(crate) fn is_vacuous(&self) -> bool {
        match &self.value {
            Value::Scalar { .. } => self.is_null(),
            Value::Sequence(items) => items.iter().all(Node::is_vacuous),
            Value::Mapping(entries) => entries.iter().all(|(_, node)| node.is_vacuous()),
        }
    }

    /// How an error message shows the value: "!!map", "!!seq", or "!!str `text`".
    pub(crate) fn describe(&self) -> String {
        match &self.value {
            Value::Mapping(_) => "!!map".to_owned(),
            Value::Sequence(_) => "!!seq".to_owned(),
            Value::Scalar { text, plain } => {
                let tag = if *plain && text.parse::<i64>().is_ok() {
                    "!!int"
                } else if *plain && text.parse::<f64>().is_ok() {
                    "!!float"
                } else if *plain && matches!(text.as_str(), "true" | "false") {
                    "!!bool"
                } else {
                    "!!str"
                };
                let shown: String = text.chars().take(40).collect();
                let dots = if shown.len() < text.len() { "..." } else { "" };
                format!("{tag} `{shown}{dots}`")
            }
        }
    }
}

/// Reads the first document of a file. An empty file is a null node.
pub(crate) fn parse(text: &str) -> Result<Node, ConfigError> {
    refuse_other_versions(text)?;
    let mut composer = Composer {
        parser: Parser::new_from_str_with_options(
            text,
            granit_parser::options! { emit_comments: false },
        ),
        anchors: HashMap::new(),
        nodes: 0,
    };
    loop {
        match composer.next()? {
            Some((Event::DocumentStart(..), _)) => {
                return match composer.next()? {
                    Some((event, span)) => composer.node(event, span),
                    None => Ok(Node::null(Position { line: 1, column: 1 })),
                };
            }
            Some((Event::StreamEnd, _)) | None => {
                return Ok(Node::null(Position { line: 1, column: 1 }));
            }
            Some(_) => {}
        }
    }
}

struct Composer<'a> {
    parser: Parser<'a, granit_parser::StrInput<'a>>,
    anchors: HashMap<usize, Node>,
    nodes: usize,
}

fn position(span: &Span) -> Position {
    Position {
        line: span.start.line(),
        column: span.start.col() + 1,
    }
}

impl<'a> Composer<'a> {
    fn next(&mut self) -> Result<Option<(Event<'a>, Span)>, ConfigError> {
        match self.parser.next_event() {
            None => Ok(None),
            Some(Ok(event)) => Ok(Some(event)),
            Some(Err(error)) => {
                let marker = error.marker();
                Err(ConfigError::new(
                    Some(Position {
                        line: marker.line(),
                        column: marker.col() + 1,
                    }),
                    format!("yaml: {}", error.info()),
                ))
            }
        }
    }

    fn count(&mut self, nodes: usize, at: Position) -> Result<(), ConfigError> {
        self.nodes += nodes;
        if self.nodes > NODES_MAX {
            return Err(ConfigError::new(
                Some(at),
                "yaml: document contains excessive aliasing".to_owned(),
            ));
        }
        Ok(())
    }

    fn node(&mut self, event: Event<'a>, span: Span) -> Result<Node, ConfigError> {
        let at = position(&span);
        self.count(1, at)?;
        let (value, anchor) = match event {
            Event::Scalar(text, style, anchor, tag) => {
                let tag = tag.as_deref();
                let text = match tag
                    .is_some_and(|t| (t.handle(), t.suffix()) == ("tag:yaml.org,2002:", "binary"))
                {
                    true => binary(&text, at)?,
                    false => text.into_owned(),
                };
                // A tag of somebody's own says nothing but that the text is to be left alone.
                let tagged_string = tag.is_some_and(|t| {
                    t.is_yaml_core_schema_tag("str") || t.handle() != "tag:yaml.org,2002:"
                });
                let value = Value::Scalar {
                    text,
                    plain: style == ScalarStyle::Plain && !tagged_string,
                };
                (value, anchor)
            }
            Event::SequenceStart(_, anchor, _) => {
                let mut items = Vec::new();
                loop {
                    match self.next()? {
                        Some((Event::SequenceEnd, _)) | None => break,
                        Some((event, span)) => items.push(self.node(event, span)?),
                    }
                }
                (Value::Sequence(items), anchor)
            }
            Event::MappingStart(_, anchor, _) => (Value::Mapping(self.entries()?), anchor),
            Event::Alias(id) => {
                let node = self.anchors.get(&id).cloned().ok_or_else(|| {
                    ConfigError::new(Some(at), "yaml: anchor contains itself".to_owned())
                })?;
                self.count(size(&node), at)?;
                return Ok(Node { at, ..node });
            }
            _ => return Ok(Node::null(at)),
        };
        let node = Node { at, value };
        if anchor != 0 {
            self.anchors.insert(anchor, node.clone());
        }
        Ok(node)
    }

    fn entries(&mut self) -> Result<Vec<(Key, Node)>, ConfigError> {
        let mut entries: Vec<(Key, Node)> = Vec::new();
        let mut merged: Vec<(Key, Node)> = Vec::new();
        loop {
            let (event, span) = match self.next()? {
                Some((Event::MappingEnd, _)) | None => break,
                Some(next) => next,
            };
            let key_node = self.node(event, span)?;
            let at = key_node.at;
            let Value::Scalar { text: name, plain } = key_node.value else {
                return Err(ConfigError::new(
                    Some(at),
                    "yaml: a key must be a scalar".to_owned(),
                ));
            };
            let value = match self.next()? {
                Some((event, span)) => self.node(event, span)?,
                None => Node::null(at),
            };
            if plain && name == "<<" {
                collect_merge(value, &mut merged)?;
            } else {
                entries.push((Key { at, name }, value));
            }
        }
        for (key, value) in merged {
            if entries.iter().all(|(k, _)| k.name != key.name) {
                entries.push((key, value));
            }
        }
        Ok(entries)
    }
}

/// What `!!binary` says, which must be text all the same.
fn binary(encoded: &str, at: Position) -> Result<String, ConfigError> {
    let bytes: String = encoded.split_ascii_whitespace().collect();
    let bytes = BASE64.decode(bytes).map_err(|_| {
        let message = "yaml: !!binary value contains invalid base64 data";
        ConfigError::new(Some(at), message)
    })?;
    String::from_utf8(bytes).map_err(|error| {
        let message = format!(
            "yaml: \"{}\" is not valid UTF-8",
            error.as_bytes().escape_ascii()
        );
        ConfigError::new(Some(at), message)
    })
}

fn collect_merge(value: Node, merged: &mut Vec<(Key, Node)>) -> Result<(), ConfigError> {
    match value.value {
        Value::Mapping(entries) => merged.extend(entries),
        Value::Sequence(items) => {
            for item in items {
                collect_merge(item, merged)?;
            }
        }
        Value::Scalar { .. } => {
            return Err(ConfigError::new(
                Some(value.at),
                "yaml: map merge requires map or sequence of maps as the value".to_owned(),
            ));
        }
    }
    Ok(())
}

/// Refuses a file that says it is of a version other than 1.1, the one that Prometheus reads.
fn refuse_other_versions(text: &str) -> Result<(), ConfigError> {
    let mut lines = (1..).zip(text.lines());
    let directive = lines
        .by_ref()
        .take_while(|(_, line)| line.is_empty() || line.starts_with(['%', '#']))
        .find_map(|(number, line)| Some((number, line.strip_prefix("%YAML")?)));
    match directive {
        Some((line, version)) if version.split('#').next().unwrap_or("").trim() != "1.1" => {
            let at = Position { line, column: 1 };
            Err(ConfigError::new(
                Some(at),
                "yaml: found incompatible YAML document",
            ))
        }
        _ => Ok(()),
    }
}

fn size(node: &Node) -> usize {
    1 + match &node.value {
        Value::Scalar { .. } => 0,
        Value::Sequence(items) => items.iter().map(size).sum(),
        Value::Mapping(entries) => entries.iter().map(|(_, node)| 1 + size(node)).sum(),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::panic)]
    use super::*;

    fn entry<'a>(node: &'a Node, name: &str) -> &'a Node {
        let Value::Mapping(entries) = &node.value else {
            panic!("not a mapping: {node:?}");
        };
        &entries.iter().find(|(k, _)| k.name == name).unwrap().1
    }

    #[test]
    fn scalars_keep_their_text_and_place() {
        let node = parse("a: 1.50\nb:\n  - 'x'\n  - ~\n").unwrap();
        let a = entry(&node, "a");
        assert_eq!((a.at.line, a.at.column), (1, 4));
        assert_eq!(a.describe(), "!!float `1.50`");
        let Value::Sequence(items) = &entry(&node, "b").value else {
            panic!("not a sequence");
        };
        assert_eq!((items[0].at.line, items[0].at.column), (3, 5));
        assert!(!items[0].is_null() && items[1].is_null());
    }

    #[test]
    fn aliases_and_merge_keys_are_expanded() {
        let node = parse("base: &b {x: 1, y: 2}\nuse:\n  <<: *b\n  y: 3\nsame: *b\n").unwrap();
        assert_eq!(entry(entry(&node, "use"), "x").describe(), "!!int `1`");
        assert_eq!(entry(entry(&node, "use"), "y").describe(), "!!int `3`");
        assert_eq!(entry(entry(&node, "same"), "y").describe(), "!!int `2`");
    }

    #[test]
    fn exploding_aliases_are_refused() {
        let mut text = "a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n".to_owned();
        for i in 1..9 {
            let list = vec![format!("*a{}", i - 1); 10].join(", ");
            text.push_str(&format!("a{i}: &a{i} [{list}]\n"));
        }
        let error = parse(&text).unwrap_err();
        assert!(error.to_string().contains("excessive aliasing"), "{error}");
    }

    #[test]
    fn broken_yaml_says_where() {
        let error = parse("a: [1, 2\nb: c\n").unwrap_err();
        assert!(error.position().is_some_and(|at| at.line >= 1), "{error}");
        assert!(parse("").unwrap().is_null());
        assert!(parse("%YAML 1.1\n---\na: 1\n").is_ok());
        let error = parse("# x\n%YAML 1.2\n---\na: 1\n").unwrap_err();
        assert_eq!(
            error.to_string(),
            "line 2, column 1: yaml: found incompatible YAML document"
        );
    }
}
