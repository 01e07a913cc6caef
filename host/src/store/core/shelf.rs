//! Schedules by name, and by when they are due.
//!
//! There may be a million of them, so that the indexes name each by a small number, its place.
//! Finding one costs the same however many there are.

use std::collections::{BTreeSet, HashMap};
use std::hash::{BuildHasher, RandomState};
use std::sync::Arc;

use hashbrown::HashTable;

use super::live::due_key;
use crate::job::JobKey;
use crate::job::names::TenantId;
use crate::record::Schedule;
use crate::time::Timestamp;

/// Where a schedule stands; valid while it is there.
pub(super) type Place = u32;

/// Schedules by name, and by when they are due.
#[derive(Debug, Default)]
pub(super) struct Shelf {
    /// By place.
    schedules: Vec<Option<Arc<Schedule>>>,
    /// Places that are free.
    free: Vec<Place>,
    by_name: HashTable<Place>,
    /// How many of each tenant.
    of_tenant: HashMap<TenantId, u64>,
    /// The active ones.
    due: BTreeSet<(Timestamp, Place)>,
    hasher: RandomState,
}

impl Shelf {
    /// How many there are.
    pub(super) fn len(&self) -> usize {
        self.by_name.len()
    }

    /// How many a tenant has.
    pub(super) fn of_tenant(&self, tenant: &TenantId) -> u64 {
        self.of_tenant.get(tenant).copied().unwrap_or(0)
    }

    /// The schedule of this name.
    pub(super) fn get(&self, job: &JobKey) -> Option<&Arc<Schedule>> {
        self.at(self.find(job)?)
    }

    /// Keeps `schedule`, in the place of the one that has its name.
    pub(super) fn put(&mut self, schedule: Arc<Schedule>) {
        let place = self.find(&schedule.key).unwrap_or_else(|| self.give_place(&schedule.key));
        self.put_at(place, schedule);
    }

    /// Keeps `schedule` in the place of the one there, which has its name.
    pub(super) fn put_at(&mut self, place: Place, schedule: Arc<Schedule>) {
        let due = due_key(&schedule);
        if let Some(kept) = self.schedules.get_mut(place as usize) {
            let before = kept.replace(schedule);
            self.move_due(place, before.and_then(|before| due_key(&before)), due);
        }
    }

    /// Changes the schedule of this name; not its name. Answers how it is now.
    pub(super) fn change(
        &mut self,
        job: &JobKey,
        change: impl FnOnce(&mut Schedule),
    ) -> Option<&Arc<Schedule>> {
        let place = self.find(job)?;
        let schedule = self.schedules.get_mut(place as usize)?.as_mut()?;
        let before = due_key(schedule);
        change(Arc::make_mut(schedule));
        let due = due_key(schedule);
        self.move_due(place, before, due);
        self.at(place)
    }

    /// Forgets the schedule of this name.
    pub(super) fn remove(&mut self, job: &JobKey) -> Option<Arc<Schedule>> {
        let place = self.find(job)?;
        let hash = self.hasher.hash_one(job);
        let entry = self.by_name.find_entry(hash, |other| *other == place);
        entry.ok()?.remove();
        self.free.push(place);
        if let Some(count) = self.of_tenant.get_mut(&job.tenant) {
            *count -= 1;
            if *count == 0 {
                self.of_tenant.remove(&job.tenant);
            }
        }
        let schedule = self.schedules.get_mut(place as usize)?.take()?;
        self.move_due(place, due_key(&schedule), None);
        Some(schedule)
    }

    /// When active schedules are due, and those, earliest first.
    pub(super) fn by_due(&self) -> impl Iterator<Item = (Timestamp, &Arc<Schedule>)> {
        self.due.iter().filter_map(|(due, place)| Some((*due, self.at(*place)?)))
    }

    /// The schedule in this place.
    pub(super) fn at(&self, place: Place) -> Option<&Arc<Schedule>> {
        self.schedules.get(place as usize)?.as_ref()
    }

    /// Where the schedule of this name stands.
    pub(super) fn find(&self, job: &JobKey) -> Option<Place> {
        let has_name = |place: &Place| self.at(*place).is_some_and(|schedule| schedule.key == *job);
        self.by_name.find(self.hasher.hash_one(job), has_name).copied()
    }

    /// A place for a name that has none. It is empty still.
    fn give_place(&mut self, job: &JobKey) -> Place {
        *self.of_tenant.entry(job.tenant.clone()).or_default() += 1;
        let place = self.free.pop().unwrap_or_else(|| {
            self.schedules.push(None);
            // Memory ends long before places do.
            Place::try_from(self.schedules.len() - 1).unwrap_or(Place::MAX)
        });
        let (schedules, hasher) = (&self.schedules, &self.hasher);
        // Asked for the others only, when the table grows.
        let hash_of = |place: &Place| {
            let schedule = schedules.get(*place as usize).and_then(Option::as_ref);
            schedule.map_or(0, |schedule| hasher.hash_one(&schedule.key))
        };
        self.by_name.insert_unique(hasher.hash_one(job), place, hash_of);
        place
    }

    fn move_due(&mut self, place: Place, from: Option<Timestamp>, to: Option<Timestamp>) {
        if from == to {
            return;
        }
        if let Some(due) = from {
            self.due.remove(&(due, place));
        }
        if let Some(due) = to {
            self.due.insert((due, place));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::core::tests::schedule;

    fn at(secs: i64) -> Option<Timestamp> {
        Some(Timestamp::from_secs(secs))
    }

    fn shelf() -> Shelf {
        let mut shelf = Shelf::default();
        for (name, due_at) in [("a", at(3)), ("b", at(1)), ("c", None), ("d", at(2))] {
            shelf.put(Arc::new(Schedule { due_at, ..schedule(name) }));
        }
        shelf
    }

    fn due(shelf: &Shelf) -> Vec<&str> {
        shelf.by_due().map(|(_, schedule)| schedule.key.job.as_str()).collect()
    }

    #[test]
    fn those_that_are_due_come_earliest_first_wherever_they_were_moved() {
        let mut shelf = shelf();
        assert_eq!(due(&shelf), ["b", "d", "a"]);
        shelf.change(&schedule("c").key, |schedule| schedule.due_at = at(0));
        shelf.put(Arc::new(Schedule { due_at: at(9), ..schedule("b") }));
        assert_eq!(due(&shelf), ["c", "d", "a", "b"]);
        shelf.change(&schedule("d").key, |schedule| schedule.parked = Some("gone".to_owned()));
        assert_eq!((due(&shelf), shelf.len()), (vec!["c", "a", "b"], 4));
    }

    #[test]
    fn a_place_is_used_again_and_no_name_is_mixed_up() {
        let mut shelf = shelf();
        let places = shelf.schedules.len();
        for name in ["b", "c"] {
            assert!(shelf.remove(&schedule(name).key).is_some());
            assert!(shelf.remove(&schedule(name).key).is_none());
        }
        for name in ["e", "f"] {
            shelf.put(Arc::new(Schedule { due_at: at(5), ..schedule(name) }));
        }
        assert_eq!((shelf.len(), shelf.schedules.len()), (4, places));
        for (name, is_there) in [("a", true), ("b", false), ("c", false), ("e", true), ("f", true)]
        {
            let found = shelf.get(&schedule(name).key).map(|found| found.key.job.as_str());
            assert_eq!(found, is_there.then_some(name));
        }
    }

    #[test]
    fn very_many_are_all_found() {
        let mut shelf = Shelf::default();
        let names: Vec<String> = (0..5_000).map(|number| format!("job-{number}")).collect();
        names.iter().for_each(|name| shelf.put(Arc::new(schedule(name))));
        assert!(names.iter().all(|name| shelf.get(&schedule(name).key).is_some()));
    }
}
