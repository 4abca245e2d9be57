//! The daemon: one driver thread around the pure core, and everything that it needs from the machine.
//!
//! Read `roles` for every thread and how it all starts and stops, then `driver`, the loop. [`run`] is the way in.
//!
//! Invariants: the core is touched by the driver thread alone; nothing blocks that thread; every queue is bounded and
//! says what it drops; events reach the log through `journal` alone.
//!
//! Deliberately not here: decisions (`cluster`), answers (`dns`), system calls (`host`).

mod admin;
mod driver;
mod execute;
mod journal;
pub mod load;
mod logging;
mod metrics;
mod name_service;
mod publish;
mod reload;
mod roles;
mod serial;
mod serve;
mod start_error;
mod status;
mod zone_text;

use std::{io::Write, path::Path, process::ExitCode};

pub use journal::sentence;
pub use logging::LogFormat;
pub use zone_text::{ZoneTextError, zone_text};

/// The configuration has mistakes.
const BAD_CONFIGURATION: u8 = 2;

/// Runs the daemon in the foreground, until SIGTERM or SIGINT: `standin run`.
///
/// Exits with 0 after a planned stop, 1 when it cannot run, 2 when the configuration has mistakes, all of which are
/// printed to standard error.
pub fn run(config: &Path, format: LogFormat) -> ExitCode {
    logging::start(format);
    let loaded = match load::load(config) {
        Ok(loaded) => loaded,
        Err(mistakes) => {
            complain(&mistakes);
            return ExitCode::from(BAD_CONFIGURATION);
        }
    };
    match roles::run(config, loaded) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            complain(&format_args!("standin: {error}"));
            ExitCode::FAILURE
        }
    }
}

fn complain(text: &dyn std::fmt::Display) {
    // Nobody is left to tell if this fails.
    let _ = writeln!(std::io::stderr().lock(), "{text}");
}
