//! Where live runs wait: for a host, for a time, or for a slot of their own job.
//!
//! Knows ids and ranks, not runs: [`Core`](super::Core) says when a run goes where.

use std::cmp::Reverse;
use std::collections::{BTreeSet, BinaryHeap, HashMap};
use std::ops::Bound;

use crate::job::PluginKey;
use crate::job::names::{PluginName, QueueName, TenantId};
use crate::record::step::Acquire;
use crate::run::id::{RunId, Uid};
use crate::run::{Run, RunKey};
use crate::time::Timestamp;

/// The place of a run in its queue; the least goes first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Rank {
    /// 9 less the priority.
    urgency: u8,
    fire_time: Timestamp,
    id: RunId,
}

impl Rank {
    pub(super) fn of(run: &Run) -> Self {
        Self { urgency: 9_u8.saturating_sub(run.priority), fire_time: run.fire_time, id: run.id }
    }
}

/// The place of a run in its job's backlog: first made, first out.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Turn {
    queued_at: Timestamp,
    fire_time: Timestamp,
    id: RunId,
}

impl Turn {
    fn of(run: &Run) -> Self {
        Self { queued_at: run.queued_at, fire_time: run.fire_time, id: run.id }
    }
}

/// Which hosts can take a run: those that serve its queue and hold its tenant's plugin.
type Class = (QueueName, PluginName);

/// Ready runs of one tenant in the order in which they begin.
#[derive(Debug, Default)]
pub(super) struct Line {
    classes: Vec<Class>,
    /// The next of each class.
    heads: BinaryHeap<Reverse<(Rank, usize)>>,
}

/// The runs of one creation of a job.
#[derive(Debug, Default)]
struct Slots {
    /// Those that count as instances: a set, never a counter, so that it can't drift.
    taken: BTreeSet<RunId>,
    /// Those that wait until fewer do.
    backlog: BTreeSet<Turn>,
}

/// Where live runs wait.
#[derive(Debug, Default)]
pub(super) struct Queues {
    /// By tenant, and by queue and plugin, runs that may start now. No set is empty.
    ready: HashMap<TenantId, HashMap<Class, BTreeSet<Rank>>>,
    /// Runs that may not start before a time.
    later: BTreeSet<(Timestamp, RunKey)>,
    slots: HashMap<Uid, Slots>,
}

impl Queues {
    pub(super) fn push_ready(&mut self, run: &Run) {
        let of_tenant = self.ready.entry(run.tenant.clone()).or_default();
        of_tenant.entry(class_of(run)).or_default().insert(Rank::of(run));
    }

    /// Answers whether none of its tenant is ready now.
    pub(super) fn remove_ready(&mut self, run: &Run) -> bool {
        let class = class_of(run);
        let Some(of_tenant) = self.ready.get_mut(&run.tenant) else { return true };
        if let Some(queue) = of_tenant.get_mut(&class) {
            queue.remove(&Rank::of(run));
            if queue.is_empty() {
                of_tenant.remove(&class);
            }
        }
        let is_empty = of_tenant.is_empty();
        if is_empty {
            self.ready.remove(&run.tenant);
        }
        is_empty
    }

    /// The ready runs of a tenant that a host wants, before the first of them; without those of queues
    /// that are full.
    pub(super) fn line(
        &self,
        tenant: &TenantId,
        want: &Acquire,
        is_full: impl Fn(&QueueName) -> bool,
    ) -> Line {
        let mut line = Line::default();
        for ((queue, plugin), ranks) in self.ready.get(tenant).into_iter().flatten() {
            let key = PluginKey { tenant: tenant.clone(), plugin: plugin.clone() };
            if want.queues.contains(queue) && want.classes.contains(&key) && !is_full(queue) {
                line.heads.extend(ranks.first().map(|rank| Reverse((*rank, line.classes.len()))));
                line.classes.push((queue.clone(), plugin.clone()));
            }
        }
        line
    }

    /// The next run of `line`. It stays where it is.
    pub(super) fn next_of(&self, tenant: &TenantId, line: &mut Line) -> Option<RunId> {
        let Reverse((rank, index)) = line.heads.pop()?;
        let ranks = self.ready.get(tenant).and_then(|all| all.get(line.classes.get(index)?));
        let after = (Bound::Excluded(rank), Bound::Unbounded);
        let next = ranks.and_then(|ranks| ranks.range(after).next());
        line.heads.extend(next.map(|next| Reverse((*next, index))));
        Some(rank.id)
    }

    pub(super) fn push_later(&mut self, not_before: Timestamp, run: RunKey) {
        self.later.insert((not_before, run));
    }

    pub(super) fn remove_later(&mut self, not_before: Timestamp, run: RunKey) {
        self.later.remove(&(not_before, run));
    }

    /// When the first of those comes that wait for a time.
    pub(super) fn next_later(&self) -> Option<Timestamp> {
        self.later.first().map(|(not_before, _)| *not_before)
    }

    /// Takes out one run whose time has come.
    pub(super) fn pop_later(&mut self, now: Timestamp) -> Option<RunKey> {
        let (not_before, _) = self.later.first()?;
        if now < *not_before {
            return None;
        }
        self.later.pop_first().map(|(_, run)| run)
    }

    /// How many runs count as instances of this creation of a job.
    pub(super) fn taken(&self, uid: Uid) -> usize {
        self.slots.get(&uid).map_or(0, |slots| slots.taken.len())
    }

    /// How many runs wait for one of those to end.
    pub(super) fn waiting(&self, uid: Uid) -> usize {
        self.slots.get(&uid).map_or(0, |slots| slots.backlog.len())
    }

    /// Those that count as instances and those that wait, in no order.
    pub(super) fn all(&self, uid: Uid) -> impl Iterator<Item = RunId> + '_ {
        self.slots.get(&uid).into_iter().flat_map(|slots| {
            slots.taken.iter().copied().chain(slots.backlog.iter().map(|turn| turn.id))
        })
    }

    pub(super) fn has_slot(&self, run: &Run) -> bool {
        self.slots.get(&run.uid).is_some_and(|slots| slots.taken.contains(&run.id))
    }

    pub(super) fn take_slot(&mut self, run: &Run) {
        self.slots.entry(run.uid).or_default().taken.insert(run.id);
    }

    pub(super) fn push_backlog(&mut self, run: &Run) {
        self.slots.entry(run.uid).or_default().backlog.insert(Turn::of(run));
    }

    /// Takes the first run out of the backlog when fewer than `limit` slots are taken.
    pub(super) fn pop_backlog(&mut self, uid: Uid, limit: usize) -> Option<RunId> {
        let slots = self.slots.get_mut(&uid)?;
        if limit <= slots.taken.len() {
            return None;
        }
        slots.backlog.pop_first().map(|turn| turn.id)
    }

    /// Gives back the run's slot, or its place in the backlog.
    pub(super) fn leave_job(&mut self, run: &Run) {
        if let Some(slots) = self.slots.get_mut(&run.uid) {
            slots.taken.remove(&run.id);
            slots.backlog.remove(&Turn::of(run));
            if slots.taken.is_empty() && slots.backlog.is_empty() {
                self.slots.remove(&run.uid);
            }
        }
    }
}

fn class_of(run: &Run) -> Class {
    (run.queue.clone(), run.plugin.clone())
}
