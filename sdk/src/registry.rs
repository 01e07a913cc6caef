//! The jobs that a plugin carries, and the call of one of them.
//!
//! [`job`](crate::job) leaves a [`Job`] behind that a constructor of the module adds to the list
//! before the first call, in each fresh instance.

use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::context::Context;
use crate::error::{Result, permanent};

/// What the attribute knows of a job function.
#[derive(Debug)]
pub struct Job {
    /// The handler's name.
    pub name: &'static str,
    /// One sentence for people, may be empty.
    pub description: &'static str,
    /// The keys of a job as a JSON object.
    pub defaults: Option<&'static str>,
    /// Reads the arguments, calls the function, and writes its result as JSON.
    pub call: fn(&Context) -> Result<String>,
}

inventory::collect!(Job);

/// All jobs of this plugin, by name.
#[cfg(any(target_family = "wasm", test))]
pub fn jobs() -> Vec<&'static Job> {
    let mut jobs: Vec<_> = inventory::iter::<Job>.into_iter().collect();
    jobs.sort_unstable_by_key(|job| job.name);
    jobs
}

/// Runs the job that `ctx` asks for.
#[cfg(any(target_family = "wasm", test))]
pub fn run(ctx: &Context) -> Result<String> {
    let jobs = jobs();
    let Some(job) = jobs.iter().find(|job| job.name == ctx.handler()) else {
        let known: Vec<_> = jobs.iter().map(|job| format!("`{}`", job.name)).collect();
        let known = if known.is_empty() { "none".into() } else { known.join(", ") };
        return Err(permanent(format!("no handler `{}`; there are: {known}", ctx.handler())));
    };
    (job.call)(ctx)
}

/// The arguments of the run as a value of the type that the job function takes.
///
/// No arguments at all are read as `null`, and where the type has no room for that, as `{}`: the
/// message then names the key that is missing.
pub fn args<T: DeserializeOwned>(ctx: &Context) -> Result<T> {
    let text = ctx.args_json();
    let mut parsed = serde_json::from_str(text);
    if parsed.is_err() && text == "null" {
        parsed = serde_json::from_str("{}");
    }
    parsed.map_err(|error| permanent(format!("cannot use the arguments: {error}")))
}

/// The result of a job function as JSON text.
pub fn to_json<T: Serialize + ?Sized>(value: &T) -> Result<String> {
    serde_json::to_string(value)
        .map_err(|error| permanent(format!("cannot write the result as JSON: {error}")))
}

#[cfg(test)]
mod tests {
    use serde::Deserialize;

    use super::*;
    use crate::{Invocation, job};

    #[derive(Debug, Deserialize, PartialEq)]
    struct Args {
        path: String,
    }

    /// Gives the path back.
    ///
    /// A second paragraph is for those who read the source.
    #[job(every = "5s", max_instances = 2)]
    fn echo(_ctx: &Context, args: Args) -> Result<String> {
        Ok(args.path)
    }

    #[job(name = "add.up", description = "Adds")]
    fn add(numbers: Vec<i64>) -> i64 {
        numbers.iter().sum()
    }

    #[job]
    fn quiet() {}

    #[job]
    fn parse(ctx: &Context) -> std::result::Result<i32, std::num::ParseIntError> {
        ctx.args_json().parse()
    }

    fn call(handler: &str, args: &str) -> Result<String> {
        let invocation =
            Invocation { handler: handler.into(), args: args.into(), ..Invocation::default() };
        run(&Context::new(invocation))
    }

    #[test]
    fn the_attribute_alone_registers_a_job() {
        let listed: Vec<_> =
            jobs().iter().map(|job| (job.name, job.description, job.defaults)).collect();
        let echo = r#"{"max_instances":2,"trigger":"every 5s"}"#;
        assert_eq!(
            listed,
            [
                ("add.up", "Adds", None),
                ("echo", "Gives the path back.", Some(echo)),
                ("parse", "", None),
                ("quiet", "", None),
            ]
        );
    }

    #[test]
    fn a_run_goes_to_its_handler() {
        for (handler, args, result) in [
            ("echo", r#"{"path":"a"}"#, Ok(r#""a""#.into())),
            ("add.up", "[1,2]", Ok("3".into())),
            ("quiet", "null", Ok("null".into())),
            ("parse", "7", Ok("7".into())),
            ("parse", "x", Err(crate::retryable("invalid digit found in string"))),
        ] {
            assert_eq!(call(handler, args), result, "{handler}");
        }
    }

    #[test]
    fn an_unknown_handler_fails_for_good_and_names_the_known_ones() {
        let message = "no handler `ecko`; there are: `add.up`, `echo`, `parse`, `quiet`";
        assert_eq!(call("ecko", "null"), Err(permanent(message)));
    }

    #[test]
    fn arguments_that_do_not_fit_fail_for_good_and_say_why() {
        for (args, reason) in [
            ("null", "missing field `path` at line 1 column 2"),
            ("{", "EOF while parsing an object at line 1 column 1"),
            (r#"{"path":1}"#, "invalid type: integer `1`, expected a string at line 1 column 9"),
        ] {
            let message = format!("cannot use the arguments: {reason}");
            assert_eq!(call("echo", args), Err(permanent(message)), "{args}");
        }
    }

    #[test]
    fn optional_arguments_may_be_absent() {
        let ctx = Context::new(Invocation::default());
        assert_eq!(args::<Option<Args>>(&ctx), Ok(None));
        assert_eq!(args::<()>(&ctx), Ok(()));
    }
}
