//! As much of ASN.1's encodings (X.690) as certificates' dates and LDAP's answers need.

/// Tags used here.
pub(super) const INTEGER: u8 = 0x02;
pub(super) const ENUMERATED: u8 = 0x0a;
pub(super) const SEQUENCE: u8 = 0x30;
const UTC_TIME: u8 = 0x17;
const GENERALIZED_TIME: u8 = 0x18;

/// Takes elements off the front.
#[derive(Clone, Copy)]
pub(super) struct Elements<'b>(pub(super) &'b [u8]);

impl<'b> Elements<'b> {
    /// The next one: tag and content. None at the end, and where it is cut off.
    pub(super) fn next(&mut self) -> Option<(u8, &'b [u8])> {
        let (&tag, rest) = self.0.split_first()?;
        let (length, rest) = length(rest)?;
        let content = rest.get(..length)?;
        self.0 = &rest[length..];
        Some((tag, content))
    }

    /// The content of the next one, if it has this tag.
    pub(super) fn expect(&mut self, wanted: u8) -> Option<&'b [u8]> {
        self.next().filter(|(tag, _)| *tag == wanted).map(|(_, content)| content)
    }
}

/// A length of up to three bytes, and what follows.
fn length(bytes: &[u8]) -> Option<(usize, &[u8])> {
    let (&first, rest) = bytes.split_first()?;
    if first < 0x80 {
        return Some((first.into(), rest));
    }
    let digits = rest.get(..usize::from(first & 0x7f)).filter(|digits| (1..=3).contains(&digits.len()))?;
    let length = digits.iter().fold(0, |sum, digit| sum << 8 | usize::from(*digit));
    Some((length, &rest[digits.len()..]))
}

/// When a certificate (RFC 5280 section 4.1) expires, in seconds since 1970.
pub(super) fn not_after(certificate: &[u8]) -> Option<i64> {
    let mut signed = Elements(Elements(certificate).expect(SEQUENCE)?);
    let mut fields = Elements(signed.expect(SEQUENCE)?);
    // The version is not there in those of version 1.
    if fields.0.first() == Some(&0xa0) {
        fields.next();
    }
    // Serial number, signature, issuer.
    fields.expect(INTEGER)?;
    fields.expect(SEQUENCE)?;
    fields.expect(SEQUENCE)?;
    let mut validity = Elements(fields.expect(SEQUENCE)?);
    validity.next();
    match validity.next()? {
        // RFC 5280 section 4.1.2.5.1: the century of two digits.
        (UTC_TIME, text) => {
            seconds(text, 2).map(|(year, rest)| (if year < 50 { 2000 + year } else { 1900 + year }, rest))
        }
        (GENERALIZED_TIME, text) => seconds(text, 4),
        _ => None,
    }
    .map(|(year, [month, day, hour, minute, second])| {
        ((days(year, month, day) * 24 + hour) * 60 + minute) * 60 + second
    })
}

/// The year, and month, day, hour, minute, second.
fn seconds(text: &[u8], year: usize) -> Option<(i64, [i64; 5])> {
    let text = std::str::from_utf8(text).ok()?;
    let number = |from: usize, length: usize| text.get(from..from + length)?.parse::<i64>().ok();
    let mut rest = [0; 5];
    for (index, part) in rest.iter_mut().enumerate() {
        *part = number(year + 2 * index, 2)?;
    }
    Some((number(0, year)?, rest))
}

/// Days since 1970 of a day of the Gregorian calendar: whole years from 1 March on, so that 29 February ends one.
fn days(year: i64, month: i64, day: i64) -> i64 {
    let (year, month) = if month > 2 { (year, month - 3) } else { (year - 1, month + 9) };
    year * 365 + year.div_euclid(4) - year.div_euclid(100) + year.div_euclid(400) + (153 * month + 2) / 5 + day
        - 719_469
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn days_since_1970() {
        assert_eq!(days(1970, 1, 1), 0);
        assert_eq!(days(2000, 2, 29), 11_016);
        assert_eq!(days(2000, 3, 1), 11_017);
        assert_eq!(days(2026, 11, 26), 20_783);
    }

    #[test]
    fn lengths_may_be_long_and_cut_off() {
        let long: Vec<u8> = [&[0x04, 0x82, 0x01, 0x00][..], &[7; 256]].concat();
        let mut elements = Elements(&long);
        assert_eq!(elements.next(), Some((0x04, &[7; 256][..])));
        assert_eq!(elements.next(), None);
        for end in 0..long.len() {
            assert_eq!(Elements(&long[..end]).next(), None, "{end}");
        }
        assert_eq!(Elements(&[0x04, 0x80, 0, 0]).next(), None, "indefinite");
    }
}
