//! Corners of the grammars where Prometheus does something unexpected.

use super::*;

#[test]
fn a_nul_ends_the_input_where_prometheus_stops() {
    for input in [
        "a 1\n\0b 2\n",
        "a 1\n# \0 comment\nb 2\n",
        "a 1\n#\0\nb 2\n",
        "a 1\n#comm\0ent\nb 2\n",
    ] {
        assert_eq!(text(input), [r#"__name__="a" 1"#], "{input:?}");
    }
    for input in ["# comm\0ent\na 1\n", "# TYPE \0a counter\na 1\n"] {
        assert_eq!(
            text(input).last().unwrap(),
            r#"__name__="a" 1"#,
            "{input:?}"
        );
    }
    for input in ["a 1\n# EOF\n\0rest", "a 1\n# EOF\0rest"] {
        assert_eq!(open_metrics(input), [r#"__name__="a" 1"#], "{input:?}");
    }
}

#[test]
fn what_follows_an_open_metrics_value_is_wrong_after_the_series() {
    for input in ["a 1 \n# EOF\n", "a 1 # x\n# EOF\n"] {
        let mut parser = Parser::new(input.as_bytes(), Format::OpenMetrics);
        assert!(
            matches!(parser.next(b""), Ok(Some(Entry::Series(_)))),
            "{input}"
        );
        let error = parser.next(b"").unwrap_err();
        assert!(
            error
                .message
                .starts_with("expected timestamp or new record"),
            "{error}"
        );
    }
}

#[test]
fn bounds_are_normalised_as_go_reads_them() {
    assert_eq!(
        text(
            "# TYPE h histogram\nh_bucket{le=\"1_0\"} 1\nh_bucket{le=\"0x1p-1\"} 2\nh_bucket{le=\"0x1\"} 3\n"
        )[1..],
        [
            r#"__name__="h_bucket" le="10.0" 1"#,
            r#"__name__="h_bucket" le="0.5" 2"#,
            r#"__name__="h_bucket" le="0x1" 3"#,
        ]
    );
}

#[test]
fn a_malformed_content_type_falls_back() {
    for content_type in ["text/plain; version", "text/plain, text/html"] {
        let error = Format::of(Some(content_type), None).unwrap_err();
        assert!(
            error.starts_with(&format!("cannot parse Content-Type {content_type:?}")),
            "{error}"
        );
        assert_eq!(
            Format::of(Some(content_type), Some(Format::OpenMetrics)),
            Ok(Format::OpenMetrics)
        );
    }
}
