//! Of files: who may open one, and what happens to one that is not sound.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use rusqlite::Connection;
use tempfile::TempDir;

use super::world::{HISTORY, World, at, intent, job, new_run, new_schedule, plan, range};
use crate::job::History;
use crate::record::query::{JobFilter, LedgerFilter, Page, RunFilter, UsageFilter};
use crate::record::step::Pulse;
use crate::record::step::{Conflict, NewSchedule, Retention};
use crate::run::outcome::Outcome;
use crate::run::{Verdict, reason};
use crate::store::embedded::EmbeddedStore;
use crate::store::embedded::sqlite::file::{APPLICATION_ID, FORMAT};
use crate::store::error::StoreError;
use crate::store::{Result, Store};

fn place() -> (TempDir, PathBuf) {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("campanile.db");
    (dir, path)
}

fn refusal(opened: Result<EmbeddedStore>) -> StoreError {
    opened.err().unwrap()
}

#[test]
fn a_second_process_is_refused_and_told_what_it_may_do() {
    let (_dir, path) = place();
    let first = EmbeddedStore::open(&path).unwrap();
    let StoreError::Denied(message) = refusal(EmbeddedStore::open(&path)) else { unreachable!() };
    assert!(message.contains(&path.display().to_string()), "{message}");
    assert!(message.contains("read-only"), "{message}");
    EmbeddedStore::open_read_only(&path).unwrap();
    drop(first);
    EmbeddedStore::open(&path).unwrap();
}

#[tokio::test]
async fn a_file_of_a_host_that_kept_no_use_is_read_and_keeps_it_from_now_on() {
    let (_dir, path) = place();
    drop(EmbeddedStore::open(&path).unwrap());
    Connection::open(&path).unwrap().execute_batch("DROP TABLE usage").unwrap();
    let all = async |store: &EmbeddedStore| {
        store.usage(UsageFilter::default(), Page::default()).await.unwrap().items
    };
    let old = EmbeddedStore::open_read_only(&path).unwrap();
    assert_eq!(all(&old).await, []);
    assert_eq!(old.faults().await, Ok(Vec::new()));
    let mut cursor = None;
    loop {
        cursor = old.export(cursor).await.unwrap().next_cursor;
        if cursor.is_none() {
            break;
        }
    }
    drop(old);
    let world = World::over(EmbeddedStore::open(&path).unwrap());
    let session = world.attach(at(0)).await;
    world.put("a", 1).await;
    let claim = world.fire_and_claim(&session, "a").await;
    world.finish(&session, &claim, Outcome::Succeeded, at(1)).await;
    let found = world.store.usage(UsageFilter::default(), Page::default()).await.unwrap().items;
    assert_eq!((found.len(), found[0].used.all_runs()), (1, 1));
}

#[test]
fn a_newer_or_foreign_file_is_refused_and_left_as_it_is() {
    for (application, format, hint) in
        [(APPLICATION_ID, FORMAT + 1, "newer host"), (0x1234, 0, "no store of Campanile")]
    {
        let (_dir, path) = place();
        let db = Connection::open(&path).unwrap();
        db.execute_batch("CREATE TABLE theirs (x)").unwrap();
        db.pragma_update(None, "application_id", application).unwrap();
        db.pragma_update(None, "user_version", format).unwrap();
        drop(db);
        let before = fs::read(&path).unwrap();
        for opened in [EmbeddedStore::open(&path), EmbeddedStore::open_read_only(&path)] {
            let error = refusal(opened);
            assert!(
                matches!(error, StoreError::Incompatible { store, host: FORMAT, .. } if store == format)
            );
            assert!(error.to_string().contains(hint), "{error}");
        }
        assert_eq!(fs::read(&path).unwrap(), before);
    }
}

#[tokio::test]
async fn a_damaged_file_is_refused_and_kept() {
    for (what, overwritten, kept) in [
        ("a page is overwritten", 4_096..8_192, None),
        ("the header is overwritten", 0..100, None),
        ("the end is missing", 0..0, Some(4_096 * 3)),
    ] {
        let (_dir, path) = place();
        let store = EmbeddedStore::open(&path).unwrap();
        store.put(new_schedule("a", 1), Conflict::Fail, at(0)).await.unwrap();
        drop(store);
        let mut bytes = fs::read(&path).unwrap();
        bytes[overwritten].fill(0x5a);
        bytes.truncate(kept.unwrap_or(usize::MAX));
        fs::write(&path, &bytes).unwrap();
        let error = refusal(EmbeddedStore::open(&path));
        assert!(matches!(error, StoreError::Corrupt(_)), "{what}: {error}");
        assert_eq!(fs::read(&path).unwrap(), bytes, "{what}");
    }
}

#[tokio::test]
async fn read_only_sees_what_is_committed_and_changes_nothing() {
    let (_dir, path) = place();
    let missing = refusal(EmbeddedStore::open_read_only(&path));
    assert!(matches!(missing, StoreError::Unavailable(_)), "{missing}");

    let store = EmbeddedStore::open(&path).unwrap();
    store.put(new_schedule("a", 1), Conflict::Fail, at(0)).await.unwrap();
    let look = EmbeddedStore::open_read_only(&path).unwrap();
    store.start(new_run("a", 1, at(0)), at(0)).await.unwrap();
    sees_one_job_and_one_run(&look).await;
    let refused = look.put(new_schedule("b", 1), Conflict::Fail, at(0)).await;
    assert!(matches!(refused, Err(StoreError::Denied(_))), "{refused:?}");

    drop(store);
    sees_one_job_and_one_run(&look).await;
    sees_one_job_and_one_run(&EmbeddedStore::open_read_only(&path).unwrap()).await;
}

async fn sees_one_job_and_one_run(store: &EmbeddedStore) {
    let jobs = store.list(JobFilter::default(), Page::default()).await.unwrap().items;
    assert_eq!(jobs, [store.get(&job("a")).await.unwrap().unwrap()]);
    let runs = store.runs(RunFilter::default(), Page::default()).await.unwrap().items;
    assert_eq!(runs, [store.run(&runs[0].key()).await.unwrap().unwrap()]);
    let health = store.health().await.unwrap();
    assert_eq!((health.ok, health.schedules, health.live_runs), (false, 1, 1));
}

#[tokio::test]
async fn after_a_crash_a_running_run_is_taken_again_at_once() {
    let world = World::sqlite().await;
    let session = world.attach(at(0)).await;
    world.put("a", 1).await;
    let before = world.fire_and_claim(&session, "a").await;

    let world = world.reopen().await.unwrap();
    let (session, reaped) = world.attach_after(at(0)).await;
    assert_eq!(reaped.rescued, [before.run.key()]);
    let after = world.acquire(&session, at(0)).await.pop().unwrap();
    assert_eq!((after.run.id, after.run.attempt), (before.run.id, 2));
    assert!(before.fence < after.fence);
    assert_eq!(world.ledger("a").await.len(), 1, "one verdict, two attempts");
}

#[tokio::test]
async fn when_a_range_was_noted_and_what_a_job_keeps_outlive_the_process() {
    let world = World::sqlite().await;
    let long_ago = range(Verdict::Misfired, reason::BEFORE_REGISTRATION, -900_000, -900_000);
    let history = History { keep: 7, max_age: Duration::from_micros(9_000_001) };
    let new = NewSchedule { ranges: vec![long_ago], history, ..new_schedule("a", 1) };
    world.store.put(new, Conflict::Fail, at(0)).await.unwrap();
    let world = world.reopen().await.unwrap();
    assert_eq!(world.get("a").await.history, history);
    let keep = Retention { removed: history, max_entries: 9 };
    for (second, left) in [(9, 1), (10, 0)] {
        world.store.trim(keep, 9, at(second)).await.unwrap();
        assert_eq!(world.ledger("a").await.len(), left, "at second {second}");
    }
}

#[tokio::test]
async fn a_beat_and_a_look_for_what_to_forget_write_nothing() {
    let world = World::sqlite().await;
    let session = world.attach(at(0)).await;
    world.put("a", 1).await;
    let wal = world.path().with_file_name("campanile.db-wal");
    let before = fs::read(&wal).unwrap();
    for second in 1..20 {
        world.store.beat(&session, Pulse::default(), at(second)).await.unwrap();
        world.store.due(&session, at(-1), 9).await.unwrap();
        world.acquire(&session, at(second)).await;
        let keep = Retention { removed: HISTORY, max_entries: 9 };
        world.store.trim(keep, 9, at(second)).await.unwrap();
    }
    assert!(fs::read(&wal).unwrap() == before);
}

#[tokio::test]
async fn a_full_store_refuses_whole_steps_and_goes_on_when_there_is_room() {
    let (_dir, path) = place();
    let store = EmbeddedStore::open_bounded(&path, 60).unwrap();
    store.put(new_schedule("a", 1), Conflict::Fail, at(0)).await.unwrap();
    let tenant = job("a").tenant;
    let mut written = 0;
    let refused = loop {
        let value = Some(vec![7; 10_000]);
        match store.doc_put(&tenant, "kv", &format!("{written}"), Some(0), value).await {
            Ok(_) => written += 1,
            Err(error) => break error,
        }
    };
    assert!(matches!(refused, StoreError::Full(_)), "{refused}");
    assert!(!store.health().await.unwrap().ok);
    let documents = store.doc_list(&tenant, "kv", Page::default()).await.unwrap().items;
    assert_eq!(documents.len(), written, "nothing of the refused step was kept");

    store.doc_put(&tenant, "kv", "0", Some(1), None).await.unwrap();
    let world = World::over(store);
    let session = world.attach(at(0)).await;
    let next = intent(&world.get("a").await, [plan(at(0))]);
    assert_eq!(world.fire(&session, next, at(0)).await.0.len(), 1);
    assert!(world.store.health().await.unwrap().ok);
}

#[tokio::test]
async fn people_can_query_the_tables() {
    let world = World::sqlite().await;
    let session = world.attach(at(0)).await;
    world.put("a", 1).await;
    world.fire_and_claim(&session, "a").await;
    let next = intent(&world.get("a").await, [plan(at(1))]);
    world.fire(&session, next, at(1)).await;
    let item = world.store.ledger(&job("a"), LedgerFilter::default(), Page::default()).await;
    assert_eq!(item.unwrap().items.len(), 2);

    let db = Connection::open(world.path()).unwrap();
    let rows: Vec<(String, String, i64)> = db
        .prepare(
            "SELECT state, json_extract(record, '$.attempts[0].host'), fire_time FROM run
             UNION ALL SELECT verdict, reason, last FROM ledger_range",
        )
        .unwrap()
        .query_map((), |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)))
        .unwrap()
        .collect::<rusqlite::Result<_>>()
        .unwrap();
    let row =
        |state: &str, text: &str, second| (state.to_owned(), text.to_owned(), at(second).micros());
    assert_eq!(rows, [row("running", "tower", 0), row("skipped", "max_instances", 1)]);
}

#[test]
fn the_place_must_exist() {
    let error = refusal(EmbeddedStore::open(Path::new("/nowhere/campanile.db")));
    assert!(
        matches!(&error, StoreError::Unavailable(text) if text.contains("/nowhere")),
        "{error}"
    );
}
