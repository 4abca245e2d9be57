//! FTP (RFC 959): greeting, AUTH TLS (RFC 4217), NOOP, QUIT.

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
    if let Some(tls) = starttls(probe) {
        ask(wire, "AUTH TLS", &[234]).await?;
        wire.start_tls(tls).await?;
    }
    // Many do nothing, not even that, for who has not logged in.
    ask(wire, "NOOP", &[200, 530]).await?;
    Ok(())
}
