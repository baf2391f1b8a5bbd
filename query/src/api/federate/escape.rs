//! Names for clients that know only letters, digits, underscores and colons.

use std::borrow::Cow;

/// How names with other characters are written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Escaping {
    /// As they are.
    AllowUtf8,
    /// Each other character is an underscore.
    #[default]
    Underscores,
    /// Dots are `_dot_`, underscores and other characters `__`.
    Dots,
    /// `U__` in front, other characters by their number, `_2e_`, underscores `__`.
    Values,
}

impl Escaping {
    /// By its name in `Accept` headers.
    pub(super) fn of(name: &str) -> Option<Self> {
        [Self::AllowUtf8, Self::Underscores, Self::Dots, Self::Values]
            .into_iter()
            .find(|scheme| scheme.as_str() == name)
    }

    /// Its name in headers.
    pub(super) fn as_str(self) -> &'static str {
        match self {
            Self::AllowUtf8 => "allow-utf-8",
            Self::Underscores => "underscores",
            Self::Dots => "dots",
            Self::Values => "values",
        }
    }

    /// The name of a metric or label as the client is to see it.
    pub(super) fn apply(self, name: &str) -> Cow<'_, str> {
        if self == Self::AllowUtf8 || name.is_empty() || is_plain(name) {
            return Cow::Borrowed(name);
        }
        let mut escaped = String::with_capacity(name.len() + 8);
        if self == Self::Values {
            escaped.push_str("U__");
        }
        for (place, c) in name.char_indices() {
            match (self, c) {
                (Self::Dots, '.') => escaped.push_str("_dot_"),
                (Self::Dots | Self::Values, '_') => escaped.push_str("__"),
                (_, c) if is_plain_char(c, place) => escaped.push(c),
                (Self::Values, c) => escaped.push_str(&format!("_{:x}_", u32::from(c))),
                (Self::Dots, _) => escaped.push_str("__"),
                _ => escaped.push('_'),
            }
        }
        Cow::Owned(escaped)
    }
}

fn is_plain_char(c: char, place: usize) -> bool {
    c.is_ascii_alphabetic() || c == '_' || c == ':' || (c.is_ascii_digit() && place > 0)
}

/// Whether a name needs neither quotes nor escaping: `[a-zA-Z_:][a-zA-Z0-9_:]*`.
pub(super) fn is_plain(name: &str) -> bool {
    !name.is_empty()
        && name
            .char_indices()
            .all(|(place, c)| is_plain_char(c, place))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_escaped_as_asked() {
        use Escaping::{AllowUtf8, Dots, Underscores, Values};
        for (name, underscores, dots, values) in [
            ("up_a:b", "up_a:b", "up_a:b", "up_a:b"),
            ("a.b_c", "a_b_c", "a_dot_b__c", "U__a_2e_b__c"),
            ("1a", "_a", "__a", "U___31_a"),
            ("é x", "__x", "____x", "U___e9__20_x"),
            ("😀", "_", "__", "U___1f600_"),
        ] {
            assert_eq!(AllowUtf8.apply(name), name);
            assert_eq!(Underscores.apply(name), underscores);
            assert_eq!(Dots.apply(name), dots);
            assert_eq!(Values.apply(name), values);
        }
    }
}
