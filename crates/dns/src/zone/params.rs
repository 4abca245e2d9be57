//! Service parameters of SVCB and HTTPS records (RFC 9460).

use std::{
    collections::BTreeMap,
    net::{Ipv4Addr, Ipv6Addr},
};

use data_encoding::BASE64;
use model::nearest;

use super::{
    source::{Complaint, Place},
    text,
    token::Token,
};

/// Registered keys (RFC 9460 section 14.3.2, RFC 9461, RFC 9540) by number.
const KEYS: [&str; 9] =
    ["mandatory", "alpn", "no-default-alpn", "port", "ipv4hint", "ech", "ipv6hint", "dohpath", "ohttp"];
const MANDATORY: u16 = 0;
const ALPN: u16 = 1;
const NO_DEFAULT_ALPN: u16 = 2;
const PORT: u16 = 3;
const IPV4_HINT: u16 = 4;
const ECH: u16 = 5;
const IPV6_HINT: u16 = 6;
const OHTTP: u16 = 8;

/// Reads the parameters, and writes them in the order of their numbers (RFC 9460 section 2.2).
pub(super) fn put(words: &[Token<'_>], wire: &mut Vec<u8>) -> Result<(), (Place, Complaint)> {
    let mut all: BTreeMap<u16, (Vec<u8>, Place)> = BTreeMap::new();
    for word in words {
        let here = |complaint| (word.place, complaint);
        let (name, value) = match word.text.split_once('=') {
            Some((name, value)) => (name, Some(value)),
            None => (&*word.text, None),
        };
        let key = key(name).map_err(here)?;
        let bytes = value_bytes(key, name, value).map_err(here)?;
        if all.insert(key, (bytes, word.place)).is_some() {
            return Err(here(Complaint::new(format!("`{name}` is given twice"))));
        }
    }
    // Self-consistency: RFC 9460 sections 2.4.3, 7.1.1 and 8.
    if let Some((bytes, place)) = all.get(&MANDATORY) {
        for pair in bytes.chunks_exact(2) {
            let named = u16::from_be_bytes([pair[0], pair[1]]);
            if named == MANDATORY || !all.contains_key(&named) {
                let message = format!("`mandatory` names `{}`, which is not among the parameters", key_name(named));
                return Err((*place, Complaint::new(message)));
            }
        }
    }
    if let Some((_, place)) = all.get(&NO_DEFAULT_ALPN).filter(|_| !all.contains_key(&ALPN)) {
        return Err((*place, Complaint::new("`no-default-alpn` needs `alpn` beside it")));
    }
    for (key, (bytes, place)) in all {
        let Ok(length) = u16::try_from(bytes.len()) else {
            return Err((place, Complaint::new(format!("`{}` is longer than 65535 bytes", key_name(key)))));
        };
        wire.extend(key.to_be_bytes());
        wire.extend(length.to_be_bytes());
        wire.extend(bytes);
    }
    Ok(())
}

fn key(name: &str) -> Result<u16, Complaint> {
    let registered = KEYS.iter().position(|known| *known == name).and_then(|index| u16::try_from(index).ok());
    let numbered = || name.strip_prefix("key").and_then(|number| number.parse::<u16>().ok());
    registered.or_else(numbered).filter(|key| *key != u16::MAX).ok_or_else(|| {
        let complaint = Complaint::new(format!("`{name}` is no service parameter"));
        match nearest(name, KEYS) {
            Some(known) => complaint.help(format!("did you mean `{known}`?")),
            None => complaint.help(format!("known are {} and keyNNNNN", KEYS.join(", "))),
        }
    })
}

fn key_name(key: u16) -> String {
    KEYS.get(usize::from(key)).map_or_else(|| format!("key{key}"), |name| (*name).to_owned())
}

/// The value of one parameter on the wire.
fn value_bytes(key: u16, name: &str, value: Option<&str>) -> Result<Vec<u8>, Complaint> {
    let bytes = text::unescape(value.unwrap_or_default())?;
    if matches!(key, NO_DEFAULT_ALPN | OHTTP) {
        let empty = bytes.is_empty().then(Vec::new);
        return empty.ok_or_else(|| Complaint::new(format!("`{name}` stands alone, without a value")));
    }
    if bytes.is_empty() && usize::from(key) < KEYS.len() {
        return Err(Complaint::new(format!("`{name}` needs a value: `{name}=...`")));
    }
    let mut wire = Vec::new();
    match key {
        MANDATORY => {
            let mut keys = Vec::new();
            for item in items(&bytes) {
                keys.push(self::key(&String::from_utf8_lossy(&item))?);
            }
            keys.sort_unstable();
            if keys.windows(2).any(|pair| pair[0] == pair[1]) {
                return Err(Complaint::new("`mandatory` names a key twice"));
            }
            wire.extend(keys.into_iter().flat_map(u16::to_be_bytes));
        }
        ALPN => {
            for item in items(&bytes) {
                let length = u8::try_from(item.len()).ok().filter(|length| *length > 0);
                wire.push(length.ok_or_else(|| Complaint::new("`alpn`: each protocol has 1 to 255 bytes"))?);
                wire.extend(item);
            }
        }
        PORT => {
            let port = text::number(&String::from_utf8_lossy(&bytes), u32::from(u16::MAX))?;
            wire.extend(u16::try_from(port).expect("checked above").to_be_bytes());
        }
        IPV4_HINT => addresses::<Ipv4Addr>(&bytes, "IPv4", |address| wire.extend(address.octets()))?,
        IPV6_HINT => addresses::<Ipv6Addr>(&bytes, "IPv6", |address| wire.extend(address.octets()))?,
        ECH => wire = BASE64.decode(&bytes).map_err(|error| Complaint::new(format!("`ech` is no base64: {error}")))?,
        _ => wire = bytes,
    }
    Ok(wire)
}

fn addresses<A: std::str::FromStr>(bytes: &[u8], family: &str, mut each: impl FnMut(A)) -> Result<(), Complaint> {
    for item in items(bytes) {
        let item = String::from_utf8_lossy(&item).into_owned();
        each(item.parse().map_err(|_| Complaint::new(format!("`{item}` is no {family} address")))?);
    }
    Ok(())
}

/// A list's items: cut at commas, `\,` and `\\` within one (RFC 9460 appendix A.1).
fn items(bytes: &[u8]) -> Vec<Vec<u8>> {
    let mut items = vec![Vec::new()];
    let mut bytes = bytes.iter();
    while let Some(&byte) = bytes.next() {
        match byte {
            b',' => items.push(Vec::new()),
            b'\\' => items.last_mut().expect("never empty").extend(bytes.next()),
            _ => items.last_mut().expect("never empty").push(byte),
        }
    }
    items
}

/// The text form of the parameters in `wire`; none where they are malformed.
pub(super) fn take(mut wire: &[u8], words: &mut Vec<String>) -> Option<()> {
    let mut least = 0u32;
    while !wire.is_empty() {
        let (head, tail) = wire.split_first_chunk::<4>()?;
        let key = u16::from_be_bytes([head[0], head[1]]);
        let (value, rest) = tail.split_at_checked(usize::from(u16::from_be_bytes([head[2], head[3]])))?;
        if u32::from(key) < least {
            return None;
        }
        least = u32::from(key) + 1;
        words.push(print(key, value)?);
        wire = rest;
    }
    Some(())
}

fn print(key: u16, value: &[u8]) -> Option<String> {
    let name = key_name(key);
    let joined = match key {
        NO_DEFAULT_ALPN | OHTTP => return value.is_empty().then_some(name),
        _ if value.is_empty() => return (usize::from(key) >= KEYS.len()).then_some(name),
        MANDATORY => pieces::<2>(value)?.map(|pair| key_name(u16::from_be_bytes(*pair))).collect::<Vec<_>>().join(","),
        PORT => {
            pieces::<2>(value).filter(|_| value.len() == 2)?.map(|pair| u16::from_be_bytes(*pair).to_string()).collect()
        }
        IPV4_HINT => {
            pieces::<4>(value)?.map(|octets| Ipv4Addr::from(*octets).to_string()).collect::<Vec<_>>().join(",")
        }
        IPV6_HINT => {
            pieces::<16>(value)?.map(|octets| Ipv6Addr::from(*octets).to_string()).collect::<Vec<_>>().join(",")
        }
        ECH => BASE64.encode(value),
        ALPN => return alpn(value),
        _ => return Some(format!("{name}={}", text::print_quoted(value))),
    };
    Some(format!("{name}={joined}"))
}

fn pieces<const N: usize>(value: &[u8]) -> Option<impl Iterator<Item = &[u8; N]>> {
    let (pieces, rest) = value.as_chunks::<N>();
    rest.is_empty().then(|| pieces.iter())
}

fn alpn(mut value: &[u8]) -> Option<String> {
    let mut list = Vec::new();
    while let Some((length, rest)) = value.split_first() {
        let (item, rest) = rest.split_at_checked(usize::from(*length)).filter(|(item, _)| !item.is_empty())?;
        if !list.is_empty() {
            list.push(b',');
        }
        for &byte in item {
            if matches!(byte, b',' | b'\\') {
                list.push(b'\\');
            }
            list.push(byte);
        }
        value = rest;
    }
    Some(format!("alpn={}", text::print_quoted(&list)))
}
