//! Replays a scenario: the shipped nodes of a cluster, in virtual time, through a written story.

mod ask;
mod machine;
mod record;
pub(crate) mod story;
mod world;

use std::path::Path;

use world::World;

/// What became of a scenario.
pub(crate) struct Replay {
    /// What happened, line by line, and the end.
    pub(crate) record: String,
    /// What the story says must be so, and is not.
    pub(crate) wrong: Vec<String>,
}

/// Lives the story of a directory.
///
/// # Errors
/// What is wrong with its files.
pub(crate) fn replay(directory: &Path) -> Result<Replay, String> {
    let story = story::read(&directory.join("story.txt"))?;
    let mut world = World::new(directory)?;
    world.live(&story)?;
    Ok(Replay { record: world.record.finish(), wrong: world.wrong })
}
