//! Whether anybody takes a job's runs, as far as one file tells.

use super::Lint;
use crate::config::Config;
use crate::config::store::StoreAddress;
use crate::job::Job;
use crate::record::Role;

/// What is odd about the queue of `job`. Of a host that is no executor nothing is said when others
/// may share its store: they take the runs.
pub(super) fn lint(job: &Job, config: &Config) -> Option<Lint> {
    let alone = !matches!(config.store, StoreAddress::Redis(_));
    let queue = &job.queue;
    let message = match config.roles.contains(&Role::Executor) {
        true if config.executor.queues.contains(queue) => return None,
        true => format!(
            "no host of this file takes runs from `{queue}`; add it to `executor.queues`, {}",
            if alone { "or leave it out here" } else { "here or on a host that shares the store" }
        ),
        false if alone => "no run will start: `roles` has no `executor`, and no other host can \
                           share this store"
            .to_owned(),
        false => return None,
    };
    Some(Lint::of(&job.key, "queue", message))
}
