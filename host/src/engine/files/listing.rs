//! The entries of a folder, read a piece at a time: a folder may have millions.

use std::collections::VecDeque;
use std::sync::Arc;

use rustix::fs::{AtFlags, FileType, Mode, OFlags};
use wasmtime_wasi::filesystem::Dir;
use wasmtime_wasi::p2::FsResult;
use wasmtime_wasi::p2::bindings::filesystem::types::{DescriptorType, DirectoryEntry, ErrorCode};

use super::Held;
use super::blocking::Blocking;

/// Entries that the host holds for one listing at most.
const MAX_ENTRIES: usize = 256;

/// A folder that is being listed.
pub(in crate::engine) struct Listing {
    /// `None`: all was read, or the thread that reads was left alone.
    reads: Option<rustix::fs::Dir>,
    entries: VecDeque<FsResult<DirectoryEntry>>,
    held: Arc<Held>,
}

impl Listing {
    /// The listing of a folder, from its beginning. Waits for the disk.
    pub(in crate::engine) fn open(dir: &Dir, held: Arc<Held>) -> FsResult<Self> {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let opened = rustix::fs::openat(&dir.dir, ".", flags, Mode::empty());
        let reads = opened.and_then(rustix::fs::Dir::new).map_err(std::io::Error::from)?;
        Ok(Self { reads: Some(reads), entries: VecDeque::new(), held })
    }

    /// An entry that was read already.
    pub(in crate::engine) fn next(&mut self) -> Option<FsResult<DirectoryEntry>> {
        self.entries.pop_front()
    }

    /// What reads the next piece, unless all was read. Given back by [`Self::put`].
    pub(in crate::engine) fn take(&mut self) -> Option<Piece> {
        let reads = self.reads.take()?;
        Some(Piece { reads, entries: VecDeque::new(), ended: false, _held: Arc::clone(&self.held) })
    }

    /// A piece that was read.
    pub(in crate::engine) fn put(&mut self, piece: Piece) {
        self.entries = piece.entries;
        self.reads = (!piece.ended).then_some(piece.reads);
    }
}

/// The next entries of a listing.
pub(in crate::engine) struct Piece {
    reads: rustix::fs::Dir,
    entries: VecDeque<FsResult<DirectoryEntry>>,
    ended: bool,
    _held: Arc<Held>,
}

impl Piece {
    /// Reads them.
    pub(in crate::engine) async fn read(mut self, blocking: &Blocking) -> FsResult<Self> {
        let read = move || {
            while self.entries.len() < MAX_ENTRIES && !self.ended {
                match self.reads.read() {
                    Some(Ok(entry)) => self.entries.extend(listed(&self.reads, &entry)),
                    Some(Err(error)) => {
                        self.entries.push_back(Err(std::io::Error::from(error).into()));
                        self.ended = true;
                    }
                    None => self.ended = true,
                }
            }
            self
        };
        Ok(blocking.run(read).await?)
    }
}

/// An entry as the guest sees it; none for the folder itself and the one above.
fn listed(dir: &rustix::fs::Dir, entry: &rustix::fs::DirEntry) -> Option<FsResult<DirectoryEntry>> {
    let name = entry.file_name();
    if matches!(name.to_bytes(), b"." | b"..") {
        return None;
    }
    let kind = match entry.file_type() {
        // Some file systems don't tell.
        FileType::Unknown => dir
            .fd()
            .and_then(|dir| rustix::fs::statat(dir, name, AtFlags::SYMLINK_NOFOLLOW))
            .map_or(FileType::Unknown, |found| FileType::from_raw_mode(found.st_mode)),
        kind => kind,
    };
    let type_ = match kind {
        FileType::RegularFile => DescriptorType::RegularFile,
        FileType::Directory => DescriptorType::Directory,
        FileType::Symlink => DescriptorType::SymbolicLink,
        FileType::BlockDevice => DescriptorType::BlockDevice,
        FileType::CharacterDevice => DescriptorType::CharacterDevice,
        _ => DescriptorType::Unknown,
    };
    Some(match name.to_str() {
        Ok(name) => Ok(DirectoryEntry { type_, name: name.to_owned() }),
        Err(_) => Err(ErrorCode::IllegalByteSequence.into()),
    })
}
