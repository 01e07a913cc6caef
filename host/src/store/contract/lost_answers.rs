//! Of answers that a Redis server gave and nobody got.

use std::collections::{BTreeMap, BTreeSet};

use super::losing::Losing;
use super::world::{at, attach, ended, job, new_run, new_schedule, run_key, want};
use crate::job::PluginKey;
use crate::record::query::{Page, RunFilter};
use crate::record::step::{Claim, Conflict, Finished, LiveRuns, Patch, Pulse, Put};
use crate::record::{HostInfo, Session};
use crate::run::id::SessionId;
use crate::run::outcome::Outcome;
use crate::run::{RunKey, RunState};
use crate::store::Store;
use crate::store::error::StoreError;
use crate::store::redis::RedisStore;
use crate::store::redis::settings::{ScriptClock, Settings};

/// How many seconds a session may be silent.
const TTL: u64 = 10;
/// More runs than two calls take from a session that is over.
const MANY: u128 = 600;

/// What one host sees of the others: whose counter stands where, and since when.
#[derive(Default)]
struct Watch(BTreeMap<SessionId, (u64, u64)>);

impl Watch {
    /// Those that stood still for a whole time to live.
    fn look(&mut self, second: u64, peers: Vec<(Session, u64)>) -> Vec<(Session, u64)> {
        let before = std::mem::take(&mut self.0);
        let since = |id, counter: u64| match before.get(&id) {
            Some((stood, since)) if *stood == counter => *since,
            Some(_) | None => second,
        };
        self.0 = peers.iter().map(|(peer, at)| (peer.id, (*at, since(peer.id, *at)))).collect();
        let dead = |(peer, _): &(Session, u64)| self.0[&peer.id].1 + TTL <= second;
        peers.into_iter().filter(dead).collect()
    }
}

async fn open(losing: &Losing) -> RedisStore {
    RedisStore::open(losing.settings().clone()).await.unwrap()
}

/// A store whose scripts go by the server's clock, as they do outside of tests.
async fn open_by_the_servers_clock(losing: &Losing) -> RedisStore {
    let settings = Settings { clock: ScriptClock::Server, ..losing.settings().clone() };
    RedisStore::open(settings).await.unwrap()
}

/// Puts `MANY` runs of a job under way.
async fn hold_many(store: &dyn Store, session: &Session) -> Vec<Claim> {
    store.put(new_schedule("a", 1_000), Conflict::Fail, at(0)).await.unwrap();
    for id in 0..MANY {
        store.start(new_run("a", id, at(0)), at(0)).await.unwrap();
    }
    let class =
        || PluginKey { tenant: "default".parse().unwrap(), plugin: "report".parse().unwrap() };
    let mut claims = Vec::new();
    while claims.len() < usize::try_from(MANY).unwrap() {
        let some = store.acquire(session, want(256, [class()]), at(1)).await.unwrap();
        assert!(!some.is_empty());
        claims.extend(some);
    }
    claims
}

async fn keys(store: &dyn Store, state: RunState) -> BTreeSet<RunKey> {
    let filter = RunFilter { states: vec![state], ..RunFilter::default() };
    let page = Page { limit: 1_000, cursor: None };
    store.runs(filter, page).await.unwrap().items.iter().map(crate::run::Run::key).collect()
}

/// All that was held is queued, once, and can be taken again.
async fn all_is_given_back(store: &dyn Store, claims: &[Claim]) {
    let held: BTreeSet<RunKey> = claims.iter().map(|claim| claim.run.key()).collect();
    assert_eq!(keys(store, RunState::Queued).await, held);
    assert_eq!(store.faults().await, Ok(Vec::new()));
    for claim in claims {
        let run = store.run(&claim.run.key()).await.unwrap().unwrap();
        assert_eq!((run.attempt, run.rescues), (1, 1), "{}", run.id);
    }
}

/// However often the answer to one of the pieces gets lost, each run is given back once; and none of
/// those that are still to come can be finished by the session that is over.
#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn of_a_dead_session_with_many_runs_every_piece_may_lose_its_answer() {
    for lost in 0..3 {
        let losing = Losing::new();
        let store = open(&losing).await;
        let dead = attach(&store, at(0)).await.unwrap().session;
        let claims = hold_many(&store, &dead).await;
        let session = store.attach(HostInfo::named("other"), at(2)).await.unwrap().session;
        let beat = store.beat(&session, Pulse::default(), at(2)).await.unwrap();
        let (peer, seen) = beat.peers.first().cloned().unwrap();
        assert_eq!(peer.id, dead.id);

        losing.lose_after(lost);
        let answer = store.reap(&session, &peer, seen, at(3)).await;
        assert!(losing.has_lost() && matches!(answer, Err(StoreError::Unknown(_))), "{answer:?}");
        let left = keys(&store, RunState::Running).await;
        let taken = 256 * (lost + 1);
        assert_eq!(left.len(), claims.len().saturating_sub(taken), "after {lost}");
        for claim in &claims {
            let (key, end) = (claim.run.key(), ended(Outcome::Succeeded));
            let finished = store.finish(&dead, &key, claim.fence, end, at(3)).await;
            assert_eq!(finished, Ok(Finished::Fenced), "{key} after {lost}");
        }
        store.reap(&session, &peer, seen, at(4)).await.unwrap();
        all_is_given_back(&store, &claims).await;
        assert_eq!(store.hosts().await.unwrap().len(), 1, "after {lost}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn of_a_host_that_leaves_with_many_runs_every_piece_may_lose_its_answer() {
    for lost in 0..3 {
        let losing = Losing::new();
        let store = open(&losing).await;
        let session = attach(&store, at(0)).await.unwrap().session;
        let claims = hold_many(&store, &session).await;
        losing.lose_after(lost);
        let answer = store.detach(&session, at(3)).await;
        assert!(losing.has_lost() && matches!(answer, Err(StoreError::Unknown(_))), "{answer:?}");
        let beat = store.beat(&session, Pulse::default(), at(3)).await;
        assert!(matches!(beat, Err(StoreError::Fenced)), "{beat:?}");
        store.detach(&session, at(4)).await.unwrap();
        all_is_given_back(&store, &claims).await;
        assert_eq!(store.hosts().await, Ok(Vec::new()));
    }
}

/// Half of a dead session's runs are given back when whoever did it dies: the next one goes on.
#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn who_comes_next_ends_what_a_dead_one_began_to_end() {
    let losing = Losing::new();
    let store = open(&losing).await;
    let first = attach(&store, at(0)).await.unwrap().session;
    let claims = hold_many(&store, &first).await;
    losing.lose_after(0);
    store.detach(&first, at(2)).await.unwrap_err();

    let session = store.attach(HostInfo::named("other"), at(3)).await.unwrap().session;
    let mut watch = Watch::default();
    let mut ended_at = None;
    for second in 0..30 {
        let beat = store.beat(&session, Pulse::default(), at(3)).await.unwrap();
        for (dead, counter) in watch.look(second, beat.peers) {
            store.reap(&session, &dead, counter, at(3)).await.unwrap();
            ended_at.get_or_insert(second);
        }
    }
    assert_eq!(ended_at, Some(TTL), "one time to live after it was seen first");
    all_is_given_back(&store, &claims).await;
    assert_eq!(store.hosts().await.unwrap().len(), 1);
}

/// The session of an attach whose answer was lost is nobody's: it goes before no other, and
/// holds nothing up, for longer than its time to live.
#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn a_session_that_nobody_heard_of_is_gone_after_its_time_to_live() {
    for round in 0..8 {
        let losing = Losing::new();
        let store = open(&losing).await;
        losing.lose_after(0);
        let lost = store.attach(HostInfo::named("tower"), at(0)).await;
        assert!(losing.has_lost() && matches!(lost, Err(StoreError::Unknown(_))), "{lost:?}");
        let session = store.attach(HostInfo::named("tower"), at(0)).await.unwrap().session;
        assert_eq!(store.hosts().await.unwrap().len(), 2);
        store.put(new_schedule("a", 1), Conflict::Fail, at(0)).await.unwrap();

        let mut watch = Watch::default();
        let mut gone = None;
        for second in 0..=12 {
            let beat = store.beat(&session, Pulse::default(), at(0)).await.unwrap();
            if beat.peers.is_empty() {
                gone.get_or_insert(second);
            }
            for (dead, counter) in watch.look(second, beat.peers) {
                let reaped = store.reap(&session, &dead, counter, at(0)).await;
                assert_eq!(reaped, Ok(crate::record::step::Reaped::default()));
            }
            // The ghost may go first meanwhile; that holds nothing up for longer than a blink.
            let due = store.due(&session, at(1), 9).await.unwrap();
            assert_eq!(due.schedules.len(), 1, "round {round}, second {second}");
        }
        assert_eq!(gone, Some(TTL + 1), "round {round}: one beat after its time to live");
        // Nobody goes before the one that lives: what is due now is told now.
        let due = store.due(&session, at(0), 9).await.unwrap();
        assert_eq!(due.schedules.len(), 1, "round {round}");
    }
}

/// By the server's clock, which went on between a call and its repeat, too.
#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn by_the_servers_clock_a_repeat_finds_what_was_done() {
    let losing = Losing::new();
    let store = open_by_the_servers_clock(&losing).await;
    let new = || new_schedule("a", 1);
    losing.lose_after(0);
    store.put(new(), Conflict::Fail, at(0)).await.unwrap_err();
    let put = store.put(new(), Conflict::Fail, at(0)).await;
    let Ok(Put::Created(made)) = put else { panic!("{put:?}") };
    assert_eq!(made.version, 1);
    // Somebody else's is refused, the same one later too.
    let others = store.put(new(), Conflict::Fail, at(9)).await;
    assert_eq!(others, Err(StoreError::Conflict { current: 1 }));

    let patch = || Patch { parked: Some(Some("rests".to_owned())), ..Patch::default() };
    losing.lose_after(0);
    store.patch(&job("a"), Some(1), patch(), at(1)).await.unwrap_err();
    assert_eq!(store.patch(&job("a"), Some(1), patch(), at(1)).await, Ok(2));
    let stale = store.put(new(), Conflict::Fail, at(0)).await;
    assert_eq!(stale, Err(StoreError::Conflict { current: 2 }));

    losing.lose_after(0);
    store.put(new(), Conflict::ReplaceIf(2), at(2)).await.unwrap_err();
    let put = store.put(new(), Conflict::ReplaceIf(2), at(2)).await;
    assert!(matches!(&put, Ok(Put::Replaced(schedule)) if schedule.version == 3), "{put:?}");
    losing.lose_after(0);
    store.start(new_run("a", 7, at(3)), at(3)).await.unwrap_err();
    store.start(new_run("a", 7, at(3)), at(3)).await.unwrap();
    losing.lose_after(0);
    let removed = store.remove(&job("a"), Some(3), LiveRuns::Cancel, at(4)).await;
    assert!(matches!(removed, Err(StoreError::Unknown(_))), "{removed:?}");
    assert_eq!(store.remove(&job("a"), Some(3), LiveRuns::Cancel, at(4)).await, Ok(false));
    let run = store.run(&run_key(crate::run::id::RunId::from_bits(7))).await.unwrap().unwrap();
    assert_eq!(run.state, RunState::Done);
}
