//! Any text as the regular expression of a rule, its replacement and the text that it is for, in three lines. Nothing may panic.
#![no_main]

use libfuzzer_sys::fuzz_target;
use varve_ingest::relabel::AnchoredRegex;

fuzz_target!(|text: &str| {
    let mut lines = text.splitn(3, '\n');
    let mut line = || lines.next().unwrap_or_default();
    let (pattern, template, subject) = (line(), line(), line());
    if let Ok(regex) = AnchoredRegex::new(pattern) {
        assert_eq!(regex.as_str(), pattern);
        let expanded = regex.expand(subject, template);
        assert_eq!(expanded.is_some(), regex.is_match(subject));
    }
});
