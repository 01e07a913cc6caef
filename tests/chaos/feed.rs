//! What the store's server still holds of its feed, read without a word of the host's own code.

use super::history::{Feed, Micros, News};
use crate::support::redis::Redis;

/// The feed of the fleet's store.
const KEY: &str = "{camp:0}:log";
/// Entries that the store keeps at least; while there are fewer, none is gone.
const KEPT: usize = 10_000;

/// An entry: its id, and its fields by name.
type Entry = (String, Vec<(String, Vec<u8>)>);

/// All that is there.
pub fn read(server: &Redis) -> Feed {
    let client = redis::Client::open(server.url()).unwrap();
    let mut connection = client.get_connection().unwrap();
    let mut range = redis::cmd("XRANGE");
    let entries: Vec<Entry> = range.arg(KEY).arg("-").arg("+").query(&mut connection).unwrap();
    let mut news = Vec::new();
    for (id, fields) in &entries {
        for (_, packed) in fields {
            // What changed: the kind, and of some kinds the tenant and the name.
            let items: Vec<Vec<String>> = rmp_serde::from_slice(packed).unwrap();
            news.extend(items.iter().map(|item| News {
                at: at(id),
                kind: item[0].clone(),
                name: item.get(2).cloned().unwrap_or_default(),
            }));
        }
    }
    let is_whole = entries.len() < KEPT;
    let first = news.first().map_or(0, |news| news.at);
    Feed { since: if is_whole { 0 } else { first }, news }
}

/// The instant in an entry's id, `milliseconds-number`.
fn at(id: &str) -> Micros {
    let (milliseconds, _) = id.split_once('-').unwrap();
    milliseconds.parse::<Micros>().unwrap() * 1_000
}
