//! Runs [`amqp_fuzz::value`].
#![no_main]

libfuzzer_sys::fuzz_target!(|octets: &[u8]| amqp_fuzz::value(octets));
