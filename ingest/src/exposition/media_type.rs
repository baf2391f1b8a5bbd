//! The media type of a Content-Type, by the rules and in the words of Go's `mime.ParseMediaType`.

/// The media type in lower case, without its parameters, which are checked and left out.
pub(super) fn media_type(content_type: &str) -> Result<String, &'static str> {
    let (media, parameters) =
        content_type.split_at(content_type.find(';').unwrap_or(content_type.len()));
    let media = media.trim().to_lowercase();
    check_media(&media)?;
    check_parameters(parameters)?;
    Ok(media)
}

fn check_media(media: &str) -> Result<(), &'static str> {
    let (kind, rest) = take_token(media);
    if kind.is_empty() {
        return Err("mime: no media type");
    }
    if rest.is_empty() {
        return Ok(());
    }
    let Some(rest) = rest.strip_prefix('/') else {
        return Err("mime: expected slash after first token");
    };
    match take_token(rest) {
        ("", _) => Err("mime: expected token after slash"),
        (_, "") => Ok(()),
        _ => Err("mime: unexpected content after media subtype"),
    }
}

fn check_parameters(mut rest: &str) -> Result<(), &'static str> {
    let mut seen: Vec<(String, String)> = Vec::new();
    loop {
        rest = rest.trim_start();
        if rest.is_empty() {
            return Ok(());
        }
        let Some((name, value, after)) = take_parameter(rest) else {
            // A semicolon at the end means nothing.
            return match rest.trim() {
                ";" => Ok(()),
                _ => Err("mime: invalid media parameter"),
            };
        };
        match seen.iter().find(|(other, _)| *other == name) {
            Some((_, other)) if *other != value => return Err("mime: duplicate parameter name"),
            _ => seen.push((name, value)),
        }
        rest = after;
    }
}

/// `; name=value`, and what follows it.
fn take_parameter(text: &str) -> Option<(String, String, &str)> {
    let (name, rest) = take_token(text.strip_prefix(';')?.trim_start());
    if name.is_empty() {
        return None;
    }
    let rest = rest.trim_start().strip_prefix('=')?.trim_start();
    let (value, rest) = take_value(rest)?;
    Some((name.to_lowercase(), value, rest))
}

/// A token, or a text in quotes, in which a backslash escapes the characters that may not be part of a token.
fn take_value(text: &str) -> Option<(String, &str)> {
    let Some(quoted) = text.strip_prefix('"') else {
        let (value, rest) = take_token(text);
        return (!value.is_empty()).then(|| (value.to_owned(), rest));
    };
    let mut value = String::new();
    let mut chars = quoted.char_indices().peekable();
    while let Some((at, c)) = chars.next() {
        match c {
            '"' => return Some((value, &quoted[at + 1..])),
            '\r' | '\n' => return None,
            '\\' => {
                let escaped = chars.next_if(|(_, next)| is_special(*next));
                value.push(escaped.map_or(c, |(_, next)| next));
            }
            _ => value.push(c),
        }
    }
    None
}

fn is_special(c: char) -> bool {
    "()<>@,;:\\\"/[]?=".contains(c)
}

fn take_token(text: &str) -> (&str, &str) {
    let is_token = |c: char| c.is_ascii_graphic() && !is_special(c);
    text.split_at(text.find(|c| !is_token(c)).unwrap_or(text.len()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn media_types_are_read_as_in_go() {
        for (content_type, expected) in [
            ("text/plain", Ok("text/plain")),
            (" TEXT/Plain ; version=0.0.4", Ok("text/plain")),
            ("text", Ok("text")),
            ("text/plain;", Ok("text/plain")),
            ("text/plain; ; ", Err("mime: invalid media parameter")),
            ("text/plain;a=\"x;\\\"y\";b=c", Ok("text/plain")),
            ("text/plain;a=1;A=1", Ok("text/plain")),
            ("text/plain;a=1;A=2", Err("mime: duplicate parameter name")),
            ("text/plain;a=\"x", Err("mime: invalid media parameter")),
            ("text/plain;a", Err("mime: invalid media parameter")),
            ("text/plain;a=", Err("mime: invalid media parameter")),
            ("text/", Err("mime: expected token after slash")),
            ("/plain", Err("mime: no media type")),
            ("text plain", Err("mime: expected slash after first token")),
            (
                "text/plain, text/html",
                Err("mime: unexpected content after media subtype"),
            ),
        ] {
            let expected = expected.map(str::to_owned);
            assert_eq!(media_type(content_type), expected, "{content_type}");
        }
    }
}
