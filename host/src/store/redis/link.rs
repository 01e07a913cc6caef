//! The way to the server: one shared connection for commands, made again when it breaks.
//!
//! Each new connection first learns what the server is, refuses one that would lose or evict what it
//! keeps, loads the scripts, and attaches to the contents. Nothing is queued while there is none:
//! calls fail at once with what went wrong last, and the next attempt waits a little longer.

use std::sync::{Arc, PoisonError, RwLock};
use std::time::{Duration, Instant};

use redis::aio::MultiplexedConnection;
use redis::{AsyncConnectionConfig, Client, Cmd};
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::fault::{self, SCHEMA, Trouble, connecting, trouble};
use super::keys::{COUNT, Keys};
use super::scripts::Script;
use super::server::{Server, durability};
use super::settings::{Access, ScriptClock, Settings};
use super::wire::{self, Envelope};
use super::{client, definitions};
use crate::record::Durability;
use crate::run::id::{Id128, SessionId};
use crate::store::Result;
use crate::store::core::moving::UNFINISHED;
use crate::store::error::StoreError;
use crate::time::Timestamp;

/// How long one attempt to connect may take.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(2);
/// How long an answer may take; longer than a slow disk of the server stalls it.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(5);
/// The pause after a failed attempt to connect; doubles up to the longest.
const FIRST_PAUSE: Duration = Duration::from_millis(50);
/// The longest pause between attempts.
const LONGEST_PAUSE: Duration = Duration::from_secs(2);
/// The pause after the server refused who we are: nothing changes soon.
const DENIED_PAUSE: Duration = Duration::from_secs(5);
/// How often one call is made at most, when scripts or generation had to be learnt anew.
const TRIES: usize = 4;

/// The way to the server.
pub(super) struct Link {
    settings: Settings,
    keys: Keys,
    client_for: client::Factory,
    /// The connection in use.
    live: RwLock<Option<Arc<Live>>>,
    /// Held by whoever connects.
    connecting: tokio::sync::Mutex<Attempts>,
    /// Where connections live: callers' runtimes come and go.
    runtime: tokio::runtime::Handle,
}

/// A connection that is attached.
struct Live {
    number: u64,
    connection: MultiplexedConnection,
    generation: String,
    scripts: Vec<String>,
}

/// How connecting went so far.
#[derive(Default)]
struct Attempts {
    made: u64,
    pause: Duration,
    /// When the next one may be made, and what came of the last.
    failed: Option<(Instant, StoreError)>,
    durability: Option<Durability>,
}

/// Who calls a script, and when.
#[derive(Clone, Copy)]
pub(super) struct Caller<'a> {
    pub(super) now: Timestamp,
    pub(super) session: Option<SessionId>,
    pub(super) host: &'a str,
}

impl Caller<'_> {
    /// A call that belongs to no session.
    pub(super) fn at(now: Timestamp) -> Caller<'static> {
        Caller { now, session: None, host: "" }
    }
}

impl Link {
    pub(super) fn new(settings: Settings, runtime: tokio::runtime::Handle) -> Self {
        Self {
            keys: Keys::new(&settings.address.prefix),
            client_for: client::Factory::new(&settings),
            settings,
            live: RwLock::new(None),
            connecting: tokio::sync::Mutex::default(),
            runtime,
        }
    }

    pub(super) fn keys(&self) -> &Keys {
        &self.keys
    }

    /// Connects, unless it is connected. Answers what the server survives.
    pub(super) async fn open(&self) -> Result<Durability> {
        self.connected().await?;
        let durability = self.connecting.lock().await.durability;
        durability.ok_or_else(|| StoreError::Unavailable("the connection is gone again".to_owned()))
    }

    /// The generation of the contents.
    pub(super) async fn generation(&self) -> Result<u64> {
        Ok(self.connected().await?.generation.parse().unwrap_or(0))
    }

    /// Calls a script with `args`, and bytes that it keeps as they are.
    pub(super) async fn call<T: DeserializeOwned>(
        &self,
        script: Script,
        caller: Caller<'_>,
        args: &(impl Serialize + Sync),
        bytes: &[u8],
    ) -> Result<T> {
        if self.settings.access == Access::ReadOnly {
            return Err(StoreError::Denied("it is open to be read only".to_owned()));
        }
        let args = wire::pack(args)?;
        for _ in 0..TRIES {
            let live = self.connected().await?;
            match live.evaluate(self, script, caller, &args, bytes).await {
                Ok(answer) => return wire::unpack(&answer),
                Err(Trouble::Refused(error)) => return Err(error),
                Err(Trouble::Broken(error)) => {
                    self.broken(live.number);
                    return Err(error);
                }
                Err(Trouble::NoScript | Trouble::Generation) => self.broken(live.number),
            }
        }
        Err(StoreError::Unavailable("the Redis server forgets its scripts at once".to_owned()))
    }

    /// Sends one command that only reads.
    pub(super) async fn read<T: redis::FromRedisValue>(&self, command: &Cmd) -> Result<T> {
        let live = self.connected().await?;
        let mut connection = live.connection.clone();
        command.query_async(&mut connection).await.map_err(|error| match trouble(&error) {
            Trouble::Refused(error) => error,
            Trouble::Broken(error) => {
                self.broken(live.number);
                error
            }
            Trouble::NoScript | Trouble::Generation => StoreError::Unavailable(error.to_string()),
        })
    }

    fn live(&self) -> Option<Arc<Live>> {
        self.live.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn broken(&self, number: u64) {
        let mut live = self.live.write().unwrap_or_else(PoisonError::into_inner);
        if live.as_ref().is_some_and(|live| live.number == number) {
            *live = None;
        }
    }

    async fn connected(&self) -> Result<Arc<Live>> {
        if let Some(live) = self.live() {
            return Ok(live);
        }
        let mut attempts = self.connecting.lock().await;
        if let Some(live) = self.live() {
            return Ok(live);
        }
        if let Some((next, error)) = &attempts.failed
            && Instant::now() < *next
        {
            return Err(error.clone());
        }
        attempts.made += 1;
        match self.connect(attempts.made).await {
            Ok((live, durability)) => {
                if attempts.failed.take().is_some() {
                    tracing::info!(store = %self.settings.address.shown(), "the store is there again");
                }
                attempts.pause = Duration::ZERO;
                attempts.durability = Some(durability);
                let live = Arc::new(live);
                *self.live.write().unwrap_or_else(PoisonError::into_inner) =
                    Some(Arc::clone(&live));
                Ok(live)
            }
            Err(error) => {
                if attempts.failed.is_none() {
                    tracing::warn!(store = %self.settings.address.shown(), %error, "the store is away");
                }
                attempts.pause = match &error {
                    StoreError::Denied(_) | StoreError::Unfit(_) => DENIED_PAUSE,
                    _ => (attempts.pause * 2).clamp(FIRST_PAUSE, LONGEST_PAUSE),
                };
                attempts.failed = Some((Instant::now() + attempts.pause, error.clone()));
                Err(error)
            }
        }
    }

    /// One attempt: a connection, what the server is, the scripts, the contents.
    async fn connect(&self, number: u64) -> Result<(Live, Durability)> {
        let (client, name) = (self.client_for.client()?, self.client_for.introduction());
        let (keys, settings) = (self.keys.clone(), self.settings.clone());
        let task = self
            .runtime
            .spawn(async move { establish(&client, &name, &keys, &settings, number).await });
        task.await.map_err(|_| StoreError::Unavailable("the host is shutting down".to_owned()))?
    }
}

async fn establish(
    client: &Client,
    name: &Cmd,
    keys: &Keys,
    settings: &Settings,
    number: u64,
) -> Result<(Live, Durability)> {
    let config = AsyncConnectionConfig::new()
        .set_connection_timeout(Some(CONNECT_TIMEOUT))
        .set_response_timeout(Some(ANSWER_TIMEOUT));
    let connecting_to = client.get_multiplexed_async_connection_with_config(&config);
    let mut connection = connecting_to.await.map_err(|error| connecting(&error))?;
    // A connection that is broken by then is found to be at the next question.
    let _ = name.query_async::<()>(&mut connection).await;
    let info: String = redis::cmd("INFO")
        .query_async(&mut connection)
        .await
        .map_err(|error| connecting(&error))?;
    let server = Server::read(&info)?;
    let durability = durability(&server, &settings.address, &mut connection).await?;
    if settings.access == Access::ReadOnly {
        let live = Live { number, connection, generation: String::new(), scripts: Vec::new() };
        return Ok((live, durability));
    }
    let mut scripts = Vec::with_capacity(Script::ALL.len());
    for script in Script::ALL {
        let mut load = redis::cmd("SCRIPT");
        load.arg("LOAD").arg(script.text());
        let loaded = load.query_async::<String>(&mut connection).await;
        scripts.push(loaded.map_err(|error| connecting(&error))?);
    }
    let mut live = Live { number, connection, generation: String::new(), scripts };
    live.generation = live.attach(keys, settings, &server.run_id).await?;
    Ok((live, durability))
}

impl Live {
    /// Learns the generation of the contents, or makes them.
    async fn attach(&self, keys: &Keys, settings: &Settings, server: &str) -> Result<String> {
        let args = wire::AttachArgs {
            schema: SCHEMA,
            store_id: Id128::fresh().to_string(),
            server: server.to_owned(),
            imports: settings.access == Access::Import,
            unfinished: UNFINISHED,
            base: (&definitions::base().name, &definitions::base().text),
        };
        let args = wire::pack(&args)?;
        let caller = Caller::at(Timestamp::from_secs(0));
        let answer = self.send(keys, settings.clock, Script::Attach, caller, &args, b"").await;
        match answer {
            Ok(answer) => {
                wire::unpack::<wire::AttachAnswer>(&answer).map(|attached| attached.r#gen)
            }
            Err(Trouble::Refused(error) | Trouble::Broken(error)) => Err(error),
            Err(Trouble::NoScript | Trouble::Generation) => {
                Err(StoreError::Unavailable("the server forgot its scripts".to_owned()))
            }
        }
    }

    async fn evaluate(
        &self,
        link: &Link,
        script: Script,
        caller: Caller<'_>,
        args: &[u8],
        bytes: &[u8],
    ) -> std::result::Result<Vec<u8>, Trouble> {
        self.send(&link.keys, link.settings.clock, script, caller, args, bytes).await
    }

    async fn send(
        &self,
        keys: &Keys,
        clock: ScriptClock,
        script: Script,
        caller: Caller<'_>,
        args: &[u8],
        bytes: &[u8],
    ) -> std::result::Result<Vec<u8>, Trouble> {
        let envelope = Envelope {
            clock: match clock {
                ScriptClock::Server => "server",
                ScriptClock::Caller => "caller",
            },
            now: caller.now,
            text: caller.now.to_string(),
            r#gen: &self.generation,
            session: caller.session,
            host: caller.host,
        };
        let envelope = wire::pack(&envelope).map_err(Trouble::Refused)?;
        let place = Script::ALL.iter().position(|known| *known == script).unwrap_or(0);
        let mut command = redis::cmd("EVALSHA");
        command.arg(self.scripts.get(place).map_or("", String::as_str)).arg(COUNT);
        command.arg(keys.all()).arg(envelope).arg(args).arg(bytes);
        let mut connection = self.connection.clone();
        command.query_async(&mut connection).await.map_err(|error| fault::trouble(&error))
    }
}
