//! Keeps the newest files of a folder and removes the others.
//!
//! Only regular files that stand directly in the folder are looked at: no links, no folders, and
//! so nothing outside of it. Unless told otherwise it removes nothing and says what it would:
//!
//! ```toml
//! [jobs.prune-backups]
//! plugin  = "prune"
//! trigger = "cron 15 4 * * *"
//! args    = { dir = "/backups", keep = 14, pattern = "*.tar.gz", dry_run = false }
//! capabilities = { dirs = [{ host = "backups", guest = "/backups", mode = "rw" }] }
//! ```

mod pattern;
mod plan;

use std::fs;
use std::io::ErrorKind;
use std::path::{Component, Path};

use campanile_sdk::{Context, Result, ResultExt, job, permanent};

use plan::Entry;

/// At most this many names stand in the result.
const MAX_NAMES: usize = 100;

/// What to keep.
#[derive(serde::Deserialize)]
#[serde(deny_unknown_fields)]
struct Args {
    /// A granted folder.
    dir: String,
    /// How many files stay.
    keep: usize,
    /// Which files count, `*` for any text and `?` for any character; all when left out.
    #[serde(default = "all_files")]
    pattern: String,
    /// Only say what would be removed.
    #[serde(default = "yes")]
    dry_run: bool,
}

/// What was done, or would be.
#[derive(Debug, PartialEq, serde::Serialize)]
struct Pruned {
    /// Files that stay.
    kept: usize,
    /// Files that are removed.
    removed: usize,
    /// What the removed files held.
    bytes: u64,
    /// The removed files, newest first, no more than a hundred.
    names: Vec<String>,
    /// Whether nothing was really removed.
    dry_run: bool,
}

/// Keeps the newest files of a folder and removes the others.
#[job(max_instances = 1)]
fn run(ctx: &Context, args: Args) -> Result<Pruned> {
    let dir = Path::new(&args.dir);
    if dir.components().any(|part| part == Component::ParentDir) {
        return Err(permanent(format!(
            "`{}` leads out of a folder: write it without `..`",
            args.dir
        )));
    }
    let entries = list(dir, &args.pattern).context(format!("cannot list `{}`", args.dir))?;
    let plan = plan::keep_newest(entries, args.keep);

    let verb = if args.dry_run { "would remove" } else { "removing" };
    for (done, entry) in plan.removed.iter().enumerate() {
        if ctx.cancelled() {
            return Err(permanent(format!("cancelled after {done} files")));
        }
        ctx.info(format!("{verb} `{}`, {} bytes", entry.name, entry.bytes));
        if !args.dry_run {
            remove(&dir.join(&entry.name))?;
            ctx.progress(done as u64 + 1, plan.removed.len() as u64, "removing");
        }
    }
    Ok(Pruned {
        kept: plan.kept.len(),
        removed: plan.removed.len(),
        bytes: plan.removed.iter().map(|entry| entry.bytes).sum(),
        names: plan.removed.into_iter().take(MAX_NAMES).map(|entry| entry.name).collect(),
        dry_run: args.dry_run,
    })
}

/// The regular files in `dir` that the pattern fits.
fn list(dir: &Path, pattern: &str) -> Result<Vec<Entry>> {
    let mut entries = Vec::new();
    for entry in fs::read_dir(dir)? {
        let entry = entry?;
        // Of a name that is no text, what is shown would not be what is removed.
        let Ok(name) = entry.file_name().into_string() else { continue };
        if !entry.file_type()?.is_file() || !pattern::matches(pattern, &name) {
            continue;
        }
        let metadata = entry.metadata()?;
        entries.push(Entry { name, modified: metadata.modified()?, bytes: metadata.len() });
    }
    Ok(entries)
}

/// A file that is gone already was removed by someone else.
fn remove(path: &Path) -> Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != ErrorKind::NotFound => {
            Err(error).context(format!("cannot remove `{}`", path.display()))
        }
        _ => Ok(()),
    }
}

fn all_files() -> String {
    "*".into()
}

fn yes() -> bool {
    true
}

#[cfg(test)]
mod tests {
    use campanile_sdk::Invocation;

    use super::*;

    fn prune(dir: &Path, keep: usize, dry_run: bool) -> Result<Pruned> {
        let dir = dir.to_str().expect("a path of text").into();
        let args = Args { dir, keep, pattern: "*.log".into(), dry_run };
        run(&Context::new(Invocation::default()), args)
    }

    #[test]
    fn files_are_removed_only_when_asked_to() {
        let dir = tempfile::tempdir().expect("a folder");
        for name in ["a.log", "b.log", "c.txt"] {
            fs::write(dir.path().join(name), name).expect("a file");
        }
        fs::create_dir(dir.path().join("d.log")).expect("a folder");
        for (dry_run, left) in [(true, true), (false, false)] {
            let pruned = prune(dir.path(), 0, dry_run).expect("a result");
            assert_eq!((pruned.kept, pruned.removed, pruned.bytes), (0, 2, 10));
            assert_eq!(dir.path().join("a.log").exists(), left);
        }
        assert!(dir.path().join("c.txt").exists() && dir.path().join("d.log").exists());
    }

    #[cfg(unix)]
    #[test]
    fn a_link_is_neither_counted_nor_removed() {
        let dir = tempfile::tempdir().expect("a folder");
        let link = dir.path().join("b.log");
        std::os::unix::fs::symlink("/", &link).expect("a link");
        assert_eq!(prune(dir.path(), 0, false).expect("a result").removed, 0);
        assert!(link.is_symlink());
    }

    #[test]
    fn a_path_that_leads_out_is_refused() {
        let error = prune(Path::new("/data/../etc"), 0, true).expect_err("a refusal");
        assert!(!error.is_retryable());
    }

    #[test]
    fn a_file_that_is_gone_counts_as_removed() {
        assert_eq!(remove(Path::new("no-such-file")), Ok(()));
    }
}
