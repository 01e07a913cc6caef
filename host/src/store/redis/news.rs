//! News from other hosts: hints that wake those who act, and the feed for those who tell.
//!
//! Hints come by sharded publish and subscribe and may be lost: whoever needs them looks by himself
//! once a second. The feed is a stream that nothing is lost from while a reader is not further behind
//! than its length; it is read from the first time on that somebody asks for it. Each has a thread
//! and a connection of its own.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use redis::{Connection, Value};
use tokio::sync::broadcast;
use tracing::debug;

use super::client::Factory;
use super::keys::Keys;
use super::settings::Settings;
use super::wire::{self, NewsItem};
use crate::job::JobKey;
use crate::record::step::Change;
use crate::run::RunKey;
use crate::store::Result;
use crate::store::error::StoreError;

/// Changes that a slow listener may be behind before it misses some.
const CHANGES_KEPT: usize = 4_096;
/// How long connecting may take.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(2);
/// How long a thread waits for news before it sees whether it is to end.
const LISTEN: Duration = Duration::from_secs(1);
/// A connection that was silent so often in a row is asked whether it lives.
const SILENT: u32 = 5;
/// The pause after a connection broke.
const PAUSE: Duration = Duration::from_millis(250);
/// Entries of the feed read at once.
const ENTRIES: usize = 256;

/// The threads, and who listens to them.
pub(super) struct News {
    hints: broadcast::Sender<Change>,
    feed: broadcast::Sender<Change>,
    /// Set when the feed is read.
    reads_feed: OnceLock<()>,
    source: Source,
}

#[derive(Clone)]
struct Source {
    factory: Factory,
    hints: String,
    feed: String,
    stop: Arc<AtomicBool>,
}

impl News {
    /// Listens to hints from now on.
    pub(super) fn start(settings: &Settings, keys: &Keys) -> Result<Self> {
        let source = Source {
            factory: Factory::new(settings),
            hints: keys.of("HINT").to_owned(),
            feed: keys.of("FEED").to_owned(),
            stop: Arc::new(AtomicBool::new(false)),
        };
        let hints = broadcast::channel(CHANGES_KEPT).0;
        let (listener, sender) = (source.clone(), hints.clone());
        thread("redis-hints", move || listener.listen(&sender))?;
        let feed = broadcast::channel(CHANGES_KEPT).0;
        Ok(Self { hints, feed, reads_feed: OnceLock::new(), source })
    }

    /// What wakes those who act.
    pub(super) fn hints(&self) -> broadcast::Receiver<Change> {
        self.hints.subscribe()
    }

    /// Everything that changes from now on.
    pub(super) fn feed(&self) -> broadcast::Receiver<Change> {
        let receiver = self.feed.subscribe();
        self.reads_feed.get_or_init(|| {
            // The end of the stream as it is now: the thread may start later.
            let from = self.source.end_of_feed().unwrap_or_else(|| "$".to_owned());
            let (reader, sender) = (self.source.clone(), self.feed.clone());
            if let Err(error) = thread("redis-feed", move || reader.read_feed(&sender, from)) {
                debug!(%error, "no thread for the feed");
            }
        });
        receiver
    }
}

impl Drop for News {
    fn drop(&mut self) {
        self.source.stop.store(true, Ordering::Release);
    }
}

fn thread(name: &str, body: impl FnOnce() + Send + 'static) -> Result<()> {
    std::thread::Builder::new()
        .name(name.to_owned())
        .spawn(body)
        .map(|_| ())
        .map_err(|error| StoreError::Unavailable(format!("no thread for news: {error}")))
}

impl Source {
    fn is_over(&self) -> bool {
        self.stop.load(Ordering::Acquire)
    }

    fn connect(&self) -> redis::RedisResult<Connection> {
        let connection = self.factory.connection(CONNECT_TIMEOUT).map_err(|error| {
            redis::RedisError::from((redis::ErrorKind::Client, "no client", error.to_string()))
        })?;
        connection.set_read_timeout(Some(LISTEN))?;
        connection.set_write_timeout(Some(CONNECT_TIMEOUT))?;
        Ok(connection)
    }

    /// Until the store is dropped: listens to the channel of hints.
    fn listen(&self, to: &broadcast::Sender<Change>) {
        while !self.is_over() {
            if let Err(error) = self.listen_once(to) {
                debug!(%error, "no hints for now");
                std::thread::sleep(PAUSE);
            }
        }
    }

    fn listen_once(&self, to: &broadcast::Sender<Change>) -> redis::RedisResult<()> {
        let mut connection = self.connect()?;
        let mut subscribe = redis::cmd("SSUBSCRIBE");
        subscribe.arg(&self.hints);
        connection.send_packed_command(&subscribe.get_packed_command())?;
        let mut silent = 0;
        while !self.is_over() {
            match connection.recv_response() {
                Ok(Value::Array(parts) | Value::Push { data: parts, .. }) => {
                    silent = 0;
                    match parts.as_slice() {
                        [Value::BulkString(kind), _, Value::BulkString(news)]
                            if kind == b"smessage" =>
                        {
                            tell(news, to);
                        }
                        // Subscribed: what was said before went unheard.
                        [Value::BulkString(kind), _, Value::Int(_)] if kind == b"ssubscribe" => {
                            let _ = to.send(Change::Queued);
                        }
                        _ => (),
                    }
                }
                Ok(_) => silent = 0,
                Err(error) if error.is_timeout() => {
                    silent += 1;
                    if silent == SILENT {
                        connection.send_packed_command(&redis::cmd("PING").get_packed_command())?;
                    } else if 2 * SILENT <= silent {
                        return Err(error);
                    }
                }
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    fn end_of_feed(&self) -> Option<String> {
        let mut connection = self.connect().ok()?;
        let mut newest = redis::cmd("XREVRANGE");
        newest.arg(&self.feed).arg("+").arg("-").arg("COUNT").arg(1);
        let found: Vec<Entry> = newest.query(&mut connection).ok()?;
        Some(found.into_iter().next().map_or_else(|| "0".to_owned(), |(id, _)| id))
    }

    /// Until the store is dropped: reads the feed from `from` on.
    fn read_feed(&self, to: &broadcast::Sender<Change>, mut from: String) {
        while !self.is_over() {
            if let Err(error) = self.read_feed_on(to, &mut from) {
                debug!(%error, "no feed for now");
                std::thread::sleep(PAUSE);
            }
        }
    }

    fn read_feed_on(
        &self,
        to: &broadcast::Sender<Change>,
        from: &mut String,
    ) -> redis::RedisResult<()> {
        let mut connection = self.connect()?;
        connection.set_read_timeout(Some(LISTEN * 3))?;
        while !self.is_over() {
            let mut read = redis::cmd("XREAD");
            read.arg("COUNT").arg(ENTRIES).arg("BLOCK").arg(LISTEN.as_millis());
            read.arg("STREAMS").arg(&self.feed).arg(&*from);
            let found: Option<Vec<(String, Vec<Entry>)>> = read.query(&mut connection)?;
            for (_, entries) in found.into_iter().flatten() {
                for (id, fields) in entries {
                    for news in fields.iter().skip(1).step_by(2) {
                        tell(news, to);
                    }
                    *from = id;
                }
            }
        }
        Ok(())
    }
}

/// An entry of a stream: its id, and names and values of its fields.
type Entry = (String, Vec<Vec<u8>>);

/// Tells on what one script has told.
fn tell(news: &[u8], to: &broadcast::Sender<Change>) {
    match wire::unpack::<Vec<NewsItem>>(news) {
        Ok(items) => {
            for change in items.into_iter().filter_map(change_of) {
                // Nobody listens any more: then nobody misses it.
                let _ = to.send(change);
            }
        }
        Err(error) => debug!(%error, "news that can't be read"),
    }
}

fn change_of(NewsItem(kind, tenant, name): NewsItem) -> Option<Change> {
    let tenant = tenant.map(|tenant| tenant.parse());
    let job = || {
        let (tenant, job) = (tenant.clone()?.ok()?, name.as_deref()?.parse().ok()?);
        Some(JobKey { tenant, job })
    };
    let run = || {
        let (tenant, run) = (tenant.clone()?.ok()?, name.as_deref()?.parse().ok()?);
        Some(RunKey { tenant, run })
    };
    match kind.as_str() {
        "job" => job().map(Change::Job),
        "fired" => job().map(Change::Fired),
        "run" => run().map(Change::Run),
        "cancel" => run().map(Change::Cancel),
        "queued" => Some(Change::Queued),
        _ => None,
    }
}
