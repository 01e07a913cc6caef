//! Campanile inside a Rust service: start it, wait for the first run that succeeded, stop it.
//!
//! `cargo run --example embed -- host.toml`

#![expect(clippy::print_stdout, reason = "an example talks to people")]

use std::path::Path;
use std::time::Duration;

use campanile::config::load;
use campanile::record::query::{Page, RunFilter};
use campanile::run::RunState;
use campanile::run::outcome::Outcome;
use campanile::runtime::Host;

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let file = std::env::args().nth(1).unwrap_or_else(|| "host.toml".to_owned());
    let config = load::load(Some(Path::new(&file)), &std::env::current_dir()?)?;
    let host = Host::start(config).await?;
    println!("{}", host.summary());

    let done = RunFilter { states: vec![RunState::Done], ..RunFilter::default() };
    let run = loop {
        let runs = host.store().runs(done.clone(), Page::default()).await?.items;
        if let Some(run) = runs.into_iter().find(|run| run.outcome == Some(Outcome::Succeeded)) {
            break run;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    };
    println!("{} ran and returned {}", run.job, run.result.unwrap_or_default());

    host.shutdown().await
}
