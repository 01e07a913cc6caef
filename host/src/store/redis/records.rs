//! The records that scripts read and write: MessagePack arrays without names. The order of their
//! fields stands here, once; each script is given the Lua that reads and writes them.

/// A record: its name, and its fields in the order of the Rust type.
///
/// `name` is kept as it is, `name: record` is a record itself, `name: record*` a list of them. What
/// ends with `!` is never absent, and may be false.
const RECORDS: [(&str, &[&str]); 16] = [
    ("usage", &["wall_ms", "cpu_ms", "waited_ms", "fuel", "peak_memory_bytes", "host_calls", "io"]),
    ("error", &["message", "retryable!"]),
    ("progress", &["done", "total", "message"]),
    ("start_by", &["at", "verdict", "reason"]),
    (
        "attempt",
        &[
            "attempt",
            "fence",
            "session",
            "host",
            "digest",
            "started_at",
            "finished_at",
            "outcome",
            "error: error",
            "usage: usage",
        ],
    ),
    (
        "run",
        &[
            "id",
            "tenant",
            "job",
            "uid",
            "plugin",
            "handler",
            "cause",
            "fire_time",
            "due_at",
            "state",
            "verdict",
            "reason",
            "outcome",
            "covers",
            "attempt",
            "rescues",
            "attempts: attempt*",
            "queue",
            "priority",
            "delivery",
            "max_rescues",
            "not_before",
            "start_by: start_by",
            "queued_at",
            "started_at",
            "finished_at",
            "args",
            "result",
            "error: error",
            "progress: progress",
            "usage: usage",
            "cancel",
            "memory",
            "admitted: admitted",
        ],
    ),
    ("admitted", &["memory", "cost_us", "cpu_ms", "fuel"]),
    ("trigger_state", &["anchor"]),
    ("pause", &["by", "why", "until"]),
    ("rate", &["runs", "per"]),
    ("rules", &["overlap", "queue_limit", "pause_after_failures", "rate_limit: rate"]),
    ("duration", &["secs", "nanos"]),
    ("history", &["keep", "max_age: duration"]),
    (
        "plan",
        &[
            "version",
            "def_version",
            "source",
            "cursor",
            "due_at",
            "trigger_state: trigger_state",
            "last_fire",
            "accounted_from",
            "pause: pause",
            "parked",
            "max_instances",
            "rules: rules",
            "history: history",
            "created_at",
            "asked_at",
        ],
    ),
    ("begun", &["since", "runs"]),
    (
        "last",
        &[
            "uid",
            "failures",
            "run",
            "at",
            "state",
            "outcome",
            "previous_success",
            "rated!",
            "begun: begun",
        ],
    ),
];

/// How a field is kept.
enum Kind<'a> {
    Plain { is_always: bool },
    One(&'a str),
    Many(&'a str),
}

fn field(text: &str) -> (&str, Kind<'_>) {
    match text.split_once(": ") {
        Some((name, record)) => match record.strip_suffix('*') {
            Some(record) => (name, Kind::Many(record)),
            None => (name, Kind::One(record)),
        },
        None => match text.strip_suffix('!') {
            Some(name) => (name, Kind::Plain { is_always: true }),
            None => (text, Kind::Plain { is_always: false }),
        },
    }
}

/// The record that is read most: scripts unpack its fields one by one, without an array.
const RUN: &str = "run";

/// The part of each script that reads and writes records: `read.NAME(array)` answers a table by
/// names, `bare.NAME(table)` the array to be packed. `read.run` takes a run as it is packed, and
/// answers also the two values that may follow it.
pub(super) fn lua() -> String {
    let mut lua = String::from(
        "local read, bare\n\
         -- A hole in an array; packed as nil, as all that is no value.\n\
         local NIL = cmsgpack.pack\n\
         local function each(of, list)\n\
         \x20 local all = {}\n\
         \x20 for i = 1, #list do all[i] = of(list[i]) end\n\
         \x20 return all\n\
         end\n",
    );
    // Made as a whole, each table has its size from the start: all this runs with every call.
    let (mut readers, mut writers) = (String::new(), String::new());
    for (record, fields) in RECORDS {
        let place =
            |number| if record == RUN { format!("v{number}") } else { format!("t[{number}]") };
        let (mut read, mut bare) = (Vec::new(), Vec::new());
        for (number, text) in (1..).zip(fields) {
            let (name, kind) = field(text);
            let at = place(number);
            let (get, put) = match kind {
                Kind::Plain { is_always: true } => (at, format!("x['{name}']")),
                Kind::Plain { is_always: false } => (at, format!("x['{name}'] or NIL")),
                Kind::One(of) => (
                    format!("{at} and read.{of}({at})"),
                    format!("x['{name}'] and bare.{of}(x['{name}']) or NIL"),
                ),
                Kind::Many(of) => {
                    (format!("each(read.{of}, {at})"), format!("each(bare.{of}, x['{name}'])"))
                }
            };
            read.push(format!("['{name}'] = {get}"));
            bare.push(put);
        }
        let (read, bare, count) = (read.join(", "), bare.join(", "), fields.len());
        let read = if record == RUN {
            let values: Vec<String> = (1..=count).map(place).collect();
            // After the three bytes that say how long the array is.
            format!(
                "function(packed)\n  local _, {}, one, other = cmsgpack.unpack_limit(packed, {}, 3)\n\
                 \x20 return {{ {read} }}, one, other\nend,\n",
                values.join(", "),
                count + 2,
            )
        } else {
            format!("function(t) return {{ {read} }} end,\n")
        };
        readers.push_str(&format!("{record} = {read}"));
        writers.push_str(&format!("{record} = function(x) return {{ {bare} }} end,\n"));
    }
    lua.push_str(&format!("read = {{\n{readers}}}\nbare = {{\n{writers}}}\n"));
    lua
}

#[cfg(test)]
mod tests {
    use serde::Serialize;
    use serde_json::{Value, json};

    use super::*;
    use crate::record::Begun;
    use crate::store::redis::wire::{Last, Plan};

    fn fields_of(record: &str) -> Vec<&'static str> {
        let (_, fields) = RECORDS.iter().find(|(name, _)| *name == record).unwrap();
        fields.iter().map(|text| field(text).0).collect()
    }

    /// The record and those in it: as many fields as the Rust type writes, under the same names.
    fn check(record: &str, value: &impl Serialize) {
        let named = rmp_serde::to_vec_named(value).unwrap();
        let bare = rmp_serde::to_vec(value).unwrap();
        let named: Ordered = rmp_serde::from_slice(&named).unwrap();
        let bare: Vec<Value> = rmp_serde::from_slice(&bare).unwrap();
        let names: Vec<&str> = named.0.iter().map(|(name, _)| name.as_str()).collect();
        assert_eq!(names, fields_of(record), "{record}");
        assert_eq!(bare.len(), names.len(), "{record}");
    }

    /// A map in the order in which it was written.
    struct Ordered(Vec<(String, Value)>);

    impl<'de> serde::Deserialize<'de> for Ordered {
        fn deserialize<D: serde::Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
            struct Visitor;
            impl<'de> serde::de::Visitor<'de> for Visitor {
                type Value = Ordered;
                fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                    f.write_str("a map")
                }
                fn visit_map<A: serde::de::MapAccess<'de>>(
                    self,
                    mut map: A,
                ) -> Result<Ordered, A::Error> {
                    let mut entries = Vec::new();
                    while let Some(entry) = map.next_entry()? {
                        entries.push(entry);
                    }
                    Ok(Ordered(entries))
                }
            }
            from.deserialize_map(Visitor)
        }
    }

    #[test]
    fn the_fields_of_each_record_are_those_of_the_type_in_their_order() {
        let usage = json!({
            "wall_ms": 0, "cpu_ms": 0, "peak_memory_bytes": 0, "host_calls": 0,
            "io": { "http": { "calls": 1, "bytes_in": 2, "bytes_out": 3 } },
        });
        let run: crate::run::Run = serde_json::from_value(json!({
            "id": "00000000000000000000000000000001", "tenant": "default", "job": "j",
            "uid": "00000000000000000000000000000002", "plugin": "p", "handler": "run",
            "cause": "schedule", "fire_time": "2026-01-01T00:00:00Z",
            "due_at": "2026-01-01T00:00:00Z", "state": "queued", "covers": 1, "attempt": 0,
            "rescues": 0, "attempts": [{
                "attempt": 1, "fence": 1, "session": "00000000000000000000000000000003",
                "host": "h", "started_at": "2026-01-01T00:00:00Z",
                "usage": usage,
            }],
            "priority": 5, "delivery": "at_least_once", "max_rescues": 3,
            "start_by": { "at": "2026-01-01T00:00:00Z", "verdict": "expired", "reason": "expires" },
            "queued_at": "2026-01-01T00:00:00Z", "error": { "message": "m", "retryable": false },
            "progress": { "done": 1, "total": 2, "message": "m" },
            "usage": usage, "memory": 1,
            "admitted": { "memory": 1, "cost_us": 2, "cpu_ms": 3, "fuel": 4 },
        }))
        .unwrap();
        check("run", &run);
        check("admitted", &run.admitted.unwrap());
        check("attempt", &run.attempts[0]);
        check("usage", &run.usage);
        check("start_by", &run.start_by);
        check("error", &run.error);
        check("progress", &run.progress);
        let plan: Plan = serde_json::from_value(json!({
            "source": "api", "trigger_state": { "anchor": "2026-01-01T00:00:00Z" },
            "max_instances": 1,
            "rules": {
                "overlap": "skip", "queue_limit": 1, "rate_limit": { "runs": 1, "per": "m" },
            },
            "history": { "keep": 1, "max_age": { "secs": 1, "nanos": 0 } },
        }))
        .unwrap();
        check("plan", &plan);
        check("trigger_state", &plan.trigger_state);
        check("rules", &plan.rules);
        check("history", &plan.history);
        check("duration", &plan.history.max_age);
        let pause = crate::record::Pause { by: String::new(), why: String::new(), until: None };
        check("pause", &pause);
        check("rate", &plan.rules.rate_limit.unwrap());
        check("last", &Last::default());
        check("begun", &Begun { since: crate::time::Timestamp::from_secs(0), runs: 1 });
    }
}
