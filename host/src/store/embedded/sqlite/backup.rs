//! A whole copy of a file, made beside a host that works on it.

use std::fs::{self, File};
use std::io;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use super::fault::fault;
use super::file;
use crate::store::Result;
use crate::store::error::StoreError;

/// Copies the store at `path` to the new file `to`, which is there when all of it is on disk.
pub(in crate::store::embedded) fn backup(path: &Path, to: &Path) -> Result<()> {
    let cannot = |error: io::Error| {
        StoreError::Unavailable(format!("cannot write `{}`: {error}", to.display()))
    };
    if to.exists() {
        return Err(StoreError::Denied(format!(
            "there is a file `{}` already; name another",
            to.display()
        )));
    }
    let connection = file::open_to_read(path)?;
    let part = part_of(to);
    let _ = fs::remove_file(&part);
    // SQLite takes an empty file for a new one: made here, it is for its owner alone.
    File::options().create_new(true).write(true).mode(0o600).open(&part).map_err(cannot)?;
    let copied = connection
        .execute("VACUUM INTO ?1", [part.to_string_lossy()])
        .map_err(fault)
        .and_then(|_| File::open(&part).and_then(|file| file.sync_all()).map_err(cannot))
        .and_then(|()| fs::rename(&part, to).map_err(cannot));
    if copied.is_err() {
        let _ = fs::remove_file(&part);
    }
    copied
}

/// What a file is called until it is whole.
fn part_of(path: &Path) -> PathBuf {
    let mut part = path.as_os_str().to_owned();
    part.push(".part");
    part.into()
}
