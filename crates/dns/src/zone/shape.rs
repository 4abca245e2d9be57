//! What the data of each record type consists of. Reading and printing both follow this one table.

/// One part of a record's data, with the word that tells the operator what it is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Field {
    /// One byte.
    U8(&'static str),
    /// Two bytes.
    U16(&'static str),
    /// Four bytes.
    U32(&'static str),
    /// Four bytes; units such as `1h30m` are understood.
    Seconds(&'static str),
    /// A domain name.
    Name(&'static str),
    /// A mailbox as a domain name: the first label is the part before the `@`.
    Mailbox(&'static str),
    /// An IPv4 address.
    Ipv4(&'static str),
    /// An IPv6 address.
    Ipv6(&'static str),
    /// A character-string: at most 255 bytes.
    Text(&'static str),
    /// Character-strings up to the end, at least one.
    Texts(&'static str),
    /// A character-string of letters and digits, at least one.
    Tag(&'static str),
    /// One word's bytes, without a length.
    Bytes(&'static str),
    /// Hexadecimal up to the end.
    Hex(&'static str),
    /// Base64 up to the end.
    Base64(&'static str),
    /// Record types up to the end, as a bitmap (RFC 4034 section 4.1.2).
    Types(&'static str),
    /// A place on the Earth, up to the end (RFC 1876).
    Location(&'static str),
    /// Service parameters up to the end (RFC 9460 section 2.1).
    Params(&'static str),
}

impl Field {
    /// The word for it.
    pub(super) const fn word(self) -> &'static str {
        match self {
            Self::U8(word)
            | Self::U16(word)
            | Self::U32(word)
            | Self::Seconds(word)
            | Self::Name(word)
            | Self::Mailbox(word)
            | Self::Ipv4(word)
            | Self::Ipv6(word)
            | Self::Text(word)
            | Self::Texts(word)
            | Self::Tag(word)
            | Self::Bytes(word)
            | Self::Hex(word)
            | Self::Base64(word)
            | Self::Types(word)
            | Self::Location(word)
            | Self::Params(word) => word,
        }
    }

    /// It takes every word that is left.
    pub(super) const fn takes_rest(self) -> bool {
        matches!(
            self,
            Self::Texts(_) | Self::Hex(_) | Self::Base64(_) | Self::Types(_) | Self::Location(_) | Self::Params(_)
        )
    }

    /// It may take no word at all.
    pub(super) const fn optional(self) -> bool {
        matches!(self, Self::Types(_) | Self::Params(_))
    }
}

/// A record type whose text form we know.
#[derive(Debug)]
pub(super) struct Shape {
    /// Its name.
    pub(super) mnemonic: &'static str,
    /// Its number.
    pub(super) code: u16,
    /// Its data.
    pub(super) fields: &'static [Field],
}

impl Shape {
    /// `preference exchange`, for people.
    pub(super) fn form(&self) -> String {
        self.fields.iter().map(|field| field.word()).collect::<Vec<_>>().join(" ")
    }
}

use Field::{
    Base64, Bytes, Hex, Ipv4, Ipv6, Location, Mailbox, Name, Params, Seconds, Tag, Text, Texts, Types, U8, U16, U32,
};

const fn shape(mnemonic: &'static str, code: u16, fields: &'static [Field]) -> Shape {
    Shape { mnemonic, code, fields }
}

/// `TLSA` and its like.
const ASSOCIATION: &[Field] = &[U8("usage"), U8("selector"), U8("matching-type"), Hex("hex-data")];
/// `DS` and its like.
const DIGEST: &[Field] = &[U16("key-tag"), U8("algorithm"), U8("digest-type"), Hex("hex-digest")];
/// `DNSKEY` and its like.
const KEY: &[Field] = &[U16("flags"), U8("protocol"), U8("algorithm"), Base64("base64-key")];
/// `SVCB` and `HTTPS`.
const SERVICE: &[Field] = &[U16("priority"), Name("target"), Params("[key=value ...]")];

/// `LOC`; how its words follow one another is [`super::location`]'s business.
const LOCATION: &[Field] = &[Location(
    "degrees [minutes [seconds]] N|S degrees [minutes [seconds]] E|W altitude [size [horizontal [vertical]]]",
)];

/// Every type whose text form we know, the usual ones first.
pub(super) const SHAPES: &[Shape] = &[
    shape("A", 1, &[Ipv4("ipv4-address")]),
    shape("AAAA", 28, &[Ipv6("ipv6-address")]),
    shape("CNAME", 5, &[Name("name")]),
    shape("MX", 15, &[U16("preference"), Name("exchange")]),
    shape("NS", 2, &[Name("name-server")]),
    shape("TXT", 16, &[Texts("\"text\" ...")]),
    shape("SRV", 33, &[U16("priority"), U16("weight"), U16("port"), Name("target")]),
    shape("CAA", 257, &[U8("flags"), Tag("tag"), Bytes("\"value\"")]),
    shape("PTR", 12, &[Name("name")]),
    shape(
        "SOA",
        6,
        &[
            Name("name-server"),
            Mailbox("mailbox"),
            U32("serial"),
            Seconds("refresh"),
            Seconds("retry"),
            Seconds("expire"),
            Seconds("negative-ttl"),
        ],
    ),
    shape("HTTPS", 65, SERVICE),
    shape("SVCB", 64, SERVICE),
    shape("TLSA", 52, ASSOCIATION),
    shape("SMIMEA", 53, ASSOCIATION),
    shape("SSHFP", 44, &[U8("algorithm"), U8("type"), Hex("hex-fingerprint")]),
    shape(
        "NAPTR",
        35,
        &[
            U16("order"),
            U16("preference"),
            Text("\"flags\""),
            Text("\"services\""),
            Text("\"regexp\""),
            Name("replacement"),
        ],
    ),
    shape("DNAME", 39, &[Name("name")]),
    shape("URI", 256, &[U16("priority"), U16("weight"), Bytes("\"uri\"")]),
    shape("DS", 43, DIGEST),
    shape("CDS", 59, DIGEST),
    shape("DNSKEY", 48, KEY),
    shape("CDNSKEY", 60, KEY),
    shape("CSYNC", 62, &[U32("serial"), U16("flags"), Types("[type ...]")]),
    shape("CERT", 37, &[U16("type"), U16("key-tag"), U8("algorithm"), Base64("base64-certificate")]),
    shape("OPENPGPKEY", 61, &[Base64("base64-key")]),
    shape("HINFO", 13, &[Text("cpu"), Text("os")]),
    shape("LOC", 29, LOCATION),
    shape("RP", 17, &[Mailbox("mailbox"), Name("txt-name")]),
    shape("AFSDB", 18, &[U16("subtype"), Name("host")]),
    shape("KX", 36, &[U16("preference"), Name("exchanger")]),
    shape("SPF", 99, &[Texts("\"text\" ...")]),
    shape("DHCID", 49, &[Base64("base64-data")]),
];

/// Types that exist and whose text form we don't read: they can be written as `TYPEnnn \# length hex`.
const NO_TEXT_FORM: &[(&str, u16)] = &[
    ("APL", 42),
    ("EUI48", 108),
    ("EUI64", 109),
    ("HIP", 55),
    ("IPSECKEY", 45),
    ("ISDN", 20),
    ("LP", 107),
    ("NID", 104),
    ("NSAP", 22),
    ("PX", 26),
    ("RT", 21),
    ("WKS", 11),
    ("X25", 19),
    ("ZONEMD", 63),
];

/// Types made by whoever signs a zone, and types that only queries and answers hold.
const NEVER: &[(&str, u16)] = &[
    ("RRSIG", 46),
    ("NSEC", 47),
    ("NSEC3", 50),
    ("NSEC3PARAM", 51),
    ("SIG", 24),
    ("KEY", 25),
    ("NXT", 30),
    ("OPT", 41),
    ("TKEY", 249),
    ("TSIG", 250),
    ("IXFR", 251),
    ("AXFR", 252),
    ("MAILB", 253),
    ("MAILA", 254),
    ("ANY", 255),
];

/// What a word in the place of a type means.
#[derive(Debug)]
pub(super) enum Kind {
    /// A type with a text form.
    Known(&'static Shape),
    /// `TYPEnnn` without a text form, or a type whose text form we don't read.
    Opaque(u16),
    /// No template may hold it.
    Never(u16),
    /// No type at all.
    Unknown,
}

/// The shape of the type numbered `code`.
pub(super) fn shape_of(code: u16) -> Option<&'static Shape> {
    SHAPES.iter().find(|shape| shape.code == code)
}

/// The type that `word` names.
pub(super) fn kind(word: &str) -> Kind {
    let listed =
        |list: &[(&str, u16)]| list.iter().find(|(name, _)| name.eq_ignore_ascii_case(word)).map(|entry| entry.1);
    if let Some(shape) = SHAPES.iter().find(|shape| shape.mnemonic.eq_ignore_ascii_case(word)) {
        return Kind::Known(shape);
    }
    let number = match word.get(..4) {
        Some(prefix) if prefix.eq_ignore_ascii_case("TYPE") => word[4..].parse::<u16>().ok(),
        _ => None,
    };
    match number.or_else(|| listed(NO_TEXT_FORM)).or_else(|| listed(NEVER)) {
        // RFC 6895 section 3.1: 0 and 128-255 are for queries and other meta-data.
        Some(code) if code == 0 || (128..=255).contains(&code) || NEVER.iter().any(|entry| entry.1 == code) => {
            Kind::Never(code)
        }
        Some(code) => shape_of(code).map_or(Kind::Opaque(code), Kind::Known),
        None => Kind::Unknown,
    }
}

/// The type's name, `TYPEnnn` where it has none here.
pub(super) fn type_name(code: u16) -> String {
    let listed = NO_TEXT_FORM.iter().chain(NEVER).find(|(_, number)| *number == code).map(|(name, _)| *name);
    let name = shape_of(code).map(|shape| shape.mnemonic).or(listed);
    name.map_or_else(|| format!("TYPE{code}"), str::to_owned)
}
