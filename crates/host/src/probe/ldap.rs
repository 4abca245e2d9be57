//! LDAP (RFC 4511): StartTLS where it is asked for, a search for the root DSE that asks for no attribute, unbind.

use model::config::probe::Tls;

use super::{
    attempt::{Failed, quoted},
    der::{ENUMERATED, Elements, INTEGER, SEQUENCE},
    greeting::asked_for,
    wire::Wire,
};

/// UnbindRequest (section 4.3).
pub(super) const GOODBYE: &[u8] = b"\x30\x05\x02\x01\x7f\x42\x00";

/// ExtendedRequest with the name of StartTLS (section 4.14.1).
const START_TLS: &[u8] = b"\x30\x1d\x02\x01\x01\x77\x18\x80\x161.3.6.1.4.1.1466.20037";
/// SearchRequest (section 4.5.1): base "", this object only, one answer, whatever has a class, no attributes ("1.1").
const SEARCH: &[u8] =
    b"\x30\x2a\x02\x01\x02\x63\x25\x04\x00\x0a\x01\x00\x0a\x01\x00\x02\x01\x01\x02\x01\x00\x01\x01\x00\
                        \x87\x0bobjectClass\x30\x05\x04\x031.1";
const SEARCH_DONE: u8 = 0x65;
const EXTENDED: u8 = 0x78;
/// Longest message that is read.
const LONGEST: usize = 32 * 1024;

pub(super) async fn converse(wire: &mut Wire, tls: Option<&Tls>) -> Result<(), Failed> {
    if let Some(tls) = asked_for(tls) {
        wire.say(START_TLS).await?;
        match result(wire, EXTENDED, "answer to StartTLS").await? {
            (0, _) => wire.start_tls(tls).await?,
            (code, said) => return Err(refused(code, &said)),
        }
    }
    wire.say(SEARCH).await?;
    match result(wire, SEARCH_DONE, "answer to a search").await? {
        // Who says so is there, and wants to know who asks: stronger authentication, inappropriate, insufficient rights.
        (0 | 8 | 48 | 50, _) => Ok(()),
        (code, said) => Err(refused(code, &said)),
    }
}

fn refused(code: u8, said: &str) -> Failed {
    let name = match code {
        1 => "operations error",
        2 => "protocol error",
        51 => "busy",
        52 => "unavailable",
        53 => "unwilling to perform",
        _ => "an error",
    };
    let said = if said.is_empty() { String::new() } else { format!(": {:?}", quoted(said)) };
    Failed::said(format!("LDAP result {code}, {name}{said}"))
}

/// Hears messages until one of the wanted kind, or the notice of a disconnection: result code and diagnostic message.
async fn result(wire: &mut Wire, wanted: u8, what: &str) -> Result<(u8, String), Failed> {
    loop {
        let message = message(wire, what).await?;
        let mut fields = Elements(&message);
        let parsed = fields.expect(INTEGER).and_then(|number| Some((number == [0], fields.next()?)));
        let Some((unasked, (kind, content))) = parsed else { return Err(Failed::said(format!("{what} is not LDAP"))) };
        if kind != wanted && !unasked {
            continue;
        }
        let mut content = Elements(content);
        let code = content.expect(ENUMERATED).and_then(|code| code.first().copied());
        content.next();
        let said = content.next().map_or_else(String::new, |(_, text)| String::from_utf8_lossy(text).into_owned());
        return code.map(|code| (code, said)).ok_or_else(|| Failed::said(format!("{what} is not LDAP")));
    }
}

/// One LDAPMessage, without its outer tag and length.
async fn message(wire: &mut Wire, what: &str) -> Result<Vec<u8>, Failed> {
    let head = wire.bytes(2, what).await?;
    let length = match head[..] {
        [SEQUENCE, length @ ..=0x7f] => length.into(),
        [SEQUENCE, long @ 0x81..=0x84] => {
            let digits = wire.bytes(usize::from(long & 0x7f), what).await?;
            digits.iter().fold(0, |sum: usize, digit| sum << 8 | usize::from(*digit))
        }
        _ => return Err(Failed::said(format!("{what} is not LDAP"))),
    };
    if length > LONGEST {
        return Err(Failed::said(format!("{what} is longer than {} KiB", LONGEST / 1024)));
    }
    wire.bytes(length, what).await
}
