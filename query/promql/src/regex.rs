//! Regular expressions of matchers: from RE2's syntax, which Prometheus uses, to that of Rust's `regex` crate.
//!
//! The two agree on most patterns, but not on all: `\d` is ASCII in RE2 and Unicode in Rust, `{` may be a literal in RE2,
//! a class may hold a bare `[`, `\Q…\E` quotes, `\<` is a literal, `a**` is an error. A pattern is read by RE2's rules and
//! written anew; what RE2 rejects is rejected in Go's words. No matching happens here.

#[cfg(test)]
mod tests;

use std::str::Chars;

use regex_syntax::hir::{Hir, HirKind, Look};
use thiserror::Error;

/// A pattern that is not in RE2's syntax.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
#[error("error parsing regexp: {reason}: `{part}`")]
pub struct RegexError {
    reason: String,
    part: String,
}

/// Counts above this are refused in `{n,m}`.
const REPEAT_MAX: u32 = 1000;

/// The pattern for Rust's `regex` crate that matches a whole text as Prometheus's matchers do: anchored at both ends, `.` matches
/// line breaks, too.
pub fn anchored_regex(pattern: &str) -> Result<String, RegexError> {
    let translated = rust_regex(pattern)?;
    Ok(format!("^(?s:{translated})$"))
}

/// The same pattern in the syntax of Rust's `regex` crate, without anchors.
pub fn rust_regex(pattern: &str) -> Result<String, RegexError> {
    let mut translator = Translator {
        pattern,
        rest: pattern.chars(),
        out: String::with_capacity(pattern.len() + 8),
        groups: 0,
        operand: false,
        repeat_start: None,
    };
    translator.pattern()?;
    let out = translator.out;
    // What is left to find: unknown Unicode classes, duplicate group names, excessive nesting.
    syntax_tree(&out).map_err(|reason| error(&reason, pattern))?;
    Ok(out)
}

/// Whether the whole-text match of a pattern accepts the empty text. An invalid pattern accepts nothing.
pub(crate) fn matches_empty(pattern: &str) -> bool {
    rust_regex(pattern)
        .ok()
        .and_then(|translated| syntax_tree(&translated).ok())
        .is_some_and(|tree| tree_matches_empty(&tree))
}

fn syntax_tree(translated: &str) -> Result<Hir, String> {
    regex_syntax::ParserBuilder::new()
        .dot_matches_new_line(true)
        .build()
        .parse(translated)
        .map_err(|error| match error {
            regex_syntax::Error::Translate(error) => error.kind().to_string(),
            regex_syntax::Error::Parse(error) => error.kind().to_string(),
            error => error.to_string(),
        })
}

fn tree_matches_empty(tree: &Hir) -> bool {
    match tree.kind() {
        HirKind::Empty => true,
        HirKind::Literal(_) | HirKind::Class(_) => false,
        HirKind::Look(look) => !matches!(look, Look::WordAscii | Look::WordUnicode),
        HirKind::Repetition(repetition) => {
            repetition.min == 0 || tree_matches_empty(&repetition.sub)
        }
        HirKind::Capture(capture) => tree_matches_empty(&capture.sub),
        HirKind::Concat(parts) => parts.iter().all(tree_matches_empty),
        HirKind::Alternation(parts) => parts.iter().any(tree_matches_empty),
    }
}

struct Translator<'p> {
    pattern: &'p str,
    rest: Chars<'p>,
    out: String,
    /// Open groups.
    groups: usize,
    /// Whether something that can be repeated comes right before.
    operand: bool,
    /// Where the repetition operator right before begins.
    repeat_start: Option<usize>,
}

impl<'p> Translator<'p> {
    fn pattern(&mut self) -> Result<(), RegexError> {
        loop {
            let start = self.offset();
            let Some(c) = self.rest.next() else { break };
            match c {
                '*' | '+' | '?' => {
                    self.repetition(start)?;
                    continue;
                }
                '{' => {
                    if self.counted_repetition(start)? {
                        continue;
                    }
                    self.out.push_str("\\{");
                    self.operand = true;
                }
                '(' => {
                    self.group(start)?;
                    self.operand = false;
                }
                ')' => {
                    self.groups = self
                        .groups
                        .checked_sub(1)
                        .ok_or_else(|| error("unexpected )", self.pattern))?;
                    self.out.push(')');
                    self.operand = true;
                }
                '|' => {
                    self.out.push('|');
                    self.operand = false;
                }
                '[' => {
                    self.class(start)?;
                    self.operand = true;
                }
                '\\' => {
                    self.escape(start)?;
                    self.operand = true;
                }
                '.' | '^' | '$' => {
                    self.out.push(c);
                    self.operand = true;
                }
                c => {
                    self.literal(c);
                    self.operand = true;
                }
            }
            self.repeat_start = None;
        }
        if self.groups > 0 {
            return Err(error("missing closing )", self.pattern));
        }
        Ok(())
    }

    /// `*`, `+` or `?`, which begins at `start`, and the `?` behind it.
    fn repetition(&mut self, start: usize) -> Result<(), RegexError> {
        self.accept('?');
        let operator = self.since(start);
        if !self.operand {
            return Err(error("missing argument to repetition operator", operator));
        }
        if let Some(first) = self.repeat_start {
            return Err(error(
                "invalid nested repetition operator",
                self.since(first),
            ));
        }
        self.out.push_str(operator);
        self.repeat_start = Some(start);
        Ok(())
    }

    /// `{n}`, `{n,}` or `{n,m}`; anything else is a brace that stands for itself.
    fn counted_repetition(&mut self, start: usize) -> Result<bool, RegexError> {
        let Some((inner, _)) = self.rest.as_str().split_once('}') else {
            return Ok(false);
        };
        let (min, max) = inner.split_once(',').unwrap_or((inner, inner));
        let is_count = |text: &str| {
            !text.is_empty()
                && text.bytes().all(|byte| byte.is_ascii_digit())
                && (text == "0" || !text.starts_with('0'))
        };
        if !is_count(min) || !(max.is_empty() && inner.contains(',') || is_count(max)) {
            return Ok(false);
        }
        let count = |text: &str| text.parse().unwrap_or(u32::MAX);
        self.rest = self
            .rest
            .as_str()
            .get(inner.len() + 1..)
            .unwrap_or_default()
            .chars();
        let min = count(min);
        let max = if max.is_empty() { min } else { count(max) };
        if min > REPEAT_MAX || max > REPEAT_MAX || min > max {
            return Err(error("invalid repeat count", self.since(start)));
        }
        self.repetition(start)?;
        Ok(true)
    }

    /// A parenthesis that begins at `start`, with the flags or the name behind it.
    fn group(&mut self, start: usize) -> Result<(), RegexError> {
        self.groups += 1;
        if !self.accept('?') {
            self.out.push('(');
            return Ok(());
        }
        let named = self.rest.as_str();
        if let Some(name) = named.strip_prefix("P<").or_else(|| named.strip_prefix('<')) {
            let length = name.find('>').unwrap_or(name.len());
            let (name, tail) = name.split_at(length);
            let valid = !name.is_empty()
                && name
                    .bytes()
                    .all(|byte| byte.is_ascii_alphanumeric() || byte == b'_');
            if !valid || tail.is_empty() {
                let end = self.pattern.len() - tail.len() + usize::from(!tail.is_empty());
                let part = self.pattern.get(start..end).unwrap_or_default();
                return Err(error("invalid named capture", part));
            }
            // `label_replace` may ask for the name; for one that begins with a digit, which Rust refuses, it gets the number anyway.
            if name.starts_with(|c: char| c.is_ascii_digit()) {
                self.out.push('(');
            } else {
                self.out.push_str("(?P<");
                self.out.push_str(name);
                self.out.push('>');
            }
            self.rest = tail.get(1..).unwrap_or_default().chars();
            return Ok(());
        }
        let (mut flags, mut negated) = (0, false);
        loop {
            match self.rest.next() {
                Some('i' | 'm' | 's' | 'U') => flags += 1,
                Some('-') if !negated => {
                    negated = true;
                    flags = 0;
                }
                Some(end @ (':' | ')')) if !negated || flags > 0 => {
                    if end == ')' {
                        self.groups -= 1;
                    }
                    let text = self.since(start);
                    // "(?)" switches nothing.
                    self.out.push_str(if text == "(?)" { "" } else { text });
                    return Ok(());
                }
                Some(_) => {
                    return Err(error(
                        "invalid or unsupported Perl syntax",
                        self.since(start),
                    ));
                }
                None => return Err(error("missing closing )", self.pattern)),
            }
        }
    }

    /// `[…]`, which begins at `start`.
    fn class(&mut self, start: usize) -> Result<(), RegexError> {
        self.out.push('[');
        if self.accept('^') {
            self.out.push('^');
        }
        let mut first = true;
        loop {
            let item_start = self.offset();
            if self.rest.as_str().starts_with("[:")
                && let Some((name, _)) = self.rest.as_str().split_once(":]")
            {
                let class = self.rest.as_str().get(..name.len() + 2).unwrap_or_default();
                let known = name
                    .strip_prefix("[:")
                    .map(|name| name.strip_prefix('^').unwrap_or(name));
                if !known.is_some_and(|name| POSIX_CLASSES.contains(&name)) {
                    return Err(error("invalid character class range", class));
                }
                self.out.push_str(class);
                self.rest = self
                    .rest
                    .as_str()
                    .get(class.len()..)
                    .unwrap_or_default()
                    .chars();
                first = false;
                continue;
            }
            let Some(c) = self.rest.next() else {
                let part = self.pattern.get(start..).unwrap_or_default();
                return Err(error("missing closing ]", part));
            };
            if c == ']' && !first {
                self.out.push(']');
                return Ok(());
            }
            first = false;
            let low = if c == '\\' {
                match self.class_escape(item_start)? {
                    Some(low) => low,
                    None => continue,
                }
            } else {
                c
            };
            self.literal(low);
            let rest = self.rest.as_str();
            if !rest.starts_with('-') || rest.starts_with("-]") || rest == "-" {
                continue;
            }
            self.accept('-');
            let high_start = self.offset();
            let high = match self.rest.next() {
                Some('\\') => self.escaped_char(high_start)?,
                Some(c) => c,
                None => low,
            };
            if high < low {
                return Err(error(
                    "invalid character class range",
                    self.since(item_start),
                ));
            }
            self.out.push('-');
            self.literal(high);
        }
    }

    /// An escape sequence in a class: a set is written, a character is returned.
    fn class_escape(&mut self, start: usize) -> Result<Option<char>, RegexError> {
        let next = self.rest.as_str().chars().next();
        if let Some(set) = next.and_then(perl_class) {
            self.rest.next();
            self.out.push_str(set);
            return Ok(None);
        }
        if matches!(next, Some('p' | 'P')) {
            self.unicode_class(start)?;
            return Ok(None);
        }
        self.escaped_char(start).map(Some)
    }

    /// An escape sequence outside classes whose backslash, at `start`, has been read.
    fn escape(&mut self, start: usize) -> Result<(), RegexError> {
        match self.rest.as_str().chars().next() {
            Some('A') => self.take("\\A"),
            Some('z') => self.take("\\z"),
            // Word characters are ASCII.
            Some('b') => self.take("(?-u:\\b)"),
            Some('B') => self.take("(?-u:\\B)"),
            Some('Q') => {
                let quoted = self.rest.as_str().get(1..).unwrap_or_default();
                let (text, tail) = quoted.split_once("\\E").unwrap_or((quoted, ""));
                text.chars().for_each(|c| self.literal(c));
                self.rest = tail.chars();
            }
            Some('p' | 'P') => self.unicode_class(start)?,
            Some(c) => match perl_class(c) {
                Some(set) => self.take(set),
                None => {
                    let c = self.escaped_char(start)?;
                    self.literal(c);
                }
            },
            None => return Err(error("trailing backslash at end of expression", "")),
        }
        Ok(())
    }

    /// `\pL`, `\p{Greek}`, `\p{^Greek}`; the backslash, at `start`, has been read.
    fn unicode_class(&mut self, start: usize) -> Result<(), RegexError> {
        let mut negated = self.rest.next() == Some('P');
        let invalid = || {
            error(
                "invalid character class range",
                self.pattern.get(start..).unwrap_or_default(),
            )
        };
        let rest = self.rest.as_str();
        let (name, tail) = match rest.strip_prefix('{') {
            Some(braced) => braced.split_once('}').ok_or_else(invalid)?,
            None => {
                let length = rest.chars().next().ok_or_else(invalid)?.len_utf8();
                rest.split_at(length)
            }
        };
        self.rest = tail.chars();
        let name = match name.strip_prefix('^') {
            Some(name) => {
                negated = !negated;
                name
            }
            None => name,
        };
        if name == "Any" {
            self.out.push_str(if negated {
                "[^\\x{0}-\\x{10FFFF}]"
            } else {
                "[\\x{0}-\\x{10FFFF}]"
            });
            return Ok(());
        }
        let set = format!("\\{}{{{name}}}", if negated { 'P' } else { 'p' });
        if name.contains([':', '=', '!']) || syntax_tree(&set).is_err() {
            return Err(error("invalid character class range", self.since(start)));
        }
        self.out.push_str(&set);
        Ok(())
    }

    /// The character that an escape sequence stands for; the backslash, at `start`, has been read.
    fn escaped_char(&mut self, start: usize) -> Result<char, RegexError> {
        let Some(c) = self.rest.next() else {
            return Err(error("trailing backslash at end of expression", ""));
        };
        let decoded = match c {
            'a' => Some('\x07'),
            'f' => Some('\x0c'),
            'n' => Some('\n'),
            'r' => Some('\r'),
            't' => Some('\t'),
            'v' => Some('\x0b'),
            // One digit alone would refer back to a group.
            '1'..='7' if !self.rest.as_str().starts_with(|c: char| c.is_digit(8)) => None,
            '0'..='7' => {
                let mut code = c.to_digit(8).unwrap_or(0);
                for _ in 0..2 {
                    let Some(digit) = self
                        .rest
                        .as_str()
                        .chars()
                        .next()
                        .and_then(|c| c.to_digit(8))
                    else {
                        break;
                    };
                    self.rest.next();
                    code = code * 8 + digit;
                }
                char::from_u32(code)
            }
            'x' => self.hexadecimal(),
            c if c.is_ascii() && !c.is_ascii_alphanumeric() => Some(c),
            _ => None,
        };
        decoded.ok_or_else(|| error("invalid escape sequence", self.since(start)))
    }

    /// `7F` or `{10FFFF}`.
    fn hexadecimal(&mut self) -> Option<char> {
        let rest = self.rest.as_str();
        let (digits, tail) = match rest.strip_prefix('{') {
            Some(braced) => braced.split_once('}')?,
            None => rest.split_at_checked(2)?,
        };
        if !digits.bytes().all(|byte| byte.is_ascii_hexdigit()) {
            return None;
        }
        let code = u32::from_str_radix(digits, 16).ok()?;
        self.rest = tail.chars();
        char::from_u32(code)
    }

    fn literal(&mut self, c: char) {
        if regex_syntax::is_meta_character(c) {
            self.out.push('\\');
        }
        self.out.push(c);
    }

    fn take(&mut self, translated: &str) {
        self.rest.next();
        self.out.push_str(translated);
    }

    fn accept(&mut self, wanted: char) -> bool {
        match self.rest.as_str().strip_prefix(wanted) {
            Some(tail) => {
                self.rest = tail.chars();
                true
            }
            None => false,
        }
    }

    fn offset(&self) -> usize {
        self.pattern.len() - self.rest.as_str().len()
    }

    fn since(&self, start: usize) -> &'p str {
        self.pattern.get(start..self.offset()).unwrap_or_default()
    }
}

const POSIX_CLASSES: [&str; 14] = [
    "alnum", "alpha", "ascii", "blank", "cntrl", "digit", "graph", "lower", "print", "punct",
    "space", "upper", "word", "xdigit",
];

fn perl_class(c: char) -> Option<&'static str> {
    Some(match c {
        'd' => "[0-9]",
        'D' => "[^0-9]",
        's' => "[\\t\\n\\x0C\\r ]",
        'S' => "[^\\t\\n\\x0C\\r ]",
        'w' => "[0-9A-Za-z_]",
        'W' => "[^0-9A-Za-z_]",
        _ => return None,
    })
}

fn error(reason: &str, part: &str) -> RegexError {
    RegexError {
        reason: reason.to_owned(),
        part: part.to_owned(),
    }
}
