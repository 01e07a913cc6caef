//! Jobs in any number: one is read from a file's text, the others are copies under other names.

use std::path::Path;
use std::time::Duration;

use campanile::config::Config;
use campanile::config::definitions::definitions;
use campanile::job::names::TenantId;
use campanile::job::{JobKey, Source};
use campanile::record::step::{Conflict, NewSchedule};
use campanile::schedule::reconcile::{Step, reconcile};
use campanile::store::Store;
use campanile::time::Timestamp;

/// The jobs of the no-op guest that `keys` define in TOML (`trigger = "every 1s"`), one for each
/// name, as a host registers them at `now`.
pub fn read(names: &[String], keys: &str, now: Timestamp) -> Vec<NewSchedule> {
    let text: String =
        names.iter().map(|name| format!("[jobs.{name}]\nplugin = \"noop\"\n{keys}\n")).collect();
    let here = Path::new("/");
    let config = Config::parse(&text, &here.join("bench.toml"), here, 0).expect("definitions");
    let declared = definitions(&config, &[], &[]);
    let steps = reconcile(&declared.jobs, &[], &declared.broken, None, now).steps;
    let created = steps.into_iter().filter_map(|step| match step {
        Step::Create(schedule) => Some(schedule),
        Step::Replace(_) | Step::Park { .. } | Step::Leave { .. } => None,
    });
    created.collect()
}

/// The one job that `keys` define, to be copied. It is as if made over REST: a host that looks at its
/// files again parks what none of them declares.
pub fn pattern(keys: &str, now: Timestamp) -> NewSchedule {
    let pattern = read(&["pattern".to_owned()], keys, now).pop().expect("one job");
    NewSchedule { source: Source::Api, ..pattern }
}

/// A copy under the name of its number, all of whose times are `later`.
pub fn copy(pattern: &NewSchedule, number: usize, later: Duration) -> NewSchedule {
    copy_of(pattern, TenantId::default_tenant(), number, later)
}

/// The same of another tenant.
pub fn copy_of(
    pattern: &NewSchedule,
    tenant: TenantId,
    number: usize,
    later: Duration,
) -> NewSchedule {
    let mut copy = pattern.clone();
    copy.key = key_of(tenant, number);
    copy.cursor = copy.cursor.map(|cursor| cursor.after(later));
    copy.due_at = copy.cursor;
    copy.trigger_state.anchor = copy.trigger_state.anchor.after(later);
    copy
}

/// The name of the copy of this number.
pub fn key_of(tenant: TenantId, number: usize) -> JobKey {
    let job = format!("job-{number}").parse().expect("a name");
    JobKey { tenant, job }
}

/// The tenant of this number; the first is the one that needs no naming.
pub fn tenant(number: usize) -> TenantId {
    match number {
        0 => TenantId::default_tenant(),
        number => format!("tenant-{number}").parse().expect("a name"),
    }
}

/// Registers jobs.
pub async fn put(store: &dyn Store, schedules: impl Iterator<Item = NewSchedule>, now: Timestamp) {
    for schedule in schedules {
        store.put(schedule, Conflict::Fail, now).await.expect("a schedule");
    }
}
