//! What stands in the document of a key.

use std::fmt::Write as _;

use uuid::Uuid;

use crate::time::Timestamp;

/// What a key weighs beside its own bytes and those of its value: a bucket can't be filled with
/// nothing.
const OVERHEAD_BYTES: u64 = 64;
/// The number that nobody else draws.
const NONCE_BYTES: usize = 16;
/// Before it stands what kind of entry it is.
const HEAD_BYTES: usize = 1 + NONCE_BYTES;

/// The first byte of a key that has a value.
const HELD: u8 = 1;
/// The first byte of a key that was deleted.
const DELETED: u8 = 2;

/// One key: its value, or when it was deleted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Entry {
    kind: u8,
    rest: Vec<u8>,
}

impl Entry {
    /// A key with a value.
    pub(super) fn of(value: Vec<u8>) -> Self {
        Self { kind: HELD, rest: value }
    }

    /// A key that is deleted now.
    pub(super) fn deleted(now: Timestamp) -> Self {
        Self { kind: DELETED, rest: now.micros().to_be_bytes().to_vec() }
    }

    /// Reads a document. What is none of ours holds nothing.
    pub(super) fn read(mut document: Vec<u8>) -> Self {
        let kind = document.first().copied().unwrap_or(DELETED);
        document.drain(..HEAD_BYTES.min(document.len()));
        Self { kind, rest: document }
    }

    /// Whether a document holds a value.
    pub(super) fn is_held(document: &[u8]) -> bool {
        document.first() == Some(&HELD)
    }

    /// As a document, which no other is equal to.
    pub(super) fn bytes(&self) -> Vec<u8> {
        let mut document = Vec::with_capacity(HEAD_BYTES + self.rest.len());
        document.push(self.kind);
        document.extend_from_slice(Uuid::now_v7().as_bytes());
        document.extend_from_slice(&self.rest);
        document
    }

    /// Its value, unless it was deleted.
    pub(super) fn value(self) -> Option<Vec<u8>> {
        (self.kind == HELD).then_some(self.rest)
    }

    /// When it was deleted, if it was.
    pub(super) fn deleted_at(&self) -> Option<Timestamp> {
        let since = || self.rest.as_slice().try_into().map(i64::from_be_bytes).unwrap_or(0);
        (self.kind != HELD).then(|| Timestamp::from_micros(since()))
    }

    /// What it counts for under this name, in bytes.
    pub(super) fn weight(&self, name: &str) -> u64 {
        let value = if self.kind == HELD { self.rest.len() } else { 0 };
        OVERHEAD_BYTES + (name.len() + value) as u64
    }
}

/// A key as the name of a document: no store stumbles over a control character, or over nothing.
pub(super) fn escaped(key: &str) -> String {
    let mut name = String::with_capacity(key.len() + 1);
    name.push('.');
    for letter in key.chars() {
        if letter.is_ascii_control() || letter == '%' {
            // Writing to a string can't fail.
            let _ = write!(name, "%{:02x}", u32::from(letter));
        } else {
            name.push(letter);
        }
    }
    name
}

/// The key that became this name.
pub(super) fn unescaped(name: &str) -> String {
    let mut parts = name.strip_prefix('.').unwrap_or(name).split('%');
    let mut key = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        let (digits, rest) = part.split_at_checked(2).unwrap_or((part, ""));
        let letter = u8::from_str_radix(digits, 16).map(char::from);
        key.push(letter.unwrap_or(char::REPLACEMENT_CHARACTER));
        key.push_str(rest);
    }
    key
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn any_key_becomes_a_name_and_comes_back() {
        for key in ["", "a/b", "ünï", "100%", "%41", "a\0b\n\u{7f}", ".."] {
            let name = escaped(key);
            assert!(!name.is_empty() && !name.contains(char::is_control), "{name:?}");
            assert_eq!(unescaped(&name), key);
        }
    }

    #[test]
    fn a_document_says_what_it_holds_and_no_two_are_alike() {
        let entry = Entry::of(b"value".to_vec());
        let (one, other) = (entry.bytes(), entry.bytes());
        assert_ne!(one, other);
        assert!(Entry::is_held(&one));
        assert_eq!(Entry::read(one), entry);
        assert_eq!(entry.weight(".key"), 64 + 4 + 5);
        let gone = Entry::deleted(Timestamp::from_secs(7));
        assert!(!Entry::is_held(&gone.bytes()));
        assert_eq!(Entry::read(gone.bytes()).deleted_at(), Some(Timestamp::from_secs(7)));
        assert_eq!((gone.weight(".key"), gone.value()), (64 + 4, None));
        assert_eq!(Entry::read(Vec::new()).value(), None);
    }
}
