//! How fast it is, side by side with what it stands on and with what others take for the same, in
//! one process and one run.
//!
//! ```text
//! cargo xtask bench                     every section
//! cargo xtask bench triggers burst      these
//! cargo xtask bench --check             and fail when a figure misses its aim
//! cargo xtask bench idle --full         and what takes minutes
//! ```
//!
//! A figure has an aim, and what `--check` lets pass beyond it (`findings`): other programs take
//! part of the machine, and not all machines are the one that the aims were set on.

#![expect(clippy::print_stdout, reason = "a bench talks to people")]
#![expect(clippy::expect_used, reason = "a bench that can't be set up has nothing to say")]

mod burst;
mod findings;
mod fleet;
mod heap;
mod jobs;
mod lateness;
mod one_run;
mod planning;
mod redis;
mod reload;
mod rig;
mod rival;
mod sample;
mod sandbox;
mod throughput;
mod triggers;

use std::process::ExitCode;

use findings::Findings;
use rig::Rig;

/// A part of the bench that can be asked for by its name.
struct Section {
    name: &'static str,
    measure: fn(&Rig, &mut Findings),
}

const SECTIONS: [Section; 16] = [
    Section { name: "run", measure: one_run::measure },
    Section { name: "sandbox", measure: sandbox::measure },
    Section { name: "throughput", measure: throughput::measure },
    Section { name: "redis", measure: redis::measure },
    Section { name: "triggers", measure: |_, findings| triggers::measure(findings) },
    Section { name: "planning", measure: |_, findings| planning::measure(findings) },
    Section { name: "lateness", measure: lateness::measure },
    Section { name: "burst", measure: burst::measure },
    Section { name: "reload", measure: reload::measure },
    Section { name: "rivals", measure: fleet::rivals::measure },
    Section { name: "hosts", measure: fleet::hosts::measure },
    Section { name: "far", measure: fleet::far::measure },
    Section { name: "idle", measure: fleet::idle::measure },
    Section { name: "fleet", measure: fleet::bells::measure },
    Section { name: "restart", measure: fleet::restart::measure },
    Section { name: "tenants", measure: fleet::tenants::measure },
];

fn main() -> ExitCode {
    let asked = match Asked::read(std::env::args().skip(1)) {
        Ok(asked) => asked,
        Err(message) => {
            println!("{message}");
            return ExitCode::from(2);
        }
    };
    let rig = Rig::new(asked.full);
    println!("{}", rig.machine());
    let mut findings = Findings::default();
    for section in SECTIONS.iter().filter(|section| asked.wants(section.name)) {
        println!("\n{}", section.name);
        (section.measure)(&rig, &mut findings);
    }
    println!("\n{}", findings.summary());
    if asked.check && findings.is_failure() { ExitCode::FAILURE } else { ExitCode::SUCCESS }
}

/// What the command line asks for.
struct Asked {
    check: bool,
    full: bool,
    /// All of them when it is empty.
    sections: Vec<String>,
}

impl Asked {
    /// Reads the words. Cargo adds `--bench` by itself.
    fn read(words: impl Iterator<Item = String>) -> Result<Self, String> {
        let mut asked = Self { check: false, full: false, sections: Vec::new() };
        for word in words {
            match word.as_str() {
                "--bench" => (),
                "--check" => asked.check = true,
                "--full" => asked.full = true,
                name if SECTIONS.iter().any(|section| section.name == name) => {
                    asked.sections.push(word);
                }
                other => {
                    let names = SECTIONS.map(|section| section.name).join(", ");
                    return Err(format!(
                        "`{other}` is no section; there are {names}, and `--check`, `--full`"
                    ));
                }
            }
        }
        Ok(asked)
    }

    fn wants(&self, name: &str) -> bool {
        self.sections.is_empty() || self.sections.iter().any(|section| section == name)
    }
}
