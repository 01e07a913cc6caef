//! The `[jobs.ID]` tables of a file: their names and each job in full.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use crate::job::JobKey;
use crate::job::limits::Caps;
use crate::job::merge::{Layer, merge};
use crate::job::names::{JobId, PluginName, TenantId};
use crate::job::parse::{self, Place};
use crate::problem::{Problem, join};
use crate::table::value::shown;
use crate::table::{Entries, Table};

/// Jobs of one file at most.
pub const MAX_JOBS: usize = 100_000;

/// What lies below the jobs of a file, and what holds them in.
#[derive(Clone, Copy)]
pub struct Below<'a> {
    /// Checked.
    pub job_defaults: &'a Entries,
    /// Those of the tenant. Checked.
    pub tenant_defaults: &'a Entries,
    /// The most that any of them gets: the tenant's, then the host's.
    pub caps: [&'a Caps; 2],
    /// What their folders and wall times mean.
    pub place: Place<'a>,
}

/// Reads `jobs` of `top`. Jobs beside a plugin are jobs of that plugin and need not say so.
pub fn jobs(
    top: &mut Table<'_>,
    layer: Layer,
    beside: Option<&PluginName>,
    below: Below<'_>,
) -> BTreeMap<JobId, Entries> {
    let mut jobs = BTreeMap::new();
    let at = top.path_of("jobs");
    let written = match top.raw("jobs") {
        None => return jobs,
        Some(Value::Object(written)) => written,
        Some(other) => {
            let message = format!("must be tables `[{at}.ID]`, not {}", shown(other));
            top.problem("jobs", message);
            return jobs;
        }
    };
    if written.len() > MAX_JOBS {
        top.problem("jobs", format!("{} jobs are more than {MAX_JOBS}", written.len()));
        return jobs;
    }
    for (id, value) in written {
        let path = join(&at, id);
        match job(id, value, layer, beside, &path, below) {
            Ok((id, entries)) => {
                jobs.insert(id, entries);
            }
            Err(problems) => top.absorb(problems),
        }
    }
    jobs
}

/// Checks one job: as written, then together with what lies below.
fn job(
    id: &str,
    value: &Value,
    layer: Layer,
    beside: Option<&PluginName>,
    path: &str,
    below: Below<'_>,
) -> Result<(JobId, Entries), Vec<Problem>> {
    let Value::Object(written) = value else {
        let message = format!("must be a table of a job's keys, not {}", shown(value));
        return Err(vec![Problem::new(path, message)]);
    };
    let mut problems = Vec::new();
    let id: Option<JobId> = match id.parse() {
        Ok(id) => Some(id),
        Err(error) => {
            problems.push(Problem::new(path, format!("{error}")));
            None
        }
    };
    let mut entries = written.clone();
    if let Some(plugin) = beside {
        match written.get("plugin") {
            None => {
                entries.insert("plugin".to_owned(), json!(plugin));
            }
            Some(named) if named == plugin.as_str() => (),
            Some(_) => problems.push(Problem::new(
                join(path, "plugin"),
                format!(
                    "a sidecar defines jobs of its own plugin only: leave it out, or `{plugin}`"
                ),
            )),
        }
    }
    if !entries.contains_key("plugin") {
        problems.push(Problem::new(path, parse::NO_PLUGIN));
    }
    problems.extend(parse::check(&entries, layer, path, below.place));
    let Some(id) = id.filter(|_| problems.is_empty()) else {
        return Err(problems);
    };
    let mut merged = merge(&[
        (Layer::JobDefaults, below.job_defaults),
        (Layer::TenantDefaults, below.tenant_defaults),
        (layer, &entries),
    ]);
    below.caps.into_iter().for_each(|caps| merged.clamp(caps));
    let key = JobKey { tenant: TenantId::default_tenant(), job: id.clone() };
    parse::job(key, &merged.entries, path, below.place)?;
    Ok((id, entries))
}
