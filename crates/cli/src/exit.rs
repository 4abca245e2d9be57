//! What the program exits with. 0 and 1 are the system's; these are ours.

/// The same in words, for `standin --help` and standin(1): the one place for all commands. Each command's own help says what the
/// code means there.
pub(crate) const CODES: &str = "Exit codes of every command:\n  \
    0  done, or all is well\n  \
    1  not done: the daemon cannot be reached or refuses, or the machine does not allow it\n  \
    2  mistakes: in the configuration, in an edit, or in the command line itself\n  \
    3  it works, and something is not as it should be; or somebody else's edit is in the way, or there are differences\n  \
    4  `run` only: this server does not belong to the cluster any more, or is a copy of another one";

/// For commands that ask the daemon for something.
pub(crate) const ASKED: &str = "Exit codes: 0 done; 1 the daemon cannot be reached, or refused.";

/// The configuration has mistakes.
pub(crate) const BAD_CONFIGURATION: u8 = 2;
/// It works, and something is not as it should be.
pub(crate) const DEGRADED: u8 = 3;
