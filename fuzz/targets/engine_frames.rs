//! Runs [`engine::frames`].
#![no_main]

#[path = "../src/engine.rs"]
#[expect(dead_code, reason = "each target runs one of the checks")]
mod engine;

libfuzzer_sys::fuzz_target!(|octets: &[u8]| engine::frames(octets));
