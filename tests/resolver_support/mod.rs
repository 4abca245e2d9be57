//! Other people's programs as judges of our answers: clients that ask, servers around ours, and what is expected of them.

#![allow(dead_code)] // each test uses its part

pub(crate) mod expect;
pub(crate) mod lookups;
pub(crate) mod resolvers;
pub(crate) mod servers;
pub(crate) mod tool;

use std::process::Command;

use host::lab::stage::Stage;

use super::stage_support::await_status;
use expect::Zone;

/// The zone as `standin zone render` prints it, with the serial that is served.
pub(crate) fn rendered(stage: &Stage) -> Zone {
    let serial = |server| await_status(stage, server, "a status", |_| true).dns.serial.to_string();
    let serials = ["web1", "web2", "web3"].map(serial);
    assert!(serials.iter().all(|serial| *serial == serials[0]), "all say the same: {serials:?}");
    let mut command = Command::new(env!("CARGO_BIN_EXE_standin"));
    command.args(["zone", "render", "--serial", &serials[0], "--config"]).arg(stage.config("web1"));
    let output = command.arg("lb.example.test").output().expect("the program runs");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    Zone::parse(&String::from_utf8(output.stdout).expect("a zone is ASCII"))
}
