//! POP3 (RFC 1939): greeting, STLS (RFC 2595), CAPA (RFC 2449), QUIT.

use model::config::probe::GreetingProbe;

use super::{
    attempt::{Failed, quoted},
    greeting::{check, starttls},
    wire::Wire,
};

pub(super) const GOODBYE: &[u8] = b"QUIT\r\n";

pub(super) async fn converse(wire: &mut Wire, probe: &GreetingProbe) -> Result<(), Failed> {
    let greeting = wire.line("greeting").await?;
    expect_ok(&greeting)?;
    check(probe, &greeting)?;
    if let Some(tls) = starttls(probe) {
        wire.say(b"STLS\r\n").await?;
        expect_ok(&wire.line("answer to STLS").await?)?;
        wire.start_tls(tls).await?;
    }
    wire.say(b"CAPA\r\n").await?;
    let answer = wire.line("answer to CAPA").await?;
    // Servers of RFC 1939 alone don't know it, and that is an answer too.
    if answer.starts_with("-ERR") {
        return Ok(());
    }
    expect_ok(&answer)?;
    while wire.line("answer to CAPA").await? != "." {}
    Ok(())
}

fn expect_ok(line: &str) -> Result<(), Failed> {
    match line.starts_with("+OK") {
        true => Ok(()),
        false => Err(Failed::said(format!("+OK expected, {:?} said", quoted(line)))),
    }
}
