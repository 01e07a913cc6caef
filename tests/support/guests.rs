//! The components that tests run: built by `cargo xtask plugins --guests`.

use std::path::PathBuf;

/// The repository.
pub fn root() -> PathBuf {
    PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/.."))
}

/// A guest or plugin by its file's name without `.wasm`.
pub fn path(name: &str) -> PathBuf {
    let file = root().join(format!("target/guests/wasm32-wasip2/release/{name}.wasm"));
    assert!(file.exists(), "{} is missing; run `cargo xtask plugins --guests`", file.display());
    file
}

/// The bytes of a guest that is built as a core module without WASI too.
pub fn core_bytes(name: &str) -> Vec<u8> {
    let file = root().join(format!("target/guests/wasm32-unknown-unknown/release/{name}.wasm"));
    assert!(file.exists(), "{} is missing; run `cargo xtask plugins --guests`", file.display());
    std::fs::read(file).unwrap()
}

/// The same component as another version: with a custom section more, which changes nothing else.
pub fn version(bytes: &[u8], number: u32) -> Vec<u8> {
    with_section(bytes, "version", &number.to_le_bytes())
}

/// The same component as one that says that it carries a Python interpreter.
pub fn interpreter(bytes: &[u8]) -> Vec<u8> {
    let mut fields = vec![1];
    for text in ["processed-by", "", "componentize-py", "0.17.0"] {
        match text {
            "" => fields.push(1),
            text => {
                fields.push(u8::try_from(text.len()).unwrap());
                fields.extend(text.bytes());
            }
        }
    }
    with_section(bytes, "producers", &fields)
}

/// A custom section, which must be shorter than 128 bytes, after all others.
fn with_section(bytes: &[u8], name: &str, content: &[u8]) -> Vec<u8> {
    let mut all = bytes.to_vec();
    let length = u8::try_from(1 + name.len() + content.len()).unwrap();
    assert!(length < 128, "its length takes two bytes");
    all.extend([0, length, u8::try_from(name.len()).unwrap()]);
    all.extend(name.bytes());
    all.extend(content);
    all
}

/// Its bytes.
pub fn bytes(name: &str) -> Vec<u8> {
    std::fs::read(path(name)).unwrap()
}
