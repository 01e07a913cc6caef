//! Records that are large and rarely read, as the small texts that stand for them in memory.
//!
//! A tree of JSON takes ten times what its text takes, and most of a job is what is built in. What
//! is written elsewhere, in a file for example, is always the whole of it: nobody outside knows of
//! this.

use std::marker::PhantomData;
use std::sync::Arc;

use serde::de::DeserializeOwned;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::Value;

use crate::job::merge::{difference, over_built_in};
use crate::job::{Job, JobKey};
use crate::problem::Problem;

/// A value as its compact JSON text. Cheap to clone; read anew at each [`get`](Self::get).
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Packed<T> {
    text: Arc<str>,
    value: PhantomData<T>,
}

impl<T: Serialize + DeserializeOwned + Default> Packed<T> {
    /// The text that stands for `value`.
    pub fn of(value: &T) -> Self {
        // Only a value that has no JSON can't be written: a map whose keys are no texts.
        let text = serde_json::to_string(value).unwrap_or_else(|_| "null".to_owned());
        Self { text: text.into(), value: PhantomData }
    }

    /// What [`text`](Self::text) answered.
    ///
    /// # Errors
    ///
    /// It is no JSON of such a value.
    pub fn of_text(text: &str) -> serde_json::Result<Self> {
        serde_json::from_str::<T>(text)?;
        Ok(Self { text: text.into(), value: PhantomData })
    }

    /// The text that stands for it, in one line.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// How many bytes its text has.
    pub fn size(&self) -> usize {
        self.text.len()
    }

    /// The value.
    pub fn get(&self) -> T {
        serde_json::from_str(&self.text).unwrap_or_default()
    }
}

impl<T: Serialize + DeserializeOwned + Default> Default for Packed<T> {
    fn default() -> Self {
        Self::of(&T::default())
    }
}

impl<T: Serialize + DeserializeOwned + Default> Serialize for Packed<T> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.get().serialize(serializer)
    }
}

impl<'de, T: Serialize + DeserializeOwned + Default> Deserialize<'de> for Packed<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        T::deserialize(deserializer).map(|value| Self::of(&value))
    }
}

/// A job written out whole, as what differs from a job that says nothing.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Effective {
    text: Packed<Value>,
    /// Whether the text leaves out what is built in. One that an older host wrote may lack keys
    /// that are built in: it is kept as it is.
    is_difference: bool,
}

impl Effective {
    /// The text that stands for `effective`.
    pub fn of(effective: &Value) -> Self {
        if let Value::Object(entries) = effective {
            let difference = difference(entries);
            if over_built_in(&difference) == *entries {
                let text = Packed::of(&Value::Object(difference));
                return Self { text, is_difference: true };
            }
        }
        Self { text: Packed::of(effective), is_difference: false }
    }

    /// Its text, and whether that leaves out what is built in.
    pub fn parts(&self) -> (&Packed<Value>, bool) {
        (&self.text, self.is_difference)
    }

    /// What [`parts`](Self::parts) answered, by a host with the same values built in.
    pub fn of_parts(text: Packed<Value>, is_difference: bool) -> Self {
        Self { text, is_difference }
    }

    /// How many bytes its text has in memory.
    pub fn size(&self) -> usize {
        self.text.size()
    }

    /// Every key with its value.
    pub fn get(&self) -> Value {
        match self.text.get() {
            Value::Object(difference) if self.is_difference => {
                Value::Object(over_built_in(&difference))
            }
            whole => whole,
        }
    }

    /// The trigger; null when the job has none.
    pub fn trigger(&self) -> Value {
        // It has no parts that could be built in.
        let Value::Object(mut entries) = self.text.get() else { return Value::Null };
        entries.remove("trigger").unwrap_or_default()
    }

    /// The job of this name that it defines.
    ///
    /// # Errors
    ///
    /// Every problem, as for [`Job::from_effective`].
    pub fn job(&self, key: JobKey) -> Result<Job, Vec<Problem>> {
        match self.text.get() {
            Value::Object(difference) if self.is_difference => {
                Job::from_difference(key, &difference)
            }
            whole => Job::from_effective(key, &whole),
        }
    }

    /// Shares the text of `definition` where both are one: of a job that is written as it is shown.
    pub fn share(&mut self, definition: &Packed<Value>) {
        if self.text == *definition {
            self.text.clone_from(definition);
        }
    }
}

impl Serialize for Effective {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.get().serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for Effective {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Value::deserialize(deserializer).map(|effective| Self::of(&effective))
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::job::merge::built_in;

    fn with(changes: Value) -> Value {
        let Value::Object(changes) = changes else { panic!("not a table") };
        Value::Object(over_built_in(&changes))
    }

    #[test]
    fn a_job_takes_the_room_of_what_it_says_and_comes_out_whole() {
        for (changes, packed) in [
            (json!({"plugin": "p"}), r#"{"plugin":"p"}"#),
            (json!({"plugin": "p", "overlap": "skip"}), r#"{"plugin":"p"}"#),
            (
                json!({"limits": {"memory": "4MiB"}, "config": {"a": "b"}}),
                r#"{"config":{"a":"b"},"limits":{"memory":"4MiB"}}"#,
            ),
            (json!({"trigger": "every 1h", "args": [1]}), r#"{"args":[1],"trigger":"every 1h"}"#),
            (json!({"retry": null}), r#"{"retry":null}"#),
        ] {
            let whole = with(changes);
            let effective = Effective::of(&whole);
            assert_eq!((effective.get(), effective.text.text.as_ref()), (whole, packed));
        }
    }

    #[test]
    fn what_lacks_a_built_in_key_stays_as_it_is() {
        let mut without_limit = Value::Object(built_in());
        without_limit["limits"].as_object_mut().unwrap().remove("log");
        for whole in [json!({"plugin": "p"}), without_limit, json!([1]), json!(null)] {
            assert_eq!(Effective::of(&whole).get(), whole);
            let written = serde_json::to_string(&Effective::of(&whole)).unwrap();
            assert_eq!(written, whole.to_string(), "outside it is always whole");
            let read: Effective = serde_json::from_str(&written).unwrap();
            assert_eq!(read, Effective::of(&whole));
        }
    }

    #[test]
    fn the_trigger_is_found_in_either_form() {
        for whole in [json!({"trigger": "every 1h"}), with(json!({"trigger": "every 1h"}))] {
            assert_eq!(Effective::of(&whole).trigger(), "every 1h");
        }
        assert_eq!(Effective::of(&with(json!({}))).trigger(), Value::Null);
    }
}
