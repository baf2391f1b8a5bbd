//! The grammars of field and label selectors, as far as it takes to tell a wrong one before the server does.

/// Checks a field selector: `a=b,c!=d`, with `\` before `\`, `,` and `=` in values.
pub(super) fn check_field(selector: &str) -> Result<(), String> {
    for term in terms(selector) {
        let found = term.find(['=', '!']).and_then(|at| {
            let (_, rest) = term.split_at_checked(at)?;
            let operator = ["!=", "==", "="]
                .into_iter()
                .find(|op| rest.starts_with(op));
            match operator {
                Some(operator) => rest.strip_prefix(operator),
                // A lone `!` is part of the name.
                None => rest.split_once('=').map(|(_, value)| value),
            }
        });
        let Some(value) = found else {
            return Err(format!(
                "invalid selector: '{selector}'; can't understand '{term}'"
            ));
        };
        check_value(value)?;
    }
    Ok(())
}

/// Splits at commas that are not escaped; empty terms say nothing.
fn terms(selector: &str) -> Vec<&str> {
    let mut terms = Vec::new();
    let mut start = 0;
    let mut escaped = false;
    for (at, c) in selector.char_indices() {
        match c {
            _ if escaped => escaped = false,
            '\\' => escaped = true,
            ',' => {
                terms.push(selector.get(start..at).unwrap_or_default());
                start = at + 1;
            }
            _ => {}
        }
    }
    terms.push(selector.get(start..).unwrap_or_default());
    terms.retain(|term| !term.is_empty());
    terms
}

fn check_value(value: &str) -> Result<(), String> {
    let mut chars = value.chars();
    while let Some(c) = chars.next() {
        match c {
            '\\' => {
                let next = chars.next();
                if !matches!(next, Some('\\' | ',' | '=')) {
                    let sequence = next.map_or(String::from("\\"), |next| format!("\\{next}"));
                    return Err(format!(
                        "invalid field selector: invalid escape sequence: {sequence}"
                    ));
                }
            }
            ',' | '=' => {
                return Err(format!(
                    "invalid field selector: unescaped character in value: {c}"
                ));
            }
            _ => {}
        }
    }
    Ok(())
}

/// What a label selector is made of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Token<'a> {
    Word(&'a str),
    /// `!`, `(`, `)`, `,`, `=`, `==`, `!=`, `<` or `>`.
    Symbol(&'a str),
    End,
}

impl Token<'_> {
    fn text(&self) -> &str {
        match self {
            Self::Word(text) | Self::Symbol(text) => text,
            Self::End => "",
        }
    }
}

struct Tokens<'a>(&'a str);

impl<'a> Tokens<'a> {
    fn peek(&self) -> (Token<'a>, &'a str) {
        let text = self.0.trim_start_matches([' ', '\t', '\r', '\n']);
        if text.is_empty() {
            return (Token::End, text);
        }
        let symbols = ["==", "!=", "=", "!", "(", ")", ",", "<", ">"];
        let symbol = symbols.into_iter().find(|symbol| text.starts_with(symbol));
        let end = match symbol {
            Some(symbol) => symbol.len(),
            None => text
                .find(|c: char| c.is_ascii_whitespace() || "=!(),<>".contains(c))
                .unwrap_or(text.len()),
        };
        let (token, rest) = text.split_at_checked(end).unwrap_or((text, ""));
        match symbol {
            Some(_) => (Token::Symbol(token), rest),
            None => (Token::Word(token), rest),
        }
    }

    fn next(&mut self) -> Token<'a> {
        let (token, rest) = self.peek();
        self.0 = rest;
        token
    }
}

/// Checks a label selector: `a=b,c!=d,e in (f, g),h notin (i),j,!k,l>1`.
pub(super) fn check_label(selector: &str) -> Result<(), String> {
    let mut tokens = Tokens(selector);
    loop {
        match tokens.peek().0 {
            Token::End => return Ok(()),
            Token::Word(_) | Token::Symbol("!") => {}
            other => {
                let found = other.text();
                return Err(format!(
                    "found '{found}', expected: !, identifier, or 'end of string'"
                ));
            }
        }
        requirement(&mut tokens).map_err(|e| format!("unable to parse requirement: {e}"))?;
        match tokens.next() {
            Token::End => return Ok(()),
            Token::Symbol(",") => match tokens.peek().0 {
                Token::Word(_) | Token::Symbol("!") => {}
                other => {
                    let found = other.text();
                    return Err(format!("found '{found}', expected: identifier after ','"));
                }
            },
            other => {
                let found = other.text();
                return Err(format!("found '{found}', expected: ',' or 'end of string'"));
            }
        }
    }
}

fn requirement(tokens: &mut Tokens<'_>) -> Result<(), String> {
    let negated = tokens.peek().0 == Token::Symbol("!");
    if negated {
        tokens.next();
    }
    let Token::Word(key) = tokens.next() else {
        return Err("found '', expected: identifier".to_owned());
    };
    check_key(key)?;
    if negated || matches!(tokens.peek().0, Token::End | Token::Symbol(",")) {
        return Ok(());
    }
    match tokens.next() {
        Token::Word("in" | "notin") => values(tokens),
        Token::Symbol("=" | "==" | "!=") => match tokens.peek().0 {
            Token::End | Token::Symbol(",") => Ok(()),
            _ => value(tokens).and_then(check_label_value),
        },
        Token::Symbol("<" | ">") => {
            let number = value(tokens)?;
            let parsed: Result<i64, _> = number.parse();
            let wrong =
                |_| format!("for 'Gt', 'Lt' operators, the value must be an integer: {number:?}");
            parsed.map(drop).map_err(wrong)
        }
        other => {
            let found = other.text();
            Err(format!(
                "found '{found}', expected: in, notin, =, ==, !=, gt, lt"
            ))
        }
    }
}

fn value<'a>(tokens: &mut Tokens<'a>) -> Result<&'a str, String> {
    match tokens.next() {
        Token::Word(word) => Ok(word),
        other => {
            let found = other.text();
            Err(format!("found '{found}', expected: identifier"))
        }
    }
}

fn values(tokens: &mut Tokens<'_>) -> Result<(), String> {
    let open = tokens.next();
    if open != Token::Symbol("(") {
        let found = open.text();
        return Err(format!("found '{found}' expected: '('"));
    }
    loop {
        match tokens.next() {
            Token::Symbol(")") => return Ok(()),
            Token::Symbol(",") => {}
            Token::Word(word) => check_label_value(word)?,
            other => {
                let found = other.text();
                return Err(format!("found '{found}', expected: ',', ')' or identifier"));
            }
        }
    }
}

/// The longest name or value of a label.
const LABEL_CHARS_MAX: usize = 63;

fn is_name(text: &str) -> bool {
    let inner = |c: char| c.is_ascii_alphanumeric() || "-_.".contains(c);
    text.len() <= LABEL_CHARS_MAX
        && text.starts_with(|c: char| c.is_ascii_alphanumeric())
        && text.ends_with(|c: char| c.is_ascii_alphanumeric())
        && text.chars().all(inner)
}

/// A key is a name, which a domain and a slash may precede.
fn check_key(key: &str) -> Result<(), String> {
    let name = match key.split_once('/') {
        Some(("", _)) => return Err(format!("key: Invalid value: {key:?}")),
        Some((_, name)) => name,
        None => key,
    };
    match is_name(name) {
        true => Ok(()),
        false => Err(format!("key: Invalid value: {key:?}")),
    }
}

fn check_label_value(value: &str) -> Result<(), String> {
    match is_name(value) {
        true => Ok(()),
        false => Err(format!("values: Invalid value: {value:?}")),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn field_selectors_have_terms_with_operators() {
        for good in [
            "",
            "a=b",
            "a==b,c!=d",
            "spec.nodeName=x,",
            r"a=b\,c\=d\\",
            "a=",
        ] {
            assert_eq!(check_field(good), Ok(()), "{good}");
        }
        for (bad, expected) in [
            ("a", "invalid selector: 'a'; can't understand 'a'"),
            ("a=b,c", "invalid selector: 'a=b,c'; can't understand 'c'"),
            (
                r"a=b\x",
                r"invalid field selector: invalid escape sequence: \x",
            ),
            (
                "a=b=c",
                "invalid field selector: unescaped character in value: =",
            ),
        ] {
            assert_eq!(check_field(bad).unwrap_err(), expected, "{bad}");
        }
    }

    #[test]
    fn label_selectors_have_requirements() {
        for good in [
            "",
            "a",
            "!a",
            "a=b",
            "a==b , c!=d",
            "e in (f, g),h notin (i)",
            "l>1,m<2",
            "a=",
            "k8s.io/a-b.c in ()",
        ] {
            assert_eq!(check_label(good), Ok(()), "{good}");
        }
        for (bad, expected) in [
            (
                "=b",
                "found '=', expected: !, identifier, or 'end of string'",
            ),
            ("a,", "found '', expected: identifier after ','"),
            ("a=b c", "found 'c', expected: ',' or 'end of string'"),
            (
                "a in b",
                "unable to parse requirement: found 'b' expected: '('",
            ),
            (
                "a b",
                "unable to parse requirement: found 'b', expected: in, notin, =, ==, !=, gt, lt",
            ),
            (
                "a=-b",
                "unable to parse requirement: values: Invalid value: \"-b\"",
            ),
            (
                "-a",
                "unable to parse requirement: key: Invalid value: \"-a\"",
            ),
        ] {
            assert_eq!(check_label(bad).unwrap_err(), expected, "{bad}");
        }
    }
}
