//! Upper and lower case as Go's `strings.ToUpper` and `ToLower` have them: one character becomes one character.

/// The text in upper case.
pub(super) fn uppercase(text: &str) -> String {
    text.chars().map(upper).collect()
}

/// The text in lower case.
pub(super) fn lowercase(text: &str) -> String {
    text.chars().map(lower).collect()
}

fn upper(c: char) -> char {
    let mut full = c.to_uppercase();
    match (full.next(), full.next()) {
        (Some(one), None) => one,
        _ => iota_subscript(c).unwrap_or(c),
    }
}

fn lower(c: char) -> char {
    let mut full = c.to_lowercase();
    match (full.next(), full.next()) {
        (Some(one), None) => one,
        // The dotted capital I is the only one whose full form is longer; the dot gets lost.
        (Some(first), Some(_)) => first,
        _ => c,
    }
}

/// The Greek letters with a iota below are the only ones that have a capital of one character besides a longer one.
fn iota_subscript(c: char) -> Option<char> {
    let distance = match c {
        '\u{1f80}'..='\u{1f87}' | '\u{1f90}'..='\u{1f97}' | '\u{1fa0}'..='\u{1fa7}' => 8,
        '\u{1fb3}' | '\u{1fc3}' | '\u{1ff3}' => 9,
        _ => return None,
    };
    char::from_u32(u32::from(c) + distance)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_character_becomes_one_character() {
        assert_eq!(uppercase("straße ǆ ŉ ᾳ ᾀ ΐ ﬁ é"), "STRAßE Ǆ ŉ ᾼ ᾈ ΐ ﬁ É");
        assert_eq!(
            lowercase("İSTANBUL ΑΣ ǅ É"),
            "istanbul ας ǆ é".replace('ς', "σ")
        );
    }
}
