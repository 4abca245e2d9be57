//! Names, numbers, TTLs and escapes, from and to the text of a master file (RFC 1035 section 5.1).
//!
//! Our own rather than hickory-proto's: that one reads `\DDD` as octal, and its errors have no place and few words.

use std::{fmt::Write as _, net::IpAddr};

use super::{source::Complaint, token::Token};
use crate::name;

/// The largest TTL (RFC 2181 section 8).
const LARGEST_TTL: u64 = 0x7fff_ffff;
/// The longest name in bytes on the wire (RFC 1035 section 2.3.4).
const LONGEST_NAME: usize = 255;
/// The longest label (RFC 1035 section 2.3.4).
const LONGEST_LABEL: usize = 63;

/// A byte, whether it was escaped, and what follows it.
type Unescaped<'t> = (u8, bool, &'t [u8]);

/// The byte that begins `text`, its escape resolved; none at the end.
fn unescape_one(text: &[u8]) -> Result<Option<Unescaped<'_>>, Complaint> {
    let decimal = |byte: &u8| u16::from(byte.wrapping_sub(b'0'));
    match text {
        [] => Ok(None),
        [b'\\', a, b, c, rest @ ..] if [a, b, c].iter().all(|digit| digit.is_ascii_digit()) => {
            let value = decimal(a) * 100 + decimal(b) * 10 + decimal(c);
            let byte =
                u8::try_from(value).map_err(|_| Complaint::new(format!("`\\{value}` is no byte: 255 at most")))?;
            Ok(Some((byte, true, rest)))
        }
        [b'\\', digit, ..] if digit.is_ascii_digit() => {
            Err(Complaint::new("`\\` and a digit begin an escape of three decimal digits, such as \\032"))
        }
        [b'\\'] => Err(Complaint::new("`\\` at the end escapes nothing")),
        [b'\\', byte, rest @ ..] => Ok(Some((*byte, true, rest))),
        [byte, rest @ ..] => Ok(Some((*byte, false, rest))),
    }
}

/// The bytes that `text` stands for.
pub(super) fn unescape(text: &str) -> Result<Vec<u8>, Complaint> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((byte, _, next)) = unescape_one(rest)? {
        bytes.push(byte);
        rest = next;
    }
    Ok(bytes)
}

/// Writes the labels of a name; how many, and whether it ends with a dot.
fn labels(text: &str, wire: &mut Vec<u8>) -> Result<(usize, bool), Complaint> {
    let (mut rest, mut dot, mut count) = (text.as_bytes(), false, 0);
    let mut length_at = wire.len();
    wire.push(0);
    while let Some((byte, escaped, next)) = unescape_one(rest)? {
        dot = byte == b'.' && !escaped;
        if !escaped && (byte <= b' ' || byte == 0x7f) {
            return Err(Complaint::new(format!("`{}` is no name: there is a blank in it", text.escape_debug())));
        }
        if !escaped && byte >= 0x80 {
            return Err(Complaint::new(format!("`{text}` has characters beyond ASCII"))
                .help("write international names in their `xn--` form"));
        }
        let length = wire.len() - length_at - 1;
        if dot && length == 0 {
            return Err(Complaint::new(format!("`{text}` has an empty label: nothing before a dot")));
        }
        if dot {
            (length_at, count) = (wire.len(), count + 1);
            wire.push(0);
        } else if length == LONGEST_LABEL {
            return Err(Complaint::new(format!("a label has more than {LONGEST_LABEL} bytes")));
        } else {
            wire.push(byte);
            wire[length_at] += 1;
        }
        rest = next;
    }
    if dot {
        wire.pop();
    } else {
        count += 1;
    }
    Ok((count, dot))
}

/// Writes a name in wire form: absolute with a final dot, else relative to `origin`; `@` is `origin`.
pub(super) fn name(token: &Token<'_>, origin: &[u8], wire: &mut Vec<u8>) -> Result<(), Complaint> {
    let text = &*token.text;
    if text == "@" && !token.quoted {
        wire.extend_from_slice(origin);
        return Ok(());
    }
    if text == "." {
        wire.push(0);
        return Ok(());
    }
    if text.is_empty() {
        return Err(Complaint::new("a name is expected here, but this is empty"));
    }
    if text.contains([':', '.']) && text.trim_end_matches('.').parse::<IpAddr>().is_ok() {
        return Err(Complaint::new(format!("`{text}` is an address; a name belongs here"))
            .help("give the address a name with an A or AAAA record, and write that name here"));
    }
    let start = wire.len();
    let (count, absolute) = labels(text, wire)?;
    if absolute {
        wire.push(0);
    } else {
        check_repeats(text, &wire[start..], count, origin)?;
        wire.extend_from_slice(origin);
    }
    if wire.len() - start > LONGEST_NAME {
        return Err(Complaint::new(format!("the name is longer than {LONGEST_NAME} bytes")));
    }
    Ok(())
}

/// `www.example.test` without its dot is the commonest slip in zone files, and nobody means what it says.
fn check_repeats(text: &str, written: &[u8], count: usize, origin: &[u8]) -> Result<(), Complaint> {
    let parents = name::labels(origin).count();
    if count < 2 || parents < 2 {
        return Ok(());
    }
    let parent = name::suffix(origin, 2);
    let mut own = written;
    for _ in 2..count {
        own = &own[1 + usize::from(own[0])..];
    }
    if !own.eq_ignore_ascii_case(&parent[..parent.len() - 1]) {
        return Ok(());
    }
    let message = format!("`{text}` without a final dot means {text}.{}", print_name(name::labels(origin)));
    Err(Complaint::new(message).help(format!("write `{text}.`, or only the part before the zone's name")))
}

/// Seconds, plain or with units: `300`, `1h30m` (RFC 2308 section 4 calls the plain form; BIND's units are customary).
pub(super) fn seconds(text: &str) -> Result<u32, Complaint> {
    let wrong = || {
        Complaint::new(format!("`{text}` is no time"))
            .help("write seconds, or numbers with s, m, h, d, w such as 1h30m")
    };
    let (mut total, mut number, mut units) = (0u64, None::<u64>, false);
    for c in text.chars() {
        let unit = match c.to_ascii_lowercase() {
            '0'..='9' => {
                let digit = u64::from(c) - u64::from('0');
                number = Some(number.unwrap_or(0).saturating_mul(10).saturating_add(digit));
                continue;
            }
            's' => 1,
            'm' => 60,
            'h' => 3_600,
            'd' => 86_400,
            'w' => 604_800,
            _ => return Err(wrong()),
        };
        units = true;
        total = total.saturating_add(number.take().ok_or_else(wrong)?.saturating_mul(unit));
    }
    // A bare number ends the text: `300`, but not `1h30`.
    match number {
        Some(number) if !units => total = number,
        Some(_) => return Err(wrong()),
        None if text.is_empty() => return Err(wrong()),
        None => {}
    }
    if total > LARGEST_TTL {
        return Err(Complaint::new(format!("`{text}` is more than {LARGEST_TTL} seconds, the most there is")));
    }
    Ok(u32::try_from(total).expect("not above the largest TTL"))
}

/// A number from 0 to `most`.
pub(super) fn number(text: &str, most: u32) -> Result<u32, Complaint> {
    let digits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    let value = if digits { text.parse::<u32>().ok() } else { None };
    value
        .filter(|value| *value <= most)
        .ok_or_else(|| Complaint::new(format!("`{text}` is not a number from 0 to {most}")))
}

/// A name as it is written in a master file: absolute, every byte that could mean something else escaped.
pub(crate) fn print_name<'l>(labels: impl Iterator<Item = &'l [u8]>) -> String {
    let mut out = String::new();
    for label in labels {
        for &byte in label {
            match byte {
                b'.' | b';' | b'(' | b')' | b'"' | b'\\' | b'@' | b'$' => {
                    out.push('\\');
                    out.push(char::from(byte));
                }
                0x21..=0x7e => out.push(char::from(byte)),
                _ => write!(out, "\\{byte:03}").expect("writing to a string cannot fail"),
            }
        }
        out.push('.');
    }
    if out.is_empty() {
        out.push('.');
    }
    out
}

/// A name in wire form for people.
pub(super) fn show(wire: &[u8]) -> String {
    print_name(name::labels(wire))
}

/// Bytes as a quoted string of a master file.
pub(super) fn print_quoted(bytes: &[u8]) -> String {
    let mut out = String::from("\"");
    for &byte in bytes {
        match byte {
            b'"' | b'\\' => {
                out.push('\\');
                out.push(char::from(byte));
            }
            // `${` would begin a variable if this is ever read as a template again.
            b'$' => out.push_str("\\$"),
            0x20..=0x7e => out.push(char::from(byte)),
            _ => write!(out, "\\{byte:03}").expect("writing to a string cannot fail"),
        }
    }
    out.push('"');
    out
}
