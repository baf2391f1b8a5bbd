//! A text is a query or an error; what is accepted prints as a text that is its own print.

#![no_main]

use libfuzzer_sys::fuzz_target;
use varve_promql::{ParseOptions, parse_matchers, parse_with};

fuzz_target!(|query: &str| {
    let options = ParseOptions::experimental();
    let _ = parse_matchers(query);
    if let Ok(expr) = parse_with(query, &options) {
        let printed = expr.to_string();
        let again = parse_with(&printed, &options).expect("the canonical text parses");
        assert_eq!(again.to_string(), printed);
        parse_with(&expr.prettify(), &options).expect("the long form parses");
    }
});
