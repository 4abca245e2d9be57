//! The texts that a zone is read from, places in them, and the mistakes found there.
//!
//! Invariant: a [`Place`] was made for a text held here. At most [`MOST_ERRORS`] mistakes are kept: one slip in a
//! `$GENERATE` or a lost parenthesis must not bury the rest.

use std::sync::Arc;

use model::diagnostic::Diagnostic;

/// More mistakes than this are not collected.
const MOST_ERRORS: usize = 100;

/// A word of the file that is quoted in a message may be of any length.
const LONGEST_MESSAGE: usize = 400;

/// Bytes `start..end` of one text.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Default)]
pub(super) struct Place {
    /// Which text: an index into [`Sources`].
    pub(super) source: u32,
    /// The first byte.
    pub(super) start: u32,
    /// Behind the last byte.
    pub(super) end: u32,
}

impl Place {
    /// The same where the text behind `end` has moved from there to `to`.
    pub(super) fn moved(self, end: usize, to: usize) -> Self {
        let moved = |at: u32| u32::try_from(at as usize - end + to).unwrap_or(u32::MAX);
        if (self.start as usize) < end {
            return self;
        }
        Self { start: moved(self.start), end: moved(self.end), ..self }
    }

    /// From here to the end of `other`, where both are in one text.
    pub(super) fn to(self, other: Self) -> Self {
        if self.source == other.source { Self { end: other.end.max(self.end), ..self } } else { self }
    }
}

/// What is wrong, and what to do about it, where the place is known to somebody else.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Complaint {
    /// What is wrong and what was expected.
    pub(super) message: String,
    /// What to do.
    pub(super) help: Option<String>,
}

impl Complaint {
    /// A mistake that needs no advice.
    pub(super) fn new(message: impl Into<String>) -> Self {
        Self { message: message.into(), help: None }
    }

    /// The same with advice.
    pub(super) fn help(self, help: impl Into<String>) -> Self {
        Self { help: Some(help.into()), ..self }
    }
}

/// One file's text: the template's is borrowed, for it may be large; included ones are kept.
#[derive(Clone)]
pub(super) enum Text<'t> {
    Borrowed(&'t str),
    Kept(Arc<str>),
}

impl Text<'_> {
    pub(super) fn as_str(&self) -> &str {
        match self {
            Self::Borrowed(text) => text,
            Self::Kept(text) => text,
        }
    }
}

/// One file.
struct Source<'t> {
    file: Arc<str>,
    text: Text<'t>,
}

/// Every text of a zone, the template first, and the mistakes in them.
#[derive(Default)]
pub(super) struct Sources<'t> {
    list: Vec<Source<'t>>,
    errors: Vec<(Place, Diagnostic)>,
    /// A mistake hid records whose owners are not known: what seems to be missing may be there.
    pub(super) incomplete: bool,
}

impl<'t> Sources<'t> {
    /// Adds a text; the number is for its [`Place`]s.
    pub(super) fn add(&mut self, file: &str, text: Text<'t>) -> u32 {
        self.list.push(Source { file: file.into(), text });
        u32::try_from(self.list.len() - 1).expect("the number of included files is limited")
    }

    /// How many texts there are.
    pub(super) fn count(&self) -> usize {
        self.list.len()
    }

    /// Records a mistake.
    pub(super) fn error(&mut self, place: Place, complaint: Complaint) {
        if self.full() {
            return;
        }
        let source = &self.list[place.source as usize];
        let span = place.start as usize..place.end as usize;
        let message: String = complaint.message.chars().take(LONGEST_MESSAGE).collect();
        let mut diagnostic = Diagnostic::at(&source.file, source.text.as_str(), span, message);
        if let Some(help) = complaint.help {
            diagnostic = diagnostic.help(help);
        }
        self.errors.push((place, diagnostic));
    }

    /// How many mistakes have been recorded.
    pub(super) fn errors(&self) -> usize {
        self.errors.len()
    }

    /// As many mistakes as we care to collect have been recorded.
    pub(super) fn full(&self) -> bool {
        self.errors.len() >= MOST_ERRORS
    }

    /// Names `place` for the words of a mistake at `beside`: `line 12`, or `other.zone:12` in another file.
    pub(super) fn name_of(&self, place: Place, beside: Place) -> String {
        let source = &self.list[place.source as usize];
        let line =
            source.text.as_str().as_bytes()[..place.start as usize].iter().filter(|byte| **byte == b'\n').count() + 1;
        if place.source == beside.source { format!("line {line}") } else { format!("{}:{line}", source.file) }
    }

    /// What is written at `place`.
    pub(super) fn written(&self, place: Place) -> &str {
        let text = self.list[place.source as usize].text.as_str();
        text.get(place.start as usize..place.end as usize).unwrap_or_default()
    }

    /// The mistakes in the order of the texts.
    pub(super) fn into_errors(mut self) -> Vec<Diagnostic> {
        self.errors.sort_by_key(|(place, _)| (place.source, place.start));
        if self.full()
            && let Some((_, last)) = self.errors.last_mut()
        {
            last.help = Some(format!("these are {MOST_ERRORS} mistakes; there may be more"));
        }
        self.errors.into_iter().map(|(_, diagnostic)| diagnostic).collect()
    }
}
