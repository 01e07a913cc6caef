//! Grinds, hoards, pries: what jobs do that their neighbours must not feel.
//!
//! ```toml
//! [tenants.greedy.jobs.grind]
//! plugin  = "mill"
//! handler = "grind"
//! trigger = "every 1s"
//! args    = { ms = 500 }
//! ```

use std::time::{Duration, Instant};

use campanile_sdk::{Context, Result, job, permanent};

/// How long to grind.
#[derive(serde::Deserialize)]
pub struct Grind {
    /// Milliseconds.
    pub ms: u64,
}

/// Keeps a processor busy for some time. Answers how many rounds it made.
#[job]
pub fn grind(ctx: &Context, args: Grind) -> u64 {
    let end = Instant::now() + Duration::from_millis(args.ms);
    let mut rounds = 0_u64;
    let mut number = 1_u64;
    while Instant::now() < end && !ctx.cancelled() {
        for _ in 0..10_000 {
            number = number.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        }
        rounds += 1;
    }
    std::hint::black_box(number);
    rounds
}

/// Never ends by itself.
#[job]
pub fn spin(_: &Context) -> u64 {
    let mut number = 1_u64;
    loop {
        number = std::hint::black_box(number.wrapping_add(1));
        if number == 0 {
            return number;
        }
    }
}

/// Takes memory until there is no more.
#[job]
pub fn hoard(_: &Context) -> usize {
    let mut hoard: Vec<Vec<u8>> = Vec::new();
    loop {
        hoard.push(std::hint::black_box(vec![1; 1 << 20]));
        if hoard.len() == usize::MAX {
            return hoard.len();
        }
    }
}

/// Where to try to get in.
#[derive(serde::Deserialize)]
pub struct Pry {
    /// Files.
    #[serde(default)]
    pub files: Vec<String>,
    /// Addresses.
    #[serde(default)]
    pub urls: Vec<String>,
}

/// Tries what it was not granted. Fails with what it got, if it got anything.
#[job]
pub fn pry(ctx: &Context, args: Pry) -> Result<String> {
    let mut got = Vec::new();
    for file in &args.files {
        match std::fs::read(file) {
            Ok(bytes) => got.push(format!("{} bytes of {file}", bytes.len())),
            Err(error) => ctx.info(format!("{file}: {error}")),
        }
    }
    for url in &args.urls {
        match campanile_sdk::http::get(url.as_str()) {
            Ok(answer) => got.push(format!("status {} of {url}", answer.status())),
            Err(error) => ctx.info(format!("{url}: {}", error.message())),
        }
    }
    for (name, _) in std::env::vars() {
        got.push(format!("the variable {name}"));
    }
    if got.is_empty() { Ok("nothing".into()) } else { Err(permanent(got.join(", "))) }
}

#[cfg(test)]
mod tests {
    use campanile_sdk::Invocation;

    use super::*;

    #[test]
    fn it_grinds_for_as_long_as_it_is_told() {
        let ctx = Context::new(Invocation::default());
        let begun = Instant::now();
        assert!(grind(&ctx, Grind { ms: 20 }) > 0);
        assert!(begun.elapsed() >= Duration::from_millis(20));
    }

    #[test]
    fn what_it_gets_is_a_failure() {
        let ctx = Context::new(Invocation::default());
        let args = Pry { files: vec!["Cargo.toml".into()], urls: Vec::new() };
        assert!(pry(&ctx, args).unwrap_err().message().contains("Cargo.toml"));
    }
}
