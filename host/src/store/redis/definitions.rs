//! Definitions of jobs, kept near: they are large, rarely change, and each fire needs one.

use std::collections::HashMap;
use std::sync::{Arc, LazyLock, Mutex, PoisonError};

use serde_json::Value;
use sha2::{Digest as _, Sha256};

use super::fault::unreadable;
use super::wire::Plan;
use crate::job::JobKey;
use crate::job::merge::{built_in, over};
use crate::record::Definition;
use crate::record::packed::{Effective, Packed};
use crate::run::id::Uid;
use crate::store::Result;

/// Definitions kept at most; more than that are read again when they are needed.
const MAX_KEPT: usize = 50_000;

/// The newest definition of each job that was asked for.
#[derive(Default)]
pub(super) struct Definitions {
    kept: Mutex<HashMap<JobKey, Entry>>,
}

struct Entry {
    uid: Uid,
    version: u64,
    def: Arc<Definition>,
}

impl Definitions {
    /// The definition that `plan` was written with, if it is here.
    pub(super) fn get(&self, job: &JobKey, plan: &Plan) -> Option<Arc<Definition>> {
        let kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        kept.get(job)
            .filter(|entry| (entry.uid, entry.version) == (plan.uid, plan.def_version))
            .map(|entry| Arc::clone(&entry.def))
    }

    /// Takes in what was read, or written.
    pub(super) fn put(&self, job: &JobKey, plan: &Plan, def: Definition) -> Arc<Definition> {
        let def = Arc::new(def);
        let entry = Entry { uid: plan.uid, version: plan.def_version, def: Arc::clone(&def) };
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        if MAX_KEPT <= kept.len() && !kept.contains_key(job) {
            kept.clear();
        }
        kept.insert(job.clone(), entry);
        def
    }
}

/// What this host has built in; kept once in the store, so that a host that has other values built
/// in reads the same.
pub(super) struct Base {
    /// Its name among the fields of `META`.
    pub(super) name: String,
    /// Its JSON.
    pub(super) text: String,
}

static BASE: LazyLock<Base> = LazyLock::new(|| {
    let text = Value::Object(built_in()).to_string();
    let digest = Sha256::digest(text.as_bytes());
    let name =
        digest.iter().take(4).fold("base:".to_owned(), |name, byte| format!("{name}{byte:02x}"));
    Base { name, text }
});

/// The one of this host.
pub(super) fn base() -> &'static Base {
    &BASE
}

/// A definition as it is kept, in lines: digest and version; origin (JSON); definition (JSON); the
/// name of what is built in, and what of the effective values differs from it (JSON), nothing when
/// that is the definition; origins (JSON), nothing when there are none. Without such a name, the
/// effective values are whole.
pub(super) fn write(def: &Definition) -> String {
    let (effective, is_difference) = def.effective.parts();
    let base = if is_difference { base().name.as_str() } else { "" };
    let is_same = is_difference && *effective == def.definition;
    let effective = if is_same { "" } else { effective.text() };
    let origins = if def.origins == Packed::default() { "" } else { def.origins.text() };
    let (digest, version) = (&def.digest, def.config_version);
    let origin = Value::from(def.origin.as_str());
    let definition = def.definition.text();
    format!("{version} {digest}\n{origin}\n{definition}\n{base} {effective}\n{origins}")
}

/// What is built in that a kept definition needs to be read with, when it is not that of this host.
pub(super) fn other_base(kept: &[u8]) -> Option<&str> {
    let line = kept.split(|byte| *byte == b'\n').nth(4)?;
    let (name, _) = std::str::from_utf8(line).ok()?.split_once(' ')?;
    Some(name).filter(|name| !name.is_empty() && *name != base().name)
}

/// What the definition of `plan` is kept with, as the scripts write it: of its job's uid the last
/// eight digits, and the version.
pub(super) fn head_of(plan: &Plan) -> String {
    let uid = plan.uid.to_string();
    format!("{}{}\n", uid.get(24..).unwrap_or_default(), plan.def_version)
}

/// Reads a definition as it is kept, if it is the one that `plan` was written with: another one
/// means that the job was replaced between two questions. `base` is what it needs as
/// [`other_base`].
pub(super) fn read(kept: &[u8], plan: &Plan, base: Option<&[u8]>) -> Result<Option<Definition>> {
    let Some(text) = kept.strip_prefix(head_of(plan).as_bytes()) else { return Ok(None) };
    parse(text, base).map(Some).map_err(|error| unreadable("a definition", error))
}

fn parse(text: &[u8], base: Option<&[u8]>) -> std::result::Result<Definition, String> {
    let text = std::str::from_utf8(text).map_err(|error| error.to_string())?;
    let lines: Vec<&str> = text.split('\n').collect();
    let [head, origin, definition, effective, origins] = lines.as_slice() else {
        return Err("it has not five lines".to_owned());
    };
    let wrong = |error: serde_json::Error| error.to_string();
    let (version, digest) = head.split_once(' ').ok_or("its first line has not two words")?;
    let definition = Packed::of_text(definition).map_err(wrong)?;
    let (name, text) = effective.split_once(' ').ok_or("its fourth line has no base")?;
    let difference =
        if text.is_empty() { definition.clone() } else { Packed::of_text(text).map_err(wrong)? };
    let effective = if name.is_empty() || name == BASE.name {
        Effective::of_parts(difference, !name.is_empty())
    } else {
        let below = serde_json::from_slice(base.ok_or("what was built in is not there")?);
        match difference.get() {
            Value::Object(difference) => {
                Effective::of(&Value::Object(over(below.map_err(wrong)?, &difference)))
            }
            _ => return Err("what differs is no table".to_owned()),
        }
    };
    Ok(Definition {
        definition,
        effective,
        digest: digest.to_owned(),
        config_version: version.parse().map_err(|_| "its version is no number")?,
        origin: serde_json::from_str(origin).map_err(wrong)?,
        origins: if origins.is_empty() {
            Packed::default()
        } else {
            Packed::of_text(origins).map_err(wrong)?
        },
    })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::job::merge::over_built_in;

    fn definition(definition: Value, effective: &Value) -> Definition {
        Definition {
            definition: Packed::of(&definition),
            effective: Effective::of(effective),
            digest: "d1".to_owned(),
            config_version: -3,
            origin: "host.toml,\nline 3".to_owned(),
            origins: Packed::default(),
        }
    }

    fn whole(changes: &Value) -> Value {
        Value::Object(over_built_in(changes.as_object().unwrap()))
    }

    #[test]
    fn a_definition_comes_back_as_it_was_written() {
        let says = json!({"plugin": "p", "args": "a\nb"});
        let mut with_origins = definition(says.clone(), &whole(&json!({"plugin": "p"})));
        with_origins.origins = Packed::of(&[("a".to_owned(), "b".to_owned())].into());
        for def in [
            definition(says.clone(), &whole(&says)),
            definition(says.clone(), &json!({"plugin": "p"})),
            with_origins,
        ] {
            let kept = write(&def);
            assert_eq!(parse(kept.as_bytes(), None), Ok(def));
        }
        let kept = write(&definition(says.clone(), &whole(&says)));
        assert!(!kept.contains("timeout"), "what is built in is not in it: {kept}");
    }

    #[test]
    fn what_another_host_has_built_in_stays_what_it_was() {
        let says = json!({"plugin": "p"});
        let kept = write(&definition(says.clone(), &whole(&says)));
        let kept = kept.replace(&BASE.name, "base:00000000");
        let head = format!("{}{}\n", "0".repeat(32), 1);
        assert_eq!(other_base(format!("{head}{kept}").as_bytes()), Some("base:00000000"));
        let read = parse(kept.as_bytes(), Some(br#"{"queue":"old","limits":{"memory":"1MiB"}}"#));
        let effective = read.unwrap().effective.get();
        assert_eq!(effective, json!({"queue": "old", "limits": {"memory": "1MiB"}, "plugin": "p"}));
        assert!(parse(kept.as_bytes(), None).unwrap_err().contains("built in"));
    }
}
