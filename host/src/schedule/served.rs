//! Which plugins are served in which queue: by this host, and by the others of its fleet (rule A21).
//!
//! A run needs a host that takes runs from its queue and holds its plugin. On a store that one
//! process alone schedules on, that process is all there is: what it holds is served, whatever the
//! queue. On a shared store a host counts the plugins that it holds itself as they are now, and those
//! of the others as they said last.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use crate::job::PluginKey;
use crate::job::names::QueueName;
use crate::record::{HostRecord, Role};
use crate::run::Run;
use crate::run::id::SessionId;

/// What the other hosts of a fleet serve, at one instant.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Others {
    by_queue: BTreeMap<QueueName, BTreeSet<PluginKey>>,
}

impl Others {
    /// What the open sessions but `own` serve: those whose hosts take runs.
    pub fn of(hosts: &[HostRecord], own: Option<SessionId>) -> Self {
        let mut by_queue: BTreeMap<QueueName, BTreeSet<PluginKey>> = BTreeMap::new();
        for host in hosts {
            if Some(host.session.id) == own || !host.info.roles.contains(&Role::Executor) {
                continue;
            }
            // A name that this host can't read is none that its jobs could need.
            let plugins: BTreeSet<_> =
                host.info.plugins.keys().filter_map(|name| plugin(name)).collect();
            for queue in &host.info.queues {
                by_queue.entry(queue.clone()).or_default().extend(plugins.iter().cloned());
            }
        }
        Self { by_queue }
    }

    /// Whether one of them takes runs of `plugin` from `queue`.
    pub fn serve(&self, queue: &QueueName, plugin: &PluginKey) -> bool {
        self.by_queue.get(queue).is_some_and(|plugins| plugins.contains(plugin))
    }
}

/// `tenant/plugin` as a name.
fn plugin(name: &str) -> Option<PluginKey> {
    let (tenant, plugin) = name.split_once('/')?;
    Some(PluginKey { tenant: tenant.parse().ok()?, plugin: plugin.parse().ok()? })
}

/// What is served, at one instant.
#[derive(Clone, Debug)]
pub struct Served {
    here: Arc<BTreeSet<PluginKey>>,
    fleet: Option<(Arc<BTreeSet<QueueName>>, Arc<Others>)>,
}

impl Served {
    /// By a host that holds these plugins and is alone.
    pub fn alone(here: Arc<BTreeSet<PluginKey>>) -> Self {
        Self { here, fleet: None }
    }

    /// By a host that holds these plugins and takes runs from these queues, none when it is no
    /// executor, and by others.
    pub fn among(
        here: Arc<BTreeSet<PluginKey>>,
        queues: Arc<BTreeSet<QueueName>>,
        others: Arc<Others>,
    ) -> Self {
        Self { here, fleet: Some((queues, others)) }
    }

    /// Whether somebody takes runs of `plugin` from `queue`.
    pub fn serves(&self, queue: &QueueName, plugin: &PluginKey) -> bool {
        let here = self.here.contains(plugin);
        match &self.fleet {
            None => here,
            Some((queues, others)) => {
                (here && queues.contains(queue)) || others.serve(queue, plugin)
            }
        }
    }

    /// Whether this host holds `plugin` itself.
    pub fn holds(&self, plugin: &PluginKey) -> bool {
        self.here.contains(plugin)
    }
}

/// The hosts that a run needs: those that take runs from this queue and hold this plugin.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Class {
    /// The queue.
    pub queue: QueueName,
    /// The plugin.
    pub plugin: PluginKey,
}

impl Class {
    /// What a run needs.
    pub fn of(run: &Run) -> Self {
        Self { queue: run.queue.clone(), plugin: run.plugin_key() }
    }
}

/// The classes that runs wait for and nobody serves, as one host has seen them.
#[derive(Debug)]
pub struct Unserved {
    patience: Duration,
    since: BTreeMap<Class, Duration>,
}

/// What has changed between two looks.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct ClassNews {
    /// Nobody serves these any more, and runs wait.
    pub lost: Vec<Class>,
    /// No run waits for these any more.
    pub found: Vec<Class>,
}

impl Unserved {
    /// One that has seen nothing, and is sure of what it has seen for as long as `patience`.
    pub fn new(patience: Duration) -> Self {
        Self { patience, since: BTreeMap::new() }
    }

    /// Takes in what runs wait for in vain at `now`, time since the machine's start.
    pub fn look<'a>(
        &mut self,
        waited_for: impl Iterator<Item = &'a Class>,
        now: Duration,
    ) -> ClassNews {
        let before = std::mem::take(&mut self.since);
        self.since = waited_for
            .map(|class| (class.clone(), before.get(class).copied().unwrap_or(now)))
            .collect();
        let lost = self.since.keys().filter(|class| !before.contains_key(class));
        let found = before.keys().filter(|class| !self.since.contains_key(class));
        ClassNews { lost: lost.cloned().collect(), found: found.cloned().collect() }
    }

    /// Whether nobody has served it for so long that it can't be because hosts have just started.
    pub fn is_sure(&self, class: &Class, now: Duration) -> bool {
        let since = self.since.get(class);
        since.is_some_and(|since| self.patience <= now.saturating_sub(*since))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::{HostInfo, Session};
    use crate::time::Timestamp;

    fn key(name: &str) -> PluginKey {
        plugin(&format!("default/{name}")).unwrap()
    }

    fn queues(names: &[&str]) -> BTreeSet<QueueName> {
        names.iter().map(|name| name.parse().unwrap()).collect()
    }

    fn host(id: u128, roles: &[Role], queue: &str, plugins: &[&str]) -> HostRecord {
        let info = HostInfo {
            roles: roles.iter().copied().collect(),
            queues: queues(&[queue]),
            plugins: plugins.iter().map(|name| ((*name).to_owned(), String::new())).collect(),
            ..HostInfo::named("tower")
        };
        HostRecord {
            session: Session {
                id: SessionId::from_bits(id),
                host: info.host.clone(),
                generation: 1,
            },
            counter: 1,
            info,
            since: Timestamp::from_secs(0),
            beat_at: Timestamp::from_secs(0),
            clock_offset_us: 0,
        }
    }

    #[test]
    fn another_host_serves_the_plugins_that_it_holds_in_the_queues_that_it_takes_from() {
        let hosts = [
            host(1, &[Role::Executor], "default", &["default/own"]),
            host(2, &[Role::Executor], "gpu", &["default/a", "acme/b", "what is this"]),
            host(3, &[Role::Scheduler, Role::Api], "default", &["default/c"]),
        ];
        let others = Others::of(&hosts, Some(SessionId::from_bits(1)));
        for (queue, name, served) in [
            ("gpu", "a", true),
            ("default", "a", false),
            ("gpu", "b", false),
            ("default", "c", false),
            ("default", "own", false),
        ] {
            assert_eq!(others.serve(&queue.parse().unwrap(), &key(name)), served, "{queue} {name}");
        }
        assert!(others.serve(&"gpu".parse().unwrap(), &plugin("acme/b").unwrap()));
        let all = Others::of(&hosts, None);
        assert!(all.serve(&"default".parse().unwrap(), &key("own")));
    }

    #[test]
    fn the_own_plugins_count_in_the_own_queues_and_alone_in_all() {
        let here = Arc::new(BTreeSet::from([key("a")]));
        let (default, gpu) = ("default".parse().unwrap(), "gpu".parse().unwrap());
        let alone = Served::alone(Arc::clone(&here));
        assert!(alone.serves(&default, &key("a")) && alone.serves(&gpu, &key("a")));
        assert!(!alone.serves(&default, &key("b")));

        let others =
            Arc::new(Others::of(&[host(2, &[Role::Executor], "gpu", &["default/b"])], None));
        let among = |own: &[&str]| {
            Served::among(Arc::clone(&here), Arc::new(queues(own)), Arc::clone(&others))
        };
        let both = among(&["default"]);
        assert!(both.serves(&default, &key("a")) && both.serves(&gpu, &key("b")));
        assert!(!both.serves(&gpu, &key("a")) && !both.serves(&default, &key("b")));
        assert!(both.holds(&key("a")) && !both.holds(&key("b")));
        let plans_only = among(&[]);
        assert!(!plans_only.serves(&default, &key("a")), "it takes no runs");
        assert!(plans_only.serves(&gpu, &key("b")));
    }

    #[test]
    fn what_nobody_serves_is_told_once_and_believed_after_a_while() {
        let class = |name: &str| Class { queue: QueueName::default(), plugin: key(name) };
        let (a, b) = (class("a"), class("b"));
        let at = Duration::from_secs;
        let mut unserved = Unserved::new(Duration::from_secs(3));
        let news = |lost: &[&Class], found: &[&Class]| {
            let all = |classes: &[&Class]| classes.iter().copied().cloned().collect();
            ClassNews { lost: all(lost), found: all(found) }
        };
        assert_eq!(unserved.look([&a].into_iter(), at(0)), news(&[&a], &[]));
        assert_eq!(unserved.look([&a, &b].into_iter(), at(2)), news(&[&b], &[]));
        assert!(!unserved.is_sure(&a, at(2)) && unserved.is_sure(&a, at(3)));
        assert_eq!(unserved.look([&b].into_iter(), at(4)), news(&[], &[&a]));
        assert!(!unserved.is_sure(&a, at(9)) && !unserved.is_sure(&b, at(4)));
        assert_eq!(unserved.look([&a, &b].into_iter(), at(5)), news(&[&a], &[]));
        assert!(!unserved.is_sure(&a, at(5)) && unserved.is_sure(&b, at(5)));
        assert!(Unserved::new(Duration::ZERO).look([].into_iter(), at(0)) == news(&[], &[]));
    }
}
