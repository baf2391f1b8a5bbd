//! Writing YAML in the style of Prometheus's own rendering.

/// A value to be written.
pub(crate) enum Yaml {
    /// A boolean or number, written as it is.
    Raw(String),
    /// A string, quoted where it has to be.
    Text(String),
    List(Vec<Yaml>),
    /// A list on one line.
    Flow(Vec<String>),
    Map(Vec<(String, Yaml)>),
}

/// Entries of a mapping in the order of writing.
#[derive(Default)]
pub(crate) struct Entries(Vec<(String, Yaml)>);

impl Entries {
    pub(crate) fn put(&mut self, name: &str, value: Yaml) -> &mut Self {
        self.0.push((name.to_owned(), value));
        self
    }

    pub(crate) fn text(&mut self, name: &str, value: impl Into<String>) -> &mut Self {
        self.put(name, Yaml::Text(value.into()))
    }

    pub(crate) fn flag(&mut self, name: &str, value: bool) -> &mut Self {
        self.put(name, Yaml::Raw(value.to_string()))
    }

    pub(crate) fn flag_if_set(&mut self, name: &str, value: bool) -> &mut Self {
        if value { self.flag(name, true) } else { self }
    }

    pub(crate) fn text_if_set(&mut self, name: &str, value: &str) -> &mut Self {
        if value.is_empty() {
            self
        } else {
            self.text(name, value)
        }
    }

    pub(crate) fn number_if_set(&mut self, name: &str, value: u64) -> &mut Self {
        match value {
            0 => self,
            _ => self.put(name, Yaml::Raw(value.to_string())),
        }
    }

    pub(crate) fn list_if_set(&mut self, name: &str, items: Vec<Yaml>) -> &mut Self {
        if items.is_empty() {
            self
        } else {
            self.put(name, Yaml::List(items))
        }
    }

    pub(crate) fn map(&mut self) -> Yaml {
        Yaml::Map(std::mem::take(&mut self.0))
    }

    /// The entries as a document.
    pub(super) fn document(&self) -> String {
        let mut out = String::new();
        write_map(&mut out, &self.0, 0);
        out
    }
}

fn indent(out: &mut String, depth: usize) {
    out.extend(std::iter::repeat_n("  ", depth));
}

fn write_map(out: &mut String, entries: &[(String, Yaml)], depth: usize) {
    for (i, (name, value)) in entries.iter().enumerate() {
        // The first entry of a list item stands after its dash.
        if i > 0 || !out.ends_with("- ") {
            indent(out, depth);
        }
        out.push_str(&quoted(name, false));
        out.push(':');
        write_value(out, value, depth);
    }
}

fn write_value(out: &mut String, value: &Yaml, depth: usize) {
    match value {
        Yaml::Raw(text) => out.push_str(&format!(" {text}\n")),
        Yaml::Text(text) => out.push_str(&format!(" {}\n", quoted(text, false))),
        Yaml::Flow(items) => {
            // An empty name can only have been nothing, and as a text it would not be taken again.
            let shown = |item: &String| match item.as_str() {
                "" => "null".to_owned(),
                item => quoted(item, true),
            };
            let items: Vec<_> = items.iter().map(shown).collect();
            out.push_str(&format!(" [{}]\n", items.join(", ")));
        }
        Yaml::Map(entries) if entries.is_empty() => out.push_str(" {}\n"),
        Yaml::Map(entries) => {
            out.push('\n');
            write_map(out, entries, depth + 1);
        }
        Yaml::List(items) if items.is_empty() => out.push_str(" []\n"),
        Yaml::List(items) => {
            out.push('\n');
            for item in items {
                indent(out, depth);
                match item {
                    Yaml::Map(entries) if !entries.is_empty() => {
                        out.push_str("- ");
                        write_map(out, entries, depth + 1);
                    }
                    other => {
                        out.push('-');
                        write_value(out, other, depth);
                    }
                }
            }
        }
    }
}

/// A string as a scalar: plain where that reads back as the same string, else in single quotes, and in double quotes
/// where it would read as another type or has characters that need escapes.
fn quoted(text: &str, flow: bool) -> String {
    if text.chars().any(char::is_control) || reads_as_other_type(text) {
        let mut out = String::from("\"");
        for c in text.chars() {
            match c {
                '"' => out.push_str("\\\""),
                '\\' => out.push_str("\\\\"),
                '\n' => out.push_str("\\n"),
                '\t' => out.push_str("\\t"),
                '\r' => out.push_str("\\r"),
                c if c.is_control() => out.push_str(&format!("\\u{:04X}", u32::from(c))),
                c => out.push(c),
            }
        }
        out.push('"');
        return out;
    }
    if is_plain(text, flow) {
        text.to_owned()
    } else {
        format!("'{}'", text.replace('\'', "''"))
    }
}

fn reads_as_other_type(text: &str) -> bool {
    let words = [
        "", "~", "null", "true", "false", "y", "n", "yes", "no", "on", "off", ".nan", ".inf",
        "-.inf", "+.inf", "<<", "=",
    ];
    let lower = text.to_ascii_lowercase();
    words.contains(&lower.as_str())
        || (text.starts_with(|c: char| c.is_ascii_digit() || "+-.".contains(c))
            && (text.replace('_', "").parse::<f64>().is_ok()
                || text.starts_with("0x")
                || text.starts_with("0b")
                || text.starts_with("0o")
                || is_base_60(text)
                || is_date(text)))
}

/// `12:30:45`: a number to YAML 1.1.
fn is_base_60(text: &str) -> bool {
    text.contains(':')
        && text
            .split(':')
            .all(|part| !part.is_empty() && part.bytes().all(|b| b.is_ascii_digit()))
}

fn is_date(text: &str) -> bool {
    let bytes = text.as_bytes();
    bytes.len() >= 8 && bytes[..4].iter().all(u8::is_ascii_digit) && bytes[4] == b'-'
}

fn is_plain(text: &str, flow: bool) -> bool {
    let Some(first) = text.chars().next() else {
        return false;
    };
    let second_is_space = text.chars().nth(1).is_none_or(char::is_whitespace);
    if "#,[]{}&*!|>'\"%@`".contains(first)
        || (matches!(first, '-' | '?' | ':') && (flow || second_is_space))
        || text.starts_with("---")
        || text.starts_with("...")
        || text.starts_with(' ')
        || text.ends_with([' ', ':'])
    {
        return false;
    }
    if flow && text.contains([',', '?', '[', ']', '{', '}', ':']) {
        return false;
    }
    !text.contains(": ") && !text.contains(" #")
}
