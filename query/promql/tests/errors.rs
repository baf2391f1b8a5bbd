//! Rejected queries, with the position and the words of Prometheus.

#![allow(clippy::unwrap_used, clippy::panic)]

use varve_promql::{ParseOptions, parse, parse_matchers, parse_with};

/// Checks the first error of each query, experimental features on.
fn check(cases: &[(&str, &str)]) {
    for (query, expected) in cases {
        match parse_with(query, &ParseOptions::experimental()) {
            Ok(expr) => panic!("{query:?} is accepted as {expr}"),
            Err(error) => assert_eq!(error.to_string(), *expected, "{query:?}"),
        }
    }
}

#[test]
fn words_that_do_not_fit() {
    check(&[
        (
            "",
            "unknown position: parse error: no expression found in input",
        ),
        (
            "# only a comment\n\n",
            "1:1: parse error: no expression found in input",
        ),
        ("1 +", "1:4: parse error: unexpected end of input"),
        ("a\n+\n", "3:1: parse error: unexpected end of input"),
        ("1 + + * 2", "1:7: parse error: unexpected <op:*>"),
        ("*1", "1:1: parse error: unexpected <op:*>"),
        ("1 /", "1:4: parse error: unexpected end of input"),
        ("a b", "1:3: parse error: unexpected identifier \"b\""),
        (
            "a b:c",
            "1:3: parse error: unexpected metric identifier \"b:c\"",
        ),
        (
            "a \"some long text\"",
            "1:3: parse error: unexpected string \"\\\"some long\"...",
        ),
        (
            "a 12345678901234",
            "1:3: parse error: unexpected number \"1234567890\"...",
        ),
        ("a 5m", "1:3: parse error: unexpected duration \"5m\""),
        ("a = b", "1:3: parse error: unexpected \"=\""),
        ("1, 2", "1:2: parse error: unexpected \",\""),
        ("a by", "1:3: parse error: unexpected <by>"),
        ("a Start", "1:3: parse error: unexpected \"Start\""),
        ("a sum", "1:3: parse error: unexpected <aggr:sum>"),
        ("a atan2 atan2", "1:9: parse error: unexpected <op:atan2>"),
        (
            "a + ignoring (b) on (c) d",
            "1:18: parse error: unexpected <on>",
        ),
        (
            "a + group_left () b",
            "1:5: parse error: unexpected <group_left>",
        ),
        (
            "a + fill(x) b",
            "1:10: parse error: unexpected identifier \"x\"",
        ),
        (
            "a + on b",
            "1:8: parse error: unexpected identifier \"b\" in grouping opts, expected \"(\"",
        ),
        ("fill(x)", "1:5: parse error: unexpected \"(\""),
        ("a + (b", "1:7: parse error: unclosed left parenthesis"),
        ("a)", "1:3: parse error: unexpected right parenthesis ')'"),
        ("rate(a[5m]", "1:11: parse error: unclosed left parenthesis"),
        ("@ 5", "1:1: parse error: unexpected <op:@>"),
    ]);
}

#[test]
fn characters_that_do_not_fit() {
    check(&[
        (
            "a ! b",
            "1:3: parse error: unexpected character after '!': ' '",
        ),
        (
            "a !~ b",
            "1:3: parse error: unexpected character after '!': '~'",
        ),
        (
            "a !",
            "1:3: parse error: unexpected character after '!': '\u{fffd}'",
        ),
        (
            "a =~ b",
            "1:3: parse error: unexpected character after '=': '~'",
        ),
        ("a ; b", "1:3: parse error: unexpected character: ';'"),
        (".", "1:1: parse error: unexpected character: '.'"),
        ("é", "1:1: parse error: unexpected character: 'é'"),
        ("a}", "1:2: parse error: unexpected character: '}'"),
        ("a]", "1:2: parse error: unexpected right bracket ']'"),
        ("\"a", "1:1: parse error: unterminated quoted string"),
        ("'a\nb'", "1:1: parse error: unterminated quoted string"),
        ("`a", "1:1: parse error: unterminated raw string"),
        (
            r#""\c""#,
            "1:1: parse error: unknown escape sequence U+0063 'c'",
        ),
        (
            r#""\x.""#,
            "1:1: parse error: illegal character U+002E '.' in escape sequence",
        ),
        (r#""\"#, "1:1: parse error: escape sequence not terminated"),
        (
            r#""\400""#,
            "1:1: parse error: escape sequence is an invalid Unicode code point",
        ),
        (
            r#""\ud800""#,
            "1:1: parse error: escape sequence is an invalid Unicode code point",
        ),
        ("\"\u{fffd}\"", "1:1: parse error: invalid UTF-8 rune"),
        (
            "1..2",
            "1:1: parse error: bad number or duration syntax: \"1..\"",
        ),
        (
            "5mm",
            "1:1: parse error: bad number or duration syntax: \"5mm\"",
        ),
        (
            "0xz",
            "1:1: parse error: bad number or duration syntax: \"0x\"",
        ),
        (
            "1e",
            "1:1: parse error: bad number or duration syntax: \"1e\"",
        ),
        (
            "1_",
            "1:1: parse error: bad number or duration syntax: \"1_\"",
        ),
        (
            "1e999",
            "1:1: parse error: error parsing number: strconv.ParseFloat: parsing \"1e999\": value out of range",
        ),
        (
            "5m1h",
            "1:1: parse error: not a valid duration string: \"5m1h\"",
        ),
        (
            "5hs",
            "1:1: parse error: unknown unit \"hs\" in duration \"5hs\"",
        ),
        ("300y", "1:1: parse error: duration out of range"),
    ]);
}

#[test]
fn selectors() {
    check(&[
        (
            "a{",
            "1:3: parse error: unexpected end of input inside braces",
        ),
        (
            "a{b",
            "1:4: parse error: unexpected end of input inside braces",
        ),
        (
            "a{b}",
            "1:4: parse error: unexpected \"}\" in label matching, expected label matching operator",
        ),
        (
            "a{b=}",
            "1:5: parse error: unexpected \"}\" in label matching, expected string",
        ),
        (
            "a{b=c}",
            "1:5: parse error: unexpected identifier \"c\" in label matching, expected string",
        ),
        (
            "a{\"b\"=c}",
            "1:7: parse error: unexpected identifier \"c\" in label matching, expected string",
        ),
        (
            "a{b='c' d='e'}",
            "1:9: parse error: unexpected identifier \"d\" in label matching, expected \",\" or \"}\"",
        ),
        (
            "a{'b' 'c'}",
            "1:7: parse error: unexpected string \"'c'\" in label matching, expected \",\" or \"}\"",
        ),
        (
            "a{,}",
            "1:3: parse error: unexpected \",\" in label matching, expected identifier or \"}\"",
        ),
        (
            "a{b='c',,}",
            "1:9: parse error: unexpected \",\" in label matching, expected identifier or \"}\"",
        ),
        (
            "a{b:c='d'}",
            "1:4: parse error: unexpected character inside braces: ':'",
        ),
        (
            "a{1='b'}",
            "1:3: parse error: unexpected character inside braces: '1'",
        ),
        (
            "a{b!'c'}",
            "1:4: parse error: unexpected character after '!' inside braces: '\\''",
        ),
        ("a{{b='c'}}", "1:3: parse error: unexpected left brace '{'"),
        (
            "{}",
            "1:1: parse error: vector selector must contain at least one non-empty matcher",
        ),
        (
            "{a=''}",
            "1:1: parse error: vector selector must contain at least one non-empty matcher",
        ),
        (
            "{a=~'.*', b!='c', d!~'.+'}",
            "1:1: parse error: vector selector must contain at least one non-empty matcher",
        ),
        (
            "1 + {a=~'x?'}",
            "1:5: parse error: vector selector must contain at least one non-empty matcher",
        ),
        (
            "a{__name__='b'}",
            "1:1: parse error: metric name must not be set twice: \"a\" or \"b\"",
        ),
        (
            "a{'b'}",
            "1:1: parse error: metric name must not be set twice: \"a\" or \"b\"",
        ),
        (
            "a{b=~'('}",
            "1:3: parse error: error parsing regexp: missing closing ): `(`",
        ),
        (
            "a{b!~'x**'}",
            "1:3: parse error: error parsing regexp: invalid nested repetition operator: `**`",
        ),
    ]);
    assert!(parse("{a=~'.+'}").is_ok() && parse("{a!=''}").is_ok() && parse("{a!~'x?'}").is_ok());
    for (selector, expected) in [
        ("", "unknown position: parse error: unexpected end of input"),
        ("a[5m]", "1:2: parse error: unexpected \"[\""),
        ("a offset 5m", "1:3: parse error: unexpected <offset>"),
        ("a + b", "1:3: parse error: unexpected <op:+>"),
        ("5", "1:1: parse error: unexpected number \"5\""),
        ("on", "1:1: parse error: unexpected <on>"),
    ] {
        assert_eq!(parse_matchers(selector).unwrap_err().to_string(), expected);
    }
}

#[test]
fn ranges_and_modifiers() {
    let terms = "expected number, duration, step(), or range()";
    check(&[
        (
            "a[]",
            &format!("1:3: parse error: unexpected \"]\" in subquery or range selector, {terms}"),
        ),
        (
            "a[5m + ]",
            &format!("1:8: parse error: unexpected \"]\" in subquery or range selector, {terms}"),
        ),
        (
            "a[5m 6m]",
            "1:6: parse error: unexpected duration \"6m\" in subquery or range, expected \":\" or \"]\"",
        ),
        (
            "a[5m:)]",
            "1:7: parse error: unexpected right parenthesis ')'",
        ),
        (
            "(a[5m:)])",
            "1:7: parse error: unexpected \")\" in subquery selector, expected number, duration, step(), range(), or \"]\"",
        ),
        (
            "a[5m:1m 2]",
            "1:9: parse error: unexpected number \"2\" in subquery selector, expected \"]\"",
        ),
        ("a[5m", "1:5: parse error: unclosed left bracket"),
        (
            "a[",
            "1:3: parse error: unexpected end of input in duration expression",
        ),
        (
            "a['5m']",
            "1:3: parse error: unexpected character in duration expression: '\\''",
        ),
        (
            "a[:5m]",
            "1:4: parse error: unexpected colon before duration in duration expression",
        ),
        ("a[5m:1m:1m]", "1:8: parse error: unexpected colon ':'"),
        ("a[5m[1m]]", "1:5: parse error: unexpected left bracket '['"),
        (
            "a[5m x]",
            "1:6: parse error: unexpected character: 'x', expected ':'",
        ),
        ("a[0]", "1:3: parse error: duration must be greater than 0"),
        (
            "a[-5m]",
            "1:3: parse error: duration must be greater than 0",
        ),
        (
            "a[5m:0s]",
            "1:6: parse error: duration must be greater than 0",
        ),
        ("a[1e11]", "1:3: parse error: duration out of range"),
        ("a[5m / 0]", "1:6: parse error: division by zero"),
        ("a[5m % 0]", "1:6: parse error: modulo by zero"),
        (
            "1[5m]",
            "1:2: parse error: ranges only allowed for vector selectors",
        ),
        (
            "(a)[5m]",
            "1:4: parse error: ranges only allowed for vector selectors",
        ),
        (
            "a[5m][5m]",
            "1:6: parse error: ranges only allowed for vector selectors",
        ),
        (
            "a offset 1m[5m]",
            "1:12: parse error: no offset modifiers allowed before range",
        ),
        (
            "a @ 5[5m]",
            "1:6: parse error: no @ modifiers allowed before range",
        ),
        (
            "a offset",
            &format!("1:9: parse error: unexpected end of input in offset, {terms}"),
        ),
        (
            "a offset x",
            &format!("1:10: parse error: unexpected identifier \"x\" in offset, {terms}"),
        ),
        (
            "a offset (5m) + b",
            &format!("1:17: parse error: unexpected identifier \"b\" in offset, {terms}"),
        ),
        (
            "a offset 1m offset 2m",
            "1:1: parse error: offset may not be set multiple times",
        ),
        (
            "1 offset 5m",
            "1:1: parse error: offset modifier must be preceded by an instant vector selector or range vector selector or a subquery",
        ),
        ("a offset 1e11", "1:10: parse error: duration out of range"),
        ("a offset -1e11", "1:10: parse error: duration out of range"),
        ("a offset NaN", "1:10: parse error: duration out of range"),
        (
            "a @",
            "1:4: parse error: unexpected end of input in @, expected timestamp",
        ),
        (
            "a @ start",
            "1:10: parse error: unexpected end of input in @, expected timestamp",
        ),
        (
            "a @ start(5)",
            "1:11: parse error: unexpected number \"5\" in @, expected timestamp",
        ),
        (
            "a @ step()",
            "1:5: parse error: unexpected \"step\" in @, expected timestamp",
        ),
        (
            "a @ 1 @ 2",
            "1:1: parse error: @ <timestamp> may not be set multiple times",
        ),
        (
            "a @ Inf",
            "1:1: parse error: timestamp out of bounds for @ modifier: +Inf",
        ),
        (
            "a @ -1e19",
            "1:1: parse error: timestamp out of bounds for @ modifier: -10000000000000000000.000000",
        ),
        (
            "sum(a) @ 5",
            "1:1: parse error: @ modifier must be preceded by an instant vector selector or range vector selector or a subquery",
        ),
        (
            "a anchored smoothed",
            "1:1: parse error: anchored and smoothed modifiers cannot be used together",
        ),
        (
            "a[5m:1m] anchored",
            "1:1: parse error: anchored modifier is not supported for subqueries",
        ),
        (
            "sum(a) smoothed",
            "1:1: parse error: smoothed modifier not implemented",
        ),
    ]);
}

#[test]
fn aggregations_and_calls() {
    check(&[
        (
            "sum()",
            "1:1: parse error: no arguments for aggregate expression provided",
        ),
        (
            "sum(a, b)",
            "1:1: parse error: wrong number of arguments for aggregate expression provided, expected 1, got 2",
        ),
        (
            "topk(a)",
            "1:1: parse error: wrong number of arguments for aggregate expression provided, expected 2, got 1",
        ),
        (
            "sum(a b)",
            "1:7: parse error: unexpected identifier \"b\" in aggregation",
        ),
        (
            "1 + sum(rate(a b))",
            "1:16: parse error: unexpected identifier \"b\" in aggregation",
        ),
        ("rate(a b)", "1:8: parse error: unexpected identifier \"b\""),
        (
            "sum by (a) b",
            "1:12: parse error: unexpected identifier \"b\" in aggregation",
        ),
        (
            "sum a by (b)",
            "1:5: parse error: unexpected identifier \"a\"",
        ),
        (
            "sum by (==) (a)",
            "1:9: parse error: unexpected <op:==> in grouping opts, expected label",
        ),
        (
            "sum by (,) (a)",
            "1:9: parse error: unexpected \",\" in grouping opts, expected label",
        ),
        (
            "sum by (a b) (c)",
            "1:11: parse error: unexpected identifier \"b\" in grouping opts, expected \",\" or \")\"",
        ),
        (
            "sum by ('') (a)",
            "1:9: parse error: invalid label name for grouping: \"\"",
        ),
        ("sum(a) by (b) by (c)", "1:15: parse error: unexpected <by>"),
        (
            "sum(a[5m])",
            "1:5: parse error: expected type instant vector in aggregation expression, got range vector",
        ),
        (
            "sum(1)",
            "1:5: parse error: expected type instant vector in aggregation expression, got scalar",
        ),
        (
            "topk(a, b)",
            "1:6: parse error: expected type scalar in aggregation parameter, got instant vector",
        ),
        (
            "count_values(5, a)",
            "1:14: parse error: expected type string in aggregation parameter, got scalar",
        ),
        (
            "no_such_function(a)",
            "1:1: parse error: unknown function with name \"no_such_function\"",
        ),
        (
            "RATE(a[5m])",
            "1:1: parse error: unknown function with name \"RATE\"",
        ),
        (
            "rate(a, )",
            "1:7: parse error: trailing commas not allowed in function call args",
        ),
        (
            "rate(a,, b)",
            "1:7: parse error: trailing commas not allowed in function call args",
        ),
        ("rate(, a)", "1:6: parse error: unexpected \",\""),
        (
            "rate(a)",
            "1:6: parse error: expected type range vector in call to function \"rate\", got instant vector",
        ),
        (
            "rate()",
            "1:1: parse error: expected 1 argument(s) in call to \"rate\", got 0",
        ),
        (
            "time(1)",
            "1:1: parse error: expected 0 argument(s) in call to \"time\", got 1",
        ),
        (
            "round()",
            "1:1: parse error: expected at least 1 argument(s) in call to \"round\", got 0",
        ),
        (
            "hour(a, b)",
            "1:1: parse error: expected at most 1 argument(s) in call to \"hour\", got 2",
        ),
        (
            "label_join(a, 'b', 'c', d)",
            "1:25: parse error: expected type string in call to function \"label_join\", got instant vector",
        ),
        (
            "info(a, b)",
            "1:9: parse error: expected label selectors only, got vector selector instead",
        ),
        (
            "info(a, (b))",
            "1:9: parse error: expected label selectors only",
        ),
        (
            "info(a, 1)",
            "1:1: parse error: expected type instant vector in call to function \"info\", got scalar",
        ),
        (
            "abs({})",
            "1:5: parse error: vector selector must contain at least one non-empty matcher",
        ),
    ]);
    assert!(parse_with("info(a, {})", &ParseOptions::experimental()).is_ok());
}

#[test]
fn types_of_operands() {
    let operands = "binary expression must contain only scalar and instant vector types";
    check(&[
        (
            "1 > 2",
            "1:3: parse error: comparisons between scalars must use BOOL modifier",
        ),
        (
            "1 + bool 2",
            "1:3: parse error: bool modifier can only be used on comparison operators",
        ),
        (
            "a and bool b",
            "1:3: parse error: bool modifier can only be used on comparison operators",
        ),
        (
            "1 and 1",
            "1:1: parse error: set operator \"and\" not allowed in binary scalar expression",
        ),
        (
            "a or 1",
            "1:1: parse error: set operator \"or\" not allowed in binary scalar expression",
        ),
        (
            "1 unless a",
            "1:1: parse error: set operator \"unless\" not allowed in binary scalar expression",
        ),
        (
            "a + on (b) 1",
            "1:1: parse error: vector matching only allowed between instant vectors",
        ),
        (
            "a + fill(0) 1",
            "1:1: parse error: filling in missing series only allowed between instant vectors",
        ),
        (
            "a and fill(0) b",
            "1:1: parse error: filling in missing series not allowed for set operators",
        ),
        (
            "a and on (b) group_left () c",
            "1:1: parse error: no grouping allowed for \"and\" operation",
        ),
        (
            "a + on (b) group_left (b) c",
            "1:3: parse error: label \"b\" must not occur in ON and GROUP clause at once",
        ),
        ("a[5m] + 1", &format!("1:1: parse error: {operands}")),
        ("1 + 'a'", &format!("1:5: parse error: {operands}")),
        (
            "-'a'",
            "1:1: parse error: unary expression only allowed on expressions of type scalar or instant vector, got \"string\"",
        ),
        (
            "-a[5m]",
            "1:1: parse error: unary expression only allowed on expressions of type scalar or instant vector, got \"range vector\"",
        ),
        (
            "1[5m:]",
            "1:1: parse error: subquery is only allowed on instant vector, got scalar instead",
        ),
        (
            "a[5m][1h:]",
            "1:1: parse error: subquery is only allowed on instant vector, got matrix instead",
        ),
        // Syntax first, wherever it stands.
        (
            "rate(1) + )",
            "1:12: parse error: unexpected right parenthesis ')'",
        ),
    ]);
    assert!(parse("a + on () group_left () b and on () c").is_ok());
}
