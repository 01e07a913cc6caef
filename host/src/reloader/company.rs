//! What a reloader does because its store is shared: it keeps the other hosts in sight, and finds out
//! which of the plugins that it has no file of it needs.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use serde_json::Value;
use tracing::{debug, warn};

use super::Reloader;
use super::apply::all_schedules;
use crate::job::PluginKey;
use crate::job::names::QueueName;
use crate::record::Schedule;
use crate::store::Result;
use crate::store::error::StoreError;

/// How often the other hosts are looked at, at most, whatever happens in the folder of plugins.
const EVERY: Duration = Duration::from_secs(1);
/// How often jobs are looked through for plugins that they need and this host lacks.
const NEEDS_EVERY: Duration = Duration::from_secs(2);
/// Jobs up to which that is done each time; of more it is done less often.
const EASY_TO_READ: usize = 5_000;
/// How often it is done then.
const NEEDS_RARELY: Duration = Duration::from_secs(60);

/// What a reloader remembers of what it needs.
#[derive(Default)]
pub(super) struct Exchange {
    /// Those that jobs name which this host declares, and that it lacks.
    pub(super) lacking: BTreeSet<PluginKey>,
    /// When the other hosts were looked at last.
    done: Option<Instant>,
    /// When jobs were looked through last, and how many there were.
    looked: Option<(Instant, usize)>,
    /// Those that jobs were seen to need.
    needed: BTreeSet<PluginKey>,
}

impl Reloader {
    /// Looks at the other hosts, now and then.
    pub(super) async fn keep_company(&mut self) {
        let Some(fleet) = &mut self.fleet else { return };
        if self.exchange.done.is_some_and(|done| done.elapsed() < EVERY) {
            return;
        }
        self.exchange.done = Some(Instant::now());
        match fleet.look().await {
            Ok(_) => self.behind |= fleet.has_settled(),
            Err(error) => failed(&error, "the other hosts are out of sight"),
        }
    }

    /// Which of `others`, plugins of other hosts, this host needs.
    ///
    /// # Errors
    ///
    /// The store failed.
    pub(super) async fn needed(
        &mut self,
        others: &BTreeSet<PluginKey>,
    ) -> Result<BTreeSet<PluginKey>> {
        // One that came from the store was needed before.
        let is_held = |key: &&PluginKey| self.catalog.borrow().get(key).is_some();
        let mut needed: BTreeSet<PluginKey> = others.iter().filter(is_held).cloned().collect();
        if needed.len() == others.len() {
            return Ok(needed);
        }
        let pause = match self.exchange.looked {
            Some((_, jobs)) if EASY_TO_READ < jobs => NEEDS_RARELY,
            Some(_) | None => NEEDS_EVERY,
        };
        if self.exchange.looked.is_none_or(|(at, _)| pause <= at.elapsed()) {
            let jobs = all_schedules(self.store.as_ref()).await?;
            self.exchange.looked = Some((Instant::now(), jobs.len()));
            self.exchange.needed = needs(&jobs, &self.config.served());
        }
        let wanted = self.exchange.lacking.union(&self.exchange.needed);
        needed.extend(wanted.filter(|key| others.contains(key)).cloned());
        Ok(needed)
    }
}

/// Tells of a store that refuses; of one that is away others tell.
pub(super) fn failed(error: &StoreError, so: &str) {
    match error {
        StoreError::Unavailable(_) | StoreError::Unknown(_) => debug!(%error, "{so}"),
        _ => warn!(%error, "{so}"),
    }
}

/// The plugins that jobs of these queues need.
fn needs(jobs: &[Schedule], queues: &BTreeSet<QueueName>) -> BTreeSet<PluginKey> {
    let scheduled = jobs.iter().filter(|schedule| schedule.parked.is_none());
    let need = scheduled.filter_map(|schedule| {
        let effective = schedule.def.effective.get();
        let text = |key: &str| effective.get(key).and_then(Value::as_str);
        let queue: QueueName = text("queue")?.parse().ok()?;
        let plugin = text("plugin")?.parse().ok()?;
        let key = PluginKey { tenant: schedule.key.tenant.clone(), plugin };
        queues.contains(&queue).then_some(key)
    });
    need.collect()
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::job::names::TenantId;
    use crate::record::step::NewSchedule;
    use crate::schedule::reconcile::{Step, reconcile};
    use crate::store::Store as _;
    use crate::store::embedded::EmbeddedStore;
    use crate::time::Timestamp;

    fn key(name: &str) -> PluginKey {
        PluginKey { tenant: TenantId::default_tenant(), plugin: name.parse().unwrap() }
    }

    fn schedules(text: &str) -> Vec<NewSchedule> {
        let here = Path::new("/");
        let config = crate::config::Config::parse(text, &here.join("host.toml"), here, 1).unwrap();
        let jobs = crate::config::definitions::definitions(&config, &[], &[]).jobs;
        let all = reconcile(&jobs, &[], &BTreeSet::new(), None, Timestamp::from_secs(0));
        let created = all.steps.into_iter().map(|step| match step {
            Step::Create(schedule) => schedule,
            other => panic!("{other:?}"),
        });
        created.collect()
    }

    #[tokio::test]
    async fn jobs_need_plugins_in_the_queues_that_a_host_takes_from() {
        let store = EmbeddedStore::memory();
        let text = "[jobs.a]\nplugin = 'one'\n[jobs.b]\nplugin = 'two'\nqueue = 'gpu'\n\
                    [jobs.c]\nplugin = 'three'\n";
        for mut schedule in schedules(text) {
            if schedule.key.job.as_str() == "c" {
                schedule.parked = Some("undeclared".to_owned());
            }
            let now = Timestamp::from_secs(0);
            store.put(schedule, crate::record::step::Conflict::Fail, now).await.unwrap();
        }
        let jobs = all_schedules(&store).await.unwrap();
        let queue = |name: &str| BTreeSet::from([name.parse::<QueueName>().unwrap()]);
        assert_eq!(needs(&jobs, &queue("default")), BTreeSet::from([key("one")]));
        assert_eq!(needs(&jobs, &queue("gpu")), BTreeSet::from([key("two")]));
        assert_eq!(needs(&jobs, &BTreeSet::new()), BTreeSet::new());
    }
}
