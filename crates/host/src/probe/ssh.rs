//! SSH (RFC 4253): the two identifications, and the server's offer of algorithms: it has a process for us that works.

use model::config::probe::GreetingProbe;

use super::{
    attempt::{Failed, quoted},
    greeting::check,
    wire::Wire,
};

/// SSH_MSG_DISCONNECT (section 11.1), by application (11), "probe", in a packet (section 6) with 9 bytes of padding.
pub(super) const GOODBYE: &[u8] = b"\0\0\0\x1c\x09\x01\0\0\0\x0b\0\0\0\x05probe\0\0\0\0\0\0\0\0\0\0\0\0\0";

/// Lines that a server may say before it identifies itself (section 4.2).
const PREAMBLE: usize = 32;
const KEXINIT: u8 = 20;

pub(super) async fn converse(wire: &mut Wire, probe: &GreetingProbe) -> Result<(), Failed> {
    let mut greeting = wire.line("greeting").await?;
    for _ in 0..PREAMBLE {
        if greeting.starts_with("SSH-") {
            break;
        }
        greeting = wire.line("greeting").await?;
    }
    if !greeting.starts_with("SSH-2.0-") && !greeting.starts_with("SSH-1.99-") {
        return Err(Failed::said(format!("SSH-2.0 expected, {:?} said", quoted(&greeting))));
    }
    check(probe, &greeting)?;
    wire.say(b"SSH-2.0-standin\r\n").await?;
    // Length, padding, message.
    match wire.bytes(6, "offer of algorithms").await?[5] {
        KEXINIT => Ok(()),
        other => Err(Failed::said(format!("offer of algorithms expected, message {other} came"))),
    }
}
