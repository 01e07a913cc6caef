//! A right component, but of another world: it exports neither a job nor a command.

wit_bindgen::generate!({
    inline: "
        package acme:calculator@1.0.0;

        interface adder {
            add: func(a: u32, b: u32) -> u32;
        }

        world calculator {
            export adder;
        }
    ",
});

struct Calculator;

export!(Calculator);

impl exports::acme::calculator::adder::Guest for Calculator {
    fn add(a: u32, b: u32) -> u32 {
        a.wrapping_add(b)
    }
}
