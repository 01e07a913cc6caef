//! Holds an instance's memories and tables to their limits, and remembers that it had to.

use wasmtime::ResourceLimiter;

use crate::job::bound::{Bound, Exceeded};
use crate::job::limits::Limits;

/// What one element of a table weighs on the host, in bytes.
const TABLE_ELEMENT_BYTES: usize = 16;

/// The limits of one instance.
pub(super) struct Limiter {
    memory: usize,
    elements: usize,
    instances: usize,
    used: usize,
    used_elements: usize,
    peak: usize,
    out_of_memory: bool,
    exceeded: Option<Exceeded>,
}

impl Limiter {
    /// As these limits say.
    pub(super) fn new(limits: &Limits) -> Self {
        let amount = |amount: u64| usize::try_from(amount).unwrap_or(usize::MAX);
        Self {
            memory: amount(limits.memory),
            elements: amount(limits.bounds[Bound::TableElements]),
            instances: amount(limits.bounds[Bound::CoreInstances]),
            ..Self::unbounded()
        }
    }

    /// No limits.
    pub(super) fn unbounded() -> Self {
        Self {
            memory: usize::MAX,
            elements: usize::MAX,
            instances: 10_000,
            used: 0,
            used_elements: 0,
            peak: 0,
            out_of_memory: false,
            exceeded: None,
        }
    }

    /// The largest sum of memories and tables that there was, in bytes.
    pub(super) fn peak_bytes(&self) -> u64 {
        self.peak as u64
    }

    /// Whether a growth was refused for the sum of memories and tables.
    pub(super) fn out_of_memory(&self) -> bool {
        self.out_of_memory
    }

    /// Another limit for which a growth was refused.
    pub(super) fn exceeded(&self) -> Option<Exceeded> {
        self.exceeded
    }

    fn grow(&mut self, current: usize, desired: usize) -> bool {
        let sum = self.used.checked_add(desired.saturating_sub(current));
        let Some(sum) = sum.filter(|sum| *sum <= self.memory) else {
            self.out_of_memory = true;
            return false;
        };
        self.used = sum;
        self.peak = self.peak.max(sum);
        true
    }
}

impl ResourceLimiter for Limiter {
    fn memory_growing(
        &mut self,
        current: usize,
        desired: usize,
        _maximum: Option<usize>,
    ) -> wasmtime::Result<bool> {
        Ok(self.grow(current, desired))
    }

    fn table_growing(
        &mut self,
        current: usize,
        desired: usize,
        _maximum: Option<usize>,
    ) -> wasmtime::Result<bool> {
        let elements = self.used_elements.saturating_add(desired.saturating_sub(current));
        if elements > self.elements {
            let (wanted, limit) = (Some(elements as u64), self.elements as u64);
            self.exceeded.get_or_insert(Exceeded { bound: Bound::TableElements, wanted, limit });
            return Ok(false);
        }
        let bytes = |elements: usize| elements.saturating_mul(TABLE_ELEMENT_BYTES);
        let grown = self.grow(bytes(current), bytes(desired));
        if grown {
            self.used_elements = elements;
        }
        Ok(grown)
    }

    fn instances(&self) -> usize {
        self.instances
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_limit_holds_for_the_sum_and_a_refusal_is_remembered() {
        let mut limiter = Limiter { memory: 100, ..Limiter::unbounded() };
        assert!(limiter.grow(0, 60));
        assert!(limiter.grow(0, 40));
        assert!(!limiter.out_of_memory());
        assert!(!limiter.grow(60, 61));
        assert!(limiter.out_of_memory());
        assert_eq!(limiter.peak_bytes(), 100);
    }

    #[test]
    fn elements_are_counted_over_all_tables() {
        let mut limiter = Limiter { elements: 10, ..Limiter::unbounded() };
        assert!(limiter.table_growing(0, 6, None).unwrap());
        assert!(limiter.table_growing(0, 4, None).unwrap());
        assert!(!limiter.table_growing(4, 5, None).unwrap());
        assert!(!limiter.out_of_memory());
        let over = Exceeded { bound: Bound::TableElements, wanted: Some(11), limit: 10 };
        assert_eq!(limiter.exceeded(), Some(over));
    }
}
