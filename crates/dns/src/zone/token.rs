//! Words of a master file (RFC 1035 section 5.1): lines, parentheses, quotes, comments, `${variables}`.
//!
//! A token keeps its escapes (`\X`, `\DDD`) until somebody knows what they mean there; quotes are gone. A variable's
//! value stands in the token as if it had been written there, but never ends the token: blanks, `;`, quotes and
//! parentheses in it are plain text.
//!
//! Invariant: every call makes progress, and each mistake costs one entry, not the file.

use std::{borrow::Cow, collections::BTreeMap, ops::Range};

use model::nearest;

use super::source::{Complaint, Place, Sources};

/// More text than this, escapes included, fits in no record.
const LONGEST_ENTRY: usize = 300_000;

/// One word.
#[derive(Clone, Debug)]
pub(super) struct Token<'t> {
    /// Its text: variables replaced, quotes removed, escapes kept.
    pub(super) text: Cow<'t, str>,
    /// It was written in quotes: `"@"` and `"\#"` mean nothing special.
    pub(super) quoted: bool,
    /// Where it stands.
    pub(super) place: Place,
}

impl Token<'_> {
    /// Whether this is the bare word `word`, in any case.
    pub(super) fn is(&self, word: &str) -> bool {
        !self.quoted && self.text.eq_ignore_ascii_case(word)
    }
}

/// The words up to the end of a line, or of several within parentheses; at least one word unless it is broken.
#[derive(Default)]
pub(super) struct Entry<'t> {
    /// It has a mistake, which has been recorded; the words are those before it.
    pub(super) broken: bool,
    /// The line begins with a blank: the owner is that of the record before.
    pub(super) indented: bool,
    /// The words.
    pub(super) tokens: Vec<Token<'t>>,
}

/// Cuts one text into entries.
pub(super) struct Tokenizer<'t> {
    text: &'t str,
    source: u32,
    at: usize,
    variables: &'t BTreeMap<String, String>,
    /// Where entries stand that take several lines: nobody may begin to read within them.
    pub(super) folded: Vec<Range<usize>>,
}

/// One entry in the making.
#[derive(Default)]
struct Draft<'t> {
    tokens: Vec<Token<'t>>,
    open: Vec<usize>,
    size: usize,
    broken: bool,
    /// There is a line's end within parentheses.
    folded: bool,
}

impl<'t> Tokenizer<'t> {
    /// A tokenizer of `text`, which is numbered `source`.
    pub(super) fn new(text: &'t str, source: u32, variables: &'t BTreeMap<String, String>) -> Self {
        Self { text, source, at: 0, variables, folded: Vec::new() }
    }

    /// The next entry, in the place of the one before; false at the end.
    pub(super) fn next(&mut self, entry: &mut Entry<'t>, sources: &mut Sources<'_>) -> bool {
        let mut draft = Draft { tokens: std::mem::take(&mut entry.tokens), ..Draft::default() };
        while self.at < self.text.len() && !sources.full() {
            let indented = matches!(self.peek(), Some(b' ' | b'\t'));
            draft.tokens.clear();
            (draft.size, draft.broken, draft.folded) = (0, false, false);
            draft.open.clear();
            let start = self.at;
            self.entry(&mut draft, sources);
            if draft.folded {
                self.folded.push(start..self.at);
            }
            if draft.broken || !draft.tokens.is_empty() {
                *entry = Entry { broken: draft.broken, indented, tokens: draft.tokens };
                return true;
            }
        }
        false
    }

    fn peek(&self) -> Option<u8> {
        self.text.as_bytes().get(self.at).copied()
    }

    fn place(&self, start: usize, end: usize) -> Place {
        // Texts beyond 4 GiB are refused before they get here.
        let narrow = |offset: usize| u32::try_from(offset).unwrap_or(u32::MAX);
        Place { source: self.source, start: narrow(start), end: narrow(end) }
    }

    fn fail(&self, draft: &mut Draft<'t>, sources: &mut Sources<'_>, start: usize, end: usize, complaint: Complaint) {
        if !draft.broken {
            sources.error(self.place(start, end), complaint);
        }
        draft.broken = true;
    }

    fn entry(&mut self, draft: &mut Draft<'t>, sources: &mut Sources<'_>) {
        while let Some(byte) = self.peek() {
            let start = self.at;
            match byte {
                b'\n' => {
                    self.at += 1;
                    if draft.open.is_empty() {
                        return;
                    }
                    draft.folded = true;
                }
                b' ' | b'\t' | b'\r' => self.at += 1,
                b';' => self.skip_line(),
                b'(' => {
                    draft.open.push(start);
                    self.at += 1;
                }
                b')' => {
                    self.at += 1;
                    if draft.open.pop().is_none() {
                        self.fail(draft, sources, start, start + 1, Complaint::new("`)` without a `(` before it"));
                    }
                }
                0..=0x1f | 0x7f => {
                    self.at += 1;
                    let message = format!("a control character (byte {byte}) in the text");
                    self.fail(draft, sources, start, start + 1, Complaint::new(message));
                }
                _ => self.token(draft, sources),
            }
        }
        if let Some(&open) = draft.open.first() {
            self.fail(draft, sources, open, open + 1, Complaint::new("`(` is never closed"));
            self.at = open;
            self.resume();
        }
    }

    /// After a parenthesis that is never closed: on with the next line that begins with a name.
    fn resume(&mut self) {
        loop {
            self.skip_line();
            self.at = self.text.len().min(self.at + 1);
            if !matches!(self.peek(), Some(b' ' | b'\t' | b'\r' | b'\n' | b';' | b')')) {
                return;
            }
        }
    }

    /// To the end of the line, which stays unread.
    fn skip_line(&mut self) {
        self.at = self.text[self.at..].find('\n').map_or(self.text.len(), |length| self.at + length);
    }

    fn token(&mut self, draft: &mut Draft<'t>, sources: &mut Sources<'_>) {
        let start = self.at;
        let quoted = self.peek() == Some(b'"');
        let text = if quoted {
            let mut text = String::new();
            self.quoted(&mut text, draft, sources);
            Cow::Owned(text)
        } else if let Some(plain) = self.plain() {
            Cow::Borrowed(plain)
        } else {
            let mut text = String::new();
            self.bare(&mut text, draft, sources);
            Cow::Owned(text)
        };
        let token = Token { text, quoted, place: self.place(start, self.at) };
        draft.size += token.text.len() + 1;
        if draft.size > LONGEST_ENTRY {
            let message = format!("more than {LONGEST_ENTRY} characters: too long for any record");
            self.fail(draft, sources, start, self.at, Complaint::new(message));
        }
        if !draft.broken {
            draft.tokens.push(token);
        }
    }

    /// A bare word that means what it says: without escapes, quotes, variables.
    fn plain(&mut self) -> Option<&'t str> {
        let rest = &self.text[self.at..];
        let ends = |byte: &u8| matches!(byte, b' ' | b';' | b'(' | b')' | b'"' | b'\\' | b'$' | 0..=0x1f | 0x7f);
        let length = rest.bytes().position(|byte| ends(&byte)).unwrap_or(rest.len());
        if matches!(rest.as_bytes().get(length), Some(b'"' | b'\\' | b'$')) {
            return None;
        }
        self.at += length;
        Some(&rest[..length])
    }

    fn bare(&mut self, text: &mut String, draft: &mut Draft<'t>, sources: &mut Sources<'_>) {
        while let Some(byte) = self.peek() {
            match byte {
                b'"' if text.ends_with('=') => self.quoted(text, draft, sources),
                b' ' | b';' | b'(' | b')' | b'"' | 0..=0x1f | 0x7f => return,
                _ => self.character(text, draft, sources),
            }
        }
    }

    /// From the opening quote to behind the closing one.
    fn quoted(&mut self, text: &mut String, draft: &mut Draft<'t>, sources: &mut Sources<'_>) {
        let open = self.at;
        self.at += 1;
        loop {
            match self.peek() {
                Some(b'"') => {
                    self.at += 1;
                    return;
                }
                Some(b'\n') | None => {
                    let complaint = Complaint::new("the quote is not closed on this line");
                    return self.fail(draft, sources, open, open + 1, complaint);
                }
                Some(b'\t' | b'\r') => {
                    text.push(char::from(self.text.as_bytes()[self.at]));
                    self.at += 1;
                }
                Some(byte @ (0..=0x1f | 0x7f)) => {
                    let message = format!("a control character (byte {byte}) in the text; write \\{byte:03}");
                    self.fail(draft, sources, self.at, self.at + 1, Complaint::new(message));
                    self.at += 1;
                }
                Some(_) => self.character(text, draft, sources),
            }
        }
    }

    /// One character with its escape, or a variable.
    fn character(&mut self, text: &mut String, draft: &mut Draft<'t>, sources: &mut Sources<'_>) {
        let start = self.at;
        let rest = &self.text[start..];
        if rest.starts_with("${") && !is_generate_modifier(&rest[2..], draft) {
            return self.variable(&rest[2..], text, draft, sources);
        }
        let length = rest.chars().take(if rest.starts_with('\\') { 2 } else { 1 }).map(char::len_utf8).sum::<usize>();
        if rest.starts_with('\\') && (length == 1 || rest[1..].starts_with(['\n', '\r'])) {
            self.fail(draft, sources, start, start + 1, Complaint::new("`\\` at the end of a line escapes nothing"));
            self.at += 1;
            return;
        }
        text.push_str(&rest[..length]);
        self.at += length;
    }

    /// `rest` begins behind `${`.
    fn variable(&mut self, rest: &str, text: &mut String, draft: &mut Draft<'t>, sources: &mut Sources<'_>) {
        let start = self.at;
        let is_name = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
        let length = rest.find(|c| !is_name(c)).unwrap_or(rest.len());
        self.at += 2 + length;
        if length == 0 || !rest[length..].starts_with('}') {
            let complaint = Complaint::new("`${` begins a variable, but no name and `}` follow")
                .help("write `${name}` for a variable, `\\${` for the plain characters");
            return self.fail(draft, sources, start, start + 2, complaint);
        }
        self.at += 1;
        let name = &rest[..length];
        match self.variables.get(name) {
            Some(value) if draft.size + text.len() + value.len() <= LONGEST_ENTRY => text.push_str(value),
            // Too long: the caller says so as soon as it counts.
            Some(_) => draft.size = LONGEST_ENTRY,
            None => {
                let complaint = Complaint::new(format!("no variable is called `{name}`"));
                let complaint = match nearest(name, self.variables.keys().map(String::as_str)) {
                    Some(known) => complaint.help(format!("did you mean `${{{known}}}`?")),
                    None => complaint.help("variables are set under `[zone.\"...\".variables]` of the cluster file"),
                };
                self.fail(draft, sources, start, self.at, complaint);
            }
        }
    }
}

/// In a `$GENERATE`, `${` also begins a modifier such as `${0,3,d}`, told from a variable by its first character.
fn is_generate_modifier(rest: &str, draft: &Draft<'_>) -> bool {
    rest.starts_with(|c: char| c.is_ascii_digit() || matches!(c, '-' | '+'))
        && draft.tokens.first().is_some_and(|first| first.is("$GENERATE"))
}
