//! Statements to bytes and back, in parts where one datagram is too small.

use std::{collections::BTreeMap, sync::Arc};

use model::{
    BootId, Term,
    health::{Hold, Judgement, Verdict},
};
use serde::{Serialize, de::DeserializeOwned};

use super::{MAX_SECTIONS, SENDER};
use crate::statement::{Account, Claim, Heard, Stance, Statement};

/// Sections' tags. A content may change only by a new tag or, in `PART` and `FLAGS`, by fields added at its end.
const PART: u8 = 1;
const FLAGS: u8 = 2;
const HEARD: u8 = 3;
const STANCES: u8 = 4;
const VERDICTS: u8 = 5;
const CALM: u8 = 6;
/// Which account the datagram belongs to: its number, and [`WHOLE`] or [`SAME`].
const ACCOUNT: u8 = 7;
/// For each entry of `HEARD` in the same datagram, in its order: the number of the account learned.
const LEARNED: u8 = 8;
/// Keys of monitors that are recovering. An early version does not say.
const RECOVERING: u8 = 9;

/// The account is in the statement's datagrams.
const WHOLE: u8 = 0;
/// The account is the one that an earlier statement gave under that number.
const SAME: u8 = 1;

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
    /// Where the statement's account is.
    pub(crate) given: Given,
    /// This part's share of the maps; the rest is complete in every part.
    pub(crate) share: Statement,
}

/// Where a statement's account is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Given {
    /// In its datagrams; nobody can refer to it (an early version's).
    Unnumbered,
    /// In its datagrams, under that number.
    Whole(u64),
    /// It is the one that was given under that number before.
    Same(u64),
}

/// The bytes are authentic and yet not a statement.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Malformed;

/// The plain contents of the datagrams that make up statement `number` of `sender`. The first ones say who is heard.
pub(crate) fn encode(sender: u64, number: u64, statement: &Statement, given: Given) -> Vec<Vec<u8>> {
    let Statement { standby, resigning, goodbye, listening, configuration, serial, heard, account } = statement;
    let flag = |on: bool, bit: u8| if on { bit } else { 0 };
    let flags =
        flag(*standby, STANDBY) | flag(*resigning, RESIGNING) | flag(*goodbye, GOODBYE) | flag(*listening, LISTENING);
    let mut in_each = Vec::new();
    section(FLAGS, &coded(&(flags, configuration, serial)), &mut in_each);
    match given {
        Given::Unnumbered => {}
        Given::Whole(number) => section(ACCOUNT, &coded(&(number, WHOLE)), &mut in_each),
        Given::Same(number) => section(ACCOUNT, &coded(&(number, SAME)), &mut in_each),
    }

    let mut shares = Shares::new(MAX_SECTIONS - in_each.len() - (SECTION_HEAD + MAX_VARINT + 2));
    for (key, runs) in heard {
        for Heard { boot, sequence, direct_age_ms, learned } in runs {
            let heard = coded(&(key.to_be_bytes(), boot.0, sequence, direct_age_ms));
            match given {
                Given::Unnumbered => shares.add(&[(HEARD, heard)]),
                Given::Whole(_) | Given::Same(_) => shares.add(&[(HEARD, heard), (LEARNED, coded(learned))]),
            }
        }
    }
    match given {
        Given::Unnumbered | Given::Whole(_) => add_account(account, &mut shares),
        Given::Same(_) => {}
    }

    let shares = shares.finish();
    let count = u8::try_from(shares.len()).expect("at most MAX_PARTS");
    (0..count)
        .zip(shares)
        .map(|(index, share)| {
            let mut plain = sender.to_be_bytes().to_vec();
            section(PART, &coded(&(number, index, count)), &mut plain);
            plain.extend_from_slice(&in_each);
            plain.extend_from_slice(&share);
            plain
        })
        .collect()
}

fn add_account(account: &Account, shares: &mut Shares) {
    let Account { stances, verdicts, recovering, calm } = account;
    for (key, stance) in stances {
        shares.add(&[(STANCES, coded(&(key.to_be_bytes(), stance_bits(stance), stance.term.0)))]);
    }
    for (key, verdict) in verdicts {
        shares.add(&[(VERDICTS, coded(&(key.to_be_bytes(), judgement_number(*verdict))))]);
    }
    for key in recovering {
        shares.add(&[(RECOVERING, coded(&key.to_be_bytes()))]);
    }
    for (key, step) in calm {
        shares.add(&[(CALM, coded(&(key.to_be_bytes(), step)))]);
    }
}

/// Reads what [`encode`], or a later version of it, wrote.
pub(crate) fn decode(plain: &[u8]) -> Result<Part, Malformed> {
    let (sender, mut rest) = plain.split_at_checked(SENDER).ok_or(Malformed)?;
    let sender = u64::from_be_bytes(sender.try_into().expect("eight bytes"));
    let (mut place, mut flags, mut given) = (None, None, Given::Unnumbered);
    let (mut heard, mut learned) = (Vec::new(), Vec::new());
    let mut account = Account::default();
    while !rest.is_empty() {
        let (head, after) = rest.split_at_checked(SECTION_HEAD).ok_or(Malformed)?;
        let length = usize::from(u16::from_be_bytes([head[1], head[2]]));
        let (content, after) = after.split_at_checked(length).ok_or(Malformed)?;
        rest = after;
        match head[0] {
            PART => place = Some(first::<(u64, u8, u8)>(content)?),
            FLAGS => flags = Some(first::<(u8, u64, u32)>(content)?),
            ACCOUNT => given = account_given(first::<(u64, u8)>(content)?)?,
            HEARD => each(content, |(key, boot, sequence, direct_age_ms): (PlainKey, [u8; 16], u64, u16)| {
                let run = Heard { boot: BootId(boot), sequence, direct_age_ms, learned: None };
                heard.push((u64::from_be_bytes(key), run));
                Ok(())
            })?,
            LEARNED => each(content, |number: Option<u64>| {
                learned.push(number);
                Ok(())
            })?,
            STANCES => each(content, |(key, bits, term): (PlainKey, u8, u64)| {
                account.stances.insert(u64::from_be_bytes(key), stance(bits, term));
                Ok(())
            })?,
            VERDICTS => each(content, |(key, number): (PlainKey, u8)| {
                account.verdicts.insert(u64::from_be_bytes(key), judgement(number)?);
                Ok(())
            })?,
            RECOVERING => each(content, |key: PlainKey| {
                account.recovering.insert(u64::from_be_bytes(key));
                Ok(())
            })?,
            CALM => each(content, |(key, step): (PlainKey, u32)| {
                account.calm.insert(u64::from_be_bytes(key), step);
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
    let share = Statement {
        standby: on(STANDBY),
        resigning: on(RESIGNING),
        goodbye: on(GOODBYE),
        listening: on(LISTENING),
        configuration,
        serial,
        heard: with_learned(heard, learned)?,
        account: Arc::new(account),
    };
    Ok(Part { sender, number, index, count, given, share })
}

fn account_given((number, how): (u64, u8)) -> Result<Given, Malformed> {
    match how {
        WHOLE => Ok(Given::Whole(number)),
        SAME => Ok(Given::Same(number)),
        _ => Err(Malformed),
    }
}

/// Puts `LEARNED`, which an early version does not say, to its entries of `HEARD`.
fn with_learned(
    mut heard: Vec<(u64, Heard)>,
    learned: Vec<Option<u64>>,
) -> Result<BTreeMap<u64, Vec<Heard>>, Malformed> {
    if !learned.is_empty() && learned.len() != heard.len() {
        return Err(Malformed);
    }
    heard.iter_mut().zip(learned).for_each(|((_, heard), learned)| heard.learned = learned);
    let mut by_key = BTreeMap::<u64, Vec<Heard>>::new();
    for (key, heard) in heard {
        by_key.entry(key).or_default().push(heard);
    }
    Ok(by_key)
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

    /// Adds entries, each with its section's tag, that belong into the same part.
    fn add(&mut self, entries: &[(u8, Vec<u8>)]) {
        let used: usize = self.sections.values().map(|content| SECTION_HEAD + content.len()).sum();
        let head = |tag| if self.sections.contains_key(tag) { 0 } else { SECTION_HEAD };
        let more: usize = entries.iter().map(|(tag, entry)| head(tag) + entry.len()).sum();
        if used + more > self.room {
            self.close();
        }
        for (tag, entry) in entries {
            self.sections.entry(*tag).or_default().extend_from_slice(entry);
        }
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
