//! Takes secrets out of what a run says.
//!
//! Found are a secret's own text, the same as JSON, as part of a URL, in base64 and in hexadecimal
//! digits; of one with several lines each line, of a long one each piece of it. This guards against
//! accidents. A guest that wants to tell a secret can always write it in a way of its own.

use std::borrow::Cow;
use std::collections::BTreeMap;

use aho_corasick::{AhoCorasick, MatchKind};
use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, STANDARD_NO_PAD, URL_SAFE, URL_SAFE_NO_PAD};
use serde_json::Value;

use super::MIN_BYTES;

/// A secret longer than this is looked for in pieces of about this size: a line of a log may hold
/// only a part of it.
const PIECE_BYTES: usize = 256;
/// Lines of a secret shorter than this are not looked for by themselves: `}` is no secret.
const MIN_LINE_BYTES: usize = 8;

/// Finds secrets in texts. Costs nothing where there are none.
#[derive(Default)]
pub struct Redactor {
    finder: Option<Finder>,
}

struct Finder {
    patterns: AhoCorasick,
    /// What stands in the place of each pattern.
    marks: Vec<String>,
    /// The longest pattern, in bytes.
    longest: usize,
}

impl Redactor {
    /// Finds these secrets, each with its name.
    pub fn new<'a>(secrets: impl Iterator<Item = (&'a str, &'a String)>) -> Self {
        // Of two secrets that look alike the first one's name stands.
        let mut forms = BTreeMap::new();
        for (name, value) in secrets {
            for form in self::forms(value) {
                forms.entry(form).or_insert_with(|| format!("[secret {name}]"));
            }
        }
        let longest = forms.keys().map(String::len).max().unwrap_or(0);
        let (forms, marks): (Vec<_>, Vec<_>) = forms.into_iter().unzip();
        if forms.is_empty() {
            return Self::default();
        }
        let patterns = AhoCorasick::builder().match_kind(MatchKind::LeftmostLongest).build(forms);
        // They are bounded in number and size, so that there is always room.
        let finder = patterns.ok().map(|patterns| Finder { patterns, marks, longest });
        Self { finder }
    }

    /// Whether there is a secret in a text.
    pub fn finds(&self, text: &str) -> bool {
        self.finder.as_ref().is_some_and(|finder| finder.patterns.is_match(text))
    }

    /// Takes secrets out of a text.
    pub fn clean(&self, text: &mut String) {
        if let Some(finder) = &self.finder
            && finder.patterns.is_match(text.as_str())
        {
            *text = finder.patterns.replace_all(text, &finder.marks);
        }
    }

    /// Takes secrets out of bytes.
    pub fn clean_bytes<'a>(&self, bytes: &'a [u8]) -> Cow<'a, [u8]> {
        match &self.finder {
            Some(finder) if finder.patterns.is_match(bytes) => {
                Cow::Owned(finder.patterns.replace_all_bytes(bytes, &finder.marks))
            }
            Some(_) | None => Cow::Borrowed(bytes),
        }
    }

    /// Takes secrets out of all texts of a value: names, strings, numbers.
    pub fn clean_json(&self, value: &mut Value) {
        if self.finder.is_none() {
            return;
        }
        match value {
            Value::Null | Value::Bool(_) => (),
            Value::Number(number) => {
                let mut text = number.to_string();
                if self.finds(&text) {
                    self.clean(&mut text);
                    *value = Value::String(text);
                }
            }
            Value::String(text) => self.clean(text),
            Value::Array(items) => items.iter_mut().for_each(|item| self.clean_json(item)),
            Value::Object(entries) => {
                for (mut key, mut value) in std::mem::take(entries) {
                    self.clean(&mut key);
                    self.clean_json(&mut value);
                    entries.insert(key, value);
                }
            }
        }
    }

    /// How many of the last of these bytes may be the beginning of a secret that goes on behind
    /// them, `most` at most.
    pub fn open_end(&self, bytes: &[u8], most: usize) -> usize {
        let Some(finder) = &self.finder else { return 0 };
        finder.longest.saturating_sub(1).min(most).min(bytes.len())
    }
}

/// All that is looked for of a secret.
fn forms(value: &str) -> Vec<String> {
    let mut parts = vec![value];
    parts.extend(value.lines().map(str::trim).filter(|line| MIN_LINE_BYTES <= line.len()));
    let mut forms = Vec::new();
    for part in parts {
        if part.len() <= PIECE_BYTES {
            forms.extend(written(part));
        } else {
            let ways = [part.to_owned(), quoted(part), STANDARD.encode(part)];
            forms.extend(ways.iter().flat_map(|way| pieces(way)));
        }
    }
    forms.retain(|form| MIN_BYTES <= form.len());
    forms
}

/// A text in the ways in which programs write it.
fn written(text: &str) -> Vec<String> {
    let percent: String = form_urlencoded::byte_serialize(text.as_bytes()).collect();
    let hex: String = text.bytes().map(|byte| format!("{byte:02x}")).collect();
    let mut written = vec![
        text.to_owned(),
        quoted(text),
        percent.replace('+', "%20"),
        percent,
        hex.to_uppercase(),
        hex,
    ];
    written
        .extend([STANDARD, STANDARD_NO_PAD, URL_SAFE, URL_SAFE_NO_PAD].map(|way| way.encode(text)));
    written.sort();
    written.dedup();
    written
}

/// A text as it stands in JSON, without its quotes.
fn quoted(text: &str) -> String {
    let quoted = Value::from(text).to_string();
    quoted.get(1..quoted.len() - 1).unwrap_or_default().to_owned()
}

/// Pieces of a long text, all of about the same size.
fn pieces(text: &str) -> Vec<String> {
    let size = text.len().div_ceil(text.len().div_ceil(PIECE_BYTES));
    let mut rest = text;
    let mut pieces = Vec::new();
    while !rest.is_empty() {
        // A letter that is longer than a piece does not exist.
        let (piece, behind) = rest.split_at(rest.floor_char_boundary(size.min(rest.len())));
        pieces.push(piece.to_owned());
        rest = behind;
    }
    pieces
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn redactor(secrets: &[(&str, &str)]) -> Redactor {
        let secrets: Vec<_> =
            secrets.iter().map(|(name, value)| (*name, (*value).to_owned())).collect();
        Redactor::new(secrets.iter().map(|(name, value)| (*name, value)))
    }

    fn cleaned(redactor: &Redactor, text: &str) -> String {
        let mut text = text.to_owned();
        redactor.clean(&mut text);
        text
    }

    #[test]
    fn a_secret_is_found_however_it_is_commonly_written() {
        let redactor = redactor(&[("T", "pa\"ss w/rd"), ("U", "hunter2")]);
        for (text, expected) in [
            ("a pa\"ss w/rd b", "a [secret T] b"),
            (r#"{"k":"pa\"ss w/rd"}"#, r#"{"k":"[secret T]"}"#),
            ("?t=pa%22ss+w%2Frd&x", "?t=[secret T]&x"),
            ("?t=pa%22ss%20w%2Frd&x", "?t=[secret T]&x"),
            ("Basic cGEic3Mgdy9yZA==", "Basic [secret T]"),
            ("68756e74657232", "[secret U]"),
            ("hunter2hunter2", "[secret U][secret U]"),
            ("hunter", "hunter"),
        ] {
            assert_eq!(cleaned(&redactor, text), expected);
        }
        assert!(redactor.finds("hunter2") && !redactor.finds("hunter"));
    }

    #[test]
    fn lines_and_pieces_of_a_long_secret_are_found_by_themselves() {
        let key = format!("-----BEGIN KEY-----\n{}\n}}\n-----END KEY-----", "k".repeat(64));
        let long = (0..256).map(|n| format!("{n:04}")).collect::<String>();
        let redactor = redactor(&[("KEY", &key), ("LONG", &long)]);
        assert_eq!(cleaned(&redactor, &format!("> {}", "k".repeat(64))), "> [secret KEY]");
        assert_eq!(cleaned(&redactor, "}"), "}");
        assert_eq!(cleaned(&redactor, &key), "[secret KEY]");
        assert_eq!(cleaned(&redactor, &long), "[secret LONG]".repeat(4));
        let part = cleaned(&redactor, &long[..700]);
        assert!(part.starts_with("[secret LONG][secret LONG]") && part.len() < 300, "{part}");
    }

    #[test]
    fn values_are_cleaned_whole() {
        let redactor = redactor(&[("N", "12345678")]);
        let mut value = json!({"12345678": [1, 12_345_678, "is 12345678", null]});
        redactor.clean_json(&mut value);
        assert_eq!(value, json!({"[secret N]": [1, "[secret N]", "is [secret N]", null]}));
    }

    #[test]
    fn without_secrets_nothing_is_looked_for() {
        let redactor = Redactor::default();
        assert_eq!(cleaned(&redactor, "text"), "text");
        assert!(matches!(redactor.clean_bytes(b"bytes"), Cow::Borrowed(_)));
        assert_eq!(redactor.open_end(b"bytes", 100), 0);
    }
}
