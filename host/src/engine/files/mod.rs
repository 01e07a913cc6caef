//! Granted folders: what a run has open there, and the threads that wait for it.
//!
//! Everything that may wait for a disk runs on [`Blocking`]'s threads, where wasmtime-wasi's own
//! calls are made too ([`theirs`]). Ours are opening ([`open`](mod@open)), since theirs waits for
//! whoever is at the other end of a pipe; listing a folder, which theirs collects in memory; and
//! streams, of which theirs take a thread each.

pub(super) mod blocking;
pub(super) mod listing;
pub(super) mod open;
pub(super) mod reader;
pub(super) mod writer;

use std::collections::{BTreeMap, BTreeSet};
use std::pin::pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use wasmtime::component::{Resource, ResourceTable};
use wasmtime_wasi::filesystem::{Descriptor, Dir, WasiFilesystemCtx, WasiFilesystemCtxView};
use wasmtime_wasi::p2::FsResult;
use wasmtime_wasi::p2::bindings::filesystem::types::ErrorCode;
use wasmtime_wasi::{FsPerms, OpenMode};

use super::meter::Meter;
use crate::job::bound::{Bound, Exceeded};
use crate::job::capabilities::{DirGrant, DirMode};
use blocking::Blocking;

/// Bytes that are read or written in one go at most.
pub(super) const MAX_PIECE_BYTES: usize = 64 * 1024;
/// wasmtime-wasi's calls are made on threads of ours, where they may wait.
const WAITS_ITSELF: bool = true;

/// A granted folder, opened, and its place in the guest.
pub(super) type Folder = (Dir, String);

/// What one run has open.
#[derive(Default)]
pub(super) struct Files {
    /// What it was granted.
    pub(super) folders: Vec<Folder>,
    /// Its descriptors and listings.
    pub(super) held: BTreeMap<u32, Arc<Held>>,
    /// Its streams, so far as they were opened through [`host`](super::host).
    pub(super) streams: BTreeSet<u32>,
    /// Who was granted nothing has nothing to wait for.
    blocking: Option<Blocking>,
}

impl Files {
    /// Nothing is open but what was granted.
    pub(super) fn new(folders: Vec<Folder>, blocking: Blocking) -> Self {
        Self { folders, blocking: Some(blocking), ..Self::default() }
    }

    /// Where its calls wait for disks; it has none to wait for if nothing was granted.
    pub(super) fn blocking(&self) -> Result<Blocking, ErrorCode> {
        self.blocking.clone().ok_or(ErrorCode::BadDescriptor)
    }
}

/// Something open on the host, until it is dropped by all who use it: a descriptor, its streams, the
/// threads that are at work on it.
pub(super) struct Held {
    meter: Arc<Meter>,
}

impl Held {
    /// One more that is open.
    ///
    /// # Errors
    ///
    /// The run has as many open as it may.
    pub(super) fn new(meter: &Arc<Meter>) -> Result<Arc<Self>, Exceeded> {
        meter.spend(Bound::OpenFiles, 1)?;
        Ok(Arc::new(Self { meter: Arc::clone(meter) }))
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        self.meter.give_back(Bound::OpenFiles, 1);
    }
}

/// Opens what was granted. Waits for the disk.
///
/// # Errors
///
/// A folder can't be opened, as a message for the operator.
pub(super) fn open_folders(granted: &[DirGrant]) -> Result<Vec<Folder>, String> {
    let open = |grant: &DirGrant| {
        let (perms, mode) = match grant.mode {
            DirMode::ReadOnly => (FsPerms::ReadOnly, OpenMode::READ),
            DirMode::ReadWrite => (FsPerms::ReadWrite, OpenMode::READ | OpenMode::WRITE),
        };
        let opened = open::folder(&grant.host).map_err(|error| {
            format!(
                "the granted folder `{}` can't be opened ({error}); create it, or correct \
                 `capabilities.dirs`",
                grant.host.display()
            )
        })?;
        Ok((Dir::new(opened, perms, mode, WAITS_ITSELF), grant.guest.clone()))
    };
    granted.iter().map(open).collect()
}

/// Makes a call of wasmtime-wasi's, which waits on this thread.
///
/// # Errors
///
/// Those of the call.
pub(super) fn theirs<R, const N: usize>(
    descriptors: [Descriptor; N],
    call: impl AsyncFnOnce(&mut WasiFilesystemCtxView<'_>, [Resource<Descriptor>; N]) -> FsResult<R>,
) -> FsResult<R> {
    let (mut table, mut ctx) = (ResourceTable::new(), WasiFilesystemCtx::default());
    // An empty table has room; a number that it does not know would fail the call.
    let ids = descriptors.map(|one| table.push(one).map_or(u32::MAX, |id| id.rep()));
    let mut view = WasiFilesystemCtxView { ctx: &mut ctx, table: &mut table };
    let called = pin!(call(&mut view, ids.map(Resource::new_borrow)));
    match called.poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(result) => result,
        // Nothing that waits on its own thread is ever pending.
        Poll::Pending => Err(ErrorCode::WouldBlock.into()),
    }
}
