//! The one integration binary: everything through real components, the real binary, real sockets.

#![expect(missing_docs, reason = "the names of tests say what they show")]

mod architecture;
mod clock;
mod engine;
mod lifecycle;
mod support;
