//! Ends of runs, told to the server together: while one call is under way, the ends that come collect
//! for the next. One that comes alone goes at once.

use std::sync::{Arc, Weak};

use tokio::sync::{Mutex, mpsc, oneshot};

use super::link::{Caller, Link};
use super::scripts::Script;
use super::settings::ScriptClock;
use super::wire::{EndRow, FinishAnswer, FinishArgs, State};
use crate::record::Session;
use crate::run::id::SessionId;
use crate::store::Result;
use crate::store::error::StoreError;
use crate::time::Timestamp;

/// Ends told in one call at most: the server does nothing else meanwhile.
const AT_ONCE: usize = 64;
/// Results and logs in one call, in bytes, beyond what its last end adds.
const BYTES_AT_ONCE: usize = 1 << 20;
/// Ends that wait for the next call; more wait where they come from.
const WAITING: usize = 1_024;
/// Calls under way at once: while the server works at one, the next is on its way.
const CALLS: usize = 2;

/// Where ends are handed in.
pub(super) struct Ends {
    to: mpsc::Sender<End>,
}

struct End {
    session: SessionId,
    host: String,
    now: Timestamp,
    row: EndRow,
    log: Vec<u8>,
    answer: oneshot::Sender<Result<State>>,
}

/// What is handed in, for one call after another.
struct Inbox {
    from: mpsc::Receiver<End>,
    /// It did not fit to those before it.
    next: Option<End>,
    clock: ScriptClock,
}

impl Ends {
    /// Tells them on `runtime` until this is dropped.
    pub(super) fn start(
        runtime: &tokio::runtime::Handle,
        link: &Arc<Link>,
        clock: ScriptClock,
    ) -> Self {
        let (to, from) = mpsc::channel(WAITING);
        let inbox = Arc::new(Mutex::new(Inbox { from, next: None, clock }));
        for _ in 0..CALLS {
            runtime.spawn(tell_all(Arc::clone(&inbox), Arc::downgrade(link)));
        }
        Self { to }
    }

    /// Tells one end, and waits for its answer.
    pub(super) async fn tell(
        &self,
        session: &Session,
        row: EndRow,
        log: Vec<u8>,
        now: Timestamp,
    ) -> Result<State> {
        let gone = || StoreError::Unavailable("the host is shutting down".to_owned());
        let (answer, answered) = oneshot::channel();
        let (session, host) = (session.id, session.host.clone());
        let end = End { session, host, now, row, log, answer };
        self.to.send(end).await.map_err(|_| gone())?;
        // It may have been told by then.
        answered.await.map_err(|_| StoreError::Unknown("the host is shutting down".to_owned()))?
    }
}

impl Inbox {
    /// The ends of the next call; none when no more can come.
    async fn batch(&mut self) -> Vec<End> {
        let first = match self.next.take() {
            Some(end) => Some(end),
            None => self.from.recv().await,
        };
        let mut batch = Vec::from_iter(first);
        let mut bytes = batch.iter().map(End::bytes).sum::<usize>();
        while batch.len() < AT_ONCE && bytes < BYTES_AT_ONCE {
            let Ok(end) = self.from.try_recv() else { break };
            if batch.first().is_some_and(|first| !self.go_together(first, &end)) {
                self.next = Some(end);
                break;
            }
            bytes += end.bytes();
            batch.push(end);
        }
        batch
    }

    /// Whether one call can tell both: it has one caller, and one time where the caller's counts.
    fn go_together(&self, one: &End, other: &End) -> bool {
        one.session == other.session && (one.now == other.now || self.clock == ScriptClock::Server)
    }
}

impl End {
    fn bytes(&self) -> usize {
        self.log.len() + self.row.7.result.as_ref().map_or(0, String::len)
    }
}

/// Until the store is dropped.
async fn tell_all(inbox: Arc<Mutex<Inbox>>, link: Weak<Link>) {
    loop {
        let batch = inbox.lock().await.batch().await;
        let (false, Some(link)) = (batch.is_empty(), link.upgrade()) else { return };
        tell_batch(&link, batch).await;
    }
}

async fn tell_batch(link: &Link, batch: Vec<End>) {
    match tell_some(link, &batch).await {
        Ok(states) => {
            for (end, state) in batch.into_iter().zip(states) {
                // Nobody waits for it any more.
                let _ = end.answer.send(Ok(state));
            }
        }
        // One that the script can't take spoils it for the others: each by itself then.
        Err(StoreError::Corrupt(_)) if 1 < batch.len() => {
            for end in batch {
                let alone = [end];
                let state = tell_some(link, &alone).await;
                let [end] = alone;
                let _ = end
                    .answer
                    .send(state.map(|states| states.into_iter().next().unwrap_or_default()));
            }
        }
        Err(error) => {
            for end in batch {
                let _ = end.answer.send(Err(error.clone()));
            }
        }
    }
}

async fn tell_some(link: &Link, batch: &[End]) -> Result<Vec<State>> {
    let Some(first) = batch.first() else { return Ok(Vec::new()) };
    let now = batch.iter().map(|end| end.now).max().unwrap_or(first.now);
    let caller = Caller { now, session: Some(first.session), host: &first.host };
    let args = FinishArgs { ends: batch.iter().map(|end| end.row.clone()).collect() };
    let log: Vec<u8> = batch.iter().flat_map(|end| end.log.iter().copied()).collect();
    let answer: FinishAnswer = link.call(Script::Finish, caller, &args, &log).await?;
    if answer.ends.len() == batch.len() {
        return Ok(answer.ends);
    }
    Err(StoreError::Corrupt("the script that ends runs left out some of them".to_owned()))
}
