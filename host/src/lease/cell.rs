//! The session that is the host's now.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use super::Lease;
use super::term::Term;
use crate::record::Session;

/// A session and what it lets its host do. Whoever took runs with it finishes them with it, even
/// when the host has another one by then.
#[derive(Debug)]
pub struct Held {
    /// The session.
    pub session: Session,
    /// Whether its runs may go on.
    pub lease: Arc<Lease>,
}

/// The session that is the host's now; another one when that was ended by somebody else.
#[derive(Debug)]
pub struct SessionCell {
    term: Term,
    current: Mutex<Arc<Held>>,
}

impl SessionCell {
    /// Holds a session that was opened by a request sent at `sent`, time since the machine's start.
    pub fn new(term: Term, session: Session, sent: Duration) -> Self {
        Self { term, current: Mutex::new(held(term, session, sent)) }
    }

    /// Holds a session that nobody else ends while its host lives.
    pub fn unbounded(session: Session) -> Self {
        Self::new(Term::UNBOUNDED, session, Duration::ZERO)
    }

    /// How long the host may be silent.
    pub fn term(&self) -> Term {
        self.term
    }

    /// The session that is the host's now, to be asked for anew before each call.
    pub fn current(&self) -> Arc<Held> {
        Arc::clone(&self.current.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// `held` was renewed by a request sent at `sent`.
    pub fn renewed(&self, held: &Held, sent: Duration) {
        if let Some(until) = self.term.until(sent) {
            held.lease.renew(until);
        }
    }

    /// Takes a new session in the place of one that is over; nothing of the old one goes on.
    pub fn replace(&self, session: Session, sent: Duration) {
        let new = held(self.term, session, sent);
        let old = std::mem::replace(
            &mut *self.current.lock().unwrap_or_else(PoisonError::into_inner),
            new,
        );
        old.lease.end();
    }
}

fn held(term: Term, session: Session, sent: Duration) -> Arc<Held> {
    Arc::new(Held { session, lease: Arc::new(Lease::new(term.until(sent))) })
}
