//! Where names lead.
//!
//! The system is asked, which may take long and can't be called off: on threads for what waits, so
//! many at once for each run and for the host.

use std::io;
use std::net::{IpAddr, ToSocketAddrs};
use std::sync::Arc;

use tokio::sync::Semaphore;

/// Look-ups of one host under way at once, those included that nobody waits for any more.
const MAX_LOOKUPS: usize = 64;
/// The same of one run.
const MAX_LOOKUPS_OF_A_RUN: usize = 4;
/// Addresses of one name that are looked at.
const MAX_ADDRESSES: usize = 16;

/// Who says where names lead.
pub(in crate::engine) struct Names {
    lookups: Arc<Semaphore>,
    /// The answers that are given in place of the system's, one to a look-up.
    #[cfg(test)]
    scripted: Option<std::sync::Mutex<Vec<Vec<IpAddr>>>>,
}

/// The look-ups of one run.
#[derive(Clone)]
pub(super) struct Lookups(Arc<Semaphore>);

impl Default for Names {
    fn default() -> Self {
        Self {
            lookups: Arc::new(Semaphore::new(MAX_LOOKUPS)),
            #[cfg(test)]
            scripted: None,
        }
    }
}

impl Default for Lookups {
    fn default() -> Self {
        Self(Arc::new(Semaphore::new(MAX_LOOKUPS_OF_A_RUN)))
    }
}

#[cfg(test)]
impl Names {
    /// Names that lead where these answers say, the last one first.
    pub(super) fn scripted(answers: Vec<Vec<IpAddr>>) -> Self {
        Self { scripted: Some(std::sync::Mutex::new(answers)), ..Self::default() }
    }

    /// Answers that were not asked for.
    pub(super) fn left(&self) -> usize {
        self.scripted.as_ref().unwrap().lock().unwrap().len()
    }
}

impl Names {
    /// The addresses of a name, in the system's order. Waits while too many are asked for.
    ///
    /// # Errors
    ///
    /// The system knows none.
    pub(super) async fn find(&self, name: &str, own: &Lookups) -> io::Result<Vec<IpAddr>> {
        #[cfg(test)]
        if let Some(scripted) = &self.scripted {
            let mut answers = scripted.lock().unwrap();
            return answers.pop().ok_or_else(|| io::Error::other("no more answers"));
        }
        let name = name.to_owned();
        let own = Arc::clone(&own.0).acquire_owned().await.map_err(io::Error::other)?;
        let lookup = Arc::clone(&self.lookups).acquire_owned().await.map_err(io::Error::other)?;
        let find = move || {
            // Held until the system has answered, whether or not somebody still waits.
            let _held = (own, lookup);
            let found = (name.as_str(), 0).to_socket_addrs()?;
            Ok(found.map(|found| found.ip()).take(MAX_ADDRESSES).collect())
        };
        tokio::task::spawn_blocking(find).await.map_err(io::Error::other)?
    }
}
