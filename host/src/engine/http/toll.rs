//! What bodies on their way draw of their tenant's quota of bytes, before they are handed on.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use wasmtime_wasi_http::Error;

use super::reason::Witness;
use crate::engine::tab::{Refused, Tab};
use crate::job::quota::QuotaKey;
use crate::record::account::Draw;

/// Bytes that are drawn at most beyond those that move now, so that not each part of a body asks the
/// store.
const AHEAD_BYTES: u64 = 64 * 1024;

type Drawing = Pin<Box<dyn Future<Output = Result<u64, Refused>> + Send>>;

/// What one body draws.
pub(super) struct Toll {
    /// `None`: its tenant has no such quota.
    tab: Option<Arc<Tab>>,
    /// Bytes that have moved.
    moved: u64,
    /// Bytes of the body, if that was said.
    declared: Option<u64>,
    /// Bytes that are paid for and have not moved.
    paid: u64,
    drawing: Option<Drawing>,
}

impl Toll {
    /// Nothing has moved yet.
    pub(super) fn new(witness: &Witness, declared: Option<u64>) -> Self {
        let tab = witness.control.tab();
        let tab = tab.filter(|tab| tab.has(QuotaKey::HttpBytesPerHour)).cloned();
        Self { tab, moved: 0, declared, paid: 0, drawing: None }
    }

    /// Ready when so many bytes may move.
    ///
    /// # Errors
    ///
    /// The quota is used up; or the run is another host's.
    pub(super) fn poll_pay(
        &mut self,
        bytes: u64,
        context: &mut Context<'_>,
    ) -> Poll<Result<(), Refused>> {
        let Some(tab) = &self.tab else { return Poll::Ready(Ok(())) };
        loop {
            if let Some(drawing) = &mut self.drawing {
                let drawn = match drawing.as_mut().poll(context) {
                    Poll::Pending => return Poll::Pending,
                    Poll::Ready(drawn) => drawn,
                };
                self.drawing = None;
                match drawn {
                    Ok(drawn) => self.paid += drawn,
                    Err(refused) => return Poll::Ready(Err(refused)),
                }
            }
            if self.paid < bytes {
                self.paid += tab.take_credit(bytes - self.paid);
            }
            if bytes <= self.paid {
                self.paid -= bytes;
                self.moved = self.moved.saturating_add(bytes);
                // Nobody else waits for what one body keeps.
                tab.give_credit(std::mem::take(&mut self.paid));
                return Poll::Ready(Ok(()));
            }
            let missing = bytes - self.paid;
            let ahead = ahead(self.moved, bytes, self.declared);
            let tab = Arc::clone(tab);
            self.drawing = Some(Box::pin(async move { draw(&tab, missing, ahead).await }));
        }
    }
}

/// Bytes to draw beyond those that move now: as many as will come, if that is known; else as many as
/// have moved, so that little is drawn in vain.
fn ahead(moved: u64, bytes: u64, declared: Option<u64>) -> u64 {
    let sum = moved.saturating_add(bytes);
    declared.map_or(moved, |all| all.saturating_sub(sum)).min(AHEAD_BYTES)
}

/// Draws what is missing and some ahead, or else what is missing alone.
async fn draw(tab: &Tab, missing: u64, ahead: u64) -> Result<u64, Refused> {
    let bytes = |http_bytes| Draw { http_bytes, ..Draw::default() };
    if 0 < ahead {
        match tab.draw(bytes(missing + ahead)).await {
            Ok(_) => return Ok(missing + ahead),
            Err(Refused::UsedUp(_)) => (),
            Err(refused) => return Err(refused),
        }
    }
    tab.draw(bytes(missing)).await.map(|_| missing)
}

/// Draws for a request that is about to begin.
///
/// # Errors
///
/// As of a body.
pub(super) async fn request(witness: &Witness) -> Result<(), Error> {
    match witness.control.tab().filter(|tab| tab.has(QuotaKey::HttpPerHour)) {
        None => Ok(()),
        Some(tab) => {
            let drawn = tab.draw(Draw { http: 1, ..Draw::default() }).await;
            drawn.map(drop).map_err(|refused| told(&refused, witness))
        }
    }
}

/// The error for the guest; the log is told too.
pub(super) fn told(refused: &Refused, witness: &Witness) -> Error {
    match refused {
        Refused::UsedUp(used_up) => {
            if let Some(tab) = witness.control.tab() {
                tab.tell(used_up, witness.control.log());
            }
            Error::InternalError(Some(used_up.to_string()))
        }
        // The run is about to end.
        Refused::Fenced => Error::ConnectionTerminated,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_more_is_drawn_ahead_than_will_come_or_has_moved() {
        assert_eq!(ahead(0, 10, None), 0);
        assert_eq!(ahead(10, 5, None), 10);
        assert_eq!(ahead(1 << 30, 5, None), AHEAD_BYTES);
        assert_eq!(ahead(0, 10, Some(12)), 2);
        assert_eq!(ahead(10, 10, Some(12)), 0);
        assert_eq!(ahead(0, 10, Some(1 << 30)), AHEAD_BYTES);
    }
}
