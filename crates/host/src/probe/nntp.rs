//! NNTP (RFC 3977): greeting, STARTTLS (RFC 4642), DATE, QUIT.

use model::config::probe::GreetingProbe;

use super::{
    attempt::Failed,
    greeting::{Reply, ask, check, starttls},
    wire::Wire,
};

pub(super) const GOODBYE: &[u8] = b"QUIT\r\n";

pub(super) async fn converse(wire: &mut Wire, probe: &GreetingProbe) -> Result<(), Failed> {
    // 201: reading only.
    let greeting = Reply::hear(wire, "greeting").await?.expect(&[200, 201])?;
    check(probe, greeting.text())?;
    if let Some(tls) = starttls(probe) {
        ask(wire, "STARTTLS", &[382]).await?;
        wire.start_tls(tls).await?;
    }
    // 480, 483: only for who has logged in, or within TLS; 500: servers that don't serve readers.
    ask(wire, "DATE", &[111, 480, 483, 500]).await?;
    Ok(())
}
