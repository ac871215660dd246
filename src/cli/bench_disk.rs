//! What the disk alone takes while something else is measured: a write and a sync every ten milliseconds.
//!
//! One that was due while the one before had not ended is timed from when it was due, as the requests beside it are: a stall of
//! the machine shows in both alike.

use std::{
    fs::{self, File},
    io::{self, Write},
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

const DISTANCE: Duration = Duration::from_millis(10);
/// About what one request of ten events makes.
const BYTES: usize = 2_000;

/// Syncs that go on until they are ended.
pub struct Syncs {
    ends: Arc<AtomicBool>,
    task: JoinHandle<io::Result<Vec<Duration>>>,
}

impl Syncs {
    /// Begins, in a file that is removed at the end.
    pub fn begin(path: PathBuf) -> Self {
        let ends = Arc::new(AtomicBool::new(false));
        let told = ends.clone();
        Syncs { ends, task: thread::spawn(move || run(&path, &told)) }
    }

    /// What each took from when it was due, ascending.
    pub fn end(self) -> io::Result<Vec<Duration>> {
        self.ends.store(true, Ordering::Relaxed);
        let mut took = self.task.join().map_err(|_| io::Error::other("the thread that syncs died"))??;
        took.sort_unstable();
        Ok(took)
    }
}

/// Moments at an even distance, one after the other.
pub struct Pace {
    distance: Duration,
    due: Instant,
    /// When the last one began.
    from: Option<Instant>,
}

impl Pace {
    /// Begins now.
    pub fn of(distance: Duration) -> Self {
        Pace { distance, due: Instant::now(), from: None }
    }

    /// Waits until the next one is due, and says from when it is to be timed.
    pub fn next(&mut self) -> Instant {
        let is_late = self.from.is_some_and(|from| from.elapsed() > self.distance);
        thread::sleep(self.due.saturating_duration_since(Instant::now()));
        // Where none was under way, waking late is the processor's matter and nobody else's.
        let from = if is_late { self.due } else { Instant::now() };
        self.from = Some(from);
        self.due += self.distance;
        from
    }
}

fn run(path: &Path, ends: &AtomicBool) -> io::Result<Vec<Duration>> {
    let (mut file, bytes) = (File::create(path)?, [7; BYTES]);
    let (mut took, mut pace) = (Vec::new(), Pace::of(DISTANCE));
    while !ends.load(Ordering::Relaxed) {
        let from = pace.next();
        file.write_all(&bytes)?;
        file.sync_data()?;
        took.push(from.elapsed());
    }
    fs::remove_file(path)?;
    Ok(took)
}
