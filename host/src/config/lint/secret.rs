//! Secrets of a job: one that hides a setting, one that stands nowhere.

use super::Lint;
use crate::config::Config;
use crate::config::secret::how_to_write;
use crate::job::Job;

/// What is odd about the secrets of one job.
pub(super) fn lint(job: &Job, config: &Config) -> Vec<Lint> {
    let mut found = Vec::new();
    for name in &job.capabilities.secrets {
        let mut warn = |key: String, message: String| {
            found.push(Lint::of(&job.key, key, message));
        };
        if job.config.contains_key(name.as_str()) {
            let message = "is never seen: the secret of the same name comes before it; take one \
                           of the two away"
                .to_owned();
            warn(format!("config.{name}"), message);
        }
        if config.secrets.find(&job.key.tenant, name).is_none() {
            let write = how_to_write(&job.key.tenant, name);
            let message =
                format!("`{name}` stands nowhere, so each run will fail; say where by {write}");
            warn("capabilities.secrets".to_owned(), message);
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use serde_json::json;

    use super::*;
    use crate::config::resolve::{Wanted, resolve};
    use crate::job::names::TenantId;
    use crate::job::{JobKey, Source};

    #[test]
    fn a_hidden_setting_and_a_secret_that_stands_nowhere_are_told() {
        let text = "secrets = { A = { env = 'A' } }";
        let config = Config::parse(text, Path::new("host.toml"), Path::new("/srv"), 1).unwrap();
        let definition = json!({"plugin": "p", "config": {"A": "1", "C": "2"},
            "capabilities": {"secrets": ["A", "B"]}});
        let wanted = Wanted {
            key: JobKey { tenant: TenantId::default_tenant(), job: "x".parse().unwrap() },
            source: Source::File,
            definition: definition.as_object().unwrap(),
            sidecar: None,
            origin: String::new(),
            config_version: 1,
            path: String::new(),
        };
        let resolved = resolve(&config, wanted, &[]).unwrap();
        let found: Vec<_> = lint(&resolved.job, &config).iter().map(ToString::to_string).collect();
        assert_eq!(found.len(), 2, "{found:?}");
        assert!(found[0].starts_with("job `x`, config.A: is never seen"), "{found:?}");
        assert!(found[1].starts_with("job `x`, capabilities.secrets: `B` stands nowhere"));
    }
}
