//! Room on a host for further attempts: free slots and memory, and how much of them is kept for
//! tenants that have little.
//!
//! Each tenant may at any time have its *share* of the host: a part of one half of it. So much of
//! what is free is *kept* as is missing to the shares of all; beyond its share a tenant gets only
//! what is not kept. However many long runs one has, another's next run finds a slot. Who has nothing
//! here may have all that is free for one run: it may be larger than what is never kept.

use std::collections::BTreeMap;

use crate::job::names::TenantId;

/// Slots and memory.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Amount {
    /// Runs at once.
    pub slots: u64,
    /// The sum of their memory limits, bytes.
    pub memory: u64,
}

/// Room on a host.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Room {
    /// What is free.
    pub free: Amount,
    /// What tenants lack to their shares, all together: so much of what is free is kept for them.
    pub missing: Amount,
    /// But no more than this.
    pub most_kept: Amount,
    /// The share of each tenant.
    pub share: Amount,
    /// What tenants have; those that have nothing are left out.
    pub held: BTreeMap<TenantId, Amount>,
    /// The most memory that one run gets here, bytes.
    pub most_memory: u64,
}

impl Room {
    /// So many slots, memory without end, and nothing kept: for tests and simulations.
    pub fn of_slots(slots: usize) -> Self {
        let free = Amount { slots: slots as u64, memory: u64::MAX };
        Self { free, most_memory: u64::MAX, ..Self::default() }
    }

    /// The room of a host that has `total`, of which `held` is taken, and that serves so many
    /// tenants.
    pub fn new(
        total: Amount,
        most_memory: u64,
        tenants: u64,
        held: BTreeMap<TenantId, Amount>,
    ) -> Self {
        let taken = held.values().fold(Amount::default(), |sum, one| Amount {
            slots: sum.slots.saturating_add(one.slots),
            memory: sum.memory.saturating_add(one.memory),
        });
        let free = Amount {
            slots: total.slots.saturating_sub(taken.slots),
            memory: total.memory.saturating_sub(taken.memory),
        };
        let mut room = Self { free, held, most_memory, ..Self::default() };
        if 1 < tenants {
            let part = |all: u64| all / 2 / tenants;
            room.share =
                Amount { slots: part(total.slots).max(1), memory: part(total.memory).max(1) };
            let idle = tenants.saturating_sub(room.held.len() as u64);
            room.missing = Amount {
                slots: idle.saturating_mul(room.share.slots),
                memory: idle.saturating_mul(room.share.memory),
            };
            for held in room.held.values() {
                let missing = room.share.slots.saturating_sub(held.slots);
                room.missing.slots = room.missing.slots.saturating_add(missing);
                let missing = room.share.memory.saturating_sub(held.memory);
                room.missing.memory = room.missing.memory.saturating_add(missing);
            }
            room.most_kept = Amount { slots: total.slots / 2, memory: total.memory / 2 };
        }
        room
    }

    /// Whether a run of `tenant` with this memory limit may begin here.
    pub fn admits(&self, tenant: &TenantId, memory: u64) -> bool {
        let memory = memory.min(self.most_memory);
        let held = self.held.get(tenant).copied().unwrap_or_default();
        let beyond = self.beyond();
        let slots = if held.slots < self.share.slots { self.free.slots } else { beyond.slots };
        let is_first = held.slots == 0;
        let room = if is_first || held.memory.saturating_add(memory) <= self.share.memory {
            self.free.memory
        } else {
            beyond.memory
        };
        0 < slots && memory <= room
    }

    /// Whether it may be for want of room that nothing more begins here.
    pub fn is_short(&self) -> bool {
        let beyond = self.beyond();
        beyond.slots == 0 || beyond.memory < self.most_memory
    }

    /// What is free for tenants that have their share.
    fn beyond(&self) -> Amount {
        let Self { free, missing, most_kept, .. } = self;
        Amount {
            slots: free.slots.saturating_sub(missing.slots.min(most_kept.slots)),
            memory: free.memory.saturating_sub(missing.memory.min(most_kept.memory)),
        }
    }

    /// A run of `tenant` begins.
    pub fn take(&mut self, tenant: &TenantId, memory: u64) {
        let memory = memory.min(self.most_memory);
        let held = self.held.entry(tenant.clone()).or_default();
        let share = self.share;
        let missing = |held: &Amount| Amount {
            slots: share.slots.saturating_sub(held.slots),
            memory: share.memory.saturating_sub(held.memory),
        };
        let before = missing(held);
        held.slots += 1;
        held.memory = held.memory.saturating_add(memory);
        let after = missing(held);
        self.missing.slots = self.missing.slots.saturating_sub(before.slots - after.slots);
        self.missing.memory = self.missing.memory.saturating_sub(before.memory - after.memory);
        self.free.slots = self.free.slots.saturating_sub(1);
        self.free.memory = self.free.memory.saturating_sub(memory);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tenant(name: &str) -> TenantId {
        name.parse().unwrap()
    }

    fn total(slots: u64, memory: u64) -> Amount {
        Amount { slots, memory }
    }

    fn filled(room: &mut Room, name: &str, memory: u64) -> usize {
        let name = tenant(name);
        let mut taken = 0;
        while room.admits(&name, memory) {
            room.take(&name, memory);
            taken += 1;
        }
        taken
    }

    #[test]
    fn one_tenant_alone_has_all_of_it() {
        let mut room = Room::new(total(3, 30), 100, 1, BTreeMap::new());
        assert_eq!(filled(&mut room, "a", 10), 3);
        let mut room = Room::new(total(9, 25), 100, 1, BTreeMap::new());
        assert_eq!(filled(&mut room, "a", 10), 2, "memory is short");
    }

    #[test]
    fn who_takes_all_leaves_each_other_its_share() {
        let mut room = Room::new(total(64, u64::MAX), u64::MAX, 4, BTreeMap::new());
        assert_eq!(filled(&mut room, "a", 0), 64 - 3 * 8);
        assert_eq!(filled(&mut room, "b", 0), 8);
        assert_eq!(filled(&mut room, "a", 0), 0);
        assert_eq!(filled(&mut room, "c", 0), 8);
        assert_eq!(filled(&mut room, "d", 0), 8);
        let mut room = Room::new(total(2, u64::MAX), u64::MAX, 2, BTreeMap::new());
        assert_eq!((filled(&mut room, "a", 0), filled(&mut room, "b", 0)), (1, 1));
        let mut room = Room::new(total(1, u64::MAX), u64::MAX, 2, BTreeMap::new());
        assert_eq!(filled(&mut room, "a", 0), 1, "one slot can't be shared");
    }

    #[test]
    fn memory_is_kept_likewise() {
        let mut room = Room::new(total(100, 800), 800, 4, BTreeMap::new());
        assert_eq!(filled(&mut room, "a", 50), 10, "3 x 100 are kept");
        assert_eq!(filled(&mut room, "b", 50), 2);
        assert_eq!(filled(&mut room, "b", 50), 0);
        assert_eq!(filled(&mut room, "c", 100), 1);
    }

    #[test]
    fn a_run_larger_than_what_is_never_kept_begins_where_its_tenant_has_nothing() {
        let mut room = Room::new(total(100, 800), 800, 4, BTreeMap::new());
        assert_eq!(filled(&mut room, "a", 700), 1);
        assert_eq!(filled(&mut room, "b", 700), 0);
        assert_eq!(filled(&mut room, "b", 100), 1);
        assert!(room.is_short());
    }

    #[test]
    fn what_is_held_counts() {
        let held = BTreeMap::from([(tenant("a"), total(5, 0))]);
        let mut room = Room::new(total(8, u64::MAX), u64::MAX, 2, held);
        assert_eq!(room.free.slots, 3);
        assert_eq!(filled(&mut room, "a", 0), 1);
        assert_eq!(filled(&mut room, "b", 0), 2);
    }
}
