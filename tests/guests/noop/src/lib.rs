//! Does nothing, without the SDK: what a run costs at least.

wit_bindgen::generate!({
    path: "../../../wit/0.1",
    world: "job",
    generate_all,
});

use exports::campanile::job::guest::{Failure, Guest, Handler, Invocation};

struct Noop;

export!(Noop);

impl Guest for Noop {
    fn describe() -> Vec<Handler> {
        vec![Handler { name: "run".into(), description: "Does nothing".into(), defaults: None }]
    }

    fn run(_invocation: Invocation) -> Result<String, Failure> {
        Ok("null".into())
    }
}
