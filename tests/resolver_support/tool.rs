//! `dig` and `kdig`: many questions in one run, and what they print read back.

use std::{collections::BTreeSet, net::IpAddr, path::Path};

use host::lab::Host;

use super::expect::{Answer, Record, Section};

/// How a question is put.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Manner {
    /// Recursion desired, EDNS, as stub resolvers do.
    Usual,
    /// Recursion not desired, as resolvers do.
    NoRecursion,
    /// EDNS with room for 512 bytes.
    Small,
    /// Without EDNS.
    NoEdns,
    /// Letters in odd case (draft-vixie-dnsext-dns0x20).
    OddCase,
}

impl Manner {
    pub(crate) const ALL: [Self; 5] = [Self::Usual, Self::NoRecursion, Self::Small, Self::NoEdns, Self::OddCase];

    fn options(self) -> &'static [&'static str] {
        match self {
            Self::Usual | Self::OddCase => &["+edns=0", "+bufsize=1232"],
            Self::NoRecursion => &["+edns=0", "+bufsize=1232", "+norec"],
            Self::Small => &["+edns=0", "+bufsize=512"],
            Self::NoEdns => &["+noedns"],
        }
    }
}

/// A question and the address it goes to.
#[derive(Clone, Debug)]
pub(crate) struct Question {
    /// The name as it is written on the wire, with its final dot.
    pub name: String,
    pub kind: String,
    pub server: IpAddr,
    pub tcp: bool,
    pub manner: Manner,
}

impl Question {
    pub(crate) fn new(name: &str, kind: &str, server: IpAddr, tcp: bool, manner: Manner) -> Self {
        let flip = |(place, letter): (usize, char)| match place % 2 {
            0 => letter.to_ascii_uppercase(),
            _ => letter,
        };
        let name = match manner {
            Manner::OddCase => name.chars().enumerate().map(flip).collect(),
            Manner::Usual | Manner::NoRecursion | Manner::Small | Manner::NoEdns => name.to_owned(),
        };
        Self { name, kind: kind.to_owned(), server, tcp, manner }
    }

    fn arguments(&self) -> Vec<String> {
        let mut words = vec!["-q".to_owned(), self.name.clone(), "-t".to_owned(), self.kind.clone()];
        words.push(format!("@{}", self.server));
        words.push(if self.tcp { "+tcp" } else { "+notcp" }.to_owned());
        words.extend(self.manner.options().iter().map(|option| (*option).to_owned()));
        words
    }
}

/// A reply as the program printed it.
#[derive(Clone, Debug, Default)]
pub(crate) struct Reply {
    /// The name of its question section.
    pub name: String,
    /// `aa` is in [`Answer::authoritative`] too.
    pub flags: BTreeSet<String>,
    /// It has an OPT record.
    pub edns: bool,
    /// Where it came from, and whether over TCP.
    pub from: Option<(IpAddr, bool)>,
    pub answer: Answer,
    /// All that was printed.
    pub text: String,
}

/// Has `program` put all the questions from `host`, in one run. There are as many replies, in the same order.
pub(crate) fn ask(program: &Path, host: &Host, questions: &[Question]) -> Vec<Reply> {
    let mut command = host.command(program);
    command.args(questions.iter().flat_map(Question::arguments));
    // Neither reads the machine's own settings (~/.digrc), nor converts names.
    command.env("HOME", "/nonexistent").env("IDN_DISABLE", "1");
    let output = command.output().expect("the program runs");
    let text = String::from_utf8_lossy(&output.stdout);
    let complaints = String::from_utf8_lossy(&output.stderr);
    assert!(complaints.is_empty(), "{}: {complaints}", program.display());
    let replies = read(&text);
    assert_eq!(replies.len(), questions.len(), "each question has one reply:\n{}", complaint(&text));
    assert!(output.status.success(), "{}: {}\n{}", program.display(), output.status, complaint(&text));
    replies
}

/// The lines in which dig and kdig speak of trouble: no reply, a wrong one, a malformed one, a truncated one.
fn complaint(text: &str) -> String {
    let trouble = ["warning", "error", "mismatch", "unexpected", "timed out", "truncated", "no servers", "bad packet"];
    let is_trouble = |line: &&str| {
        let line = line.to_ascii_lowercase();
        line.starts_with(";;")
            && trouble.iter().any(|word| line.contains(word))
            && !line.contains("recursion requested but not available")
            // The header's and EDNS's own words.
            && !line.contains("->>header<<-")
            && !line.contains("ext-rcode")
    };
    text.lines().filter(is_trouble).collect::<Vec<_>>().join("\n")
}

/// Reads all replies of a run.
fn read(text: &str) -> Vec<Reply> {
    let heads = text.match_indices(";; ->>HEADER<<-").map(|(start, _)| start);
    let ends = heads.clone().skip(1).chain([text.len()]);
    heads.zip(ends).map(|(start, end)| read_one(&text[start..end])).collect()
}

fn read_one(text: &str) -> Reply {
    let trouble = complaint(text);
    assert!(trouble.is_empty(), "{trouble}\n{text}");
    let mut reply = Reply { text: text.to_owned(), ..Reply::default() };
    let mut section = "";
    for line in text.lines() {
        if let Some(rest) = line.strip_prefix(";; ") {
            if let Some(name) = rest.strip_suffix(" SECTION:") {
                section = name;
                continue;
            }
            read_comment(&mut reply, rest);
        }
        reply.edns |= line.ends_with(" PSEUDOSECTION:");
        // dig comments the question with one semicolon, kdig with two.
        if section == "QUESTION" && line.starts_with(';') && reply.name.is_empty() {
            reply.name = line.trim_start_matches([';', ' ']).split_whitespace().next().unwrap_or_default().to_owned();
        }
        if line.is_empty() {
            section = "";
        } else if !line.starts_with(';') && !section.is_empty() {
            read_record(reply_section(&mut reply.answer, section), line);
        }
    }
    reply.answer.authoritative = reply.flags.contains("aa");
    reply
}

fn reply_section<'a>(answer: &'a mut Answer, name: &str) -> &'a mut Section {
    match name {
        "ANSWER" => &mut answer.answer,
        "AUTHORITY" => &mut answer.authority,
        "ADDITIONAL" => &mut answer.additional,
        _ => unreachable!("records in the section {name}"),
    }
}

fn read_record(section: &mut Section, line: &str) {
    let record = Record::parse(line).expect("a record");
    let before = section.insert(record.to_string(), record.ttl);
    assert!(before.is_none(), "twice in one section: {line}");
}

/// The header, the flags, and where the reply came from, in the words of either program.
fn read_comment(reply: &mut Reply, comment: &str) {
    if let Some((_, rest)) = comment.split_once("status: ") {
        reply.answer.status = rest.split([',', ';']).next().unwrap_or_default().to_owned();
    } else if let Some(rest) = comment.strip_prefix("flags:").or_else(|| comment.strip_prefix("Flags:")) {
        let words = rest.split(';').next().unwrap_or_default();
        reply.flags = words.split_whitespace().map(str::to_owned).collect();
    } else if let Some(rest) = comment.strip_prefix("SERVER: ").or_else(|| comment.strip_prefix("From ")) {
        let address = rest.split(['#', '@']).next().and_then(|word| word.parse().ok());
        reply.from = address.map(|address| (address, rest.contains("(TCP)")));
    }
}
