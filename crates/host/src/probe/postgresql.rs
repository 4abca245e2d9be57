//! PostgreSQL's protocol, version 3: TLS where it is asked for, a startup message, and terminate.
//!
//! Without a user in the configuration a server that asks for a password, or knows no such user, is well: it reached the
//! point at which it decides. With one, it must let it in.

use model::config::probe::DatabaseProbe;

use super::{
    attempt::{Failed, quoted},
    greeting::asked_for,
    wire::Wire,
};

/// Terminate; only for who was let in.
pub(super) const GOODBYE: &[u8] = b"X\0\0\0\x04";

const SSL_REQUEST: &[u8] = b"\0\0\0\x08\x04\xd2\x16\x2f";
const VERSION: [u8; 4] = [0, 3, 0, 0];
/// Who asks where the operator has no user for it.
const STRANGER: &str = "standin";
/// Messages of a start: parameters and notices come one each.
const MESSAGES: usize = 100;

/// True where the server has let us in.
pub(super) async fn converse(wire: &mut Wire, probe: &DatabaseProbe) -> Result<bool, Failed> {
    if let Some(tls) = asked_for(probe.tls.as_ref()) {
        wire.say(SSL_REQUEST).await?;
        match wire.bytes(1, "answer to the request for TLS").await?[0] {
            b'S' => wire.start_tls(tls).await?,
            b'N' => return Err(Failed::said("the server offers no TLS")),
            _ => return Err(Failed::said("answer to the request for TLS is not PostgreSQL")),
        }
    }
    wire.say(&startup(probe)).await?;
    for _ in 0..MESSAGES {
        let (kind, content) = message(wire).await?;
        match (kind, &content[..]) {
            (b'R', [0, 0, 0, 0, ..]) | (b'S' | b'K' | b'N' | b'v', _) => {}
            (b'R', _) if probe.user.is_none() => return Ok(false),
            (b'R', _) => {
                return Err(Failed::said("a password is asked for; pg_hba.conf can trust this user, or remove `user`"));
            }
            (b'Z', _) => return Ok(true),
            (b'E', _) => return error(&content, probe.user.is_none()),
            _ => return Err(Failed::said("answer to the startup is not PostgreSQL")),
        }
    }
    Err(Failed::said("answer to the startup does not end"))
}

fn startup(probe: &DatabaseProbe) -> Vec<u8> {
    let user = probe.user.as_deref().unwrap_or(STRANGER);
    let pairs = [
        ("user", user),
        ("database", probe.database.as_deref().unwrap_or("postgres")),
        ("application_name", "standin"),
    ];
    let mut body = VERSION.to_vec();
    for (name, value) in pairs {
        body.extend([name.as_bytes(), b"\0", value.as_bytes(), b"\0"].concat());
    }
    body.push(0);
    let length = u32::try_from(body.len() + 4).expect("names are short");
    [&length.to_be_bytes()[..], &body].concat()
}

async fn message(wire: &mut Wire) -> Result<(u8, Vec<u8>), Failed> {
    let what = "answer to the startup";
    let head = wire.bytes(5, what).await?;
    let length = u32::from_be_bytes([head[1], head[2], head[3], head[4]]);
    match usize::try_from(length).ok().and_then(|length| length.checked_sub(4)).filter(|length| *length <= 16 * 1024) {
        Some(length) => Ok((head[0], wire.bytes(length, what).await?)),
        None => Err(Failed::said(format!("{what} is not PostgreSQL"))),
    }
}

/// An error is a list of fields: a letter and a text each. Of class 28 is who is not let in, 3D000 is an unknown database.
fn error(content: &[u8], stranger: bool) -> Result<bool, Failed> {
    let text = String::from_utf8_lossy(content);
    let field = |letter: char| text.split('\0').find_map(|field| field.strip_prefix(letter)).unwrap_or_default();
    let code = field('C');
    if stranger && (code.starts_with("28") || code == "3D000") {
        return Ok(false);
    }
    Err(Failed::said(format!("error {code}: {}", quoted(field('M')))))
}
