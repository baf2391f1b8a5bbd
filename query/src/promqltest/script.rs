//! The commands of a test script.

use regex::Regex;
use varve_promql::format::{parse_duration, parse_go_float};

use super::series::{SeriesLine, StartLine, parse_line, parse_start_line};

/// A command with the line that it starts on, counted from 1.
#[derive(Clone, Debug)]
pub struct Command {
    /// The line.
    pub line: usize,
    /// What to do.
    pub action: Action,
}

/// What a command does.
#[derive(Clone, Debug)]
pub enum Action {
    /// Adds samples.
    Load {
        /// Milliseconds between two items.
        interval_ms: i64,
        /// The series.
        series: Vec<SeriesLine>,
        /// Whether classic histograms are loaded as native ones, too.
        with_nhcb: bool,
    },
    /// Removes all samples.
    Clear,
    /// Runs a query.
    Eval(Box<Eval>),
}

/// A query and what is expected of it.
#[derive(Clone, Debug)]
pub struct Eval {
    /// The query.
    pub query: String,
    /// The first time in milliseconds.
    pub start_ms: i64,
    /// The last time in milliseconds.
    pub end_ms: i64,
    /// The step in milliseconds; `None` for an instant query.
    pub step_ms: Option<i64>,
    /// Must it fail?
    pub fail: Vec<Pattern>,
    /// Which warnings must there be?
    pub warn: Vec<Pattern>,
    /// Which infos must there be?
    pub info: Vec<Pattern>,
    /// Must there be no warning?
    pub no_warn: bool,
    /// Must there be no info?
    pub no_info: bool,
    /// Must the series come in the order in which they are written?
    pub ordered: bool,
    /// The expected text.
    pub string: Option<String>,
    /// The expected number.
    pub scalar: Option<f64>,
    /// The expected series.
    pub series: Vec<SeriesLine>,
    /// Start and step of an expected range vector.
    pub range_vector: Option<(i64, i64)>,
}

/// What a message must look like.
#[derive(Clone, Debug)]
pub enum Pattern {
    /// Like anything.
    Any,
    /// Like this.
    Text(String),
    /// Like what matches.
    Regex(Regex),
}

impl Pattern {
    /// Whether a message looks like it.
    pub fn matches(&self, message: &str) -> bool {
        match self {
            Self::Any => true,
            Self::Text(text) => message == text,
            Self::Regex(regex) => regex.is_match(message),
        }
    }
}

/// Reads a script; the error names the line.
pub fn parse(text: &str) -> Result<Vec<Command>, String> {
    let mut commands = Vec::new();
    let mut lines = text
        .lines()
        .map(str::trim)
        .enumerate()
        .filter(|(_, line)| !line.starts_with('#'))
        .peekable();
    while let Some((number, line)) = lines.next() {
        if line.is_empty() {
            continue;
        }
        // A block ends at an empty line or at the next command.
        let is_block = |line: &str| {
            let commands = ["clear", "load", "eval"];
            let word = line.split([' ', '\t', '_']).next().unwrap_or("");
            !line.is_empty() && !commands.contains(&word)
        };
        let mut block = Vec::new();
        if line != "clear" {
            while let Some((number, line)) = lines.next_if(|(_, line)| is_block(line)) {
                block.push((number + 1, line));
            }
        }
        let at = |message: String| format!("line {}: {message}", number + 1);
        let action = if line == "clear" {
            Action::Clear
        } else if let Some(rest) = line.strip_prefix("load") {
            load(rest, &block).map_err(at)?
        } else if let Some(rest) = line.strip_prefix("eval") {
            Action::Eval(Box::new(eval(rest, &block).map_err(at)?))
        } else {
            return Err(at(format!("unknown command {line}")));
        };
        commands.push(Command {
            line: number + 1,
            action,
        });
    }
    Ok(commands)
}

fn duration(text: &str) -> Result<i64, String> {
    let text = text.trim();
    match text.strip_prefix('-') {
        Some(positive) => duration(positive).map(|ms| -ms),
        None => parse_duration(text).map_err(|error| format!("{text}: {error}")),
    }
}

const NO_SERIES: &str = "start timestamps without a series behind them";

fn load(rest: &str, block: &[(usize, &str)]) -> Result<Action, String> {
    let (with_nhcb, interval) = match rest.strip_prefix("_with_nhcb") {
        Some(interval) => (true, interval),
        None => (false, rest),
    };
    let mut series = Vec::new();
    let mut starts: Option<StartLine> = None;
    for (number, line) in block {
        let at = |error: String| format!("line {number}: {error}");
        match (parse_start_line(line).map_err(at)?, starts.take()) {
            (Some(found), None) => starts = Some(found),
            (Some(_), Some(_)) => return Err(at(NO_SERIES.to_owned())),
            (None, starts) => {
                let mut line = parse_line(line)?;
                if let Some(found) = starts {
                    if found.labels != line.labels || found.starts.len() != line.items.len() {
                        return Err(at("other start timestamps than samples".to_owned()));
                    }
                    line.starts = found.starts;
                }
                series.push(line);
            }
        }
    }
    if starts.is_some() {
        return Err(NO_SERIES.to_owned());
    }
    Ok(Action::Load {
        interval_ms: duration(interval)?,
        series,
        with_nhcb,
    })
}

fn eval(rest: &str, block: &[(usize, &str)]) -> Result<Eval, String> {
    let instant =
        Regex::new(r"^(?:_(fail|warn|ordered|info))?\s+instant\s+(?:at\s+(.+?))?\s+(.+)$");
    let range = Regex::new(
        r"^(?:_(fail|warn|info))?\s+range\s+from\s+(.+)\s+to\s+(.+)\s+step\s+(.+?)\s+(.+)$",
    );
    let (instant, range) = (
        instant.map_err(|e| e.to_string())?,
        range.map_err(|e| e.to_string())?,
    );
    let group = |captures: &regex::Captures<'_>, index: usize| {
        captures
            .get(index)
            .map_or("", |group| group.as_str())
            .to_owned()
    };
    let (modifier, query, start_ms, end_ms, step_ms) = if let Some(found) = range.captures(rest) {
        let time = |index| duration(&group(&found, index));
        (
            group(&found, 1),
            group(&found, 5),
            time(2)?,
            time(3)?,
            Some(time(4)?),
        )
    } else if let Some(found) = instant.captures(rest) {
        let time_ms = match found.get(2) {
            Some(at) => duration(at.as_str())?,
            None => 0,
        };
        (group(&found, 1), group(&found, 3), time_ms, time_ms, None)
    } else {
        return Err("invalid evaluation command".to_owned());
    };
    let mut eval = Eval {
        query,
        start_ms,
        end_ms,
        step_ms,
        fail: Vec::new(),
        warn: Vec::new(),
        info: Vec::new(),
        no_warn: false,
        no_info: false,
        ordered: false,
        string: None,
        scalar: None,
        series: Vec::new(),
        range_vector: None,
    };
    match modifier.as_str() {
        "fail" => eval.fail.push(Pattern::Any),
        "warn" => eval.warn.push(Pattern::Any),
        "info" => eval.info.push(Pattern::Any),
        "ordered" => eval.ordered = true,
        _ => {}
    }
    for (number, line) in block {
        expectation(line, &mut eval).map_err(|error| format!("line {number}: {error}"))?;
    }
    Ok(eval)
}

fn expectation(line: &str, eval: &mut Eval) -> Result<(), String> {
    if let Some(text) = line.strip_prefix("expected_fail_message") {
        eval.fail = vec![Pattern::Text(text.trim().to_owned())];
    } else if let Some(text) = line.strip_prefix("expected_fail_regexp") {
        eval.fail = vec![pattern(&format!("regex:{text}"))?];
    } else if let Some(text) = line.strip_prefix("expect string") {
        eval.string = Some(unquote(text.trim())?);
    } else if let Some(rest) = line.strip_prefix("expect range vector") {
        let words: Vec<&str> = rest.split_whitespace().collect();
        let ["from", from, "to", _, "step", step] = words[..] else {
            return Err(format!("cannot read {line}"));
        };
        eval.range_vector = Some((duration(from)?, duration(step)?));
    } else if let Some(rest) = line.strip_prefix("expect ") {
        let rest = rest.trim();
        let (kind, rest) = rest.split_once(char::is_whitespace).unwrap_or((rest, ""));
        match kind {
            "ordered" => eval.ordered = true,
            "no_warn" => eval.no_warn = true,
            "no_info" => eval.no_info = true,
            "fail" => eval.fail.push(pattern(rest)?),
            "warn" => eval.warn.push(pattern(rest)?),
            "info" => eval.info.push(pattern(rest)?),
            _ => return Err(format!("cannot read {line}")),
        }
    } else if let Ok(number) = parse_go_float(line) {
        eval.scalar = Some(number);
    } else {
        eval.series.push(parse_line(line)?);
    }
    Ok(())
}

fn pattern(text: &str) -> Result<Pattern, String> {
    let text = text.trim();
    if let Some(message) = text.strip_prefix("msg:") {
        return Ok(Pattern::Text(message.trim().to_owned()));
    }
    match text.strip_prefix("regex:") {
        Some(regex) => Regex::new(regex.trim())
            .map(Pattern::Regex)
            .map_err(|error| error.to_string()),
        None if text.is_empty() => Ok(Pattern::Any),
        None => Err(format!("cannot read {text}")),
    }
}

fn unquote(text: &str) -> Result<String, String> {
    use varve_promql::{Expr, parse};
    match parse(text) {
        Ok(Expr::StringLiteral(literal)) => Ok(literal.value),
        _ => Err(format!("{text} is not a quoted text")),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    #[test]
    fn commands_are_read_with_their_blocks() {
        let script = "load 1m\n  m 1 2\n\nclear\neval instant at 1m m\n  expect warn msg: odd\n  {} 1\n\neval range from 0 to 2m step 1m 1 + 1\n {} 2 2 2";
        let commands = parse(script).unwrap();
        assert_eq!(commands.len(), 4);
        let Action::Eval(eval) = &commands[2].action else {
            unreachable!()
        };
        assert!(eval.warn[0].matches("odd") && eval.step_ms.is_none());
        let Action::Eval(eval) = &commands[3].action else {
            unreachable!()
        };
        assert_eq!((eval.query.as_str(), eval.step_ms), ("1 + 1", Some(60_000)));
        assert!(parse("evil").is_err());
    }

    #[test]
    fn start_timestamps_belong_to_the_series_behind_them() {
        let commands = parse("load 1m\n  m@st _ -1m\n  m 1 2\n  n 3").unwrap();
        let Action::Load { series, .. } = &commands[0].action else {
            unreachable!()
        };
        assert_eq!(series[0].starts, [None, Some(-60_000)]);
        assert!(series[1].starts.is_empty());
        for wrong in [
            "m@st _ _",
            "m@st _\n m@st _\n m 1",
            "m@st _\n n 1",
            "m@st _ _\n m 1",
        ] {
            assert!(parse(&format!("load 1m\n {wrong}")).is_err(), "{wrong}");
        }
    }
}
