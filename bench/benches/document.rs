//! A large document: 1,000 virtual hosts and 100,000 zone records. How long an edit takes to be in force where it is made and
//! on another server, how long a fresh server takes to have everything, and how much memory one server needs for it.
//!
//! In force here means: checked, zones compiled, ready for the driver. Disk and network come on top: one fdatasync and
//! one message each way.

use std::{
    fmt::Write as _,
    fs,
    io::{self, Write},
    sync::Arc,
    time::{Duration, Instant},
};

use dns::{Zone, Zones};
use document::{Change, Document, Incarnation, Key, Ledger, Objects, Session, Transaction, object::split};

const HOSTS: usize = 1000;
const RECORDS: usize = 100_000;
const ROUNDS: usize = 15;

fn objects() -> Objects {
    let mut text = "[cluster]\nname = \"bench\"\n".to_owned();
    for n in 1..=10 {
        writeln!(text, "[server.web{n}]\naddress = \"10.255.0.{n}\"").expect("text grows");
    }
    for n in 0..HOSTS {
        let (high, low) = (n / 250, n % 250 + 1);
        writeln!(
            text,
            "[virtual-host.v{n}]\naddresses = [\"10.0.{high}.{low}\"]\nservers = \"all\"\n\
             [[virtual-host.v{n}.monitor]]\ntype = \"http\"\npath = \"/health\""
        )
        .expect("text grows");
    }
    for n in 0..100 {
        writeln!(text, "[pool.p{n}]\nmembers = [\"v{n}\", \"v{}\"]", n + 100).expect("text grows");
    }
    text += "[zone.\"lb.example.test\"]\ntemplate = \"lb.zone\"\n";
    let mut objects = split(&text, &str::to_owned).expect("a cluster file");
    objects.insert(key("template/lb.zone"), template(0).into());
    objects
}

fn template(version: usize) -> String {
    let mut zone =
        format!("$TTL 60\n@ SOA ns1 hostmaster 0 1h 15m 1w 5\n@ NAMESERVERS ns1=v0\nversion TXT \"{version}\"\n");
    for n in 0..100 {
        writeln!(zone, "www{n} POOL p{n}").expect("text grows");
    }
    for n in 0..RECORDS {
        let [a, b, c] = [n >> 16, n >> 8, n].map(|byte| byte & 255);
        writeln!(zone, "h{n} A 10.{a}.{b}.{c}").expect("text grows");
    }
    zone
}

fn key(text: &str) -> Key {
    Key::parse(text).expect("a key")
}

fn life(number: u8) -> Incarnation {
    Incarnation([number; 16])
}

/// A server's document, and what the daemon has compiled of it before the driver is told.
struct Server {
    ledger: Ledger,
    of: Vec<Arc<Zone>>,
    zones: Zones,
}

impl Server {
    fn new(ledger: Ledger) -> Self {
        let checked = &ledger.in_force().checked;
        let (of, zones) = (checked.zones.clone(), Zones::compile(checked.zones.clone(), &checked.config));
        Self { ledger, of, zones }
    }

    fn compile(&mut self) {
        let checked = &self.ledger.in_force().checked;
        self.zones = self.zones.compile_again(&self.of, &checked.zones, &checked.config);
        self.of.clone_from(&checked.zones);
    }
}

fn converse(one: &mut Ledger, here: &mut Session, other: &mut Ledger, there: &mut Session) -> usize {
    let mut bytes = 0;
    loop {
        let said = here.speak(one.document());
        if let Some(message) = &said {
            bytes += message.len();
            other.hear(there, message).expect("a message");
        }
        let answered = there.speak(other.document());
        if let Some(message) = &answered {
            bytes += message.len();
            one.hear(here, message).expect("a message");
        }
        if said.is_none() && answered.is_none() {
            return bytes;
        }
    }
}

fn host(address: usize) -> Change {
    let text = format!(
        "[virtual-host.v7]\naddresses = [\"10.1.0.{address}\"]\nservers = \"all\"\n[[virtual-host.v7.monitor]]\ntype = \"http\"\n"
    );
    Change::new(key("virtual-host/v7"), Some(&text))
}

fn monitor(fall: usize) -> Change {
    let text = format!(
        "[virtual-host.v8]\naddresses = [\"10.0.0.9\"]\nservers = \"all\"\n[[virtual-host.v8.monitor]]\ntype = \"http\"\nfall = {fall}\n"
    );
    Change::new(key("virtual-host/v8"), Some(&text))
}

fn report(what: &str, mut times: Vec<Duration>) -> io::Result<()> {
    times.sort();
    let (median, worst) = (times[times.len() / 2], times[times.len() - 1]);
    writeln!(io::stdout(), "{what}: median {:.1} ms, worst {:.1} ms", ms(median), ms(worst))
}

fn ms(time: Duration) -> f64 {
    time.as_secs_f64() * 1000.0
}

/// Resident memory now and at most, in MiB.
fn memory() -> (u64, u64) {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let field = |name: &str| {
        let line = status.lines().find(|line| line.starts_with(name));
        line.and_then(|line| line.split_whitespace().nth(1)?.parse::<u64>().ok()).unwrap_or(0) / 1024
    };
    (field("VmRSS:"), field("VmHWM:"))
}

fn edits(one: &mut Server, other: &mut Server, what: &str, change: &dyn Fn(usize) -> Change) -> io::Result<()> {
    let (mut here, mut there) = (Session::new(), Session::new());
    converse(&mut one.ledger, &mut here, &mut other.ledger, &mut there);
    let (mut near, mut far) = (Vec::new(), Vec::new());
    for round in 1..=ROUNDS {
        let begin = Instant::now();
        let transaction = Transaction { changes: vec![change(round)], ..Transaction::default() };
        one.ledger.edit(&transaction).expect("an edit that checks");
        one.compile();
        near.push(begin.elapsed());
        let begin = Instant::now();
        let message = here.speak(one.ledger.document()).expect("news");
        other.ledger.hear(&mut there, &message).expect("a message");
        other.compile();
        far.push(begin.elapsed());
        converse(&mut one.ledger, &mut here, &mut other.ledger, &mut there);
    }
    report(&format!("{what}, in force where it is made"), near)?;
    report(&format!("{what}, from there to in force on another server"), far)
}

fn main() -> io::Result<()> {
    let founded = Ledger::found(Document::new(life(1)), Transaction::default(), &objects()).expect("it checks");
    let saved = founded.document().save();
    drop(founded);
    writeln!(io::stdout(), "{HOSTS} virtual hosts, {RECORDS} records: {} KiB on disk", saved.len() / 1024)?;
    let begin = Instant::now();
    let document = Document::load(life(2), [&saved[..]]).expect("what was saved");
    let mut one = Server::new(Ledger::new(document).expect("it checks"));
    writeln!(io::stdout(), "start: {:.0} ms; {} names", ms(begin.elapsed()), one.zones.len())?;
    let begin = Instant::now();
    let mut fresh = Ledger::empty(life(3));
    let bytes = converse(&mut one.ledger, &mut Session::new(), &mut fresh, &mut Session::new());
    let mut fresh = Server::new(fresh);
    writeln!(io::stdout(), "a fresh server has everything: {:.0} ms, {} KiB", ms(begin.elapsed()), bytes / 1024)?;
    edits(&mut one, &mut fresh, "an address", &host)?;
    edits(&mut one, &mut fresh, "a monitor", &monitor)?;
    drop(fresh);
    let (now, most) = memory();
    writeln!(io::stdout(), "memory: {now} MiB with one server's document, at most {most} MiB with two")?;
    let document = Document::load(life(4), [&one.ledger.document().save()[..]]).expect("what was saved");
    let mut other = Server::new(Ledger::new(document).expect("it checks"));
    edits(&mut one, &mut other, "a record of 100,000 in one template", &|round| {
        Change::new(key("template/lb.zone"), Some(&template(round)))
    })
}
