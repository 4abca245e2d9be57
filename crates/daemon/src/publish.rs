//! Health becomes DNS answers: a thread that builds a [`View`] from the newest health and zones, and swaps it in whole.
//!
//! What waits is a cell, not a queue: a newer health replaces one that nobody has built yet. There is no delay for the
//! sake of coalescing. Zones and the health that belongs to them are handed over together, so that no view is ever built
//! from a new configuration and an old belief. What changes in the answers goes to the journal after it is in force (`answers`).

mod answers;

use std::{
    io,
    sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError},
    thread::{self, JoinHandle},
};

use arc_swap::ArcSwap;
use dns::{View, Zones};
use model::{Health, Instant};

use self::answers::Told;
use crate::{generation::Generation, journal::Journal, metrics::Metrics};

/// What the publisher's thread is to do.
enum Work {
    /// Answers of the newest health, and of zones if there are new ones.
    Build(Option<Arc<Zones>>, Arc<Health>),
    /// What was changed has waited long enough to be told.
    Tell,
    /// To end.
    End,
}

#[derive(Debug, Default)]
struct Cell {
    zones: Option<Arc<Zones>>,
    health: Option<Arc<Health>>,
    closed: bool,
}

/// The newest-wins cell in front of the publisher's thread. Setting never waits for a build.
#[derive(Clone, Debug)]
pub(crate) struct Publisher {
    cell: Arc<(Mutex<Cell>, Condvar)>,
    /// Raised with each view, and by the driver with everything that is worth an event.
    pub generation: Generation,
}

impl Publisher {
    /// Starts the thread; it stores each new view in `view` and ends after [`Publisher::close`].
    ///
    /// `identity` is what `id.server` says.
    ///
    /// # Errors
    /// When the thread cannot be made.
    pub(crate) fn start(
        zones: Arc<Zones>,
        identity: String,
        view: Arc<ArcSwap<View>>,
        journal: Journal,
        metrics: Arc<Metrics>,
    ) -> io::Result<(Self, JoinHandle<()>)> {
        let publisher = Self { cell: Arc::default(), generation: Generation::default() };
        let worker = publisher.clone();
        let thread = thread::Builder::new()
            .name("standin-publish".into())
            .spawn(move || worker.run(zones, &identity, &view, &journal, &metrics))?;
        Ok((publisher, thread))
    }

    /// What DNS should believe from now on.
    pub(crate) fn set(&self, health: Arc<Health>) {
        self.lock().health = Some(health);
        self.cell.1.notify_one();
    }

    /// New zones, taken over together with the next health.
    pub(crate) fn stage(&self, zones: Arc<Zones>) {
        self.lock().zones = Some(zones);
    }

    /// Ends the thread after the build under way.
    pub(crate) fn close(&self) {
        self.lock().closed = true;
        self.cell.1.notify_one();
    }

    fn lock(&self) -> MutexGuard<'_, Cell> {
        self.cell.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits for something to do, no longer than until `tell`.
    fn wait(&self, tell: Option<Instant>) -> Work {
        let mut cell = self.lock();
        loop {
            if cell.closed {
                return Work::End;
            }
            if let Some(health) = cell.health.take() {
                return Work::Build(cell.zones.take(), health);
            }
            cell = match tell.map(|at| at.since(host::clock::now())) {
                None => self.cell.1.wait(cell).unwrap_or_else(PoisonError::into_inner),
                Some(left) if left.is_zero() => return Work::Tell,
                Some(left) => self.cell.1.wait_timeout(cell, left).unwrap_or_else(PoisonError::into_inner).0,
            };
        }
    }

    fn run(&self, mut zones: Arc<Zones>, identity: &str, view: &ArcSwap<View>, journal: &Journal, metrics: &Metrics) {
        let mut told = Told::default();
        loop {
            match self.wait(told.next()) {
                Work::End => return,
                Work::Tell => {}
                Work::Build(new, health) => {
                    zones = new.unwrap_or(zones);
                    let begin = host::clock::now();
                    let (before, now) = (view.load_full(), Arc::new(View::build(&zones, &health, identity)));
                    view.store(now.clone());
                    self.generation.next();
                    metrics.view_rebuild.observe(host::clock::now().since(begin).as_secs_f64());
                    told.take(begin, now.answers_since(&before));
                }
            }
            told.due(host::clock::now()).into_iter().for_each(|event| journal.record(event));
        }
    }
}
