//! The bytes that anybody who reaches the proxy's socket can send: the only ones of a client's that the proxy reads.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| _core::proxy::startup::check(bytes));
