//! The daemon: one driver thread around the pure core, and everything that it needs from the machine.
//!
//! Read `roles` for every thread and how it all starts and stops, then `driver`, the loop. [`run`] is the way in.
//!
//! Invariants: the core is touched by the driver thread alone; nothing blocks that thread; every queue is bounded and
//! says what it drops; events reach the log through `journal` alone.
//!
//! Deliberately not here: decisions (`cluster`), answers (`dns`), system calls (`host`).

mod access;
mod admin;
mod audit;
mod circle;
pub mod cluster_log;
mod console;
pub mod delegation;
pub mod desk;
pub mod doctor;
mod driver;
pub mod enroll;
mod execute;
mod gate;
mod generation;
mod holds;
mod hooks;
mod init;
mod journal;
mod link;
pub mod load;
mod logging;
mod metrics;
mod name_service;
mod notify;
mod publish;
pub mod recorder;
mod reload;
pub mod remote;
mod roles;
mod serial;
mod serve;
mod start_error;
mod status;
mod trust;
mod usage;
mod zone_text;

use std::{io::Write, path::Path, process::ExitCode};

use host::guardian::{self, End, Ward};
use sd_notify::NotifyState;

pub use admin::openapi;
pub use console::{Does as ConsoleDoes, POSTS as CONSOLE_POSTS};
pub use init::{Founded, InitError, Made, init};
pub use journal::sentence;
pub use logging::LogFormat;
pub use zone_text::{ZoneTextError, zone_query, zone_text};

/// The configuration has mistakes.
const BAD_CONFIGURATION: u8 = 2;

/// This server does not belong to the cluster any more: it is not started again.
const EXPELLED: u8 = 4;

/// `standin run`: the guardian, which starts the daemon as its child, by this process' own arguments with `flag=...` behind
/// them, and stands in for it when it dies or hangs. For [`run`] the flag's value is `passed`.
///
/// Exits with the daemon's code after a planned stop, or where it cannot begin; with 1 where it had to be killed, or
/// cannot be started at all.
pub fn guard(format: LogFormat, flag: &str) -> ExitCode {
    logging::start(format);
    gain_nothing();
    let arguments = std::env::args_os().skip(1).collect();
    // While no daemon runs there is nobody else to tell that all goes as it should.
    let mut waiting = || {
        let _no_manager =
            sd_notify::notify(&[NotifyState::Watchdog, NotifyState::Status("the daemon starts again soon")]);
    };
    match guardian::watch(arguments, flag, &mut waiting) {
        Ok(End::Exited(code)) => ExitCode::from(code),
        Ok(End::Killed) => ExitCode::FAILURE,
        Err(error) => {
            complain(&format_args!("standin: cannot start the daemon: {error}"));
            ExitCode::FAILURE
        }
    }
}

/// The daemon itself, started by [`guard`] with what that `passed`; in a lab it ends with its standard input.
///
/// Exits with 0 after a planned stop, 1 when it cannot run, 2 when the configuration has mistakes, all of which are
/// printed to standard error, 4 when this server does not belong to the cluster any more.
pub fn run(config: &Path, format: LogFormat, passed: &str, while_stdin: bool) -> ExitCode {
    logging::start(format);
    gain_nothing();
    let ward = match Ward::inherit(passed) {
        Ok(ward) => ward,
        Err(error) => {
            complain(&format_args!("standin: {error}"));
            return ExitCode::FAILURE;
        }
    };
    if while_stdin {
        end_with_stdin();
    }
    let loaded = match load::load(config) {
        Ok(loaded) => loaded,
        Err(mistakes) => {
            complain(&mistakes);
            return ExitCode::from(BAD_CONFIGURATION);
        }
    };
    match enroll::expelled(&loaded.node.state_dir) {
        Ok(None) => {}
        Ok(Some(why)) => return stay_out(&why),
        Err(error) => {
            complain(&format_args!("standin: {error}"));
            return ExitCode::FAILURE;
        }
    }
    match roles::run(config, loaded, Some(ward)) {
        Ok(roles::End::Stopped) => ExitCode::SUCCESS,
        Ok(roles::End::Expelled(why)) => stay_out(&why),
        Err(error) => {
            complain(&format_args!("standin: {error}"));
            ExitCode::FAILURE
        }
    }
}

/// No program that is started from here has more privileges than this one.
fn gain_nothing() {
    if let Err(error) = host::confine::no_new_privileges() {
        tracing::debug!(%error, "new privileges are not given up");
    }
}

/// This server does not take part.
fn stay_out(why: &str) -> ExitCode {
    complain(&format_args!("standin: this server stays out of the cluster: {why}"));
    ExitCode::from(EXPELLED)
}

/// The lab that started it is gone, and its network with it: nobody is left to hand anything to.
fn end_with_stdin() {
    std::thread::spawn(|| {
        let _ended = std::io::copy(&mut std::io::stdin(), &mut std::io::sink());
        std::process::exit(i32::from(BAD_CONFIGURATION));
    });
}

fn complain(text: &dyn std::fmt::Display) {
    // Nobody is left to tell if this fails.
    let _ = writeln!(std::io::stderr().lock(), "{text}");
}
