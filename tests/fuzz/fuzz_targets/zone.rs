//! Any text as a zone template.
#![no_main]

#[path = "../zone.rs"]
mod zone;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| zone::run(bytes));
