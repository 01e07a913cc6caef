//! Many triggers at once: one line in, one line out, in order.

use std::fs::File;
use std::io::{self, BufRead, BufReader, BufWriter, Write};
use std::path::Path;

use chrono_tz::Tz;
use serde::Serialize;
use serde_json::Value;

use super::{fires, instant, read};
use crate::cli::exit::{Exit, Failure};
use crate::clock::{Clock, SystemClock};
use crate::time::Timestamp;

/// What is answered to one line.
#[derive(Debug, PartialEq, Serialize)]
#[serde(untagged)]
enum Answer {
    /// It is understood; no fires: it is exhausted.
    Fires { id: Value, fires: Vec<Timestamp> },
    /// It is not.
    Error { id: Value, error: String },
}

/// Answers every line of `file`, or of standard input for `-`.
///
/// # Errors
///
/// It can't be read, or the answers can't be written.
pub fn batch(file: &Path, zone: Tz, count: usize) -> Result<Exit, Failure> {
    let unreadable =
        |error: io::Error| Failure::usage(format!("can't read `{}`: {error}", file.display()));
    if file == Path::new("-") {
        answer_all(io::stdin().lock(), zone, count).map_err(unreadable)?
    } else {
        let lines = BufReader::new(File::open(file).map_err(unreadable)?);
        answer_all(lines, zone, count).map_err(unreadable)?
    }
    .map(|()| Exit::Done)
}

/// The outer result is about reading, the inner about writing.
fn answer_all(mut lines: impl BufRead, zone: Tz, count: usize) -> io::Result<Result<(), Failure>> {
    let mut out = BufWriter::new(io::stdout().lock());
    let mut line = Vec::new();
    loop {
        line.clear();
        if lines.read_until(b'\n', &mut line)? == 0 {
            return Ok(out.flush().map_err(|error| Failure::writing(&error)));
        }
        let answer = answer(&line, zone, SystemClock.now(), count);
        let written = serde_json::to_writer(&mut out, &answer)
            .map_err(io::Error::from)
            .and_then(|()| out.write_all(b"\n"));
        if let Err(error) = written {
            return Ok(Err(Failure::writing(&error)));
        }
    }
}

fn answer(line: &[u8], zone: Tz, now: Timestamp, count: usize) -> Answer {
    let line = match serde_json::from_slice(line) {
        Ok(Value::Object(line)) => line,
        Ok(_) => {
            let error = "the line is no JSON object: write {\"id\", \"trigger\", \"after\"}";
            return Answer::Error { id: Value::Null, error: error.to_owned() };
        }
        Err(error) => {
            let error = format!("the line is not JSON: {error}");
            return Answer::Error { id: Value::Null, error };
        }
    };
    let id = line.get("id").cloned().unwrap_or(Value::Null);
    let after = match line.get("after") {
        None | Some(Value::Null) => Ok(now),
        Some(Value::String(text)) => instant(text, zone),
        Some(other) => Err(format!("must be a time as text, not {other}")),
    };
    let after = after.map_err(|error| format!("after: {error}"));
    let trigger = match line.get("trigger") {
        Some(trigger) => read(trigger, zone),
        None => Err("trigger: is missing".to_owned()),
    };
    match (trigger, after) {
        (Ok(trigger), Ok(after)) => match fires(&trigger, after, count) {
            Ok(fires) => Answer::Fires { id, fires },
            Err(error) => Answer::Error { id, error },
        },
        (Err(error), Ok(_)) | (Ok(_), Err(error)) => Answer::Error { id, error },
        (Err(error), Err(other)) => Answer::Error { id, error: format!("{error}; {other}") },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answered(line: &str) -> String {
        let now = Timestamp::parse("2026-01-01T00:00:00Z").unwrap();
        serde_json::to_string(&answer(line.as_bytes(), Tz::UTC, now, 2)).unwrap()
    }

    #[test]
    fn every_line_is_answered() {
        for (line, expected) in [
            (
                r#"{"id":"a","trigger":{"type":"cron","hour":3},"after":"2026-06-01T04:00:00+01:00","x":1}"#,
                r#"{"id":"a","fires":["2026-06-01T03:00:00Z","2026-06-02T03:00:00Z"]}"#,
            ),
            (
                r#"{"id":7,"trigger":"every 1h"}"#,
                r#"{"id":7,"fires":["2026-01-01T01:00:00Z","2026-01-01T02:00:00Z"]}"#,
            ),
            (
                r#"{"id":"old","trigger":{"type":"interval","hours":1,"end_date":"2020-01-01 00:00:00"}}"#,
                r#"{"id":"old","fires":[]}"#,
            ),
        ] {
            assert_eq!(answered(line), expected);
        }
    }

    #[test]
    fn what_is_refused_is_answered_with_an_error() {
        for (line, id, part) in [
            (r#"{"id":"b","trigger":{"type":"cron","hour":25}}"#, r#""b""#, "trigger.hour"),
            (r#"{"id":"c"}"#, r#""c""#, "trigger: is missing"),
            (
                r#"{"id":"e","trigger":{"type":"and","triggers":["cron 0 * * * *","cron 30 * * * *"]}}"#,
                r#""e""#,
                "did not agree on a fire time",
            ),
            (r#"{"id":"d","trigger":"every 1h","after":5}"#, r#""d""#, "after: "),
            ("nonsense", "null", "not JSON"),
            ("", "null", "not JSON"),
            ("[1]", "null", "no JSON object"),
        ] {
            let answer = answered(line);
            assert!(answer.starts_with(&format!(r#"{{"id":{id},"error":""#)), "{answer}");
            assert!(answer.contains(part), "{answer}");
        }
    }
}
