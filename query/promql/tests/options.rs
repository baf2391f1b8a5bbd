//! What is off by default, and what an error tells about itself.

#![allow(clippy::unwrap_used)]

use varve_promql::{ParseErrorKind, ParseOptions, parse, parse_with};

#[test]
fn experimental_parts_are_off_by_default() {
    let duration = "experimental duration expression is not enabled";
    for (query, expected) in [
        (
            "mad_over_time(a[5m])",
            "1:1: parse error: function \"mad_over_time\" is not enabled",
        ),
        (
            "1 + start()",
            "1:5: parse error: function \"start\" is not enabled",
        ),
        (
            "limitk(5, a)",
            "1:1: parse error: limitk() is experimental and must be enabled with --enable-feature=promql-experimental-functions",
        ),
        ("a[5m + 1m]", &format!("1:3: parse error: {duration}")),
        ("a[1m + (2m)]", &format!("1:9: parse error: {duration}")),
        ("a[step()]", &format!("1:3: parse error: {duration}")),
        (
            "a offset -range()",
            &format!("1:10: parse error: {duration}"),
        ),
        (
            "a anchored",
            "1:1: parse error: anchored modifier is experimental and not enabled",
        ),
        (
            "rate(a[5m] smoothed)",
            "1:6: parse error: smoothed modifier is experimental and not enabled",
        ),
        (
            "1 + a + fill(0) b",
            "1:1: parse error: binop fill modifiers are experimental and not enabled",
        ),
    ] {
        let error = parse(query).unwrap_err();
        assert_eq!(error.to_string(), expected, "{query}");
        assert_eq!(error.kind(), ParseErrorKind::Disabled);
        assert!(
            parse_with(query, &ParseOptions::experimental()).is_ok(),
            "{query}"
        );
    }
    assert!(parse("a offset -(5m)").is_ok());
}

#[test]
fn kinds_tell_syntax_from_meaning() {
    assert_eq!(parse("a b").unwrap_err().kind(), ParseErrorKind::Syntax);
    assert_eq!(
        parse("sum(1)").unwrap_err().kind(),
        ParseErrorKind::Semantic
    );
    let error = parse("a +\n  rate(b)").unwrap_err();
    assert_eq!(error.position(), Some((2, 8)));
    assert_eq!((error.span().start, error.span().end), (11, 12));
    assert!(error.message().starts_with("expected type range vector"));
}
