//! SMTP (RFC 5321): greeting, EHLO, STARTTLS (RFC 3207) and EHLO again, QUIT.

use std::net::IpAddr;

use model::config::probe::GreetingProbe;

use super::{
    attempt::Failed,
    greeting::{Reply, ask, check, starttls},
    wire::Wire,
};

pub(super) const GOODBYE: &[u8] = b"QUIT\r\n";

pub(super) async fn converse(wire: &mut Wire, probe: &GreetingProbe) -> Result<(), Failed> {
    let greeting = Reply::hear(wire, "greeting").await?.expect(&[220])?;
    check(probe, greeting.text())?;
    // Who has no name says its address (RFC 5321 section 4.1.3).
    let hello = match wire.local() {
        IpAddr::V4(address) => format!("EHLO [{address}]"),
        IpAddr::V6(address) => format!("EHLO [IPv6:{address}]"),
    };
    ask(wire, &hello, &[250]).await?;
    if let Some(tls) = starttls(probe) {
        ask(wire, "STARTTLS", &[220]).await?;
        wire.start_tls(tls).await?;
        ask(wire, &hello, &[250]).await?;
    }
    Ok(())
}
