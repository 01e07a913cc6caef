//! `GET /metrics`: what the host counts, for Prometheus.

use std::time::Duration;

use axum::extract::State;
use axum::response::{IntoResponse, Response};
use http::header;

use super::access::Caller;
use super::error::{ApiError, Kind};
use super::{App, Context};
use crate::job::names::TenantId;
use crate::metrics::{CONTENT_TYPE, Snapshot};

/// The last line.
const END: &str = "# EOF";
/// A store that says nothing for so long does not answer.
const STORE_ANSWER: Duration = Duration::from_secs(2);

/// All of it as text. A store that does not answer is told as such, and the rest all the same.
pub async fn show(State(app): State<App>, caller: Caller) -> Result<Response, ApiError> {
    let context = &app.context;
    let waiting = tokio::time::timeout(STORE_ANSWER, waiting(context)).await.unwrap_or_else(|_| {
        context.metrics.store_answers(false);
        None
    });
    let snapshot = Snapshot {
        now: context.clock.now(),
        running: context.status.running(),
        waiting,
        unserved: context.status.unserved(),
        ledger_alarms: context.status.faults() as u64,
        passes: context.status.passes(),
        config_refused: context.status.config_refused().is_some(),
    };
    let text = context.metrics.text(&snapshot).map_err(|error| {
        ApiError::new(Kind::Broken, format!("the metrics can't be written: {error}"))
    })?;
    let text = match caller.principal.tenant() {
        Some(tenant) => of_tenant(&text, tenant),
        None => text,
    };
    Ok(([(header::CONTENT_TYPE, CONTENT_TYPE)], text).into_response())
}

/// The lines about one tenant, each below what says what it counts.
fn of_tenant(text: &str, tenant: &TenantId) -> String {
    // Within the value of another label quotes are escaped.
    let labels = [format!("{{tenant=\"{tenant}\""), format!(",tenant=\"{tenant}\"")];
    let (mut kept, mut heads) = (String::new(), Vec::new());
    for line in text.lines() {
        if line == END {
            heads = vec![END];
        } else if line.starts_with('#') {
            let is_next = |head: &&str| metric(head) != metric(line);
            if heads.first().is_some_and(is_next) {
                heads.clear();
            }
            heads.push(line);
            continue;
        } else if !labels.iter().any(|label| line.contains(label.as_str())) {
            continue;
        }
        heads.drain(..).chain((line != END).then_some(line)).for_each(|line| {
            kept.push_str(line);
            kept.push('\n');
        });
    }
    kept
}

/// Which metric a line that begins with `#` is about.
fn metric(head: &str) -> Option<&str> {
    head.split(' ').nth(2)
}

/// Runs of the store that are live and run on no host, as far as the hosts have said.
async fn waiting(context: &Context) -> Option<u64> {
    let health = context.store.health().await.ok()?;
    let elsewhere = match context.store.caps().shared {
        true => {
            let hosts = context.store.hosts().await.ok()?;
            let own = context.session.as_ref().map(|cell| cell.current().session.id);
            let others = hosts.iter().filter(|host| Some(host.session.id) != own);
            others.map(|host| host.info.running).sum()
        }
        false => 0,
    };
    Some(health.live_runs.saturating_sub(context.status.running()).saturating_sub(elsewhere))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tenant_sees_the_lines_that_carry_its_name_as_label() {
        let text = "# HELP a Of a.\n# TYPE a counter\na{tenant=\"acme\",job=\"x\"} 1\n\
                    a{job=\"y\",tenant=\"acme\"} 2\na{tenant=\"acme2\"} 3\n# HELP b Of b.\nb 4\n\
                    # HELP c Of c.\n# TYPE c gauge\nc{job=\"\\\",tenant=\\\"acme\\\"\"} 5\n# EOF\n";
        let expected = "# HELP a Of a.\n# TYPE a counter\na{tenant=\"acme\",job=\"x\"} 1\n\
                        a{job=\"y\",tenant=\"acme\"} 2\n# EOF\n";
        assert_eq!(of_tenant(text, &"acme".parse().unwrap()), expected);
        assert_eq!(of_tenant(text, &"other".parse().unwrap()), "# EOF\n");
    }
}
