//! JSON that a run carries: part of the text where people read, one opaque text in binary formats,
//! so that whoever handles such a record does not touch its numbers.

use serde::{Deserialize, Deserializer, Serialize, Serializer, de, ser};
use serde_json::Value;

/// Writes it.
///
/// # Errors
///
/// Those of the format.
pub fn serialize<S: Serializer>(value: &Option<Value>, serializer: S) -> Result<S::Ok, S::Error> {
    if serializer.is_human_readable() {
        return value.serialize(serializer);
    }
    let text = value.as_ref().map(serde_json::to_string).transpose().map_err(ser::Error::custom)?;
    text.serialize(serializer)
}

/// Reads it back.
///
/// # Errors
///
/// Those of the format; the text is no JSON.
pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Value>, D::Error> {
    if deserializer.is_human_readable() {
        return Option::deserialize(deserializer);
    }
    let text: Option<String> = Option::deserialize(deserializer)?;
    text.map(|text| serde_json::from_str(&text)).transpose().map_err(de::Error::custom)
}
