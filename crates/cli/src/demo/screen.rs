//! What the demo prints: lines that stay, and on a terminal a live panel below them.

use std::{
    io::{self, IsTerminal, Write},
    sync::{Mutex, PoisonError},
};

/// The terminal, shared by the story and the live view.
pub(super) struct Screen {
    live: bool,
    panel: Mutex<Vec<String>>,
}

impl Screen {
    /// Standard output; live if that is a terminal.
    pub(super) fn new() -> Self {
        Self { live: io::stdout().is_terminal(), panel: Mutex::default() }
    }

    /// Whether a panel is shown at all.
    pub(super) fn is_live(&self) -> bool {
        self.live
    }

    /// Prints text that stays.
    pub(super) fn say(&self, text: &str) {
        let panel = self.panel.lock().unwrap_or_else(PoisonError::into_inner);
        self.write(&format!("{}{text}\n{}", erase(panel.len()), lines(&panel)));
    }

    /// Replaces the panel.
    pub(super) fn show(&self, new: Vec<String>) {
        if !self.live {
            return;
        }
        let mut panel = self.panel.lock().unwrap_or_else(PoisonError::into_inner);
        self.write(&format!("{}{}", erase(panel.len()), lines(&new)));
        *panel = new;
    }

    /// A heading that stays.
    pub(super) fn head(&self, text: &str) {
        let (bold, plain) = if self.live { ("\x1b[1m", "\x1b[0m") } else { ("", "") };
        self.say(&format!("\n{bold}{text}{plain}"));
    }

    fn write(&self, text: &str) {
        let mut out = io::stdout().lock();
        // A closed pipe ends the show, not the demo: its exit code still says whether all went well.
        let _ = out.write_all(text.as_bytes()).and_then(|()| out.flush());
    }
}

/// Moves up over `count` lines and clears to the end of the screen (ECMA-48 CUU, ED).
fn erase(count: usize) -> String {
    if count == 0 { String::new() } else { format!("\x1b[{count}A\x1b[J") }
}

fn lines(panel: &[String]) -> String {
    panel.iter().map(|line| format!("\x1b[2m{line}\x1b[0m\n")).collect()
}
