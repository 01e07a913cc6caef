//! Which files somebody has open to write to them, as far as the machine tells.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use notify::event::{AccessKind, AccessMode, ModifyKind, RenameMode};
use notify::{Event, EventKind};

use super::folder::MAX_FILES;

/// The files that were written to and not closed. Cheap to clone.
#[derive(Clone, Debug, Default)]
pub(super) struct Writers {
    open: Arc<Mutex<BTreeSet<PathBuf>>>,
}

impl Writers {
    /// Takes in what the machine tells. Answers whether it is worth a look at the folder.
    pub(super) fn hear(&self, event: &Event) -> bool {
        match event.kind {
            EventKind::Modify(ModifyKind::Data(_)) => {
                let mut open = self.lock();
                if open.len() < MAX_FILES {
                    open.extend(event.paths.iter().cloned());
                }
                true
            }
            EventKind::Access(AccessKind::Close(AccessMode::Write))
            | EventKind::Modify(ModifyKind::Name(RenameMode::To | RenameMode::Both))
            | EventKind::Remove(_) => {
                let mut open = self.lock();
                for path in &event.paths {
                    open.remove(path);
                }
                true
            }
            // Who looks at the folder is told of its own looks too, and would look again and again.
            EventKind::Access(_) => false,
            _ => true,
        }
    }

    /// Whether this file is written to.
    pub(super) fn has(&self, path: &Path) -> bool {
        self.lock().contains(path)
    }

    fn lock(&self) -> MutexGuard<'_, BTreeSet<PathBuf>> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use notify::event::{CreateKind, DataChange, RemoveKind};

    #[test]
    fn its_own_looks_are_no_news() {
        let writers = Writers::default();
        let opened = AccessKind::Open(AccessMode::Any);
        for kind in [opened, AccessKind::Read, AccessKind::Close(AccessMode::Read)] {
            assert!(!writers.hear(&Event::new(EventKind::Access(kind))), "{kind:?}");
        }
        for kind in [
            EventKind::Access(AccessKind::Close(AccessMode::Write)),
            EventKind::Create(CreateKind::File),
            EventKind::Modify(ModifyKind::Any),
            EventKind::Remove(RemoveKind::File),
            EventKind::Any,
        ] {
            assert!(writers.hear(&Event::new(kind)), "{kind:?}");
        }
    }

    #[test]
    fn a_file_is_written_to_until_it_is_closed_or_another_takes_its_place() {
        let path = Path::new("a.wasm");
        let written = EventKind::Modify(ModifyKind::Data(DataChange::Any));
        for end in [
            EventKind::Access(AccessKind::Close(AccessMode::Write)),
            EventKind::Modify(ModifyKind::Name(RenameMode::To)),
            EventKind::Remove(RemoveKind::File),
        ] {
            let writers = Writers::default();
            writers.hear(&Event::new(written).add_path(path.into()));
            assert!(writers.has(path));
            assert!(!writers.has(Path::new("b.wasm")));
            writers.hear(&Event::new(end).add_path(path.into()));
            assert!(!writers.has(path), "{end:?}");
        }
    }
}
