//! A mistake in a text that a person wrote: where, what, and what to do.
//!
//! Shared by configuration files and zone templates, so that every error that an operator meets looks the same.
//!
//! Invariant: whatever the file holds, a drawing begins with `file:line:column: message` on a line of its own and
//! contains no control character of the file.

use std::{fmt, ops::Range, sync::Arc};

use annotate_snippets::{
    AnnotationKind, Group, Level, Renderer, Snippet, normalize_untrusted_str, renderer::DecorStyle,
};

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
        let line = &source[line_start..line_end];
        Self {
            file: file.clone(),
            line: source[..start].matches('\n').count() + 1,
            column: source[line_start..start].chars().count() + 1,
            width: source[start..end].chars().count().max(1),
            // Of a line's end "\r\n"; any other carriage return belongs to the text, and columns count it.
            text: line.strip_suffix('\r').unwrap_or(line).into(),
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

impl Diagnostic {
    /// `file:line:column: message`, for a log line or a list.
    pub fn brief(&self) -> String {
        printable(&format!("{}:{}:{}: {}", self.file, self.line, self.column, self.message))
    }

    /// The brief form, then the offending line with the place marked, then the help. Without a final newline.
    pub fn render(&self, colour: bool) -> String {
        let renderer = if colour { Renderer::styled() } else { Renderer::plain() }.decor_style(DecorStyle::Ascii);
        let text = printable_line(&self.text);
        let byte = |column: usize| text.char_indices().nth(column).map_or(text.len(), |(index, _)| index);
        let start = self.column.saturating_sub(1);
        let place = byte(start)..byte(start + self.width);
        let snippet =
            Snippet::source(&*text).line_start(self.line).fold(false).annotation(AnnotationKind::Primary.span(place));
        let mut drawing = Group::with_title(Level::ERROR.no_name().primary_title(self.brief())).element(snippet);
        if let Some(help) = &self.help {
            drawing = drawing.element(Level::HELP.message(printable(help)));
        }
        renderer.render(&[drawing])
    }
}

impl fmt::Display for Diagnostic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.render(false))
    }
}

/// Line breaks and other control characters escaped, those that turn the direction of writing replaced: a message stays
/// on its line, a terminal obeys no file.
fn printable(text: &str) -> String {
    let escape = |c: char| if c.is_control() { c.escape_default().to_string() } else { c.to_string() };
    normalize_untrusted_str(&text.chars().map(escape).collect::<String>())
}

/// A line of a file, one character for each: columns stay where they are. Tabs are drawn as tabs.
fn printable_line(text: &str) -> String {
    text.chars().map(|c| if c.is_control() && c != '\t' { char::REPLACEMENT_CHARACTER } else { c }).collect()
}

#[cfg(test)]
mod tests;
