//! Who changed what: one line for each change, kept in the store, newest first.
//!
//! [`note`] never fails what it tells of: a line that can't be written is logged and left out. A line
//! is bounded, and so are the lines of a tenant. Secrets stand in none: what is told of a job is its
//! definition, which names them.

pub mod action;

use std::sync::Arc;

use serde::{Deserialize, Serialize};
use serde_json::Value;
use tracing::warn;

use crate::job::names::TenantId;
use crate::record::query::{MAX_PAGE, Page, Paged};
use crate::store::{Result, Store};
use crate::time::Timestamp;
use action::Action;

/// Lines that are kept of one tenant; of more the oldest go.
pub const MAX_LINES: usize = 10_000;
/// Bytes of JSON that are kept of what was before, and of what was after.
pub const MAX_SIDE_BYTES: usize = 4 << 10;
/// Bytes of a target's name that are kept.
const MAX_TARGET_BYTES: usize = 512;
/// Lines that one look goes through at most, to find those that were asked for.
const MAX_SCANNED: usize = 5_000;
/// About so many notes pass until the old lines are counted again.
const TRIM_EVERY: u8 = 128;
/// The kind of the documents.
const KIND: &str = "audit";

/// A change, as it is kept and shown.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Note {
    /// When.
    pub time: Timestamp,
    /// Who: `local`, `token ID`, `job ID`, `file` for what a file changed, or `host` for what the host
    /// does by itself.
    pub who: String,
    /// From which address; null: from within.
    pub from: Option<String>,
    /// What.
    pub action: Action,
    /// Whose thing; null: the host's.
    pub tenant: Option<TenantId>,
    /// Which.
    pub target: String,
    /// How it was; null when it was not there.
    pub before: Value,
    /// How it is; null when it is gone.
    pub after: Value,
}

impl Note {
    /// A change by whoever writes the host's files.
    pub fn by_file(
        time: Timestamp,
        action: Action,
        tenant: Option<TenantId>,
        target: impl ToString,
    ) -> Self {
        Self::by("file", time, action, tenant, target)
    }

    /// A change that the host makes by itself.
    pub fn by_host(
        time: Timestamp,
        action: Action,
        tenant: Option<TenantId>,
        target: impl ToString,
    ) -> Self {
        Self::by("host", time, action, tenant, target)
    }

    fn by(
        who: &str,
        time: Timestamp,
        action: Action,
        tenant: Option<TenantId>,
        target: impl ToString,
    ) -> Self {
        Self {
            time,
            who: who.to_owned(),
            from: None,
            action,
            tenant,
            target: target.to_string(),
            before: Value::Null,
            after: Value::Null,
        }
    }

    /// The same with how it was and how it is.
    pub fn changed(self, before: Value, after: Value) -> Self {
        Self { before, after, ..self }
    }
}

/// Which lines.
#[derive(Clone, Debug, Default)]
pub struct Filter {
    /// From then on.
    pub since: Option<Timestamp>,
    /// That tell of this.
    pub action: Option<Action>,
    /// About this.
    pub target: Option<String>,
    /// Whether those about the host itself, too; they stand with the tenant `default`.
    pub of_host: bool,
}

/// Keeps a change that was made.
pub async fn note(store: &Arc<dyn Store>, note: Note) {
    let tenant = note.tenant.clone().unwrap_or_else(TenantId::default_tenant);
    let note = Note {
        target: cut(note.target, MAX_TARGET_BYTES),
        before: bounded(note.before),
        after: bounded(note.after),
        ..note
    };
    let mut random = [0; 8];
    // Without it two lines of one microsecond would be one.
    let written = match (getrandom::fill(&mut random), serde_json::to_vec(&note)) {
        (Ok(()), Ok(value)) => {
            let key = key(note.time, u64::from_be_bytes(random));
            let put = store.doc_put(&tenant, KIND, &key, None, Some(value)).await;
            put.map(drop).map_err(|error| error.to_string())
        }
        (Err(error), _) => Err(error.to_string()),
        (_, Err(error)) => Err(error.to_string()),
    };
    if let Err(error) = written {
        warn!(%error, who = %note.who, action = note.action.word(), target = %note.target,
            "a change is missing in the audit");
    }
    if random[7] % TRIM_EVERY == 0 {
        let store = Arc::clone(store);
        tokio::spawn(async move {
            if let Err(error) = trim(store.as_ref(), &tenant, MAX_LINES).await {
                warn!(%error, %tenant, "old lines of the audit could not be removed");
            }
        });
    }
}

/// Lines about a tenant's things, newest first. A page may be short, or empty, and have a next one.
///
/// # Errors
///
/// The store's.
pub async fn lines(
    store: &dyn Store,
    tenant: &TenantId,
    filter: &Filter,
    page: Page,
) -> Result<Paged<Note>> {
    let limit = page.limit.clamp(1, MAX_PAGE);
    let (mut items, mut scanned, mut cursor) = (Vec::new(), 0, page.cursor);
    loop {
        let wanted = Page { limit: limit - items.len(), cursor };
        let found = store.doc_list(tenant, KIND, wanted).await?;
        scanned += found.items.len();
        for doc in found.items {
            // What another version wrote and this one can't read is passed over.
            let Ok(line) = serde_json::from_slice::<Note>(&doc.value) else { continue };
            if filter.since.is_some_and(|since| line.time < since) {
                return Ok(Paged { items, next_cursor: None });
            }
            if filter.wants(&line) {
                items.push(line);
            }
        }
        cursor = found.next_cursor;
        if cursor.is_none() || items.len() >= limit || MAX_SCANNED <= scanned {
            return Ok(Paged { items, next_cursor: cursor });
        }
    }
}

impl Filter {
    fn wants(&self, line: &Note) -> bool {
        self.action.is_none_or(|action| action == line.action)
            && self.target.as_ref().is_none_or(|target| *target == line.target)
            && (self.of_host || line.tenant.is_some())
    }
}

/// Removes all but the newest `keep` lines of a tenant.
async fn trim(store: &dyn Store, tenant: &TenantId, keep: usize) -> Result<()> {
    let (mut passed, mut cursor) = (0, None);
    loop {
        let page = store.doc_list(tenant, KIND, Page { limit: MAX_PAGE, cursor }).await?;
        for (number, doc) in page.items.iter().enumerate() {
            if keep <= passed + number {
                store.doc_put(tenant, KIND, &doc.key, None, None).await?;
            }
        }
        passed += page.items.len();
        cursor = page.next_cursor;
        if cursor.is_none() {
            return Ok(());
        }
    }
}

/// Documents are listed by key, so the newest has the smallest.
fn key(now: Timestamp, random: u64) -> String {
    format!("{:016x}-{random:016x}", i64::MAX - now.micros())
}

/// The value, or the beginning of its text where it is long.
fn bounded(value: Value) -> Value {
    let text = value.to_string();
    if text.len() <= MAX_SIDE_BYTES { value } else { Value::String(cut(text, MAX_SIDE_BYTES)) }
}

fn cut(text: String, bytes: usize) -> String {
    if text.len() <= bytes {
        return text;
    }
    let mut end = bytes;
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    format!("{} ... (cut: {} bytes)", text.get(..end).unwrap_or_default(), text.len())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::store::embedded::EmbeddedStore;

    fn at(secs: i64) -> Timestamp {
        Timestamp::from_secs(secs)
    }

    async fn store_of(notes: i64) -> Arc<dyn Store> {
        let store: Arc<dyn Store> = Arc::new(EmbeddedStore::memory());
        let tenant = TenantId::default_tenant();
        for number in 0..notes {
            let (action, whose) = match number % 3 {
                0 => (Action::TokenAdded, None),
                1 => (Action::JobCreated, Some(tenant.clone())),
                _ => (Action::JobRemoved, Some(tenant.clone())),
            };
            note(&store, Note::by_file(at(number), action, whose, format!("t{}", number % 2)))
                .await;
        }
        store
    }

    async fn targets(store: &Arc<dyn Store>, filter: Filter, limit: usize) -> Vec<i64> {
        let (mut times, mut cursor) = (Vec::new(), None);
        loop {
            let page = Page { limit, cursor };
            let tenant = TenantId::default_tenant();
            let found = lines(store.as_ref(), &tenant, &filter, page).await.unwrap();
            assert!(found.items.len() <= limit);
            times.extend(found.items.iter().map(|line| line.time.micros() / 1_000_000));
            cursor = found.next_cursor;
            if cursor.is_none() {
                return times;
            }
        }
    }

    #[tokio::test]
    async fn lines_come_newest_first_and_as_they_are_asked_for() {
        let store = store_of(7).await;
        let all = Filter { of_host: true, ..Filter::default() };
        for (filter, expected) in [
            (all.clone(), vec![6, 5, 4, 3, 2, 1, 0]),
            (Filter::default(), vec![5, 4, 2, 1]),
            (Filter { since: Some(at(4)), ..all.clone() }, vec![6, 5, 4]),
            (Filter { action: Some(Action::JobRemoved), ..all.clone() }, vec![5, 2]),
            (Filter { target: Some("t1".into()), ..all }, vec![5, 3, 1]),
        ] {
            for limit in [1, 2, 100] {
                assert_eq!(targets(&store, filter.clone(), limit).await, expected, "{filter:?}");
            }
        }
    }

    #[tokio::test]
    async fn the_oldest_lines_go() {
        let store = store_of(7).await;
        let tenant = TenantId::default_tenant();
        trim(store.as_ref(), &tenant, 3).await.unwrap();
        let all = Filter { of_host: true, ..Filter::default() };
        assert_eq!(targets(&store, all, 100).await, [6, 5, 4]);
    }

    #[tokio::test]
    async fn what_is_long_is_cut_with_a_mark() {
        let store: Arc<dyn Store> = Arc::new(EmbeddedStore::memory());
        let tenant = TenantId::default_tenant();
        let long = json!({"args": "ü".repeat(MAX_SIDE_BYTES)});
        let told =
            Note::by_file(at(1), Action::JobReplaced, Some(tenant.clone()), "x".repeat(10_000));
        note(&store, told.changed(json!({"a": 1}), long)).await;
        let page = lines(store.as_ref(), &tenant, &Filter::default(), Page::default()).await;
        let line = page.unwrap().items.pop().unwrap();
        assert_eq!((line.who.as_str(), &line.before), ("file", &json!({"a": 1})));
        let after = line.after.as_str().unwrap();
        assert!(after.starts_with("{\"args\":\"ü") && after.len() < MAX_SIDE_BYTES + 64);
        assert!(after.ends_with(" bytes)") && line.target.len() < 600, "{after}");
    }
}
