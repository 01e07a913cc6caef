//! `wasi:filesystem`: granted folders and what is in them.
//!
//! What may wait for a disk happens on the run's own threads ([`files`]). A refusal is
//! an error of the interface, and a line in the log says what would help.

mod pass;

use std::sync::Arc;

use wasmtime::component::{Resource, ResourceTable};
use wasmtime_wasi::filesystem::{Descriptor, WasiFilesystemCtxView, WasiFilesystemView as _};
use wasmtime_wasi::p2::bindings::filesystem::preopens;
use wasmtime_wasi::p2::bindings::filesystem::types::{
    self, Advice, DescriptorFlags, DescriptorStat, DescriptorType, DirectoryEntry,
    DirectoryEntryStream, ErrorCode, Filesize, HostDescriptor, HostDirectoryEntryStream,
    MetadataHashValue, NewTimestamp, OpenFlags, PathFlags,
};
use wasmtime_wasi::p2::{DynInputStream, DynOutputStream, FsError, FsResult};

use crate::engine::files::listing::Listing;
use crate::engine::files::open::Want;
use crate::engine::files::reader::Reader;
use crate::engine::files::writer::{Place, spend};
use crate::engine::files::{Held, MAX_PIECE_BYTES, theirs};
use crate::engine::guest::Guest;
use crate::job::bound::{Bound, Exceeded};
use crate::run::usage::Effect;

impl preopens::Host for Guest {
    fn get_directories(&mut self) -> wasmtime::Result<Vec<(Resource<Descriptor>, String)>> {
        self.gate(Effect::Filesystem)?;
        let folders = self.files.folders.clone();
        let mut given = Vec::with_capacity(folders.len());
        for (dir, path) in folders {
            let held = Held::new(&self.meter)?;
            let fd = self.table.push(Descriptor::Dir(dir))?;
            self.files.held.insert(fd.rep(), held);
            given.push((fd, path));
        }
        Ok(given)
    }
}

impl types::Host for Guest {
    fn convert_error_code(&mut self, error: FsError) -> wasmtime::Result<ErrorCode> {
        self.filesystem().convert_error_code(error)
    }

    fn filesystem_error_code(
        &mut self,
        error: Resource<wasmtime::Error>,
    ) -> wasmtime::Result<Option<ErrorCode>> {
        if self.table.get(&error)?.is::<Exceeded>() {
            return Ok(Some(ErrorCode::Quota));
        }
        types::Host::filesystem_error_code(&mut self.filesystem(), error)
    }
}

impl HostDescriptor for Guest {
    async fn advise(
        &mut self,
        fd: Resource<Descriptor>,
        offset: Filesize,
        len: Filesize,
        advice: Advice,
    ) -> FsResult<()> {
        self.pass(&[])?;
        let file = self.descriptor(&fd)?;
        self.theirs([file], async move |v, [fd]| v.advise(fd, offset, len, advice).await).await
    }

    async fn sync_data(&mut self, fd: Resource<Descriptor>) -> FsResult<()> {
        self.pass(&[])?;
        let descriptor = self.descriptor(&fd)?;
        self.theirs([descriptor], async move |v, [fd]| v.sync_data(fd).await).await
    }

    async fn get_flags(&mut self, fd: Resource<Descriptor>) -> FsResult<DescriptorFlags> {
        self.pass(&[])?;
        let descriptor = self.descriptor(&fd)?;
        self.theirs([descriptor], async move |v, [fd]| v.get_flags(fd).await).await
    }

    async fn get_type(&mut self, fd: Resource<Descriptor>) -> FsResult<DescriptorType> {
        self.pass(&[])?;
        let descriptor = self.descriptor(&fd)?;
        self.theirs([descriptor], async move |v, [fd]| v.get_type(fd).await).await
    }

    async fn set_size(&mut self, fd: Resource<Descriptor>, size: Filesize) -> FsResult<()> {
        self.pass(&[])?;
        self.changed(&fd, "writing")?;
        let (file, held) = self.file(&fd)?;
        let meter = Arc::clone(&self.meter);
        let set = move || {
            let spent = spend(&meter, &file.file, Place::At(size), 0)?;
            if spent.is_ok() {
                file.file.set_len(size)?;
            }
            drop(held);
            Ok(spent)
        };
        self.waits(set).await?.map_err(|over| self.over(over))
    }

    async fn set_times(
        &mut self,
        fd: Resource<Descriptor>,
        atime: NewTimestamp,
        mtime: NewTimestamp,
    ) -> FsResult<()> {
        self.pass(&[])?;
        let descriptor = self.changed(&fd, "changing times")?;
        self.theirs([descriptor], async move |v, [fd]| v.set_times(fd, atime, mtime).await).await
    }

    async fn read(
        &mut self,
        fd: Resource<Descriptor>,
        len: Filesize,
        offset: Filesize,
    ) -> FsResult<(Vec<u8>, bool)> {
        self.pass(&[])?;
        let len = len.min(MAX_PIECE_BYTES as u64);
        let file = self.descriptor(&fd)?;
        let read = self.theirs([file], async move |v, [fd]| v.read(fd, len, offset).await);
        let (bytes, end) = read.await?;
        self.meter.bytes_in(Effect::Filesystem, bytes.len());
        Ok((bytes, end))
    }

    async fn write(
        &mut self,
        fd: Resource<Descriptor>,
        bytes: Vec<u8>,
        offset: Filesize,
    ) -> FsResult<Filesize> {
        self.pass(&[])?;
        let descriptor = self.changed(&fd, "writing")?;
        let (file, _) = self.file(&fd)?;
        let meter = Arc::clone(&self.meter);
        let write = move || {
            let place = Place::At(offset);
            if let Err(over) = spend(&meter, &file.file, place, bytes.len())? {
                return Ok(Err(over));
            }
            let write = async move |v: &mut WasiFilesystemCtxView<'_>, [fd]: [_; 1]| {
                v.write(fd, bytes, offset).await
            };
            Ok(Ok(theirs([descriptor], write)?))
        };
        let written = self.waits(write).await?.map_err(|over| self.over(over))?;
        self.meter.bytes_out(Effect::Filesystem, usize::try_from(written).unwrap_or(usize::MAX));
        Ok(written)
    }

    async fn read_directory(
        &mut self,
        fd: Resource<Descriptor>,
    ) -> FsResult<Resource<DirectoryEntryStream>> {
        self.pass(&[])?;
        let dir = self.dir(&fd)?;
        let held = self.hold()?;
        let kept = Arc::clone(&held);
        let listing = self.waits(move || Listing::open(&dir, kept)).await?;
        let listing = self.table.push(listing)?;
        self.files.held.insert(listing.rep(), held);
        Ok(Resource::new_own(listing.rep()))
    }

    async fn sync(&mut self, fd: Resource<Descriptor>) -> FsResult<()> {
        self.pass(&[])?;
        let descriptor = self.descriptor(&fd)?;
        self.theirs([descriptor], async move |v, [fd]| v.sync(fd).await).await
    }

    async fn create_directory_at(
        &mut self,
        fd: Resource<Descriptor>,
        path: String,
    ) -> FsResult<()> {
        self.pass(&[&path])?;
        let dir = self.changed(&fd, &format!("making `{path}`"))?;
        let at = path.clone();
        self.makes(path, [dir], async move |v, [fd]| v.create_directory_at(fd, at).await).await
    }

    async fn stat(&mut self, fd: Resource<Descriptor>) -> FsResult<DescriptorStat> {
        self.pass(&[])?;
        let descriptor = self.descriptor(&fd)?;
        self.theirs([descriptor], async move |v, [fd]| v.stat(fd).await).await
    }

    async fn stat_at(
        &mut self,
        fd: Resource<Descriptor>,
        links: PathFlags,
        path: String,
    ) -> FsResult<DescriptorStat> {
        self.pass(&[&path])?;
        let (dir, at) = (self.descriptor(&fd)?, path.clone());
        let stat = self.theirs([dir], async move |v, [fd]| v.stat_at(fd, links, at).await).await;
        self.told(&path, stat)
    }

    async fn set_times_at(
        &mut self,
        fd: Resource<Descriptor>,
        links: PathFlags,
        path: String,
        atime: NewTimestamp,
        mtime: NewTimestamp,
    ) -> FsResult<()> {
        self.pass(&[&path])?;
        let dir = self.changed(&fd, &format!("changing times of `{path}`"))?;
        if !links.contains(PathFlags::SYMLINK_FOLLOW) {
            let at = path.clone();
            let set = async move |v: &mut WasiFilesystemCtxView<'_>, [fd]: [_; 1]| {
                v.set_times_at(fd, links, at, atime, mtime).await
            };
            let set = self.theirs([dir], set).await;
            return self.told(&path, set);
        }
        // Theirs opens whatever is there, and would wait for the other end of a pipe.
        let dir = self.dir(&fd)?;
        let (open, access) = (OpenFlags::empty(), DescriptorFlags::READ);
        let (opened, _held) = self.open(dir, Want { path, links, open, access }).await?;
        self.theirs([opened], async move |v, [fd]| v.set_times(fd, atime, mtime).await).await
    }

    async fn link_at(
        &mut self,
        fd: Resource<Descriptor>,
        links: PathFlags,
        path: String,
        new_fd: Resource<Descriptor>,
        new_path: String,
    ) -> FsResult<()> {
        self.pass(&[&path, &new_path])?;
        let what = format!("linking `{path}` as `{new_path}`");
        let dirs = [self.changed(&fd, &what)?, self.changed(&new_fd, &what)?];
        let (from, to) = (path.clone(), new_path);
        let link = async move |v: &mut WasiFilesystemCtxView<'_>, [fd, new]: [_; 2]| {
            v.link_at(fd, links, from, new, to).await
        };
        self.makes(path, dirs, link).await
    }

    async fn open_at(
        &mut self,
        fd: Resource<Descriptor>,
        links: PathFlags,
        path: String,
        open: OpenFlags,
        access: DescriptorFlags,
    ) -> FsResult<Resource<Descriptor>> {
        self.pass(&[&path])?;
        let want = Want { path, links, open, access };
        if want.changes() {
            self.changed(&fd, &format!("opening `{}` to write", want.path))?;
        }
        let dir = self.dir(&fd)?;
        let (descriptor, held) = self.open(dir, want).await?;
        let fd = self.table.push(descriptor)?;
        self.files.held.insert(fd.rep(), held);
        Ok(fd)
    }

    fn drop(&mut self, fd: Resource<Descriptor>) -> wasmtime::Result<()> {
        let rep = fd.rep();
        self.table.delete(fd)?;
        self.files.held.remove(&rep);
        Ok(())
    }

    async fn readlink_at(&mut self, fd: Resource<Descriptor>, path: String) -> FsResult<String> {
        self.pass(&[&path])?;
        let (dir, at) = (self.descriptor(&fd)?, path.clone());
        let read = self.theirs([dir], async move |v, [fd]| v.readlink_at(fd, at).await).await;
        self.told(&path, read)
    }

    async fn remove_directory_at(
        &mut self,
        fd: Resource<Descriptor>,
        path: String,
    ) -> FsResult<()> {
        self.pass(&[&path])?;
        let (dir, at) = (self.changed(&fd, &format!("removing `{path}`"))?, path.clone());
        let remove = async move |v: &mut WasiFilesystemCtxView<'_>, [fd]: [_; 1]| {
            v.remove_directory_at(fd, at).await
        };
        let removed = self.theirs([dir], remove).await;
        self.told(&path, removed)
    }

    async fn rename_at(
        &mut self,
        fd: Resource<Descriptor>,
        path: String,
        new_fd: Resource<Descriptor>,
        new_path: String,
    ) -> FsResult<()> {
        self.pass(&[&path, &new_path])?;
        let what = format!("renaming `{path}` to `{new_path}`");
        let dirs = [self.changed(&fd, &what)?, self.changed(&new_fd, &what)?];
        let rename = async move |v: &mut WasiFilesystemCtxView<'_>, [fd, new]: [_; 2]| {
            v.rename_at(fd, path, new, new_path).await
        };
        let renamed = self.theirs(dirs, rename).await;
        self.told(&what, renamed)
    }

    async fn symlink_at(
        &mut self,
        fd: Resource<Descriptor>,
        target: String,
        path: String,
    ) -> FsResult<()> {
        self.pass(&[&target, &path])?;
        let (dir, at) = (self.changed(&fd, &format!("making `{path}`"))?, target.clone());
        self.makes(target, [dir], async move |v, [fd]| v.symlink_at(fd, at, path).await).await
    }

    async fn unlink_file_at(&mut self, fd: Resource<Descriptor>, path: String) -> FsResult<()> {
        self.pass(&[&path])?;
        let (dir, at) = (self.changed(&fd, &format!("removing `{path}`"))?, path.clone());
        let removed = self.theirs([dir], async move |v, [fd]| v.unlink_file_at(fd, at).await).await;
        self.told(&path, removed)
    }

    fn read_via_stream(
        &mut self,
        fd: Resource<Descriptor>,
        offset: Filesize,
    ) -> FsResult<Resource<DynInputStream>> {
        self.pass(&[])?;
        let (file, held) = self.file(&fd)?;
        self.meter.spend(Bound::OpenStreams, 1).map_err(|over| self.over(over))?;
        let (blocking, meter) = (self.files.blocking()?, Arc::clone(&self.meter));
        let reader: DynInputStream =
            Box::new(Reader::new(file.file, offset, blocking, meter, held));
        Ok(self.opened_stream(reader)?)
    }

    fn write_via_stream(
        &mut self,
        fd: Resource<Descriptor>,
        offset: Filesize,
    ) -> FsResult<Resource<DynOutputStream>> {
        self.write_stream(&fd, Place::At(offset))
    }

    fn append_via_stream(
        &mut self,
        fd: Resource<Descriptor>,
    ) -> FsResult<Resource<DynOutputStream>> {
        self.write_stream(&fd, Place::End)
    }

    async fn is_same_object(
        &mut self,
        a: Resource<Descriptor>,
        b: Resource<Descriptor>,
    ) -> wasmtime::Result<bool> {
        self.gate(Effect::Filesystem)?;
        let both = [self.table.get(&a)?.clone(), self.table.get(&b)?.clone()];
        let same = self.theirs(both, async move |v, [a, b]| {
            v.is_same_object(a, b).await.map_err(FsError::trap)
        });
        Ok(same.await?)
    }

    async fn metadata_hash(&mut self, fd: Resource<Descriptor>) -> FsResult<MetadataHashValue> {
        self.pass(&[])?;
        let descriptor = self.descriptor(&fd)?;
        self.theirs([descriptor], async move |v, [fd]| v.metadata_hash(fd).await).await
    }

    async fn metadata_hash_at(
        &mut self,
        fd: Resource<Descriptor>,
        links: PathFlags,
        path: String,
    ) -> FsResult<MetadataHashValue> {
        self.pass(&[&path])?;
        let (dir, at) = (self.descriptor(&fd)?, path.clone());
        let hash = async move |v: &mut WasiFilesystemCtxView<'_>, [fd]: [_; 1]| {
            v.metadata_hash_at(fd, links, at).await
        };
        let hash = self.theirs([dir], hash).await;
        self.told(&path, hash)
    }
}

/// The guest's name for one is wasmtime-wasi's; what stands in the table is ours.
fn listing<'a>(
    table: &'a mut ResourceTable,
    stream: &Resource<DirectoryEntryStream>,
) -> FsResult<&'a mut Listing> {
    Ok(table.get_mut(&Resource::<Listing>::new_borrow(stream.rep()))?)
}

impl HostDirectoryEntryStream for Guest {
    async fn read_directory_entry(
        &mut self,
        stream: Resource<DirectoryEntryStream>,
    ) -> FsResult<Option<DirectoryEntry>> {
        self.pass(&[])?;
        loop {
            let listing_ = listing(&mut self.table, &stream)?;
            if let Some(entry) = listing_.next() {
                return entry.map(Some);
            }
            let Some(piece) = listing_.take() else { return Ok(None) };
            let piece = piece.read(&self.files.blocking()?).await?;
            listing(&mut self.table, &stream)?.put(piece);
        }
    }

    fn drop(&mut self, stream: Resource<DirectoryEntryStream>) -> wasmtime::Result<()> {
        let rep = stream.rep();
        self.table.delete(Resource::<Listing>::new_own(rep))?;
        self.files.held.remove(&rep);
        Ok(())
    }
}
