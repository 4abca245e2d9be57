//! Statements to bytes and back, in parts where one datagram is too small.

use std::collections::BTreeMap;

use model::{
    BootId, Term,
    health::{Hold, Judgement, Verdict},
};
use serde::{Serialize, de::DeserializeOwned};

use super::{MAX_SECTIONS, SENDER};
use crate::statement::{Claim, Heard, Stance, Statement};

/// Sections' tags. A content may change only by a new tag or, in `PART` and `FLAGS`, by fields added at its end.
const PART: u8 = 1;
const FLAGS: u8 = 2;
const HEARD: u8 = 3;
const STANCES: u8 = 4;
const VERDICTS: u8 = 5;
const CALM: u8 = 6;

/// Tag and length before each content.
const SECTION_HEAD: usize = 3;
/// A statement has at most so many parts: room for ten thousand virtual hosts. What does not fit is not said.
const MAX_PARTS: usize = u8::MAX as usize;
/// Longest coding of one `u64`.
const MAX_VARINT: usize = 10;

const STANDBY: u8 = 1;
const RESIGNING: u8 = 2;
const GOODBYE: u8 = 4;
const LISTENING: u8 = 8;

const CLAIM: u8 = 3;
const ABLE: u8 = 4;
const STEADY: u8 = 8;
const READY: u8 = 16;
const UNSEEN: u8 = 32;

/// Keys are spread over all 64 bits, so eight plain bytes are shorter than a varint.
type PlainKey = [u8; 8];

/// What one datagram says.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Part {
    /// The sender's server key.
    pub(crate) sender: u64,
    /// The statement's number: each statement of a run has one above the earlier ones.
    pub(crate) number: u64,
    /// Which part, below `count`.
    pub(crate) index: u8,
    /// Of how many.
    pub(crate) count: u8,
    /// This part's share of the maps; the rest is complete in every part.
    pub(crate) share: Statement,
}

/// The bytes are authentic and yet not a statement.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Malformed;

/// The plain contents of the datagrams that make up statement `number` of `sender`. The first ones say who is heard.
pub(crate) fn encode(sender: u64, number: u64, statement: &Statement) -> Vec<Vec<u8>> {
    let Statement { standby, resigning, goodbye, listening, configuration, serial, heard, stances, verdicts, calm } =
        statement;
    let flag = |on: bool, bit: u8| if on { bit } else { 0 };
    let flags =
        flag(*standby, STANDBY) | flag(*resigning, RESIGNING) | flag(*goodbye, GOODBYE) | flag(*listening, LISTENING);
    let mut flags_section = Vec::new();
    section(FLAGS, &coded(&(flags, configuration, serial)), &mut flags_section);

    let mut shares = Shares::new(MAX_SECTIONS - flags_section.len() - (SECTION_HEAD + MAX_VARINT + 2));
    for (key, runs) in heard {
        for Heard { boot, sequence, direct_age_ms } in runs {
            shares.add(HEARD, &coded(&(key.to_be_bytes(), boot.0, sequence, direct_age_ms)));
        }
    }
    for (key, stance) in stances {
        shares.add(STANCES, &coded(&(key.to_be_bytes(), stance_bits(stance), stance.term.0)));
    }
    for (key, verdict) in verdicts {
        shares.add(VERDICTS, &coded(&(key.to_be_bytes(), judgement_number(*verdict))));
    }
    for (key, step) in calm {
        shares.add(CALM, &coded(&(key.to_be_bytes(), step)));
    }

    let shares = shares.finish();
    let count = u8::try_from(shares.len()).expect("at most MAX_PARTS");
    (0..count)
        .zip(shares)
        .map(|(index, share)| {
            let mut plain = sender.to_be_bytes().to_vec();
            section(PART, &coded(&(number, index, count)), &mut plain);
            plain.extend_from_slice(&flags_section);
            plain.extend_from_slice(&share);
            plain
        })
        .collect()
}

/// Reads what [`encode`], or a later version of it, wrote.
pub(crate) fn decode(plain: &[u8]) -> Result<Part, Malformed> {
    let (sender, mut rest) = plain.split_at_checked(SENDER).ok_or(Malformed)?;
    let sender = u64::from_be_bytes(sender.try_into().expect("eight bytes"));
    let (mut place, mut flags) = (None, None);
    let mut share = Statement::default();
    while !rest.is_empty() {
        let (head, after) = rest.split_at_checked(SECTION_HEAD).ok_or(Malformed)?;
        let length = usize::from(u16::from_be_bytes([head[1], head[2]]));
        let (content, after) = after.split_at_checked(length).ok_or(Malformed)?;
        rest = after;
        match head[0] {
            PART => place = Some(first::<(u64, u8, u8)>(content)?),
            FLAGS => flags = Some(first::<(u8, u64, u32)>(content)?),
            HEARD => each(content, |(key, boot, sequence, direct_age_ms): (PlainKey, [u8; 16], u64, u16)| {
                let heard = Heard { boot: BootId(boot), sequence, direct_age_ms };
                share.heard.entry(u64::from_be_bytes(key)).or_default().push(heard);
                Ok(())
            })?,
            STANCES => each(content, |(key, bits, term): (PlainKey, u8, u64)| {
                share.stances.insert(u64::from_be_bytes(key), stance(bits, term));
                Ok(())
            })?,
            VERDICTS => each(content, |(key, number): (PlainKey, u8)| {
                share.verdicts.insert(u64::from_be_bytes(key), judgement(number)?);
                Ok(())
            })?,
            CALM => each(content, |(key, step): (PlainKey, u32)| {
                share.calm.insert(u64::from_be_bytes(key), step);
                Ok(())
            })?,
            _ => {} // of a later version
        }
    }
    let ((number, index, count), (flags, configuration, serial)) = place.zip(flags).ok_or(Malformed)?;
    if index >= count {
        return Err(Malformed);
    }
    let on = |bit: u8| flags & bit != 0;
    share.standby = on(STANDBY);
    share.resigning = on(RESIGNING);
    share.goodbye = on(GOODBYE);
    share.listening = on(LISTENING);
    share.configuration = configuration;
    share.serial = serial;
    Ok(Part { sender, number, index, count, share })
}

/// Entries on their way into parts: each part holds as many as fit, grouped in sections.
struct Shares {
    room: usize,
    done: Vec<Vec<u8>>,
    sections: BTreeMap<u8, Vec<u8>>,
}

impl Shares {
    fn new(room: usize) -> Self {
        Self { room, done: Vec::new(), sections: BTreeMap::new() }
    }

    fn add(&mut self, tag: u8, entry: &[u8]) {
        let used: usize = self.sections.values().map(|content| SECTION_HEAD + content.len()).sum();
        let head = if self.sections.contains_key(&tag) { 0 } else { SECTION_HEAD };
        if used + head + entry.len() > self.room {
            self.close();
        }
        self.sections.entry(tag).or_default().extend_from_slice(entry);
    }

    fn close(&mut self) {
        let mut share = Vec::new();
        for (tag, content) in std::mem::take(&mut self.sections) {
            section(tag, &content, &mut share);
        }
        self.done.push(share);
    }

    fn finish(mut self) -> Vec<Vec<u8>> {
        self.close();
        self.done.truncate(MAX_PARTS);
        self.done
    }
}

fn section(tag: u8, content: &[u8], out: &mut Vec<u8>) {
    let length = u16::try_from(content.len()).expect("a section is within a datagram");
    out.push(tag);
    out.extend_from_slice(&length.to_be_bytes());
    out.extend_from_slice(content);
}

fn coded(value: &impl Serialize) -> Vec<u8> {
    postcard::to_stdvec(value).expect("numbers and arrays always have a coding")
}

/// The value at the start of `content`; what follows belongs to a later version.
fn first<T: DeserializeOwned>(content: &[u8]) -> Result<T, Malformed> {
    postcard::take_from_bytes(content).map(|(value, _)| value).map_err(|_| Malformed)
}

/// The values, one after the other, that fill `content`.
fn each<T: DeserializeOwned>(
    mut content: &[u8],
    mut take: impl FnMut(T) -> Result<(), Malformed>,
) -> Result<(), Malformed> {
    while !content.is_empty() {
        let (value, rest) = postcard::take_from_bytes(content).map_err(|_| Malformed)?;
        content = rest;
        take(value)?;
    }
    Ok(())
}

fn stance_bits(stance: &Stance) -> u8 {
    let Stance { claim, term: _, able, steady, ready, unseen } = *stance;
    let claim = match claim {
        Claim::None => 0,
        Claim::Taking => 1,
        Claim::Active => 2,
        Claim::Releasing => 3,
    };
    let flag = |on: bool, bit: u8| if on { bit } else { 0 };
    claim | flag(able, ABLE) | flag(steady, STEADY) | flag(ready, READY) | flag(unseen, UNSEEN)
}

fn stance(bits: u8, term: u64) -> Stance {
    let claim = match bits & CLAIM {
        0 => Claim::None,
        1 => Claim::Taking,
        2 => Claim::Active,
        _ => Claim::Releasing,
    };
    let on = |bit: u8| bits & bit != 0;
    Stance { claim, term: Term(term), able: on(ABLE), steady: on(STEADY), ready: on(READY), unseen: on(UNSEEN) }
}

/// What the probes find in the lowest two bits, what is in force instead in the next three.
fn judgement_number(judgement: Judgement) -> u8 {
    let found = match judgement.found {
        Verdict::Down => 0,
        Verdict::Unknown => 1,
        Verdict::Up => 2,
        Verdict::Degraded => 3,
    };
    let hold = match judgement.hold {
        None => 0,
        Some(Hold::Damped) => 1,
        Some(Hold::Latched) => 2,
        Some(Hold::Disabled) => 3,
        Some(Hold::ForcedUp) => 4,
        Some(Hold::ForcedDown) => 5,
    };
    found | hold << 2
}

fn judgement(number: u8) -> Result<Judgement, Malformed> {
    let found = match number & 3 {
        0 => Verdict::Down,
        1 => Verdict::Unknown,
        2 => Verdict::Up,
        _ => Verdict::Degraded,
    };
    let hold = match number >> 2 {
        0 => None,
        1 => Some(Hold::Damped),
        2 => Some(Hold::Latched),
        3 => Some(Hold::Disabled),
        4 => Some(Hold::ForcedUp),
        5 => Some(Hold::ForcedDown),
        _ => return Err(Malformed),
    };
    Ok(Judgement { found, hold })
}
