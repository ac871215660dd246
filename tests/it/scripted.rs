//! A log's life that follows from a seed: sessions, appends and checkpoints, on whatever disk.

use std::path::Path;

use syncline::{
    id::{Seq, TenantKey},
    log::{Entry, Log, LogError, Options, Recovery},
    sim::disk::{SimDisk, mixed},
    state::{
        Checkpoint,
        checkpoint::{Counts, LAYOUT},
    },
};

/// Where the log lies.
pub fn dir() -> &'static Path {
    Path::new("store/log")
}

/// Where the checkpoint lies.
pub fn state() -> &'static Path {
    Path::new("store/state")
}

/// What the world was told: this much is on disk.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Told {
    pub durable: u64,
    pub checkpointed: u64,
}

/// One session: how many entries each call appends and whether it waits; and whether a checkpoint ends it.
struct Session {
    calls: Vec<(u64, bool)>,
    checkpoint: bool,
}

/// A life that follows from a seed.
pub struct Life {
    seed: u64,
    options: Options,
    sessions: Vec<Session>,
}

impl Life {
    /// The life of this seed.
    pub fn new(seed: u64) -> Life {
        let mut state = seed;
        let mut below = |most: u64| mixed(&mut state) % most;
        let options = Options { segment_bytes: [700, 1_500, 6_000][below(3) as usize] };
        let session = |below: &mut dyn FnMut(u64) -> u64| Session {
            calls: (0..2 + below(4)).map(|_| (1 + below(7), below(4) > 0)).collect(),
            checkpoint: below(3) > 0,
        };
        let sessions = (0..2 + below(2)).map(|_| session(&mut below)).collect();
        Life { seed, options, sessions }
    }

    /// How many calls append something.
    pub fn calls(&self) -> u64 {
        self.sessions.iter().map(|session| session.calls.len() as u64).sum()
    }

    /// What the entry with this sequence says: lengths differ, and some entries take several sectors.
    pub fn content(&self, seq: u64) -> (Vec<u8>, Vec<u8>) {
        let mut state = self.seed ^ seq.wrapping_mul(0x9e37_79b9);
        let most = if mixed(&mut state).is_multiple_of(6) { 1_400 } else { 60 };
        let length = mixed(&mut state) % most;
        let payload = (0..length).map(|_| (mixed(&mut state) >> 60) as u8).collect();
        (format!("header {seq} of {}", self.seed).into_bytes(), payload)
    }

    /// Whether an entry is what was said under its sequence.
    pub fn said(&self, header: &[u8], payload: &[u8]) -> bool {
        let seq = std::str::from_utf8(header).ok().and_then(|header| header.split(' ').nth(1)?.parse().ok());
        seq.is_some_and(|seq| self.content(seq) == (header.to_vec(), payload.to_vec()))
    }

    /// Makes the log.
    pub fn create(&self, disk: &SimDisk) -> Result<Log, LogError> {
        Log::create(disk.shared(), dir(), &TenantKey([7; 32]), "acme", self.options)
    }

    /// Opens the log, as far as a checkpoint says that it is not to be read.
    pub fn open_at(&self, disk: &SimDisk, checkpointed: u64) -> Result<(Log, Recovery), LogError> {
        Log::open(disk.shared(), dir(), self.options, Seq(checkpointed))
    }

    /// Opens the log as an engine does: from the checkpoint that is there.
    pub fn open(&self, disk: &SimDisk) -> Result<(Log, Recovery), LogError> {
        self.open_at(disk, checkpointed(disk).unwrap_or(0))
    }

    /// Appends the next `count` entries in one call.
    pub fn append(&self, log: &Log, count: u64) -> Result<Seq, LogError> {
        let first = log.last().0 + 1;
        let contents: Vec<_> = (first..first + count).map(|seq| self.content(seq)).collect();
        let entries: Vec<_> = contents.iter().map(|(header, payload)| Entry::new(header, payload)).collect();
        let appended = log.append(&entries)?;
        assert_eq!(appended.first, Seq(first));
        Ok(appended.last)
    }

    /// Checks that all of the log is what was said, and gives how much there is.
    pub fn check(&self, log: &Log) -> u64 {
        let mut count = 0;
        for stored in log.scan(Seq(1)) {
            let stored = stored.expect("an undamaged log");
            count += 1;
            assert_eq!(stored.seq, Seq(count));
            assert!((stored.header, stored.payload) == self.content(count), "entry {count} is what was said");
            assert_eq!(log.find(Seq(count)).expect("it is found"), stored.place);
        }
        assert_eq!(log.durable(), Seq(count));
        let verified = log.verify(&|header, payload| self.said(header, payload), &mut |_| {}).expect("the disk works");
        assert_eq!((verified.events, verified.faults.len()), (count, 0));
        count
    }

    /// Lives, whatever state the disk is in, and says how far it came.
    pub fn live(&self, disk: &SimDisk, told: &mut Told) -> Result<(), LogError> {
        for session in &self.sessions {
            let log = self.begin(disk, told)?;
            for (count, waits) in &session.calls {
                let last = self.append(&log, *count)?;
                if *waits {
                    log.wait(last)?;
                    told.durable = last.0;
                }
            }
            if session.checkpoint {
                log.wait(log.last())?;
                told.durable = log.last().0;
                write_checkpoint(disk, told.durable)?;
                told.checkpointed = told.durable;
            }
            log.close()?;
        }
        Ok(())
    }

    /// Opens or makes the log, and checks that nothing is missing in it.
    pub fn begin(&self, disk: &SimDisk, told: &mut Told) -> Result<Log, LogError> {
        let named = checkpointed(disk).unwrap_or(0);
        assert!(named >= told.checkpointed, "a checkpoint of {} was there, now of {named}", told.checkpointed);
        let log = match self.open_at(disk, named) {
            Ok((log, recovery)) => {
                assert_eq!(recovery.faults, [], "a crash is not taken for damage");
                log
            }
            Err(LogError::Missing { .. }) if told.durable == 0 => self.create(disk)?,
            Err(why) => return Err(why),
        };
        let there = self.check(&log);
        assert!(there >= told.durable, "what was acknowledged is there: {there} of {told:?}");
        // What an opened log shows may be answered for.
        told.durable = there;
        Ok(log)
    }

    /// Opens what a crash or an error has left, checks it, goes on, and opens it once more.
    pub fn survives(&self, disk: &SimDisk, mut told: Told, what: &str) {
        let on =
            |result: Result<Log, LogError>| result.unwrap_or_else(|why| panic!("seed {}, {what}: {why}", self.seed));
        let log = on(self.begin(disk, &mut told));
        let last = self.append(&log, 2).expect("a whole log takes entries");
        log.wait(last).expect("the disk works");
        told.durable = last.0;
        log.close().expect("the disk works");
        let (log, recovery) = self.open(disk).expect("the log opens");
        assert_eq!((recovery.faults, recovery.torn, recovery.rewritten), (vec![], None, None), "{what}");
        assert_eq!(self.check(&log), told.durable, "{what}");
    }
}

/// What the checkpoint stands for, if one can be read.
pub fn checkpointed(disk: &SimDisk) -> Option<u64> {
    Checkpoint::read(&*disk.shared(), state()).map(|checkpoint| checkpoint.seq.0)
}

fn write_checkpoint(disk: &SimDisk, seq: u64) -> Result<(), LogError> {
    let counts = Counts { events: seq, ..Counts::default() };
    let checkpoint = Checkpoint { layout: LAYOUT, seq: Seq(seq), counts, ..Checkpoint::default() };
    let failed = |source| LogError::Io { doing: "write a checkpoint in", path: state().to_owned(), source };
    checkpoint.write(&*disk.shared(), state()).map_err(failed)
}
