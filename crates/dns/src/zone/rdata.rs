//! Record data: from words to wire form, and back to words, by the table in [`shape`](super::shape).
//!
//! Data is bytes for us, in a zone and in its answers: nothing that an operator wrote is lost in a type's own idea of its
//! content, and every mistake has the place of one word.

use super::{
    location, params,
    shape::{Field, Kind, Shape, kind, shape_of, type_name},
    source::{Complaint, Place},
    text,
    token::Token,
};
use data_encoding::{BASE64, HEXLOWER_PERMISSIVE, HEXUPPER};

/// A mistake and its place.
type Wrong = (Place, Complaint);

/// Reads the words of a record of a type with a text form, or its RFC 3597 form, and writes its data. `head` is the place
/// of the type.
pub(super) fn parse(
    shape: &Shape,
    head: Place,
    words: &[Token<'_>],
    origin: &[u8],
    wire: &mut Vec<u8>,
) -> Result<(), Wrong> {
    let whole = words.first().zip(words.last()).map_or(head, |(first, last)| first.place.to(last.place));
    if words.first().is_some_and(|word| !word.quoted && word.text == "\\#") {
        wire.extend(generic_bytes(head, words)?);
        return match print(shape.code, wire) {
            Some(_) => Ok(()),
            None => {
                let complaint = Complaint::new(format!("these bytes are no {} data", shape.mnemonic));
                Err((whole, complaint.help(needs(shape))))
            }
        };
    }
    let mut rest = words;
    for field in shape.fields {
        if rest.is_empty() && !field.optional() {
            let place = words.last().map_or(head, |word| word.place);
            let message = format!("{} ends here, but {} is missing", shape.mnemonic, field.word());
            return Err((place, Complaint::new(message).help(needs(shape))));
        }
        let count = if field.takes_rest() { rest.len() } else { 1 };
        let (these, others) = rest.split_at(count);
        put(*field, these, origin, wire).map_err(|(place, complaint)| match complaint.help {
            Some(_) => (place, complaint),
            None => (place, complaint.help(needs(shape))),
        })?;
        rest = others;
    }
    if let Some(extra) = rest.first() {
        let message = format!("`{}` is too much: {} is complete before it", extra.text, shape.mnemonic);
        return Err((extra.place, Complaint::new(message).help(needs(shape))));
    }
    if wire.len() > usize::from(u16::MAX) {
        return Err((whole, Complaint::new(format!("{} bytes of data: a record holds 65535", wire.len()))));
    }
    Ok(())
}

/// Reads `\# length hex` (RFC 3597 section 5) of a type without a text form here.
pub(super) fn parse_opaque(code: u16, head: Place, words: &[Token<'_>], wire: &mut Vec<u8>) -> Result<(), Wrong> {
    let generic = words.first().is_some_and(|word| !word.quoted && word.text == "\\#");
    if !generic {
        let complaint = Complaint::new(format!("the text form of {} is not known here", type_name(code)))
            .help(format!("write it as `TYPE{code} \\# length hex` (RFC 3597)"));
        return Err((head, complaint));
    }
    wire.extend(generic_bytes(head, words)?);
    Ok(())
}

/// `MX needs: preference exchange`.
fn needs(shape: &Shape) -> String {
    format!("{} needs: {}", shape.mnemonic, shape.form())
}

/// The bytes of `\# length hex`.
fn generic_bytes(head: Place, words: &[Token<'_>]) -> Result<Vec<u8>, Wrong> {
    const FORM: &str = "write `\\# length hex`: the number of bytes, then the bytes in hexadecimal (RFC 3597)";
    let [mark, length, hex @ ..] = words else {
        let place = words.first().map_or(head, |word| word.place);
        return Err((place, Complaint::new("`\\#` needs the number of bytes after it").help(FORM)));
    };
    let count =
        text::number(&length.text, u32::from(u16::MAX)).map_err(|complaint| (length.place, complaint.help(FORM)))?;
    let bytes = if hex.is_empty() {
        Vec::new()
    } else {
        hexadecimal(hex).map_err(|(at, complaint)| (at, complaint.help(FORM)))?
    };
    if bytes.len() != count as usize {
        let place = mark.place.to(words.last().map_or(mark.place, |word| word.place));
        let message = format!("`\\# {count}` promises {count} bytes, but {} follow", bytes.len());
        return Err((place, Complaint::new(message).help(FORM)));
    }
    Ok(bytes)
}

/// Writes one field.
fn put(field: Field, words: &[Token<'_>], origin: &[u8], wire: &mut Vec<u8>) -> Result<(), Wrong> {
    let Some(first) = words.first() else { return Ok(()) };
    let here = |complaint| (first.place, complaint);
    let word = &*first.text;
    let named =
        |complaint: Complaint| Complaint { message: format!("{}: {}", field.word(), complaint.message), ..complaint };
    let number = |most| text::number(word, most).map_err(|complaint| here(named(complaint)));
    match field {
        Field::U8(_) => wire.push(u8::try_from(number(0xff)?).expect("checked above")),
        Field::U16(_) => wire.extend(u16::try_from(number(0xffff)?).expect("checked above").to_be_bytes()),
        Field::U32(_) => wire.extend(number(u32::MAX)?.to_be_bytes()),
        Field::Seconds(_) => {
            wire.extend(text::seconds(word).map_err(|complaint| here(named(complaint)))?.to_be_bytes())
        }
        Field::Mailbox(_) if word.len() > 1 && word.contains('@') => {
            let dotted = word.replacen('@', ".", 1);
            let complaint = Complaint::new(format!("{}: `{word}` is written with a dot for the `@`", field.word()));
            return Err(here(complaint.help(format!("write `{dotted}.`; a dot before the `@` becomes `\\.`"))));
        }
        Field::Name(_) | Field::Mailbox(_) => text::name(first, origin, wire).map_err(here)?,
        Field::Ipv4(_) => wire.extend(address::<std::net::Ipv4Addr>(word, "IPv4").map_err(here)?.octets()),
        Field::Ipv6(_) => wire.extend(address::<std::net::Ipv6Addr>(word, "IPv6").map_err(here)?.octets()),
        Field::Text(_) => put_string(first, wire)?,
        Field::Texts(_) => words.iter().try_for_each(|word| put_string(word, wire))?,
        Field::Tag(_) => {
            if word.is_empty() || !word.bytes().all(|byte| byte.is_ascii_alphanumeric()) {
                return Err(here(Complaint::new(format!(
                    "{}: `{word}` is not a word of letters and digits",
                    field.word()
                ))));
            }
            put_string(first, wire)?;
        }
        Field::Bytes(_) => wire.extend(text::unescape(word).map_err(here)?),
        Field::Hex(_) => wire.extend(hexadecimal(words)?),
        Field::Base64(_) => {
            let joined: String = words.iter().map(|word| &*word.text).collect();
            let bytes = BASE64.decode(joined.as_bytes());
            wire.extend(bytes.map_err(|error| here(Complaint::new(format!("{}: no base64: {error}", field.word()))))?);
        }
        Field::Types(_) => put_types(words, wire)?,
        Field::Location(_) => location::put(words, wire)?,
        Field::Params(_) => params::put(words, wire)?,
    }
    Ok(())
}

fn address<A: std::str::FromStr>(word: &str, family: &str) -> Result<A, Complaint> {
    word.parse().map_err(|_| {
        let complaint = Complaint::new(format!("`{word}` is no {family} address"));
        match word.parse::<std::net::IpAddr>() {
            Ok(std::net::IpAddr::V4(_)) => complaint.help("an IPv4 address belongs in an A record"),
            Ok(std::net::IpAddr::V6(_)) => complaint.help("an IPv6 address belongs in an AAAA record"),
            Err(_) => complaint,
        }
    })
}

/// A character-string: its length, its bytes.
fn put_string(word: &Token<'_>, wire: &mut Vec<u8>) -> Result<(), Wrong> {
    let bytes = text::unescape(&word.text).map_err(|complaint| (word.place, complaint))?;
    let Ok(length) = u8::try_from(bytes.len()) else {
        let complaint = Complaint::new(format!("a text of {} bytes: 255 at most in one pair of quotes", bytes.len()))
            .help("cut it into several: \"first part\" \"second part\"; readers join them");
        return Err((word.place, complaint));
    };
    wire.push(length);
    wire.extend(bytes);
    Ok(())
}

fn hexadecimal(words: &[Token<'_>]) -> Result<Vec<u8>, Wrong> {
    for word in words {
        if let Some(bad) = word.text.chars().find(|c| !c.is_ascii_hexdigit()) {
            return Err((word.place, Complaint::new(format!("`{}` is no hexadecimal digit", bad.escape_debug()))));
        }
    }
    let joined: String = words.iter().map(|word| &*word.text).collect();
    let place = words.first().zip(words.last()).map_or(Place::default(), |(first, last)| first.place.to(last.place));
    HEXLOWER_PERMISSIVE
        .decode(joined.as_bytes())
        .map_err(|_| (place, Complaint::new(format!("{} hexadecimal digits: two make a byte", joined.len()))))
}

/// A bitmap of types in windows of 256 (RFC 4034 section 4.1.2).
fn put_types(words: &[Token<'_>], wire: &mut Vec<u8>) -> Result<(), Wrong> {
    let mut codes = std::collections::BTreeSet::new();
    for word in words {
        codes.insert(match kind(&word.text) {
            Kind::Known(shape) => shape.code,
            Kind::Opaque(code) | Kind::Never(code) => code,
            Kind::Unknown => return Err((word.place, Complaint::new(format!("`{}` is no record type", word.text)))),
        });
    }
    let mut codes = codes.into_iter().peekable();
    while let Some(window) = codes.peek().map(|code| code >> 8) {
        let mut bits = Vec::new();
        while let Some(code) = codes.next_if(|code| code >> 8 == window) {
            let bit = usize::from(code & 0xff);
            bits.resize(bit / 8 + 1, 0);
            bits[bit / 8] |= 0x80u8 >> (bit % 8);
        }
        wire.push(u8::try_from(window).expect("the upper byte of two"));
        wire.push(u8::try_from(bits.len()).expect("256 bits are 32 bytes"));
        wire.extend(bits);
    }
    Ok(())
}

/// The data's bytes for comparison: names in lower case (RFC 4034 section 6.2).
pub(super) fn canonical(code: u16, wire: &[u8]) -> Vec<u8> {
    let mut out = wire.to_vec();
    let (mut rest, fields) = (wire, shape_of(code).map_or(&[][..], |shape| shape.fields));
    for field in fields {
        let begin = wire.len() - rest.len();
        if take(*field, &mut rest, &mut Vec::new()).is_none() {
            break;
        }
        if matches!(field, Field::Name(_) | Field::Mailbox(_)) {
            out[begin..wire.len() - rest.len()].make_ascii_lowercase();
        }
    }
    out
}

/// Whether two records of one type have the same data.
pub(super) fn same(code: u16, a: &[u8], b: &[u8]) -> bool {
    a == b || (a.eq_ignore_ascii_case(b) && canonical(code, a) == canonical(code, b))
}

/// The data's text form; none where the bytes are no data of that type.
pub(super) fn print(code: u16, wire: &[u8]) -> Option<String> {
    let Some(shape) = shape_of(code) else {
        let space = if wire.is_empty() { "" } else { " " };
        return Some(format!("\\# {}{space}{}", wire.len(), HEXUPPER.encode(wire)));
    };
    let mut words = Vec::new();
    let mut rest = wire;
    for field in shape.fields {
        take(*field, &mut rest, &mut words)?;
    }
    rest.is_empty().then(|| words.join(" "))
}

/// Reads one field from the front of `rest`.
fn take(field: Field, rest: &mut &[u8], words: &mut Vec<String>) -> Option<()> {
    match field {
        Field::U8(_) => words.push(take_array::<1>(rest)?[0].to_string()),
        Field::U16(_) => words.push(u16::from_be_bytes(take_array(rest)?).to_string()),
        Field::U32(_) | Field::Seconds(_) => words.push(u32::from_be_bytes(take_array(rest)?).to_string()),
        Field::Name(_) | Field::Mailbox(_) => words.push(take_name(rest)?),
        Field::Ipv4(_) => words.push(std::net::Ipv4Addr::from(take_array::<4>(rest)?).to_string()),
        Field::Ipv6(_) => words.push(std::net::Ipv6Addr::from(take_array::<16>(rest)?).to_string()),
        Field::Text(_) => words.push(text::print_quoted(take_string(rest)?)),
        Field::Texts(_) => {
            words.push(text::print_quoted(take_string(rest)?));
            while !rest.is_empty() {
                words.push(text::print_quoted(take_string(rest)?));
            }
        }
        Field::Tag(_) => {
            let tag = take_string(rest)?;
            let plain = !tag.is_empty() && tag.iter().all(u8::is_ascii_alphanumeric);
            words.push(plain.then(|| String::from_utf8_lossy(tag).into_owned())?);
        }
        Field::Bytes(_) => words.push(text::print_quoted(std::mem::take(rest))),
        Field::Hex(_) => words.push(HEXUPPER.encode(non_empty(std::mem::take(rest))?)),
        Field::Base64(_) => words.push(BASE64.encode(non_empty(std::mem::take(rest))?)),
        Field::Types(_) => take_types(rest, words)?,
        Field::Location(_) => words.push(location::print(&take_array(rest)?)?),
        Field::Params(_) => params::take(std::mem::take(rest), words)?,
    }
    Some(())
}

fn non_empty(bytes: &[u8]) -> Option<&[u8]> {
    (!bytes.is_empty()).then_some(bytes)
}

fn take_array<const N: usize>(rest: &mut &[u8]) -> Option<[u8; N]> {
    let (head, tail) = rest.split_first_chunk::<N>()?;
    *rest = tail;
    Some(*head)
}

fn take_string<'w>(rest: &mut &'w [u8]) -> Option<&'w [u8]> {
    let length = usize::from(take_array::<1>(rest)?[0]);
    let (head, tail) = rest.split_at_checked(length)?;
    *rest = tail;
    Some(head)
}

fn take_name(rest: &mut &[u8]) -> Option<String> {
    let (mut labels, mut length) = (Vec::new(), 1);
    loop {
        let label = take_string(rest)?;
        length += label.len() + 1;
        match label.len() {
            0 => return Some(text::print_name(labels.into_iter())),
            1..=63 if length <= 255 => labels.push(label),
            _ => return None,
        }
    }
}

fn take_types(rest: &mut &[u8], words: &mut Vec<String>) -> Option<()> {
    let mut least = 0;
    while !rest.is_empty() {
        let window = u16::from(take_array::<1>(rest)?[0]);
        let bits = take_string(rest)?;
        if window < least || !(1..=32).contains(&bits.len()) || bits.last() == Some(&0) {
            return None;
        }
        least = window + 1;
        for bit in 0..u16::try_from(bits.len() * 8).ok()? {
            if bits[usize::from(bit / 8)] & (0x80 >> (bit % 8)) != 0 {
                words.push(type_name(window << 8 | bit));
            }
        }
    }
    Some(())
}
