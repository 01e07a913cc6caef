//! Calls that may wait in the kernel: each on a thread of its own, few at once for one run.
//!
//! Who awaits such a call may stop to do so; the thread then ends when the kernel lets it, and
//! counts against its run until then, and against all runs that were granted the same folders. So a
//! disk that hangs takes few threads from runs that have nothing to do with it, and delays the end
//! of none.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::task::{Context, Poll};

use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::task::JoinHandle;

/// Threads that may wait in the kernel for one run at once.
const MAX_THREADS: usize = 4;

/// The same for all runs together that were granted the same folders, those that have ended
/// included. The host has 512 such threads.
const MAX_SHARED_THREADS: usize = 64;

/// The threads that there are for each set of granted folders.
#[derive(Default)]
pub(in crate::engine) struct Lanes {
    /// As long as a run or a thread is at work there.
    used: Mutex<BTreeMap<Vec<PathBuf>, Weak<Semaphore>>>,
}

impl Lanes {
    /// The threads of one run that was granted these folders.
    pub(in crate::engine) fn enter(&self, folders: Vec<PathBuf>) -> Blocking {
        let mut used = self.used.lock().unwrap_or_else(PoisonError::into_inner);
        let shared = used.get(&folders).and_then(Weak::upgrade).unwrap_or_else(|| {
            used.retain(|_, shared| shared.strong_count() > 0);
            let shared = Arc::new(Semaphore::new(MAX_SHARED_THREADS));
            used.insert(folders, Arc::downgrade(&shared));
            shared
        });
        Blocking { free: Arc::new(Semaphore::new(MAX_THREADS)), shared }
    }
}

/// The threads of one run.
#[derive(Clone)]
pub(in crate::engine) struct Blocking {
    free: Arc<Semaphore>,
    shared: Arc<Semaphore>,
}

/// What a call holds while it has a thread.
type Permits = [OwnedSemaphorePermit; 2];

/// A call that was begun, or waits for its turn. Dropped, it is not begun any more.
pub(in crate::engine) type Task<R> = Pin<Box<dyn Future<Output = std::io::Result<R>> + Send>>;

impl Blocking {
    /// Begins a call, at once if a thread is free. It fails when the host is ending.
    pub(in crate::engine) fn run<R: Send + 'static>(
        &self,
        call: impl FnOnce() -> R + Send + 'static,
    ) -> Task<R> {
        if let Some(permits) = self.permits() {
            return Box::pin(begin(permits, call));
        }
        let (free, shared) = (Arc::clone(&self.free), Arc::clone(&self.shared));
        Box::pin(async move {
            let own = free.acquire_owned().await.map_err(std::io::Error::other)?;
            let shared = shared.acquire_owned().await.map_err(std::io::Error::other)?;
            begin([own, shared], call).await
        })
    }

    /// Those of a thread that is free now.
    fn permits(&self) -> Option<Permits> {
        let own = Arc::clone(&self.free).try_acquire_owned().ok()?;
        let shared = Arc::clone(&self.shared).try_acquire_owned().ok()?;
        Some([own, shared])
    }
}

fn begin<R: Send + 'static>(
    permits: Permits,
    call: impl FnOnce() -> R + Send + 'static,
) -> Begun<R> {
    Begun(tokio::task::spawn_blocking(move || {
        let result = call();
        drop(permits);
        result
    }))
}

/// A call that has a thread, or gets one unless this is dropped before.
struct Begun<R>(JoinHandle<R>);

impl<R> Future for Begun<R> {
    type Output = std::io::Result<R>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        Pin::new(&mut self.0).poll(context).map_err(std::io::Error::other)
    }
}

impl<R> Drop for Begun<R> {
    fn drop(&mut self) {
        self.0.abort();
    }
}

#[cfg(test)]
mod tests {
    use std::path::{Path, PathBuf};
    use std::time::Duration;

    use tokio::time::timeout;

    use super::*;

    /// Longer than anything here takes that does not hang.
    const PATIENCE: Duration = Duration::from_secs(30);

    /// A pipe whose other end nobody has: opening it hangs in the kernel.
    fn pipe(dir: &tempfile::TempDir) -> PathBuf {
        let path = dir.path().join("pipe");
        let mode = rustix::fs::Mode::from_raw_mode(0o600);
        rustix::fs::mknodat(rustix::fs::CWD, &path, rustix::fs::FileType::Fifo, mode, 0).unwrap();
        path
    }

    fn hang(path: &Path) -> impl FnOnce() -> std::io::Result<()> + Send + 'static + use<> {
        let path = path.to_owned();
        move || std::fs::File::open(path).map(drop)
    }

    /// Opens the other end until `threads` hang no more.
    fn release(path: &Path, blocking: &Blocking) {
        let deadline = std::time::Instant::now() + PATIENCE;
        while blocking.free.available_permits() < MAX_THREADS {
            assert!(std::time::Instant::now() < deadline, "threads still hang");
            let flags = rustix::fs::OFlags::WRONLY | rustix::fs::OFlags::NONBLOCK;
            drop(rustix::fs::open(path, flags, rustix::fs::Mode::empty()));
            std::thread::yield_now();
        }
    }

    #[test]
    fn calls_that_hang_delay_neither_who_waits_for_them_nor_another_run_nor_the_end() {
        let dir = tempfile::tempdir().unwrap();
        let path = pipe(&dir);
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .max_blocking_threads(MAX_THREADS + 1)
            .enable_time()
            .build()
            .unwrap();
        let lanes = Lanes::default();
        let (hanging, other) = (lanes.enter(Vec::new()), lanes.enter(Vec::new()));
        runtime.block_on(async {
            for _ in 0..3 * MAX_THREADS {
                let call = hanging.run(hang(&path));
                assert!(timeout(Duration::from_millis(1), call).await.is_err(), "it hangs");
            }
            assert_eq!(hanging.free.available_permits(), 0, "the threads are still taken");
            for number in 0..100 {
                let call = other.run(move || number);
                assert_eq!(timeout(PATIENCE, call).await.unwrap().unwrap(), number);
            }
        });
        runtime.shutdown_background();
        release(&path, &hanging);
    }

    #[tokio::test]
    async fn runs_that_hang_one_after_another_take_so_many_threads_for_their_folders() {
        let dir = tempfile::tempdir().unwrap();
        let path = pipe(&dir);
        let lanes = Lanes::default();
        let mut runs = Vec::new();
        for _ in 0..2 * MAX_SHARED_THREADS {
            let run = lanes.enter(vec!["/hangs".into()]);
            assert!(timeout(Duration::from_millis(1), run.run(hang(&path))).await.is_err());
            runs.push(run);
        }
        let begun = runs.iter().filter(|run| run.free.available_permits() < MAX_THREADS).count();
        assert_eq!(begun, MAX_SHARED_THREADS);
        let elsewhere = lanes.enter(vec!["/works".into()]);
        timeout(PATIENCE, elsewhere.run(|| ())).await.unwrap().unwrap();
        for run in &runs {
            release(&path, run);
        }
        drop(runs);
        drop(elsewhere);
        lanes.enter(Vec::new());
        assert_eq!(lanes.used.lock().unwrap().len(), 1, "nobody is at work on the others");
    }

    #[tokio::test]
    async fn a_call_that_waits_for_its_turn_is_made_in_the_end_and_a_dropped_one_is_not() {
        let dir = tempfile::tempdir().unwrap();
        let path = pipe(&dir);
        let blocking = Lanes::default().enter(Vec::new());
        let hanging = [(); MAX_THREADS].map(|()| blocking.run(hang(&path)));
        let made = Arc::new(std::sync::atomic::AtomicU32::new(0));
        let make = |many: u32| {
            let made = Arc::clone(&made);
            move || made.fetch_add(many, std::sync::atomic::Ordering::Relaxed)
        };
        let (dropped, waits) = (blocking.run(make(10)), blocking.run(make(1)));
        drop(dropped);
        let freed = blocking.clone();
        let releasing = tokio::task::spawn_blocking(move || release(&path, &freed));
        timeout(PATIENCE, waits).await.unwrap().unwrap();
        releasing.await.unwrap();
        for hung in hanging {
            timeout(PATIENCE, hung).await.unwrap().unwrap().unwrap();
        }
        assert_eq!(made.load(std::sync::atomic::Ordering::Relaxed), 1);
    }
}
