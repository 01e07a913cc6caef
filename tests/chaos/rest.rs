//! What hosts say over REST, asked without a word of the host's own code.

use std::time::Duration;

use serde_json::Value;

use super::history::{Attempt, Definition, LedgerItem, Micros, Run};

/// A frozen host does not answer.
const TIMEOUT: Duration = Duration::from_secs(5);

/// Asks one host after the other.
pub struct Client(ureq::Agent);

impl Client {
    pub fn new() -> Self {
        let config = ureq::Agent::config_builder()
            .http_status_as_error(false)
            .timeout_global(Some(TIMEOUT))
            .max_idle_connections(0)
            .build();
        Self(config.into())
    }

    /// Answers status and body; `None` when there is no answer.
    pub fn send(&self, method: &str, url: &str, body: Option<&Value>) -> Option<(u16, Value)> {
        let request = ureq::http::Request::builder().method(method).uri(url);
        let answer = match body {
            Some(body) => {
                let request = request.header("content-type", "application/json");
                self.0.run(request.body(body.to_string()).unwrap())
            }
            None => self.0.run(request.body(()).unwrap()),
        };
        let mut answer = answer.ok()?;
        let text = answer.body_mut().read_to_string().ok()?;
        let body = serde_json::from_str(&text).unwrap_or(Value::String(text));
        Some((answer.status().as_u16(), body))
    }

    /// Whether a host does its work.
    pub fn is_ready(&self, host: &str) -> bool {
        self.send("GET", &format!("{host}/readyz"), None).is_some_and(|(status, _)| status == 200)
    }

    /// Every item of a list; `None` when the host does not answer for one page.
    pub fn list(&self, host: &str, path: &str) -> Option<Vec<Value>> {
        let mut items = Vec::new();
        let mut cursor = String::new();
        loop {
            let join = if path.contains('?') { '&' } else { '?' };
            let url = format!("{host}{path}{join}limit=1000{cursor}");
            let (status, mut page) = self.send("GET", &url, None)?;
            if status != 200 {
                return None;
            }
            items.append(page["items"].as_array_mut()?);
            match page["next_cursor"].as_str() {
                Some(next) => cursor = format!("&cursor={next}"),
                None => return Some(items),
            }
        }
    }
}

/// Reads a time as JSON has it.
pub fn time(value: &Value) -> Micros {
    let text = value.as_str().unwrap();
    chrono::DateTime::parse_from_rfc3339(text).unwrap().timestamp_micros()
}

fn instant(value: &Value) -> Option<Micros> {
    value.is_string().then(|| time(value))
}

fn text(value: &Value) -> Option<String> {
    value.as_str().map(str::to_owned)
}

/// A run of `/v1/runs`.
pub fn run(value: &Value) -> Run {
    let attempts = value["attempts"].as_array().unwrap().iter().map(|attempt| Attempt {
        attempt: u32::try_from(attempt["attempt"].as_u64().unwrap()).unwrap(),
        fence: attempt["fence"].as_u64().unwrap(),
        host: text(&attempt["host"]),
        outcome: text(&attempt["outcome"]),
        finished_at: instant(&attempt["finished_at"]),
    });
    Run {
        id: text(&value["id"]).unwrap(),
        job: text(&value["job"]).unwrap(),
        cause: text(&value["cause"]).unwrap(),
        fire_time: time(&value["fire_time"]),
        state: text(&value["state"]).unwrap(),
        verdict: text(&value["verdict"]),
        outcome: text(&value["outcome"]),
        error: text(&value["error"]["message"]),
        covers: value["covers"].as_u64().unwrap(),
        finished_at: instant(&value["finished_at"]),
        attempts: attempts.collect(),
    }
}

/// A verdict of `/v1/jobs/{job}/ledger`.
pub fn ledger_item(job: &str, value: &Value) -> LedgerItem {
    LedgerItem {
        job: job.to_owned(),
        verdict: text(&value["verdict"]).unwrap(),
        reason: text(&value["reason"]).unwrap(),
        first: time(&value["first"]),
        last: time(&value["last"]),
        count: value["count"].as_u64().unwrap(),
        into: text(&value["into"]),
        run: text(&value["run"]),
    }
}

/// The marks of a job that was put by [`super::workload::marked`].
pub fn definition(value: &Value) -> Option<Definition> {
    let definition = &value["definition"];
    let marks = [&definition["args"]["mark"], &definition["config"]["mark"]];
    let number = |mark: &Value| mark.as_u64().or_else(|| mark.as_str()?.parse().ok());
    let marks: Vec<u64> = marks.iter().filter_map(|mark| number(mark)).collect();
    (!marks.is_empty()).then(|| Definition { job: text(&value["id"]).unwrap(), marks })
}
