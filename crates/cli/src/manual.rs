//! `standin completions` and `standin man`: what shells and man(1) need to know, made from the command line itself.

use std::{fs, io, path::Path, process::ExitCode};

use anyhow::{Context, Result};
use clap::CommandFactory;
use clap_complete::Shell;

use crate::args::Args;

/// Prints a shell's completions.
pub(crate) fn completions(shell: Shell) -> Result<ExitCode> {
    let mut text = Vec::new();
    clap_complete::generate(shell, &mut Args::command(), "standin", &mut text);
    crate::say(&String::from_utf8_lossy(&text))?;
    Ok(ExitCode::SUCCESS)
}

/// Writes a page for the program and for each command into a directory, such as `standin-zone-edit.1`.
pub(crate) fn man(out: &Path) -> Result<ExitCode> {
    let write = || -> io::Result<()> {
        fs::create_dir_all(out)?;
        // With names such as `standin-zone-edit`, and without the pages of `help`.
        clap_mangen::generate_to(Args::command().disable_help_subcommand(true), out)
    };
    write().with_context(|| format!("cannot write into {}", out.display()))?;
    Ok(ExitCode::SUCCESS)
}

#[cfg(test)]
mod tests {
    use clap::Command;

    use super::*;

    /// Every command that does something, with its whole name.
    fn leaves<'c>(command: &'c Command, name: &str, found: &mut Vec<(String, &'c Command)>) {
        for one in command.get_subcommands().filter(|one| one.get_name() != "help") {
            let name = format!("{name} {}", one.get_name());
            if one.has_subcommands() {
                leaves(one, &name, found);
            } else {
                found.push((name, one));
            }
        }
    }

    #[test]
    fn every_command_says_what_it_does_and_what_it_exits_with() {
        let command = Args::command();
        let mut found = Vec::new();
        leaves(&command, "standin", &mut found);
        assert!(found.len() > 40, "{}", found.len());
        let help = |command: &Command| command.get_after_help().map(ToString::to_string).unwrap_or_default();
        let silent: Vec<&str> = found
            .iter()
            .filter(|(_, one)| one.get_about().is_none() || !help(one).contains("Exit codes: 0 "))
            .map(|(name, _)| name.as_str())
            .collect();
        assert!(silent.is_empty(), "no help, or no exit codes: {silent:?}");
        for (name, one) in &found {
            let mute: Vec<_> = one.get_arguments().filter(|argument| argument.get_help().is_none()).collect();
            assert!(mute.is_empty(), "{name}: {mute:?}");
        }
    }

    #[test]
    fn pages_and_completions_are_whole() {
        let directory = tempfile::tempdir().unwrap();
        man(directory.path()).unwrap();
        let page = |name: &str| fs::read_to_string(directory.path().join(name)).unwrap();
        assert!(page("standin.1").contains("Exit codes of every command"));
        assert!(page("standin-zone-edit.1").contains("EDITOR"));
        assert!(!directory.path().join("standin-help.1").exists());
        for shell in [Shell::Bash, Shell::Zsh, Shell::Fish] {
            let mut text = Vec::new();
            clap_complete::generate(shell, &mut Args::command(), "standin", &mut text);
            let text = String::from_utf8(text).unwrap();
            assert!(text.contains("virtual-host") && text.contains("doctor"), "{shell}");
        }
    }
}
