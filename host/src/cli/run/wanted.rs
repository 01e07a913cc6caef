//! The job that a command line describes: the plugin's defaults with the flags laid over them.

use std::path::Path;

use chrono_tz::Tz;
use serde_json::{Value, json};

use super::Run;
use crate::cli::args::cwd;
use crate::cli::exit::Failure;
use crate::cli::trigger::read_args;
use crate::job::merge::{Layer, merge};
use crate::job::names::{JobId, PluginName, TenantId};
use crate::job::parse::{self, Place};
use crate::job::{Job, JobKey, Source};
use crate::plugin::Handler;
use crate::problem::nearest;
use crate::table::Entries;

/// The handler of this name; when none is named `run`, or the only one.
///
/// # Errors
///
/// There is none, or nobody can tell which.
pub fn choose_handler<'a>(
    name: Option<&str>,
    handlers: &'a [Handler],
) -> Result<&'a Handler, Failure> {
    let named = |name: &str| handlers.iter().find(|handler| handler.name.as_str() == name);
    let names: Vec<&str> = handlers.iter().map(|handler| handler.name.as_str()).collect();
    let all = names.join(", ");
    match (name, handlers) {
        (Some(name), _) => named(name).ok_or_else(|| {
            let help = match nearest(name, &names) {
                Some(near) => format!("did you mean `{near}`?"),
                None => format!("it has {all}"),
            };
            Failure::usage(format!("the plugin has no handler `{name}`; {help}"))
        }),
        (None, [only]) => Ok(only),
        (None, _) => named("run").ok_or_else(|| {
            Failure::usage(format!(
                "the plugin has several handlers; name one with --handler: {all}"
            ))
        }),
    }
}

/// The job: built-in values, under the handler's defaults, under the flags.
///
/// # Errors
///
/// All that is wrong with the flags.
pub fn job(args: &Run, handler: &Handler) -> Result<Job, Failure> {
    let cwd = cwd()?;
    let place = Place {
        base_dir: &cwd,
        zone: Tz::UTC,
        tenant: None,
        allow: crate::job::capabilities::Allow::nothing(),
    };
    let name = name(&args.file);
    let flags = flags(args, handler, &name)?;
    let empty = Entries::new();
    let suggested = match &handler.defaults {
        Some(Value::Object(defaults)) => defaults,
        Some(_) | None => &empty,
    };
    let merged = merge(&[(Layer::Handler, suggested), (Layer::Job(Source::File), &flags)]);
    let job: JobId = name.parse().map_err(Failure::usage)?;
    let key = JobKey { tenant: TenantId::default_tenant(), job };
    parse::job(key, &merged.entries, "", place).map_err(|problems| {
        let problems: Vec<_> = problems.iter().map(|problem| format!("\n  {problem}")).collect();
        Failure::usage(format!("it can't be run like this:{}", problems.concat()))
    })
}

/// The flags as keys of a job.
fn flags(args: &Run, handler: &Handler, plugin: &str) -> Result<Entries, Failure> {
    let mut limits = Entries::new();
    for (key, flag) in [("timeout", &args.timeout), ("memory", &args.memory), ("fuel", &args.fuel)]
    {
        if let Some(text) = flag {
            limits.insert(key.to_owned(), json!(text));
        }
    }
    let dirs = args.dir.iter().map(|text| dir(text)).collect::<Result<Vec<_>, _>>()?;
    let mut flags = Entries::new();
    flags.insert("plugin".to_owned(), json!(plugin));
    flags.insert("handler".to_owned(), json!(handler.name));
    // It runs now, whatever the plugin suggests.
    flags.insert("trigger".to_owned(), Value::Null);
    flags.insert("limits".to_owned(), Value::Object(limits));
    let capabilities = json!({ "dirs": dirs, "http": args.allow_http, "env": args.env });
    flags.insert("capabilities".to_owned(), capabilities);
    if let Some(text) = &args.args {
        flags.insert("args".to_owned(), read_args(text)?);
    }
    Ok(flags)
}

/// `HOST:GUEST` or `HOST:GUEST:rw`.
fn dir(text: &str) -> Result<Value, Failure> {
    let (folders, mode) = match (text.strip_suffix(":rw"), text.strip_suffix(":ro")) {
        (Some(folders), _) => (folders, "rw"),
        (None, Some(folders)) => (folders, "ro"),
        (None, None) => (text, "ro"),
    };
    match folders.rsplit_once(':') {
        Some((host, guest)) if !host.is_empty() => {
            Ok(json!({"host": host, "guest": guest, "mode": mode}))
        }
        Some(_) | None => Err(Failure::usage(format!(
            "`{text}` is no folder to grant; write --dir HOST:GUEST or --dir HOST:GUEST:rw"
        ))),
    }
}

/// The plugin's name: its file's, if that is one.
fn name(file: &Path) -> String {
    let stem = file.file_stem().and_then(|stem| stem.to_str()).unwrap_or_default();
    if stem.parse::<PluginName>().is_ok() { stem.to_owned() } else { "plugin".to_owned() }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use clap::Parser;

    use super::*;
    use crate::cli::args::{Cli, Command};
    use crate::job::capabilities::DirMode;

    fn handler(name: &str, defaults: Option<Value>) -> Handler {
        Handler { name: name.parse().unwrap(), description: String::new(), defaults }
    }

    fn parsed(line: &[&str]) -> Run {
        let start = ["host", "run", "plugins/report.wasm"];
        match Cli::try_parse_from(start.iter().chain(line)).unwrap().command {
            Some(Command::Run(run)) => run,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn flags_win_over_the_plugins_defaults_and_those_over_the_built_in_ones() {
        let defaults = json!({"trigger": "every 1h", "limits": {"timeout": "1m", "memory": "32MiB"}, "args": 1});
        let handler = handler("run", Some(defaults));
        let job =
            job(&parsed(&["--timeout", "5s", "--fuel", "2M", "--dir", "data:/data:rw"]), &handler);
        let job = job.unwrap();
        assert_eq!(job.key.job.as_str(), "report");
        assert_eq!((&job.trigger, &job.args), (&None, &json!(1)));
        assert_eq!(job.limits.timeout, Duration::from_secs(5));
        assert_eq!((job.limits.memory, job.limits.fuel), (32 << 20, Some(2_000_000)));
        let dir = &job.capabilities.dirs[0];
        assert!(dir.host.is_absolute() && dir.host.ends_with("data"));
        assert_eq!((dir.guest.as_str(), dir.mode), ("/data", DirMode::ReadWrite));
    }

    #[test]
    fn origins_are_granted_by_a_flag_that_may_be_repeated() {
        let flags = ["--allow-http", "http://127.0.0.1:7600", "--allow-http", "https://a.example"];
        let job = job(&parsed(&flags), &handler("run", None)).unwrap();
        let granted: Vec<_> = job.capabilities.http.iter().map(ToString::to_string).collect();
        assert_eq!(granted, ["http://127.0.0.1:7600", "https://a.example"]);
    }

    #[test]
    fn wrong_flags_are_usage_errors_that_say_what_is_right() {
        let handler = handler("run", None);
        for (flags, part) in [
            (["--timeout", "5"], "limits.timeout: must be a duration"),
            (["--memory", "1GB"], "limits.memory: must be a size"),
            (["--dir", "data"], "--dir HOST:GUEST"),
            (["--allow-http", "api.example.com"], "must be an origin like"),
            (["--args", "{x"], "--args is not JSON"),
            (["--env", "=x"], "capabilities.env: must be like `LANG`"),
        ] {
            let failure = job(&parsed(&flags), &handler).unwrap_err();
            assert_eq!(failure.exit, crate::cli::exit::Exit::Usage);
            assert!(failure.message.contains(part), "{}", failure.message);
        }
    }

    #[test]
    fn the_handler_is_the_named_one_or_run_or_the_only_one() {
        let both = [handler("plan", None), handler("run", None)];
        let others = [handler("plan", None), handler("sweep", None)];
        assert_eq!(choose_handler(Some("plan"), &both).unwrap().name.as_str(), "plan");
        assert_eq!(choose_handler(None, &both).unwrap().name.as_str(), "run");
        assert_eq!(choose_handler(None, &others[..1]).unwrap().name.as_str(), "plan");
        assert!(choose_handler(None, &others).unwrap_err().message.contains("plan, sweep"));
        let message = choose_handler(Some("plam"), &others).unwrap_err().message;
        assert!(message.contains("did you mean `plan`?"), "{message}");
    }
}
