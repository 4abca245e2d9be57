//! Any bytes as a DNS message.
#![no_main]

#[path = "../respond.rs"]
mod respond;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| respond::run(bytes));
