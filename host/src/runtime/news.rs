//! News of the store and of the API that the scheduler's thread must hear.

use std::sync::Arc;

use tokio::sync::watch;

use crate::record::step::Change;
use crate::scheduler::wake::Wake;
use crate::status::SchedulerPause;
use crate::store::Store;

/// Wakes the scheduler when a job was put, changed or removed by somebody else, and when it was
/// paused or goes on itself.
pub(super) async fn wake_on_change(
    store: Arc<dyn Store>,
    mut pauses: watch::Receiver<Option<SchedulerPause>>,
    wake: Arc<Wake>,
) {
    use tokio::sync::broadcast::error::RecvError;
    let mut changes = store.watch();
    loop {
        let change = tokio::select! {
            change = changes.recv() => change,
            paused = pauses.changed() => match paused {
                Ok(()) => {
                    wake.call();
                    continue;
                }
                // The host is gone.
                Err(_) => return,
            },
        };
        match change {
            Ok(Change::Job(_)) | Err(RecvError::Lagged(_)) => wake.call(),
            Ok(Change::Fired(_) | Change::Run(_) | Change::Queued | Change::Cancel(_)) => (),
            Err(RecvError::Closed) => return,
        }
    }
}
