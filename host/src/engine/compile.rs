//! Compiles plugins on threads of its own: few, and less important than those that run jobs.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::oneshot;

use super::nice::lower_priority;

/// A plugin that takes longer is refused. Its threads go on until they are done: what bounds that
/// is the size of the file and of its functions.
const COMPILE_TIMEOUT: Duration = Duration::from_secs(120);
/// How much less important than the host's other threads they are.
const NICE: i32 = 10;

/// The threads that compile.
pub(super) struct Compiler {
    pool: Option<Arc<rayon::ThreadPool>>,
}

impl Compiler {
    /// Half as many threads as the machine has processors, one at least. Where it gives none,
    /// whoever wants a plugin compiles it.
    pub(super) fn new() -> Self {
        let processors = std::thread::available_parallelism().map_or(1, usize::from);
        let pool = rayon::ThreadPoolBuilder::new()
            .num_threads((processors / 2).max(1))
            .thread_name(|number| format!("compile-{number}"))
            .start_handler(|_| lower_priority(NICE))
            // Without one a panic there ends the process; the hook has printed it already.
            .panic_handler(|_| ())
            .build();
        let pool = pool.inspect_err(|error| tracing::warn!(%error, "no threads to compile on"));
        Self { pool: pool.ok().map(Arc::new) }
    }

    /// Does some work there.
    ///
    /// # Errors
    ///
    /// It takes too long; the rest of a sentence.
    pub(super) async fn run<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T, String> {
        let Some(pool) = &self.pool else { return Ok(work()) };
        let (done, answer) = oneshot::channel();
        pool.spawn(move || {
            // Whoever asked may have gone meanwhile.
            let _ = done.send(work());
        });
        match tokio::time::timeout(COMPILE_TIMEOUT, answer).await {
            Ok(Ok(made)) => Ok(made),
            Ok(Err(_)) => Err("the compiler broke down over it".to_owned()),
            Err(_) => Err(format!("takes longer than {COMPILE_TIMEOUT:?} to compile")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn work_is_done_and_a_breakdown_is_told() {
        let compiler = Compiler::new();
        assert_eq!(compiler.run(|| 7).await, Ok(7));
        let error = compiler.run(|| -> u8 { std::panic::resume_unwind(Box::new("no")) }).await;
        assert!(error.unwrap_err().contains("broke down"));
        assert_eq!(compiler.run(|| 8).await, Ok(8), "the others go on");
    }
}
