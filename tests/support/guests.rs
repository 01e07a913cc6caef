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

/// Its bytes.
pub fn bytes(name: &str) -> Vec<u8> {
    std::fs::read(path(name)).unwrap()
}
