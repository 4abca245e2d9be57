//! `standin top`: the cluster live in a terminal, until `q`.
//!
//! The daemon is asked four times a second, and for its events every second; what it does not answer leaves the last picture, with its
//! age. Deliberately not here: what is drawn ([`view`]), and any command that changes something.

mod view;

use std::{io, time::Duration};

use anyhow::{Context, Result};
use host::clock;
use hyper::Method;
use model::{Instant, api::Status};
use ratatui::crossterm::event::{self, Event, KeyCode, KeyEventKind, KeyModifiers};
use serde_json::Value;

use crate::client::{self, Door};

/// Between two pictures.
const PACE: Duration = Duration::from_millis(250);
/// Between two looks at the events.
const EVENTS_PACE: Duration = Duration::from_secs(1);

/// What is shown.
#[derive(Clone, Debug, Default)]
pub(super) struct Picture {
    /// The last status; none before the first.
    pub(super) status: Option<Status>,
    /// Events, the oldest first.
    pub(super) events: Vec<Value>,
    /// Why there is no newer status, and since how many seconds.
    pub(super) trouble: Option<(String, u64)>,
    /// Rows of the virtual hosts that are scrolled away.
    pub(super) scrolled: usize,
}

/// Shows the cluster until somebody has enough of it.
///
/// # Errors
/// When there is no terminal. A daemon that does not answer is shown.
pub(crate) fn run(door: &Door) -> Result<()> {
    let mut terminal = ratatui::try_init().context("`standin top` needs a terminal; `standin status` prints once")?;
    let ended = watch(door, &mut terminal);
    ratatui::restore();
    ended.context("the terminal is gone")
}

fn watch(door: &Door, terminal: &mut ratatui::DefaultTerminal) -> io::Result<()> {
    let mut picture = Picture::default();
    let (mut answered, mut events_at) = (clock::now(), None::<Instant>);
    loop {
        match client::status(door) {
            Ok(status) => {
                answered = clock::now();
                (picture.status, picture.trouble) = (Some(status), None);
            }
            Err(error) => picture.trouble = Some((format!("{error:#}"), clock::now().since(answered).as_secs())),
        }
        if picture.trouble.is_none() && events_at.is_none_or(|at| clock::now().since(at) >= EVENTS_PACE) {
            events_at = Some(clock::now());
            // The status has told of any trouble already.
            picture.events = events(door).unwrap_or_default();
        }
        terminal.draw(|frame| view::draw(frame, &picture))?;
        if !rest(&mut picture)? {
            return Ok(());
        }
    }
}

fn events(door: &Door) -> Option<Vec<Value>> {
    let body = client::request(door, Method::GET, "/v1/events", None).ok()?;
    serde_json::from_slice(&body).ok()
}

/// Waits for the next picture or a key. False: it is over.
fn rest(picture: &mut Picture) -> io::Result<bool> {
    if !event::poll(PACE)? {
        return Ok(true);
    }
    // A resized window is drawn anew by the next picture.
    let Event::Key(key) = event::read()? else { return Ok(true) };
    if key.kind != KeyEventKind::Press {
        return Ok(true);
    }
    match key.code {
        KeyCode::Char('q') | KeyCode::Esc => return Ok(false),
        KeyCode::Char('c') if key.modifiers.contains(KeyModifiers::CONTROL) => return Ok(false),
        KeyCode::Down | KeyCode::Char('j') => {
            let rows = picture.status.as_ref().map_or(0, |status| status.virtual_hosts.len());
            picture.scrolled = (picture.scrolled + 1).min(rows.saturating_sub(1));
        }
        KeyCode::Up | KeyCode::Char('k') => picture.scrolled = picture.scrolled.saturating_sub(1),
        _ => {}
    }
    Ok(true)
}
