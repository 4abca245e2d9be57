//! A mistake in a text that a person wrote: where, what, and what to do.
//!
//! Shared by configuration files and zone templates, so that every error that an operator meets looks the same.

use std::{fmt, ops::Range, sync::Arc};

/// One mistake. `Display` draws it: `file:line:column: message`, the offending line with the place marked, the help.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Diagnostic {
    /// The file, as the operator named it.
    pub file: Arc<str>,
    /// Line, from 1.
    pub line: usize,
    /// Column in characters, from 1.
    pub column: usize,
    /// How many characters are marked, at least 1.
    pub width: usize,
    /// The whole offending line, without its end.
    pub text: Arc<str>,
    /// What is wrong and what was expected.
    pub message: String,
    /// What to do, where that is not plain from the message.
    pub help: Option<String>,
}

impl Diagnostic {
    /// A mistake at the bytes `span` of `source`, the whole text of `file`. A span past the end marks the end; one
    /// that crosses lines marks its first line.
    pub fn at(file: &Arc<str>, source: &str, span: Range<usize>, message: impl Into<String>) -> Self {
        let floor = |mut index: usize| {
            index = index.min(source.len());
            while !source.is_char_boundary(index) {
                index -= 1;
            }
            index
        };
        let start = floor(span.start);
        let line_start = source[..start].rfind('\n').map_or(0, |newline| newline + 1);
        let line_end = source[start..].find('\n').map_or(source.len(), |newline| start + newline);
        let end = floor(span.end).clamp(start, line_end);
        Self {
            file: file.clone(),
            line: source[..start].matches('\n').count() + 1,
            column: source[line_start..start].chars().count() + 1,
            width: source[start..end].chars().count().max(1),
            text: source[line_start..line_end].trim_end_matches('\r').into(),
            message: message.into(),
            help: None,
        }
    }

    /// The same with advice.
    #[must_use]
    pub fn help(mut self, help: impl Into<String>) -> Self {
        self.help = Some(help.into());
        self
    }
}

impl fmt::Display for Diagnostic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}:{}: {}", self.file, self.line, self.column, self.message)
    }
}
