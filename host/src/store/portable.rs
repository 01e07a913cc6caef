//! The portable form as a file that is being written: there whole or not at all.

use std::fs::{self, File};
use std::io::{self, BufWriter, Write};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use serde::Serialize;

use crate::record::portable::{Counts, FORM, Footer, Header, Record};
use crate::time::Timestamp;

/// Bytes written at once.
const BUFFER: usize = 1 << 20;

/// Why it can't be written.
#[derive(Debug, thiserror::Error)]
pub enum NotWritten {
    /// The file of this name, or its folder.
    #[error("can't write `{}`: {error}", path.display())]
    File {
        /// Which.
        path: PathBuf,
        /// Why.
        error: io::Error,
    },
    /// What is written to.
    #[error("can't write the output: {0}")]
    Output(io::Error),
}

/// A file that is being written, under another name until it is whole; or standard output.
pub struct Writer {
    to: BufWriter<Box<dyn Write + Send>>,
    /// What it is called until then, and then; `None`: it is standard output.
    names: Option<(PathBuf, PathBuf)>,
    counts: Counts,
}

impl Writer {
    /// Begins a file, or standard output, with the line that says what it is.
    ///
    /// # Errors
    ///
    /// It can't be made or written.
    pub fn create(path: Option<&Path>, from: &str, at: Timestamp) -> Result<Self, NotWritten> {
        let (to, names): (Box<dyn Write + Send>, _) = match path {
            None => (Box::new(io::stdout()), None),
            Some(path) => {
                let mut part = path.as_os_str().to_owned();
                part.push(".part");
                let part = PathBuf::from(part);
                let mut options = File::options();
                // Arguments and logs are nobody else's business.
                options.create(true).write(true).truncate(true).mode(0o600);
                let file = options
                    .open(&part)
                    .map_err(|error| NotWritten::File { path: part.clone(), error })?;
                (Box::new(file), Some((part, path.to_owned())))
            }
        };
        let to = BufWriter::with_capacity(BUFFER, to);
        let mut writer = Self { to, names, counts: Counts::default() };
        writer.line(&Header { campanile: FORM, from: from.to_owned(), at })?;
        Ok(writer)
    }

    /// Writes one record.
    ///
    /// # Errors
    ///
    /// It can't be written.
    pub fn write(&mut self, record: &Record) -> Result<(), NotWritten> {
        self.counts.add(record);
        self.line(record)
    }

    /// Writes the last line; then the file is there.
    ///
    /// # Errors
    ///
    /// It can't be written.
    pub fn finish(mut self) -> Result<(), NotWritten> {
        let end = self.counts;
        self.line(&Footer { end })?;
        self.to.flush().map_err(NotWritten::Output)?;
        let Some((part, path)) = self.names.take() else { return Ok(()) };
        let kept = File::open(&part).and_then(|file| file.sync_all());
        let named = kept.and_then(|()| fs::rename(&part, &path));
        // With its name: a folder is written as a file is.
        let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty());
        let folder = folder.unwrap_or(Path::new("."));
        named
            .and_then(|()| File::open(folder)?.sync_all())
            .map_err(|error| NotWritten::File { path, error })
    }

    fn line(&mut self, value: &impl Serialize) -> Result<(), NotWritten> {
        serde_json::to_writer(&mut self.to, value)
            .map_err(io::Error::from)
            .and_then(|()| self.to.write_all(b"\n"))
            .map_err(NotWritten::Output)
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        if let Some((part, _)) = &self.names {
            // It is of no use to anybody; when it can't be removed, it says so by its name.
            let _ = fs::remove_file(part);
        }
    }
}
