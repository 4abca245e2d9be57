//! A disk that loses power, or fails, at every operation, in every way that a disk may.

use std::{cell::RefCell, collections::BTreeMap, rc::Rc};

use super::*;

/// What becomes of what was written and not synced when the power goes.
#[derive(Clone, Copy, PartialEq, Debug)]
enum Loss {
    /// Nothing of it is there.
    All,
    /// It is there.
    Nothing,
    /// Its first half is there.
    Half,
    /// The file has its length, and zeros in it.
    Zeros,
    /// The file has its length, and the last byte is wrong.
    Garbled,
}

const LOSSES: [Loss; 5] = [Loss::All, Loss::Nothing, Loss::Half, Loss::Zeros, Loss::Garbled];

#[derive(Clone, Default)]
struct Inode {
    synced: Vec<u8>,
    now: Vec<u8>,
}

#[derive(Clone, Default)]
struct Platter {
    inodes: Vec<Inode>,
    synced_names: BTreeMap<String, usize>,
    names: BTreeMap<String, usize>,
    operations: usize,
    /// The operation that fails.
    fails: Option<usize>,
    /// Power is gone from then on.
    for_good: bool,
    /// The failing operation is carried out all the same, unsynced.
    half_done: bool,
}

/// A disk in memory; clones are the same disk.
#[derive(Clone, Default)]
struct Faulty(Rc<RefCell<Platter>>);

impl Faulty {
    /// Counts an operation; whether it is done, and whether it says so.
    fn operate(&self) -> (bool, io::Result<()>) {
        let mut platter = self.0.borrow_mut();
        let number = platter.operations;
        platter.operations += 1;
        let failed = || Err(io::Error::other("the disk fails"));
        match platter.fails {
            Some(fails) if number == fails => (platter.half_done, failed()),
            Some(fails) if number > fails && platter.for_good => (false, failed()),
            Some(_) | None => (true, Ok(())),
        }
    }

    fn change(&self, change: impl FnOnce(&mut Platter)) -> io::Result<()> {
        let (done, told) = self.operate();
        if done {
            change(&mut self.0.borrow_mut());
        }
        told
    }

    /// The disk after the power has come back.
    fn after_power_loss(&self, loss: Loss, renames_lost: bool) -> Self {
        let mut platter = self.0.borrow().clone();
        if renames_lost {
            platter.names = platter.synced_names.clone();
        }
        for inode in &mut platter.inodes {
            let (synced, now) = (&inode.synced, &inode.now);
            let common = synced.iter().zip(now).take_while(|(a, b)| a == b).count();
            inode.now = match loss {
                Loss::All => synced.clone(),
                Loss::Nothing => now.clone(),
                Loss::Half => now[..common + (now.len() - common) / 2].to_vec(),
                Loss::Zeros => [&now[..common], &vec![0; now.len() - common]].concat(),
                Loss::Garbled => {
                    let mut bytes = now.clone();
                    if bytes.len() > common {
                        *bytes.last_mut().unwrap() ^= 0x55;
                    }
                    bytes
                }
            };
            inode.synced = inode.now.clone();
        }
        platter.synced_names = platter.names.clone();
        (platter.operations, platter.fails) = (0, None);
        Self(Rc::new(RefCell::new(platter)))
    }
}

impl Disk for Faulty {
    fn read(&mut self, name: &str) -> io::Result<Option<Vec<u8>>> {
        let platter = self.0.borrow();
        if platter.for_good && platter.fails.is_some_and(|fails| platter.operations > fails) {
            return Err(io::Error::other("the power is gone"));
        }
        Ok(platter.names.get(name).map(|inode| platter.inodes[*inode].now.clone()))
    }

    fn write(&mut self, name: &str, bytes: &[u8]) -> io::Result<()> {
        self.change(|platter| {
            platter.inodes.push(Inode { synced: Vec::new(), now: bytes.to_vec() });
            let new = platter.inodes.len() - 1;
            platter.names.insert(name.to_owned(), new);
        })
    }

    fn append(&mut self, name: &str, bytes: &[u8]) -> io::Result<()> {
        self.change(|platter| {
            let inode = platter.names[name];
            platter.inodes[inode].now.extend_from_slice(bytes);
        })
    }

    fn truncate(&mut self, name: &str, length: u64) -> io::Result<()> {
        self.change(|platter| {
            let inode = platter.names[name];
            platter.inodes[inode].now.truncate(usize::try_from(length).unwrap());
        })
    }

    fn sync(&mut self, name: &str) -> io::Result<()> {
        self.change(|platter| {
            let inode = platter.names[name];
            platter.inodes[inode].synced = platter.inodes[inode].now.clone();
        })
    }

    fn rename(&mut self, from: &str, to: &str) -> io::Result<()> {
        self.change(|platter| {
            let inode = platter.names.remove(from).unwrap();
            platter.names.insert(to.to_owned(), inode);
        })
    }

    fn sync_directory(&mut self) -> io::Result<()> {
        self.change(|platter| platter.synced_names = platter.names.clone())
    }
}

/// A document for tests: the numbers written so far, each one byte.
#[derive(Default)]
struct Writer {
    acknowledged: Vec<u8>,
    /// Written or about to be since then, and not acknowledged: of these one may be there.
    tried: Vec<u8>,
}

impl Writer {
    /// As the daemon does it: a chunk, or the whole where that is needed or the log has become long.
    fn write(&mut self, store: &mut Store<Faulty>, number: u8, compact: bool) {
        self.tried.push(number);
        let kept = if store.needs_whole() || compact {
            store.replace(&[&self.acknowledged[..], &[number]].concat())
        } else {
            store.append(&[number])
        };
        if kept.is_ok() {
            self.acknowledged.push(number);
            self.tried.clear();
        }
    }

    fn check(&self, found: &[u8], context: &str) {
        let with_tried = |tried: &u8| found == [&self.acknowledged[..], &[*tried]].concat();
        assert!(
            found == self.acknowledged || self.tried.iter().any(with_tried),
            "{context}: {found:?} of {:?} + {:?}",
            self.acknowledged,
            self.tried
        );
    }
}

fn life(disk: &Faulty, writer: &mut Writer, numbers: std::ops::Range<u8>) {
    let Ok((mut store, recovered)) = Store::open(disk.clone()) else { return };
    writer.check(&recovered.chunks.concat(), "at start");
    // What is there now stays.
    writer.acknowledged = recovered.chunks.concat();
    writer.tried.clear();
    for number in numbers {
        writer.write(&mut store, number, number % 4 == 3);
    }
}

/// How many operations three lives have.
fn operations() -> usize {
    let disk = Faulty::default();
    let mut writer = Writer::default();
    life(&disk, &mut writer, 0..6);
    life(&disk, &mut writer, 6..12);
    assert_eq!(writer.acknowledged, (0..12).collect::<Vec<_>>());
    disk.0.borrow().operations
}

#[test]
fn the_last_acknowledged_is_there_after_power_loss_at_every_operation() {
    let mut cases = 0;
    for fails in 0..operations() {
        for half_done in [false, true] {
            for loss in LOSSES {
                for renames_lost in [false, true] {
                    let context = format!("operation {fails}, {half_done}, {loss:?}, {renames_lost}");
                    let disk = Faulty::default();
                    {
                        let mut platter = disk.0.borrow_mut();
                        (platter.fails, platter.for_good, platter.half_done) = (Some(fails), true, half_done);
                    }
                    let mut writer = Writer::default();
                    life(&disk, &mut writer, 0..6);
                    life(&disk, &mut writer, 6..12);
                    let tried = writer.tried.clone();
                    let after = disk.after_power_loss(loss, renames_lost);
                    let (mut store, recovered) = Store::open(after.clone()).expect("no start fails on a torn tail");
                    writer.check(&recovered.chunks.concat(), &context);
                    // And it can be written to, and read again.
                    writer.acknowledged = recovered.chunks.concat();
                    writer.tried.clear();
                    writer.write(&mut store, 100, false);
                    assert!(writer.tried.is_empty(), "{context}, {tried:?}");
                    let (_, again) = Store::open(after.after_power_loss(Loss::All, true)).unwrap();
                    assert_eq!(again.chunks.concat(), writer.acknowledged, "{context}");
                    cases += 1;
                }
            }
        }
    }
    assert!(cases > 400, "{cases}");
}

#[test]
fn an_operation_that_fails_once_costs_nothing_that_was_acknowledged() {
    for fails in 0..operations() {
        for half_done in [false, true] {
            let disk = Faulty::default();
            {
                let mut platter = disk.0.borrow_mut();
                (platter.fails, platter.half_done) = (Some(fails), half_done);
            }
            let mut writer = Writer::default();
            life(&disk, &mut writer, 0..6);
            life(&disk, &mut writer, 6..12);
            let (_, recovered) = Store::open(disk.after_power_loss(Loss::All, true)).unwrap();
            writer.check(&recovered.chunks.concat(), &format!("operation {fails}, {half_done}"));
            assert!(writer.acknowledged.len() >= 5, "it goes on after a failure");
        }
    }
}

#[test]
fn a_directory_keeps_what_a_disk_keeps_and_has_one_owner() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("state");
    assert_eq!(peek(&path).unwrap(), None);
    let (mut store, recovered) = Store::open(Directory::open(&path).unwrap()).unwrap();
    assert_eq!(recovered, Recovered::default());
    assert!(store.needs_whole());
    store.replace(b"one").unwrap();
    store.append(b"two").unwrap();
    assert_eq!(Directory::open(&path).unwrap_err().kind(), io::ErrorKind::ResourceBusy);
    let there = peek(&path).unwrap().unwrap();
    assert_eq!(there.chunks, [b"one".to_vec(), b"two".to_vec()]);
    drop(store);
    // A torn tail is cut, and set aside.
    let log = path.join(LOG);
    let mut bytes = std::fs::read(&log).unwrap();
    bytes.truncate(bytes.len() - 1);
    std::fs::write(&log, &bytes).unwrap();
    let (mut store, recovered) = Store::open(Directory::open(&path).unwrap()).unwrap();
    assert_eq!((recovered.chunks, recovered.cut), (vec![b"one".to_vec()], 10));
    assert_eq!(std::fs::read(path.join(CUT)).unwrap().len(), 10);
    store.append(b"three").unwrap();
    drop(store);
    let (_, recovered) = Store::open(Directory::open(&path).unwrap()).unwrap();
    assert_eq!(recovered.chunks, [b"one".to_vec(), b"three".to_vec()]);
}

#[test]
fn a_log_grows_to_its_bounds_and_its_snapshot_counts() {
    const MIB: usize = 1 << 20;
    let grown = |store: &Store<Faulty>| (store.has_grown(), store.has_outgrown());
    for (snapshot, least, most, until) in [(0, 8, 64, 64), (10 * MIB, 10, 64, 11)] {
        let (mut store, _nothing) = Store::open(Faulty::default()).unwrap();
        store.replace(&vec![0; snapshot]).unwrap();
        for number in 1..=until {
            store.append(&vec![0; MIB]).unwrap();
            // Frames are a little longer than what is in them.
            assert_eq!(grown(&store), (number >= least, number >= most), "{number} MiB");
        }
        store.replace(&vec![0; snapshot]).unwrap();
        assert_eq!(grown(&store), (false, false));
    }
}
