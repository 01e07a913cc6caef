//! A job's name from the command that it replaces.

use std::collections::BTreeSet;

/// A longer name is cut.
const MAX_NAME: usize = 40;
/// Programs that only run others.
const WRAPPERS: [&str; 22] = [
    "bash",
    "chronic",
    "chrt",
    "command",
    "env",
    "exec",
    "flock",
    "ionice",
    "nice",
    "node",
    "nohup",
    "perl",
    "php",
    "python",
    "python3",
    "ruby",
    "run-parts",
    "setsid",
    "sh",
    "sudo",
    "time",
    "timeout",
];
/// Commands that only prepare the next one.
const PREPARATIONS: [&str; 9] = ["cd", "test", "[", "[[", "(", "export", "source", ".", "sleep"];
/// Options of wrappers that are followed by a value.
const WITH_VALUE: [&str; 4] = ["-u", "-g", "--user", "--group"];
/// What joins commands.
const JOINTS: [&str; 4] = ["&&", "||", ";", "|"];

/// A name for what the command does: its program, or the script that its program runs.
pub(super) fn of_command(command: &str) -> String {
    let spaced = command.replace(';', " ; ").replace('(', " ( ");
    let words: Vec<&str> = spaced.split_whitespace().collect();
    let mut parts = words.split(|word| JOINTS.contains(word) || *word == "(");
    let is_preparation = |part: &&[&str]| part.first().is_some_and(|it| PREPARATIONS.contains(it));
    let name = parts.find_map(|part| if is_preparation(&part) { None } else { of_part(part) });
    // Wrappers and preparations alone: the first of them is better than nothing.
    let name = name.or_else(|| words.iter().copied().find_map(plain));
    name.unwrap_or_else(|| "job".to_owned())
}

/// The first word that is no option, number, setting or wrapper, and belongs to none.
fn of_part(words: &[&str]) -> Option<String> {
    let mut skip_next = false;
    for word in words {
        let word = word.trim_matches(['"', '\'', ')', '{', '}', '`', '!', '&']);
        let last = word.rsplit('/').next().unwrap_or(word);
        let is_option = word.starts_with(['-', '$', '<', '>']) || word.contains('=');
        let is_number = word.starts_with(|c: char| c.is_ascii_digit())
            && word.chars().all(|c| c.is_ascii_digit() || ".smhd".contains(c));
        if WITH_VALUE.contains(&word) {
            skip_next = true;
        } else if is_option || is_number {
            continue;
        } else if WRAPPERS.contains(&last) {
            // The file that is locked comes before the command.
            skip_next = last == "flock";
        } else if skip_next {
            skip_next = false;
        } else if let Some(name) = plain(word) {
            return Some(name);
        }
    }
    None
}

/// `word` with what a name may have: letters, digits, `_` and `-`.
fn plain(word: &str) -> Option<String> {
    let last = word.rsplit('/').next().unwrap_or(word);
    let stem = match last.rsplit_once('.') {
        Some((stem, extension)) if !stem.is_empty() && extension.len() <= 4 => stem,
        Some(_) | None => last,
    };
    let kept = stem.chars().map(|c| if c.is_ascii_alphanumeric() || c == '_' { c } else { '-' });
    let kept: String = kept.collect();
    let name: String = kept.trim_matches(['-', '_']).chars().take(MAX_NAME).collect();
    (!name.is_empty()).then_some(name)
}

/// `name`, with a number when it is taken.
pub(super) fn unique(name: &str, taken: &mut BTreeSet<String>) -> String {
    let numbered = (2..).map(|number: u64| format!("{name}-{number}"));
    let mut names = std::iter::once(name.to_owned()).chain(numbered);
    let free = names.find(|name| !taken.contains(name)).unwrap_or_else(|| name.to_owned());
    taken.insert(free.clone());
    free
}
