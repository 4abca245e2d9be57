//! Entries become records: owners, TTLs, classes, types, and the directives `$ORIGIN`, `$TTL` and `$INCLUDE`.
//!
//! Invariants: every record handed on is in the zone. A mistake costs its own entry; whoever looks for what is missing
//! learns from [`Template::failed`] and [`Sources::incomplete`] what may have been lost with it.

use std::collections::{BTreeMap, BTreeSet};

use model::{config::ClusterConfig, nearest};

use super::{
    Refers,
    again::{Layout, Mark},
    follow::{Follower, following},
    rdata,
    records::Records,
    shape::{Field, Kind, SHAPES, Shape, kind, type_name},
    source::{Complaint, Place, Sources, Text},
    text,
    token::{Entry, Token, Tokenizer},
};
use crate::name;

/// A zone of more records is refused.
pub(super) const MOST_RECORDS: usize = 10_000_000;
/// Files within files.
const DEEPEST_INCLUDE: usize = 16;
/// Files of one zone.
const MOST_FILES: usize = 1_000;
/// Bytes of one file.
pub(super) const LARGEST_FILE: usize = 1024 * 1024 * 1024;

/// A mistake and its place.
pub(super) type Wrong = (Place, Complaint);

/// What a template says, unchecked but for each record's own form.
#[derive(Default)]
pub(super) struct Template {
    /// The records, in the order of the file.
    pub(super) records: Records,
    /// The records that follow a pool.
    pub(super) followers: Vec<Follower>,
    /// Names made for members of pools.
    pub(super) members: BTreeSet<Vec<u8>>,
    /// Owners of records that had a mistake.
    pub(super) failed: BTreeSet<Vec<u8>>,
}

/// The owner that a line without one has.
enum LastOwner {
    /// There was none yet.
    None,
    /// It had a mistake, which has been said.
    Lost,
    /// This one, in lower case.
    Name(Vec<u8>),
}

/// Reads a template and what it includes.
pub(super) struct Reader<'a, 't> {
    /// The zone's apex, in lower-case wire form as all names here are.
    pub(super) apex: &'a [u8],
    /// Pools, servers and virtual hosts.
    pub(super) config: &'a ClusterConfig,
    /// `${variables}`, the built-in ones too.
    pub(super) variables: &'a BTreeMap<String, String>,
    /// Gets the text of an included file.
    pub(super) include: &'a mut dyn FnMut(&str) -> Result<String, String>,
    /// Texts and mistakes.
    pub(super) sources: &'a mut Sources<'t>,
    /// What has been read.
    pub(super) out: Template,
    /// What relative names are relative to.
    pub(super) origin: Vec<u8>,
    /// A zone of more records is refused.
    pub(super) most_records: usize,
    /// A larger file is refused.
    pub(super) largest_file: usize,
    /// What of the configuration was looked at.
    pub(super) refers: Refers,
    /// The first `NAMESERVERS`.
    pub(super) nameservers: Option<Place>,
    /// How the first text is cut, for who reads it again.
    pub(super) layout: Layout,
    owner: LastOwner,
    pub(super) default_ttl: Option<u32>,
    last_ttl: Option<u32>,
    open_files: Vec<String>,
    stopped: bool,
    /// Data being written.
    data: Vec<u8>,
}

/// A record's words before its data.
struct Head<'e, 't> {
    ttl: Option<u32>,
    rtype: &'e Token<'t>,
    words: &'e [Token<'t>],
}

impl<'a, 't> Reader<'a, 't> {
    /// A reader at the start of the template.
    pub(super) fn new(
        apex: &'a [u8],
        config: &'a ClusterConfig,
        variables: &'a BTreeMap<String, String>,
        include: &'a mut dyn FnMut(&str) -> Result<String, String>,
        sources: &'a mut Sources<'t>,
    ) -> Self {
        Self {
            apex,
            config,
            variables,
            include,
            sources,
            out: Template::default(),
            origin: apex.to_vec(),
            most_records: MOST_RECORDS,
            largest_file: LARGEST_FILE,
            refers: Refers::default(),
            nameservers: None,
            layout: Layout::default(),
            owner: LastOwner::None,
            default_ttl: None,
            last_ttl: None,
            open_files: Vec::new(),
            stopped: false,
            data: Vec::new(),
        }
    }

    /// Reads one file to its end.
    pub(super) fn file(&mut self, name: &str, text: Text<'t>) {
        let source = self.sources.add(name, text.clone());
        let content = text.as_str();
        if content.len() > self.largest_file {
            let message = format!("the file has {} bytes; {} are the most", content.len(), self.largest_file);
            return self.fail((Place { source, ..Place::default() }, Complaint::new(message)));
        }
        self.open_files.push(name.to_owned());
        let mut tokenizer = Tokenizer::new(content, source, self.variables);
        let mut entry = Entry::default();
        while !self.stopped && tokenizer.next(&mut entry, self.sources) {
            self.entry(&entry);
        }
        if self.open_files.len() == 1 {
            self.layout.folded = tokenizer.folded;
        }
        self.open_files.pop();
    }

    /// Records a mistake that hides we don't know what.
    pub(super) fn fail(&mut self, (place, complaint): Wrong) {
        self.sources.incomplete = true;
        self.sources.error(place, complaint);
    }

    fn entry(&mut self, entry: &Entry<'_>) {
        if entry.broken {
            return self.broken(entry);
        }
        let first = &entry.tokens[0];
        if is_directive(first) {
            if let Err(wrong) = self.directive(first, &entry.tokens[1..]) {
                self.fail(wrong);
            }
            if self.open_files.len() == 1 {
                let (at, origin, ttl) = (first.place.start as usize, self.origin.clone(), self.default_ttl);
                self.layout.marks.push(Mark { at, origin, ttl });
            }
        } else if let Err((place, complaint)) = self.record(entry.indented, &entry.tokens) {
            self.sources.error(place, complaint);
        }
    }

    /// Learns from an entry that cannot be read whose record is lost.
    fn broken(&mut self, entry: &Entry<'_>) {
        let first = entry.tokens.first();
        let owner = match (&self.owner, first) {
            (_, Some(first)) if !entry.indented && !is_directive(first) => self.owner_name(first, Vec::new()).ok(),
            (LastOwner::Name(name), _) if entry.indented => Some(name.clone()),
            _ => None,
        };
        let Some(owner) = owner else {
            self.sources.incomplete = true;
            self.owner = LastOwner::Lost;
            return;
        };
        self.out.failed.insert(owner.clone());
        self.owner = LastOwner::Name(owner);
    }

    fn directive(&mut self, word: &Token<'_>, arguments: &[Token<'_>]) -> Result<(), Wrong> {
        const DIRECTIVES: [&str; 4] = ["$ORIGIN", "$TTL", "$INCLUDE", "$GENERATE"];
        match DIRECTIVES.iter().position(|known| word.is(known)) {
            Some(0) => {
                let [name] = arguments else { return Err((word.place, Complaint::new("$ORIGIN needs one name"))) };
                self.origin = self.name(name)?;
                Ok(())
            }
            Some(1) => {
                let [ttl] = arguments else { return Err((word.place, Complaint::new("$TTL needs one time"))) };
                self.default_ttl = Some(text::seconds(&ttl.text).map_err(|complaint| (ttl.place, complaint))?);
                Ok(())
            }
            Some(2) => self.include(word, arguments),
            Some(_) => self.generate(word, arguments),
            None => {
                let complaint = Complaint::new(format!("`{}` is no directive", word.text));
                let known = nearest(&word.text, DIRECTIVES).unwrap_or("$ORIGIN, $TTL, $INCLUDE or $GENERATE");
                Err((word.place, complaint.help(format!("did you mean {known}?"))))
            }
        }
    }

    /// `$INCLUDE file [origin]`: origin and owner are afterwards what they were before; a `$TTL` in it stays.
    fn include(&mut self, word: &Token<'_>, arguments: &[Token<'_>]) -> Result<(), Wrong> {
        let (file, origin) = match arguments {
            [file] => (file, self.origin.clone()),
            [file, origin] => (file, self.name(origin)?),
            _ => return Err((word.place, Complaint::new("$INCLUDE needs a file, and may have an origin after it"))),
        };
        let here = |message: String| (file.place, Complaint::new(message));
        let name = text::unescape(&file.text).map_err(|complaint| (file.place, complaint))?;
        let name = String::from_utf8(name).map_err(|_| here("the file's name is not UTF-8".to_owned()))?;
        if self.open_files.contains(&name) {
            return Err(here(format!("`{name}` includes itself: {} -> {name}", self.open_files.join(" -> "))));
        }
        if self.open_files.len() > DEEPEST_INCLUDE {
            return Err(here(format!("more than {DEEPEST_INCLUDE} files within files")));
        }
        if self.sources.count() >= MOST_FILES {
            self.stopped = true;
            return Err(here(format!("more than {MOST_FILES} files in one zone")));
        }
        self.layout.includes = true;
        let content = (self.include)(&name).map_err(|reason| here(format!("cannot read `{name}`: {reason}")))?;
        let before = (std::mem::replace(&mut self.origin, origin), std::mem::replace(&mut self.owner, LastOwner::None));
        // The file may go on with our owner, as RFC 1035 section 5.1 leaves open and BIND does.
        if let LastOwner::Name(owner) = &before.1 {
            self.owner = LastOwner::Name(owner.clone());
        }
        self.file(&name, Text::Kept(content.into()));
        (self.origin, self.owner) = before;
        Ok(())
    }

    /// A name that is relative to the origin of the moment.
    pub(super) fn name(&self, token: &Token<'_>) -> Result<Vec<u8>, Wrong> {
        let mut wire = Vec::new();
        text::name(token, &self.origin, &mut wire).map_err(|complaint| (token.place, complaint))?;
        Ok(wire)
    }

    /// Reads one record's words. Mistakes before its owner is known are recorded here as hiding anything.
    pub(super) fn record(&mut self, indented: bool, tokens: &[Token<'_>]) -> Result<(), Wrong> {
        let (first, words) = tokens.split_first().expect("an entry has at least one token");
        let before = std::mem::replace(&mut self.owner, LastOwner::Lost);
        let owner = match before {
            LastOwner::Name(name) if indented => name,
            LastOwner::Lost if indented => return Ok(()),
            LastOwner::None if indented => {
                self.owner = LastOwner::None;
                let complaint = Complaint::new("this line begins with a blank, but no record before it has an owner");
                self.fail((first.place, complaint));
                return Ok(());
            }
            LastOwner::Name(_) | LastOwner::Lost | LastOwner::None => {
                let room = if let LastOwner::Name(name) = before { name } else { Vec::new() };
                match self.owner_name(first, room) {
                    Ok(name) => name,
                    Err(wrong) => {
                        self.fail(wrong);
                        return Ok(());
                    }
                }
            }
        };
        let words = if indented { tokens } else { words };
        let result = self.owned(&owner, first, indented, words);
        if result.is_err() {
            self.out.failed.insert(owner.clone());
        }
        self.owner = LastOwner::Name(owner);
        result
    }

    /// The owner that a line begins with, in lower case; `room` is memory to use.
    fn owner_name(&self, token: &Token<'_>, mut room: Vec<u8>) -> Result<Vec<u8>, Wrong> {
        room.clear();
        text::name(token, &self.origin, &mut room).map_err(|complaint| (token.place, complaint))?;
        let written = room.len();
        room.make_ascii_lowercase();
        if name::is_within(&room[..written], self.apex) {
            return Ok(room);
        }
        let message = format!("{} is out of the zone {}", text::show(&self.name(token)?), text::show(self.apex));
        Err((token.place, Complaint::new(message)))
    }

    fn owned(&mut self, owner: &[u8], first: &Token<'_>, indented: bool, words: &[Token<'_>]) -> Result<(), Wrong> {
        let head = head(first, words)?;
        if head.rtype.is("POOL") {
            return self.pool(owner, head.ttl, head.rtype, head.words);
        }
        if let Some(rtype) = following(head.rtype) {
            let ttl = (head.ttl, self.ttl(head.ttl, head.rtype)?);
            return self.follow(owner, rtype, ttl, head.rtype, head.words);
        }
        if head.rtype.is("NAMESERVERS") {
            let ttl = self.ttl(head.ttl, head.rtype)?;
            return self.nameservers(owner, ttl, head.rtype, head.words);
        }
        let mut data = std::mem::take(&mut self.data);
        data.clear();
        let result = self.plain(owner, first, indented, &head, &mut data);
        self.data = data;
        result
    }

    /// A record as every master file has it.
    fn plain(
        &mut self,
        owner: &[u8],
        first: &Token<'_>,
        indented: bool,
        head: &Head<'_, '_>,
        data: &mut Vec<u8>,
    ) -> Result<(), Wrong> {
        let place = head.words.last().map_or(head.rtype.place, |last| head.rtype.place.to(last.place));
        let (code, target) = match kind(&head.rtype.text) {
            Kind::Known(shape) => {
                rdata::parse(shape, head.rtype.place, head.words, &self.origin, data)?;
                (shape.code, target_place(shape, head.words))
            }
            Kind::Opaque(code) => {
                rdata::parse_opaque(code, head.rtype.place, head.words, data)?;
                (code, None)
            }
            Kind::Never(code) => {
                let message = format!("a zone template holds no {} records", type_name(code));
                return Err((head.rtype.place, Complaint::new(message)));
            }
            Kind::Unknown => return Err((head.rtype.place, unknown_type(&head.rtype.text, first, indented))),
        };
        let ttl = self.ttl(head.ttl, head.rtype)?;
        self.push(owner, code, ttl, data, (place, target.unwrap_or(place)))
    }

    /// The record's own TTL, else `$TTL` (RFC 2308 section 4), else that of the record before (RFC 1035 section 5.1).
    fn ttl(&mut self, own: Option<u32>, rtype: &Token<'_>) -> Result<u32, Wrong> {
        if own.is_some() {
            self.last_ttl = own;
        }
        own.or(self.default_ttl).or(self.last_ttl).ok_or_else(|| {
            let complaint = Complaint::new("this record has no TTL, and there is no $TTL before it");
            (rtype.place, complaint.help("begin the file with a default, such as `$TTL 300`"))
        })
    }

    /// Keeps a record, up to the limit. `places` are its own and its target's.
    pub(super) fn push(
        &mut self,
        owner: &[u8],
        code: u16,
        ttl: u32,
        data: &[u8],
        places: (Place, Place),
    ) -> Result<(), Wrong> {
        self.check_room(places.0)?;
        self.out.records.push(owner, code, ttl, data, places.0, places.1);
        Ok(())
    }

    /// Whether one more record may follow.
    pub(super) fn check_room(&mut self, place: Place) -> Result<(), Wrong> {
        if self.out.records.len() < self.most_records {
            return Ok(());
        }
        self.stopped = true;
        self.sources.incomplete = true;
        Err((place, Complaint::new(format!("more than {} records", self.most_records))))
    }

    /// Reading has been given up.
    pub(super) fn stopped(&self) -> bool {
        self.stopped || self.sources.full()
    }
}

fn is_directive(first: &Token<'_>) -> bool {
    !first.quoted && first.text.strip_prefix('$').is_some_and(|rest| rest.starts_with(char::is_alphabetic))
}

/// `[TTL] [class] type`, TTL and class in any order.
fn head<'e, 't>(first: &Token<'_>, words: &'e [Token<'t>]) -> Result<Head<'e, 't>, Wrong> {
    let (mut ttl, mut class) = (None, false);
    for (index, word) in words.iter().enumerate() {
        if !word.quoted && ttl.is_none() && word.text.starts_with(|c: char| c.is_ascii_digit()) {
            ttl = Some(text::seconds(&word.text).map_err(|complaint| (word.place, complaint))?);
        } else if !class && is_class(word)? {
            class = true;
        } else {
            return Ok(Head { ttl, rtype: word, words: &words[index + 1..] });
        }
    }
    let last = words.last().unwrap_or(first);
    Err((last.place, Complaint::new(format!("nothing follows `{}`: a record type and data are missing", last.text))))
}

/// Whether the word is a class; any but IN is a mistake.
fn is_class(word: &Token<'_>) -> Result<bool, Wrong> {
    let others = ["CH", "HS", "CS", "NONE", "CHAOS", "HESIOD"];
    let numbered = word.text.len() > 5 && word.text.get(..5).is_some_and(|prefix| prefix.eq_ignore_ascii_case("CLASS"));
    if word.is("IN") || word.is("CLASS1") {
        Ok(true)
    } else if others.iter().any(|other| word.is(other)) || (numbered && !word.quoted) {
        Err((word.place, Complaint::new(format!("class {}: only IN is served", word.text))))
    } else {
        Ok(false)
    }
}

fn unknown_type(word: &str, first: &Token<'_>, indented: bool) -> Complaint {
    let complaint = Complaint::new(format!("`{word}` is no record type"));
    if !indented && matches!(kind(&first.text), Kind::Known(_)) {
        let help = format!("`{}` begins the line, so it is taken for the owner: put a blank before it", first.text);
        return complaint.help(help);
    }
    let known =
        SHAPES.iter().map(|shape| shape.mnemonic).chain(["POOL", "NAMESERVERS", "SRV-POOL", "HTTPS-POOL", "SVCB-POOL"]);
    match nearest(word, known) {
        Some(known) => complaint.help(format!("did you mean {known}?")),
        None => complaint.help("a type without a name here is written as `TYPEnnn \\# length hex` (RFC 3597)"),
    }
}

/// Where the name stands that a record points to: the first one among its data.
fn target_place(shape: &Shape, words: &[Token<'_>]) -> Option<Place> {
    let index = shape.fields.iter().position(|field| matches!(field, Field::Name(_)))?;
    words.get(index).filter(|_| words[0].text != "\\#").map(|word| word.place)
}
