//! How soon the console's picture changes when a virtual host moves: a real Chromium looks at a cluster of three real daemons in network
//! namespaces, and a server goes into standby and back.
//!
//! All times are the machine's one wall clock: when the kernel of the new holder has the address (`ip monitor`), when the page's tree
//! has changed (a MutationObserver), and the frame after that.
//!
//! `cargo bench --bench picture -- [MOVES]`

#![allow(clippy::unwrap_used, clippy::panic, clippy::print_stdout, reason = "its figures are for people")]

#[path = "../../tests/console_support/mod.rs"]
mod console_support;
#[path = "../../tests/stage_support/mod.rs"]
mod stage_support;
#[path = "../../tests/tls_support/mod.rs"]
mod tls_support;

use std::{
    io::{BufRead, BufReader},
    process::{Child, Stdio},
    sync::mpsc::{Receiver, sync_channel},
    thread,
};

use console_support::{PASSWORD, ask, browser::Browser, cluster, http::GATE};
use host::lab::Host;
use jiff::{civil::DateTime, tz::TimeZone};
use stage_support::{PATIENCE, on_stage};

/// virtual3's address, on whichever server.
const ADDRESS: &str = "10.77.0.103";

/// A kernel's word, as it comes: when it had the address, in milliseconds since 1970.
struct Kernel {
    monitor: Child,
    added: Receiver<f64>,
}

impl Kernel {
    fn of(host: &Host) -> Self {
        let mut command = host.command("ip");
        command.args(["-ts", "monitor", "address"]).stdout(Stdio::piped()).stdin(Stdio::null());
        let mut monitor = command.spawn().unwrap();
        let lines = BufReader::new(monitor.stdout.take().unwrap()).lines();
        let (tell, added) = sync_channel(1024);
        thread::spawn(move || {
            for line in lines.map_while(Result::ok) {
                if !line.contains(ADDRESS) || line.contains("Deleted") {
                    continue;
                }
                let stamp = line.strip_prefix('[').and_then(|line| line.split_once(']')).unwrap_or_default().0;
                let time: DateTime = stamp.parse().unwrap();
                let time = time.to_zoned(TimeZone::system()).unwrap().timestamp();
                if tell.send(time.as_microsecond() as f64 / 1e3).is_err() {
                    return;
                }
            }
        });
        Self { monitor, added }
    }
}

impl Drop for Kernel {
    fn drop(&mut self) {
        let _gone = self.monitor.kill();
        let _ended = self.monitor.wait();
    }
}

/// Notes when virtual3 is first seen in another lane, and the frame after.
const WATCH: &str = "window.lane = null; window.seen = [];
    const look = () => {
      const lane = document.querySelector('[data-chip=virtual3]')?.closest('[data-lane]')?.dataset.lane ?? null;
      if (lane === window.lane) return;
      window.lane = lane;
      const one = { lane, changed: Date.now(), shown: null };
      window.seen.push(one);
      requestAnimationFrame(() => requestAnimationFrame(() => { one.shown = Date.now(); }));
    };
    look(); window.seen = [];
    new MutationObserver(look).observe(document.getElementById('live'), { subtree: true, childList: true, attributes: true });";

fn told(what: &str, times: &mut [f64]) {
    times.sort_by(f64::total_cmp);
    let at = |part: f64| times[((times.len() as f64 * part).ceil() as usize).clamp(1, times.len()) - 1];
    println!("{what}: {:.0} / {:.0} / {:.0} ms (median, 99 %, most of {})", at(0.5), at(0.99), at(1.0), times.len());
}

fn main() {
    on_stage("picture", || {
        let moves = std::env::args().skip(1).find_map(|text| text.parse::<usize>().ok()).unwrap_or(40);
        let directory = tempfile::tempdir().unwrap();
        let stage = cluster(directory.path(), 3);
        let Some(browser) = Browser::start(&stage.client, directory.path()) else { return };
        browser.go(&format!("https://{GATE}/"));
        browser.click("#user");
        browser.press(&format!("ann\u{e004}{PASSWORD}\u{e007}"));
        let sits = |server: &str| format!("return document.querySelector('[data-lane={server}] [data-chip=virtual3]')");
        browser.wait("virtual3 at home", &sits("web3"));
        let kernels = ["web1", "web3"].map(|server| Kernel::of(stage.host(server).unwrap()));
        browser.run(WATCH);
        let (mut changed, mut shown) = (Vec::new(), Vec::new());
        for number in 0..moves {
            let (to, command) = if number % 2 == 0 { (0, "standby") } else { (1, "resume") };
            while kernels[to].added.try_recv().is_ok() {}
            browser.run("window.seen = []");
            ask(&stage, "web3", &[command], "");
            let had = kernels[to].added.recv_timeout(PATIENCE).expect("the kernel has the address");
            let lane = ["web1", "web3"][to];
            let seen = browser
                .wait("it moves", &format!("return window.seen.find(one => one.lane === '{lane}' && one.shown)"));
            changed.push(seen["changed"].as_f64().unwrap() - had);
            shown.push(seen["shown"].as_f64().unwrap() - had);
        }
        told("from the kernel's having the address to the picture's change", &mut changed);
        told("the same to the frame after", &mut shown);
    });
}
