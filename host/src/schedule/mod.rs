//! The rules of scheduling, as pure functions: all of them take `now` and none of them waits.

pub mod plan;
pub mod reconcile;
pub mod waiting;

#[cfg(test)]
mod plan_tests;
