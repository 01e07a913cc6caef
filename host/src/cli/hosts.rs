//! `host hosts`: who shares the store.

use clap::Args;

use super::args::{Common, Whom};
use super::exit::{Exit, Failure};
use super::reach;
use super::screen::{Channel, Tone, harmless, note, paint, print, print_json};
use super::table::{Cell, table};
use crate::api::view::List;
use crate::api::view::host::HostView;
use crate::job::names::QueueName;
use crate::record::Role;

/// Characters of a session's id that tell sessions apart in a list.
const SHORT_SESSION: usize = 16;

/// Which host to ask.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  host hosts
  host hosts --json | jq -r 'select(.beat_age_ms > 3000) | .host'

Each host renews its session with a beat; a session that stays silent is ended by the others, and
its runs are tried again. `*` marks the host that answers. CLOCK is how far a host's clock is ahead
of the store's.")]
pub struct Hosts {
    #[command(flatten)]
    whom: Whom,
}

/// Lists them.
///
/// # Errors
///
/// No host is running, or what it says.
pub fn hosts(args: &Hosts, common: &Common) -> Result<Exit, Failure> {
    let reached = reach::steering(common, &args.whom)?;
    let found: List<HostView> = reached.get("/v1/hosts", Vec::new())?;
    if common.json {
        found.items.iter().try_for_each(print_json)?;
        return Ok(Exit::Done);
    }
    let rows: Vec<_> = found.items.iter().map(row).collect();
    let heads =
        ["HOST", "SESSION", "BEAT", "CLOCK", "VERSION", "ROLES", "QUEUES", "PLUGINS", "RUNNING"];
    print(table(heads, &rows))?;
    for why in found.items.iter().filter_map(|host| host.config_refused.as_ref()) {
        let word = paint("warning:", Tone::Odd, Channel::Err);
        note(format!(
            "{word} {}\nan older configuration counts until that is put right",
            harmless(why)
        ));
    }
    Ok(Exit::Done)
}

fn row(host: &HostView) -> [Cell; 9] {
    let session = host.session.to_string();
    let name = format!("{}{}", host.host, if host.is_self { " *" } else { "" });
    let tone = if host.is_self { Tone::Good } else { Tone::Plain };
    let roles: Vec<&str> = host.roles.iter().copied().map(Role::word).collect();
    let queues: Vec<&str> = host.queues.iter().map(QueueName::as_str).collect();
    [
        Cell::new(name, tone),
        session.get(..SHORT_SESSION).unwrap_or(&session).into(),
        format!("{} ms ago", host.beat_age_ms).into(),
        format!("{:+} ms", host.clock_offset_ms).into(),
        host.version.clone().into(),
        roles.join(",").into(),
        Cell::or_dash(Some(queues.join(",")).filter(|queues| !queues.is_empty())),
        host.plugins.len().to_string().into(),
        host.running.to_string().into(),
    ]
}
