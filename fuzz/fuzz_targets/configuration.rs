#![no_main]

#[expect(dead_code, reason = "each target calls one body")]
#[path = "../../tests/fuzz/bodies.rs"]
mod bodies;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    bodies::configuration(bytes);
});
