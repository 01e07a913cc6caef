//! The scripts: every transition is one of them, so that it happens whole or not at all.
//!
//! Each file tells at its head what it takes, answers, refuses and costs. Called by digest; a server
//! that has forgotten them is given them again.

use super::{keys, records, used};

/// A transition.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Script {
    Attach,
    Join,
    Beat,
    EndSession,
    Put,
    Patch,
    Remove,
    Due,
    Fire,
    Start,
    Acquire,
    Draw,
    Finish,
    Drop,
    Cancel,
    Log,
    Doc,
    Counter,
    Allot,
    Forget,
    Import,
}

impl Script {
    /// All, in the order in which a connection loads them.
    pub(super) const ALL: [Self; 21] = [
        Self::Attach,
        Self::Join,
        Self::Beat,
        Self::EndSession,
        Self::Put,
        Self::Patch,
        Self::Remove,
        Self::Due,
        Self::Fire,
        Self::Start,
        Self::Acquire,
        Self::Draw,
        Self::Finish,
        Self::Drop,
        Self::Cancel,
        Self::Log,
        Self::Doc,
        Self::Counter,
        Self::Allot,
        Self::Forget,
        Self::Import,
    ];

    fn body(self) -> &'static str {
        match self {
            Self::Attach => include_str!("lua/attach.lua"),
            Self::Join => include_str!("lua/join.lua"),
            Self::Beat => include_str!("lua/beat.lua"),
            Self::EndSession => include_str!("lua/end_session.lua"),
            Self::Put => include_str!("lua/put.lua"),
            Self::Patch => include_str!("lua/patch.lua"),
            Self::Remove => include_str!("lua/remove.lua"),
            Self::Due => include_str!("lua/due.lua"),
            Self::Fire => include_str!("lua/fire.lua"),
            Self::Start => include_str!("lua/start.lua"),
            Self::Acquire => include_str!("lua/acquire.lua"),
            Self::Draw => include_str!("lua/draw.lua"),
            Self::Finish => include_str!("lua/finish.lua"),
            Self::Drop => include_str!("lua/drop.lua"),
            Self::Cancel => include_str!("lua/cancel.lua"),
            Self::Log => include_str!("lua/log.lua"),
            Self::Doc => include_str!("lua/doc.lua"),
            Self::Counter => include_str!("lua/counter.lua"),
            Self::Allot => include_str!("lua/allot.lua"),
            Self::Forget => include_str!("lua/forget.lua"),
            Self::Import => include_str!("lua/import.lua"),
        }
    }

    /// Whether it goes on when the server's memory is full: it frees some, or needs little.
    fn runs_when_full(self) -> bool {
        match self {
            Self::Attach
            | Self::Join
            | Self::Beat
            | Self::EndSession
            | Self::Due
            | Self::Acquire
            | Self::Draw
            | Self::Finish
            | Self::Drop
            | Self::Cancel
            | Self::Allot
            | Self::Forget => true,
            Self::Put
            | Self::Patch
            | Self::Remove
            | Self::Fire
            | Self::Start
            | Self::Log
            | Self::Doc
            | Self::Counter
            | Self::Import => false,
        }
    }

    /// The whole text: flags, keys, what scripts share, and its own part.
    pub(super) fn text(self) -> String {
        let flags = if self.runs_when_full() { "#!lua flags=allow-oom\n" } else { "#!lua\n" };
        [
            flags,
            &keys::lua_header(),
            include_str!("lua/base.lua"),
            &records::lua(),
            include_str!("lua/schedules.lua"),
            &used::lua(),
            include_str!("lua/used.lua"),
            include_str!("lua/accounts.lua"),
            include_str!("lua/runs.lua"),
            self.body(),
        ]
        .concat()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_script_says_at_its_head_what_it_takes_answers_and_costs() {
        for script in Script::ALL {
            let head: String =
                script.body().lines().take_while(|line| line.starts_with("--")).collect();
            for part in ["Args:", "Answer:", "Errors:", "O("] {
                assert!(head.contains(part), "{script:?} says nothing of {part}");
            }
            assert!(script.text().starts_with("#!lua"), "{script:?}");
        }
    }
}
