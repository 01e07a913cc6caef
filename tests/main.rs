//! The one integration binary: everything through real components, the real binary, real sockets.

mod api;
mod architecture;
mod cli;
mod clock;
mod engine;
mod lifecycle;
mod support;
