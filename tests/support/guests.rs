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

/// Its bytes.
pub fn bytes(name: &str) -> Vec<u8> {
    std::fs::read(path(name)).unwrap()
}
