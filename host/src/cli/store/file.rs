//! The portable form as a file: written whole or not at all, and read line by line.

use std::fs::File;
use std::io::{BufRead, BufReader, Read};
use std::path::{Path, PathBuf};

use crate::cli::exit::Failure;
use crate::record::portable::{Counts, FORM, Header, Line, MAX_LINE_BYTES, Record};
use crate::store::portable::{self, NotWritten};
use crate::time::Timestamp;

/// Bytes read at once.
const BUFFER: usize = 1 << 20;

/// A file that is being written, or standard output.
pub struct Writer(portable::Writer);

impl Writer {
    /// Begins a file, or standard output, with the line that says what it is.
    ///
    /// # Errors
    ///
    /// It can't be made or written.
    pub fn create(path: Option<&Path>, from: &str, at: Timestamp) -> Result<Self, Failure> {
        portable::Writer::create(path, from, at).map(Self).map_err(failure)
    }

    /// Writes one record.
    ///
    /// # Errors
    ///
    /// It can't be written.
    pub fn write(&mut self, record: &Record) -> Result<(), Failure> {
        self.0.write(record).map_err(failure)
    }

    /// Writes the last line; then the file is there.
    ///
    /// # Errors
    ///
    /// It can't be written.
    pub fn finish(self) -> Result<(), Failure> {
        self.0.finish().map_err(failure)
    }
}

fn failure(error: NotWritten) -> Failure {
    match error {
        NotWritten::Output(error) => Failure::writing(&error),
        NotWritten::File { .. } => Failure::failed(error),
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
