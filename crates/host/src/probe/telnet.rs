//! Telnet (RFC 854): every option is refused, until something to read comes.

use model::config::probe::GreetingProbe;

use super::{
    attempt::{Failed, quoted},
    wire::Wire,
};

/// Nothing: the connection is closed.
pub(super) const GOODBYE: &[u8] = b"";

const SE: u8 = 240;
const SB: u8 = 250;
const WILL: u8 = 251;
const WONT: u8 = 252;
const DO: u8 = 253;
const DONT: u8 = 254;
const IAC: u8 = 255;

pub(super) async fn converse(wire: &mut Wire, probe: &GreetingProbe) -> Result<(), Failed> {
    let (mut parser, mut text) = (Parser::default(), Vec::new());
    loop {
        let piece = wire.some("greeting").await;
        let piece = match (piece, &probe.expect) {
            (Ok(piece), _) => piece,
            (Err(failed), Some(expect)) if !text.is_empty() => {
                let said = quoted(&String::from_utf8_lossy(&text));
                return Err(Failed::lost(format!("{}; no {:?} in {said:?}", failed.reason, expect.as_str())));
            }
            (Err(failed), _) => return Err(failed),
        };
        let mut refusals = Vec::new();
        for byte in piece {
            parser.take(byte, &mut text, &mut refusals);
        }
        if !refusals.is_empty() {
            wire.say(&refusals).await?;
        }
        let heard = String::from_utf8_lossy(&text);
        let found = match &probe.expect {
            Some(expect) => expect.is_found_in(&heard),
            None => heard.chars().any(|c| !c.is_whitespace() && !c.is_control()),
        };
        if found {
            return Ok(());
        }
    }
}

/// Tells text from commands.
#[derive(Default)]
enum Parser {
    #[default]
    Text,
    Command,
    Option(u8),
    Subnegotiation,
    SubnegotiationCommand,
}

impl Parser {
    fn take(&mut self, byte: u8, text: &mut Vec<u8>, refusals: &mut Vec<u8>) {
        *self = match (&self, byte) {
            (Self::Text, IAC) => Self::Command,
            (Self::Text, _) => {
                text.push(byte);
                Self::Text
            }
            (Self::Command, WILL | WONT | DO | DONT) => Self::Option(byte),
            (Self::Command, SB) => Self::Subnegotiation,
            (Self::Command, _) => Self::Text,
            (Self::Option(verb), option) => {
                // A refusal of what is not wanted is not answered (section "General considerations", rule c).
                match *verb {
                    DO => refusals.extend([IAC, WONT, option]),
                    WILL => refusals.extend([IAC, DONT, option]),
                    _ => {}
                }
                Self::Text
            }
            (Self::Subnegotiation, IAC) => Self::SubnegotiationCommand,
            (Self::Subnegotiation, _) => Self::Subnegotiation,
            (Self::SubnegotiationCommand, SE) => Self::Text,
            (Self::SubnegotiationCommand, _) => Self::Subnegotiation,
        };
    }
}
