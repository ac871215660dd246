//! Keys and values that change, kept in runs that do not.
//!
//! What is put waits in memory and leaves it as a run of its own; of several runs with a key the newest counts. What has
//! left is kept in memory as long as there is room, the newest of it. Runs of about one size are merged, so there are never
//! many. Nothing of this is durable state until a checkpoint names the runs: what it does not name is removed when the shelf
//! is opened, and what it names stays until the next one is durable.

use std::{
    collections::{BTreeMap, HashMap, VecDeque},
    io,
    iter::Peekable,
    ops::Bound,
    path::PathBuf,
    sync::Arc,
};

use rustc_hash::FxBuildHasher;

use super::run::{self, Entry, Name, Run};
use crate::log::disk::Disk;

/// What an entry in memory takes beside its bytes.
const ENTRY_BYTES: usize = 80;
/// A run is merged with newer ones once it is no more than so many times as large as they are together.
const MERGED_TIMES: u64 = 2;

/// A source of entries, ascending by key.
type Source<'s> = Box<dyn Iterator<Item = io::Result<Entry>> + 's>;
/// One that may outlive the shelf.
type FreeSource = Box<dyn Iterator<Item = io::Result<Entry>> + Send>;

/// Keys and values; see the module.
pub struct Shelf {
    disk: Arc<dyn Disk>,
    dir: PathBuf,
    /// The oldest first.
    runs: Vec<Arc<Run>>,
    fresh: BTreeMap<Box<str>, Option<Vec<u8>>>,
    fresh_bytes: usize,
    /// Of what runs hold, what was put last.
    kept: Kept,
    /// What waits, and what is kept, takes about so many bytes at most.
    memory_bytes: usize,
    next: u64,
}

/// Values that are in runs as well, as far as there is room.
#[derive(Default)]
struct Kept {
    values: HashMap<Box<str>, Vec<u8>, FxBuildHasher>,
    /// In the order in which they came; a key may stand here that has gone, or come anew.
    order: VecDeque<Box<str>>,
    bytes: usize,
}

impl Kept {
    fn put(&mut self, key: Box<str>, value: Vec<u8>) {
        self.remove(&key);
        self.bytes += size(&key, &value);
        self.order.push_back(key.clone());
        self.values.insert(key, value);
    }

    fn remove(&mut self, key: &str) {
        if let Some(value) = self.values.remove(key) {
            self.bytes -= size(key, &value);
        }
    }

    /// Lets go of the oldest until there are no more bytes than these.
    fn shrink(&mut self, bytes: usize) {
        while self.bytes > bytes
            && let Some(key) = self.order.pop_front()
        {
            self.remove(&key);
        }
        // What stands in the order twice would stay for good where a few keys come again and again.
        if self.order.len() > 2 * self.values.len() + 64 {
            let values = &self.values;
            self.order.retain(|key| values.contains_key(key));
        }
    }
}

/// About what an entry takes in memory.
fn size(key: &str, value: &[u8]) -> usize {
    ENTRY_BYTES + 2 * key.len() + value.len()
}

/// Where a key's value is.
pub enum Found {
    /// In memory; `None`: it has none.
    Here(Option<Vec<u8>>),
    /// In one of these runs, the oldest first, or nowhere.
    In(Vec<Arc<Run>>),
}

impl Found {
    /// The value; `None`: the key has none.
    ///
    /// # Errors
    /// If the disk fails, or what was written is damaged.
    pub fn value(self, key: &str) -> io::Result<Option<Vec<u8>>> {
        let runs = match self {
            Found::Here(value) => return Ok(value),
            Found::In(runs) => runs,
        };
        for run in runs.iter().rev() {
            if let Some(value) = run.get(key)? {
                return Ok(value);
            }
        }
        Ok(None)
    }
}

impl Shelf {
    /// Opens the runs of these names, the oldest first, and removes all others from the directory.
    ///
    /// # Errors
    /// If the disk fails, or a run is not what was written.
    pub fn open(disk: Arc<dyn Disk>, dir: PathBuf, names: &[Name], memory_bytes: usize) -> io::Result<Shelf> {
        let open = |name: &Name| Ok(Arc::new(Run::open(disk.open(&dir.join(name.file()))?, *name)?));
        let runs: Vec<Arc<Run>> = names.iter().map(open).collect::<io::Result<_>>()?;
        let next = names.iter().map(|name| name.number + 1).max().unwrap_or(1);
        let (fresh, kept) = (BTreeMap::new(), Kept::default());
        let shelf = Shelf { disk, dir, runs, fresh, fresh_bytes: 0, kept, memory_bytes, next };
        shelf.remove_others()?;
        Ok(shelf)
    }

    /// Removes the files of runs that are not in use any more.
    ///
    /// # Errors
    /// If the disk fails.
    pub fn remove_others(&self) -> io::Result<()> {
        for name in self.disk.list(&self.dir)? {
            let is_other = |number: &u64| self.runs.iter().all(|run| run.name().number != *number);
            if run::file_number(&name).filter(is_other).is_some() {
                self.disk.remove(&self.dir.join(name))?;
            }
        }
        Ok(())
    }

    /// The names of the runs, the oldest first.
    pub fn names(&self) -> Vec<Name> {
        self.runs.iter().map(|run| run.name()).collect()
    }

    /// The value of a key, or where to look for it.
    pub fn find(&self, key: &str) -> Found {
        match self.fresh.get(key) {
            Some(value) => Found::Here(value.clone()),
            None => match self.kept.values.get(key) {
                Some(value) => Found::Here(Some(value.clone())),
                None => Found::In(self.runs.clone()),
            },
        }
    }

    /// Gives a key a value; `None` removes it.
    ///
    /// # Errors
    /// If what waits has to leave memory and the disk fails.
    pub fn put(&mut self, key: &str, value: Option<Vec<u8>>) -> io::Result<()> {
        let length = |value: &Option<Vec<u8>>| size(key, value.as_deref().unwrap_or_default());
        self.kept.remove(key);
        self.fresh_bytes += length(&value);
        if let Some(before) = self.fresh.insert(key.into(), value) {
            self.fresh_bytes -= length(&before);
        }
        // Of the room, what waits takes no more than a half.
        if self.fresh_bytes < self.memory_bytes / 2 {
            self.kept.shrink(self.memory_bytes - self.fresh_bytes);
            return Ok(());
        }
        self.write(self.fresh_bytes as u64, std::iter::empty())
    }

    /// Writes all that waits into a run, and with it `newest`, which is ascending by key; all of it is durable then but for
    /// the names of the files.
    ///
    /// # Errors
    /// If the disk fails.
    pub fn settle(&mut self, newest: impl ExactSizeIterator<Item = Entry>) -> io::Result<()> {
        if newest.len() == 0 && self.fresh.is_empty() {
            return Ok(());
        }
        // About what a record takes.
        let bytes = (self.fresh_bytes + newest.len() * 1024) as u64;
        self.write(bytes, newest)
    }

    /// Writes a run of what waits, what is newer still, and the newest runs as far as they are not much larger.
    fn write(&mut self, bytes: u64, newest: impl ExactSizeIterator<Item = Entry>) -> io::Result<()> {
        let kept = self.kept_below(bytes);
        let below: u64 = self.runs[kept..].iter().map(|run| run.keys()).sum();
        let most = newest.len() + self.fresh.len() + below as usize;
        // What memory has of these is older than what the run will hold.
        let (in_runs, waiting) = (&mut self.kept, &self.fresh);
        let mut overruled: Vec<Box<str>> = Vec::new();
        let newest = newest.inspect(|(key, _)| {
            in_runs.remove(key);
            overruled.extend(waiting.contains_key(key).then(|| key.clone()));
        });
        let mut sources: Vec<Source<'_>> = vec![Box::new(newest.map(Ok))];
        sources.push(Box::new(self.fresh.iter().map(|(key, value)| Ok((key.clone(), value.clone())))));
        for run in self.runs[kept..].iter().rev() {
            sources.push(Box::new(Arc::clone(run).entries("")));
        }
        // With nothing older below, there is nothing that a removal could still hide.
        let merged = Merged::of(sources);
        let entries = merged.filter(|entry| kept > 0 || !matches!(entry, Ok((_, None))));
        let number = self.next;
        self.next += 1;
        let file = self.disk.create(&self.dir.join(run::file_name(number)))?;
        let name = run::write(&*file, number, most, entries)?;
        self.runs.truncate(kept);
        self.runs.push(Arc::new(Run::open(file, name)?));
        self.fresh_bytes = 0;
        overruled.iter().for_each(|key| drop(self.fresh.remove(key)));
        for (key, value) in std::mem::take(&mut self.fresh) {
            if let Some(value) = value {
                self.kept.put(key, value);
            }
        }
        self.kept.shrink(self.memory_bytes);
        Ok(())
    }

    /// How many of the runs, the oldest ones, are left as they are when so many bytes are written anew.
    ///
    /// Each is more than twice what is merged above it, so there are never many. A run that is larger than was reckoned with
    /// does not keep the ones below it from being merged.
    fn kept_below(&self, bytes: u64) -> usize {
        // What is in memory is not packed, runs are: about half as large.
        let mut newer = bytes / 2;
        let mut kept = self.runs.len();
        for (at, run) in self.runs.iter().enumerate().rev() {
            if run.name().bytes <= newer.saturating_mul(MERGED_TIMES) {
                kept = at;
            }
            newer += run.name().bytes;
        }
        kept
    }

    /// All keys with their values, ascending from the first that is not before `from`, as they are now.
    pub fn entries(&self, from: &str) -> impl Iterator<Item = io::Result<(Box<str>, Vec<u8>)>> + Send + use<> {
        let waiting: Vec<_> = self
            .fresh
            .range::<str, _>((Bound::Included(from), Bound::Unbounded))
            .map(|(key, value)| Ok((key.clone(), value.clone())))
            .collect();
        let mut sources: Vec<FreeSource> = vec![Box::new(waiting.into_iter())];
        for run in self.runs.iter().rev() {
            sources.push(Box::new(Arc::clone(run).entries(from)));
        }
        Merged::of(sources).filter_map(|entry| match entry {
            Ok((key, value)) => value.map(|value| Ok((key, value))),
            Err(why) => Some(Err(why)),
        })
    }
}

/// Entries of several sources in one order; of those with one key the one of the first source.
struct Merged<I: Iterator<Item = io::Result<Entry>>> {
    sources: Vec<Peekable<I>>,
}

impl<I: Iterator<Item = io::Result<Entry>>> Merged<I> {
    fn of(sources: Vec<I>) -> Self {
        Merged { sources: sources.into_iter().map(Iterator::peekable).collect() }
    }
}

impl<I: Iterator<Item = io::Result<Entry>>> Iterator for Merged<I> {
    type Item = io::Result<Entry>;

    fn next(&mut self) -> Option<Self::Item> {
        let mut least: Option<(usize, Box<str>)> = None;
        for (at, source) in self.sources.iter_mut().enumerate() {
            match source.peek() {
                Some(Ok((key, _))) if least.as_ref().is_none_or(|(_, least)| key < least) => {
                    least = Some((at, key.clone()));
                }
                // An error ends its source; it is told before anything that might be missing because of it.
                Some(Err(_)) => return source.next(),
                _ => {}
            }
        }
        let (winner, key) = least?;
        for source in &mut self.sources[winner + 1..] {
            if source.peek().is_some_and(|entry| entry.as_ref().is_ok_and(|(other, _)| *other == key)) {
                source.next();
            }
        }
        self.sources[winner].next()
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use proptest::prelude::*;

    use super::*;
    use crate::sim::disk::SimDisk;

    const DIR: &str = "/shelf";

    fn open(disk: &SimDisk, names: &[Name]) -> io::Result<Shelf> {
        Shelf::open(disk.shared(), Path::new(DIR).to_owned(), names, 20_000)
    }

    fn all(shelf: &Shelf, from: &str) -> Vec<(Box<str>, Vec<u8>)> {
        shelf.entries(from).collect::<io::Result<_>>().expect("the disk works")
    }

    fn settle(shelf: &mut Shelf) {
        shelf.settle(std::iter::empty()).expect("the disk works");
    }

    /// Values that take different numbers of blocks, some of them well packed and some not at all.
    fn value(key: u16, turn: u8) -> Vec<u8> {
        let mut state = u64::from(key) << 8 | u64::from(turn);
        let length = [3, 40, 900, 9_000][usize::from(turn) % 4];
        (0..length).map(|_| if turn < 128 { turn } else { crate::sim::disk::mixed(&mut state) as u8 }).collect()
    }

    #[derive(Clone, Debug)]
    enum Act {
        Put(u16, u8),
        Remove(u16),
        Settle(BTreeMap<u16, u8>),
        Reopen,
    }

    fn some_acts() -> impl Strategy<Value = Vec<Act>> {
        let act = prop_oneof![
            12 => (0..300_u16, any::<u8>()).prop_map(|(key, turn)| Act::Put(key, turn)),
            3 => (0..300_u16).prop_map(Act::Remove),
            1 => prop::collection::btree_map(0..300_u16, any::<u8>(), 0..20).prop_map(Act::Settle),
            1 => Just(Act::Reopen),
        ];
        prop::collection::vec(act, 0..250)
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 24, ..ProptestConfig::default() })]
        #[test]
        fn a_shelf_holds_what_was_last_put(acts in some_acts()) {
            let disk = SimDisk::new();
            let mut shelf = open(&disk, &[]).expect("the disk works");
            let mut plain: BTreeMap<Box<str>, Vec<u8>> = BTreeMap::new();
            for act in acts {
                match act {
                    Act::Put(key, turn) => {
                        let name: Box<str> = format!("k{key:04}").into();
                        shelf.put(&name, Some(value(key, turn))).expect("the disk works");
                        plain.insert(name, value(key, turn));
                    }
                    Act::Remove(key) => {
                        let name: Box<str> = format!("k{key:04}").into();
                        shelf.put(&name, None).expect("the disk works");
                        plain.remove(&name);
                    }
                    Act::Settle(newest) => {
                        let newest = newest.into_iter().map(|(key, turn)| (format!("k{key:04}").into(), value(key, turn)));
                        let newest: Vec<(Box<str>, Vec<u8>)> = newest.collect();
                        plain.extend(newest.iter().cloned());
                        let entries = newest.into_iter().map(|(name, value)| (name, Some(value)));
                        shelf.settle(entries.collect::<Vec<Entry>>().into_iter()).expect("the disk works");
                    }
                    Act::Reopen => {
                        settle(&mut shelf);
                        shelf.remove_others().expect("the disk works");
                        shelf = open(&disk, &shelf.names()).expect("the disk works");
                    }
                }
            }
            for key in 0..300 {
                let name = format!("k{key:04}");
                prop_assert_eq!(shelf.find(&name).value(&name).expect("the disk works"), plain.get(&*name).cloned());
            }
            for from in ["", "k0150", "k01505", "z"] {
                let due: Vec<_> = plain.range::<str, _>((Bound::Included(from), Bound::Unbounded)).map(|(key, value)| (key.clone(), value.clone())).collect();
                prop_assert_eq!(all(&shelf, from), due);
            }
        }
    }

    /// A value that fills a tenth of a block and does not pack.
    fn long(key: u16) -> Vec<u8> {
        value(key, 202)
    }

    /// Two runs, one of them large enough for an index of two levels.
    fn large(disk: &SimDisk) -> Shelf {
        let mut shelf = open(disk, &[]).expect("the disk works");
        let entries = (0..2_000).map(|key| (format!("m{key:06}").into(), Some(long(key))));
        shelf.settle(entries.collect::<Vec<Entry>>().into_iter()).expect("the disk works");
        let entries = (0..40).map(|key| (format!("k{key:06}").into(), Some(long(key))));
        shelf.settle(entries.collect::<Vec<Entry>>().into_iter()).expect("the disk works");
        assert_eq!(shelf.names().len(), 2);
        shelf
    }

    #[test]
    fn an_index_of_several_levels_finds_every_key() {
        let disk = SimDisk::new();
        let shelf = large(&disk);
        let shelf = open(&disk, &shelf.names()).expect("the disk works");
        for key in (0..2_000_u16).step_by(7) {
            let found = |key: &str| shelf.find(key).value(key).expect("the disk works");
            assert_eq!(found(&format!("m{key:06}")), Some(long(key)));
            assert_eq!(found(&format!("m{key:06}x")), None);
        }
        assert_eq!(all(&shelf, "").len(), 2_040);
        assert_eq!(all(&shelf, "m001990").len(), 10);
    }

    #[test]
    fn however_little_is_written_at_a_time_there_are_few_runs() {
        // What a value takes in its run is less than was reckoned with, about as much, and more.
        for length in [10, 500, 1_000, 3_000, 20_000] {
            let disk = SimDisk::new();
            let mut shelf = open(&disk, &[]).expect("the disk works");
            let mut state = 7;
            for time in 0..300 {
                let value = (0..length).map(|_| crate::sim::disk::mixed(&mut state) as u8).collect();
                let entries = vec![(format!("k{:02}", time % 50).into(), Some(value))];
                shelf.settle(entries.into_iter()).expect("the disk works");
                assert!(shelf.runs.len() <= 6, "{} runs after {time} values of {length} bytes", shelf.runs.len());
            }
        }
    }

    #[test]
    fn runs_of_about_one_size_become_one() {
        let disk = SimDisk::new();
        let mut shelf = open(&disk, &[]).expect("the disk works");
        for turn in 0..60_u16 {
            (0..20).for_each(|key| {
                shelf.put(&format!("k{turn:03}{key:03}"), Some(value(key, 200))).expect("the disk works")
            });
            settle(&mut shelf);
            shelf.remove_others().expect("the disk works");
            assert!(shelf.names().len() <= 8, "{} runs after {turn}", shelf.names().len());
        }
        assert_eq!(all(&shelf, "").len(), 1_200);
        assert_eq!(disk.names().len(), shelf.names().len(), "merged runs are removed");
    }

    #[test]
    fn a_run_that_no_checkpoint_names_is_removed() {
        let disk = SimDisk::new();
        let mut shelf = open(&disk, &[]).expect("the disk works");
        shelf.put("a", Some(vec![1])).expect("the disk works");
        settle(&mut shelf);
        let names = shelf.names();
        shelf.put("a", Some(vec![2])).expect("the disk works");
        settle(&mut shelf);
        let shelf = open(&disk, &names).expect("what the checkpoint names is still there");
        assert_eq!(shelf.find("a").value("a").expect("the disk works"), Some(vec![1]));
        assert_eq!(disk.names().len(), 1);
    }

    #[test]
    fn a_flipped_bit_is_an_error_and_never_another_value() {
        let disk = SimDisk::new();
        let shelf = large(&disk);
        let due = all(&shelf, "");
        let files: Vec<(PathBuf, Vec<u8>)> =
            disk.names().into_iter().map(|path| (path.clone(), disk.bytes(&path))).collect();
        let mut met = 0;
        for (path, bytes) in &files {
            for at in (0..bytes.len()).step_by(bytes.len() / 30) {
                let mut bad = bytes.clone();
                bad[at] ^= 1 << (at % 8);
                disk.put(path, bad);
                let Ok(damaged) = open(&disk, &shelf.names()) else {
                    met += 1;
                    continue;
                };
                let found: Vec<_> = damaged.entries("").take_while(Result::is_ok).flatten().collect();
                assert_eq!(found, due[..found.len()], "{} byte {at}", path.display());
                for (key, value) in due.iter().step_by(101) {
                    assert!(
                        damaged.find(key).value(key).map_or(true, |found| found.as_ref() == Some(value)),
                        "{key}, byte {at}"
                    );
                }
                met += usize::from(found.len() < due.len());
            }
            disk.put(path, bytes.clone());
        }
        assert!(met > 40, "{met} damages met");
    }
}
