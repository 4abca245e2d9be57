//! IMAP (RFC 9051): greeting, STARTTLS, CAPABILITY, LOGOUT.

use model::config::probe::GreetingProbe;

use super::{
    attempt::{Failed, quoted},
    greeting::{check, starttls},
    wire::Wire,
};

pub(super) const GOODBYE: &[u8] = b"z LOGOUT\r\n";

pub(super) async fn converse(wire: &mut Wire, probe: &GreetingProbe) -> Result<(), Failed> {
    let greeting = wire.line("greeting").await?;
    if !greeting.starts_with("* OK") && !greeting.starts_with("* PREAUTH") {
        return Err(Failed::said(format!("\"* OK\" expected, {:?} said", quoted(&greeting))));
    }
    check(probe, &greeting)?;
    if let Some(tls) = starttls(probe) {
        ask(wire, "a", "STARTTLS").await?;
        wire.start_tls(tls).await?;
    }
    ask(wire, "b", "CAPABILITY").await
}

/// Untagged responses come before the tagged one (section 2.2.2).
async fn ask(wire: &mut Wire, tag: &str, command: &str) -> Result<(), Failed> {
    wire.say(format!("{tag} {command}\r\n").as_bytes()).await?;
    loop {
        let line = wire.line(&format!("answer to {command}")).await?;
        match line.strip_prefix(tag).and_then(|rest| rest.strip_prefix(' ')) {
            Some(rest) if rest.starts_with("OK") => return Ok(()),
            Some(rest) => return Err(Failed::said(format!("OK to {command} expected, {:?} said", quoted(rest)))),
            None if line.starts_with("* BYE") => return Err(Failed::said(format!("{:?} said", quoted(&line)))),
            None => {}
        }
    }
}
