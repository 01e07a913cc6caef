//! Waiting and nothing else, and writing and nothing else: what the machine allows.

use std::io::Write;
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use super::Load;
use crate::sample::Sample;

/// Time to get ready.
const AHEAD: Duration = Duration::from_millis(100);

const PAGE: [u8; 4096] = [7; 4096];

/// What it takes to append a page to a file and to have it on disk, which is the least that a commit
/// takes: at each fire, or as soon as the one before is there.
pub fn syncs(load: Load) -> Sample {
    let mut file = tempfile::tempfile().expect("a file");
    let begin = Instant::now();
    let mut times = Vec::new();
    while begin.elapsed() < load.gap() * load.fires() {
        let start = Instant::now();
        file.write_all(&PAGE).and_then(|()| file.sync_data()).expect("a page on disk");
        times.push(start.elapsed());
        thread::sleep(load.gap().saturating_sub(start.elapsed()));
    }
    Sample::new(times)
}

/// A thread that parks until each fire.
pub fn thread(load: Load, offset: Duration) -> JoinHandle<Sample> {
    thread::spawn(move || {
        let start = Instant::now() + AHEAD + offset;
        let late = (0..load.fires()).map(|number| {
            let due = start + load.gap() * number;
            loop {
                let now = Instant::now();
                if due <= now {
                    return now - due;
                }
                thread::park_timeout(due - now);
            }
        });
        Sample::new(late.collect())
    })
}

/// A task that sleeps until each fire, on a runtime of its own.
pub struct Task(JoinHandle<Sample>);

impl Task {
    /// Waits for its end.
    pub fn join(self) -> Sample {
        self.0.join().expect("a task")
    }
}

/// Starts it.
pub fn task(load: Load, offset: Duration) -> Task {
    Task(thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_multi_thread().enable_time().build();
        let waiting = async move {
            let start = tokio::time::Instant::now() + AHEAD + offset;
            let mut late = Vec::new();
            for number in 0..load.fires() {
                let due = start + load.gap() * number;
                tokio::time::sleep_until(due).await;
                late.push(due.elapsed());
            }
            late
        };
        let runtime = runtime.expect("a runtime");
        let late = runtime.block_on(async { tokio::spawn(waiting).await });
        Sample::new(late.expect("a task"))
    }))
}
