//! Records on their way: from a store or a file, to a file or a store.

use std::path::Path;

use super::file::{Reader, Writer};
use super::progress::Progress;
use crate::cli::exit::Failure;
use crate::record::portable::{Counts, Import, Record};
use crate::run::RunState;
use crate::store::Store;
use crate::store::error::StoreError;

/// Records handed over at once.
const AT_ONCE: usize = 512;
/// The same in bytes.
const BYTES_AT_ONCE: usize = 4 << 20;
/// How often a call is made again whose answer was lost.
const TRIES: usize = 5;

/// What was moved.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Moved {
    /// How much.
    pub counts: Counts,
    /// Runs among them that a host held.
    pub under_way: u64,
}

impl Moved {
    fn note(&mut self, record: &Record) {
        self.counts.add(record);
        if let Record::Run(record) = record
            && record.run.state == RunState::Running
        {
            self.under_way += 1;
        }
    }
}

/// Writes everything in `store`.
///
/// # Errors
///
/// It can't be read or written.
pub async fn to_file(store: &dyn Store, writer: &mut Writer) -> Result<Moved, Failure> {
    let (mut moved, mut progress, mut cursor) = (Moved::default(), Progress::new("exported"), None);
    loop {
        let page = store.export(cursor).await.map_err(|error| reading(&error))?;
        for record in &page.items {
            writer.write(record)?;
            moved.note(record);
        }
        progress.tell(&moved.counts);
        cursor = page.next_cursor;
        if cursor.is_none() {
            progress.end();
            return Ok(moved);
        }
    }
}

/// Takes over a file that was checked.
///
/// # Errors
///
/// It can't be read; the store refuses it.
pub async fn from_file(path: &Path, counts: Counts, to: &dyn Store) -> Result<Moved, Failure> {
    let (mut reader, mut filling) = (Reader::open(path)?, Filling::begin(to).await?);
    while let Some(record) = reader.next()? {
        filling.add(record).await?;
    }
    // It was checked before: another may have been put in its place.
    if reader.counts() != counts {
        return Err(Failure::failed(format!(
            "`{}` was changed while it was read; {REPEAT}",
            path.display()
        )));
    }
    filling.end().await
}

/// Takes over everything in `from`.
///
/// # Errors
///
/// One of them can't be read, or refuses.
pub async fn copy(from: &dyn Store, to: &dyn Store) -> Result<Moved, Failure> {
    // First, so that what can't be read leaves the other as it is.
    let mut page = from.export(None).await.map_err(|error| reading(&error))?;
    let mut filling = Filling::begin(to).await?;
    loop {
        for record in page.items {
            filling.add(record).await?;
        }
        let Some(cursor) = page.next_cursor else { return filling.end().await };
        page = from.export(Some(cursor)).await.map_err(|error| reading(&error))?;
    }
}

const REPEAT: &str = "nothing counts that was written so far, and no host can use it: make the same \
                      call again";

/// A store that is being filled.
struct Filling<'a> {
    to: &'a dyn Store,
    records: Vec<Record>,
    weight: usize,
    moved: Moved,
    progress: Progress,
}

impl<'a> Filling<'a> {
    async fn begin(to: &'a dyn Store) -> Result<Self, Failure> {
        send(to, Import::Begin).await.map_err(|error| match &error {
            StoreError::Unfit(why) => Failure::failed(format!(
                "{} takes no import: {why}; name another, or remove what is there",
                to.caps().name
            )),
            _ => Failure::failed(format!("can't write to {}: {error}", to.caps().name)),
        })?;
        let (moved, progress) = (Moved::default(), Progress::new("copied"));
        Ok(Self { to, records: Vec::new(), weight: 0, moved, progress })
    }

    async fn add(&mut self, record: Record) -> Result<(), Failure> {
        self.moved.note(&record);
        self.weight += record.weight();
        self.records.push(record);
        if AT_ONCE <= self.records.len() || BYTES_AT_ONCE <= self.weight {
            self.flush().await?;
        }
        Ok(())
    }

    async fn flush(&mut self) -> Result<(), Failure> {
        let records = std::mem::take(&mut self.records);
        self.weight = 0;
        self.progress.tell(&self.moved.counts);
        self.step(Import::Records(records)).await
    }

    async fn end(mut self) -> Result<Moved, Failure> {
        self.flush().await?;
        self.step(Import::End).await?;
        self.progress.end();
        Ok(self.moved)
    }

    async fn step(&self, step: Import) -> Result<(), Failure> {
        send(self.to, step).await.map_err(|error| {
            self.progress.end();
            Failure::failed(format!("can't write to {}: {error}; {REPEAT}", self.to.caps().name))
        })
    }
}

/// Makes one step, again and again while it may or may not have been done.
async fn send(to: &dyn Store, step: Import) -> Result<(), StoreError> {
    let mut answer = to.import(step.clone()).await;
    for _ in 1..TRIES {
        if !matches!(answer, Err(StoreError::Unknown(_))) {
            break;
        }
        answer = to.import(step.clone()).await;
    }
    answer
}

fn reading(error: &StoreError) -> Failure {
    Failure::failed(format!("can't read the store: {error}"))
}
