//! Describes two handlers of one name, which the host must refuse.

wit_bindgen::generate!({
    path: "../../../wit/0.1",
    world: "job",
    generate_all,
});

use exports::campanile::job::guest::{Failure, Guest, Handler, Invocation};

struct Duplicate;

export!(Duplicate);

impl Guest for Duplicate {
    fn describe() -> Vec<Handler> {
        let twin = |description: &str| Handler {
            name: "twin".into(),
            description: description.into(),
            defaults: None,
        };
        vec![twin("The first"), twin("The second")]
    }

    fn run(_invocation: Invocation) -> Result<String, Failure> {
        Ok("null".into())
    }
}
