//! A run: keys and values in one file, ascending by key, that is written once and never changed.
//!
//! | part | what |
//! |---|---|
//! | blocks | entries, packed with Zstandard where that makes them smaller |
//! | index | among them, blocks of pointers to the blocks before, each with its first key; as many levels as it takes for one block to hold the last |
//! | filter | bits that tell most keys which are not in the run |
//! | end | the uppermost pointers, where the filter is, and how many keys there are |
//!
//! | bytes | an entry |
//! |---|---|
//! | 1 to 10 | number (LEB128): k, bytes of the key |
//! | 1 to 10 | number: 0: the key was removed; else 1 + v, v bytes of the value |
//! | k | the key |
//! | v | the value |
//!
//! Whoever names a run names the hash of its end, and every pointer holds the hash of what it points to: what is read is what was
//! written, or an error.

use std::{
    cell::RefCell,
    collections::HashMap,
    io,
    sync::{
        Arc, Mutex, OnceLock, PoisonError,
        mpsc::{Receiver, sync_channel},
    },
    thread,
};

use rustc_hash::FxBuildHasher;
use serde::{Deserialize, Serialize};
use zstd::bulk::{Compressor, Decompressor};

use super::packed::{put_number, take_number};
use crate::{codec, id::Hashing, log::disk::DiskFile};

/// A block takes no more entries from this size on: a reader unpacks one for each key it asks for.
const BLOCK_BYTES: usize = 4 << 10;
/// The fastest of Zstandard's usual levels.
const PACKING_LEVEL: i32 = 1;
/// Pointers in a block of the index.
const FAN_OUT: usize = 128;
/// With ten bits a key and six of them set, one of a hundred keys that are not there is looked for.
const FILTER_BITS_PER_KEY: usize = 10;
const FILTER_PROBES: u64 = 6;
/// Written at once, so that a large run is not a write for each block.
const WRITE_BYTES: usize = 1 << 20;
/// Blocks on their way to the thread that packs them.
const BLOCKS_AHEAD: usize = 8;
/// Blocks of the index that are kept unpacked.
const INDEX_KEPT: usize = 512;
/// The first bytes of a hash are enough to tell damage.
type Check = [u8; 8];

/// A key with its value; `None`: it was removed.
pub type Entry = (Box<str>, Option<Vec<u8>>);

/// A run as a checkpoint names it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Name {
    /// The number in its file's name.
    pub number: u64,
    /// The file's length.
    pub bytes: u64,
    /// How many of those are its end.
    end: u32,
    check: Check,
}

impl Name {
    /// The name of the file.
    pub fn file(&self) -> String {
        file_name(self.number)
    }
}

/// The name of the file of a run.
pub fn file_name(number: u64) -> String {
    format!("{number:08}.run")
}

/// The number of the run whose file has this name.
pub fn file_number(name: &str) -> Option<u64> {
    let number = name.strip_suffix(".run")?.parse().ok()?;
    (file_name(number) == name).then_some(number)
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Pointer {
    first: Box<str>,
    at: u64,
    bytes: u32,
    /// The bytes once they are unpacked; as many as `bytes` if they were not packed.
    raw: u32,
    check: Check,
}

#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
struct End {
    /// How many levels of the index stand between `root` and the entries.
    levels: u8,
    root: Vec<Pointer>,
    filter: Pointer,
    keys: u64,
}

fn check(bytes: &[u8]) -> Check {
    let digest = Hashing::new("syncline 1 state run").update(bytes).digest();
    let mut first = [0; 8];
    first.copy_from_slice(&digest.0[..8]);
    first
}

/// Unpacks a block that is so many bytes long.
fn unpack(bytes: &[u8], raw: usize) -> io::Result<Vec<u8>> {
    thread_local! {
        // Making one takes longer than unpacking a block with it.
        static UNPACKING: RefCell<Option<Decompressor<'static>>> = const { RefCell::new(None) };
    }
    let block = UNPACKING.with_borrow_mut(|known| {
        let unpacking = match known {
            Some(unpacking) => unpacking,
            None => known.insert(Decompressor::new()?),
        };
        unpacking.decompress(bytes, raw).map_err(|_| damaged())
    })?;
    if block.len() == raw { Ok(block) } else { Err(damaged()) }
}

fn damaged() -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, "the bytes are not those that were written")
}

/// The places of a key in a filter: FNV-1a, mixed, and stepped through.
fn probes(key: &str) -> (u64, u64) {
    let hash = key
        .bytes()
        .fold(0xcbf2_9ce4_8422_2325, |hash: u64, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3));
    let mixed = (hash ^ (hash >> 32)).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    (mixed, mixed.rotate_left(29) | 1)
}

/// The next entry of a block, taken off its front; `None` if the bytes make no sense.
fn take_entry<'b>(bytes: &mut &'b [u8]) -> Option<(&'b str, Option<&'b [u8]>)> {
    let length = |bytes: &mut &'b [u8]| take_number(bytes).and_then(|length| usize::try_from(length).ok());
    let (key, value) = (length(bytes)?, length(bytes)?);
    let (key, rest) = bytes.split_at_checked(key)?;
    let (found, rest) = rest.split_at_checked(value.saturating_sub(1))?;
    *bytes = rest;
    Some((std::str::from_utf8(key).ok()?, (value > 0).then_some(found)))
}

/// Writes a run into an empty file and makes it durable; its name in the directory is the caller's to sync.
///
/// `entries` are ascending by key, name each key once, and are no more than `most`. Memory holds a few blocks of them, and a
/// filter for so many.
///
/// # Errors
/// If the disk fails, or an entry is an error.
pub fn write<E: From<io::Error>>(
    file: &dyn DiskFile,
    number: u64,
    most: usize,
    entries: impl Iterator<Item = Result<Entry, E>>,
) -> Result<Name, E> {
    // One thread makes the entries, the other packs and writes them.
    thread::scope(|scope| {
        let (send, blocks) = sync_channel::<(Box<str>, Vec<u8>)>(BLOCKS_AHEAD);
        let packing = scope.spawn(move || Packer::new(file)?.pack_all(blocks));
        let (mut filter, mut keys) = (Filter::new(most), 0);
        let (mut first, mut block) = (None, Vec::with_capacity(2 * BLOCK_BYTES));
        let mut made = Ok(());
        for entry in entries {
            let (key, value) = match entry {
                Ok(entry) => entry,
                Err(why) => {
                    made = Err(why);
                    break;
                }
            };
            filter.add(&key);
            keys += 1;
            put_number(&mut block, key.len() as u64);
            put_number(&mut block, value.as_ref().map_or(0, |value| value.len() as u64 + 1));
            block.extend_from_slice(key.as_bytes());
            block.extend_from_slice(value.as_deref().unwrap_or_default());
            let begins = first.get_or_insert(key);
            if block.len() >= BLOCK_BYTES {
                let full = std::mem::replace(&mut block, Vec::with_capacity(2 * BLOCK_BYTES));
                // If nobody packs any more, the other thread tells why.
                if send.send((std::mem::take(begins), full)).is_err() {
                    break;
                }
                first = None;
            }
        }
        if let (Some(first), true) = (first, made.is_ok()) {
            // As above.
            drop(send.send((first, block)));
        }
        drop(send);
        let packed = packing.join().unwrap_or_else(|_| Err(io::Error::other("the disk panicked")));
        made?;
        let mut packer = packed?;
        Ok(packer.finish(number, &filter, keys)?)
    })
}

/// Bits that tell most keys which are not there.
struct Filter(Vec<u8>);

impl Filter {
    /// One with room for so many keys.
    fn new(keys: usize) -> Self {
        Filter(vec![0; (keys * FILTER_BITS_PER_KEY).div_ceil(8).max(8)])
    }

    /// The bits of a key.
    fn bits(&self, key: &str) -> impl Iterator<Item = (usize, u8)> + use<> {
        let all = self.0.len() as u64 * 8;
        let (hash, step) = probes(key);
        (0..FILTER_PROBES).map(move |probe| {
            let bit = hash.wrapping_add(step.wrapping_mul(probe)) % all;
            ((bit / 8) as usize, 1 << (bit % 8))
        })
    }

    fn add(&mut self, key: &str) {
        self.bits(key).for_each(|(byte, bit)| self.0[byte] |= bit);
    }

    fn may_have(&self, key: &str) -> bool {
        self.bits(key).all(|(byte, bit)| self.0[byte] & bit != 0)
    }
}

/// The end of a run that is being written.
struct Packer<'a> {
    file: &'a dyn DiskFile,
    packing: Compressor<'static>,
    out: Vec<u8>,
    /// Where `out` goes.
    at: u64,
    /// Of each level of the index, the lowest first, the pointers that are in no block yet.
    levels: Vec<Vec<Pointer>>,
}

impl<'a> Packer<'a> {
    fn new(file: &'a dyn DiskFile) -> io::Result<Self> {
        let packing = Compressor::new(PACKING_LEVEL)?;
        Ok(Packer { file, packing, out: Vec::new(), at: 0, levels: vec![Vec::new()] })
    }

    fn pack_all(mut self, blocks: Receiver<(Box<str>, Vec<u8>)>) -> io::Result<Self> {
        for (first, block) in blocks {
            let pointer = self.put(first, &block)?;
            self.point(0, pointer)?;
        }
        Ok(self)
    }

    /// Adds a pointer to a level of the index; a level that is full becomes a block, to which the next one points.
    fn point(&mut self, level: usize, pointer: Pointer) -> io::Result<()> {
        if self.levels[level].len() == FAN_OUT {
            self.close_level(level)?;
        }
        self.levels[level].push(pointer);
        Ok(())
    }

    fn close_level(&mut self, level: usize) -> io::Result<()> {
        let pointers = std::mem::take(&mut self.levels[level]);
        let Some(first) = pointers.first().map(|pointer| pointer.first.clone()) else { return Ok(()) };
        let block = self.put(first, &codec::encode(&pointers))?;
        if level + 1 == self.levels.len() {
            self.levels.push(Vec::new());
        }
        self.point(level + 1, block)
    }

    fn put(&mut self, first: Box<str>, raw: &[u8]) -> io::Result<Pointer> {
        let packed = self.packing.compress(raw)?;
        let bytes = if packed.len() < raw.len() { &packed } else { raw };
        let length = |bytes: &[u8]| u32::try_from(bytes.len()).map_err(|_| io::ErrorKind::FileTooLarge);
        let at = self.at + self.out.len() as u64;
        let pointer = Pointer { first, at, bytes: length(bytes)?, raw: length(raw)?, check: check(bytes) };
        self.out.extend_from_slice(bytes);
        if self.out.len() >= WRITE_BYTES {
            self.write_out()?;
        }
        Ok(pointer)
    }

    fn write_out(&mut self) -> io::Result<()> {
        self.file.write_at(&self.out, self.at)?;
        self.at += self.out.len() as u64;
        self.out.clear();
        Ok(())
    }

    fn finish(&mut self, number: u64, filter: &Filter, keys: u64) -> io::Result<Name> {
        let mut level = 0;
        while level + 1 < self.levels.len() {
            self.close_level(level)?;
            level += 1;
        }
        let root = std::mem::take(&mut self.levels[level]);
        let levels = u8::try_from(level).map_err(|_| io::ErrorKind::FileTooLarge)?;
        let filter = self.put("".into(), &filter.0)?;
        let end = codec::encode(&End { levels, root, filter, keys });
        self.out.extend_from_slice(&end);
        self.write_out()?;
        self.file.sync()?;
        let length = u32::try_from(end.len()).map_err(|_| io::ErrorKind::FileTooLarge)?;
        Ok(Name { number, bytes: self.at, end: length, check: check(&end) })
    }
}

/// A run that is open for reading.
pub struct Run {
    name: Name,
    file: Arc<dyn DiskFile>,
    end: End,
    filter: OnceLock<Filter>,
    index: Mutex<HashMap<u64, Arc<[Pointer]>, FxBuildHasher>>,
}

impl Run {
    /// Opens a run by the name that a checkpoint has for it.
    ///
    /// # Errors
    /// If the disk fails, or the file is not what was written.
    pub fn open(file: Arc<dyn DiskFile>, name: Name) -> io::Result<Run> {
        let start = name.bytes.checked_sub(u64::from(name.end)).ok_or_else(damaged)?;
        let mut bytes = vec![0; name.end as usize];
        if file.len()? != name.bytes
            || file.read_full_at(&mut bytes, start)? < bytes.len()
            || check(&bytes) != name.check
        {
            return Err(damaged());
        }
        let end = codec::decode(&bytes).map_err(|_| damaged())?;
        Ok(Run { name, file, end, filter: OnceLock::new(), index: Mutex::default() })
    }

    /// The run's name.
    pub fn name(&self) -> Name {
        self.name
    }

    /// The value of a key; `None` if the run does not have it, `Some(None)` if it was removed.
    ///
    /// # Errors
    /// As [`Run::open`].
    pub fn get(&self, key: &str) -> io::Result<Option<Option<Vec<u8>>>> {
        if !self.may_have(key)? {
            return Ok(None);
        }
        let mut level = None;
        for _ in 0..self.end.levels {
            let Some(below) = pointer_to(level.as_deref().unwrap_or(&self.end.root), key) else { return Ok(None) };
            level = Some(self.pointers(below)?);
        }
        let Some(block) = pointer_to(level.as_deref().unwrap_or(&self.end.root), key) else { return Ok(None) };
        let block = self.read(block)?;
        let mut rest = &block[..];
        while !rest.is_empty() {
            let (found, value) = take_entry(&mut rest).ok_or_else(damaged)?;
            if found == key {
                return Ok(Some(value.map(<[u8]>::to_vec)));
            }
        }
        Ok(None)
    }

    /// How many keys it has.
    pub fn keys(&self) -> u64 {
        self.end.keys
    }

    fn may_have(&self, key: &str) -> io::Result<bool> {
        if let Some(filter) = self.filter.get() {
            return Ok(filter.may_have(key));
        }
        let filter = Filter(self.read(&self.end.filter)?);
        if filter.0.is_empty() {
            return Err(damaged());
        }
        Ok(self.filter.get_or_init(|| filter).may_have(key))
    }

    fn read(&self, pointer: &Pointer) -> io::Result<Vec<u8>> {
        let mut bytes = vec![0; pointer.bytes as usize];
        if self.file.read_full_at(&mut bytes, pointer.at)? < bytes.len() || check(&bytes) != pointer.check {
            return Err(damaged());
        }
        if pointer.raw == pointer.bytes {
            return Ok(bytes);
        }
        unpack(&bytes, pointer.raw as usize)
    }

    /// A block of the index, as it is in the file.
    fn pointers_there(&self, pointer: &Pointer) -> io::Result<Arc<[Pointer]>> {
        let read: Vec<Pointer> = codec::decode(&self.read(pointer)?).map_err(|_| damaged())?;
        Ok(read.into())
    }

    /// A block of the index, kept for the next one who asks.
    fn pointers(&self, pointer: &Pointer) -> io::Result<Arc<[Pointer]>> {
        let index = || self.index.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(known) = index().get(&pointer.at) {
            return Ok(Arc::clone(known));
        }
        let read = self.pointers_there(pointer)?;
        let mut index = index();
        if index.len() >= INDEX_KEPT {
            index.clear();
        }
        index.insert(pointer.at, Arc::clone(&read));
        Ok(read)
    }

    /// All entries from the first key that is not before `from`, ascending.
    pub fn entries(self: Arc<Self>, from: &str) -> Entries {
        Entries { run: self, from: from.into(), path: Vec::new(), block: Vec::new(), at: 0, state: Walk::Begins }
    }
}

/// The last pointer whose first key is not after `key`.
fn pointer_to<'p>(pointers: &'p [Pointer], key: &str) -> Option<&'p Pointer> {
    pointers.partition_point(|pointer| *pointer.first <= *key).checked_sub(1).map(|at| &pointers[at])
}

enum Walk {
    Begins,
    Goes,
    Over,
}

/// The entries of a run; see [`Run::entries`].
pub struct Entries {
    run: Arc<Run>,
    from: Box<str>,
    /// The blocks of the index that are being walked, the uppermost first, and the next pointer of each.
    path: Vec<(Arc<[Pointer]>, usize)>,
    block: Vec<u8>,
    at: usize,
    state: Walk,
}

impl Entries {
    /// Goes to the block that would hold the first key.
    fn begin(&mut self) -> io::Result<()> {
        let mut pointers: Arc<[Pointer]> = self.run.end.root.clone().into();
        for level in 0..=self.run.end.levels {
            let at = pointers.partition_point(|pointer| *pointer.first <= *self.from).saturating_sub(1);
            self.path.push((Arc::clone(&pointers), at + usize::from(level < self.run.end.levels)));
            if level < self.run.end.levels {
                let Some(pointer) = pointers.get(at) else { return Ok(()) };
                pointers = self.run.pointers(pointer)?;
            }
        }
        Ok(())
    }

    /// Reads the next block; false at the end.
    fn next_block(&mut self) -> io::Result<bool> {
        let depth = usize::from(self.run.end.levels) + 1;
        while let Some((pointers, at)) = self.path.last_mut() {
            let Some(pointer) = pointers.get(*at).cloned() else {
                self.path.pop();
                continue;
            };
            *at += 1;
            if self.path.len() == depth {
                (self.block, self.at) = (self.run.read(&pointer)?, 0);
                return Ok(true);
            }
            // Each is passed once.
            let below = self.run.pointers_there(&pointer)?;
            self.path.push((below, 0));
        }
        Ok(false)
    }

    fn step(&mut self) -> io::Result<Option<Entry>> {
        if matches!(self.state, Walk::Begins) {
            self.begin()?;
            self.state = Walk::Goes;
        }
        loop {
            while self.at < self.block.len() {
                let mut rest = &self.block[self.at..];
                let (key, value) = take_entry(&mut rest).ok_or_else(damaged)?;
                self.at = self.block.len() - rest.len();
                if *key >= *self.from {
                    return Ok(Some((key.into(), value.map(<[u8]>::to_vec))));
                }
            }
            if !self.next_block()? {
                return Ok(None);
            }
        }
    }
}

impl Iterator for Entries {
    type Item = io::Result<Entry>;

    fn next(&mut self) -> Option<Self::Item> {
        if matches!(self.state, Walk::Over) {
            return None;
        }
        let step = self.step();
        if !matches!(step, Ok(Some(_))) {
            self.state = Walk::Over;
        }
        step.transpose()
    }
}
