//! What happened in a run, as values: what was to come, what was seen, what was said.

use serde::{Deserialize, Serialize};

/// Microseconds: of wall time since the Unix epoch, or of the machine's monotonic clock.
pub type Micros = i64;

/// One second.
pub const SECOND: Micros = 1_000_000;
/// One minute.
const MINUTE: Micros = 60 * SECOND;

/// The instants that a trigger of whole seconds asks for, by plain arithmetic: nothing of the host
/// is asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Grid {
    /// An interval with a start date.
    Every {
        /// The first instant.
        start: Micros,
        /// From one to the next.
        step: Micros,
    },
    /// Cron `*/n * * * * *`: these seconds of each minute, from the first.
    OfMinute {
        /// `n`.
        seconds: i64,
    },
}

impl Grid {
    /// Whether it holds the instant.
    pub fn holds(self, at: Micros) -> bool {
        match self {
            Self::Every { start, step } => at >= start && (at - start) % step == 0,
            Self::OfMinute { seconds } => at.rem_euclid(MINUTE) % (seconds * SECOND) == 0,
        }
    }

    /// Its instants from `first` to `last`, both included.
    pub fn within(self, first: Micros, last: Micros) -> impl Iterator<Item = Micros> {
        // The first instant of its raster that is not before `first`.
        let (begin, step) = match self {
            Self::Every { start, step } => {
                let first = first.max(start);
                (first + (start - first).rem_euclid(step), step)
            }
            Self::OfMinute { .. } => (first + (-first).rem_euclid(SECOND), SECOND),
        };
        let instants = (0..).map(move |number| begin + number * step);
        instants.take_while(move |at| *at <= last).filter(move |at| self.holds(*at))
    }
}

/// A job whose fire times are known beforehand.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Job {
    /// Its name.
    pub id: String,
    /// When it fires.
    pub grid: Grid,
    /// The first instant that counts: the hosts know the job by then.
    pub from: Micros,
    /// The end of its trigger; no fire time is this instant.
    pub until: Micros,
    /// Live runs at most.
    pub max_instances: usize,
}

impl Job {
    /// Every fire time that has to be accounted for.
    pub fn fires(&self) -> impl Iterator<Item = Micros> {
        self.grid.within(self.from, self.until)
    }
}

/// What an attempt told the collector.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Effect {
    /// What the guest said.
    #[serde(flatten)]
    pub told: Told,
    /// When the collector had read it, by the machine's monotonic clock.
    pub mono: Micros,
    /// The same instant of wall time.
    pub wall: Micros,
}

/// The line that a guest sends.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Told {
    /// The job.
    pub job: String,
    /// The run.
    pub run: String,
    /// Its fire time.
    pub fire_time_us: Micros,
    /// 1 for the first.
    pub attempt: u32,
    /// The attempt's fence.
    pub fence: u64,
    /// Which of the two effects.
    pub phase: Phase,
}

/// One of the two effects of an attempt.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Phase {
    /// Before its work.
    Begin,
    /// After it.
    End,
}

/// A run as a host tells it at the end.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Run {
    pub id: String,
    pub job: String,
    pub cause: String,
    pub fire_time: Micros,
    pub state: String,
    pub verdict: Option<String>,
    pub outcome: Option<String>,
    pub error: Option<String>,
    pub covers: u64,
    /// By the store's clock.
    #[serde(default)]
    pub finished_at: Option<Micros>,
    pub attempts: Vec<Attempt>,
}

/// An attempt of such a run; the last ten are kept.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Attempt {
    pub attempt: u32,
    pub fence: u64,
    pub host: Option<String>,
    pub outcome: Option<String>,
    /// By the store's clock: when its host said so, or it was taken from that.
    #[serde(default)]
    pub finished_at: Option<Micros>,
}

/// A verdict as a host tells it at the end.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct LedgerItem {
    pub job: String,
    pub verdict: String,
    pub reason: String,
    pub first: Micros,
    pub last: Micros,
    pub count: u64,
    pub into: Option<String>,
    pub run: Option<String>,
}

/// A change that was asked for over REST.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Change {
    /// The job.
    pub job: String,
    /// What it is to be: put with this mark, or removed.
    pub mark: Option<u64>,
    /// What came of it.
    pub answer: Answer,
    /// When it was asked for, monotonic.
    pub asked: Micros,
    /// When the answer was there, monotonic.
    #[serde(default)]
    pub answered: Micros,
}

/// What somebody saw of a job over REST.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Read {
    /// The job.
    pub job: String,
    /// Its mark; `None`: there was no such job.
    pub mark: Option<u64>,
    /// When it was asked for, monotonic.
    pub asked: Micros,
    /// When the answer was there, monotonic.
    pub answered: Micros,
}

/// What a shared store told of changes.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Feed {
    /// What it told before is no longer kept, by the store's clock.
    pub since: Micros,
    /// In its order.
    pub news: Vec<News>,
}

/// One thing that it told.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct News {
    /// By the store's clock.
    pub at: Micros,
    /// One word: `run`, `job`, `fired`, `cancel`, `queued`.
    pub kind: String,
    /// Of what; empty where all are meant.
    pub name: String,
}

/// What came of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Answer {
    /// It was done.
    Done,
    /// It was not done.
    Refused,
    /// It may have been done, or may still be.
    Unknown,
}

/// A job made over REST, as a host tells it at the end.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Definition {
    /// Its name.
    pub job: String,
    /// The marks that stand in it: the same one in each place, when it was put whole.
    pub marks: Vec<u64>,
}

/// What was done to hosts, store or wires.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Disturbance {
    /// One word: `kill`, `freeze`, `redis`, `wire`.
    pub kind: String,
    /// For people.
    pub what: String,
    /// When it was done, monotonic.
    pub mono: Micros,
    /// When it was undone, monotonic.
    pub until: Micros,
}

/// Everything that happened.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct History {
    /// Wall time less monotonic time.
    pub wall_less_mono: Micros,
    pub jobs: Vec<Job>,
    /// In the collector's order.
    pub effects: Vec<Effect>,
    pub disturbances: Vec<Disturbance>,
    /// In the order in which they were asked for, one at a time.
    pub changes: Vec<Change>,
    /// Questions about the same jobs, asked meanwhile.
    pub reads: Vec<Read>,
    pub runs: Vec<Run>,
    pub ledger: Vec<LedgerItem>,
    pub definitions: Vec<Definition>,
    /// `None`: the store has none that outlives its host.
    pub feed: Option<Feed>,
    /// What the store's server holds of live runs after all are over: key, type, entries.
    pub leftovers: Vec<String>,
    /// Which hosts ended in order because their store was away when they started.
    pub gave_up: Vec<String>,
    /// What hosts did that nobody had asked for: ends and panics.
    pub accidents: Vec<String>,
}

#[test]
fn grids_are_what_their_triggers_mean() {
    let start = 10 * SECOND + 250_000;
    let every = Grid::Every { start, step: 3 * SECOND };
    let fires: Vec<_> = every.within(0, 17 * SECOND).collect();
    assert_eq!(fires, [start, start + 3 * SECOND, start + 6 * SECOND]);
    assert_eq!(every.within(start, start).count(), 1, "both ends are included");
    assert_eq!(every.within(start + 1, start + 3 * SECOND - 1).count(), 0);
    let seventh = Grid::OfMinute { seconds: 7 };
    let fires: Vec<_> = seventh.within(50 * SECOND + 1, 68 * SECOND).collect();
    assert_eq!(fires, [56, 60, 67].map(|second| second * SECOND), "each minute begins anew");
}
