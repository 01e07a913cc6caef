//! A job that also imports an interface which no host gives.

wit_bindgen::generate!({
    inline: "
        package acme:greedy@1.0.0;

        world greedy {
            include campanile:job/job@0.1.0;
            import acme:extra/thing@1.0.0;
        }
    ",
    path: ["../../../wit/0.1", "wit"],
    world: "acme:greedy/greedy",
    generate_all,
});

use exports::campanile::job::guest::{Failure, Guest, Handler, Invocation};

struct WantsMore;

export!(WantsMore);

impl Guest for WantsMore {
    fn describe() -> Vec<Handler> {
        vec![Handler { name: "run".into(), description: String::new(), defaults: None }]
    }

    fn run(_invocation: Invocation) -> Result<String, Failure> {
        Ok(acme::extra::thing::ask().to_string())
    }
}
