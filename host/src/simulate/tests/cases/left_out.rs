//! Situations that are not proved here, each with the reason.

/// Ids with blanks between, and why.
pub(super) const LEFT_OUT: &[(&str, &str)] = &[
    ("C1 C61 T11 q-d", "events are not built yet"),
    ("C72 T14", "jobs that schedule jobs are not built yet"),
    (
        "C37 C37b",
        "a queue is a name: a job may wait in one that no host serves yet; tests/roles.rs",
    ),
    ("R5 R1 R4", "Redis is not built yet"),
    ("T9 R2 R3", "many hosts on one store are not built yet"),
    ("T12", "`host store export` is not built yet"),
    ("F12", "who may ask is said by tokens: tests/access.rs"),
    (
        "C73 C19 C20 C20b C21b",
        "nobody sets a next fire time by hand: a job fires on its grid, and runs besides are \
         requests (C21)",
    ),
    ("C31 C35", "no job is pending before a start: a host reads its files when it starts"),
    ("C70", "one host has one store"),
    ("q-h", "what a job takes is the guest's to say: arguments are JSON"),
    ("C30", "there is no call that removes all jobs"),
    (
        "R6 T5 asyncio pp",
        "a job is a component in a sandbox: no pickles, no coroutines, no worker processes",
    ),
    ("D11", "there is no such trigger"),
    ("F13", "there is one place for jobs in a configuration"),
    (
        "C42 q-g C43",
        "a paused scheduler makes no pass, as if it were down; what it keeps from passing is a \
         thread: tests/control.rs",
    ),
    ("C44 T3", "a host that is shut down is gone: `Host::shutdown` consumes it"),
    ("T2", "how runs end at a shutdown is in real time: tests/lifecycle.rs"),
    (
        "C60 T10",
        "a store takes a step whole or not at all, and refuses one that was planned from what is \
         no longer so: the contract of stores has tests of its own",
    ),
    ("C45 C49", "what calls over REST refuse or let be: host/src/api/tests"),
    ("F1 F2 F3 F4 F5 F6 F7 F8 F9 F10 F11", "REST, in host/src/api/tests"),
];
