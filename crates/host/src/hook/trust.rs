//! Who could have changed a program? Before something runs by this daemon's hand, nobody but root or the daemon's own user
//! may be able to replace it: the file, every directory on the way to it, and every symbolic link in between.
//!
//! A directory that others may write to is accepted only as /tmp is: root's own and sticky, so that nobody replaces what is
//! not theirs (inode(7)). Access-control lists show in the group's bits, as their mask. Looked at again before every run.
//!
//! Deliberately not here: what a script calls itself.

use std::{
    collections::VecDeque,
    ffi::OsString,
    fs, io,
    os::unix::fs::{MetadataExt, PermissionsExt},
    path::{Component, Path, PathBuf},
};

use super::user::own;

/// Links followed, as many as the kernel follows.
const LINKS: usize = 40;
const WRITABLE_BY_OTHERS: u32 = 0o022;
const STICKY: u32 = 0o1000;
const EXECUTABLE: u32 = 0o111;

/// Why a program is not run.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum Distrust {
    /// It is not there, or cannot be looked at.
    #[error("{0}")]
    Missing(String),
    /// It is no program, or others could have changed it.
    #[error("{0}")]
    Unsafe(String),
}

/// Looks at a program and the way to it. `path` is absolute.
///
/// # Errors
/// The first thing found amiss, and where.
pub fn examine(path: &Path) -> Result<(), Distrust> {
    let mut left: VecDeque<OsString> = parts(path).collect();
    let (mut here, mut links) = (PathBuf::from("/"), 0);
    directory(&here, &look(&here)?)?;
    while let Some(part) = left.pop_front() {
        if part == ".." {
            here.pop();
            continue;
        }
        let next = here.join(&part);
        let found = look(&next)?;
        owned(&next, &found)?;
        if found.is_symlink() {
            links += 1;
            if links > LINKS {
                return Err(Distrust::Missing(format!("{}: too many symbolic links", path.display())));
            }
            let target = fs::read_link(&next).map_err(|error| missing(&next, &error))?;
            if target.is_absolute() {
                here = PathBuf::from("/");
            }
            parts(&target).rev().for_each(|part| left.push_front(part));
        } else if left.is_empty() {
            program(&next, &found)?;
            return Ok(());
        } else {
            directory(&next, &found)?;
            here = next;
        }
    }
    Err(Distrust::Unsafe(format!("{} is a directory", path.display())))
}

/// The parts of a path below `/`.
fn parts(path: &Path) -> impl DoubleEndedIterator<Item = OsString> {
    path.components().filter_map(|part| match part {
        Component::Normal(_) | Component::ParentDir => Some(part.as_os_str().to_owned()),
        Component::Prefix(_) | Component::RootDir | Component::CurDir => None,
    })
}

fn look(path: &Path) -> Result<fs::Metadata, Distrust> {
    fs::symlink_metadata(path).map_err(|error| missing(path, &error))
}

fn missing(path: &Path, error: &io::Error) -> Distrust {
    match error.kind() {
        io::ErrorKind::NotFound => Distrust::Missing(format!("{} does not exist", path.display())),
        _ => Distrust::Missing(format!("{} cannot be looked at: {error}", path.display())),
    }
}

fn owned(path: &Path, found: &fs::Metadata) -> Result<(), Distrust> {
    match found.uid() {
        0 => Ok(()),
        owner if owner == own() => Ok(()),
        owner => Err(Distrust::Unsafe(format!(
            "{} belongs to user {owner}, who could change what is run: `chown root` it",
            path.display()
        ))),
    }
}

fn directory(path: &Path, found: &fs::Metadata) -> Result<(), Distrust> {
    owned(path, found)?;
    let mode = found.permissions().mode();
    let like_tmp = mode & STICKY != 0 && found.uid() == 0;
    if !found.is_dir() {
        return Err(Distrust::Missing(format!("{} is not a directory", path.display())));
    }
    if mode & WRITABLE_BY_OTHERS != 0 && !like_tmp {
        return Err(others(path, mode));
    }
    Ok(())
}

fn program(path: &Path, found: &fs::Metadata) -> Result<(), Distrust> {
    let mode = found.permissions().mode();
    if !found.is_file() {
        return Err(Distrust::Unsafe(format!("{} is not a plain file", path.display())));
    }
    if mode & WRITABLE_BY_OTHERS != 0 {
        return Err(others(path, mode));
    }
    if mode & EXECUTABLE == 0 {
        return Err(Distrust::Unsafe(format!("{} is not executable: `chmod 755` it", path.display())));
    }
    Ok(())
}

fn others(path: &Path, mode: u32) -> Distrust {
    let mode = mode & 0o7777;
    Distrust::Unsafe(format!(
        "{} has mode {mode:o}: others than its owner could change what is run; `chmod go-w` it",
        path.display()
    ))
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::{chown, symlink};

    use super::*;

    /// A program in a directory of its own, both as they should be.
    fn program_in(home: &Path, name: &str) -> PathBuf {
        let path = home.join(name);
        fs::write(&path, "#!/bin/sh\n").unwrap();
        set(&path, 0o755);
        path
    }

    fn set(path: &Path, mode: u32) {
        fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
    }

    fn refused(path: &Path) -> String {
        let distrust = examine(path).unwrap_err();
        assert!(matches!(distrust, Distrust::Unsafe(_)), "{distrust:?}");
        distrust.to_string()
    }

    #[test]
    fn the_file_and_every_directory_above_it_are_looked_at() {
        // Below /tmp, which is sticky and root's.
        let home = tempfile::tempdir().unwrap();
        let inner = home.path().join("a/b");
        fs::create_dir_all(&inner).unwrap();
        let path = program_in(&inner, "hook");
        assert_eq!(examine(&path), Ok(()));
        for mode in [0o775, 0o757, 0o777] {
            set(&path, mode);
            assert!(refused(&path).contains(&format!("hook has mode {mode:o}")), "{}", refused(&path));
        }
        set(&path, 0o755);
        for above in [home.path().join("a"), inner] {
            set(&above, 0o777);
            assert!(refused(&path).starts_with(&format!("{} has mode 777", above.display())), "{}", refused(&path));
            set(&above, 0o755);
        }
        set(&path, 0o644);
        assert!(refused(&path).contains("not executable"));
    }

    #[test]
    fn a_missing_program_is_another_matter() {
        let home = tempfile::tempdir().unwrap();
        assert!(matches!(examine(&home.path().join("none")), Err(Distrust::Missing(_))));
        let path = program_in(home.path(), "hook");
        assert!(matches!(examine(&path.join("below-a-file")), Err(Distrust::Missing(_))));
        assert!(refused(home.path()).contains("is not a plain file"));
    }

    #[test]
    fn links_lead_only_through_what_is_safe() {
        let home = tempfile::tempdir().unwrap();
        let open = home.path().join("open");
        fs::create_dir(&open).unwrap();
        set(&open, 0o777);
        let good = program_in(home.path(), "good");
        let link = home.path().join("link");
        symlink("good", &link).unwrap();
        assert_eq!(examine(&link), Ok(()));
        // A safe program by way of a directory in which anybody may bend the link.
        symlink(&good, open.join("bent")).unwrap();
        symlink("open/bent", home.path().join("detour")).unwrap();
        assert!(refused(&home.path().join("detour")).contains("open has mode 777"));
        symlink("circle", home.path().join("circle")).unwrap();
        assert!(matches!(examine(&home.path().join("circle")), Err(Distrust::Missing(_))));
        symlink("open/../good", home.path().join("up")).unwrap();
        assert!(refused(&home.path().join("up")).contains("open has mode 777"), "also where it leads out again");
    }

    #[test]
    fn what_belongs_to_others_is_refused() {
        let home = tempfile::tempdir().unwrap();
        let path = program_in(home.path(), "hook");
        // Only root can give files away.
        if own() == 0 && chown(&path, Some(12_345), None).is_ok() {
            assert!(refused(&path).contains("belongs to user 12345"));
        }
    }
}
