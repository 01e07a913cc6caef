//! What the calls of `wasi:filesystem` have in common: the gate, descriptors, refusals.

use std::sync::Arc;

use wasmtime::component::Resource;
use wasmtime_wasi::filesystem::{Descriptor, Dir, File, WasiFilesystemCtxView};
use wasmtime_wasi::p2::bindings::filesystem::types::ErrorCode;
use wasmtime_wasi::p2::{DynOutputStream, FsError, FsResult};

use crate::engine::files::open::{Refused, Want, open};
use crate::engine::files::writer::{Place, Writer};
use crate::engine::files::{Held, theirs};
use crate::engine::guest::Guest;
use crate::job::bound::{Bound, Exceeded};
use crate::run::LogLevel;
use crate::run::usage::Effect;

/// A longer path is refused.
const MAX_PATH_BYTES: usize = 4_096;
/// What grants reading.
const GRANT: &str = "dirs = [{ host = \"FOLDER\", guest = \"/PATH\" }]";
/// What grants writing.
const GRANT_WRITING: &str = "dirs = [{ host = \"FOLDER\", guest = \"/PATH\", mode = \"rw\" }]";

impl Guest {
    /// Lets a call pass that names these paths.
    pub(super) fn pass(&mut self, paths: &[&str]) -> FsResult<()> {
        self.gate(Effect::Filesystem).map_err(FsError::trap)?;
        if paths.iter().any(|path| path.len() > MAX_PATH_BYTES) {
            return Err(ErrorCode::NameTooLong.into());
        }
        Ok(())
    }

    pub(super) fn descriptor(&self, fd: &Resource<Descriptor>) -> FsResult<Descriptor> {
        Ok(self.table.get(fd)?.clone())
    }

    /// One that is written to, or in which something is changed.
    pub(super) fn changed(&self, fd: &Resource<Descriptor>, what: &str) -> FsResult<Descriptor> {
        let descriptor = self.table.get(fd)?;
        let perms = match descriptor {
            Descriptor::File(file) => file.perms,
            Descriptor::Dir(dir) => dir.perms,
        };
        if perms.write_not_permitted() {
            self.deny(&format!("{what} in a folder that is only read"), GRANT_WRITING);
            return Err(ErrorCode::ReadOnly.into());
        }
        Ok(descriptor.clone())
    }

    pub(super) fn dir(&self, fd: &Resource<Descriptor>) -> FsResult<Dir> {
        match self.table.get(fd)? {
            Descriptor::Dir(dir) => Ok(dir.clone()),
            Descriptor::File(_) => Err(ErrorCode::NotDirectory.into()),
        }
    }

    /// Does something that may wait for the disk.
    pub(super) async fn waits<R: Send + 'static>(
        &mut self,
        call: impl FnOnce() -> FsResult<R> + Send + 'static,
    ) -> FsResult<R> {
        self.files.blocking()?.run(call).await?
    }

    /// Lets wasmtime-wasi do it.
    pub(super) async fn theirs<R: Send + 'static, const N: usize>(
        &mut self,
        descriptors: [Descriptor; N],
        call: impl AsyncFnOnce(&mut WasiFilesystemCtxView<'_>, [Resource<Descriptor>; N]) -> FsResult<R>
        + Send
        + 'static,
    ) -> FsResult<R> {
        self.waits(move || theirs(descriptors, call)).await
    }

    /// Makes one more file or folder.
    pub(super) async fn makes<const N: usize>(
        &mut self,
        path: String,
        descriptors: [Descriptor; N],
        call: impl AsyncFnOnce(
            &mut WasiFilesystemCtxView<'_>,
            [Resource<Descriptor>; N],
        ) -> FsResult<()>
        + Send
        + 'static,
    ) -> FsResult<()> {
        self.meter.spend(Bound::Files, 1).map_err(|over| self.over(over))?;
        let made = self.theirs(descriptors, call).await;
        if made.is_err() {
            self.meter.give_back(Bound::Files, 1);
        }
        self.told(&path, made)
    }

    /// Tells in the log when a path was refused for where it leads.
    pub(super) fn told<R>(&self, path: &str, result: FsResult<R>) -> FsResult<R> {
        if let Err(error) = &result
            && matches!(error.downcast_ref(), Some(ErrorCode::NotPermitted))
        {
            self.outside(path);
        }
        result
    }

    pub(super) fn outside(&self, path: &str) {
        let what = format!("`{path}`, which leads out of its folder or may not be used");
        self.deny(&what, GRANT);
    }

    /// A limit was gone over: told once in the log, and to the guest as a quota.
    pub(super) fn over(&mut self, exceeded: Exceeded) -> FsError {
        self.tell(exceeded);
        ErrorCode::Quota.into()
    }

    pub(super) fn hold(&mut self) -> FsResult<Arc<Held>> {
        Held::new(&self.meter).map_err(|over| self.over(over))
    }

    pub(super) fn refused(&mut self, path: &str, refused: Refused) -> FsError {
        match refused {
            Refused::Error(error) => error,
            Refused::Exceeded(exceeded) => self.over(exceeded),
            Refused::Outside => {
                self.outside(path);
                ErrorCode::NotPermitted.into()
            }
            Refused::Kind => {
                let message = format!(
                    "denied: `{path}` is neither a file nor a folder; nothing else can be opened"
                );
                self.control.log().remark(LogLevel::Warn, message);
                ErrorCode::NotPermitted.into()
            }
        }
    }

    /// A file, and what keeps it counted as open.
    pub(super) fn file(&self, fd: &Resource<Descriptor>) -> FsResult<(File, Arc<Held>)> {
        let file = match self.table.get(fd)? {
            Descriptor::File(file) => file.clone(),
            Descriptor::Dir(_) => return Err(ErrorCode::IsDirectory.into()),
        };
        let held = self.files.held.get(&fd.rep()).cloned();
        Ok((file, held.ok_or(ErrorCode::BadDescriptor)?))
    }

    pub(super) fn write_stream(
        &mut self,
        fd: &Resource<Descriptor>,
        place: Place,
    ) -> FsResult<Resource<DynOutputStream>> {
        self.pass(&[])?;
        self.changed(fd, "writing")?;
        let (file, held) = self.file(fd)?;
        let blocking = self.files.blocking()?;
        let meter = Arc::clone(&self.meter);
        let writer: DynOutputStream =
            Box::new(Writer::new(file.file, place, blocking, meter, held));
        self.meter.spend(Bound::OpenStreams, 1).map_err(|over| self.over(over))?;
        Ok(self.opened_stream(writer)?)
    }

    /// Opens, and holds what was opened.
    pub(super) async fn open(&mut self, dir: Dir, want: Want) -> FsResult<(Descriptor, Arc<Held>)> {
        let held = self.hold()?;
        let meter = Arc::clone(&self.meter);
        let (path, kept) = (want.path.clone(), Arc::clone(&held));
        let opened = self.files.blocking()?.run(move || {
            let opened = open(&dir, &want, &meter);
            drop(kept);
            opened
        });
        match opened.await? {
            Ok(descriptor) => Ok((descriptor, held)),
            Err(refused) => Err(self.refused(&path, refused)),
        }
    }
}
