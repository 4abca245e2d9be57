//! Whatever arrives on the heartbeat socket.
#![no_main]

#[path = "../heartbeat.rs"]
mod heartbeat;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| heartbeat::run(bytes));
