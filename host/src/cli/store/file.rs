//! The portable form as a file: written whole or not at all, and read line by line.

use std::fs::{self, File};
use std::io::{self, BufRead, BufReader, BufWriter, Read, Write};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use serde::Serialize;

use crate::cli::exit::Failure;
use crate::record::portable::{Counts, FORM, Footer, Header, Line, MAX_LINE_BYTES, Record};
use crate::time::Timestamp;

/// Bytes read or written at once.
const BUFFER: usize = 1 << 20;

/// A file that is being written, under another name until it is whole; or standard output.
pub struct Writer {
    to: BufWriter<Box<dyn Write>>,
    /// What it is called until then, and then.
    names: Option<(PathBuf, PathBuf)>,
    counts: Counts,
}

impl Writer {
    /// Begins a file, or standard output, with the line that says what it is.
    ///
    /// # Errors
    ///
    /// It can't be made or written.
    pub fn create(path: Option<&Path>, from: &str, at: Timestamp) -> Result<Self, Failure> {
        let (to, names): (Box<dyn Write>, _) = match path {
            None => (Box::new(io::stdout().lock()), None),
            Some(path) => {
                let mut part = path.as_os_str().to_owned();
                part.push(".part");
                let part = PathBuf::from(part);
                let mut options = File::options();
                // Arguments and logs are nobody else's business.
                options.create(true).write(true).truncate(true).mode(0o600);
                let file = options.open(&part).map_err(|error| {
                    Failure::failed(format!("can't write `{}`: {error}", part.display()))
                })?;
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
    pub fn write(&mut self, record: &Record) -> Result<(), Failure> {
        self.counts.add(record);
        self.line(record)
    }

    /// Writes the last line; then the file is there.
    ///
    /// # Errors
    ///
    /// It can't be written.
    pub fn finish(mut self) -> Result<(), Failure> {
        let end = self.counts;
        self.line(&Footer { end })?;
        self.to.flush().map_err(|error| Failure::writing(&error))?;
        let Some((part, path)) = self.names.take() else { return Ok(()) };
        let kept = File::open(&part).and_then(|file| file.sync_all());
        kept.and_then(|()| fs::rename(&part, &path))
            .map_err(|error| Failure::failed(format!("can't write `{}`: {error}", path.display())))
    }

    fn line(&mut self, value: &impl Serialize) -> Result<(), Failure> {
        serde_json::to_writer(&mut self.to, value)
            .map_err(io::Error::from)
            .and_then(|()| self.to.write_all(b"\n"))
            .map_err(|error| Failure::writing(&error))
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

/// A file that is being read.
pub struct Reader {
    path: PathBuf,
    from: BufReader<File>,
    /// The line that was read last, from 1.
    number: u64,
    counts: Counts,
}

impl Reader {
    /// Opens a file and reads its first line.
    ///
    /// # Errors
    ///
    /// It can't be read, or is something else.
    pub fn open(path: &Path) -> Result<Self, Failure> {
        let file = File::open(path)
            .map_err(|error| Failure::usage(format!("can't read `{}`: {error}", path.display())))?;
        let from = BufReader::with_capacity(BUFFER, file);
        let mut reader = Self { path: path.to_owned(), from, number: 0, counts: Counts::default() };
        let first = reader.line()?.unwrap_or_default();
        let header: Header = serde_json::from_str(&first).map_err(|_| {
            reader.wrong("it is not what `host store export` writes: that begins with `campanile`")
        })?;
        if FORM < header.campanile {
            let form = header.campanile;
            return Err(reader.wrong(&format!(
                "it has form {form}, and this host reads form {FORM}: use the newer host"
            )));
        }
        Ok(reader)
    }

    /// The next record; `None` after the last.
    ///
    /// # Errors
    ///
    /// A line makes no sense, is missing, or is too many.
    pub fn next(&mut self) -> Result<Option<Record>, Failure> {
        let Some(text) = self.line()? else {
            return Err(self.wrong(&format!(
                "the file ends here, after {}, and its last line is missing: it was cut",
                self.counts
            )));
        };
        match Line::read(&text).map_err(|why| self.wrong(&why))? {
            Line::Record(record) => {
                self.counts.add(&record);
                Ok(Some(record))
            }
            Line::End(counts) if counts != self.counts => Err(self.wrong(&format!(
                "the last line counts {counts}, and before it stand {}: lines are missing or too \
                 many",
                self.counts
            ))),
            Line::End(_) => match self.line()? {
                None => Ok(None),
                Some(_) => Err(self.wrong("something stands after the last line")),
            },
        }
    }

    /// What was read so far.
    pub fn counts(&self) -> Counts {
        self.counts
    }

    fn line(&mut self) -> Result<Option<String>, Failure> {
        let mut bytes = Vec::new();
        let limited = (&mut self.from).take(MAX_LINE_BYTES);
        let read = { limited }.read_until(b'\n', &mut bytes);
        self.number += 1;
        read.map_err(|error| self.wrong(&error.to_string()))?;
        if bytes.is_empty() {
            return Ok(None);
        }
        if bytes.pop() != Some(b'\n') {
            return Err(
                self.wrong("the line has no end: the file was cut, or the line is too long")
            );
        }
        let text = String::from_utf8(bytes);
        text.map(Some).map_err(|_| self.wrong("it is no text in UTF-8"))
    }

    fn wrong(&self, why: &str) -> Failure {
        Failure::failed(format!("`{}`, line {}: {why}", self.path.display(), self.number))
    }
}

/// Reads all of a file without doing anything with it. Answers how much is in it.
///
/// # Errors
///
/// What is wrong with it, and where.
pub fn check(path: &Path) -> Result<Counts, Failure> {
    let mut reader = Reader::open(path)?;
    while reader.next()?.is_some() {}
    Ok(reader.counts())
}
