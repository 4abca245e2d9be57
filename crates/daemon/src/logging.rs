//! Where log lines go: standard error, filtered by `RUST_LOG`.

use tracing_subscriber::EnvFilter;

/// What is logged where `RUST_LOG` says nothing. hickory-server writes two lines for each query at `info`.
const FILTER: &str = "info,hickory_server=warn,hickory_proto=warn";

/// How the log looks.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum LogFormat {
    /// One line for people.
    #[default]
    Text,
    /// One JSON object a line.
    Json,
}

/// Starts logging. A second call in one process changes nothing.
pub(crate) fn start(format: LogFormat) {
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new(FILTER));
    let builder = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr).with_target(false);
    // Colours belong to terminals; systemd's journal has its own.
    let terminal = std::io::IsTerminal::is_terminal(&std::io::stderr());
    let started = match format {
        LogFormat::Text => builder.with_ansi(terminal).try_init(),
        LogFormat::Json => builder.json().flatten_event(true).try_init(),
    };
    // Only a test that runs two daemons in one process gets here twice.
    drop(started);
}
