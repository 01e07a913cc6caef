//! Which jobs there shall be: those of the file, of the sidecars, and of plugins that nobody else
//! schedules.
//!
//! Of one id the file's definition wins over a sidecar's and that over a plugin's. A file's job
//! and its own plugin's sidecar speak about the same job: there the sidecar is a layer below.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Value, json};

use super::resolve::{
    Carried, Resolved, Wanted, check_defaults, named_handler, resolve, usable_defaults,
};
use super::sidecar::{BrokenSidecar, Sidecar};
use super::{Config, Written};
use crate::job::names::{HandlerName, JobId, TenantId};
use crate::job::{JobKey, PluginKey, Source};
use crate::plugin::Handler;
use crate::problem::{Problem, join};
use crate::table::Entries;

/// The jobs that there shall be, and what stands in the way of others.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Definitions {
    /// By name.
    pub jobs: Vec<Resolved>,
    /// What is wrong, by the file or plugin it is wrong with.
    pub problems: BTreeMap<String, Vec<Problem>>,
    /// Files and plugins that can't be read in full: what they defined before is to be left alone.
    pub broken: BTreeSet<String>,
    /// Plugins that no job runs.
    pub unscheduled: Vec<Unscheduled>,
}

/// A plugin that no job runs, and what would change that.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unscheduled {
    /// The plugin.
    pub plugin: PluginKey,
    /// The file to write it into, for people.
    pub into: String,
    /// What to write there.
    pub write: String,
}

/// The name under which a plugin's own jobs are known to come from it.
pub fn plugin_origin(plugin: &PluginKey) -> String {
    match plugin.tenant == TenantId::default_tenant() {
        true => format!("plugin {}", plugin.plugin),
        false => format!("plugin {}/{}", plugin.tenant, plugin.plugin),
    }
}

/// Finds all jobs. Nothing that is wrong in one place keeps another from being read.
pub fn definitions(
    config: &Config,
    sidecars: &[Result<Sidecar, BrokenSidecar>],
    plugins: &[Carried],
) -> Definitions {
    let mut all = Gathered {
        config,
        plugins,
        owners: BTreeMap::new(),
        named: BTreeSet::new(),
        held: BTreeSet::new(),
        found: Definitions::default(),
    };
    for broken in sidecars.iter().filter_map(|sidecar| sidecar.as_ref().err()) {
        all.mark_broken(&broken.origin, broken.error.problems.clone());
        // Which of the plugin's handlers it schedules is not known now.
        all.found.broken.insert(plugin_origin(&broken.plugin));
        all.held.insert(&broken.plugin);
    }
    let sidecars: Vec<&Sidecar> = sidecars.iter().flatten().collect();
    all.take_file(&sidecars);
    all.take_sidecars(&sidecars);
    all.take_plugins();
    all.note_unscheduled();
    all.found.jobs.sort_by(|a, b| a.job.key.cmp(&b.job.key));
    all.found
}

/// What has been gathered so far.
struct Gathered<'a> {
    config: &'a Config,
    plugins: &'a [Carried],
    /// Who has each id.
    owners: BTreeMap<JobKey, Owner>,
    /// The handlers that a file or a sidecar speaks of.
    named: BTreeSet<(PluginKey, HandlerName)>,
    /// Plugins whose sidecar is broken.
    held: BTreeSet<&'a PluginKey>,
    found: Definitions,
}

/// Who has an id.
struct Owner {
    source: Source,
    origin: String,
    plugin: Option<PluginKey>,
}

impl Gathered<'_> {
    fn take_file(&mut self, sidecars: &[&Sidecar]) {
        let origin = self.config.origin();
        for Written { tenant, id, definition, path, file } in self.config.written() {
            let plugin = definition.get("plugin").and_then(Value::as_str);
            let key = key_of(tenant, id);
            let sidecar = sidecars.iter().find(|sidecar| {
                sidecar.plugin.tenant == key.tenant
                    && Some(sidecar.plugin.plugin.as_str()) == plugin
            });
            self.take(Wanted {
                key,
                source: Source::File,
                definition,
                sidecar: sidecar.and_then(|sidecar| sidecar.jobs.get(id)),
                origin: file.map_or_else(|| origin.clone(), str::to_owned),
                config_version: self.config.config_version,
                path,
            });
        }
    }

    fn take_sidecars(&mut self, sidecars: &[&Sidecar]) {
        for sidecar in sidecars {
            for (id, definition) in &sidecar.jobs {
                let key = key_of(&sidecar.plugin.tenant, id);
                let below_the_file = self.owners.get(&key).is_some_and(|owner| {
                    owner.source == Source::File && owner.plugin.as_ref() == Some(&sidecar.plugin)
                });
                if below_the_file {
                    continue;
                }
                self.take(Wanted {
                    key,
                    source: Source::Sidecar,
                    definition,
                    sidecar: None,
                    origin: sidecar.origin.clone(),
                    config_version: sidecar.config_version,
                    path: join("jobs", id.as_str()),
                });
            }
        }
    }

    /// Makes jobs of the handlers that have a trigger and that no definition names.
    fn take_plugins(&mut self) {
        for Carried { plugin, handlers, own } in self.plugins {
            let origin = plugin_origin(plugin);
            let Some(handlers) = handlers else {
                self.found.broken.insert(origin);
                continue;
            };
            for handler in handlers {
                let problems = check_defaults(handler);
                if !problems.is_empty() {
                    self.mark_broken(&origin, problems);
                    continue;
                }
                let named = self.named.contains(&(plugin.clone(), handler.name.clone()));
                let held = self.held.contains(plugin);
                if self.config.auto_schedule && *own && !named && !held {
                    self.take_handler(plugin, handler);
                }
            }
        }
    }

    fn take_handler(&mut self, plugin: &PluginKey, handler: &Handler) {
        let Some(defaults) = usable_defaults(handler) else { return };
        if defaults.get("trigger").is_none_or(|trigger| trigger.is_null() || trigger == "none") {
            return;
        }
        let origin = plugin_origin(plugin);
        let id = if handler.name == HandlerName::run() {
            plugin.plugin.to_string()
        } else {
            format!("{}.{}", plugin.plugin, handler.name)
        };
        let path = format!("handlers.{}", handler.name);
        match id.parse::<JobId>() {
            Err(error) => self.note(&origin, vec![Problem::new(path, error.to_string())]),
            Ok(job) => {
                let mut definition = Entries::new();
                definition.insert("plugin".to_owned(), json!(plugin.plugin));
                definition.insert("handler".to_owned(), json!(handler.name));
                self.take(Wanted {
                    key: JobKey { tenant: plugin.tenant.clone(), job },
                    source: Source::Plugin,
                    definition: &definition,
                    sidecar: None,
                    origin,
                    config_version: self.config.config_version,
                    path,
                });
            }
        }
    }

    /// Takes one definition, unless its id is taken.
    fn take(&mut self, wanted: Wanted<'_>) {
        let (key, origin, path) = (wanted.key.clone(), wanted.origin.clone(), wanted.path.clone());
        if let Some(owner) = self.owners.get(&key) {
            let message = format!(
                "job `{}` is defined by {} already, and that one counts; choose another name",
                key.job, owner.origin
            );
            self.note(&origin, vec![Problem::new(path, message)]);
            return;
        }
        let nothing = Entries::new();
        let named = named_handler(wanted.definition, wanted.sidecar.unwrap_or(&nothing));
        let named = named
            .map(|(plugin, handler)| (PluginKey { tenant: key.tenant.clone(), plugin }, handler));
        let plugin = named.as_ref().map(|(plugin, _)| plugin.clone());
        if let (Some(named), Source::File | Source::Sidecar) = (named, wanted.source) {
            self.named.insert(named);
        }
        let below_is_broken = wanted.source == Source::File
            && plugin.as_ref().is_some_and(|plugin| self.held.contains(plugin));
        self.owners.insert(key, Owner { source: wanted.source, origin: origin.clone(), plugin });
        match resolve(self.config, wanted, self.plugins) {
            Ok(mut resolved) => {
                resolved.incomplete |= below_is_broken;
                self.note(&origin, resolved.remarks.clone());
                self.found.jobs.push(resolved);
            }
            // One layer alone was right, all together are not: what was there before stays.
            Err(problems) => self.mark_broken(&origin, problems),
        }
    }

    fn note_unscheduled(&mut self) {
        let scheduled: BTreeSet<PluginKey> =
            self.found.jobs.iter().map(|resolved| resolved.job.plugin_key()).collect();
        for Carried { plugin, handlers, own } in self.plugins {
            let held = self.held.contains(plugin);
            if handlers.is_some() && *own && !held && !scheduled.contains(plugin) {
                let handlers = handlers.as_deref().unwrap_or_default();
                self.found.unscheduled.push(what_to_write(self.config, plugin, handlers));
            }
        }
    }

    fn note(&mut self, origin: &str, problems: Vec<Problem>) {
        if !problems.is_empty() {
            self.found.problems.entry(origin.to_owned()).or_default().extend(problems);
        }
    }

    fn mark_broken(&mut self, origin: &str, problems: Vec<Problem>) {
        self.note(origin, problems);
        self.found.broken.insert(origin.to_owned());
    }
}

fn key_of(tenant: &TenantId, id: &JobId) -> JobKey {
    JobKey { tenant: tenant.clone(), job: id.clone() }
}

/// The shortest job for a plugin: one of another tenant is defined beside its plugin.
fn what_to_write(config: &Config, plugin: &PluginKey, handlers: &[Handler]) -> Unscheduled {
    let PluginKey { tenant, plugin: name } = plugin;
    let mut write = format!("[jobs.\"{name}\"]\n");
    let into = if *tenant == TenantId::default_tenant() {
        write.push_str(&format!("plugin = \"{name}\"\n"));
        config.file.as_deref().map_or("host.toml".into(), |file| config.short(file))
    } else {
        config.short(&config.plugins_of(tenant).join(format!("{name}.toml")))
    };
    let has_run = handlers.iter().any(|handler| handler.name == HandlerName::run());
    if let (false, Some(handler)) = (has_run, handlers.first()) {
        write.push_str(&format!("handler = \"{}\"\n", handler.name));
    }
    write.push_str("trigger = \"every 1h\"\n");
    Unscheduled { plugin: plugin.clone(), into, write }
}
