//! Who changed what: one line for each change, kept in the store, newest first.
//!
//! [`note`] never fails what it tells of: a line that can't be written is logged and left out. A line
//! is bounded, and so are the lines of a tenant. Secrets stand in none: what is told of a job is its
//! definition, which names them.

use std::sync::Arc;

use serde::{Deserialize, Serialize};
use serde_json::Value;
use tracing::warn;

use crate::job::names::TenantId;
use crate::record::query::{MAX_PAGE, Page, Paged};
use crate::store::{Result, Store};
use crate::time::Timestamp;

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

/// What was done.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(into = "&'static str", try_from = "String")]
pub enum Action {
    /// A job was made.
    JobCreated,
    /// A job was given another definition.
    JobReplaced,
    /// A job was removed.
    JobRemoved,
    /// A job was paused.
    JobPaused,
    /// A job goes on.
    JobResumed,
    /// A run was asked for, or several.
    RunAsked,
    /// A run was cancelled.
    RunCancelled,
    /// The scheduler was paused.
    SchedulerPaused,
    /// The scheduler goes on.
    SchedulerResumed,
    /// A token appeared in the file of tokens.
    TokenAdded,
    /// A token stands there with another role, tenant, secret or end.
    TokenChanged,
    /// A token was taken out.
    TokenRemoved,
    /// A plugin has another version, or was taken out.
    PluginChanged,
    /// The configuration was read again.
    ConfigReloaded,
}

impl Action {
    /// All of them.
    pub const ALL: [Self; 14] = [
        Self::JobCreated,
        Self::JobReplaced,
        Self::JobRemoved,
        Self::JobPaused,
        Self::JobResumed,
        Self::RunAsked,
        Self::RunCancelled,
        Self::SchedulerPaused,
        Self::SchedulerResumed,
        Self::TokenAdded,
        Self::TokenChanged,
        Self::TokenRemoved,
        Self::PluginChanged,
        Self::ConfigReloaded,
    ];

    /// The action as JSON writes it.
    pub const fn word(self) -> &'static str {
        match self {
            Self::JobCreated => "job.created",
            Self::JobReplaced => "job.replaced",
            Self::JobRemoved => "job.removed",
            Self::JobPaused => "job.paused",
            Self::JobResumed => "job.resumed",
            Self::RunAsked => "run.asked",
            Self::RunCancelled => "run.cancelled",
            Self::SchedulerPaused => "scheduler.paused",
            Self::SchedulerResumed => "scheduler.resumed",
            Self::TokenAdded => "token.added",
            Self::TokenChanged => "token.changed",
            Self::TokenRemoved => "token.removed",
            Self::PluginChanged => "plugin.changed",
            Self::ConfigReloaded => "config.reloaded",
        }
    }
}

impl From<Action> for &'static str {
    fn from(action: Action) -> Self {
        action.word()
    }
}

impl TryFrom<String> for Action {
    type Error = String;

    fn try_from(text: String) -> std::result::Result<Self, String> {
        let known = Self::ALL.into_iter().find(|action| action.word() == text);
        known.ok_or_else(|| {
            let words = Self::ALL.map(Self::word).join(", ");
            format!("unknown action `{text}`; there are {words}")
        })
    }
}

/// A change to be told of.
#[derive(Clone, Debug, PartialEq)]
pub struct Note {
    /// Who: `local`, `token ID`, `job ID`, or `file` for what a file changed.
    pub who: String,
    /// From which address; `None`: from within.
    pub from: Option<String>,
    /// What.
    pub action: Action,
    /// Whose thing; `None`: the host's.
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
    pub fn by_file(action: Action, tenant: Option<TenantId>, target: impl ToString) -> Self {
        Self {
            who: "file".to_owned(),
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

/// A line as it is kept and shown.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Line {
    /// When.
    pub time: Timestamp,
    /// Who.
    pub who: String,
    /// From which address; null: from within.
    pub from: Option<String>,
    /// What.
    pub action: Action,
    /// Whose thing; null: the host's.
    pub tenant: Option<TenantId>,
    /// Which.
    pub target: String,
    /// How it was.
    pub before: Value,
    /// How it is.
    pub after: Value,
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

/// Keeps a line about a change that was made at `now`.
pub async fn note(store: &Arc<dyn Store>, now: Timestamp, note: Note) {
    let tenant = note.tenant.clone().unwrap_or_else(TenantId::default_tenant);
    let Note { who, from, action, tenant: whose, target, before, after } = note;
    let target = cut(target, MAX_TARGET_BYTES);
    let (before, after) = (bounded(before), bounded(after));
    let line = Line { time: now, who, from, action, tenant: whose, target, before, after };
    let mut random = [0; 8];
    // Without it two lines of one microsecond would be one.
    let written = match (getrandom::fill(&mut random), serde_json::to_vec(&line)) {
        (Ok(()), Ok(value)) => {
            let key = key(now, u64::from_be_bytes(random));
            let put = store.doc_put(&tenant, KIND, &key, None, Some(value)).await;
            put.map(drop).map_err(|error| error.to_string())
        }
        (Err(error), _) => Err(error.to_string()),
        (_, Err(error)) => Err(error.to_string()),
    };
    if let Err(error) = written {
        warn!(%error, who = %line.who, action = action.word(), target = %line.target,
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
) -> Result<Paged<Line>> {
    let limit = page.limit.clamp(1, MAX_PAGE);
    let (mut items, mut scanned, mut cursor) = (Vec::new(), 0, page.cursor);
    loop {
        let wanted = Page { limit: limit - items.len(), cursor };
        let found = store.doc_list(tenant, KIND, wanted).await?;
        scanned += found.items.len();
        for doc in found.items {
            // What another version wrote and this one can't read is passed over.
            let Ok(line) = serde_json::from_slice::<Line>(&doc.value) else { continue };
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
    fn wants(&self, line: &Line) -> bool {
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
            note(&store, at(number), Note::by_file(action, whose, format!("t{}", number % 2)))
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
        let told = Note::by_file(Action::JobReplaced, Some(tenant.clone()), "x".repeat(10_000));
        note(&store, at(1), told.changed(json!({"a": 1}), long)).await;
        let page = lines(store.as_ref(), &tenant, &Filter::default(), Page::default()).await;
        let line = page.unwrap().items.pop().unwrap();
        assert_eq!((line.who.as_str(), &line.before), ("file", &json!({"a": 1})));
        let after = line.after.as_str().unwrap();
        assert!(after.starts_with("{\"args\":\"ü") && after.len() < MAX_SIDE_BYTES + 64);
        assert!(after.ends_with(" bytes)") && line.target.len() < 600, "{after}");
    }

    #[test]
    fn every_action_reads_back() {
        for action in Action::ALL {
            let text = serde_json::to_value(action).unwrap();
            assert_eq!(serde_json::from_value::<Action>(text).unwrap(), action);
        }
    }
}
