//! Greets, every five seconds: the shortest useful job, to begin with and to copy from.
//!
//! ```toml
//! [jobs.greet-ada]
//! plugin  = "hello"
//! trigger = "every 1m"
//! args    = { name = "Ada" }
//! ```

use campanile_sdk::{Context, job};

/// Whom to greet.
#[derive(serde::Deserialize)]
pub struct Args {
    /// A name; the world when left out.
    #[serde(default = "world")]
    pub name: String,
}

/// Greets someone by name, in the log and in its result.
#[job(every = "5s")]
pub fn run(ctx: &Context, args: Args) -> String {
    let greeting = format!("hello, {}", args.name);
    ctx.info(&greeting);
    greeting
}

fn world() -> String {
    "world".into()
}

#[cfg(test)]
mod tests {
    use campanile_sdk::Invocation;

    use super::*;

    #[test]
    fn it_greets_by_name() {
        let ctx = Context::new(Invocation::default());
        assert_eq!(run(&ctx, Args { name: "Ada".into() }), "hello, Ada");
    }
}
