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
