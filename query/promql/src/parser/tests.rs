//! What queries mean: precedence, modifiers, names, literals, positions; and the limits.

#![allow(clippy::unwrap_used, clippy::panic)]

use super::*;
use crate::ast::{At, MatrixSelector, Subquery, VectorSelector};
use crate::duration::Duration;
use crate::matcher::{METRIC_NAME, MatchOp};
use crate::operator::AggregateOp;

fn all(query: &str) -> Expr {
    parse_with(query, &ParseOptions::experimental())
        .unwrap_or_else(|error| panic!("{query}: {error}"))
}

fn vector(query: &str) -> VectorSelector {
    match all(query) {
        Expr::VectorSelector(selector) => selector,
        other => panic!("{query} is {other:?}"),
    }
}

fn matrix(query: &str) -> MatrixSelector {
    match all(query) {
        Expr::MatrixSelector(matrix) => matrix,
        other => panic!("{query} is {other:?}"),
    }
}

fn subquery(query: &str) -> Subquery {
    match all(query) {
        Expr::Subquery(subquery) => subquery,
        other => panic!("{query} is {other:?}"),
    }
}

fn binary(query: &str) -> Binary {
    match all(query) {
        Expr::Binary(binary) => binary,
        other => panic!("{query} is {other:?}"),
    }
}

/// The tree with a pair of brackets around every operation.
fn shape(expr: &Expr) -> String {
    match expr {
        Expr::Binary(node) => format!("[{} {} {}]", shape(&node.lhs), node.op, shape(&node.rhs)),
        Expr::Unary(node) => format!("[{}{}]", node.op.as_str(), shape(&node.expr)),
        Expr::Paren(node) => format!("({})", shape(&node.expr)),
        other => other.to_string(),
    }
}

#[test]
fn operators_bind_as_in_prometheus() {
    for (query, expected) in [
        ("a + b * c", "[a + [b * c]]"),
        ("a * b + c", "[[a * b] + c]"),
        ("a - b - c", "[[a - b] - c]"),
        ("a ^ b ^ c", "[a ^ [b ^ c]]"),
        ("a atan2 b / c % d", "[[[a atan2 b] / c] % d]"),
        ("a == b + c", "[a == [b + c]]"),
        ("a < b > c", "[[a < b] > c]"),
        ("a </ 1 >/ 2", "[[a </ 1] >/ 2]"),
        ("a and b or c unless d", "[[a and b] or [c unless d]]"),
        ("a or b and c", "[a or [b and c]]"),
        ("a AND b == c", "[a and [b == c]]"),
        ("-a ^ b", "[-[a ^ b]]"),
        ("-a * b", "[[-a] * b]"),
        ("a ^ -b * c", "[[a ^ [-b]] * c]"),
        ("a ^ -b ^ c", "[a ^ [-[b ^ c]]]"),
        ("- -a", "[-[-a]]"),
        ("-1 ^ 2", "[-[1 ^ 2]]"),
        ("2 * -1 + +3", "[[2 * -1] + 3]"),
        ("- -1", "1"),
        ("-(1)", "[-(1)]"),
        ("a + b offset 5m", "[a + b offset 5m]"),
        ("-a offset 5m", "[-a offset 5m]"),
        ("a offset 5m + 1", "[a offset 5m + 1]"),
        ("a offset -2 ^ 2", "[a offset -2s ^ 2]"),
        ("a offset -(5m) * 2", "[a offset -(5m) * 2]"),
        ("a offset step() * 2", "[a offset step() * 2]"),
        ("a offset (5m) * 2", "a offset (5m) * 2"),
        ("a offset - -5m * 2", "a offset ++5m * 2"),
        ("a @ 5 ^ 2", "[a @ 5.000 ^ 2]"),
        ("-sum(a)[5m:]", "[-sum(a)[5m:]]"),
        ("a + b[5m:] offset 1m", "[a + b[5m:] offset 1m]"),
    ] {
        // Types are not the matter here.
        let options = ParseOptions::experimental();
        let mut parser = Parser::new(query, &options);
        let node = parser
            .query()
            .map_err(|failure| parser.report(failure))
            .unwrap();
        assert_eq!(shape(&node.expr), expected, "{query}");
    }
}

#[test]
fn keywords_are_names_where_nothing_else_is_possible() {
    for name in [
        "sum",
        "count_values",
        "limitk",
        "by",
        "without",
        "and",
        "or",
        "unless",
        "offset",
        "anchored",
        "smoothed",
        "fill",
        "fill_left",
        "fill_right",
        "start",
        "end",
        "step",
        "range",
        "max_of",
        "min_of",
        "AND",
        "Sum",
    ] {
        assert_eq!(vector(name).name.as_deref(), Some(name));
        assert_eq!(
            vector(&format!("{name}{{a='b'}}")).name.as_deref(),
            Some(name)
        );
        assert_eq!(binary(&format!("{name} + {name}")).op, BinaryOp::Add);
    }
    for name in [
        "on",
        "ignoring",
        "group_left",
        "group_right",
        "bool",
        "atan2",
    ] {
        assert!(parse(name).is_err(), "{name}");
        let Expr::Aggregate(aggregate) = all(&format!("sum by ({name}) (x)")) else {
            panic!("{name}");
        };
        assert_eq!(aggregate.grouping, [name]);
        assert_eq!(vector(&format!("x{{{name}=''}}")).matchers[0].name, name);
    }
    assert!(parse("sum by (without) (x)").is_err());
    assert!(parse("sum by (inf) (x)").is_err());
    assert!(matches!(all("inf"), Expr::NumberLiteral(_)));
    assert_eq!(vector("infinity").name.as_deref(), Some("infinity"));
    assert_eq!(shape(&all("fill + fill(1) fill")), "[fill + fill]");
}

#[test]
fn selectors_hold_all_matchers() {
    let selector = vector("foo:bar{a='b', \"c d\"!=`e`, f=~\"g|h\", i !~ 'j',}");
    assert_eq!(selector.name.as_deref(), Some("foo:bar"));
    let expected = [
        Matcher::new("a", MatchOp::Equal, "b"),
        Matcher::new("c d", MatchOp::NotEqual, "e"),
        Matcher::new("f", MatchOp::Regex, "g|h"),
        Matcher::new("i", MatchOp::NotRegex, "j"),
        Matcher::new(METRIC_NAME, MatchOp::Equal, "foo:bar"),
    ];
    assert_eq!(selector.matchers, expected);

    let quoted = vector("{\"foo.bar\", a='b'}");
    assert_eq!(quoted.name, None);
    assert_eq!(quoted.matchers[0].metric_name(), Some("foo.bar"));
    assert_eq!(
        parse_matchers(" {'up'} # all").unwrap(),
        [Matcher::new(METRIC_NAME, MatchOp::Equal, "up")]
    );
    assert_eq!(parse_matchers("{}").unwrap(), []);
    assert_eq!(parse_matchers("sum{a=~'.*'}").unwrap().len(), 2);
}

#[test]
fn modifiers_may_come_in_any_order() {
    let selector = vector("x @ 1609746000.1234 offset 5m");
    assert_eq!(selector.at, Some(At::Timestamp(1_609_746_000_123)));
    assert_eq!(
        selector.offset.as_ref().and_then(Duration::fixed_ms),
        Some(300_000)
    );
    let reversed = vector("x offset 5m @ 1609746000.1234");
    assert_eq!(
        (reversed.at, reversed.offset.unwrap().fixed_ms()),
        (selector.at, Some(300_000))
    );

    let range = matrix("x[1h30m] @ start() offset -1w smoothed");
    assert_eq!(range.range.fixed_ms(), Some(5_400_000));
    assert_eq!(range.selector.at, Some(At::Start));
    assert_eq!(
        range.selector.offset.as_ref().and_then(Duration::fixed_ms),
        Some(-604_800_000)
    );
    assert!(range.selector.smoothed && !range.selector.anchored);
    assert!(matrix("x anchored [5m]").selector.anchored);

    let sub = subquery("x[1h : 5m] offset 1m @ end()");
    assert_eq!(sub.range.fixed_ms(), Some(3_600_000));
    assert_eq!(sub.step.unwrap().fixed_ms(), Some(300_000));
    assert_eq!(
        (sub.at, sub.offset.unwrap().fixed_ms()),
        (Some(At::End), Some(60_000))
    );
    assert_eq!(subquery("x[1h:]").step, None);

    assert_eq!(vector("x offset 0").offset, None);
    assert_eq!(vector("x @ -1m").at, Some(At::Timestamp(-60_000)));
    assert_eq!(matrix("x[0.0015]").range.fixed_ms(), Some(1));
    assert_eq!(
        vector("x offset 1e3").offset.unwrap().fixed_ms(),
        Some(1_000_000)
    );
}

#[test]
fn aggregations_take_their_labels_before_or_after() {
    for query in ["sum by (a, 'b c',) (x)", "SUM(x) BY (a, \"b c\")"] {
        let Expr::Aggregate(aggregate) = all(query) else {
            panic!("{query}");
        };
        assert_eq!(aggregate.op, AggregateOp::Sum);
        assert_eq!(aggregate.grouping, ["a", "b c"]);
        assert!(!aggregate.without && aggregate.param.is_none());
        assert_eq!(aggregate.span, Span::new(0, query.len()));
    }
    let Expr::Aggregate(topk) = all("topk without () (5, x)") else {
        panic!("no aggregation");
    };
    assert!(topk.without && topk.grouping.is_empty());
    assert_eq!(topk.param.unwrap().to_string(), "5");
}

#[test]
fn binary_operations_know_how_to_match() {
    let grouped = binary("a * on (b, c) group_left (d) fill_right (2) e");
    let matching = grouped.matching.unwrap();
    assert_eq!(matching.cardinality, Cardinality::ManyToOne);
    assert!(matching.on && !grouped.return_bool);
    assert_eq!(
        (matching.labels, matching.include),
        (vec!["b".to_owned(), "c".to_owned()], vec!["d".to_owned()])
    );
    assert_eq!((matching.fill.lhs, matching.fill.rhs), (None, Some(2.0)));

    let right = binary("a > bool ignoring (b) group_right (c) d");
    let matching = right.matching.unwrap();
    assert!(right.return_bool && !matching.on);
    assert_eq!(matching.cardinality, Cardinality::OneToMany);
    assert_eq!(matching.include, ["c"]);
    assert_eq!(
        right.rhs.to_string(),
        "d",
        "the label list is not the operand"
    );
}

#[test]
fn matching_is_settled_by_types() {
    assert_eq!(
        binary("a and b").matching.unwrap().cardinality,
        Cardinality::ManyToMany
    );
    assert_eq!(
        binary("a + b").matching.unwrap().cardinality,
        Cardinality::OneToOne
    );
    assert_eq!(binary("a + 1").matching, None);
    assert_eq!(binary("1 + 1").matching, None);
}

#[test]
fn literals_are_read_as_go_reads_them() {
    for (query, value) in [
        ("1", 1.0),
        (".5", 0.5),
        ("5.", 5.0),
        ("0x1F", 31.0),
        ("0x1e", 30.0),
        ("0755", 493.0),
        ("1_000", 1000.0),
        ("1e-3", 0.001),
        ("+Inf", f64::INFINITY),
        ("-iNF", f64::NEG_INFINITY),
        ("1h30m", 5400.0),
        ("-5ms", -0.005),
    ] {
        let Expr::NumberLiteral(number) = all(query) else {
            panic!("{query}");
        };
        assert_eq!(number.value, value, "{query}");
        assert_eq!(number.span, Span::new(0, query.len()), "{query}");
    }
    for (query, value) in [
        (r#""\u00e9\x41\101\"""#, "éAA\""),
        ("'a\"b'", "a\"b"),
        ("`a\\n\nb`", "a\\n\nb"),
    ] {
        let Expr::StringLiteral(string) = all(query) else {
            panic!("{query}");
        };
        assert_eq!((string.value.as_str(), string.invalid_utf8), (value, None));
    }
    let Expr::StringLiteral(bytes) = all(r#""a\xc5z""#) else {
        panic!("no string");
    };
    assert_eq!(bytes.value, "a\u{fffd}z");
    assert_eq!(bytes.invalid_utf8.as_deref(), Some(&b"a\xc5z"[..]));
}

#[test]
fn every_node_knows_its_place() {
    let query = "  sum by (job) (rate(up{a='b'}[5m] offset 1m)) / -foo @ 5 # end";
    let mut places = Vec::new();
    all(query).walk(&mut |expr| places.push(&query[expr.span().start..expr.span().end]));
    let expected = [
        "sum by (job) (rate(up{a='b'}[5m] offset 1m)) / -foo @ 5",
        "sum by (job) (rate(up{a='b'}[5m] offset 1m))",
        "rate(up{a='b'}[5m] offset 1m)",
        "up{a='b'}[5m] offset 1m",
        "-foo @ 5",
        "foo @ 5",
    ];
    assert_eq!(places, expected);
    let names: Vec<_> = all(query)
        .selectors()
        .iter()
        .map(|selector| selector.name.clone().unwrap())
        .collect();
    assert_eq!(names, ["up", "foo"]);
    assert_eq!(all("((a))").without_parens().to_string(), "a");
}

fn limit_error(query: &str) -> ParseError {
    let error = parse_with(query, &ParseOptions::experimental()).unwrap_err();
    assert_eq!(error.kind(), ParseErrorKind::Limit, "{error}");
    error
}

#[test]
fn deep_and_large_queries_are_errors() {
    let nested = |open: &str, inner: &str, close: &str, times: usize| {
        format!("{}{inner}{}", open.repeat(times), close.repeat(times))
    };
    for times in [1000, 100_000] {
        limit_error(&nested("(", "1", ")", times));
        limit_error(&nested("-", "a", "", times));
        limit_error(&nested("abs(", "a", ")", times));
        limit_error(&nested("sum(", "a", ")", times));
        limit_error(&nested("a^", "a", "", times));
        limit_error(&nested("", "a", " or a", times));
        limit_error(&nested("", "a", "[5m:]", times));
        limit_error(&format!("a[{}]", nested("(", "1", ")", times)));
        limit_error(&format!("a[{}]", nested("-", "(1)", "", times)));
        limit_error(&format!("a[{}]", nested("", "1", "+1", times)));
        limit_error(&format!(
            "a offset {}",
            nested("max_of(1,", "1", ")", times)
        ));
        // Never closed: the nesting is found first.
        limit_error(&"(".repeat(times));
    }
    let labels = vec!["a"; 20_000].join(",");
    limit_error(&format!("sum by ({labels}) (x)"));
    limit_error(&format!("abs({labels})"));
    assert_eq!(
        limit_error(&nested("(", "1", ")", 300)).message(),
        "query is nested too deeply: more than 256 operators, calls or parentheses are chained or inside each other"
    );
}

#[test]
fn the_limits_are_exact() {
    let options = ParseOptions {
        depth_max: 4,
        nodes_max: 6,
        ..ParseOptions::stable()
    };
    for (query, accepted) in [
        ("(((1)))", true),
        ("((((1))))", false),
        ("1 + 1 + 1 + 1", false),
        ("(1 + 1) + 1", true),
        ("1 + 1 + 1", true),
        ("1 + 1 + (1)", true),
        ("vector(1 + 1 + (1))", false),
        ("x{a='b',c='d',e='f',g='h',i='j'}", true),
        ("x{a='b',c='d',e='f',g='h',i='j',k='l'}", false),
    ] {
        assert_eq!(parse_with(query, &options).is_ok(), accepted, "{query}");
    }
}

/// The deepest tree fits a stack of 1 MiB, half of what a thread has: parsing, checking, printing, walking, dropping.
#[test]
fn the_deepest_tree_fits_a_small_stack() {
    let thread = std::thread::Builder::new().stack_size(1 << 20).spawn(|| {
        let depth = ParseOptions::stable().depth_max - 1;
        for query in [
            format!("{}a{}", "abs(".repeat(depth), ")".repeat(depth)),
            format!("{}a", "a ^ ".repeat(depth)),
            format!("a{}", " + a".repeat(depth)),
            format!("a[{}1{}]", "(1 + ".repeat(depth / 2), ")".repeat(depth / 2)),
        ] {
            let mut expr = all(&query);
            expr.resolve_durations(crate::DurationContext {
                step_ms: 1,
                range_ms: 1,
            })
            .unwrap();
            assert!(!expr.prettify().is_empty());
            assert_eq!(expr.clone(), expr);
        }
    });
    thread.unwrap().join().unwrap();
}
