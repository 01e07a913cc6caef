//! Where the store is: its address as a value. Opening it is `store`'s.

mod shared;
#[cfg(test)]
mod tests;

use std::path::{Path, PathBuf};

use serde_json::Value;

pub use shared::{RedisAddress, TlsFiles};

use super::keys;
use crate::problem::nearest;
use crate::table::value::{choice, shown, text};
use crate::table::{Entries, Table, not_built};

/// The store's file when the address names none, in `state_dir`.
pub const SQLITE_FILE: &str = "campanile.db";

/// Which store, and where.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum StoreAddress {
    /// In memory, gone with the process.
    Memory,
    /// In a file of SQLite.
    Sqlite {
        /// Absolute.
        path: PathBuf,
    },
    /// On a Redis server, which several hosts share.
    Redis(RedisAddress),
}

/// What is documented and not there yet.
const PLANNED: [&str; 4] = ["postgres", "postgresql", "redis+sentinel", "redis+cluster"];

/// The schemes that a wrong one is compared with.
const SCHEMES: [&str; 5] = ["sqlite", "memory", "postgres", "redis", "rediss"];

/// Reads `store` of `top`: a URL, or a table with one. The default is SQLite in `state_dir`.
pub fn store(top: &mut Table<'_>, base: &Path, state_dir: &Path) -> Option<StoreAddress> {
    match top.raw("store") {
        None => Some(StoreAddress::Sqlite { path: state_dir.join(SQLITE_FILE) }),
        Some(Value::Object(entries)) => {
            let mut table = top.table("store", &keys::STORE)?;
            let store = in_table(&mut table, entries, base, state_dir);
            top.absorb(table.finish());
            store
        }
        Some(_) => top.read("store", |value| address(value, base, state_dir)),
    }
}

fn in_table(
    table: &mut Table<'_>,
    entries: &Entries,
    base: &Path,
    state_dir: &Path,
) -> Option<StoreAddress> {
    if table.raw("url").is_none() {
        table.problem("url", "`url` is missing: name the store, for example `sqlite:`");
    }
    let mut store = table.read("url", |value| address(value, base, state_dir));
    match &mut store {
        Some(StoreAddress::Redis(server)) => server.read_rest(table, base),
        Some(StoreAddress::Memory) => {
            if table.read("durability", choice(&[("power", ())])).is_some() {
                table.problem("durability", "a store in memory survives no loss of power");
            }
            shared::refuse(table, entries, "memory:");
        }
        Some(StoreAddress::Sqlite { .. }) => {
            table.read("durability", choice(&[("power", ())]));
            shared::refuse(table, entries, "sqlite:");
        }
        None => shared::check_rest(table, base),
    }
    store
}

/// Reads a URL. What a message shows of it is the scheme alone: the rest may hold a password.
fn address(value: &Value, base: &Path, state_dir: &Path) -> Result<StoreAddress, String> {
    let url = text(value)?;
    let Some((scheme, rest)) = url.split_once(':') else {
        return Err(format!("must be a store like `sqlite:` or `memory:`, not {}", shown(value)));
    };
    match (scheme, rest) {
        ("memory", "") => Ok(StoreAddress::Memory),
        ("memory", _) => Err("`memory:` takes nothing after the colon".to_owned()),
        ("sqlite", "") => Ok(StoreAddress::Sqlite { path: state_dir.join(SQLITE_FILE) }),
        ("sqlite", path) if path.contains('\0') => {
            Err("a path must not contain the character NUL".to_owned())
        }
        ("sqlite", path) => Ok(StoreAddress::Sqlite { path: base.join(path) }),
        ("redis" | "rediss", _) => RedisAddress::parse(url).map(StoreAddress::Redis),
        (planned, _) if PLANNED.contains(&planned) => Err(not_built(&format!("{planned}:"))),
        (other, _) => Err(match nearest(other, &SCHEMES) {
            Some(near) => format!("unknown store `{other}:`; did you mean `{near}:`?"),
            None => {
                format!("unknown store `{other}:`; there are `sqlite:`, `memory:` and `redis:`")
            }
        }),
    }
}
