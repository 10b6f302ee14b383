//! Runs [`amqp_fuzz::frame`].
#![no_main]

libfuzzer_sys::fuzz_target!(|octets: &[u8]| amqp_fuzz::frame(octets));
