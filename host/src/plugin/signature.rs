//! Signatures of plugins: made with minisign, checked before anything of a file is compiled.

use minisign_verify::{PublicKey, Signature};

/// Bytes of a signature's text at most; real ones have about 300.
pub const MAX_SIGNATURE_BYTES: usize = 4 << 10;

/// A public key that plugins may be signed with.
#[derive(Clone, Debug)]
pub struct Key {
    text: String,
    key: PublicKey,
}

impl std::fmt::Display for Key {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.text)
    }
}

impl PartialEq for Key {
    fn eq(&self, other: &Self) -> bool {
        self.text == other.text
    }
}

impl Eq for Key {}

impl Key {
    /// Reads the second line of a `minisign.pub`: 56 characters that begin with `RW`.
    ///
    /// # Errors
    ///
    /// What would be right.
    pub fn read(text: &str) -> Result<Self, String> {
        let wrong = || {
            format!(
                "`{text}` is no public key of minisign: write the second line of `minisign.pub`"
            )
        };
        let key = PublicKey::from_base64(text.trim()).map_err(|_| wrong())?;
        Ok(Self { text: text.trim().to_owned(), key })
    }
}

/// Checks that one of `keys` signed these bytes.
///
/// # Errors
///
/// The rest of a sentence about the file: why it is refused, and what would help.
pub fn check(bytes: &[u8], signature: Option<&str>, keys: &[Key]) -> Result<(), String> {
    let Some(text) = signature else {
        return Err("is not signed, and its tenant requires that (`require_signature`): sign it \
                    with `minisign -S` and put the `.minisig` file beside it"
            .to_owned());
    };
    let signature = Signature::decode(text)
        .map_err(|error| format!("has a signature that can't be read ({error}); sign it again"))?;
    let mut known = false;
    for key in keys {
        match key.key.verify(bytes, &signature, false) {
            Ok(()) => return Ok(()),
            Err(minisign_verify::Error::UnexpectedKeyId) => (),
            Err(_) => known = true,
        }
    }
    Err(match known {
        true => "is not what was signed, or its signature was changed; sign this file anew",
        false => {
            "is signed with a key that `signature_keys` does not name; sign it with one of \
                  those, or add the key"
        }
    }
    .to_owned())
}
