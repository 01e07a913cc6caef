//! Opening below a granted folder: files and folders, nothing that would wait for somebody.
//!
//! The kernel resolves the whole path in one call and refuses each step that would lead out: `..`,
//! an absolute path, a link, a link of `/proc`. What is found is first looked at without opening
//! it; what is then opened is looked at again, since it may be another by then. Opening itself never
//! waits: a pipe or a device that slips in between is opened, seen and closed again.

use std::fs::File;
use std::path::Path;

use rustix::fs::{FileType, Mode, OFlags};
use rustix::io::Errno;
use wasmtime_wasi::FsPerms;
use wasmtime_wasi::filesystem::{Descriptor, Dir, File as OpenFile, OpenMode};
use wasmtime_wasi::p2::FsError;
use wasmtime_wasi::p2::bindings::filesystem::types::{
    DescriptorFlags, DescriptorType, ErrorCode, HostDescriptor as _, OpenFlags, PathFlags,
};

use super::WAITS_ITSELF;
use super::theirs;
use crate::engine::meter::Meter;
use crate::job::bound::{Bound, Exceeded};

/// How often a path is tried anew that changed while it was resolved.
const MAX_ATTEMPTS: usize = 64;

/// What a guest wants opened.
#[derive(Clone)]
pub(in crate::engine) struct Want {
    /// Below the folder.
    pub(in crate::engine) path: String,
    /// Whether a link at its end is followed.
    pub(in crate::engine) links: PathFlags,
    /// What is to become of what is there, or is not.
    pub(in crate::engine) open: OpenFlags,
    /// What it is opened for.
    pub(in crate::engine) access: DescriptorFlags,
}

/// Why nothing was opened.
#[derive(Debug)]
pub(in crate::engine) enum Refused {
    /// As the interface says it.
    Error(FsError),
    /// The path leads out of the folder.
    Outside,
    /// It is neither a file nor a folder.
    Kind,
    /// It would be one more than the run may make.
    Exceeded(Exceeded),
}

impl From<ErrorCode> for Refused {
    fn from(code: ErrorCode) -> Self {
        Self::Error(code.into())
    }
}

impl From<Errno> for Refused {
    fn from(error: Errno) -> Self {
        match error {
            Errno::XDEV => Self::Outside,
            error => Self::Error(std::io::Error::from(error).into()),
        }
    }
}

impl Want {
    fn creates(&self) -> bool {
        self.open.contains(OpenFlags::CREATE)
    }

    fn truncates(&self) -> bool {
        self.open.contains(OpenFlags::TRUNCATE)
    }

    fn is_folder(&self) -> bool {
        self.open.contains(OpenFlags::DIRECTORY)
    }

    /// Whether something may be changed through what is opened, or by opening it.
    pub(in crate::engine) fn changes(&self) -> bool {
        self.mode().contains(OpenMode::WRITE)
    }

    /// As wasmtime-wasi sees it.
    fn mode(&self) -> OpenMode {
        let mut mode = OpenMode::empty();
        if self.creates() || self.truncates() || self.access.contains(DescriptorFlags::WRITE) {
            mode |= OpenMode::WRITE;
        }
        let reads = self.access.contains(DescriptorFlags::READ);
        if reads || !self.access.contains(DescriptorFlags::WRITE) {
            mode |= OpenMode::READ;
        }
        mode
    }

    /// What no host does.
    fn check(&self) -> Result<(), ErrorCode> {
        let synced = DescriptorFlags::FILE_INTEGRITY_SYNC
            | DescriptorFlags::DATA_INTEGRITY_SYNC
            | DescriptorFlags::REQUESTED_WRITE_SYNC;
        if self.access.intersects(synced) {
            return Err(ErrorCode::Unsupported);
        }
        let makes = OpenFlags::CREATE | OpenFlags::EXCLUSIVE | OpenFlags::TRUNCATE;
        if self.is_folder() && self.open.intersects(makes) {
            return Err(ErrorCode::Invalid);
        }
        Ok(())
    }
}

/// Opens a granted folder itself, by its path on the host.
///
/// # Errors
///
/// It is not there, is no folder, or may not be opened.
pub(in crate::engine) fn folder(path: &Path) -> std::io::Result<File> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    Ok(File::from(rustix::fs::open(path, flags, Mode::empty())?))
}

/// Opens a file or folder below `dir`.
///
/// # Errors
///
/// [`Refused`].
pub(in crate::engine) fn open(
    dir: &Dir,
    want: &Want,
    meter: &Meter,
) -> Result<Descriptor, Refused> {
    want.check()?;
    #[cfg(target_os = "linux")]
    if beneath::works() {
        let (opened, kind) = beneath::open(dir, want, meter)?;
        return Ok(described(opened, kind, dir.perms, want.mode()));
    }
    checked(dir, want, meter)
}

fn described(opened: File, kind: FileType, perms: FsPerms, mode: OpenMode) -> Descriptor {
    match kind {
        FileType::Directory => Descriptor::Dir(Dir::new(opened, perms, mode, WAITS_ITSELF)),
        _ => Descriptor::File(OpenFile::new(opened, perms, mode, WAITS_ITSELF)),
    }
}

/// Where the kernel can't hold a path below a folder, wasmtime-wasi does so step by step. It waits
/// for whatever is put in a file's place between the look at it and its opening.
fn checked(dir: &Dir, want: &Want, meter: &Meter) -> Result<Descriptor, Refused> {
    let folder = || [Descriptor::Dir(dir.clone())];
    let (links, path) = (want.links, want.path.clone());
    let found = theirs(folder(), async move |view, [fd]| view.stat_at(fd, links, path).await);
    let makes = match found {
        Ok(found) => match found.type_ {
            DescriptorType::RegularFile | DescriptorType::Directory => false,
            DescriptorType::SymbolicLink => return Err(ErrorCode::Loop.into()),
            _ => return Err(Refused::Kind),
        },
        Err(error) if matches!(error.downcast_ref(), Some(ErrorCode::NoEntry)) => want.creates(),
        Err(error) => return Err(Refused::Error(error)),
    };
    if makes {
        meter.spend(Bound::Files, 1).map_err(Refused::Exceeded)?;
    }
    let Want { path, links, open, access } = want.clone();
    let opened = theirs(folder(), async move |view, [fd]| {
        let opened = view.open_at(fd, links, path, open, access).await?;
        Ok(view.table.delete(opened)?)
    });
    let opened = opened.map_err(|error| {
        if makes {
            meter.give_back(Bound::Files, 1);
        }
        Refused::Error(error)
    })?;
    Ok(match opened {
        Descriptor::Dir(opened) => {
            let mut ours = dir.clone();
            (ours.dir, ours.open_mode) = (opened.dir, opened.open_mode);
            Descriptor::Dir(ours)
        }
        Descriptor::File(opened) => {
            let file = opened.file.try_clone().map_err(|error| Refused::Error(error.into()))?;
            Descriptor::File(OpenFile::new(file, opened.perms, opened.open_mode, WAITS_ITSELF))
        }
    })
}

/// Linux from 5.6 on holds a path below a folder by itself.
#[cfg(target_os = "linux")]
mod beneath {
    use std::os::fd::OwnedFd;
    use std::sync::LazyLock;

    use rustix::fs::{CWD, ResolveFlags, fstat, openat2};

    use super::*;

    const RESOLVE: ResolveFlags = ResolveFlags::BENEATH.union(ResolveFlags::NO_MAGICLINKS);
    /// Reading and writing, before the process's mask.
    const NEW_FILE: u32 = 0o666;

    /// Whether it does. Old kernels don't, and sandboxes around this process may not let it.
    pub(super) fn works() -> bool {
        static WORKS: LazyLock<bool> = LazyLock::new(|| {
            let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
            let opened = openat2(CWD, ".", flags, Mode::empty(), RESOLVE);
            !matches!(opened, Err(Errno::NOSYS | Errno::PERM))
        });
        *WORKS
    }

    /// Opens it. Answers with what it is, too.
    pub(super) fn open(dir: &Dir, want: &Want, meter: &Meter) -> Result<(File, FileType), Refused> {
        let mut look = OFlags::PATH;
        if want.is_folder() {
            look |= OFlags::DIRECTORY;
        }
        let mode = want.mode();
        let access = if mode.contains(OpenMode::READ | OpenMode::WRITE) {
            OFlags::RDWR
        } else if mode.contains(OpenMode::WRITE) {
            OFlags::WRONLY
        } else {
            OFlags::RDONLY
        };
        let access = access | OFlags::NONBLOCK | OFlags::NOCTTY;
        for _ in 0..MAX_ATTEMPTS {
            match resolve(dir, want, look, Mode::empty()) {
                Ok(found) => {
                    if want.creates() && want.open.contains(OpenFlags::EXCLUSIVE) {
                        return Err(ErrorCode::Exist.into());
                    }
                    kind(&found)?;
                    let emptied = if want.truncates() { OFlags::TRUNC } else { OFlags::empty() };
                    match resolve(dir, want, access | emptied, Mode::empty()) {
                        // It went away meanwhile.
                        Err(Errno::NOENT) => {}
                        Err(error) => return Err(error.into()),
                        Ok(opened) => {
                            let kind = kind(&opened)?;
                            return Ok((File::from(opened), kind));
                        }
                    }
                }
                Err(Errno::NOENT) if want.creates() => {
                    meter.spend(Bound::Files, 1).map_err(Refused::Exceeded)?;
                    let new = access | OFlags::CREATE | OFlags::EXCL;
                    let made = resolve(dir, want, new, Mode::from_raw_mode(NEW_FILE));
                    match made {
                        Ok(made) => return Ok((File::from(made), FileType::RegularFile)),
                        Err(error) => {
                            meter.give_back(Bound::Files, 1);
                            // Somebody else made it meanwhile; or it is a link to nothing.
                            if error != Errno::EXIST {
                                return Err(error.into());
                            }
                        }
                    }
                }
                Err(error) => return Err(error.into()),
            }
        }
        Err(ErrorCode::NoEntry.into())
    }

    fn resolve(dir: &Dir, want: &Want, flags: OFlags, mode: Mode) -> Result<OwnedFd, Errno> {
        let mut flags = flags | OFlags::CLOEXEC;
        if !want.links.contains(PathFlags::SYMLINK_FOLLOW) {
            flags |= OFlags::NOFOLLOW;
        }
        for _ in 0..MAX_ATTEMPTS {
            match openat2(&dir.dir, want.path.as_str(), flags, mode, RESOLVE) {
                // Something was renamed while `..` was resolved; or somebody has a lease on it.
                Err(Errno::AGAIN | Errno::INTR) => {}
                opened => return opened,
            }
        }
        Err(Errno::BUSY)
    }

    fn kind(opened: &OwnedFd) -> Result<FileType, Refused> {
        match FileType::from_raw_mode(fstat(opened)?.st_mode) {
            kind @ (FileType::RegularFile | FileType::Directory) => Ok(kind),
            FileType::Symlink => Err(ErrorCode::Loop.into()),
            _ => Err(Refused::Kind),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;
    use crate::job::bound::Bounds;

    type Opens = fn(&Dir, &Want, &Meter) -> Result<Descriptor, Refused>;

    /// Both ways, whichever the kernel allows.
    const WAYS: [(&str, Opens); 2] = [("the kernel's", open), ("step by step", checked)];

    fn granted(path: &Path) -> Dir {
        let mode = OpenMode::READ | OpenMode::WRITE;
        Dir::new(folder(path).unwrap(), FsPerms::ReadWrite, mode, WAITS_ITSELF)
    }

    fn want(path: &str, open: OpenFlags) -> Want {
        let access = DescriptorFlags::READ;
        Want { path: path.into(), links: PathFlags::SYMLINK_FOLLOW, open, access }
    }

    fn code(refused: Refused) -> String {
        match refused {
            Refused::Error(error) => error.downcast().unwrap().to_string(),
            other => format!("{other:?}"),
        }
    }

    #[test]
    fn files_and_folders_are_opened_and_nothing_else_nor_outside() {
        for (way, opens) in WAYS {
            let dir = tempfile::tempdir().unwrap();
            let path = |name: &str| dir.path().join(name);
            std::fs::create_dir_all(path("granted/folder")).unwrap();
            std::fs::write(path("secret"), "").unwrap();
            std::fs::write(path("granted/file"), "").unwrap();
            for (to, at) in [("file", "link"), ("../secret", "out"), ("nowhere", "nothing")] {
                symlink(to, path(&format!("granted/{at}"))).unwrap();
            }
            let mode = Mode::from_raw_mode(0o600);
            let pipe = path("granted/pipe");
            rustix::fs::mknodat(rustix::fs::CWD, pipe, FileType::Fifo, mode, 0).unwrap();
            let granted = granted(&path("granted"));
            let meter = Meter::new(Bounds::default());
            let open = |path: &str| opens(&granted, &want(path, OpenFlags::empty()), &meter);
            for file in ["file", "link", "folder/../file"] {
                assert!(matches!(open(file), Ok(Descriptor::File(_))), "{way}: {file}");
            }
            for folder in ["folder", "."] {
                assert!(matches!(open(folder), Ok(Descriptor::Dir(_))), "{way}: {folder}");
            }
            for outside in ["../secret", "out", "/etc/passwd", "nothing", "none", "pipe"] {
                assert!(open(outside).is_err(), "{way}: {outside}");
            }
            assert!(matches!(open("pipe"), Err(Refused::Kind)), "{way}");
            let file = want("file", OpenFlags::DIRECTORY);
            assert!(opens(&granted, &file, &meter).is_err(), "{way}");
        }
    }

    #[test]
    fn what_is_made_is_counted_and_what_was_there_is_not() {
        for (way, opens) in WAYS {
            let dir = tempfile::tempdir().unwrap();
            std::fs::write(dir.path().join("there"), "text").unwrap();
            let granted = granted(dir.path());
            let meter = Meter::new(Bounds::default().with(Bound::Files, 2));
            let make = |path: &str, more: OpenFlags| {
                opens(&granted, &want(path, OpenFlags::CREATE | more), &meter).map(drop)
            };
            let none = OpenFlags::empty();
            for path in ["there", "one", "one", "two", "two"] {
                assert!(make(path, none).is_ok(), "{way}: {path}");
            }
            assert!(make("none/three", none).is_err(), "{way}");
            assert!(make("one", OpenFlags::EXCLUSIVE).is_err(), "{way}");
            let over = make("three", none).map_err(code).unwrap_err();
            assert!(over.contains("Files"), "{way}: {over}");
            assert!(!dir.path().join("three").exists(), "{way}");
            assert!(make("there", OpenFlags::TRUNCATE).is_ok(), "{way}");
            assert_eq!(std::fs::read(dir.path().join("there")).unwrap(), b"", "{way}");
        }
    }
}
