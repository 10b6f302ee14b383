//! Runs [`amqp_fuzz::performative`].
#![no_main]

libfuzzer_sys::fuzz_target!(|octets: &[u8]| amqp_fuzz::performative(octets));
