//! The address of a store that several hosts share: a Redis server.

use std::path::{Path, PathBuf};
use std::time::Duration;

use serde_json::Value;
use url::{Host, Url};

use crate::config::secret::{SecretRef, secret};
use crate::record::Durability;
use crate::table::unit::{duration, show_duration};
use crate::table::value::{choice, flag, shown, text};
use crate::table::{Entries, Table};

/// The port of a Redis server when the address names none.
const PORT: u16 = 6379;
/// The highest database number that a Redis server can be given.
const MAX_DB: i64 = i32::MAX as i64;
/// How long a host may be silent before others take its runs, when nothing is written.
const TTL: Duration = Duration::from_secs(10);
/// The shortest such time: below it a busy machine looks dead.
const MIN_TTL: Duration = Duration::from_secs(1);
/// The longest such time: so long a dead host's runs wait.
const MAX_TTL: Duration = Duration::from_secs(5 * 60);
/// What the names of all keys of a fleet begin with, when nothing is written.
const PREFIX: &str = "camp";
/// Characters of a prefix at most: it stands in every key.
const MAX_PREFIX: usize = 64;

/// What an address looks like.
const FORM: &str = "must be like `redis://host:6379/0`, or `rediss://` with TLS";

/// The keys of a table that only such a store has.
pub(super) const KEYS: [&str; 6] =
    ["username", "password", "ca_file", "allow_volatile", "ttl", "prefix"];

/// A Redis server, and how it is used.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RedisAddress {
    /// A name or an address; IPv6 without brackets.
    pub host: String,
    /// Above 0.
    pub port: u16,
    /// Set when the connection is encrypted.
    pub tls: Option<TlsFiles>,
    /// The number of the database.
    pub db: i64,
    /// The user; `None`: the server's default one.
    pub username: Option<String>,
    /// Where the password stands.
    pub password: Option<SecretRef>,
    /// How long a host may be silent before others take its runs; 1 s to 5 min.
    pub ttl: Duration,
    /// What the names of all keys begin with: hosts with one prefix are one fleet. Letters, digits,
    /// `.`, `_`, `-`.
    pub prefix: String,
    /// What the operator vouches that the server survives, taken as it is; `None`: it is asked.
    pub durability: Option<Durability>,
    /// Whether a server that keeps nothing on disk will do.
    pub allow_volatile: bool,
}

/// What an encrypted connection trusts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TlsFiles {
    /// Certificates of authorities in PEM, absolute; `None`: those that are well known.
    pub ca_file: Option<PathBuf>,
}

impl RedisAddress {
    /// The address for people: no user, no password.
    pub fn shown(&self) -> String {
        let scheme = if self.tls.is_some() { "rediss" } else { "redis" };
        let Self { host, port, db, .. } = self;
        match host.contains(':') {
            true => format!("{scheme}://[{host}]:{port}/{db}"),
            false => format!("{scheme}://{host}:{port}/{db}"),
        }
    }

    /// Reads a URL; all else has its default.
    ///
    /// # Errors
    ///
    /// What is wrong, without the URL: a password may stand in it.
    pub fn parse(url: &str) -> Result<Self, String> {
        let url = Url::parse(url).map_err(|error| format!("{FORM} ({error})"))?;
        if url.password().is_some() {
            return Err("a password must not stand in the URL, which is logged: use a table \
                        `{ url = \"...\", password = { env = \"NAME\" } }` or \
                        `{ file = \"PATH\" }`"
                .to_owned());
        }
        let host = match url.host() {
            Some(Host::Domain(name)) if !name.is_empty() && !name.contains('%') => name.to_owned(),
            Some(Host::Ipv4(address)) => address.to_string(),
            Some(Host::Ipv6(address)) => address.to_string(),
            Some(Host::Domain(_)) | None => return Err(format!("{FORM}; the host is missing")),
        };
        let port = match url.port() {
            None => PORT,
            Some(0) => return Err("port 0 can't be connected to".to_owned()),
            Some(port) => port,
        };
        let db = match url.path().trim_start_matches('/') {
            "" => 0,
            number => {
                let db = number.parse().ok().filter(|db| (0..=MAX_DB).contains(db));
                db.ok_or_else(|| format!("{FORM}; after the host stands a database's number"))?
            }
        };
        if url.query().is_some() || url.fragment().is_some() {
            return Err(format!("{FORM}; options are keys of a table beside `url`"));
        }
        if url.username().contains('%') {
            return Err(
                "write a user name of other than plain characters as `username` in a table"
                    .to_owned(),
            );
        }
        let username = Some(url.username().to_owned()).filter(|name| !name.is_empty());
        Ok(Self {
            host,
            port,
            tls: (url.scheme() == "rediss").then_some(TlsFiles { ca_file: None }),
            db,
            username,
            password: None,
            ttl: TTL,
            prefix: PREFIX.to_owned(),
            durability: None,
            allow_volatile: false,
        })
    }

    /// Reads what stands beside the URL in `table`; relative paths start at `base`.
    pub(super) fn read_rest(&mut self, table: &mut Table<'_>, base: &Path) {
        if let Some(username) = table.read("username", |value| text(value).map(str::to_owned)) {
            match &self.username {
                Some(_) => table.problem("username", "a user stands in `url` already"),
                None => self.username = Some(username),
            }
        }
        self.password = secret(table, "password", base);
        let ca_file = table.read("ca_file", |value| match text(value)? {
            path if path.contains('\0') => Err("must not contain the character NUL".to_owned()),
            path => Ok(base.join(path)),
        });
        match (&mut self.tls, ca_file) {
            (Some(tls), ca_file) => tls.ca_file = ca_file,
            (None, Some(_)) => {
                table.problem("ca_file", "is for `rediss://` alone: `url` has no TLS")
            }
            (None, None) => (),
        }
        if let Some(ttl) = table.read("ttl", ttl) {
            self.ttl = ttl;
        }
        if let Some(prefix) = table.read("prefix", prefix) {
            self.prefix = prefix;
        }
        let durabilities = [("power", Durability::Power), ("process", Durability::Process)];
        self.durability = table.read("durability", choice(&durabilities));
        self.allow_volatile = table.read("allow_volatile", flag).unwrap_or(false);
        if self.allow_volatile && self.durability.is_some() {
            table.problem("allow_volatile", "contradicts `durability`: leave one of the two out");
        }
    }
}

/// Reads what can be read of the other keys when the URL is wrong, for their problems' sake.
pub(super) fn check_rest(table: &mut Table<'_>, base: &Path) {
    let encrypted = RedisAddress::parse("rediss://host");
    if let Ok(mut any) = encrypted {
        any.read_rest(table, base);
    }
}

/// Notes each key of such a store in the table of another.
pub(super) fn refuse(table: &mut Table<'_>, entries: &Entries, scheme: &str) {
    for key in KEYS.iter().filter(|key| entries.contains_key(**key)) {
        table.problem(key, format!("is for a store that hosts share, not for `{scheme}`"));
    }
}

fn ttl(value: &Value) -> Result<Duration, String> {
    match duration(value)? {
        ttl if (MIN_TTL..=MAX_TTL).contains(&ttl) => Ok(ttl),
        _ => Err(format!(
            "must be from {} to {}, not {}",
            show_duration(MIN_TTL),
            show_duration(MAX_TTL),
            shown(value)
        )),
    }
}

fn prefix(value: &Value) -> Result<String, String> {
    let prefix = text(value)?;
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-');
    if prefix.len() <= MAX_PREFIX && prefix.chars().all(plain) {
        Ok(prefix.to_owned())
    } else {
        Err(format!(
            "must be letters, digits, `.`, `_`, `-`, at most {MAX_PREFIX} of them, not {}",
            shown(value)
        ))
    }
}
