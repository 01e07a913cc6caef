//! Real hosts under faults, and whether the promises held.
//!
//! ```text
//! nemesis (seeded) ── kills, freezes, cuts ──> hosts, Redis, the wires between
//! hosts ── run ──> guest `effect` ── tells ──> collector        all of it ──> History ──> checker
//! churn ── puts, removes, looks over REST ──> hosts                                    └──> report
//! ```
//!
//! `cargo xtask chaos` runs it for as long as one likes.

mod checker;
mod collector;
mod failpoints;
mod feed;
mod fleet;
mod history;
mod nemesis;
mod report;
mod rest;
mod run;
mod workload;
