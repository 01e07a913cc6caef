//! Which files stay and which go. Touches none of them.

use std::cmp::Reverse;
use std::time::SystemTime;

/// A regular file of the folder.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// Its name, without the folder.
    pub name: String,
    /// When its content last changed.
    pub modified: SystemTime,
    /// Its size.
    pub bytes: u64,
}

/// What is to happen, each list newest first.
#[derive(Debug, PartialEq, Eq)]
pub struct Plan {
    /// The files that stay.
    pub kept: Vec<Entry>,
    /// The files that go.
    pub removed: Vec<Entry>,
}

/// Keeps the `keep` newest. Of files of the same time, the one whose name sorts last is newer, as
/// names often carry a date.
pub fn keep_newest(mut entries: Vec<Entry>, keep: usize) -> Plan {
    entries.sort_by(|a, b| Reverse((a.modified, &a.name)).cmp(&Reverse((b.modified, &b.name))));
    let removed = entries.split_off(keep.min(entries.len()));
    Plan { kept: entries, removed }
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, UNIX_EPOCH};

    use super::*;

    fn entry((name, seconds): (&str, u64)) -> Entry {
        let modified = UNIX_EPOCH + Duration::from_secs(seconds);
        Entry { name: name.into(), modified, bytes: 1 }
    }

    #[test]
    fn the_newest_stay_and_names_decide_between_equals() {
        let entries = [("old", 1), ("a", 2), ("b", 2), ("new", 3)];
        for (keep, kept, removed) in [
            (0, &[][..], &["new", "b", "a", "old"][..]),
            (2, &["new", "b"], &["a", "old"]),
            (4, &["new", "b", "a", "old"], &[]),
            (9, &["new", "b", "a", "old"], &[]),
        ] {
            let plan = keep_newest(entries.map(entry).into(), keep);
            let names = |list: &[Entry]| list.iter().map(|e| e.name.clone()).collect::<Vec<_>>();
            assert_eq!(names(&plan.kept), kept, "keep {keep}");
            assert_eq!(names(&plan.removed), removed, "keep {keep}");
        }
    }
}
