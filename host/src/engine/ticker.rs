//! The thread that moves epochs on, so that no guest computes for longer than a tick unseen.

use std::sync::mpsc::{RecvTimeoutError, Sender, channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use wasmtime::EngineWeak;

/// Ticks until it is dropped.
pub(super) struct Ticker {
    engines: Arc<Mutex<Vec<EngineWeak>>>,
    stop: Option<Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Ticker {
    /// Starts the thread.
    pub(super) fn start(period: Duration) -> Self {
        let engines = Arc::new(Mutex::new(Vec::<EngineWeak>::new()));
        let (stop, stopped) = channel::<()>();
        let ticked = Arc::clone(&engines);
        let body = move || {
            while let Err(RecvTimeoutError::Timeout) = stopped.recv_timeout(period) {
                for engine in ticked.lock().unwrap_or_else(PoisonError::into_inner).iter() {
                    if let Some(engine) = engine.upgrade() {
                        engine.increment_epoch();
                    }
                }
            }
        };
        let thread = std::thread::Builder::new().name("epoch".to_owned()).spawn(body);
        let thread = thread.inspect_err(|error| tracing::error!(%error, "no thread for epochs"));
        Self { engines, stop: Some(stop), thread: thread.ok() }
    }

    /// Ticks `engine` too.
    pub(super) fn add(&self, engine: &wasmtime::Engine) {
        let mut engines = self.engines.lock().unwrap_or_else(PoisonError::into_inner);
        engines.push(engine.weak());
    }
}

impl Drop for Ticker {
    fn drop(&mut self) {
        drop(self.stop.take());
        if let Some(thread) = self.thread.take() {
            // A panic in the thread was already printed by the panic hook.
            let _ = thread.join();
        }
    }
}
