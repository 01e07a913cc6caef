//! The rules of the embedded stores, as one state machine over what is live.
//!
//! A step checks everything first and then changes everything; what is to be kept and told goes
//! into [`effects`]. Nothing here waits, reads a clock, or knows files: `now` comes in, and what is
//! no longer live is asked of [`Past`]. One process schedules on an embedded store, so `Core` is
//! the truth of what is live and a file only has to follow.
//!
//! ```text
//!            not_before ahead          no slot of its job
//!   made ──────► Later ───────────────────► Backlog
//!     │            │ time comes, slot          │ slot
//!     └────────────┴────────► Ready ◄──────────┘
//!                    back-off ▲   │ claimed
//!                    or rescue└─ Held ──► done: no longer here
//! ```

pub mod accounts;
mod acquire;
mod common;
pub mod effects;
pub(in crate::store) mod fire;
mod live;
pub mod moving;
pub mod papers;
mod queues;
pub mod rounds;
pub mod runs;
mod schedules;
mod sessions;
mod shelf;

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

use crate::job::JobKey;
use crate::job::names::TenantId;
use crate::record::account::Windows;
use crate::record::{Doc, HostInfo, HostRecord, Schedule, Session};
use crate::run::id::{Fence, SessionId, Uid};
use crate::run::{Run, RunKey, RunState, reason};
use crate::store::Result;
use crate::store::error::StoreError;
use crate::time::Timestamp;
use accounts::Accounts;
use common::Common;
use effects::{CounterKey, DocKey, KeptRange};
use queues::Queues;
use rounds::Rounds;
use shelf::Shelf;

/// Lines kept of one run's log; further ones are dropped. The engine cuts by bytes long before.
pub const MAX_LOG_LINES: u64 = 20_000;

/// What is kept but not live. Sees what earlier steps of the same batch wrote.
pub trait Past {
    /// A run that is done.
    fn run(&self, run: &RunKey) -> Result<Option<Arc<Run>>>;

    /// A document.
    fn doc(&self, doc: &DocKey) -> Result<Option<Doc>>;

    /// A counter's value; 0 when there is none.
    fn counter(&self, counter: &CounterKey) -> Result<i64>;
}

/// All that is live: schedules, runs that are not done, sessions.
#[derive(Debug)]
pub struct Core {
    schedules: Shelf,
    common: Common,
    live: HashMap<RunKey, Live>,
    /// Runs that have not started, by when they are given up.
    deadlines: BTreeSet<(Timestamp, RunKey)>,
    queues: Queues,
    accounts: Accounts,
    sessions: HashMap<SessionId, Holder>,
    /// The newest range of each creation of a job; open while nothing came after it.
    newest_range: HashMap<Uid, KeptRange>,
    /// Whose past is to be looked at when something may be forgotten.
    rounds: Rounds,
    fence: Fence,
    next_range: u64,
    generation: u64,
    /// While an import is under way: the live runs that came so far, and the lines in their logs.
    arrivals: Option<HashMap<RunKey, (Run, u64)>>,
}

/// A run that is not done, and where it is.
#[derive(Debug)]
struct Live {
    run: Arc<Run>,
    place: Place,
    /// Lines in its log.
    lines: u64,
}

/// Where a live run is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Place {
    /// Waits for its time.
    Later(Timestamp),
    /// Waits for a slot of its job.
    Backlog,
    /// Waits for a host.
    Ready,
    /// An attempt of this session is under way.
    Held(SessionId),
}

/// A session and what it holds.
#[derive(Debug)]
struct Holder {
    session: Session,
    info: HostInfo,
    counter: u64,
    since: Timestamp,
    beat_at: Timestamp,
    runs: BTreeSet<RunKey>,
}

impl Holder {
    fn new(session: Session, info: HostInfo, now: Timestamp) -> Self {
        Self { session, info, counter: 0, since: now, beat_at: now, runs: BTreeSet::new() }
    }

    /// What others see of it. The clock that it stands by is the store's.
    fn record(&self) -> HostRecord {
        HostRecord {
            session: self.session.clone(),
            counter: self.counter,
            info: self.info.clone(),
            since: self.since,
            beat_at: self.beat_at,
            clock_offset_us: 0,
        }
    }
}

/// What a file knows of what was live.
#[derive(Debug, Default)]
pub struct Restored {
    /// All schedules.
    pub schedules: Vec<Schedule>,
    /// All runs that are not done, with the number of lines in their logs.
    pub runs: Vec<(Run, u64)>,
    /// Sessions that were not ended.
    pub sessions: Vec<Session>,
    /// The newest range of each creation of a job.
    pub newest_ranges: Vec<KeptRange>,
    /// The last fence that was given out.
    pub fence: Fence,
    /// The largest id of a range.
    pub last_range: u64,
    /// Which life of the store's contents this is.
    pub generation: u64,
    /// Whether an import has begun and not ended.
    pub importing: bool,
    /// What tenants had used in the last windows of the clock.
    pub windows: Vec<(TenantId, Windows)>,
}

impl Core {
    /// The state machine over what a file holds, or over nothing.
    pub fn restore(from: Restored) -> Self {
        let mut core = Self {
            schedules: Shelf::default(),
            common: Common::default(),
            live: HashMap::new(),
            deadlines: BTreeSet::new(),
            queues: Queues::default(),
            accounts: Accounts::with_windows(from.windows),
            sessions: HashMap::new(),
            newest_range: from.newest_ranges.into_iter().map(|kept| (kept.uid, kept)).collect(),
            rounds: Rounds::default(),
            fence: from.fence,
            next_range: from.last_range + 1,
            generation: from.generation.max(1),
            arrivals: None,
        };
        for session in from.sessions {
            let info = HostInfo { host: session.host.clone(), ..HostInfo::default() };
            let holder = Holder::new(session, info, Timestamp::from_secs(0));
            core.sessions.insert(holder.session.id, holder);
        }
        for schedule in from.schedules {
            let def = core.common.definition(Arc::unwrap_or_clone(schedule.def));
            let key = core.common.name(schedule.key);
            core.schedules.put(Arc::new(Schedule { key, def, ..schedule }));
        }
        if from.importing {
            let runs = from.runs.into_iter();
            core.arrivals = Some(runs.map(|(run, lines)| (run.key(), (run, lines))).collect());
        } else {
            core.restore_runs(from.runs);
        }
        core
    }

    /// Takes over what `before` had and is not kept: beats, which must not go back when a file is read
    /// again, and what tenants may have.
    pub fn carry(&mut self, before: &Self) {
        self.accounts.carry(&before.accounts);
        for (id, holder) in &mut self.sessions {
            if let Some(old) = before.sessions.get(id) {
                holder.counter = holder.counter.max(old.counter);
                (holder.info, holder.since) = (old.info.clone(), old.since);
                holder.beat_at = old.beat_at;
            }
        }
    }

    /// The schedule of this name.
    pub fn schedule(&self, job: &JobKey) -> Option<&Arc<Schedule>> {
        self.schedules.get(job)
    }

    /// How many schedules there are.
    pub fn schedules(&self) -> usize {
        self.schedules.len()
    }

    /// How many runs are not done.
    pub fn live_runs(&self) -> usize {
        self.live.len()
    }

    /// Runs that started come first, so that those that wait never take their slots.
    fn restore_runs(&mut self, mut runs: Vec<(Run, u64)>) {
        runs.sort_by_key(|(run, _)| (run.attempt == 0, run.queued_at, run.fire_time, run.id));
        for (run, lines) in runs {
            let run = Arc::new(run);
            let place = match (run.state, run.attempts.last(), run.not_before) {
                (RunState::Running, Some(attempt), _) => {
                    self.queues.take_slot(&run);
                    Place::Held(attempt.session)
                }
                (RunState::Retrying, _, Some(not_before)) => {
                    self.queues.take_slot(&run);
                    Place::Later(not_before)
                }
                (RunState::Queued, _, Some(not_before)) if run.attempt == 0 => {
                    if run.reason.as_deref() == Some(reason::RATE_LIMIT) {
                        self.queues.take_slot(&run);
                    }
                    Place::Later(not_before)
                }
                (_, Some(_), _) => {
                    self.queues.take_slot(&run);
                    Place::Ready
                }
                (_, None, _) => self.place_for_new(&run, None),
            };
            if let (Place::Held(_), Some(admitted)) = (place, run.admitted) {
                self.accounts.restore(&run.tenant, &run.queue, admitted);
            }
            self.insert_live(run, place, lines);
        }
    }
}

impl Default for Core {
    fn default() -> Self {
        Self::restore(Restored::default())
    }
}

/// What every step of a session begins with.
fn known(sessions: &HashMap<SessionId, Holder>, id: SessionId) -> Result<&Holder> {
    sessions.get(&id).ok_or(StoreError::Fenced)
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::time::Duration;

    use crate::job::names::TenantId;
    use crate::job::{History, JobKey, Source};
    use crate::record::packed::{Effective, Packed};
    use crate::record::{Definition, Rules, Schedule, TriggerState};
    use crate::run::id::Uid;
    use crate::time::Timestamp;

    /// A schedule that is never due.
    pub(super) fn schedule(name: &str) -> Schedule {
        Schedule {
            key: JobKey { tenant: TenantId::default_tenant(), job: name.parse().unwrap() },
            uid: Uid::from_bits(1),
            version: 1,
            source: Source::Api,
            def: Arc::new(Definition {
                definition: Packed::default(),
                effective: Effective::of(&serde_json::json!({"plugin": "p"})),
                digest: String::new(),
                config_version: 0,
                origin: "a test".to_owned(),
                origins: Packed::default(),
            }),
            cursor: None,
            due_at: None,
            trigger_state: TriggerState { anchor: Timestamp::from_secs(0) },
            last_fire: None,
            accounted_from: None,
            pause: None,
            parked: None,
            max_instances: 1,
            rules: Rules::default(),
            failures: 0,
            begun: None,
            history: History { keep: 1, max_age: Duration::from_hours(1) },
            created_at: Timestamp::from_secs(0),
            last_run: None,
        }
    }
}
