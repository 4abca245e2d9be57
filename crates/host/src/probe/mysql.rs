//! MySQL's and MariaDB's protocol, version 10: greeting, TLS where it is asked for, a login, a ping, quit.
//!
//! A client that goes away after the greeting counts as an error of its host, and after some (`max_connect_errors`) the
//! server shuts that host out. So there is always a login: without a user in the configuration, one that may be refused.

use model::config::probe::DatabaseProbe;

use super::{
    attempt::{Failed, quoted},
    greeting::asked_for,
    wire::Wire,
};

/// COM_QUIT.
pub(super) const GOODBYE: &[u8] = b"\x01\0\0\0\x01";
/// COM_PING.
const PING: &[u8] = b"\x01\0\0\0\x0e";
/// Who logs in where the operator has no user for it.
const STRANGER: &str = "standin";

/// Capabilities: CONNECT_WITH_DB, PROTOCOL_41, SSL, SECURE_CONNECTION, PLUGIN_AUTH.
const WITH_DATABASE: u32 = 1 << 3;
const ALWAYS: u32 = 1 << 9 | 1 << 15 | 1 << 19;
const SSL: u32 = 1 << 11;

const OK: u8 = 0;
const ERROR: u8 = 0xff;
const AUTH_SWITCH: u8 = 0xfe;
const AUTH_MORE: u8 = 1;
/// Access denied, by password or by plugin.
const DENIED: [u16; 2] = [1045, 1698];
/// Rounds of a login.
const ROUNDS: usize = 4;

pub(super) async fn converse(wire: &mut Wire, probe: &DatabaseProbe) -> Result<(), Failed> {
    let greeting = packet(wire, "greeting").await?.payload;
    if greeting.first() == Some(&ERROR) {
        return Err(error(&greeting).failed());
    }
    if greeting.first() != Some(&10) {
        return Err(Failed::said("greeting is not MySQL, protocol 10"));
    }
    let mut capabilities = ALWAYS | if probe.database.is_some() { WITH_DATABASE } else { 0 };
    let mut sequence = 1;
    if let Some(tls) = asked_for(probe.tls.as_ref()) {
        if offered(&greeting) & SSL == 0 {
            return Err(Failed::said("the server offers no TLS"));
        }
        capabilities |= SSL;
        send(wire, sequence, &fixed(capabilities)).await?;
        wire.start_tls(tls).await?;
        sequence += 1;
    }
    send(wire, sequence, &login(capabilities, probe)).await?;
    for _ in 0..ROUNDS {
        let answer = packet(wire, "answer to the login").await?;
        match answer.payload.first() {
            Some(&OK) => {
                wire.say(PING).await?;
                let pong = packet(wire, "answer to a ping").await?.payload;
                return if pong.first() == Some(&OK) { Ok(()) } else { Err(error(&pong).failed()) };
            }
            Some(&ERROR) => {
                let error = error(&answer.payload);
                let expected = probe.user.is_none() && DENIED.contains(&error.code);
                return if expected { Ok(()) } else { Err(error.failed()) };
            }
            // With no password the answer to any plugin's question is nothing.
            Some(&AUTH_SWITCH) => send(wire, answer.sequence.wrapping_add(1), b"").await?,
            Some(&AUTH_MORE) => {}
            Some(_) | None => return Err(Failed::said("answer to the login is not MySQL")),
        }
    }
    Err(Failed::said("a password is asked for"))
}

struct Packet {
    sequence: u8,
    payload: Vec<u8>,
}

async fn packet(wire: &mut Wire, what: &str) -> Result<Packet, Failed> {
    let head = wire.bytes(4, what).await?;
    let length = usize::from(head[0]) | usize::from(head[1]) << 8;
    if head[2] != 0 {
        return Err(Failed::said(format!("{what} is not MySQL")));
    }
    Ok(Packet { sequence: head[3], payload: wire.bytes(length, what).await? })
}

async fn send(wire: &mut Wire, sequence: u8, payload: &[u8]) -> Result<(), Failed> {
    let length = u16::try_from(payload.len()).map_err(|_| Failed::said("the login is too long"))?;
    let head = [length.to_le_bytes()[0], length.to_le_bytes()[1], 0, sequence];
    wire.say(&[&head[..], payload].concat()).await
}

/// The part of a login that a request for TLS repeats: capabilities, largest packet, utf8, and 23 bytes of nothing.
fn fixed(capabilities: u32) -> Vec<u8> {
    [&capabilities.to_le_bytes()[..], &(1_u32 << 24).to_le_bytes(), &[33], &[0; 23]].concat()
}

fn login(capabilities: u32, probe: &DatabaseProbe) -> Vec<u8> {
    let user = probe.user.as_deref().unwrap_or(STRANGER);
    let database = probe.database.as_deref().map(|name| [name.as_bytes(), b"\0"].concat()).unwrap_or_default();
    [&fixed(capabilities)[..], user.as_bytes(), b"\0\0", &database, b"mysql_native_password\0"].concat()
}

/// The capabilities in a greeting: after the version's text, a number of 4 bytes, 8 of scramble and one of filler, in two
/// halves with charset and status between.
fn offered(greeting: &[u8]) -> u32 {
    let end = greeting.iter().skip(1).position(|byte| *byte == 0).unwrap_or_default() + 2;
    let half = |from: usize| match greeting.get(end + from..end + from + 2) {
        Some(bytes) => u32::from(bytes[0]) | u32::from(bytes[1]) << 8,
        None => 0,
    };
    half(13) | half(18) << 16
}

struct ServerError {
    code: u16,
    text: String,
}

fn error(payload: &[u8]) -> ServerError {
    let code = payload.get(1..3).map_or(0, |bytes| u16::from_le_bytes([bytes[0], bytes[1]]));
    let rest = payload.get(3..).unwrap_or_default();
    let text = if rest.first() == Some(&b'#') { rest.get(6..).unwrap_or_default() } else { rest };
    ServerError { code, text: String::from_utf8_lossy(text).into_owned() }
}

impl ServerError {
    fn failed(&self) -> Failed {
        Failed::said(format!("error {}: {}", self.code, quoted(&self.text)))
    }
}
