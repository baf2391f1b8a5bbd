//! What the printer writes, the parser reads back as the same tree; and no text makes either of them panic.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use proptest::prelude::*;
use proptest::sample::{Index, select};
use varve_promql::{
    At, Duration, DurationExpr, Expr, FillValues, ParseErrorKind, ParseOptions, Span,
    VectorSelector, parse_with,
};

/// Makes two trees comparable that differ in nothing but positions, the order of matchers, and NaN.
fn normalize(expr: &mut Expr) {
    match expr {
        Expr::NumberLiteral(node) => {
            node.span = Span::default();
            normalize_number(&mut node.value);
        }
        Expr::StringLiteral(node) => node.span = Span::default(),
        Expr::VectorSelector(node) => normalize_selector(node),
        Expr::MatrixSelector(node) => {
            node.span = Span::default();
            normalize_selector(&mut node.selector);
            normalize_duration(&mut node.range);
        }
        Expr::Subquery(node) => {
            node.span = Span::default();
            normalize_duration(&mut node.range);
            node.step.iter_mut().for_each(normalize_duration);
            node.offset.iter_mut().for_each(normalize_duration);
            node.at.iter_mut().for_each(normalize_at);
        }
        Expr::Call(node) => node.span = Span::default(),
        Expr::Aggregate(node) => node.span = Span::default(),
        Expr::Binary(node) => {
            node.span = Span::default();
            if let Some(matching) = &mut node.matching {
                let FillValues { lhs, rhs } = &mut matching.fill;
                lhs.iter_mut().chain(rhs).for_each(normalize_number);
            }
        }
        Expr::Unary(node) => node.span = Span::default(),
        Expr::Paren(node) => node.span = Span::default(),
    }
    expr.children_mut().into_iter().for_each(normalize);
}

fn normalize_selector(selector: &mut VectorSelector) {
    selector.span = Span::default();
    // The metric name in front stays last.
    let in_braces = selector.matchers.len() - usize::from(selector.name.is_some());
    selector.matchers[..in_braces].sort_by_key(ToString::to_string);
    selector.offset.iter_mut().for_each(normalize_duration);
    selector.at.iter_mut().for_each(normalize_at);
}

fn normalize_duration(duration: &mut Duration) {
    match duration {
        Duration::Fixed { span, .. } => *span = Span::default(),
        Duration::Expr(expr) => normalize_duration_expr(expr),
    }
}

fn normalize_duration_expr(expr: &mut DurationExpr) {
    match expr {
        DurationExpr::Literal { span, .. }
        | DurationExpr::Step(span)
        | DurationExpr::Range(span) => {
            *span = Span::default();
        }
        DurationExpr::Negate { expr, span } | DurationExpr::Paren { expr, span } => {
            *span = Span::default();
            normalize_duration_expr(expr);
        }
        DurationExpr::Binary { lhs, rhs, span, .. } => {
            *span = Span::default();
            normalize_duration_expr(lhs);
            normalize_duration_expr(rhs);
        }
    }
}

/// Beyond 2^53 ms a time has no exact number of seconds.
fn normalize_at(at: &mut At) {
    if let At::Timestamp(ms) = at
        && ms.unsigned_abs() > 1 << 53
    {
        *ms = 0;
    }
}

fn normalize_number(value: &mut f64) {
    if value.is_nan() {
        *value = 4242.0;
    }
}

fn check_round_trip(query: &str, mut expr: Expr) {
    let options = ParseOptions::experimental();
    let printed = expr.to_string();
    let mut again = match parse_with(&printed, &options) {
        Ok(again) => again,
        Err(error) => panic!("{query} is printed as {printed}: {error}"),
    };
    assert_eq!(
        again.to_string(),
        printed,
        "the text of {query} is not canonical"
    );
    normalize(&mut expr);
    normalize(&mut again);
    assert_eq!(again, expr, "{query} is printed as {printed}");

    let pretty = expr.prettify();
    let mut again =
        parse_with(&pretty, &options).unwrap_or_else(|error| panic!("{pretty}: {error}"));
    normalize(&mut again);
    assert_eq!(again, expr, "{query} is laid out as {pretty}");
}

fn metric() -> BoxedStrategy<String> {
    prop_oneof![
        "[a-z_:][a-zA-Z0-9_:]{4,8}".prop_filter("no number or operator", |name| {
            !["atan2", "ignoring"].contains(&name.to_lowercase().as_str())
        }),
        select(
            &[
                "sum",
                "by",
                "and",
                "or",
                "offset",
                "fill",
                "fill_left",
                "start",
                "step",
                "anchored",
                "TOPK",
                "without"
            ][..]
        )
        .prop_map(str::to_owned),
    ]
    .boxed()
}

fn string() -> BoxedStrategy<String> {
    prop_oneof![
        "\"[a-z ]{0,5}\"",
        "'[a-z\"]{0,5}'",
        "`[a-z\\\\\"']{0,5}`",
        select(
            &[
                r#""\n\t\\\"""#,
                r#""\u00e9\x41\101""#,
                r"'it\'s'",
                r#""\xff""#,
                "\"☺\u{a0}\u{301}\""
            ][..]
        )
        .prop_map(str::to_owned),
    ]
    .boxed()
}

fn label() -> BoxedStrategy<String> {
    prop_oneof![
        "[a-z_][a-z0-9_]{0,5}",
        select(&["\"a.b\"", "`x y`", "\"\"", "by", "bool", "\"on\""][..]).prop_map(str::to_owned),
    ]
    .boxed()
}

fn matchers() -> BoxedStrategy<String> {
    let matcher = prop_oneof![
        (label(), select(&["=", "!="][..]), string())
            .prop_map(|(name, op, value)| format!("{name}{op}{value}")),
        (
            label(),
            select(&["=~", " !~ "][..]),
            select(&["a.*", "x|y", "\\\\d+", ""][..])
        )
            .prop_map(|(name, op, value)| format!("{name}{op}\"{value}\"")),
    ];
    (prop::collection::vec(matcher, 0..3), any::<bool>())
        .prop_map(|(matchers, comma)| {
            let comma = if comma && !matchers.is_empty() {
                ","
            } else {
                ""
            };
            format!("{{{}{comma}}}", matchers.join(" , "))
        })
        .boxed()
}

fn number() -> BoxedStrategy<String> {
    prop_oneof![
        (0..1000u32).prop_map(|value| value.to_string()),
        any::<f64>()
            .prop_filter("finite", |value| value.is_finite())
            .prop_map(|value| format!("{:e}", value.abs())),
        select(
            &[
                "Inf", "nan", "0x1F", "017", "1_000", ".5", "1e3", "5m", "1h30m", "0s", "2w1ms"
            ][..]
        )
        .prop_map(str::to_owned),
    ]
    .boxed()
}

fn duration() -> BoxedStrategy<String> {
    let literal =
        select(&["5m", "1h30m", "90", "0.5", "2w", "365d1ms", "1e3"][..]).prop_map(str::to_owned);
    literal
        .prop_recursive(4, 12, 2, |inner| {
            prop_oneof![
                Just("step()".to_owned()),
                Just("range( )".to_owned()),
                inner.clone().prop_map(|x| format!("({x})")),
                (select(&["+", "-"][..]), inner.clone()).prop_map(|(sign, x)| format!("{sign}{x}")),
                (
                    inner.clone(),
                    select(&["+", "-", "*", "/", "%", "^"][..]),
                    inner.clone()
                )
                    .prop_map(|(x, op, y)| format!("{x} {op} {y}")),
                (select(&["min_of", "max_of"][..]), inner.clone(), inner)
                    .prop_map(|(function, x, y)| format!("{function}({x}, {y})")),
            ]
        })
        .boxed()
}

/// An offset is a literal, or anything in parentheses or behind two signs.
fn offset() -> BoxedStrategy<String> {
    prop_oneof![
        Just(String::new()),
        select(
            &[
                "5m",
                "-1h",
                "+30",
                "0",
                "step()",
                "-range()",
                "+max_of(1m, 30)"
            ][..]
        )
        .prop_map(|x| format!(" offset {x}")),
        (select(&["(", "-(", "+-("][..]), duration())
            .prop_map(|(open, x)| format!(" offset {open}{x})")),
        (duration(), duration()).prop_map(|(x, y)| format!(" offset ({x}) * {y}")),
        (select(&["++", "+-", "--"][..]), duration())
            .prop_map(|(signs, x)| format!(" offset {signs}{x}")),
    ]
    .boxed()
}

fn at() -> BoxedStrategy<String> {
    select(
        &[
            "",
            "",
            " @ start()",
            " @ end()",
            " @ 1603774568.5",
            " @ -1",
            " @ 5m",
            " @ 0",
        ][..],
    )
    .prop_map(str::to_owned)
    .boxed()
}

fn selector() -> BoxedStrategy<String> {
    prop_oneof![
        metric(),
        (metric(), matchers()).prop_map(|(metric, matchers)| metric + &matchers),
        Just("{\"a metric\"}".to_owned()),
        Just("{a!=\"\", __name__=~\"x.+\"}".to_owned()),
    ]
    .boxed()
}

fn range() -> BoxedStrategy<String> {
    let extension = select(&["", "", " anchored", " smoothed"][..]);
    (selector(), duration(), extension, at(), offset())
        .prop_map(|(selector, range, extension, at, offset)| {
            format!("{selector}[{range}]{extension}{at}{offset}")
        })
        .boxed()
}

fn grouping() -> BoxedStrategy<String> {
    let label = label().prop_filter("not empty", |label| label != "\"\"");
    prop::collection::vec(label, 0..3)
        .prop_map(|labels| format!("({})", labels.join(",")))
        .boxed()
}

fn vector_operator() -> BoxedStrategy<String> {
    let matched = (select(&["on", "ignoring"][..]), grouping())
        .prop_map(|(which, labels)| format!(" {which} {labels}"));
    let group = prop_oneof![
        Just(String::new()),
        (select(&["group_left", "group_right"][..]), grouping())
            .prop_map(|(group, labels)| format!(" {group}{labels}")),
    ];
    let fill = prop_oneof![
        Just(String::new()),
        number().prop_map(|value| format!(" fill({value})")),
        (number(), number())
            .prop_map(|(lhs, rhs)| format!(" fill_right(-{rhs}) fill_left (+{lhs})")),
    ];
    prop_oneof![
        select(
            &[
                "+", "-", "*", "/", "%", "^", "atan2", "==", ">", "<= bool", "</", ">/", "and",
                "or", "unless"
            ][..]
        )
        .prop_map(str::to_owned),
        (
            select(&["+", "^", "!= bool", "<"][..]),
            matched.clone(),
            group,
            fill
        )
            .prop_map(|(op, matched, group, fill)| format!("{op}{matched}{group}{fill}")),
        (select(&["and", "or", "unless"][..]), matched)
            .prop_map(|(op, matched)| op.to_owned() + &matched),
    ]
    .boxed()
}

fn query() -> BoxedStrategy<String> {
    let leaf = prop_oneof![
        3 => (selector(), at()).prop_map(|(selector, at)| selector + &at),
        // In parentheses, because an operator behind an offset may belong to it.
        2 => (selector(), at(), offset()).prop_map(|(selector, at, offset)| format!("({selector}{at}{offset})")),
        2 => (select(&["rate", "max_over_time", "Avg(absent_over_time"][..]), range()).prop_map(|(function, range)| {
            let close = if function.contains('(') { "))" } else { ")" };
            format!("{function}({range}{close}")
        }),
        1 => number(),
        1 => Just("time()".to_owned()),
    ];
    leaf.prop_recursive(5, 24, 3, |inner| {
        prop_oneof![
            3 => (inner.clone(), vector_operator(), inner.clone()).prop_map(|(x, op, y)| format!("{x} {op} {y}")),
            2 => inner.clone().prop_map(|x| format!("( {x} )")),
            1 => (select(&["-", "+", "- -"][..]), inner.clone()).prop_map(|(sign, x)| format!("{sign}{x}")),
            1 => (select(&["sum", "stddev", "GROUP"][..]), grouping(), inner.clone())
                .prop_map(|(op, labels, x)| format!("{op}({x}) by {labels}")),
            1 => (select(&["topk", "quantile", "limitk"][..]), grouping(), inner.clone())
                .prop_map(|(op, labels, x)| format!("{op} without{labels} (0.5, {x})")),
            1 => (string(), inner.clone()).prop_map(|(label, x)| format!("count_values({label}, {x})")),
            1 => (inner.clone(), string()).prop_map(|(x, text)| format!("label_replace({x}, \"a\", {text}, 'b', '(.*)')")),
            1 => inner.clone().prop_map(|x| format!("vector(scalar({x}))")),
            1 => (inner.clone(), matchers()).prop_map(|(x, matchers)| format!("info({x}, {matchers})")),
            1 => (inner, duration(), duration(), at(), offset()).prop_map(|(x, range, step, at, offset)| {
                format!("deriv(({x})[{range}:{step}]{offset}{at})")
            }),
        ]
    })
    .boxed()
}

const SEEDS: [&str; 12] = [
    "sum by (job, \"a.b\") (rate(http_requests_total{code=~\"5..\", \"x y\"!='z'}[5m] offset -1h @ 1603774568.5))",
    "a / on (b) group_left (c) fill_left (1) fill_right (-2) d != bool 5",
    "histogram_quantile(0.9, sum without (instance) (rate(x_bucket[5m]))) # comment\n > 1",
    "max_over_time((a - b)[1h:step() * 2] @ end() offset (5m + 1)) and unless unless or",
    "topk(5, -foo ^ 2 ^ -1) </ 3 >/ 4 atan2 1e3",
    "rate(x[5m] anchored) + y smoothed",
    "label_replace({\"üüü\", a!~'b'}, \"\\u00e9\", `raw`, '\\x41', \"\\101\")",
    "count_values(\"v\", x) or vector(NaN) == Inf * 0x1F - 1_000",
    "x offset --5m ^ 2 - min_of(1m, range()) % 3",
    "info(x, {a=\"b\"}) + start() - end()",
    "absent(sum(nonexistent{job=\"myjob\"}))",
    "((((1))))",
];

proptest! {
    #![proptest_config(ProptestConfig { cases: 512, max_global_rejects: 1 << 16, ..ProptestConfig::default() })]

    #[test]
    fn queries_print_as_themselves(query in query()) {
        match parse_with(&query, &ParseOptions::experimental()) {
            Ok(expr) => check_round_trip(&query, expr),
            // The generator knows the grammar, but not the types.
            Err(error) => {
                prop_assert!(error.kind() == ParseErrorKind::Semantic, "{query}: {error}");
                prop_assume!(false);
            }
        }
    }

    #[test]
    fn damaged_queries_are_read_or_rejected(
        seed in select(&SEEDS[..]),
        edits in prop::collection::vec((any::<Index>(), any::<Index>(), 0..4u8, "[\\PC]|[-+*/%^(){}\\[\\],:=!~<>@'\"`#\\\\ \n0-9a-zA-Z_]{1,3}"), 1..6),
    ) {
        let mut query: Vec<char> = seed.chars().collect();
        for (from, to, edit, text) in edits {
            if query.is_empty() {
                break;
            }
            let (from, to) = (from.index(query.len()), to.index(query.len()));
            match edit {
                0 => {
                    query.splice(from..from, text.chars());
                }
                1 => {
                    query.remove(from);
                }
                2 => query.swap(from, to),
                _ => {
                    let copy: Vec<char> = query[from.min(to)..from.max(to)].to_vec();
                    query.splice(from..from, copy);
                }
            }
        }
        let query: String = query.into_iter().collect();
        match parse_with(&query, &ParseOptions::experimental()) {
            Ok(expr) => check_round_trip(&query, expr),
            Err(error) => {
                prop_assert!(error.span().start <= query.len());
                prop_assert!(!error.to_string().is_empty());
            }
        }
    }

    #[test]
    fn any_text_is_read_or_rejected(text in "\\PC{0,40}") {
        let _ = parse_with(&text, &ParseOptions::experimental()).map(|expr| check_round_trip(&text, expr));
        let _ = varve_promql::parse_matchers(&text);
    }
}

#[test]
fn seeds_are_queries() {
    for seed in SEEDS {
        match parse_with(seed, &ParseOptions::experimental()) {
            Ok(expr) => check_round_trip(seed, expr),
            Err(error) => panic!("{seed}: {error}"),
        }
    }
}
