//! The TCP probe: connects, may say something and wait for an answer, and closes in peace.

use model::config::probe::TcpProbe;

use super::{
    attempt::{Failed, quoted},
    wire::Wire,
};

pub(super) async fn converse(wire: &mut Wire, probe: &TcpProbe) -> Result<(), Failed> {
    if let Some(send) = &probe.send {
        wire.say(send.as_bytes()).await?;
    }
    let Some(expect) = &probe.expect else { return Ok(()) };
    let what = if probe.send.is_some() { "answer" } else { "greeting" };
    let mut heard = Vec::new();
    loop {
        let more = wire.some(what).await;
        if let Ok(piece) = &more {
            heard.extend_from_slice(piece);
        }
        let text = String::from_utf8_lossy(&heard);
        match more {
            Ok(_) if expect.is_found_in(&text) => return Ok(()),
            Ok(_) => {}
            Err(failed) if heard.is_empty() => return Err(failed),
            Err(failed) => {
                return Err(Failed::lost(format!(
                    "{}; no {:?} in {:?}",
                    failed.reason,
                    expect.as_str(),
                    quoted(&text)
                )));
            }
        }
    }
}
