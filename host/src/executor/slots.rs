//! What runs at once on this host: slots, and a budget of memory limits, counted by tenant.
//!
//! Both are taken together when a run is admitted, so that none waits for memory with a slot in its
//! hand. Who may have what is left is judged by [`Room`].

use std::collections::BTreeMap;
use std::mem::take;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::{Notify, watch};

use crate::catalog::Catalog;
use crate::config::Config;
use crate::job::names::TenantId;
use crate::record::account::memory_within;
use crate::record::room::{Amount, Room};

/// The slots and the memory of one host. Cheap to clone; all clones share them.
#[derive(Clone)]
pub struct Slots(Arc<Shared>);

struct Shared {
    total: Amount,
    freed: Notify,
    state: Mutex<State>,
}

struct State {
    room: Room,
    /// Whether what is free and kept is to be counted anew from what is held.
    is_stale: bool,
    /// Whether somebody asks the store for runs with all that is free.
    is_offered: bool,
    /// Tenants that share the host.
    tenants: u64,
    rules: Option<Rules>,
}

/// What says how the host is shared; it may say otherwise at any time.
struct Rules {
    config: watch::Receiver<Arc<Config>>,
    catalog: watch::Receiver<Arc<Catalog>>,
}

/// One slot and the memory of one run, free again when it is dropped.
pub struct Slot {
    shared: Arc<Shared>,
    tenant: TenantId,
    memory: u64,
}

/// All that is free, while a store is asked for runs. What is not used is free again when it is
/// dropped, without waking whoever waits for it: the taker and the waiter are the same.
pub struct Offer {
    shared: Arc<Shared>,
    room: Room,
}

impl Slots {
    /// So many slots, and so many bytes that the limits of all runs together may reach, for one
    /// tenant.
    pub fn new(slots: usize, memory: u64) -> Self {
        let total = Amount { slots: slots as u64, memory };
        let state = State {
            room: Room::new(total, memory, 1, BTreeMap::new()),
            is_stale: false,
            is_offered: false,
            tenants: 1,
            rules: None,
        };
        Self(Arc::new(Shared { total, freed: Notify::new(), state: Mutex::new(state) }))
    }

    /// The same for the tenants that have a plugin in `catalog`, each within what `config` gives it.
    #[must_use]
    pub fn shared_by(
        self,
        config: watch::Receiver<Arc<Config>>,
        catalog: watch::Receiver<Arc<Catalog>>,
    ) -> Self {
        let mut rules = Rules { config, catalog };
        let mut state = self.0.lock();
        state.take_over(&mut rules);
        state.rules = Some(rules);
        drop(state);
        self
    }

    /// Takes room for up to `most` runs of a tenant, each with this memory limit, without waiting.
    pub fn admit(&self, tenant: &TenantId, memory: u64, most: usize) -> Vec<Slot> {
        let mut taken = Vec::new();
        if most == 0 {
            return taken;
        }
        let mut state = self.0.lock();
        if state.is_offered {
            return taken;
        }
        let memory = state.memory_of(tenant, memory);
        let room = state.room(self.0.total);
        while taken.len() < most && room.admits(tenant, memory) {
            room.take(tenant, memory);
            taken.push(Slot { shared: Arc::clone(&self.0), tenant: tenant.clone(), memory });
        }
        taken
    }

    /// Takes room for a run that this host has already, whatever is kept for others.
    pub fn adopt(&self, tenant: &TenantId, memory: u64) -> Option<Slot> {
        let mut state = self.0.lock();
        let memory = state.memory_of(tenant, memory);
        let free = state.room(self.0.total).free;
        let fits = !state.is_offered && 0 < free.slots && memory <= free.memory;
        fits.then(|| self.0.hold(&mut state, tenant, memory))
    }

    /// Offers all that is free; `None`: nothing is.
    pub fn offer(&self) -> Option<Offer> {
        let mut state = self.0.lock();
        let room = state.room(self.0.total);
        if room.free.slots == 0 || room.free.memory == 0 {
            return None;
        }
        let room = room.clone();
        state.is_offered = true;
        Some(Offer { shared: Arc::clone(&self.0), room })
    }

    /// Waits until a slot has become free since the last call.
    pub async fn freed(&self) {
        self.0.freed.notified().await;
    }

    /// What is taken.
    pub fn taken(&self) -> Amount {
        let (total, free) = (self.0.total, self.0.lock().room(self.0.total).free);
        Amount { slots: total.slots - free.slots, memory: total.memory - free.memory }
    }
}

impl Offer {
    /// What is offered.
    pub fn room(&self) -> &Room {
        &self.room
    }

    /// Takes room for a run that was claimed with what is offered: as much memory as there is.
    pub fn slot(&self, tenant: &TenantId, memory: u64) -> Slot {
        let mut state = self.shared.lock();
        let memory = state.memory_of(tenant, memory);
        let memory = memory.min(state.room(self.shared.total).free.memory);
        self.shared.hold(&mut state, tenant, memory)
    }
}

impl Drop for Offer {
    fn drop(&mut self) {
        self.shared.lock().is_offered = false;
    }
}

impl Slot {
    /// Gets the run the memory `wanted`, if it has less: an offer was cut down, or its record says nothing
    /// of memory. Answers the limit that it may have; `None`: there is not as much.
    pub fn grow(&mut self, wanted: u64) -> Option<u64> {
        let missing = wanted.saturating_sub(self.memory);
        if missing == 0 {
            return Some(wanted);
        }
        let mut state = self.shared.lock();
        let room = state.room(self.shared.total);
        let most = room.most_memory;
        // What is offered meanwhile is cut down if it comes to that.
        let more = missing.min(room.free.memory).min(most.saturating_sub(self.memory));
        if let Some(held) = room.held.get_mut(&self.tenant) {
            held.memory = held.memory.saturating_add(more);
            self.memory = self.memory.saturating_add(more);
        }
        state.is_stale = true;
        (wanted.min(most) <= self.memory).then(|| wanted.min(self.memory))
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        let mut state = self.shared.lock();
        if let Some(held) = state.room.held.get_mut(&self.tenant) {
            held.slots = held.slots.saturating_sub(1);
            held.memory = held.memory.saturating_sub(self.memory);
            if held.slots == 0 {
                state.room.held.remove(&self.tenant);
            }
        }
        state.is_stale = true;
        drop(state);
        self.shared.freed.notify_one();
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn hold(self: &Arc<Self>, state: &mut State, tenant: &TenantId, memory: u64) -> Slot {
        state.room.take(tenant, memory);
        Slot { shared: Arc::clone(self), tenant: tenant.clone(), memory }
    }
}

impl State {
    /// Sees what the rules say now.
    fn look(&mut self) {
        let Some(mut rules) = self.rules.take() else { return };
        // Of what has gone away there is nothing new.
        let is_new = rules.catalog.has_changed().unwrap_or(false)
            || rules.config.has_changed().unwrap_or(false);
        if is_new {
            self.take_over(&mut rules);
        }
        self.rules = Some(rules);
    }

    fn take_over(&mut self, rules: &mut Rules) {
        self.tenants = rules.catalog.borrow_and_update().tenants() as u64;
        self.room.most_memory = rules.config.borrow_and_update().executor.most_memory();
        self.is_stale = true;
    }

    /// The room as it is now.
    fn room(&mut self, total: Amount) -> &mut Room {
        self.look();
        if take(&mut self.is_stale) {
            let held = take(&mut self.room.held);
            self.room = Room::new(total, self.room.most_memory, self.tenants, held);
        }
        &mut self.room
    }

    /// What a run with this memory limit gets here.
    fn memory_of(&mut self, tenant: &TenantId, memory: u64) -> u64 {
        self.look();
        let memory = memory.min(self.room.most_memory);
        match &self.rules {
            Some(rules) => memory_within(&rules.config.borrow().allotment(tenant), memory),
            None => memory,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::job::PluginKey;

    fn tenant(name: &str) -> TenantId {
        name.parse().unwrap()
    }

    fn amount(slots: u64, memory: u64) -> Amount {
        Amount { slots, memory }
    }

    /// Slots of a host with a plugin of each of these tenants.
    fn shared(slots: usize, memory: u64, tenants: &[&str], config: &str) -> Slots {
        let folder = std::path::Path::new("/srv");
        let config = Config::parse(config, std::path::Path::new("host.toml"), folder, 1).unwrap();
        let plugin = |name: &&str| PluginKey { tenant: tenant(name), plugin: "p".parse().unwrap() };
        let catalog = Catalog::of_classes(tenants.iter().map(plugin));
        // A receiver keeps what was sent last, whoever sent it.
        let config = watch::channel(Arc::new(config)).1;
        Slots::new(slots, memory).shared_by(config, watch::channel(Arc::new(catalog)).1)
    }

    #[test]
    fn a_slot_and_its_memory_are_free_again_when_it_is_dropped_however_that_comes() {
        let slots = Slots::new(2, 100);
        let taken = slots.admit(&tenant("a"), 40, 5);
        assert_eq!((taken.len(), slots.taken()), (2, amount(2, 80)));
        drop(taken);
        assert_eq!(slots.taken(), amount(0, 0));
        let [slot] = slots.admit(&tenant("a"), 40, 1).try_into().ok().unwrap();
        let panicked = std::thread::spawn(move || {
            let _slot = slot;
            panic!("the attempt did");
        });
        assert!(panicked.join().is_err());
        assert_eq!(slots.taken(), amount(0, 0));
    }

    #[test]
    fn neither_slots_nor_memory_ever_sum_over_what_there_is() {
        let slots = Slots::new(9, 100);
        let first = slots.admit(&tenant("a"), 60, 9);
        assert_eq!(first.len(), 1);
        assert!(slots.admit(&tenant("b"), 60, 1).is_empty());
        let second = slots.admit(&tenant("b"), 40, 1);
        assert_eq!((second.len(), slots.taken()), (1, amount(2, 100)));
        assert!(slots.offer().is_none() && slots.adopt(&tenant("a"), 1).is_none());
        drop((first, second));
        assert_eq!(slots.admit(&tenant("a"), 900, 9).len(), 1, "a larger limit takes all of it");
    }

    #[test]
    fn what_is_offered_is_nobody_elses_until_the_store_has_answered() {
        let slots = Slots::new(2, 100);
        let offer = slots.offer().unwrap();
        assert_eq!(offer.room().free, amount(2, 100));
        assert!(slots.admit(&tenant("a"), 1, 1).is_empty());
        let slot = offer.slot(&tenant("a"), 30);
        drop(offer);
        assert_eq!(slots.taken(), amount(1, 30));
        assert_eq!(slots.admit(&tenant("a"), 1, 2).len(), 1);
        drop(slot);
    }

    #[tokio::test]
    async fn only_a_slot_that_was_taken_wakes_who_waits() {
        let slots = Slots::new(2, 100);
        drop(slots.offer());
        assert!(poll_once(Box::pin(slots.freed())).await.is_none());
        drop(slots.admit(&tenant("a"), 1, 1));
        assert!(poll_once(Box::pin(slots.freed())).await.is_some());
    }

    #[test]
    fn who_floods_a_host_leaves_each_other_tenant_its_share() {
        let slots = shared(8, 800, &["a", "b", "c", "d"], "");
        let flood = slots.admit(&tenant("a"), 10, 100);
        assert_eq!(flood.len(), 5, "three others have one each");
        for other in ["b", "c", "d"] {
            assert_eq!(slots.admit(&tenant(other), 10, 100).len(), 1, "{other}");
        }
        assert_eq!(slots.taken().slots, 5);
        let others = ["b", "c", "d"].map(|other| slots.admit(&tenant(other), 10, 1));
        assert_eq!(slots.taken().slots, 8);
        assert!(slots.admit(&tenant("a"), 10, 1).is_empty());
        drop(others);
    }

    #[test]
    fn a_tenants_quota_of_memory_is_the_most_that_one_of_its_runs_gets() {
        let config = "[tenants.a]\nquota = { memory = \"64KiB\" }";
        let slots = shared(8, 1 << 20, &["a"], config);
        let taken = slots.admit(&tenant("a"), 1 << 20, 1);
        assert_eq!((taken.len(), slots.taken()), (1, amount(1, 64 << 10)));
    }

    #[test]
    fn what_an_offer_was_cut_down_to_grows_to_what_was_wanted_or_the_run_waits() {
        let slots = Slots::new(8, 100);
        let [mut slot] = slots.admit(&tenant("a"), 40, 1).try_into().ok().unwrap();
        assert_eq!((slot.grow(30), slots.taken().memory), (Some(30), 40));
        assert_eq!((slot.grow(60), slots.taken().memory), (Some(60), 60));
        let other = slots.admit(&tenant("a"), 30, 1);
        assert_eq!((slot.grow(90), slots.taken().memory), (None, 100));
        drop(other);
        assert_eq!(slot.grow(90), Some(90));
        assert_eq!(slot.grow(900), Some(100), "no more than a host gives at most");
        drop(slot);
        assert_eq!(slots.taken(), amount(0, 0));
    }

    async fn poll_once<F: Future + Unpin>(mut future: F) -> Option<F::Output> {
        std::future::poll_fn(|context| {
            std::task::Poll::Ready(match std::pin::Pin::new(&mut future).poll(context) {
                std::task::Poll::Ready(output) => Some(output),
                std::task::Poll::Pending => None,
            })
        })
        .await
    }
}
