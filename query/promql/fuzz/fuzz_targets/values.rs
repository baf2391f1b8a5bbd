//! Durations, numbers, times and regular expressions: what is accepted is written and read back.

#![no_main]

use libfuzzer_sys::fuzz_target;
use varve_promql::format::{
    format_duration, format_float, format_time, parse_duration, parse_duration_or_seconds, parse_go_float, parse_time,
};

fuzz_target!(|text: &str| {
    if let Ok(ms) = parse_duration(text) {
        assert_eq!(parse_duration(&format_duration(ms)), Ok(ms));
    }
    if let Ok(value) = parse_go_float(text) {
        let again = parse_go_float(&format_float(value)).expect("a number");
        assert!(again == value || again.is_nan() && value.is_nan());
    }
    if let Ok(ms) = parse_time(text) {
        let _ = format_time(ms);
    }
    let _ = parse_duration_or_seconds(text);
    let _ = varve_promql::regex::anchored_regex(text);
});
