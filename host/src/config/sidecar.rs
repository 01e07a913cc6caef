//! `<name>.toml` beside `<name>.wasm`: jobs of that plugin, in the shape of `host.toml`.
//!
//! It grants nothing and changes nothing about the host. Who finds and reads it is [`load`](super::load).

use std::collections::BTreeMap;
use std::path::Path;

use super::Config;
use super::error::ConfigError;
use super::jobs::{self, Below};
use super::{keys, text};
use crate::job::merge::Layer;
use crate::job::names::JobId;
use crate::job::{PluginKey, Source};
use crate::table::{Entries, Table};

/// A checked sidecar.
#[derive(Clone, Debug, PartialEq)]
pub struct Sidecar {
    /// The plugin that it stands beside.
    pub plugin: PluginKey,
    /// The file, for people.
    pub origin: String,
    /// Of two hosts' definitions the higher wins; the file's time in seconds.
    pub config_version: i64,
    /// Its jobs as written, each with its `plugin`. Checked.
    pub jobs: BTreeMap<JobId, Entries>,
}

/// A sidecar that can't be used. What it defined before stays as it is until it is put right.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BrokenSidecar {
    /// The plugin that it stands beside.
    pub plugin: PluginKey,
    /// The file, for people.
    pub origin: String,
    /// What is wrong.
    pub error: ConfigError,
}

impl Sidecar {
    /// Reads the text of `file`, which stands beside `plugin`.
    ///
    /// # Errors
    ///
    /// All problems of the file at once.
    pub fn parse(
        text: &str,
        plugin: PluginKey,
        file: &Path,
        config: &Config,
        config_version: i64,
    ) -> Result<Self, BrokenSidecar> {
        let origin = config.short(file);
        let broken = |problems| BrokenSidecar {
            plugin: plugin.clone(),
            origin: origin.clone(),
            error: ConfigError { file: origin.clone(), problems },
        };
        let entries = text::entries(text).map_err(|problem| broken(vec![problem]))?;
        let mut table = Table::new("", &entries, &keys::SIDECAR);
        let below = Below {
            job_defaults: &config.job_defaults,
            tenant_defaults: config.defaults_of(&plugin.tenant),
            caps: config.caps(&plugin.tenant),
            place: config.place(&plugin.tenant),
        };
        let jobs = jobs::jobs(&mut table, Layer::Job(Source::Sidecar), Some(&plugin.plugin), below);
        match table.finish() {
            problems if problems.is_empty() => Ok(Self { plugin, origin, config_version, jobs }),
            problems => Err(broken(problems)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::job::names::TenantId;

    fn parse(text: &str) -> Result<Sidecar, BrokenSidecar> {
        let config = Config::parse("", Path::new("host.toml"), Path::new("/srv"), 1).unwrap();
        let file = Path::new("/srv/plugins/report.toml");
        let plugin = "report".parse().unwrap();
        let plugin = PluginKey { tenant: TenantId::default_tenant(), plugin };
        Sidecar::parse(text, plugin, file, &config, 7)
    }

    #[test]
    fn its_jobs_are_jobs_of_its_plugin() {
        let sidecar = parse("[jobs.a]\ntrigger = 'every 5s'\n[jobs.b]\nplugin = 'report'").unwrap();
        assert_eq!((sidecar.origin.as_str(), sidecar.config_version), ("plugins/report.toml", 7));
        assert_eq!(sidecar.jobs.len(), 2);
        assert!(sidecar.jobs.values().all(|job| job["plugin"] == "report"));
    }

    #[test]
    fn what_would_let_it_grant_is_told_in_the_words_of_its_tenant() {
        let config = "[tenants.acme]";
        let config = Config::parse(config, Path::new("host.toml"), Path::new("/srv"), 1).unwrap();
        let plugin = PluginKey { tenant: "acme".parse().unwrap(), plugin: "p".parse().unwrap() };
        let text = "[jobs.a]\ncapabilities = { kv = true }\n";
        let file = Path::new("/srv/plugins/acme/p.toml");
        let broken = Sidecar::parse(text, plugin, file, &config, 7).unwrap_err().error.to_string();
        let advice = "under `[tenants.acme.jobs.ID]`, or let any job of the tenant have this by \
                      `[tenants.acme] allow = { kv = true }`";
        assert!(broken.ends_with(advice), "{broken}");
    }

    #[test]
    fn it_neither_grants_nor_speaks_for_the_host_or_for_other_plugins() {
        let broken = parse(
            "plugins = 'x'\njob = 1\n[jobs.a]\nplugin = 'hello'\npriority = 10\n\
             capabilities = { dirs = [{ host = 'd', guest = '/d' }] }\n",
        );
        assert_eq!(
            broken.unwrap_err().error.to_string(),
            "cannot use configuration `plugins/report.toml`\n  \
             job: unknown key `job`; did you mean `jobs`?\n  \
             plugins: stands in `host.toml` only; a sidecar has `[jobs.ID]` tables\n  \
             jobs.a.plugin: a sidecar defines jobs of its own plugin only: leave it out, or `report`\n  \
             jobs.a.priority: must be a whole number from 0 to 9, not `10`\n  \
             jobs.a.capabilities: only `host.toml` grants capabilities; define this job there under \
             `[jobs.ID]`, or let any job of the tenant have this by `[tenants.default] allow = \
             { dirs = [\"/srv/d\"] }`"
        );
    }
}
