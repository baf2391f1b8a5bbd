//! Lists of PromQL queries (`tests/queries/*.txt`).
//!
//! One query per line; `#` begins a comment line. A line `[approximately <tolerance>: <reason>]` says that the queries below may
//! differ by that relative tolerance between Prometheus 2.42 and Varve, which computes as Prometheus 3 does, and why;
//! `[exactly]` ends that. `[any words: <reason>]` says that texts of errors, warnings and infos differ between versions of Prometheus;
//! `[same words]` ends that. `[ordered]` and `[unordered]` say whether the order of an instant vector counts.

/// One query of a list.
#[derive(Clone, Debug, PartialEq)]
pub struct ListedQuery {
    /// The query.
    pub text: String,
    /// The relative tolerance; 0 means that every bit counts.
    pub tolerance: f64,
    /// Whether the order of an instant vector's samples counts.
    pub ordered: bool,
    /// Whether the texts of errors, warnings and infos count.
    pub words: bool,
}

/// Reads a list.
///
/// # Errors
/// A line in brackets that is not understood, with its number.
pub fn parse(list: &str) -> Result<Vec<ListedQuery>, String> {
    let mut queries = Vec::new();
    let (mut tolerance, mut ordered, mut words) = (0.0, false, true);
    for (number, line) in list.lines().enumerate() {
        let line = line.trim();
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        let Some(directive) = line.strip_prefix('[').and_then(|l| l.strip_suffix(']')) else {
            queries.push(ListedQuery {
                text: line.to_owned(),
                tolerance,
                ordered,
                words,
            });
            continue;
        };
        let number = number + 1;
        match directive.split_once(' ') {
            None if directive == "exactly" => tolerance = 0.0,
            None if directive == "ordered" => ordered = true,
            None if directive == "unordered" => ordered = false,
            Some(("same", "words")) => words = true,
            Some(("any", rest)) if rest.strip_prefix("words: ").is_some_and(|r| !r.is_empty()) => {
                words = false;
            }
            Some(("approximately", rest)) => {
                let (value, reason) = rest.split_once(':').unwrap_or((rest, ""));
                let value = value.trim().parse().ok();
                tolerance = value.ok_or_else(|| format!("line {number}: {rest:?} is no number"))?;
                if reason.trim().is_empty() {
                    return Err(format!("line {number}: a tolerance needs a reason"));
                }
            }
            _ => return Err(format!("line {number}: unknown directive {directive:?}")),
        }
    }
    Ok(queries)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    #[test]
    fn words_may_differ_for_a_reason() {
        let queries = parse("a\n[any words: 3.9 says more]\nb\n[same words]\nc").unwrap();
        let words: Vec<bool> = queries.iter().map(|q| q.words).collect();
        assert_eq!(words, [true, false, true]);
        assert!(parse("[any words: ]").is_err());
    }

    #[test]
    fn directives_hold_until_the_next() {
        let list = "# c\nup\n\n[approximately 1e-12: sums]\n[ordered]\nsum(x)\n[exactly]\ny";
        let queries = parse(list).unwrap();
        let found: Vec<_> = queries
            .iter()
            .map(|q| (q.text.as_str(), q.tolerance, q.ordered))
            .collect();
        assert_eq!(
            found,
            [
                ("up", 0.0, false),
                ("sum(x)", 1e-12, true),
                ("y", 0.0, true)
            ]
        );
        assert!(parse("[approximately 1e-12]").is_err());
        assert!(parse("[exact]").is_err());
    }
}
