//! How others ask the reloader to look at everything now, and what it answers.

use tokio::sync::{mpsc, oneshot};

use crate::config::change::Changes;
use crate::config::error::ConfigError;
use crate::schedule::preview::Preview;

/// Those who ask at once, at most; one look answers all of them.
const MAX_ASKED: usize = 64;

/// What a look at everything changed.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Reloaded {
    /// What happened to jobs.
    pub preview: Preview,
    /// The keys of `host.toml` that took effect.
    pub live: Vec<&'static str>,
    /// The keys whose new values wait for the next start.
    pub needs_restart: Vec<&'static str>,
}

impl Reloaded {
    /// What was decided about the file, before anything else was looked at.
    pub(super) fn of(changes: &Changes) -> Self {
        Self {
            preview: Preview::default(),
            live: changes.live.clone(),
            needs_restart: changes.needs_restart.clone(),
        }
    }

    /// Whether anything was changed.
    pub(super) fn is_news(&self) -> bool {
        !self.live.is_empty() || !self.preview.items.is_empty()
    }

    /// This after what was changed `before`.
    pub(super) fn after(self, before: Self) -> Self {
        let mut live = before.live;
        live.retain(|key| !self.live.contains(key));
        live.extend(self.live);
        Self { preview: self.preview.after(before.preview), live, ..self }
    }
}

/// Why nothing was changed, or not all.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum NotReloaded {
    /// The file is wrong: nothing was changed.
    #[error("{0}\n  nothing was changed")]
    Refused(ConfigError),
    /// What the file says is in force, and the store does not have its jobs yet.
    #[error("jobs are not in the store yet, and are put there as soon as it can be: {0}")]
    Behind(String),
    /// Too many ask at once.
    #[error("{MAX_ASKED} others have asked already; try again")]
    Busy,
    /// The host is stopping.
    #[error("the host is stopping")]
    Gone,
}

/// What comes back.
pub(super) type Answer = Result<Reloaded, NotReloaded>;

/// One who asks.
pub(super) struct Order {
    /// Who, and from which address; `None`: whoever writes the host's files.
    pub(super) by: Option<(String, Option<String>)>,
    reply: oneshot::Sender<Answer>,
}

/// Asks the reloader of a host.
#[derive(Clone, Debug)]
pub struct Handle {
    orders: mpsc::Sender<Order>,
}

impl Handle {
    /// Looks at `host.toml`, at plugins and at the files beside them now, and answers when all of it
    /// counts.
    ///
    /// # Errors
    ///
    /// Why it does not.
    pub async fn reload(&self) -> Result<Reloaded, NotReloaded> {
        self.ask(None).await
    }

    /// The same for somebody, from an address: the audit names them.
    ///
    /// # Errors
    ///
    /// As [`Self::reload`].
    pub async fn reload_for(
        &self,
        who: String,
        from: Option<String>,
    ) -> Result<Reloaded, NotReloaded> {
        self.ask(Some((who, from))).await
    }

    async fn ask(&self, by: Option<(String, Option<String>)>) -> Answer {
        let (reply, answer) = oneshot::channel();
        self.orders.try_send(Order { by, reply }).map_err(|refused| match refused {
            mpsc::error::TrySendError::Full(_) => NotReloaded::Busy,
            mpsc::error::TrySendError::Closed(_) => NotReloaded::Gone,
        })?;
        answer.await.unwrap_or(Err(NotReloaded::Gone))
    }
}

impl Order {
    /// Answers; whoever went away meanwhile needs no answer.
    pub(super) fn answer(self, answer: Answer) {
        let _ = self.reply.send(answer);
    }
}

/// A way to ask, and where that is heard.
pub(super) fn channel() -> (Handle, mpsc::Receiver<Order>) {
    let (orders, heard) = mpsc::channel(MAX_ASKED);
    (Handle { orders }, heard)
}
