//! Every query of Prometheus's own test files parses, prints, and parses again to the same text.
//!
//! The files are not part of this repository. `VARVE_PROMQLTEST_DIR` names their folder.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::path::PathBuf;

use varve_promql::{ParseOptions, parse_with};

/// One `eval` command.
struct Eval {
    place: String,
    query: String,
    may_fail: bool,
}

fn folder() -> Option<PathBuf> {
    let folder = match std::env::var_os("VARVE_PROMQLTEST_DIR") {
        Some(folder) => PathBuf::from(folder),
        None => {
            PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../../shared/conformance/promqltest")
        }
    };
    if folder.is_dir() {
        return Some(folder);
    }
    eprintln!(
        "SKIPPED: {} is no folder; set VARVE_PROMQLTEST_DIR to Prometheus's promql/promqltest/testdata",
        folder.display()
    );
    None
}

fn evals(file: &str, text: &str) -> Vec<Eval> {
    let mut evals: Vec<Eval> = Vec::new();
    for (index, line) in text.lines().enumerate() {
        let line = line.trim();
        if line.starts_with("expect fail")
            && let Some(eval) = evals.last_mut()
        {
            eval.may_fail = true;
        }
        let Some(query) = query_of(line) else {
            continue;
        };
        evals.push(Eval {
            place: format!("{file}:{}", index + 1),
            query: query.to_owned(),
            may_fail: line.starts_with("eval_fail"),
        });
    }
    evals
}

/// The query behind `eval instant at 5m` or `eval range from 0 to 10m step 1m`.
fn query_of(line: &str) -> Option<&str> {
    let mut words = line.split_whitespace();
    if !words.next()?.starts_with("eval") {
        return None;
    }
    let skipped = match words.next()? {
        "instant" => 4,
        "range" => 8,
        _ => return None,
    };
    let mut rest = line;
    for _ in 0..skipped {
        rest = rest.trim_start();
        rest = rest.get(rest.find(char::is_whitespace)?..)?;
    }
    Some(rest.trim())
}

#[test]
fn all_queries_parse_and_print() {
    let Some(folder) = folder() else { return };
    let options = ParseOptions::experimental();
    let (mut files, mut queries, mut rejected) = (0, 0, Vec::new());
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_none_or(|extension| extension != "test") {
            continue;
        }
        files += 1;
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        for eval in evals(&name, &std::fs::read_to_string(&path).unwrap()) {
            queries += 1;
            match parse_with(&eval.query, &options) {
                Ok(expr) => {
                    let printed = expr.to_string();
                    let again = parse_with(&printed, &options).unwrap_or_else(|error| {
                        panic!(
                            "{}: {} is printed as {printed}: {error}",
                            eval.place, eval.query
                        )
                    });
                    assert_eq!(again.to_string(), printed, "{}", eval.place);
                }
                Err(error) if eval.may_fail => {
                    rejected.push(format!("{}: {}: {error}", eval.place, eval.query))
                }
                Err(error) => panic!("{}: {}: {error}", eval.place, eval.query),
            }
        }
    }
    assert!(
        files > 15 && queries > 1500,
        "only {queries} queries in {files} files"
    );
    eprintln!("{queries} queries in {files} files; rejected, as expected: {rejected:#?}");
}
