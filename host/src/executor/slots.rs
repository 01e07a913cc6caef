//! What runs at once on this host: a number of slots, and a budget of memory limits.

use std::sync::Arc;

use tokio::sync::{Notify, OwnedSemaphorePermit, Semaphore};

/// Memory is handed out in steps of this many bytes.
const MEMORY_STEP_BYTES: u64 = 64 * 1024;

/// The slots and the memory of one host. Cheap to clone; all clones share them.
#[derive(Clone)]
pub struct Slots {
    slots: Arc<Semaphore>,
    freed: Arc<Notify>,
    total: usize,
    memory: Arc<Semaphore>,
    memory_steps: u32,
}

/// One slot, free again when it is dropped.
pub struct Slot {
    permit: Option<OwnedSemaphorePermit>,
    freed: Option<Arc<Notify>>,
}

impl Drop for Slot {
    fn drop(&mut self) {
        drop(self.permit.take());
        if let Some(freed) = self.freed.take() {
            freed.notify_one();
        }
    }
}

/// Reserved memory, free again when it is dropped.
pub struct Memory(#[expect(dead_code, reason = "held for its drop")] Option<OwnedSemaphorePermit>);

impl Slots {
    /// So many slots, and so many bytes that the limits of all runs together may reach.
    pub fn new(total: usize, memory_bytes: u64) -> Self {
        let memory_steps = steps(memory_bytes);
        Self {
            slots: Arc::new(Semaphore::new(total)),
            freed: Arc::new(Notify::new()),
            total,
            memory: Arc::new(Semaphore::new(memory_steps as usize)),
            memory_steps,
        }
    }

    /// Takes up to `most` free slots, without waiting.
    pub fn take(&self, most: usize) -> Vec<Slot> {
        let mut taken = Vec::new();
        while taken.len() < most {
            match Arc::clone(&self.slots).try_acquire_owned() {
                Ok(permit) => {
                    taken.push(Slot { permit: Some(permit), freed: Some(Arc::clone(&self.freed)) })
                }
                Err(_) => break,
            }
        }
        taken
    }

    /// Gives back slots that were not used, without waking whoever waits for one: the taker and the
    /// waiter are the same.
    pub fn put_back(mut unused: Vec<Slot>) {
        for slot in &mut unused {
            slot.freed = None;
        }
    }

    /// Waits until a slot has become free since the last call.
    pub async fn freed(&self) {
        self.freed.notified().await;
    }

    /// Waits until `bytes` are free. A larger limit than the whole budget takes all of it.
    pub async fn reserve(&self, bytes: u64) -> Memory {
        let steps = steps(bytes).min(self.memory_steps);
        Memory(Arc::clone(&self.memory).acquire_many_owned(steps).await.ok())
    }

    /// Slots that are taken.
    pub fn taken(&self) -> usize {
        self.total - self.slots.available_permits()
    }
}

fn steps(bytes: u64) -> u32 {
    u32::try_from(bytes.div_ceil(MEMORY_STEP_BYTES)).unwrap_or(u32::MAX >> 3).min(u32::MAX >> 3)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slot_is_free_again_when_it_is_dropped() {
        let slots = Slots::new(2, 0);
        let taken = slots.take(5);
        assert_eq!((taken.len(), slots.taken()), (2, 2));
        drop(taken);
        assert_eq!(slots.taken(), 0);
    }

    #[tokio::test]
    async fn only_a_used_slot_wakes_who_waits() {
        let slots = Slots::new(2, 0);
        Slots::put_back(slots.take(2));
        assert!(poll_once(Box::pin(slots.freed())).await.is_none());
        drop(slots.take(1));
        assert!(poll_once(Box::pin(slots.freed())).await.is_some());
    }

    #[tokio::test]
    async fn memory_limits_never_sum_over_the_budget() {
        let slots = Slots::new(9, 100 << 20);
        let first = slots.reserve(60 << 20).await;
        let second = slots.reserve(60 << 20);
        tokio::pin!(second);
        let waits = poll_once(second.as_mut()).await;
        assert!(waits.is_none());
        drop(first);
        second.await;
        slots.reserve(900 << 20).await;
    }

    async fn poll_once<F: Future + Unpin>(mut future: F) -> Option<F::Output> {
        std::future::poll_fn(|context| {
            std::task::Poll::Ready(match std::pin::Pin::new(&mut future).poll(context) {
                std::task::Poll::Ready(output) => Some(output),
                std::task::Poll::Pending => None,
            })
        })
        .await
    }
}
