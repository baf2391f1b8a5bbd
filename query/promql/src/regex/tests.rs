#![allow(clippy::unwrap_used)]

use proptest::prelude::*;
use regex::Regex;

use super::*;

fn matches(pattern: &str, text: &str) -> bool {
    Regex::new(&anchored_regex(pattern).unwrap())
        .unwrap()
        .is_match(text)
}

#[test]
fn patterns_match_whole_texts_as_re2_does() {
    for (pattern, yes, no) in [
        ("a|b", "b", "ab"),
        ("foo.*", "foo\nbar", "xfoo"),
        ("", "", "a"),
        ("/api/{id}", "/api/{id}", "/api/id"),
        ("a{,5}", "a{,5}", "aaa"),
        ("a{x", "a{x", "ax"),
        ("a{2}", "aa", "a"),
        ("a{2,}b", "aaab", "ab"),
        ("[0-9]{1,3}", "123", "1234"),
        (r"\d+", "42", "٤٢"),
        (r"\D", "٤", "4"),
        (r"\w+", "a_1", "é"),
        (r"[\w.]+", "a.b", "a-b"),
        (r"[^\d]", "x", "1"),
        (r"[\D1]", "1", "2"),
        (r"\S\s\S", "a b", "a\u{a0}b"),
        (r"a\b.*", "a-b", "ab"),
        (r"a\B.*", "ab", "a-b"),
        ("[[a]", "[", "b"),
        ("[a&&b]", "&", "c"),
        ("[a~~b]", "~", "c"),
        ("[]a]", "]", "b"),
        ("[^]a]", "b", "]"),
        ("[a-]", "-", "b"),
        ("[[:alpha:]]+", "abc", "a1"),
        ("[[:^digit:]]", "a", "1"),
        (r"\Qa.b\E.", "a.bc", "axbc"),
        (r"\Qa.b", "a.b", "axb"),
        (r"\<a\>", "<a>", "a"),
        (r"a\_b\-c", "a_b-c", "abc"),
        (r"\x41\x{42}\103", "ABC", "abc"),
        (r"\0", "\0", "0"),
        ("(?i)abc", "ABC", "abd"),
        ("(?i:a)b", "Ab", "AB"),
        ("(?-s).", "a", "\n"),
        ("(?P<n>a)(?<m>b)", "ab", "a"),
        (r"\pL\PN\p{Greek}\p{^Greek}", "aaαa", "aaaa"),
        ("a#b c", "a#b c", "ab"),
        ("^a$", "a", "a\n"),
        ("a*?b+?c??", "aabbc", "c"),
        ("(|a)+", "aa", "b"),
    ] {
        assert!(
            matches(pattern, yes),
            "{pattern} should match {yes:?}: {:?}",
            rust_regex(pattern)
        );
        assert!(
            !matches(pattern, no),
            "{pattern} should not match {no:?}: {:?}",
            rust_regex(pattern)
        );
    }
}

#[test]
fn groups_keep_their_names_and_numbers() {
    let pattern = r"(a+)(?P<mid>b+)(?:-)(?<end_2>c)(?P<7x>d)";
    let regex = Regex::new(&anchored_regex(pattern).unwrap()).unwrap();
    let captures = regex.captures("aabb-cd").unwrap();
    assert_eq!((&captures["mid"], &captures["end_2"]), ("bb", "c"));
    assert_eq!(
        (&captures[1], &captures[2], &captures[3], &captures[4]),
        ("aa", "bb", "c", "d")
    );
    assert!(rust_regex("(?P<a>x)(?P<a>y)").is_err());
}

#[test]
fn what_re2_rejects_is_rejected_in_its_words() {
    for (pattern, reason) in [
        ("(", "missing closing ): `(`"),
        ("a(b", "missing closing ): `a(b`"),
        ("a)", "unexpected ): `a)`"),
        ("[a", "missing closing ]: `[a`"),
        ("x[]", "missing closing ]: `[]`"),
        ("*", "missing argument to repetition operator: `*`"),
        ("a|+", "missing argument to repetition operator: `+`"),
        ("(?i)*", "missing argument to repetition operator: `*`"),
        ("a**", "invalid nested repetition operator: `**`"),
        ("a*+b", "invalid nested repetition operator: `*+`"),
        ("a{2}{3}", "invalid nested repetition operator: `{2}{3}`"),
        ("a{1001}", "invalid repeat count: `{1001}`"),
        ("a{3,2}", "invalid repeat count: `{3,2}`"),
        ("[z-a]", "invalid character class range: `z-a`"),
        ("[[:foo:]]", "invalid character class range: `[:foo:]`"),
        (r"\p{Foo}", r"invalid character class range: `\p{Foo}`"),
        (r"\y", r"invalid escape sequence: `\y`"),
        (r"\1", r"invalid escape sequence: `\1`"),
        (r"\x{110000}", r"invalid escape sequence: `\x{110000}`"),
        (r"[a-\d]", r"invalid escape sequence: `\d`"),
        ("a\\", "trailing backslash at end of expression: ``"),
        ("(?=a)", "invalid or unsupported Perl syntax: `(?=`"),
        ("(?x)a", "invalid or unsupported Perl syntax: `(?x`"),
        ("(?P<a-b>c)", "invalid named capture: `(?P<a-b>`"),
        ("(?<ab", "invalid named capture: `(?<ab`"),
    ] {
        let error = rust_regex(pattern).unwrap_err().to_string();
        assert_eq!(
            error,
            format!("error parsing regexp: {reason}"),
            "{pattern}"
        );
    }
}

#[test]
fn patterns_may_match_the_empty_text() {
    for pattern in [
        "", ".*", "a*", "a?", "a{0,3}", "(a|)", "(?:)", "^$", "(?i)", "a*b*", r"\B", "(|a)+",
        ".*|b",
    ] {
        assert!(matches_empty(pattern), "{pattern}");
    }
    for pattern in [".+", "a", "a|b", "[^a]", "a*b", r"\b", "(a|b)+", ".", "("] {
        assert!(!matches_empty(pattern), "{pattern}");
    }
}

proptest! {
    #[test]
    fn an_accepted_pattern_compiles_and_agrees_on_the_empty_text(
        pattern in r"([ab.*+?|(){}\[\]^$\\:=!<>iPQEdwsbBxpz0-9,&~-]|\(\?|\[\[:|\\[dwsDWSbB]){0,12}",
    ) {
        if let Ok(anchored) = anchored_regex(&pattern) {
            let compiled = regex::RegexBuilder::new(&anchored).size_limit(1 << 24).build();
            if let Ok(regex) = compiled {
                prop_assert_eq!(regex.is_match(""), matches_empty(&pattern));
            } else {
                prop_assert!(matches!(compiled, Err(regex::Error::CompiledTooBig(_))), "{:?}", compiled);
            }
        }
    }

    #[test]
    fn quoted_text_matches_itself(text in "\\PC{0,10}") {
        let quoted: String = text
            .chars()
            .flat_map(|c| (c.is_ascii_punctuation().then_some('\\')).into_iter().chain([c]))
            .collect();
        prop_assert!(matches(&quoted, &text), "{}", quoted);
    }

    #[test]
    fn no_pattern_panics(pattern in "\\PC{0,20}") {
        let _ = rust_regex(&pattern);
    }
}
