use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use model::{
    BootId, Term,
    event::Refusal,
    health::{Hold, Judgement, Verdict},
};
use proptest::prelude::*;

use super::*;
use crate::statement::{Account, Claim, Heard, Stance, Statement};

const BOOT: BootId = BootId([7; 16]);

fn key(byte: u8) -> Key {
    Key::from_bytes(&[byte; 32]).unwrap()
}

fn stance() -> impl Strategy<Value = Stance> {
    let claim = prop_oneof![Just(Claim::None), Just(Claim::Taking), Just(Claim::Active), Just(Claim::Releasing)];
    (claim, any::<u64>(), any::<bool>(), any::<bool>(), any::<bool>(), any::<bool>()).prop_map(
        |(claim, term, able, steady, ready, unseen)| Stance { claim, term: Term(term), able, steady, ready, unseen },
    )
}

fn heard() -> impl Strategy<Value = Heard> {
    (any::<[u8; 16]>(), any::<u64>(), any::<u16>(), any::<Option<u64>>()).prop_map(
        |(boot, sequence, direct_age_ms, learned)| Heard { boot: BootId(boot), sequence, direct_age_ms, learned },
    )
}

fn statement() -> impl Strategy<Value = Statement> {
    let found = prop_oneof![Just(Verdict::Down), Just(Verdict::Unknown), Just(Verdict::Degraded), Just(Verdict::Up)];
    let hold = prop::option::of(prop::sample::select(Hold::ALL.as_slice()));
    let verdict = (found, hold).prop_map(|(found, hold)| Judgement { found, hold });
    let few_or_many = prop_oneof![0..8usize, 0..200usize];
    let maps = few_or_many.prop_flat_map(move |size| {
        (
            prop::collection::btree_map(any::<u64>(), prop::collection::vec(heard(), 1..3), 0..=size.min(12)),
            prop::collection::btree_map(any::<u64>(), stance(), 0..=size),
            prop::collection::btree_map(any::<u64>(), verdict.clone(), 0..=size),
            (
                prop::collection::btree_set(any::<u64>(), 0..=size.min(30)),
                prop::collection::btree_map(any::<u64>(), any::<u32>(), 0..=size.min(30)),
            ),
        )
    });
    (any::<[bool; 4]>(), any::<u64>(), any::<u32>(), maps).prop_map(
        |(
            [standby, resigning, goodbye, listening],
            configuration,
            serial,
            (heard, stances, verdicts, (recovering, calm)),
        )| {
            let account = Arc::new(Account { stances, verdicts, recovering, calm });
            Statement { standby, resigning, goodbye, listening, configuration, serial, heard, account }
        },
    )
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 256, ..ProptestConfig::default() })]

    /// Whatever is said is heard, in however many parts, in whatever order they come.
    #[test]
    fn a_statement_survives_the_wire(
        said in statement(),
        number in 1..u64::MAX,
        order in any::<u64>(),
    ) {
        let (mut sealer, mut opener) = (Sealer::new(&Keys::new(key(1)), BOOT), Opener::new(Keys::new(key(1))));
        let given = Given::Whole(number);
        let mut datagrams: Vec<_> = encode(42, number, &said, given).iter().map(|plain| sealer.seal(plain)).collect();
        for datagram in &datagrams {
            prop_assert!(datagram.len() < MAX_DATAGRAM, "one byte is left for the relay's mark");
        }
        let turn = usize::try_from(order % datagrams.len() as u64).unwrap();
        datagrams.rotate_left(turn);
        let mut assembly = Assembly::default();
        let mut heard = None;
        for (index, datagram) in datagrams.iter().enumerate() {
            prop_assert_eq!(heard.as_ref(), None, "complete before part {} of {}", index, datagrams.len());
            let opened = opener.open(datagram).unwrap();
            let part = decode(&opened.plain).unwrap();
            prop_assert_eq!((part.sender, part.number, part.given, opened.boot), (42, number, given, BOOT));
            heard = assembly.add(part);
        }
        prop_assert_eq!(heard, Some(said));
    }

    /// Authentic or not, no bytes make the decoder panic.
    #[test]
    fn decoding_never_panics(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        let _ = decode(&bytes);
    }

    /// Cutting a plain content short anywhere is noticed, or leaves whole sections.
    #[test]
    fn a_cut_content_is_malformed_or_whole(said in statement(), cut in any::<prop::sample::Index>()) {
        let plain = encode(42, 1, &said, Given::Whole(1)).swap_remove(0);
        let short = &plain[..cut.index(plain.len())];
        if let Ok(part) = decode(short) {
            prop_assert_eq!((part.sender, part.share.configuration), (42, said.configuration));
        }
    }
}

fn sample() -> Statement {
    Statement {
        standby: true,
        configuration: 0x0102,
        serial: 7,
        heard: BTreeMap::from([(9, vec![Heard { boot: BOOT, sequence: 300, direct_age_ms: 5, learned: Some(4) }])]),
        account: Arc::new(Account {
            stances: BTreeMap::from([(
                10,
                Stance { claim: Claim::Active, term: Term(3), able: true, ..Stance::default() },
            )]),
            verdicts: BTreeMap::from([(11, Judgement { found: Verdict::Up, hold: None })]),
            recovering: BTreeSet::new(),
            calm: BTreeMap::new(),
        }),
        ..Statement::default()
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[test]
fn the_format_is_what_other_versions_expect() {
    let plain = encode(0xabcd, 5, &sample(), Given::Whole(3)).swap_remove(0);
    assert_eq!(
        hex(&plain),
        concat!(
            "000000000000abcd",
            "010003",
            "050001",
            "020004",
            "01820207",
            "070002",
            "0300",
            "03001b",
            "000000000000000907070707070707070707070707070707ac0205",
            "04000a",
            "000000000000000a0603",
            "050009",
            "000000000000000b02",
            "080002",
            "0104",
        )
    );
    let sealed = Sealer::new(&Keys::new(key(1)), BOOT).seal(&plain);
    assert_eq!(hex(&sealed[..HEADER]), format!("5354444e01{:02x}{}0000000000000001", key(1).id(), "07".repeat(16)));
    // Key derivation and cipher: a server of another version must come to the same tag.
    assert_eq!(hex(&sealed[sealed.len() - TAG..]), "093df49878d0dc8da1cceb1b17ea58d7");
}

#[test]
fn what_recovers_is_said_in_a_section_that_early_versions_skip() {
    let recovers = |recovering: &[u64]| {
        let mut said = sample();
        Arc::make_mut(&mut said.account).recovering = recovering.iter().copied().collect();
        encode(0xabcd, 5, &said, Given::Whole(3)).swap_remove(0)
    };
    let (without, with) = (hex(&recovers(&[])), hex(&recovers(&[11])));
    assert_eq!(with.strip_prefix(&without), Some("090008000000000000000b"));
    assert_eq!(decode(&recovers(&[11])).unwrap().share.account.recovering, BTreeSet::from([11]));
}

#[test]
fn an_account_without_a_number_is_what_the_first_version_said() {
    let plain = encode(0xabcd, 5, &sample(), Given::Unnumbered).swap_remove(0);
    assert_eq!(
        hex(&plain),
        concat!(
            "000000000000abcd",
            "010003",
            "050001",
            "020004",
            "01820207",
            "03001b",
            "000000000000000907070707070707070707070707070707ac0205",
            "04000a",
            "000000000000000a0603",
            "050009",
            "000000000000000b02",
        )
    );
    let part = decode(&plain).unwrap();
    assert_eq!((part.given, part.share.heard[&9][0].learned), (Given::Unnumbered, None));
    let mut assembly = Assembly::default();
    assert_eq!(assembly.add(part).map(|said| said.account), Some(sample().account));
    assert_eq!(assembly.learned(), 0);
}

#[test]
fn an_account_that_was_given_before_is_named_by_its_number() {
    let plain = encode(0xabcd, 5, &sample(), Given::Same(3)).swap_remove(0);
    assert_eq!(
        hex(&plain),
        concat!(
            "000000000000abcd",
            "010003",
            "050001",
            "020004",
            "01820207",
            "070002",
            "0301",
            "03001b",
            "000000000000000907070707070707070707070707070707ac0205",
            "080002",
            "0104",
        )
    );
    let mut assembly = Assembly::default();
    let mut hear = |number, statement: &Statement, given| {
        let plain = encode(0xabcd, number, statement, given).swap_remove(0);
        let said = assembly.add(decode(&plain).unwrap());
        (said, assembly.learned())
    };
    let later = Statement { standby: false, serial: 8, ..sample() };
    let other = Statement { account: Arc::default(), ..sample() };
    assert_eq!(hear(5, &sample(), Given::Same(3)), (None, 0), "nobody has told it");
    assert_eq!(hear(4, &sample(), Given::Whole(3)), (Some(sample()), 3), "overtaken by one that told nothing");
    assert_eq!(hear(5, &later, Given::Same(3)), (Some(later.clone()), 3));
    assert_eq!(hear(7, &later, Given::Same(6)), (None, 3), "it was missed");
    assert_eq!(hear(8, &other, Given::Whole(6)), (Some(other.clone()), 6));
    assert_eq!(hear(9, &sample(), Given::Same(3)), (None, 6), "replaced long ago");
    let (said, learned) = hear(10, &other, Given::Unnumbered);
    assert_eq!((said.map(|said| said.account), learned), (Some(Arc::default()), 0));
    assert_eq!(hear(11, &sample(), Given::Same(6)), (None, 0));
}

#[test]
fn sections_and_fields_of_later_versions_are_skipped() {
    let mut plain = encode(42, 5, &sample(), Given::Whole(5)).swap_remove(0);
    let before = decode(&plain).unwrap();
    section(200, b"from the future", &mut plain);
    assert_eq!(decode(&plain).unwrap(), before);

    // A later version may add fields to the flags.
    let flags = plain.windows(3).position(|window| window == [2, 0, 4]).unwrap();
    plain[flags + 2] += 2;
    plain.splice(flags + 7..flags + 7, [0xff, 0xff]);
    assert_eq!(decode(&plain).unwrap(), before);
}

fn section(tag: u8, content: &[u8], out: &mut Vec<u8>) {
    out.push(tag);
    out.extend_from_slice(&u16::try_from(content.len()).unwrap().to_be_bytes());
    out.extend_from_slice(content);
}

#[test]
fn every_kind_of_foreign_datagram_has_its_reason() {
    let mut opener = Opener::new(Keys::new(key(1)));
    let plain = encode(42, 1, &sample(), Given::Whole(1)).swap_remove(0);
    let good = Sealer::new(&Keys::new(key(1)), BOOT).seal(&plain);
    let mut refusal = |bytes: &[u8]| opener.open(bytes).map(|_| ()).unwrap_err();

    assert_eq!(refusal(b""), Refusal::Malformed);
    assert_eq!(refusal(b"R"), Refusal::Malformed);
    assert_eq!(refusal(&good[..HEADER + SENDER + TAG - 1]), Refusal::Malformed);
    assert_eq!(refusal(&[b"X", &good[..]].concat()), Refusal::Malformed);
    assert_eq!(refusal(&[b"R", b"R", &good[..]].concat()), Refusal::Malformed);
    assert_eq!(refusal(&[&good[..], &[0; MAX_DATAGRAM]].concat()), Refusal::Malformed);
    assert_eq!(refusal(&good[..good.len() - 1]), Refusal::Forged);
    let other = (2..=255).map(key).find(|other| other.id() != key(1).id()).unwrap();
    assert_eq!(refusal(&Sealer::new(&Keys::new(other), BOOT).seal(&plain)), Refusal::UnknownKey);
    let mut later = good.clone();
    later[4] += 1;
    assert_eq!(refusal(&later), Refusal::Version);
    assert!(opener.open(&good).is_ok());
}

#[test]
fn every_bit_is_authenticated() {
    let mut opener = Opener::new(Keys::new(key(1)));
    let good = Sealer::new(&Keys::new(key(1)), BOOT).seal(&encode(42, 1, &sample(), Given::Whole(1))[0]);
    for bit in 0..good.len() * 8 {
        let mut bad = good.clone();
        bad[bit / 8] ^= 1 << (bit % 8);
        assert!(opener.open(&bad).is_err(), "bit {bit}");
    }
}

#[test]
fn both_keys_are_accepted_during_a_rotation() {
    let plain = &encode(42, 1, &sample(), Given::Whole(1))[0];
    let old = Sealer::new(&Keys::new(key(1)), BOOT).seal(plain);
    let new = Sealer::new(&Keys::new(key(2)), BOOT).seal(plain);
    let mut rotating = Opener::new(Keys::new(key(2)).also_accept(key(1)));
    assert!(rotating.open(&old).is_ok());
    assert!(rotating.open(&new).is_ok());
    assert!(Opener::new(Keys::new(key(2))).open(&old).is_err());
    assert!(Opener::new(Keys::new(key(1))).open(&new).is_err());
}

#[test]
fn keys_that_share_an_id_are_both_tried() {
    let twin = (0u16..=u16::MAX)
        .map(|number| {
            let mut bytes = [0xee; 32];
            bytes[..2].copy_from_slice(&number.to_be_bytes());
            Key::from_bytes(&bytes).unwrap()
        })
        .find(|twin| twin.id() == key(1).id())
        .unwrap();
    let plain = &encode(42, 1, &sample(), Given::Whole(1))[0];
    let mut opener = Opener::new(Keys::new(key(1)).also_accept(twin.clone()));
    for _ in 0..2 {
        assert!(opener.open(&Sealer::new(&Keys::new(twin.clone()), BOOT).seal(plain)).is_ok());
        assert!(opener.open(&Sealer::new(&Keys::new(key(1)), BOOT).seal(plain)).is_ok());
    }
}

#[test]
fn a_short_secret_is_refused() {
    assert_eq!(Key::from_bytes(&[1; 31]).unwrap_err(), KeyError::TooShort { length: 31 });
    assert_eq!(Key::from_bytes(b"").unwrap_err().to_string(), "a cluster key has at least 32 bytes, this one has 0");
}

#[test]
fn nothing_prints_a_secret() {
    let keys = Keys::new(key(0xa5)).also_accept(key(0x5a));
    let opener = Opener::new(keys.clone());
    let sealer = Sealer::new(&keys, BOOT);
    let printed = format!("{keys:?} {opener:?} {sealer:?} {:?}", key(0xa5));
    assert_eq!(
        printed,
        "Keys { current: Key { id: 145, .. }, accepted: Some(Key { id: 76, .. }) } \
         Opener { keys: Keys { current: Key { id: 145, .. }, accepted: Some(Key { id: 76, .. }) }, cached: 0, .. } \
         Sealer { boot: 07070707, sequence: 0, .. } Key { id: 145, .. }"
    );
}

#[test]
fn many_runs_do_not_fill_the_memory() {
    let mut opener = Opener::new(Keys::new(key(1)));
    let plain = &encode(42, 1, &sample(), Given::Whole(1))[0];
    for run in 0u32..1_000 {
        let mut boot = [0; 16];
        boot[..4].copy_from_slice(&run.to_be_bytes());
        assert!(opener.open(&Sealer::new(&Keys::new(key(1)), BootId(boot)).seal(plain)).is_ok());
    }
    let printed = format!("{opener:?}");
    assert!(printed.contains("cached: 96"), "{printed}");
}

#[test]
fn an_incomplete_statement_gives_way_to_newer_ones() {
    let part = |number, index, count| Part {
        sender: 42,
        number,
        index,
        count,
        given: Given::Unnumbered,
        share: Statement::default(),
    };
    let mut assembly = Assembly::default();
    for number in 1..=1_000 {
        assert_eq!(assembly.add(part(number, 0, 2)), None);
    }
    assert_eq!(assembly.add(part(1, 1, 2)), None, "long forgotten");
    assert_eq!(assembly.add(part(999, 1, 3)), None, "its count does not fit");
    assert!(assembly.add(part(999, 1, 2)).is_some(), "overtaken by one and yet there");
    assert!(assembly.add(part(1_000, 1, 2)).is_some());
    assert_eq!(assembly.add(part(1_000, 1, 2)), None, "old by now");
    assert_eq!(assembly.add(part(998, 0, 1)), None, "older than the newest");
}
