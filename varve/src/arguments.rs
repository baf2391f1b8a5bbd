//! Values on the command line: durations and times as Prometheus writes them, and all flags at once.

use std::collections::BTreeMap;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use clap::ArgMatches;
use varve_promql::format::{parse_duration, parse_duration_or_seconds, parse_time};

/// A duration such as `15s` or `1h30m`.
pub(crate) fn duration(text: &str) -> Result<Duration, String> {
    let ms = parse_duration(text).map_err(|e| e.to_string())?;
    Ok(Duration::from_millis(u64::try_from(ms).unwrap_or(0)))
}

/// The wall clock in milliseconds since the epoch.
pub(crate) fn now_ms() -> i64 {
    let since_epoch = SystemTime::now().duration_since(UNIX_EPOCH);
    since_epoch.map_or(0, |elapsed| {
        i64::try_from(elapsed.as_millis()).unwrap_or(i64::MAX)
    })
}

/// A time in milliseconds since the epoch: RFC 3339, seconds since the epoch, `now`, or before now as `-1h30m`.
pub(crate) fn time_ms(text: &str) -> Result<i64, String> {
    if text == "now" {
        return Ok(now_ms());
    }
    if let Some(ago_ms) = text.strip_prefix('-').map(parse_duration_or_seconds) {
        return Ok(now_ms().saturating_sub(ago_ms.map_err(|e| e.to_string())?));
    }
    parse_time(text).map_err(|e| e.to_string())
}

/// A step in milliseconds: a duration or a number of seconds, above 0.
pub(crate) fn step_ms(text: &str) -> Result<i64, String> {
    match parse_duration_or_seconds(text) {
        Ok(ms) if ms > 0 => Ok(ms),
        Ok(_) => Err("must be at least 1ms".to_owned()),
        Err(error) => Err(error.to_string()),
    }
}

/// The flags of the sub-command in use, by name, with defaults and what the environment says: `/api/v1/status/flags`.
pub(crate) fn flags(mut command: clap::Command, matches: &ArgMatches) -> BTreeMap<String, String> {
    command.build();
    let Some((name, matches)) = matches.subcommand() else {
        return BTreeMap::new();
    };
    let Some(command) = command.find_subcommand(name) else {
        return BTreeMap::new();
    };
    let flag = |argument: &clap::Arg| {
        let name = argument.get_long().filter(|name| *name != "help")?;
        let mut values = matches.get_raw(argument.get_id().as_str())?;
        let value = values.next().unwrap_or_default();
        Some((name.to_owned(), value.to_string_lossy().into_owned()))
    };
    command.get_arguments().filter_map(flag).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_may_be_relative() {
        assert_eq!(time_ms("1435781451.781"), Ok(1_435_781_451_781));
        assert_eq!(time_ms("2015-07-01T20:10:51.781Z"), Ok(1_435_781_451_781));
        let an_hour_ago = now_ms() - 3_600_000;
        assert!((an_hour_ago..an_hour_ago + 5_000).contains(&time_ms("-1h").unwrap_or(0)));
        assert!(time_ms("yesterday").is_err());
    }

    #[test]
    fn a_step_is_above_zero() {
        assert_eq!(step_ms("15"), Ok(15_000));
        assert_eq!(step_ms("1m30s"), Ok(90_000));
        assert!(step_ms("0").is_err());
    }
}
