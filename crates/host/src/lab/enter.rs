//! The right to make networks: root has it; an ordinary user gets it as root of a new user namespace.
//!
//! Only a *user* namespace is entered here. The process keeps the machine's own network, files and process numbers, so
//! it can still listen on the machine's addresses; every network of the lab is a namespace of its own, made later.
//!
//! Invariants: what runs between `fork` and `exec` allocates nothing and takes no lock; a refusal says which step the
//! kernel refused and which setting is known to cause that.

use std::{
    ffi::{CStr, CString},
    fs, io,
    os::unix::process::CommandExt,
    process::{Child, Command, ExitStatus},
    ptr::NonNull,
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering},
    },
};

/// CAP_SYS_ADMIN, as a bit of the kernel's capability sets (capabilities(7)).
const SYS_ADMIN: u64 = 1 << 21;

/// A step of entering a user namespace.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Step {
    /// `unshare(CLONE_NEWUSER)`.
    Unshare,
    /// Giving up `setgroups`, which the kernel wants before a group map is written (user_namespaces(7)).
    DenySetgroups,
    /// Writing `/proc/self/uid_map`.
    UidMap,
    /// Writing `/proc/self/gid_map`.
    GidMap,
}

impl Step {
    const ALL: [Self; 4] = [Self::Unshare, Self::DenySetgroups, Self::UidMap, Self::GidMap];

    fn name(self) -> &'static str {
        match self {
            Self::Unshare => "unshare(CLONE_NEWUSER)",
            Self::DenySetgroups => "write to /proc/self/setgroups",
            Self::UidMap => "write to /proc/self/uid_map",
            Self::GidMap => "write to /proc/self/gid_map",
        }
    }
}

/// Why the right to make networks was not had. Nothing of the calling process has changed, except after a refused
/// [`Step::UidMap`] or later in [`enter`]: then it is nobody in a user namespace and should end.
#[derive(Debug, thiserror::Error)]
pub enum EnterError {
    /// The kernel does not let this user make a user namespace.
    #[error("cannot make a user namespace: {}: {source}; {}", step.name(), reason(source))]
    Refused {
        /// Where it stopped.
        step: Step,
        /// The kernel's answer.
        source: io::Error,
    },
    /// A user namespace can be entered only before the first thread is started.
    #[error("cannot enter a user namespace: the process already has several threads")]
    Threads,
    /// The program itself did not start.
    #[error("cannot start {program}: {source}")]
    Spawn {
        /// Which.
        program: String,
        /// The kernel's answer.
        source: io::Error,
    },
}

/// What to do about a refusal: the settings that are in the way on this machine, or all that could be.
fn reason(error: &io::Error) -> String {
    const SETTINGS: [(&str, &str, &str); 3] = [
        ("kernel.unprivileged_userns_clone", "/proc/sys/kernel/unprivileged_userns_clone", "0"),
        ("kernel.apparmor_restrict_unprivileged_userns", "/proc/sys/kernel/apparmor_restrict_unprivileged_userns", "1"),
        ("user.max_user_namespaces", "/proc/sys/user/max_user_namespaces", "0"),
    ];
    let guilty: Vec<String> = SETTINGS
        .iter()
        .filter(|(_, path, bad)| fs::read_to_string(path).is_ok_and(|value| value.trim() == *bad))
        .map(|(name, _, bad)| format!("{name} is {bad}"))
        .collect();
    if !guilty.is_empty() {
        return format!("{}: change that, or run it as root", guilty.join(" and "));
    }
    if error.raw_os_error() == Some(libc::ENOSPC) {
        return "the limit user.max_user_namespaces is reached: raise it, or run it as root".to_owned();
    }
    let names: Vec<&str> = SETTINGS.iter().map(|(name, ..)| *name).collect();
    format!("a container's system call filter or one of {} may forbid it: or run it as root", names.join(", "))
}

/// Whether this process may make network namespaces as it is: it has CAP_SYS_ADMIN in its user namespace.
pub fn permitted() -> bool {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    status
        .lines()
        .find_map(|line| line.strip_prefix("CapEff:"))
        .and_then(|set| u64::from_str_radix(set.trim(), 16).ok())
        .is_some_and(|set| set & SYS_ADMIN != 0)
}

/// Gives this process the right to make networks: nothing happens if it has it, else it becomes root of a new user
/// namespace. Call it before any thread is started. Sockets and files that are open stay as they are.
pub fn enter() -> Result<(), EnterError> {
    if permitted() {
        return Ok(());
    }
    Maps::of_this_user().write().map_err(|(step, error)| match (step, error.raw_os_error()) {
        (Step::Unshare, Some(libc::EINVAL)) => EnterError::Threads,
        _ => EnterError::Refused { step, source: error },
    })
}

/// Starts `command` with the right to make networks (see [`enter`]), for callers that have threads already. The child
/// is killed when the calling *thread* ends.
pub fn spawn(command: &mut Command) -> Result<Child, EnterError> {
    spawn_in(command, !permitted())
}

/// Starts `command`, in a new user namespace if `needed`.
fn spawn_in(command: &mut Command, needed: bool) -> Result<Child, EnterError> {
    let program = command.get_program().to_string_lossy().into_owned();
    let reached = Arc::new(SharedStep::new().map_err(|source| EnterError::Spawn { program: program.clone(), source })?);
    let (maps, child_reached) = (Maps::of_this_user(), Arc::clone(&reached));
    let enter = move || {
        super::namespace::die_with_parent()?;
        if !needed {
            return Ok(());
        }
        maps.write().map_err(|(step, error)| {
            child_reached.set(step);
            error
        })
    };
    // SAFETY: `enter` makes system calls only, on strings that were made before the fork.
    unsafe { command.pre_exec(enter) };
    command.spawn().map_err(|source| match reached.get() {
        Some(step) => EnterError::Refused { step, source },
        None => EnterError::Spawn { program, source },
    })
}

/// For tests of a `cargo test` program, whose threads forbid [`enter`]: `None` if this process may make networks;
/// otherwise runs the test `name` (its full path) of this same program once more where it may, and returns how it ended.
pub fn rerun_test(name: &str) -> Result<Option<ExitStatus>, EnterError> {
    if permitted() {
        return Ok(None);
    }
    let failed = |source| EnterError::Spawn { program: "this test".to_owned(), source };
    let program = std::env::current_exe().map_err(failed)?;
    let mut child = spawn(Command::new(program).args(["--exact", name, "--include-ignored", "--nocapture"]))?;
    child.wait().map(Some).map_err(failed)
}

/// The texts of the user and group maps: root inside is the present user outside.
struct Maps {
    uid: CString,
    gid: CString,
}

impl Maps {
    fn of_this_user() -> Self {
        // SAFETY: these calls have no arguments and cannot fail.
        let (uid, gid) = unsafe { (libc::geteuid(), libc::getegid()) };
        let map = |id| CString::new(format!("0 {id} 1\n")).expect("digits hold no NUL");
        Self { uid: map(uid), gid: map(gid) }
    }

    /// Enters a new user namespace and maps root. Only system calls: it also runs between `fork` and `exec`.
    fn write(&self) -> Result<(), (Step, io::Error)> {
        // SAFETY: takes a flag, touches no memory of ours.
        if unsafe { libc::unshare(libc::CLONE_NEWUSER) } != 0 {
            return Err((Step::Unshare, io::Error::last_os_error()));
        }
        write_file(c"/proc/self/setgroups", c"deny\n").map_err(|error| (Step::DenySetgroups, error))?;
        write_file(c"/proc/self/uid_map", &self.uid).map_err(|error| (Step::UidMap, error))?;
        write_file(c"/proc/self/gid_map", &self.gid).map_err(|error| (Step::GidMap, error))
    }
}

/// Writes `text` to `path` in one `write`, as the kernel's map files demand. Allocates nothing.
fn write_file(path: &CStr, text: &CStr) -> io::Result<()> {
    // SAFETY: both strings end in NUL and outlive the calls; the descriptor is closed once, here.
    unsafe {
        let file = libc::open(path.as_ptr(), libc::O_WRONLY | libc::O_CLOEXEC);
        if file < 0 {
            return Err(io::Error::last_os_error());
        }
        let written = libc::write(file, text.as_ptr().cast(), text.count_bytes());
        let result = if written < 0 { Err(io::Error::last_os_error()) } else { Ok(()) };
        libc::close(file);
        result
    }
}

/// One word of memory that parent and forked child share, so that the child can say where it stopped: `Command` itself
/// hands back only the error number.
struct SharedStep(NonNull<AtomicU32>);

// SAFETY: the word is only read and written as an atomic.
unsafe impl Send for SharedStep {}
// SAFETY: as above.
unsafe impl Sync for SharedStep {}

impl SharedStep {
    fn new() -> io::Result<Self> {
        // SAFETY: a fresh anonymous mapping, zeroed by the kernel, aligned to a page.
        let page = unsafe {
            let (protection, flags) = (libc::PROT_READ | libc::PROT_WRITE, libc::MAP_SHARED | libc::MAP_ANONYMOUS);
            libc::mmap(std::ptr::null_mut(), size_of::<AtomicU32>(), protection, flags, -1, 0)
        };
        if page == libc::MAP_FAILED {
            return Err(io::Error::last_os_error());
        }
        NonNull::new(page.cast()).map(Self).ok_or_else(|| io::Error::from(io::ErrorKind::OutOfMemory))
    }

    fn word(&self) -> &AtomicU32 {
        // SAFETY: the mapping lives until `drop`.
        unsafe { self.0.as_ref() }
    }

    fn set(&self, step: Step) {
        self.word().store(step as u32 + 1, Ordering::Relaxed);
    }

    fn get(&self) -> Option<Step> {
        let stored = self.word().load(Ordering::Relaxed);
        Step::ALL.into_iter().find(|step| *step as u32 + 1 == stored)
    }
}

impl Drop for SharedStep {
    fn drop(&mut self) {
        // SAFETY: the mapping made in `new`, unmapped once.
        unsafe { libc::munmap(self.0.as_ptr().cast(), size_of::<AtomicU32>()) };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A user namespace without room for further ones refuses as a machine does where users may not make them.
    #[test]
    fn a_refusal_names_the_step_and_the_setting() {
        const INSIDE: &str = "STANDIN_TEST_INSIDE";
        if std::env::var_os(INSIDE).is_none() {
            let name = "lab::enter::tests::a_refusal_names_the_step_and_the_setting";
            let mut again = Command::new(std::env::current_exe().expect("this program"));
            match spawn_in(again.args(["--exact", name, "--nocapture"]).env(INSIDE, "1"), true) {
                Ok(mut child) => assert!(child.wait().expect("waited").success()),
                Err(error) => {
                    assert!(!std::env::var("CI").is_ok_and(|ci| ci == "true"), "{error}");
                    eprintln!("skipped: {error}");
                }
            }
            return;
        }
        assert!(permitted());
        fs::write("/proc/sys/user/max_user_namespaces", "0").expect("root of a user namespace sets its limit");
        let error = spawn_in(&mut Command::new("true"), true).expect_err("no room");
        assert!(matches!(error, EnterError::Refused { step: Step::Unshare, .. }), "{error:?}");
        let message = error.to_string();
        assert!(message.contains("user.max_user_namespaces is 0: change that, or run it as root"), "{message}");
    }

    #[test]
    fn a_process_with_threads_is_told_so() {
        if permitted() {
            return;
        }
        // This very test runs on a thread beside the main one.
        assert!(matches!(enter(), Err(EnterError::Threads)));
    }

    #[test]
    fn a_program_that_is_not_there_is_named() {
        let error = spawn_in(&mut Command::new("/no/such/program"), false).expect_err("not there");
        assert!(error.to_string().starts_with("cannot start /no/such/program: "), "{error}");
    }
}
