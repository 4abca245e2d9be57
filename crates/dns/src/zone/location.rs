//! The data of LOC records (RFC 1876): a place on the Earth, how large it is, and how exactly it is known.
//!
//! Invariant: what is read and what is printed is exact. Sizes on the wire are one digit and a power of ten, in centimetres:
//! other programs round what does not fit, we say so.

use super::{
    source::{Complaint, Place},
    token::Token,
};

/// A mistake and its place.
type Wrong = (Place, Complaint);

/// The only version there is.
const VERSION: u8 = 0;
/// Where the equator and the prime meridian lie on the wire.
const MIDDLE: u32 = 1 << 31;
/// Thousandths of an arc second in a degree and in a minute.
const DEGREE: u32 = 3_600_000;
const MINUTE: u32 = 60_000;
/// Where an altitude of zero lies on the wire: centimetres above 100 km below the ellipsoid.
const SEA_LEVEL: u32 = 10_000_000;
/// Diameter, horizontal and vertical precision where the text does not say, in centimetres.
const DEFAULTS: [u64; 3] = [100, 1_000_000, 1_000];
/// The largest digit of a size, and of its power of ten.
const LARGEST_DIGIT: u8 = 9;

/// The two directions of a coordinate, and its largest number of degrees.
struct Axis {
    name: &'static str,
    up: &'static str,
    down: &'static str,
    most: u32,
}

const LATITUDE: Axis = Axis { name: "latitude", up: "N", down: "S", most: 90 };
const LONGITUDE: Axis = Axis { name: "longitude", up: "E", down: "W", most: 180 };

/// Reads `degrees [minutes [seconds]] N|S degrees [minutes [seconds]] E|W altitude [size [horizontal [vertical]]]`.
pub(super) fn put(words: &[Token<'_>], wire: &mut Vec<u8>) -> Result<(), Wrong> {
    let (latitude, rest) = coordinate(&LATITUDE, words, words)?;
    let (longitude, rest) = coordinate(&LONGITUDE, rest, words)?;
    let Some((height, sizes)) = rest.split_first() else {
        return Err((end(words), Complaint::new("LOC ends here, but altitude is missing")));
    };
    let altitude = altitude(&height.text).ok_or_else(|| {
        let message = format!("`{}` is no altitude: metres from -100000.00 to 42849672.95", height.text);
        (height.place, Complaint::new(message))
    })?;
    if let Some(extra) = sizes.get(DEFAULTS.len()) {
        return Err((extra.place, Complaint::new(format!("`{}` is too much: LOC is complete before it", extra.text))));
    }
    wire.push(VERSION);
    for (place, default) in DEFAULTS.into_iter().enumerate() {
        wire.push(match sizes.get(place) {
            Some(word) => size(&word.text).map_err(|complaint| (word.place, complaint))?,
            None => digits(default).expect("the defaults are a digit and zeros"),
        });
    }
    for number in [latitude, longitude, altitude] {
        wire.extend(number.to_be_bytes());
    }
    Ok(())
}

/// The last word's place.
fn end(words: &[Token<'_>]) -> Place {
    words.last().map_or(Place::default(), |word| word.place)
}

/// Reads a coordinate from the front of `rest`; what it is on the wire, and what is left.
fn coordinate<'w, 't>(axis: &Axis, rest: &'w [Token<'t>], all: &[Token<'t>]) -> Result<(u32, &'w [Token<'t>]), Wrong> {
    let is_letter = |word: &Token<'_>| [axis.up, axis.down].iter().any(|letter| word.text.eq_ignore_ascii_case(letter));
    let (most, largest) = (axis.most, axis.most * DEGREE);
    // Name, thousandths of an arc second in one, decimals, the first number that is too large.
    let parts = [("degrees", DEGREE, 0, most + 1), ("minutes", MINUTE, 0, 60), ("seconds", 1, 3, 60_000)];
    let mut total = 0;
    for (number, word) in rest.iter().take(parts.len() + 1).enumerate() {
        if number > 0 && is_letter(word) {
            let north = word.text.eq_ignore_ascii_case(axis.up);
            return Ok((if north { MIDDLE + total } else { MIDDLE - total }, &rest[number + 1..]));
        }
        let Some((name, unit, decimals, limit)) = parts.get(number) else { break };
        let value = decimal(&word.text, *decimals).and_then(|value| u32::try_from(value).ok());
        let Some(value) = value.filter(|value| value < limit) else {
            let message = format!("{}: `{}` is no number of {name}", axis.name, word.text);
            return Err((word.place, Complaint::new(message)));
        };
        total += value * unit;
        if total > largest {
            return Err((word.place, Complaint::new(format!("{}: more than {most} degrees", axis.name))));
        }
    }
    let place = rest.get(parts.len()).map_or(end(all), |word| word.place);
    Err((place, Complaint::new(format!("{}: {} or {} is missing here", axis.name, axis.up, axis.down))))
}

/// `whole[.fraction]` with so many decimals, without its point.
fn decimal(word: &str, decimals: usize) -> Option<u64> {
    let (whole, fraction) = match word.split_once('.') {
        Some((_, "")) => return None,
        Some(parts) => parts,
        None => (word, ""),
    };
    let is_number = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
    let fits = !whole.is_empty() && fraction.len() <= decimals && is_number(whole) && is_number(fraction);
    fits.then(|| format!("{whole}{fraction:0<decimals$}").parse().ok()).flatten()
}

/// Metres as centimetres; the unit may be left out.
fn centimetres(word: &str) -> Option<u64> {
    decimal(word.strip_suffix(['m', 'M']).unwrap_or(word), 2)
}

fn altitude(word: &str) -> Option<u32> {
    match word.strip_prefix('-') {
        Some(depth) => SEA_LEVEL.checked_sub(u32::try_from(centimetres(depth)?).ok()?),
        None => SEA_LEVEL.checked_add(u32::try_from(centimetres(word)?).ok()?),
    }
}

fn size(word: &str) -> Result<u8, Complaint> {
    let size = centimetres(word)
        .ok_or_else(|| Complaint::new(format!("`{word}` is no size: metres from 0 to 90000000.00, such as 10m")))?;
    digits(size).ok_or_else(|| {
        let message = format!("`{word}` does not fit: a size is one digit and zeros, up to 90000000m");
        Complaint::new(message).help("round it, such as 20m or 30m for 25m")
    })
}

/// A digit and a power of ten (RFC 1876 section 2), if that is what the number is.
fn digits(mut size: u64) -> Option<u8> {
    let mut power = 0;
    while size > u64::from(LARGEST_DIGIT) && size.is_multiple_of(10) {
        (size, power) = (size / 10, power + 1);
    }
    let digit = u8::try_from(size).ok().filter(|digit| *digit <= LARGEST_DIGIT)?;
    (power <= LARGEST_DIGIT).then_some(digit << 4 | power)
}

/// The text of 16 bytes; none where they are no location.
pub(super) fn print(wire: &[u8; 16]) -> Option<String> {
    let [version, size, horizontal, vertical, numbers @ ..] = *wire;
    let number = |at: usize| u32::from_be_bytes([numbers[at], numbers[at + 1], numbers[at + 2], numbers[at + 3]]);
    let (latitude, longitude) = (print_coordinate(&LATITUDE, number(0))?, print_coordinate(&LONGITUDE, number(4))?);
    let height = i64::from(number(8)) - i64::from(SEA_LEVEL);
    let sign = if height < 0 { "-" } else { "" };
    let altitude = format!("{sign}{}", print_metres(height.unsigned_abs()));
    let [size, horizontal, vertical] = [print_size(size)?, print_size(horizontal)?, print_size(vertical)?];
    (version == VERSION).then(|| format!("{latitude} {longitude} {altitude} {size} {horizontal} {vertical}"))
}

fn print_coordinate(axis: &Axis, number: u32) -> Option<String> {
    let letter = if number >= MIDDLE { axis.up } else { axis.down };
    let total = number.abs_diff(MIDDLE);
    let (minutes, thousandths) = (total % DEGREE / MINUTE, total % MINUTE);
    let (seconds, fraction) = (thousandths / 1000, thousandths % 1000);
    (total <= axis.most * DEGREE)
        .then(|| format!("{} {minutes:02} {seconds:02}.{fraction:03} {letter}", total / DEGREE))
}

fn print_metres(centimetres: u64) -> String {
    format!("{}.{:02}m", centimetres / 100, centimetres % 100)
}

/// Zero has one form only, so that what is printed reads back the same.
fn print_size(byte: u8) -> Option<String> {
    let (digit, power) = (byte >> 4, byte & 0xf);
    let exact = digit <= LARGEST_DIGIT && power <= LARGEST_DIGIT && (digit > 0 || power == 0);
    exact.then(|| print_metres(u64::from(digit) * 10_u64.pow(u32::from(power))))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What the words are on the wire, or what is wrong with which word.
    fn read(text: &str) -> Result<Vec<u8>, (String, String)> {
        let token = |(number, word): (usize, &str)| {
            let at = u32::try_from(number).expect("few words");
            let place = Place { source: 0, start: at, end: at + 1 };
            Token { text: word.to_owned().into(), quoted: false, place }
        };
        let words: Vec<Token<'_>> = text.split_whitespace().enumerate().map(token).collect();
        let mut wire = Vec::new();
        put(&words, &mut wire)
            .map(|()| wire)
            .map_err(|(place, complaint)| (words[place.start as usize].text.clone().into_owned(), complaint.message))
    }

    fn round_trip(text: &str) -> String {
        let wire = read(text).expect("a location");
        print(wire.first_chunk().expect("16 bytes")).expect("what was read can be printed")
    }

    #[test]
    fn the_bytes_are_those_of_the_rfc() {
        // RFC 1876 appendix C; its bytes as BIND and Knot write them.
        let cambridge = read("42 21 54 N 71 06 18 W -24m 30m").expect("a location");
        let expected = [0, 0x33, 0x16, 0x13, 0x89, 0x17, 0x2d, 0xd0, 0x70, 0xbe, 0x15, 0xf0, 0, 0x98, 0x8d, 0x20];
        assert_eq!(cambridge, expected);
    }

    #[test]
    fn what_is_left_out_has_its_default_and_ends_are_ends() {
        let full = "52 00 00.000 N 13 00 00.000 E 30.00m 1.00m 10000.00m 10.00m";
        assert_eq!(round_trip("52 n 13 e 30"), full);
        assert_eq!(round_trip(full), full);
        let corner = "90 00 00.000 S 180 00 00.000 W -100000.00m 0.00m 90000000.00m 0.09m";
        assert_eq!(round_trip("90 S 180 W -100000 0 90000000 .09".replace(" .", " 0.").as_str()), corner);
        assert_eq!(round_trip("0 0 0.001 S 0 59 59.999 W 42849672.95m 0.01m 0 0"), {
            "0 00 00.001 S 0 59 59.999 W 42849672.95m 0.01m 0.00m 0.00m"
        });
    }

    #[test]
    fn mistakes_name_the_word() {
        let wrong = |text: &str| read(text).expect_err("no location");
        for (text, word) in [
            ("91 N 13 E 0", "91"),
            ("90 0 0.001 N 13 E 0", "0.001"),
            ("52 60 N 13 E 0", "60"),
            ("52 0 60 N 13 E 0", "60"),
            ("52 0 0.0001 N 13 E 0", "0.0001"),
            ("52 0 0 0 N 13 E 0", "0"),
            ("52 E 13 E 0", "E"),
            ("N 13 E 0", "N"),
            ("52 N 181 E 0", "181"),
            ("52 N 13", "13"),
            ("52 N 13 E", "E"),
            ("52 N 13 E high", "high"),
            ("52 N 13 E -100000.01", "-100000.01"),
            ("52 N 13 E 42849672.96", "42849672.96"),
            ("52 N 13 E 1. 1", "1."),
            ("52 N 13 E 0 25m", "25m"),
            ("52 N 13 E 0 100000000m", "100000000m"),
            ("52 N 13 E 0 1 -1", "-1"),
            ("52 N 13 E 0 1 1 1 7", "7"),
        ] {
            assert_eq!(wrong(text).0, word, "{text}: {}", wrong(text).1);
        }
    }

    #[test]
    fn bytes_that_are_no_location_have_no_text() {
        let good = read("52 N 13 E 30").expect("a location");
        let mut bytes: [u8; 16] = *good.first_chunk().expect("16 bytes");
        for (at, bad) in [(0, 1), (1, 0xa0), (2, 0x1a), (3, 0x05), (4, 0xff), (8, 0x01)] {
            let before = std::mem::replace(&mut bytes[at], bad);
            assert_eq!(print(&bytes), None, "byte {at}");
            bytes[at] = before;
        }
        assert!(print(&bytes).is_some());
    }
}
