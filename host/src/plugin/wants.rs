//! What a plugin may reach outside itself, in the words of `hold_new_capabilities`.

use std::collections::BTreeSet;
use std::fmt;

use serde::{Deserialize, Serialize};

/// A part of the world that a plugin can reach when it is let.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Want {
    /// HTTP requests.
    Http,
    /// Names and TCP connections.
    Sockets,
    /// Folders.
    Filesystem,
    /// Buckets of keys and values.
    Keyvalue,
    /// Jobs of its tenant.
    Jobs,
}

/// The beginnings of the interfaces that lead there.
const INTERFACES: [(&str, Want); 6] = [
    ("wasi:http/", Want::Http),
    ("wasi:sockets/", Want::Sockets),
    ("wasi:filesystem/", Want::Filesystem),
    ("wasi:keyvalue/", Want::Keyvalue),
    ("campanile:job/state", Want::Keyvalue),
    ("campanile:job/jobs", Want::Jobs),
];

/// What compilers leave in a component that carries an interpreter.
const INTERPRETERS: [&str; 4] = ["componentize-py", "componentize-js", "ComponentizeJS", "jco"];

impl Want {
    /// The word for it, as in `usage.io`.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Http => "http",
            Self::Sockets => "sockets",
            Self::Filesystem => "filesystem",
            Self::Keyvalue => "keyvalue",
            Self::Jobs => "jobs",
        }
    }
}

impl fmt::Display for Want {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// What these imports lead to.
pub fn of_imports(imports: &[String]) -> BTreeSet<Want> {
    let leads = |import: &String| {
        let found = INTERFACES.iter().find(|(beginning, _)| import.starts_with(beginning));
        found.map(|(_, want)| *want)
    };
    imports.iter().filter_map(leads).collect()
}

/// Whether one of those that made a component puts an interpreter into it.
pub fn is_interpreter<'a>(mut made_by: impl Iterator<Item = &'a str>) -> bool {
    made_by.any(|tool| INTERPRETERS.iter().any(|known| tool.starts_with(known)))
}

/// Several, for people.
pub fn list<'a>(wants: impl IntoIterator<Item = &'a Want>) -> String {
    wants.into_iter().map(|want| want.as_str()).collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn imports_say_what_a_component_may_reach() {
        let imports =
            |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>();
        let all = imports(&[
            "wasi:http/outgoing-handler@0.2.12",
            "wasi:filesystem/types@0.2.12",
            "wasi:filesystem/preopens@0.2.12",
            "campanile:job/state@0.1.0",
            "campanile:job/jobs@0.1.0",
            "wasi:sockets/tcp@0.2.12",
        ]);
        assert_eq!(list(&of_imports(&all)), "http, sockets, filesystem, keyvalue, jobs");
        let none = imports(&["campanile:job/context@0.1.0", "wasi:cli/stdout@0.2.12", "wasi:io/x"]);
        assert_eq!(of_imports(&none), BTreeSet::new());
    }

    #[test]
    fn interpreters_are_known_by_what_made_them() {
        assert!(is_interpreter(["rustc", "componentize-py"].into_iter()));
        assert!(!is_interpreter(["rustc", "wit-component", "clang"].into_iter()));
    }
}
