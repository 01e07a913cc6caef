//! Of hosts that come, beat, leave and are ended, and of what others hear.

use super::world::{World, at, ended, intent, job, plan};
use crate::record::query::{Page, RunFilter};
use crate::record::step::{AttemptEnd, Change, Finished, LiveRuns, Pulse};
use crate::run::RunState;
use crate::run::outcome::Outcome;
use crate::store::error::StoreError;

/// A host that leaves hands back what has not begun: others are told, and take it at once.
pub(super) async fn what_is_handed_back_can_be_taken_at_once(world: World) {
    let session = world.attach(at(0)).await;
    world.put("a", 1).await;
    let claim = world.fire_and_claim(&session, "a").await;
    let mut news = world.store.watch();
    let end = AttemptEnd { retry_at: Some(at(1)), ..ended(Outcome::Abandoned) };
    let finished = world.store.finish(&session, &claim.run.key(), claim.fence, end, at(1)).await;
    assert_eq!(finished, Ok(Finished::Done));
    let told = tokio::time::timeout(std::time::Duration::from_secs(30), async {
        while news.recv().await.unwrap() != Change::Queued {}
    });
    told.await.unwrap();
    let again = world.acquire(&session, at(1)).await;
    assert_eq!((again.len(), again[0].run.attempt, again[0].run.rescues), (1, 2, 0));
    assert!(claim.fence < again[0].fence);
}

/// I5: whatever is asked, no more runs of a job count as instances than it may have.
pub(super) async fn i5_no_more_runs_are_live_than_the_job_may_have(world: World) {
    let session = world.attach(at(0)).await;
    world.put("a", 2).await;
    for number in 0..5 {
        world.start("a", number, at(0)).await;
    }
    let schedule = world.get("a").await;
    world.fire(&session, intent(&schedule, [plan(at(0))]), at(0)).await;
    let mut ended_runs = 0;
    for second in 1..9 {
        let claims = world.acquire(&session, at(second)).await;
        let filter = RunFilter { states: vec![RunState::Running], ..RunFilter::default() };
        let running = world.store.runs(filter, Page::default()).await.unwrap().items.len();
        assert!(running <= 2, "{running} at second {second}");
        for claim in claims {
            world.finish(&session, &claim, Outcome::Succeeded, at(second)).await;
            ended_runs += 1;
        }
    }
    assert_eq!(ended_runs, 5, "the fire was skipped, what was asked for was not");
}

/// I10: each call that lets a host go on is seen by the others. I12: an ended session never lives
/// again.
pub(super) async fn i10_i12_a_beat_is_seen_and_an_ended_session_stays_ended(world: World) {
    let session = world.attach(at(0)).await;
    let counter = |hosts: Vec<crate::record::HostRecord>| {
        hosts.iter().find(|host| host.session.id == session.id).map(|host| host.counter)
    };
    let before = counter(world.store.hosts().await.unwrap()).unwrap();
    world.store.beat(&session, Pulse::default(), at(1)).await.unwrap();
    assert_eq!(counter(world.store.hosts().await.unwrap()), Some(before + 1));

    world.put("a", 1).await;
    let claim = world.fire_and_claim(&session, "a").await;
    world.store.detach(&session, at(2)).await.unwrap();
    assert_eq!(counter(world.store.hosts().await.unwrap()), None);
    let beat = world.store.beat(&session, Pulse::default(), at(3)).await;
    assert!(matches!(beat, Err(StoreError::Fenced)), "{beat:?}");
    let due = world.store.due(&session, at(3), 9).await;
    assert!(matches!(due, Err(StoreError::Fenced)), "{due:?}");
    let finished = world.finish(&session, &claim, Outcome::Succeeded, at(3)).await;
    assert_eq!(finished, Finished::Fenced);
}

/// I15: the feed tells of each change, in order, after it can be read.
pub(super) async fn i15_the_feed_leaves_nothing_out(world: World) {
    let session = world.attach(at(0)).await;
    let mut feed = world.store.feed();
    world.put("a", 1).await;
    let claim = world.fire_and_claim(&session, "a").await;
    world.finish(&session, &claim, Outcome::Succeeded, at(1)).await;
    world.store.remove(&job("a"), None, LiveRuns::Keep, at(2)).await.unwrap();
    let run = Change::Run(claim.run.key());
    let wanted =
        [Change::Job(job("a")), run.clone(), Change::Fired(job("a")), run, Change::Job(job("a"))];
    let mut wanted = wanted.iter().peekable();
    let told = tokio::time::timeout(std::time::Duration::from_secs(30), async {
        while let Some(next) = wanted.peek() {
            if feed.recv().await.unwrap() == **next {
                wanted.next();
            }
        }
    });
    told.await.unwrap();
}
