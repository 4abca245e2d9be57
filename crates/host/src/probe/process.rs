//! A process of this machine, by the file with its number, or by its program's name.
//!
//! Once found it is watched through a descriptor (pidfd), so that its end is seen at once, and no other process that comes by
//! its number later is taken for it.

use std::{
    fs,
    io::{self, Read},
    os::fd::OwnedFd,
    path::Path,
};

use model::config::probe::ProcessProbe;

use super::{
    attempt::{Deadline, Failed},
    kept::{Kept, Process},
};
use crate::wake::pidfd;

/// Longest file that is read.
const LONGEST: u64 = 4096;
/// Names in /proc/PID/comm are cut to this (proc(5)).
const COMM: usize = 15;

pub(super) async fn attempt(probe: &ProcessProbe, deadline: Deadline, kept: &mut Kept) -> Result<(), Failed> {
    let ended = match kept.process() {
        Ok(()) => return Ok(()),
        Err(ended) => ended,
    };
    let look = probe.clone();
    let found = kept.apart(deadline, "looking for the process", move || find(&look)).await?;
    let process = found.and_then(|(fd, what)| Process::new(fd, what).map_err(|error| error.to_string()));
    match (process, ended) {
        (Ok(process), _) => {
            kept.watch(process);
            // It may have ended between.
            kept.process().map_err(|what| Failed::lost(format!("{} has ended", what.unwrap_or_default())))
        }
        (Err(_), Some(ended)) => Err(Failed::lost(format!("{ended} has ended"))),
        (Err(reason), None) => Err(Failed::lost(reason)),
    }
}

fn find(probe: &ProcessProbe) -> Result<(OwnedFd, String), String> {
    match (&probe.pid_file, &probe.name) {
        (Some(file), name) => by_file(file, name.as_deref()),
        (None, Some(name)) => by_name(name),
        (None, None) => Err("which process is not said".to_owned()),
    }
}

fn by_file(file: &Path, name: Option<&str>) -> Result<(OwnedFd, String), String> {
    let at = file.display();
    let text = read(file).map_err(|error| match error.kind() {
        io::ErrorKind::NotFound => format!("{at} does not exist"),
        _ => format!("{at} cannot be read: {error}"),
    })?;
    let pid = text.split_whitespace().next().and_then(|word| word.parse::<libc::pid_t>().ok()).filter(|pid| *pid > 0);
    let pid = pid.ok_or_else(|| format!("{at} holds no number of a process"))?;
    let fd = pidfd(pid).map_err(|_| format!("no process has the number {pid} of {at}"))?;
    match name.filter(|name| !is_called(pid, name)) {
        Some(name) => Err(format!("the process {pid} of {at} is not {name}")),
        None => Ok((fd, format!("process {pid} of {at}"))),
    }
}

fn by_name(name: &str) -> Result<(OwnedFd, String), String> {
    let entries = fs::read_dir("/proc").map_err(|error| format!("/proc cannot be read: {error}"))?;
    let numbers = entries.flatten().filter_map(|entry| entry.file_name().to_str()?.parse::<libc::pid_t>().ok());
    for pid in numbers {
        if is_called(pid, name)
            && let Ok(fd) = pidfd(pid)
            // Looked at again once it cannot become another; one that has ended and not been waited for has no program.
            && is_called(pid, name)
            && fs::read_link(format!("/proc/{pid}/exe")).is_ok_and(|exe| !exe.as_os_str().is_empty())
        {
            return Ok((fd, format!("process {pid}, {name},")));
        }
    }
    Err(format!("no process is called {name}"))
}

fn is_called(pid: libc::pid_t, name: &str) -> bool {
    let comm = read(Path::new(&format!("/proc/{pid}/comm"))).unwrap_or_default();
    let cut = name.get(..COMM).unwrap_or(name);
    if comm.trim_end() == name || (name.len() > COMM && comm.trim_end() == cut) {
        return true;
    }
    let line = read(Path::new(&format!("/proc/{pid}/cmdline"))).unwrap_or_default();
    let program = line.split('\0').next().unwrap_or_default();
    program.rsplit('/').next() == Some(name)
}

fn read(path: &Path) -> io::Result<String> {
    let mut bytes = Vec::new();
    fs::File::open(path)?.take(LONGEST).read_to_end(&mut bytes)?;
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}
