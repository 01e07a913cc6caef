//! What many schedules have in common, kept once.

use std::collections::HashSet;
use std::sync::Arc;

use crate::job::JobKey;
use crate::job::names::TenantId;
use crate::record::Definition;

/// So many definitions are never too many to look at.
const FEW: usize = 1_024;

/// What many schedules have in common.
#[derive(Debug, Default)]
pub(super) struct Common {
    definitions: HashSet<Arc<Definition>>,
    tenants: HashSet<TenantId>,
    /// When there are so many definitions, those that no schedule has any more are forgotten.
    sweep_at: usize,
}

impl Common {
    /// The one record of all definitions that are equal to `def`.
    pub(super) fn definition(&mut self, mut def: Definition) -> Arc<Definition> {
        if let Some(known) = self.definitions.get(&def) {
            return Arc::clone(known);
        }
        if self.sweep_at.max(FEW) <= self.definitions.len() {
            self.definitions.retain(|def| 1 < Arc::strong_count(def));
            self.sweep_at = 2 * self.definitions.len();
        }
        let Definition { definition, effective, .. } = &mut def;
        effective.share(definition);
        let def = Arc::new(def);
        self.definitions.insert(Arc::clone(&def));
        def
    }

    /// The same name, with the one text of its tenant. Tenants are few: none is forgotten.
    pub(super) fn name(&mut self, job: JobKey) -> JobKey {
        match self.tenants.get(&job.tenant) {
            Some(tenant) => JobKey { tenant: tenant.clone(), ..job },
            None => {
                self.tenants.insert(job.tenant.clone());
                job
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::core::tests::schedule;

    fn with_digest(number: usize) -> Definition {
        let def = Definition::clone(&schedule("a").def);
        Definition { digest: number.to_string(), ..def }
    }

    #[test]
    fn what_is_equal_is_kept_once() {
        let mut common = Common::default();
        let [first, second, other] = [0, 0, 1].map(|number| common.definition(with_digest(number)));
        assert!(Arc::ptr_eq(&first, &second) && !Arc::ptr_eq(&first, &other));
        assert_eq!(*other, with_digest(1));
    }

    #[test]
    fn definitions_that_nobody_has_any_more_are_forgotten() {
        let mut common = Common::default();
        let kept = common.definition(with_digest(0));
        for number in 1..10 * FEW {
            common.definition(with_digest(number));
        }
        assert!(common.definitions.len() <= FEW, "{}", common.definitions.len());
        assert!(Arc::ptr_eq(&kept, &common.definition(with_digest(0))));
    }
}
