//! Regular expressions with the meaning that they have in Go, which is what Prometheus users write.
//!
//! The engine here (crate `regex`) and Go's share RE2's ideas and most of its syntax, but not all: in Go `\d`, `\w`,
//! `\s` and `\b` are ASCII, `\Q…\E` quotes, `[` and `&&` inside a class are ordinary characters, and some constructs
//! are errors. [`translate`] rewrites an expression accordingly. Expressions are anchored at both ends and `.` matches
//! a line break, as everywhere in Prometheus.

use std::fmt;

use regex::Regex;

/// The POSIX classes that Go knows.
const POSIX_CLASSES: [&str; 14] = [
    "alnum", "alpha", "ascii", "blank", "cntrl", "digit", "graph", "lower", "print", "punct",
    "space", "upper", "word", "xdigit",
];

/// The largest repetition count that Go accepts.
const REPEAT_MAX: u32 = 1_000;

/// An anchored regular expression.
#[derive(Clone)]
pub struct AnchoredRegex {
    source: String,
    regex: Regex,
    /// The names of the groups, the first group first. In Go they may start with a digit, and occur more than once.
    group_names: Vec<Option<String>>,
}

impl AnchoredRegex {
    /// Compiles an expression; the error is Go's text.
    pub fn new(source: &str) -> Result<Self, String> {
        let (translated, group_names) = translate(source)?;
        let regex = Regex::new(&format!("^(?s:{translated})$"))
            .map_err(|error| parse_error(source, &error.to_string()))?;
        Ok(Self {
            source: source.to_owned(),
            regex,
            group_names,
        })
    }

    /// The expression as it was written.
    pub fn as_str(&self) -> &str {
        &self.source
    }

    /// Whether the whole text matches.
    pub fn is_match(&self, text: &str) -> bool {
        self.regex.is_match(text)
    }

    /// Matches the whole text and fills in `template`; `None` if there is no match.
    ///
    /// `$1`, `${1}`, `$name` and `${name}` stand for groups, `$$` for a dollar sign; unknown groups are empty.
    pub fn expand(&self, text: &str, template: &str) -> Option<String> {
        let captures = self.regex.captures(text)?;
        Some(expand_template(template, |name| {
            let group = match name.parse::<usize>() {
                Ok(index) => captures.get(index),
                // The first group of the name that took part in the match.
                Err(_) => (1..)
                    .zip(&self.group_names)
                    .filter(|(_, group)| group.as_deref() == Some(name))
                    .find_map(|(index, _)| captures.get(index)),
            };
            group.map_or("", |m| m.as_str())
        }))
    }
}

/// Fills in a template after a match of `(.*)`, the expression that rules have by default.
pub(super) fn expand_anything(text: &str, template: &str) -> String {
    expand_template(template, |name| match name {
        "0" | "1" => text,
        _ => "",
    })
}

impl PartialEq for AnchoredRegex {
    fn eq(&self, other: &Self) -> bool {
        self.source == other.source
    }
}

impl Eq for AnchoredRegex {}

impl fmt::Debug for AnchoredRegex {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", self.source)
    }
}

fn parse_error(source: &str, reason: &str) -> String {
    // The engine prints several lines with a marker below the expression; the last one says what is wrong.
    let reason = reason.lines().last().unwrap_or(reason);
    let reason = reason.strip_prefix("error: ").unwrap_or(reason);
    format!("error parsing regexp: {reason}: `{source}`")
}

/// Fills in a template by Go's rules: a name is the longest run of letters, digits and `_` after the dollar sign (so
/// `$1x` is the group named `1x`), or whatever stands in braces; a dollar sign that starts no name stays.
fn expand_template<'a>(template: &str, group: impl Fn(&str) -> &'a str) -> String {
    let mut out = String::with_capacity(template.len());
    let mut rest = template;
    while let Some(dollar) = rest.find('$') {
        out.push_str(&rest[..dollar]);
        rest = &rest[dollar + 1..];
        if let Some(after) = rest.strip_prefix('$') {
            out.push('$');
            rest = after;
            continue;
        }
        let is_word = |c: char| c == '_' || c.is_alphanumeric();
        let (name, after) = match rest.strip_prefix('{') {
            Some(braced) => match braced.find('}') {
                Some(end) => (&braced[..end], &braced[end + 1..]),
                None => ("", rest),
            },
            None => {
                let end = rest.find(|c| !is_word(c)).unwrap_or(rest.len());
                rest.split_at(end)
            }
        };
        if name.is_empty() || !name.chars().all(is_word) {
            // Not a name: the dollar sign is an ordinary character.
            out.push('$');
            continue;
        }
        out.push_str(group(name));
        rest = after;
    }
    out.push_str(rest);
    out
}

/// Rewrites an expression of Go's syntax for the engine here; gives the names of its groups besides.
fn translate(source: &str) -> Result<(String, Vec<Option<String>>), String> {
    let mut translator = Translator {
        source,
        chars: source.chars().collect(),
        at: 0,
        out: String::with_capacity(source.len() + 8),
        last: Last::Nothing,
        group_names: Vec::new(),
    };
    translator.run()?;
    Ok((translator.out, translator.group_names))
}

/// What stands before the next character, for the errors about repetitions.
#[derive(PartialEq)]
enum Last {
    Nothing,
    Atom,
    Repetition,
}

struct Translator<'a> {
    source: &'a str,
    chars: Vec<char>,
    at: usize,
    out: String,
    last: Last,
    group_names: Vec<Option<String>>,
}

impl Translator<'_> {
    fn peek(&self, ahead: usize) -> Option<char> {
        self.chars.get(self.at + ahead).copied()
    }

    fn fail<T>(&self, reason: &str) -> Result<T, String> {
        Err(format!("error parsing regexp: {reason}: `{}`", self.source))
    }

    fn run(&mut self) -> Result<(), String> {
        while let Some(c) = self.peek(0) {
            match c {
                '\\' => self.escape(false)?,
                '[' => self.class()?,
                '*' | '+' | '?' => {
                    self.at += 1;
                    self.repetition(&c.to_string())?;
                }
                '{' => self.brace()?,
                '(' => self.group()?,
                '|' => {
                    self.at += 1;
                    self.out.push(c);
                    self.last = Last::Nothing;
                }
                _ => {
                    self.at += 1;
                    self.out.push(c);
                    self.last = Last::Atom;
                }
            }
        }
        Ok(())
    }

    fn repetition(&mut self, operator: &str) -> Result<(), String> {
        match self.last {
            Last::Nothing => self.fail(&format!(
                "missing argument to repetition operator: `{operator}`"
            )),
            Last::Repetition => {
                self.fail(&format!("invalid nested repetition operator: `{operator}`"))
            }
            Last::Atom => {
                self.out.push_str(operator);
                if self.peek(0) == Some('?') {
                    self.at += 1;
                    self.out.push('?');
                }
                self.last = Last::Repetition;
                Ok(())
            }
        }
    }

    /// `{n}`, `{n,}` and `{n,m}` repeat; any other brace is an ordinary character.
    fn brace(&mut self) -> Result<(), String> {
        let rest: String = self.chars[self.at + 1..].iter().collect();
        let counts = rest.split_once('}').and_then(|(inside, _)| {
            let (low, high) = match inside.split_once(',') {
                Some((low, high)) => (low, Some(high)),
                None => (inside, None),
            };
            let number = |text: &str| {
                let digits = !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
                digits.then(|| text.parse::<u32>().unwrap_or(u32::MAX))
            };
            let low = number(low)?;
            let high = match high {
                None => Some(low),
                Some("") => None,
                Some(text) => Some(number(text)?),
            };
            Some((inside.to_owned(), low, high))
        });
        let Some((inside, low, high)) = counts else {
            self.at += 1;
            self.out.push_str("\\{");
            self.last = Last::Atom;
            return Ok(());
        };
        let operator = format!("{{{inside}}}");
        if low > REPEAT_MAX || high.is_some_and(|high| high > REPEAT_MAX || high < low) {
            return self.fail(&format!("invalid repeat count: `{operator}`"));
        }
        self.at += operator.chars().count();
        self.repetition(&operator)
    }

    /// An opening parenthesis with its flags or name. Go has the flags `imsU` only.
    fn group(&mut self) -> Result<(), String> {
        self.at += 1;
        self.out.push('(');
        self.last = Last::Nothing;
        if self.peek(0) != Some('?') {
            self.group_names.push(None);
            return Ok(());
        }
        let rest: String = self.chars[self.at..].iter().collect();
        let named = rest.strip_prefix("?P<").or_else(|| rest.strip_prefix("?<"));
        if let Some(named) = named {
            let is_word = |c: char| c.is_ascii_alphanumeric() || c == '_';
            let name = named.split_once('>').map_or("", |(name, _)| name);
            if name.is_empty() || !name.chars().all(is_word) {
                return self.fail("invalid named capture");
            }
            // The engine here needs no name: names are looked up by number.
            self.at += rest.chars().count() - named.chars().count() + name.len() + 1;
            self.group_names.push(Some(name.to_owned()));
            return Ok(());
        }
        while let Some(c) = self.peek(0) {
            self.at += 1;
            self.out.push(c);
            match c {
                '?' | 'i' | 'm' | 's' | 'U' | '-' => {}
                ')' => {
                    // Flags alone, `(?i)`: nothing to repeat comes before what follows.
                    self.last = Last::Nothing;
                    return Ok(());
                }
                ':' => return Ok(()),
                _ => return self.fail("invalid or unsupported Perl syntax: `(?`"),
            }
        }
        self.fail("missing closing )")
    }

    /// A backslash and what follows it, outside (`in_class` false) or inside a class.
    fn escape(&mut self, in_class: bool) -> Result<(), String> {
        let Some(c) = self.peek(1) else {
            return self.fail("trailing backslash at end of expression: ``");
        };
        self.at += 2;
        self.last = Last::Atom;
        let class = match c {
            'd' => Some(("0-9", false)),
            'D' => Some(("0-9", true)),
            'w' => Some(("0-9A-Za-z_", false)),
            'W' => Some(("0-9A-Za-z_", true)),
            's' => Some(("\\t\\n\\f\\r\\x20", false)),
            'S' => Some(("\\t\\n\\f\\r\\x20", true)),
            _ => None,
        };
        if let Some((members, negated)) = class {
            match (in_class, negated) {
                (true, false) => self.out.push_str(members),
                (_, true) => self.out.push_str(&format!("[^{members}]")),
                (false, false) => self.out.push_str(&format!("[{members}]")),
            }
            return Ok(());
        }
        match c {
            'b' | 'B' if !in_class => self.out.push_str(&format!("(?-u:\\{c})")),
            'A' | 'z' if !in_class => {
                self.out.push('\\');
                self.out.push(c);
            }
            'Q' if !in_class => self.quoted()?,
            'a' | 'f' | 't' | 'n' | 'r' | 'v' | 'x' | 'p' | 'P' => {
                self.out.push('\\');
                self.out.push(c);
                if matches!(c, 'x' | 'p' | 'P') && self.peek(0) == Some('{') {
                    self.braced_argument();
                } else if c == 'x' {
                    self.copy(2);
                } else if matches!(c, 'p' | 'P') {
                    self.copy(1);
                }
            }
            '0'..='7' => {
                // Octal: `\0`, or a digit followed by another octal digit; a lone digit would be a back-reference.
                let mut value = c.to_digit(8).unwrap_or(0);
                if c != '0' && !self.peek(0).is_some_and(|d| d.is_digit(8)) {
                    return self.fail(&format!("invalid escape sequence: `\\{c}`"));
                }
                for _ in 0..2 {
                    let Some(digit) = self.peek(0).and_then(|d| d.to_digit(8)) else {
                        break;
                    };
                    value = value * 8 + digit;
                    self.at += 1;
                }
                self.out.push_str(&format!("\\x{{{value:X}}}"));
            }
            _ if c.is_ascii_punctuation() => self.literal(c),
            _ => return self.fail(&format!("invalid escape sequence: `\\{c}`")),
        }
        Ok(())
    }

    fn copy(&mut self, count: usize) {
        for _ in 0..count {
            if let Some(c) = self.peek(0) {
                self.at += 1;
                self.out.push(c);
            }
        }
    }

    fn braced_argument(&mut self) {
        while let Some(c) = self.peek(0) {
            self.at += 1;
            self.out.push(c);
            if c == '}' {
                break;
            }
        }
    }

    fn literal(&mut self, c: char) {
        // `\<` and `\>` are word boundaries to the engine here; every other escaped punctuation is itself.
        if c.is_ascii_punctuation() && c != '<' && c != '>' {
            self.out.push('\\');
        }
        self.out.push(c);
    }

    fn quoted(&mut self) -> Result<(), String> {
        while let Some(c) = self.peek(0) {
            if c == '\\' && self.peek(1) == Some('E') {
                self.at += 2;
                return Ok(());
            }
            self.at += 1;
            self.literal(c);
        }
        // The anchor that Prometheus puts behind the expression is quoted too.
        self.fail("missing closing )")
    }

    /// A bracketed class. Only `]`, `\`, `-`, `^` and POSIX classes are special in Go.
    fn class(&mut self) -> Result<(), String> {
        self.at += 1;
        self.out.push('[');
        if self.peek(0) == Some('^') {
            self.at += 1;
            self.out.push('^');
        }
        let mut first = true;
        loop {
            let Some(c) = self.peek(0) else {
                return self.fail("missing closing ]");
            };
            match c {
                ']' if !first => break,
                '\\' => self.escape(true)?,
                '[' if self.peek(1) == Some(':') => self.braced_posix()?,
                '-' => {
                    // A dash joins a range only between two members; the engine here wants it escaped elsewhere.
                    self.at += 1;
                    let between = !first && self.peek(0).is_some_and(|next| next != ']');
                    self.out.push_str(if between { "-" } else { "\\-" });
                }
                _ => {
                    self.at += 1;
                    self.literal(c);
                }
            }
            first = false;
        }
        self.at += 1;
        self.out.push(']');
        self.last = Last::Atom;
        Ok(())
    }

    /// `[:name:]` inside a class. Without its end it is two ordinary characters.
    fn braced_posix(&mut self) -> Result<(), String> {
        let rest: String = self.chars[self.at..].iter().collect();
        let Some((name, _)) = rest[2..].split_once(":]") else {
            self.at += 1;
            self.out.push_str("\\[");
            return Ok(());
        };
        if !POSIX_CLASSES.contains(&name.strip_prefix('^').unwrap_or(name)) {
            return self.fail(&format!("invalid character class range: `[:{name}:]`"));
        }
        self.copy(name.len() + 4);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn matches(source: &str, text: &str) -> bool {
        AnchoredRegex::new(source).unwrap().is_match(text)
    }

    #[test]
    fn whole_text_and_line_breaks() {
        assert!(matches("a|b", "a") && matches("a|b", "b") && !matches("a|b", "ab"));
        assert!(matches(".*", "a\nb") && matches("", "") && !matches("", "x"));
    }

    #[test]
    fn perl_classes_are_ascii_and_letters_fold_by_unicode() {
        assert!(matches(r"\d+\w\s", "12_\t") && !matches(r"\d", "٣") && !matches(r"\w", "é"));
        assert!(!matches(r"\s", "\u{b}") && matches(r"\S", "\u{b}"));
        assert!(matches(r"[\d\s]+", "1 2") && matches(r"[^\d]", "x") && matches(r"[\D]", "é"));
        assert!(matches(r"(?i)É", "é") && matches(r"\pL+", "éa") && matches(r"\p{Greek}", "α"));
        assert!(matches(r"a\b.*", "aé") && matches("[[:alpha:]]+", "abc"));
    }

    #[test]
    fn what_is_special_only_to_the_engine_is_ordinary() {
        assert!(matches("[[a&&b]+", "[a&b") && matches("[a--b]*", "-") == matches("[a--b]*", "-"));
        assert!(matches(r"\<a\>", "<a>") && matches("a{,2}", "a{,2}") && matches("x{y}", "x{y}"));
        assert!(matches(r"\Qa.b[\E+", "a.b[[") && matches("[~~]+", "~~") && matches("[]a]+", "]a"));
        assert!(matches("[[:]]", ":]") && matches("[[:]]", "[]"));
        assert!(matches("[a-]", "-") && matches("[-a]", "-") && matches(r"\101\x41\x{41}", "AAA"));
    }

    #[test]
    fn what_go_refuses_is_refused() {
        for (source, reason) in [
            ("a**", "invalid nested repetition operator"),
            ("*", "missing argument to repetition operator"),
            ("a{1001}", "invalid repeat count"),
            (r"\1", "invalid escape sequence"),
            (r"\y", "invalid escape sequence"),
            ("(?=a)", "invalid or unsupported Perl syntax"),
            ("(?x)a", "invalid or unsupported Perl syntax"),
            ("[a", "missing closing ]"),
            ("a\\", "trailing backslash"),
            ("(", "error parsing regexp"),
            ("[[:foo:]]", "invalid character class range: `[:foo:]`"),
            (r"\Qa", "missing closing )"),
            ("(?P<>a)", "invalid named capture"),
            ("(?P<a-b>a)", "invalid named capture"),
            ("(?P<a", "invalid named capture"),
        ] {
            let error = AnchoredRegex::new(source).unwrap_err();
            assert!(error.contains(reason), "{source}: {error}");
        }
    }

    #[test]
    fn templates_expand_as_in_go() {
        let regex = AnchoredRegex::new("(?P<first>a+)(b*)").unwrap();
        for (template, expected) in [
            ("$1-$2", "aa-b"),
            ("${1}x${2}", "aaxb"),
            ("$first", "aa"),
            ("${first}2", "aa2"),
            ("$1x", ""),
            ("$$1", "$1"),
            ("$", "$"),
            ("a$ b", "a$ b"),
            ("${1", "${1"),
            ("$9", ""),
            ("$0", "aab"),
        ] {
            assert_eq!(
                regex.expand("aab", template).unwrap(),
                expected,
                "{template}"
            );
        }
        assert_eq!(regex.expand("c", "$1"), None);
        let regex = AnchoredRegex::new("(?:(?P<n>a)|(?<n>b))(?P<1x>c)").unwrap();
        assert_eq!(regex.expand("bc", "$n-$1-$2-$1x").unwrap(), "b--b-c");
    }

    proptest::proptest! {
        #[test]
        fn no_expression_panics(
            pieces in proptest::collection::vec(
                proptest::sample::select(vec![
                    "a", "é", "(", ")", "[", "]", "[:", ":]", "[:alpha:]", "{", "}", "2", ",", "\\", "Q", "E", "d", "x{", "p", "P",
                    "*", "+", "?", "|", "^", "$", ".", "-", "&&", "~~", "<", "?P<n>", "?i", "?:", "1", "07", "\n",
                ]),
                0..12,
            ),
            text in ".{0,8}",
        ) {
            if let Ok(regex) = AnchoredRegex::new(&pieces.concat()) {
                let _ = regex.expand(&text, &pieces.concat());
            }
        }
    }
}
