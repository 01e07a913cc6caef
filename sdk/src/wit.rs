//! The contract as it is generated from the WIT files, for what [`Context`](crate::Context) does
//! not cover: `wit::campanile::job::jobs` (chains and follow-ups), `wit::campanile::job::state` and
//! `wit::wasi::keyvalue` (durable state), `wit::wasi::http` (requests).
//!
//! Compiles everywhere; outside a host every call of an import panics.

#![expect(missing_docs, reason = "generated; the WIT files hold the documentation")]
#![cfg_attr(
    target_family = "wasm",
    expect(unsafe_code, reason = "generated; exports pass pointers")
)]

wit_bindgen::generate!({
    path: "../wit/0.1",
    world: "job",
    generate_all,
    pub_export_macro: false,
});

#[cfg(target_family = "wasm")]
export!(Plugin with_types_in self);

/// The one export of every plugin: what the registry holds.
#[cfg(target_family = "wasm")]
pub(crate) struct Plugin;
