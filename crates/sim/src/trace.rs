//! What happened, one line each: time, who, what. The last lines are kept for a failing seed.

use std::{collections::VecDeque, fmt, net::IpAddr};

use model::{Instant, ServerName, event::Event};

use crate::fault::Fault;

/// Lines kept.
const KEPT: usize = 60;

/// One thing that happened.
#[derive(Clone, Debug)]
pub(crate) enum What {
    /// A node decided or noticed something.
    Event(Event),
    /// The simulator did something to the cluster.
    Fault(Fault),
    /// The end of one.
    Over(Fault),
    /// The kernel of a machine has an address.
    Added(IpAddr),
    /// The kernel of a machine no longer has it.
    Removed(IpAddr),
    /// The lease of an address has ended.
    Expired(IpAddr),
    /// The kernel refused.
    Refused(IpAddr),
    /// A daemon has ended by itself.
    Ended,
    /// A guardian has removed the addresses of its dead daemon, and says farewell.
    Guarded,
    /// A guardian has found its daemon hanging, and kills it.
    FoundHanging,
    /// A part of the seed's life begins.
    Phase(&'static str),
}

/// A line.
#[derive(Clone, Debug)]
pub(crate) struct Line {
    at: Instant,
    who: Option<ServerName>,
    what: What,
}

impl fmt::Display for Line {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let millis = self.at.as_nanos() / 1_000;
        let who = self.who.as_ref().map_or("-", ServerName::as_str);
        write!(f, "{:>6}.{:03} ms  {who:<4}", millis / 1_000, millis % 1_000)?;
        match &self.what {
            What::Event(event) => write!(f, "{event:?}"),
            What::Fault(fault) => write!(f, "! {fault:?}"),
            What::Over(fault) => write!(f, "! over: {fault:?}"),
            What::Added(address) => write!(f, "kernel + {address}"),
            What::Removed(address) => write!(f, "kernel - {address}"),
            What::Expired(address) => write!(f, "lease of {address} ended"),
            What::Refused(address) => write!(f, "kernel refuses {address}"),
            What::Ended => write!(f, "daemon ended"),
            What::Guarded => write!(f, "guardian removes all addresses and says farewell"),
            What::FoundHanging => write!(f, "guardian finds the daemon hanging and kills it"),
            What::Phase(phase) => write!(f, "==== {phase}"),
        }
    }
}

/// Who is told each line at once.
pub type Listener<'a> = &'a mut dyn FnMut(&str);

/// The last lines, and who listens to all.
#[derive(Default)]
pub(crate) struct Trace<'a> {
    lines: VecDeque<Line>,
    listener: Option<Listener<'a>>,
}

impl<'a> Trace<'a> {
    pub(crate) fn new(listener: Option<Listener<'a>>) -> Self {
        Self { lines: VecDeque::new(), listener }
    }

    pub(crate) fn note(&mut self, at: Instant, who: Option<&ServerName>, what: What) {
        let line = Line { at, who: who.cloned(), what };
        if let Some(listener) = &mut self.listener {
            listener(&line.to_string());
        }
        if self.lines.len() == KEPT {
            self.lines.pop_front();
        }
        self.lines.push_back(line);
    }

    pub(crate) fn last_lines(&self) -> Vec<String> {
        self.lines.iter().map(Line::to_string).collect()
    }
}
