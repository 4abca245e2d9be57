//! Entries become records: owners, TTLs, classes, types, and the directives `$ORIGIN`, `$TTL` and `$INCLUDE`.
//!
//! Invariants: every record handed on is in the zone. A mistake costs its own entry; whoever looks for what is missing
//! learns from [`Template::failed`] and [`Sources::incomplete`] what may have been lost with it.

use std::collections::{BTreeMap, BTreeSet};

use hickory_proto::rr::{LowerName, Name, RData};
use model::{
    PoolName,
    config::{ClusterConfig, Ttl},
    nearest,
};

use super::{
    follow::{Follower, following},
    rdata,
    shape::{Field, Kind, SHAPES, Shape, kind, type_name},
    source::{Complaint, Place, Sources},
    text,
    token::{Entry, Token, Tokenizer},
};

/// A zone of more records is refused.
const MOST_RECORDS: usize = 1_000_000;
/// Files within files.
const DEEPEST_INCLUDE: usize = 16;
/// Files of one zone.
const MOST_FILES: usize = 1_000;
/// Bytes of one file.
const LARGEST_FILE: usize = 64 * 1024 * 1024;

/// A mistake and its place.
pub(super) type Wrong = (Place, Complaint);

/// One record, and where its parts were written.
#[derive(Debug)]
pub(super) struct Record {
    /// Its owner.
    pub(super) owner: LowerName,
    /// Its TTL in seconds.
    pub(super) ttl: u32,
    /// Its data.
    pub(super) data: RData,
    /// Where the type and the data stand.
    pub(super) place: Place,
    /// Where the name stands that the data points to.
    pub(super) target: Place,
}

/// One `POOL` pseudo-record.
#[derive(Debug)]
pub(super) struct PoolRecord {
    /// Its owner.
    pub(super) owner: LowerName,
    /// Which pool.
    pub(super) pool: PoolName,
    /// Its TTL in seconds.
    pub(super) ttl: Ttl,
    /// Where it stands.
    pub(super) place: Place,
}

/// What a template says, unchecked but for each record's own form.
#[derive(Default)]
pub(super) struct Template {
    /// The records, in the order of the file.
    pub(super) records: Vec<Record>,
    /// The `POOL` records.
    pub(super) pools: Vec<PoolRecord>,
    /// The records that follow a pool.
    pub(super) followers: Vec<Follower>,
    /// Names made for members of pools.
    pub(super) members: BTreeSet<LowerName>,
    /// Owners of records that had a mistake.
    pub(super) failed: BTreeSet<LowerName>,
}

/// The owner that a line without one has.
enum LastOwner {
    /// There was none yet.
    None,
    /// It had a mistake, which has been said.
    Lost,
    /// This one.
    Name(Name),
}

/// Reads a template and what it includes.
pub(super) struct Reader<'a> {
    /// The zone's apex.
    pub(super) apex: &'a Name,
    /// Pools, servers and virtual hosts.
    pub(super) config: &'a ClusterConfig,
    /// `${variables}`, the built-in ones too.
    pub(super) variables: &'a BTreeMap<String, String>,
    /// Gets the text of an included file.
    pub(super) include: &'a mut dyn FnMut(&str) -> Result<String, String>,
    /// Texts and mistakes.
    pub(super) sources: &'a mut Sources,
    /// What has been read.
    pub(super) out: Template,
    /// What relative names are relative to.
    pub(super) origin: Name,
    /// A zone of more records is refused.
    pub(super) most_records: usize,
    /// The first `NAMESERVERS`.
    pub(super) nameservers: Option<Place>,
    owner: LastOwner,
    default_ttl: Option<u32>,
    last_ttl: Option<u32>,
    open_files: Vec<String>,
    stopped: bool,
}

/// A record's words before its data.
struct Head<'t> {
    ttl: Option<u32>,
    rtype: &'t Token,
    words: &'t [Token],
}

impl<'a> Reader<'a> {
    /// A reader at the start of the template.
    pub(super) fn new(
        apex: &'a Name,
        config: &'a ClusterConfig,
        variables: &'a BTreeMap<String, String>,
        include: &'a mut dyn FnMut(&str) -> Result<String, String>,
        sources: &'a mut Sources,
    ) -> Self {
        Self {
            apex,
            config,
            variables,
            include,
            sources,
            out: Template::default(),
            origin: apex.clone(),
            most_records: MOST_RECORDS,
            nameservers: None,
            owner: LastOwner::None,
            default_ttl: None,
            last_ttl: None,
            open_files: Vec::new(),
            stopped: false,
        }
    }

    /// Reads one file to its end.
    pub(super) fn file(&mut self, name: &str, content: &str) {
        let source = self.sources.add(name, content);
        if content.len() > LARGEST_FILE {
            let message = format!("the file has {} bytes; {LARGEST_FILE} are the most", content.len());
            return self.fail((Place { source, ..Place::default() }, Complaint::new(message)));
        }
        self.open_files.push(name.to_owned());
        let mut tokenizer = Tokenizer::new(content, source, self.variables);
        while !self.stopped
            && let Some(entry) = tokenizer.next(self.sources)
        {
            self.entry(&entry);
        }
        self.open_files.pop();
    }

    /// Records a mistake that hides we don't know what.
    pub(super) fn fail(&mut self, (place, complaint): Wrong) {
        self.sources.incomplete = true;
        self.sources.error(place, complaint);
    }

    fn entry(&mut self, entry: &Entry) {
        if entry.broken {
            return self.broken(entry);
        }
        let first = &entry.tokens[0];
        if is_directive(first) {
            if let Err(wrong) = self.directive(first, &entry.tokens[1..]) {
                self.fail(wrong);
            }
        } else if let Err((place, complaint)) = self.record(entry.indented, &entry.tokens) {
            self.sources.error(place, complaint);
        }
    }

    /// Learns from an entry that cannot be read whose record is lost.
    fn broken(&mut self, entry: &Entry) {
        let first = entry.tokens.first();
        let owner = match (&self.owner, first) {
            (_, Some(first)) if !entry.indented && !is_directive(first) => self.owner_name(first).ok(),
            (LastOwner::Name(name), _) if entry.indented => Some(name.clone()),
            _ => None,
        };
        let Some(owner) = owner else {
            self.sources.incomplete = true;
            self.owner = LastOwner::Lost;
            return;
        };
        self.out.failed.insert(LowerName::new(&owner));
        self.owner = LastOwner::Name(owner);
    }

    fn directive(&mut self, word: &Token, arguments: &[Token]) -> Result<(), Wrong> {
        const DIRECTIVES: [&str; 4] = ["$ORIGIN", "$TTL", "$INCLUDE", "$GENERATE"];
        match DIRECTIVES.iter().position(|known| word.is(known)) {
            Some(0) => {
                let [name] = arguments else { return Err((word.place, Complaint::new("$ORIGIN needs one name"))) };
                self.origin = text::name(name, &self.origin).map_err(|complaint| (name.place, complaint))?;
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
    fn include(&mut self, word: &Token, arguments: &[Token]) -> Result<(), Wrong> {
        let (file, origin) = match arguments {
            [file] => (file, self.origin.clone()),
            [file, origin] => (file, text::name(origin, &self.origin).map_err(|complaint| (origin.place, complaint))?),
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
        let content = (self.include)(&name).map_err(|reason| here(format!("cannot read `{name}`: {reason}")))?;
        let before = (std::mem::replace(&mut self.origin, origin), std::mem::replace(&mut self.owner, LastOwner::None));
        // The file may go on with our owner, as RFC 1035 section 5.1 leaves open and BIND does.
        if let LastOwner::Name(owner) = &before.1 {
            self.owner = LastOwner::Name(owner.clone());
        }
        self.file(&name, &content);
        (self.origin, self.owner) = before;
        Ok(())
    }

    /// Reads one record's words. Mistakes before its owner is known are recorded here as hiding anything.
    pub(super) fn record(&mut self, indented: bool, tokens: &[Token]) -> Result<(), Wrong> {
        let (first, words) = tokens.split_first().expect("an entry has at least one token");
        if !indented {
            self.owner = LastOwner::Lost;
            match self.owner_name(first) {
                Ok(name) => self.owner = LastOwner::Name(name),
                Err(wrong) => {
                    self.fail(wrong);
                    return Ok(());
                }
            }
        }
        let owner = match &self.owner {
            LastOwner::Name(name) => LowerName::new(name),
            LastOwner::Lost => return Ok(()),
            LastOwner::None => {
                let complaint = Complaint::new("this line begins with a blank, but no record before it has an owner");
                self.fail((first.place, complaint));
                return Ok(());
            }
        };
        let words = if indented { tokens } else { words };
        let result = self.owned(&owner, first, indented, words);
        if result.is_err() {
            self.out.failed.insert(owner);
        }
        result
    }

    fn owner_name(&self, token: &Token) -> Result<Name, Wrong> {
        let name = text::name(token, &self.origin).map_err(|complaint| (token.place, complaint))?;
        if self.apex.zone_of(&name) {
            return Ok(name);
        }
        let message = format!("{} is out of the zone {}", name.to_ascii(), self.apex.to_ascii());
        Err((token.place, Complaint::new(message)))
    }

    fn owned(&mut self, owner: &LowerName, first: &Token, indented: bool, words: &[Token]) -> Result<(), Wrong> {
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
        let place = head.words.last().map_or(head.rtype.place, |last| head.rtype.place.to(last.place));
        let (data, target) = match kind(&head.rtype.text) {
            Kind::Known(shape) => {
                (rdata::parse(shape, head.rtype.place, head.words, &self.origin)?, target_place(shape, head.words))
            }
            Kind::Opaque(code) => (rdata::parse_opaque(code, head.rtype.place, head.words)?, None),
            Kind::Never(code) => {
                let message = format!("a zone template holds no {} records", type_name(code));
                return Err((head.rtype.place, Complaint::new(message)));
            }
            Kind::Unknown => return Err((head.rtype.place, unknown_type(&head.rtype.text, first, indented))),
        };
        let ttl = self.ttl(head.ttl, head.rtype)?;
        self.push(Record { owner: owner.clone(), ttl, data, place, target: target.unwrap_or(place) })
    }

    /// The record's own TTL, else `$TTL` (RFC 2308 section 4), else that of the record before (RFC 1035 section 5.1).
    fn ttl(&mut self, own: Option<u32>, rtype: &Token) -> Result<u32, Wrong> {
        if own.is_some() {
            self.last_ttl = own;
        }
        own.or(self.default_ttl).or(self.last_ttl).ok_or_else(|| {
            let complaint = Complaint::new("this record has no TTL, and there is no $TTL before it");
            (rtype.place, complaint.help("begin the file with a default, such as `$TTL 300`"))
        })
    }

    /// Keeps a record, up to the limit.
    pub(super) fn push(&mut self, record: Record) -> Result<(), Wrong> {
        if self.out.records.len() >= self.most_records {
            self.stopped = true;
            self.sources.incomplete = true;
            return Err((record.place, Complaint::new(format!("more than {} records", self.most_records))));
        }
        self.out.records.push(record);
        Ok(())
    }

    /// Reading has been given up.
    pub(super) fn stopped(&self) -> bool {
        self.stopped || self.sources.full()
    }
}

fn is_directive(first: &Token) -> bool {
    !first.quoted && first.text.strip_prefix('$').is_some_and(|rest| rest.starts_with(char::is_alphabetic))
}

/// `[TTL] [class] type`, TTL and class in any order.
fn head<'t>(first: &Token, words: &'t [Token]) -> Result<Head<'t>, Wrong> {
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
fn is_class(word: &Token) -> Result<bool, Wrong> {
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

fn unknown_type(word: &str, first: &Token, indented: bool) -> Complaint {
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
fn target_place(shape: &Shape, words: &[Token]) -> Option<Place> {
    let index = shape.fields.iter().position(|field| matches!(field, Field::Name(_)))?;
    words.get(index).filter(|_| words[0].text != "\\#").map(|word| word.place)
}
