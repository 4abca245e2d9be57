//! Redis and what speaks its protocol: PING, QUIT.

use super::{
    attempt::{Failed, quoted},
    wire::Wire,
};

pub(super) const GOODBYE: &[u8] = b"*1\r\n$4\r\nQUIT\r\n";

pub(super) async fn converse(wire: &mut Wire) -> Result<(), Failed> {
    wire.say(b"*1\r\n$4\r\nPING\r\n").await?;
    let answer = wire.line("answer to PING").await?;
    // Who asks for a password is there.
    match answer == "+PONG" || answer.starts_with("-NOAUTH") {
        true => Ok(()),
        false => Err(Failed::said(format!("+PONG expected, {:?} said", quoted(&answer)))),
    }
}
