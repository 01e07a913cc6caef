//! `include`: further files that hold tables of tenants and nothing else.
//!
//! Which files there are and what stands in them [`load`](super::load) finds out.

use std::path::{Path, PathBuf};

use super::text;
use crate::problem::Problem;
use crate::table::value::texts;
use crate::table::{Entries, Table};

/// Entries of `include` at most.
const MAX_PATTERNS: usize = 100;
/// Files of all entries at most.
pub const MAX_FILES: usize = 1_000;
/// How their names end.
const ENDING: &str = ".toml";

/// One entry of `include`: a file, or those of a folder whose names look so.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pattern {
    /// Absolute.
    pub folder: PathBuf,
    /// The name, in which `*` stands for any text and `?` for one character.
    name: String,
}

/// A file that an entry names, as it was read.
#[derive(Clone, Debug)]
pub struct Included {
    /// Its path, absolute.
    pub file: PathBuf,
    /// As it is told to people.
    pub shown: String,
    /// Its text, or why it can't be read.
    pub text: Result<String, String>,
    /// Its time in seconds since the epoch.
    pub seconds: i64,
}

impl Included {
    /// The folder where its relative paths start.
    pub fn base(&self) -> &Path {
        self.file.parent().unwrap_or(Path::new("/"))
    }

    /// What stands in it.
    ///
    /// # Errors
    ///
    /// It can't be read, or is not TOML.
    pub fn entries(&self) -> Result<Entries, Problem> {
        match &self.text {
            Ok(text) => text::entries(text),
            Err(why) => Err(Problem::new("", why)),
        }
    }

    /// A problem with what stands in it, which names it.
    pub fn problem(&self, problem: Problem) -> Problem {
        within(&self.shown, problem)
    }
}

/// A problem with what stands in a file that was included.
pub fn within(file: &str, problem: Problem) -> Problem {
    let path = match problem.path.as_str() {
        "" => file.to_owned(),
        path => format!("{file}: {path}"),
    };
    Problem { path, ..problem }
}

impl Pattern {
    /// Reads one that is relative to `base`.
    ///
    /// # Errors
    ///
    /// What it must be.
    fn read(written: &str, base: &Path) -> Result<Self, String> {
        let wrong = |why: &str| Err(format!("`{written}` {why}"));
        if written.contains('\0') {
            return wrong("must not contain the character NUL");
        }
        let (folder, name) = written.rsplit_once('/').unwrap_or(("", written));
        if folder.contains(['*', '?']) {
            return wrong("may have `*` and `?` in the name of the file only, not in its folder");
        }
        if name.len() == ENDING.len() || !name.ends_with(ENDING) {
            return wrong("must end in `.toml`, as `tenants.d/*.toml` does");
        }
        let folder =
            if written.starts_with('/') { format!("/{folder}") } else { folder.to_owned() };
        Ok(Self { folder: base.join(folder).components().collect(), name: name.to_owned() })
    }

    /// The one file that it names; `None`: it has `*` or `?`, and none need be there.
    pub fn file(&self) -> Option<PathBuf> {
        (!self.name.contains(['*', '?'])).then(|| self.folder.join(&self.name))
    }

    /// Whether a file of its folder is one of those meant; one that is hidden must be named so.
    pub fn matches(&self, name: &str) -> bool {
        name.starts_with('.') == self.name.starts_with('.') && like(&self.name, name)
    }
}

/// Whether a name looks like a pattern. Takes no longer than the product of their lengths.
fn like(pattern: &str, name: &str) -> bool {
    let (pattern, name): (Vec<char>, Vec<char>) =
        (pattern.chars().collect(), name.chars().collect());
    let (mut at, mut seen) = (0, 0);
    // Where the last `*` stands, and how much of the name it takes up to now.
    let mut star: Option<(usize, usize)> = None;
    while seen < name.len() {
        match (pattern.get(at), star) {
            (Some('*'), _) => {
                star = Some((at, seen));
                at += 1;
            }
            (Some(one), _) if *one == '?' || name.get(seen) == Some(one) => {
                at += 1;
                seen += 1;
            }
            (_, Some((there, taken))) => {
                star = Some((there, taken + 1));
                at = there + 1;
                seen = taken + 1;
            }
            (_, None) => return false,
        }
    }
    pattern.iter().skip(at).all(|rest| *rest == '*')
}

/// Reads `include` of `top`, relative to `base`.
pub fn patterns(top: &mut Table<'_>, base: &Path) -> Vec<Pattern> {
    let read = |written: &serde_json::Value| {
        let written = texts(written)?;
        if MAX_PATTERNS < written.len() {
            return Err(format!("are {} entries, more than {MAX_PATTERNS}", written.len()));
        }
        Ok(written)
    };
    let mut patterns = Vec::new();
    for written in top.read("include", read).unwrap_or_default() {
        match Pattern::read(&written, base) {
            Ok(pattern) => patterns.push(pattern),
            Err(why) => top.problem("include", why),
        }
    }
    patterns
}

/// The same of a file's text; `None`: it is no TOML.
pub fn patterns_of(text: &str, base: &Path) -> Option<Vec<Pattern>> {
    if !text.contains("include") {
        return Some(Vec::new());
    }
    let entries = text::entries(text).ok()?;
    Some(patterns(&mut Table::within("", &entries), base))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_like_a_pattern_as_in_a_shell() {
        for (pattern, name, expected) in [
            ("*.toml", "acme.toml", true),
            ("*.toml", "acme.toml~", false),
            ("*.toml", ".acme.toml", false),
            (".*.toml", ".acme.toml", true),
            ("a*e.toml", "acme.toml", true),
            ("a*e.toml", "acmes.toml", false),
            ("a?me.toml", "acme.toml", true),
            ("a?me.toml", "ame.toml", false),
            ("*a*b*.toml", "xxaxxbxx.toml", true),
            ("*a*b*.toml", "xxbxxaxx.toml", false),
            ("acme.toml", "acme.toml", true),
        ] {
            let read = Pattern::read(&format!("d/{pattern}"), Path::new("/srv")).unwrap();
            assert_eq!(read.folder, Path::new("/srv/d"));
            assert_eq!(read.matches(name), expected, "{pattern} {name}");
            assert_eq!(read.file().is_none(), pattern.contains(['*', '?']));
        }
        let root = Pattern::read("/etc/campanile/*.toml", Path::new("/srv")).unwrap();
        assert_eq!(root.folder, Path::new("/etc/campanile"));
    }

    #[test]
    fn an_entry_names_files_of_one_folder() {
        for (written, why) in [
            ("tenants.d/*", "must end in `.toml`"),
            (".toml", "must end in `.toml`"),
            ("**/*.toml", "in the name of the file only"),
            ("a\0.toml", "must not contain the character NUL"),
        ] {
            let error = Pattern::read(written, Path::new("/srv")).unwrap_err();
            assert!(error.contains(why) && error.starts_with(&format!("`{written}`")), "{error}");
        }
    }
}
