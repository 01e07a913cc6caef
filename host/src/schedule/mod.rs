//! The rules of scheduling, as pure functions: all of them take `now` and none of them waits.

pub mod audit;
pub mod declared;
pub mod pause;
pub mod plan;
pub mod preview;
pub mod reconcile;
pub mod retry;
pub mod served;
pub mod waiting;
pub mod why;

#[cfg(test)]
mod plan_tests;
