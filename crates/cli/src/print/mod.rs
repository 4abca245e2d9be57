//! Text for people.

pub(crate) mod events;
pub(crate) mod incidents;
pub(crate) mod status;
pub(crate) mod usage;
pub(crate) mod why;

use comfy_table::{Attribute, Cell, Color, ContentArrangement, Table, presets};

/// What a word means for the reader.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Tone {
    /// As it should be.
    Good,
    /// Worth a look.
    Warn,
    /// Broken.
    Bad,
    /// Neither.
    Plain,
}

impl Tone {
    const fn color(self) -> Option<Color> {
        match self {
            Self::Good => Some(Color::Green),
            Self::Warn => Some(Color::Yellow),
            Self::Bad => Some(Color::Red),
            Self::Plain => None,
        }
    }

    /// The tone of a word of the API.
    pub(crate) fn of(word: &str) -> Self {
        match word {
            "self" | "alive" | "active" | "up" | "normal" | "yes" | "same" => Self::Good,
            "suspect" | "left" | "moving" | "unknown" | "degraded" | "listening" | "standby" | "resigning"
            | "taking" | "releasing" | "no" | "warn" => Self::Warn,
            "dead" | "unheld" | "refused" | "rivals" | "down" | "isolated" | "unable" | "nobody" | "differs"
            | "error" => Self::Bad,
            _ => Self::Plain,
        }
    }
}

/// How to print: colours, and the width to keep to.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Style {
    /// Colours may be used.
    pub color: bool,
}

impl Style {
    /// As the terminal wants it; without colours where there is none, or where NO_COLOR asks for that.
    pub(crate) fn of_stdout() -> Self {
        let terminal = std::io::IsTerminal::is_terminal(&std::io::stdout());
        Self { color: terminal && std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty()) }
    }

    /// An empty table with these heads.
    pub(crate) fn table(self, heads: &[&str]) -> Table {
        let mut table = Table::new();
        table.load_style(presets::NOTHING).set_content_arrangement(ContentArrangement::Dynamic);
        if self.color {
            table.enforce_styling();
        } else {
            table.force_no_tty();
        }
        table.set_header(heads.iter().map(|head| Cell::new(head).add_attribute(Attribute::Dim)));
        for column in table.column_iter_mut() {
            column.set_padding((0, 2));
        }
        table
    }

    /// A word in the tone of its meaning.
    pub(crate) fn word(self, word: &str) -> Cell {
        self.toned(word, Tone::of(word))
    }

    /// A text in a tone.
    pub(crate) fn toned(self, text: &str, tone: Tone) -> Cell {
        match tone.color() {
            Some(color) if self.color => Cell::new(text).fg(color),
            Some(_) | None => Cell::new(text),
        }
    }

    /// A text in a tone, outside of a table.
    pub(crate) fn paint(self, text: &str, tone: Tone) -> String {
        let code = match tone {
            Tone::Good => "32",
            Tone::Warn => "33",
            Tone::Bad => "31",
            Tone::Plain => return text.to_owned(),
        };
        if self.color { format!("\u{1b}[{code}m{text}\u{1b}[0m") } else { text.to_owned() }
    }
}

/// The table's lines without the blanks at their ends.
pub(crate) fn lines(table: &Table) -> String {
    table.lines().map(|line| line.trim_end().to_owned() + "\n").collect()
}
