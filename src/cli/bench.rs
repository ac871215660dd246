//! How fast the engine is on a file of statements, measured in a process of its own.
//!
//! What each measure holds is told by `syncline bench --help`; the figures have the names that comparisons with other
//! stores use.

use std::{
    fs, io,
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use serde::{Deserialize, Serialize, Serializer, ser::SerializeMap};

use super::{
    args::{Bench, Measure},
    bench_crowd,
    bench_disk::Syncs,
    bench_hooks, bench_shown,
    failure::{End, Failure},
    import::{Summary, take_file},
    lines::Lines,
    open::{self, Open, Place},
    tell,
    waits::Waits,
};
use crate::{
    capture::neutral::{self, Line, Statement},
    clock::{Clock, HandClock, Millis},
    engine::Engine,
    event::{DEFAULT_SOURCE, Draft, Named},
    history::Principal,
    id::SideName,
    send::{Outcome, Receipt},
};

/// Statements that are said together, as in an import.
const BATCH_LINES: usize = 256;
/// The first edits of a journey go alone, to see what one of them takes.
const ALONE_LINES: usize = 200;
/// When journeys begin.
const JOURNEY_BEGINS: Millis = Millis(1_750_000_000_000);
/// `/proc` counts processor time in hundredths of a second on every machine that this runs on.
const TICKS_PER_SECOND: f64 = 100.0;
/// Which of the sample's records a cold start reads.
const COLD_RECORD: usize = 7;

/// The rules of a journey: both sides take any field of any record, and the last write wins. The guard against loops counts
/// but never parks, since days of edits go by in seconds.
const JOURNEY_MANIFEST: &str = "\
syncline: 1
tenant: bench
sides:
  crm: { connector: in_process, cooldown: { flips: 1000000, within: 1s } }
  portal: { connector: in_process, cooldown: { flips: 1000000, within: 1s } }
defaults: { rule: last_write_wins }
records:
  \"*\":
    fields:
      \"*\": { type: any }
";

/// Measures one thing and prints its figures.
pub fn bench(args: &Bench, place: &Place, out: &mut dyn io::Write) -> Result<End, Failure> {
    let (figures, end) = match args.measure {
        Measure::Ingest => ingest(args.data()?, place)?,
        Measure::Query => query(args.data()?, place)?,
        Measure::Cold => cold(args.data()?, place)?,
        Measure::Journey => journey(args.data()?, place)?,
        Measure::Documents => documents(place)?,
        Measure::Hooks => hooks(place)?,
        Measure::Writers => writers(place)?,
        Measure::Readers => readers(args.data()?, place)?,
    };
    if place.json {
        tell::json(out, &figures)?;
    } else {
        let rows = figures.0.iter().map(|(name, value)| vec![(*name).to_owned(), value.to_string()]);
        tell::table(out, &[], rows)?;
    }
    Ok(end)
}

/// What was measured, in the order in which it is told.
#[derive(Debug, Default)]
struct Figures(Vec<(&'static str, Figure)>);

#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
#[serde(untagged)]
enum Figure {
    Count(u64),
    Measured(f64),
}

impl std::fmt::Display for Figure {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Figure::Count(count) => f.write_str(&tell::count(*count)),
            Figure::Measured(measured) => write!(f, "{measured:.3}"),
        }
    }
}

impl Serialize for Figures {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(Some(self.0.len()))?;
        self.0.iter().try_for_each(|(name, value)| map.serialize_entry(name, value))?;
        map.end()
    }
}

impl Figures {
    fn count(&mut self, name: &'static str, count: u64) -> &mut Self {
        self.0.push((name, Figure::Count(count)));
        self
    }

    fn measured(&mut self, name: &'static str, measured: f64) -> &mut Self {
        self.0.push((name, Figure::Measured(measured)));
        self
    }

    /// What the process has used so far, and what the store takes on disk.
    fn add_usage(&mut self, store: &Path) -> Result<(), Failure> {
        let status = read_text(Path::new("/proc/self/status"))?;
        let stat = read_text(Path::new("/proc/self/stat"))?;
        self.measured("rss_mb", peak_kib(&status).unwrap_or_default() as f64 / 1024.0);
        self.measured("cpu_secs", processor_ticks(&stat).unwrap_or_default() as f64 / TICKS_PER_SECOND);
        self.count("bytes", bytes_in(store)?);
        Ok(())
    }
}

/// The most memory that the process ever held, from `/proc/self/status`.
fn peak_kib(status: &str) -> Option<u64> {
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    line.trim().strip_suffix("kB")?.trim().parse().ok()
}

/// User and system time of all threads, ended ones too, from `/proc/self/stat`.
fn processor_ticks(stat: &str) -> Option<u64> {
    // The second member is the program's name in parentheses, in which anything may stand.
    let (_, rest) = stat.rsplit_once(')')?;
    let mut members = rest.split_ascii_whitespace().skip(11);
    let mut next = || members.next()?.parse::<u64>().ok();
    Some(next()? + next()?)
}

fn bytes_in(path: &Path) -> Result<u64, Failure> {
    let failed = |source| Failure::Read { path: path.to_owned(), source };
    let found = fs::symlink_metadata(path).map_err(failed)?;
    if !found.is_dir() {
        return Ok(found.len());
    }
    let mut bytes = 0;
    for entry in fs::read_dir(path).map_err(failed)? {
        bytes += bytes_in(&entry.map_err(failed)?.path())?;
    }
    Ok(bytes)
}

fn read_text(path: &Path) -> Result<String, Failure> {
    fs::read_to_string(path).map_err(|source| Failure::Read { path: path.to_owned(), source })
}

/// Makes the store that is measured; one that is there already would be another measure, and is not even opened.
fn make(place: &Place, manifest: Option<String>, clock: Option<HandClock>) -> Result<Open, Failure> {
    let is_taken = match fs::read_dir(&place.store) {
        Ok(mut entries) => entries.next().is_some(),
        Err(why) if why.kind() == io::ErrorKind::NotFound => false,
        Err(source) => return Err(Failure::Read { path: place.store.clone(), source }),
    };
    if is_taken {
        let place = place.store.display();
        return Err(Failure::Use(format!("{place} is not empty, and this measures a new store")));
    }
    let builder = place.unruled();
    let builder = manifest.into_iter().fold(builder, |builder, text| builder.manifest(text));
    let builder = clock.into_iter().fold(builder, |builder, clock| builder.clock(clock));
    open::open(builder)
}

/// Takes a file in as `import` does, and closes the store: from then on merged records are read without a replay.
fn ingest(data: &Path, place: &Place) -> Result<(Figures, End), Failure> {
    let lines = Lines::open(data)?;
    let open = make(place, place.manifest_text()?, None)?;
    let (mut waits, mut summary) = (Waits::default(), Summary::default());
    let begun = Instant::now();
    take_file(&open.engine, lines, DEFAULT_SOURCE, &mut waits, &mut summary)?;
    let taken = begun.elapsed();
    let conflicts = open.engine.counts()?.conflicts_open;
    open.close()?;
    let all = begun.elapsed();
    let mut figures = Figures::default();
    figures.count("n", summary.lines).measured("secs", all.as_secs_f64());
    figures.measured("events_per_s", rate(summary.lines, all));
    figures.measured("taken_secs", taken.as_secs_f64()).measured("close_secs", (all - taken).as_secs_f64());
    figures.count("events", summary.events).count("duplicates", summary.duplicates).count("bad", summary.bad);
    figures.count("conflicts", conflicts);
    figures.add_usage(&place.store)?;
    Ok((figures, End::well(summary.bad == 0)))
}

fn rate(count: u64, took: Duration) -> f64 {
    count as f64 / took.as_secs_f64().max(1e-9)
}

/// Records to ask for, with what is known of them.
#[derive(Deserialize)]
struct Sample {
    records: Vec<Sampled>,
    hot: Sampled,
}

#[derive(Deserialize)]
struct Sampled {
    record: String,
    /// How many values were said of it.
    edits: u64,
}

impl Sample {
    fn read(path: &Path) -> Result<Self, Failure> {
        let sample: Sample = serde_json::from_str(&read_text(path)?)
            .map_err(|why| Failure::Read { path: path.to_owned(), source: io::Error::from(why) })?;
        if sample.records.is_empty() {
            return Err(Failure::Use(format!("{} names no records", path.display())));
        }
        Ok(sample)
    }
}

/// Asks for the whole history of each record of a sample.
fn query(data: &Path, place: &Place) -> Result<(Figures, End), Failure> {
    let sample = Sample::read(data)?;
    let open = place.open()?;
    let reader = open.engine.read(&Principal::operator());
    let ask = |of: &Sampled| -> Result<(Duration, u64), Failure> {
        let begun = Instant::now();
        let changes = reader.history(&of.record, None)?;
        Ok((begun.elapsed(), changes.map_or(0, |changes| changes.len() as u64)))
    };
    // The first question pays for what all of them share.
    ask(&sample.records[0])?;
    let (mut took, mut whole) = (Vec::with_capacity(sample.records.len()), 0_u64);
    for of in &sample.records {
        let (time, changes) = ask(of)?;
        took.push(time);
        whole += u64::from(changes == of.edits);
    }
    let (hot, hot_changes) = ask(&sample.hot)?;
    took.sort_unstable();
    let hot_is_whole = hot_changes == sample.hot.edits;
    let mut figures = Figures::default();
    figures.count("n", took.len() as u64);
    figures.measured("hist_p50_us", micros(at_percent(&took, 50)));
    figures.measured("hist_p95_us", micros(at_percent(&took, 95)));
    figures.measured("hot_ms", hot.as_secs_f64() * 1e3).count("hot_n", hot_changes);
    figures.measured("hist_ok", whole as f64 / took.len() as f64).count("hot_ok", u64::from(hot_is_whole));
    open.close()?;
    figures.add_usage(&place.store)?;
    Ok((figures, End::well(hot_is_whole && whole == took.len() as u64)))
}

fn micros(time: Duration) -> f64 {
    time.as_secs_f64() * 1e6
}

/// The smallest of `sorted` that at least so many percent of them do not exceed, as peers count it; zero of none.
fn at_percent(sorted: &[Duration], percent: usize) -> Duration {
    sorted.get(sorted.len() * percent / 100).copied().unwrap_or_default()
}

/// Opens the store and reads one record.
fn cold(data: &Path, place: &Place) -> Result<(Figures, End), Failure> {
    let sample = Sample::read(data)?;
    let of = sample.records.get(COLD_RECORD).unwrap_or(&sample.records[0]);
    let begun = Instant::now();
    let open = place.open()?;
    let opened = begun.elapsed();
    let read = open.engine.read(&Principal::operator()).get(&of.record)?;
    let all = begun.elapsed();
    let fields = read.map_or(0, |read| read.fields.len() as u64);
    let replayed = open.opening.replayed;
    open.close()?;
    let mut figures = Figures::default();
    figures.measured("cold_ms", all.as_secs_f64() * 1e3).measured("open_ms", opened.as_secs_f64() * 1e3);
    figures.count("fields", fields).count("replayed", replayed);
    figures.add_usage(&place.store)?;
    Ok((figures, End::well(fields > 0)))
}

/// Builds every record's document and checks it, as `verify --documents` does.
fn documents(place: &Place) -> Result<(Figures, End), Failure> {
    let open = place.open()?;
    let begun = Instant::now();
    let audit = open.engine.audit(true, &|_, _, _| {})?;
    let took = begun.elapsed();
    open.close()?;
    let mut figures = Figures::default();
    figures.count("n", audit.changes).measured("secs", took.as_secs_f64());
    figures.measured("events_per_s", rate(audit.changes, took));
    figures.count("documents", audit.documents).count("document_bytes", audit.document_bytes);
    figures.count("findings", audit.findings.len() as u64);
    figures.add_usage(&place.store)?;
    Ok((figures, End::well(audit.is_sound())))
}

/// Sides in this process, which take every write at once.
struct Journey {
    engine: Engine,
    clock: HandClock,
    sides: Vec<SideName>,
    writes: u64,
    values: u64,
    questions: u64,
}

impl Journey {
    /// The next moment: in life too, what answers something comes later than it.
    fn tick(&self) -> Millis {
        self.clock.advance(1);
        self.clock.now()
    }

    /// Says edits, and answers what they bring until nothing is left to send.
    fn say(&mut self, drafts: Vec<Draft>) -> Result<(), Failure> {
        self.tick();
        self.engine.say(drafts)?;
        let mut idle = 0;
        while idle < self.sides.len() {
            idle = 0;
            for side in &self.sides {
                self.tick();
                let (writes, questions) = self.engine.due(side, BATCH_LINES)?;
                // Nothing here gives the engine doubts; should it have any, the outbox does not run empty, and that is told.
                self.questions += questions.len() as u64;
                if writes.is_empty() {
                    idle += 1;
                    continue;
                }
                self.writes += writes.len() as u64;
                self.values += writes.iter().map(|write| write.fields.len() as u64).sum::<u64>();
                let at = Some(self.tick());
                self.tick();
                let applied = |write| (write, Outcome::Applied(Receipt { at, ..Receipt::default() }));
                self.engine.outcome(writes.into_iter().map(applied).collect())?;
            }
        }
        Ok(())
    }

    /// The statement as an edit of this moment.
    ///
    /// No two moments are the same, and a live side does not name what its user had seen.
    fn draft(&self, said: Statement) -> Draft {
        let said_at = self.tick();
        let key = self.engine.record_key(&said.record);
        let draft = said.draft(DEFAULT_SOURCE, &key, 1);
        Draft { said_at, said_seq: None, named: Named::Not, seen: None, ..draft }
    }

    /// Records that are not in agreement with a side.
    fn left_over(&self) -> Result<u64, Failure> {
        self.sides.iter().map(|side| Ok(self.engine.outbox(side)?.0 as u64)).sum()
    }
}

/// Lets every statement of a file go all its way: said, logged, merged, sent, and its receipt logged.
fn journey(data: &Path, place: &Place) -> Result<(Figures, End), Failure> {
    let mut lines = Lines::open(data)?;
    let clock = HandClock::at(JOURNEY_BEGINS);
    let manifest = place.manifest_text()?.unwrap_or_else(|| JOURNEY_MANIFEST.to_owned());
    let open = make(place, Some(manifest), Some(clock.clone()))?;
    let sides = open.engine.edition()?.sides.into_iter().filter(|(_, spec)| spec.connected).map(|(side, _)| side);
    let (engine, sides) = (open.engine.clone(), sides.collect());
    let mut journey = Journey { engine, clock, sides, writes: 0, values: 0, questions: 0 };
    let mut alone = Vec::with_capacity(ALONE_LINES);
    while alone.len() < ALONE_LINES
        && let Some(said) = next_statement(&mut lines, data)?
    {
        let begun = Instant::now();
        let draft = journey.draft(said);
        journey.say(vec![draft])?;
        alone.push(begun.elapsed());
    }
    let (first, begun, mut together) = (open.engine.last(), Instant::now(), 0);
    let mut batch = Vec::with_capacity(BATCH_LINES);
    loop {
        let said = next_statement(&mut lines, data)?;
        let is_last = said.is_none();
        together += u64::from(!is_last);
        batch.extend(said.map(|said| journey.draft(said)));
        if batch.len() == BATCH_LINES || is_last {
            journey.say(std::mem::replace(&mut batch, Vec::with_capacity(BATCH_LINES)))?;
        }
        if is_last {
            break;
        }
    }
    let took = begun.elapsed();
    alone.sort_unstable();
    let (logged, left_over) = (open.engine.last().0 - first.0, journey.left_over()?);
    let mut figures = Figures::default();
    figures.count("n", together).measured("secs", took.as_secs_f64()).measured("events_per_s", rate(together, took));
    figures.measured("alone_p50_us", micros(at_percent(&alone, 50)));
    figures.measured("alone_p95_us", micros(at_percent(&alone, 95)));
    figures.count("logged", logged).count("writes", journey.writes).count("values", journey.values);
    figures.count("questions", journey.questions).count("left_over", left_over);
    drop(journey);
    open.close()?;
    figures.add_usage(&place.store)?;
    Ok((figures, End::well(left_over == 0)))
}

fn hooks(place: &Place) -> Result<(Figures, End), Failure> {
    let manifest = place.manifest_text()?.unwrap_or_else(|| JOURNEY_MANIFEST.to_owned());
    let open = make(place, Some(manifest), None)?;
    let measured = bench_hooks::measure(&open.engine, &place.store)?;
    let millis = |took: Duration| took.as_secs_f64() * 1_000.0;
    let mut figures = Figures::default();
    let (requests, events) = (bench_hooks::requests() as u64, bench_hooks::events() as u64);
    figures.count("n", requests).count("events", events).count("refused", measured.refused as u64);
    figures.measured("secs", measured.took.as_secs_f64()).measured("events_per_s", rate(events, measured.took));
    for (name, percent) in [("p50_ms", 50), ("p95_ms", 95), ("p99_ms", 99)] {
        figures.measured(name, millis(at_percent(&measured.answers, percent)));
    }
    figures.measured("max_ms", millis(measured.answers.last().copied().unwrap_or_default()));
    for (name, percent) in [("fdatasync_p50_ms", 50), ("fdatasync_p95_ms", 95), ("fdatasync_p99_ms", 99)] {
        figures.measured(name, millis(at_percent(&measured.syncs, percent)));
    }
    let taken = open.engine.counts()?.events;
    open.close()?;
    figures.add_usage(&place.store)?;
    let syncs = Syncs::begin(place.store.join("sync"));
    let shown = bench_shown::measure(&place.store.join("shown"));
    let (syncs, shown) = (syncs.end().map_err(Failure::Runtime)?, shown?);
    figures.count("changes", bench_shown::changes() as u64).count("missed", shown.missed as u64);
    for (name, percent) in [("shown_p50_ms", 50), ("shown_p95_ms", 95), ("shown_p99_ms", 99)] {
        figures.measured(name, millis(at_percent(&shown.took, percent)));
    }
    figures.measured("shown_max_ms", millis(shown.took.last().copied().unwrap_or_default()));
    for (name, percent) in [("shown_fdatasync_p50_ms", 50), ("shown_fdatasync_p99_ms", 99)] {
        figures.measured(name, millis(at_percent(&syncs, percent)));
    }
    Ok((figures, End::well(measured.refused == 0 && taken == events && shown.missed == 0)))
}

/// Threads that each wait for the disk, beside what one sync for one edit of each of them allows.
fn writers(place: &Place) -> Result<(Figures, End), Failure> {
    let open = make(place, Some(place.manifest_text()?.unwrap_or_else(|| JOURNEY_MANIFEST.to_owned())), None)?;
    let side = open.engine.edition()?.sides.keys().next().cloned();
    let side = side.ok_or_else(|| Failure::Use("the manifest has no side".to_owned()))?;
    let written = bench_crowd::write(&open.engine, &side, &place.store)?;
    open.close()?;
    let (per_second, allowed) =
        (rate(written.edits, written.took), written.syncs_per_second * bench_crowd::WRITERS as f64);
    let mut figures = Figures::default();
    figures.count("n", written.edits).measured("secs", written.took.as_secs_f64());
    figures.measured("events_per_s", per_second).measured("allowed_per_s", allowed);
    figures.measured("share", per_second / allowed);
    figures.add_usage(&place.store)?;
    Ok((figures, End::Done))
}

/// An import alone, and one of the same into another store while records are asked for.
fn readers(data: &Path, place: &Place) -> Result<(Figures, End), Failure> {
    let mut took = Vec::new();
    for (name, asking) in [("alone", false), ("asked", true)] {
        let place = Place { store: place.store.join(name), ..place.clone() };
        let open = make(&place, place.manifest_text()?, None)?;
        took.push(bench_crowd::ask(&open.engine, data, asking)?);
        open.close()?;
    }
    let (alone, asked) = (&took[0], &took[1]);
    let (alone_rate, asked_rate) = (rate(alone.lines, alone.took), rate(asked.lines, asked.took));
    let mut figures = Figures::default();
    figures.count("n", asked.lines).measured("secs", asked.took.as_secs_f64());
    figures.measured("events_per_s", asked_rate).measured("alone_per_s", alone_rate);
    figures.measured("share", asked_rate / alone_rate);
    figures.count("questions", asked.answers.len() as u64);
    figures.measured("questions_per_s", rate(asked.answers.len() as u64, asked.took));
    for (name, percent) in [("query_p50_ms", 50), ("query_p95_ms", 95), ("query_p99_ms", 99)] {
        figures.measured(name, micros(at_percent(&asked.answers, percent)) / 1e3);
    }
    figures.add_usage(&place.store)?;
    Ok((figures, End::Done))
}

fn next_statement(lines: &mut Lines, data: &Path) -> Result<Option<Statement>, Failure> {
    while let Some((number, line)) = lines.next()? {
        let parsed = line.map_err(neutral::LineError::TooLong).and_then(neutral::parse);
        match parsed {
            Ok(Some(Line::Said(said))) => return Ok(Some(*said)),
            Ok(None) => {}
            Ok(Some(_)) => return Err(bad(data, number, "an export is for `import`")),
            Err(why) => return Err(bad(data, number, &why.to_string())),
        }
    }
    Ok(None)
}

fn bad(data: &Path, number: u64, why: &str) -> Failure {
    Failure::Use(format!("{}:{number}: {why}", data.display()))
}

impl Bench {
    fn data(&self) -> Result<&Path, Failure> {
        let named: Option<&PathBuf> = self.data.as_ref();
        named.map(PathBuf::as_path).ok_or_else(|| Failure::Use("this measure needs --data FILE".to_owned()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn processor_time_is_found_behind_any_name() {
        let stat = "7 (a) b (c)) S 1 7 7 0 -1 4194304 100 0 0 0 31 11 5 6 20 0 4 0 100 1 1";
        assert_eq!(processor_ticks(stat), Some(42));
        assert_eq!(processor_ticks("7 (a"), None);
    }

    #[test]
    fn the_peak_is_found_among_other_sizes() {
        assert_eq!(peak_kib("VmPeak:\t  900 kB\nVmHWM:\t   512 kB\nVmRSS:\t 300 kB\n"), Some(512));
        assert_eq!(peak_kib("VmRSS:\t 300 kB\n"), None);
    }

    #[test]
    fn percentiles_are_counted_as_peers_count_them() {
        let sorted: Vec<Duration> = (0..200).map(Duration::from_micros).collect();
        assert_eq!(at_percent(&sorted, 50), Duration::from_micros(100));
        assert_eq!(at_percent(&sorted, 95), Duration::from_micros(190));
        assert_eq!(at_percent(&[], 95), Duration::ZERO);
    }

    #[test]
    fn figures_keep_their_order_and_their_kind() {
        let mut figures = Figures::default();
        figures.count("n", 1200).measured("a", 0.5);
        assert_eq!(serde_json::to_string(&figures).expect("figures are JSON"), r#"{"n":1200,"a":0.5}"#);
        assert_eq!(figures.0[0].1.to_string(), "1,200");
    }

    const LINES: &str = "\
{\"seq\":1,\"side\":\"crm\",\"record\":\"contact/1\",\"at_ms\":1,\"set\":{\"city\":\"Bonn\",\"name\":\"Ana\"}}
{\"seq\":2,\"side\":\"portal\",\"record\":\"contact/1\",\"at_ms\":2,\"base\":1,\"set\":{\"city\":\"Ulm\"}}

{\"seq\":2,\"side\":\"portal\",\"record\":\"contact/1\",\"at_ms\":2,\"base\":1,\"set\":{\"city\":\"Ulm\"}}
{\"seq\":3,\"side\":\"crm\",\"record\":\"contact/2\",\"at_ms\":3,\"set\":{\"name\":\"Bo\"}}
";

    /// A directory with data, and where its store will be.
    fn place(lines: &str) -> (tempfile::TempDir, PathBuf, Place) {
        let dir = tempfile::tempdir().expect("a directory");
        let data = dir.path().join("edits.jsonl");
        fs::write(&data, lines).expect("a file");
        let place = Place { store: dir.path().join("store"), manifest: None, memory_mib: 16, json: true };
        (dir, data, place)
    }

    #[track_caller]
    fn tells(measured: &(Figures, End), name: &str) -> f64 {
        let of = measured.0.0.iter().find(|(of, _)| *of == name);
        match of.expect("the figure is told").1 {
            Figure::Count(count) => count as f64,
            Figure::Measured(measured) => measured,
        }
    }

    #[test]
    fn what_was_ingested_is_read_from_the_closed_store() {
        let (dir, data, place) = place(LINES);
        let ingested = ingest(&data, &place).expect("the store works");
        assert_eq!(["n", "events", "duplicates", "bad"].map(|name| tells(&ingested, name)), [4.0, 3.0, 1.0, 0.0]);
        assert!(tells(&ingested, "bytes") > 0.0 && tells(&ingested, "rss_mb") > 0.0);
        let sample = dir.path().join("sample.json");
        let sampled =
            "{\"records\":[{\"record\":\"contact/2\",\"edits\":1}],\"hot\":{\"record\":\"contact/1\",\"edits\":EDITS}}";
        for (edits, ok) in [("3", End::Done), ("4", End::Wrong)] {
            fs::write(&sample, sampled.replace("EDITS", edits)).expect("a file");
            let asked = query(&sample, &place).expect("the store works");
            assert_eq!((tells(&asked, "hot_n"), tells(&asked, "hist_ok"), asked.1), (3.0, 1.0, ok));
        }
        let opened = cold(&sample, &place).expect("the store works");
        assert_eq!((tells(&opened, "fields"), tells(&opened, "replayed"), opened.1), (1.0, 0.0, End::Done));
        let built = documents(&place).expect("the store works");
        assert_eq!((tells(&built, "documents"), tells(&built, "findings"), built.1), (2.0, 0.0, End::Done));
        assert!(tells(&built, "n") >= 3.0, "an event is one change, or one for each of its fields");
    }

    #[test]
    fn an_import_goes_on_while_records_are_asked_for() {
        let (_dir, data, place) = place(LINES);
        let told = readers(&data, &place).expect("the store works");
        assert_eq!((tells(&told, "n"), told.1), (4.0, End::Done));
        assert!(tells(&told, "questions") >= 1.0, "{told:?}");
    }

    #[test]
    fn a_store_that_is_there_already_is_not_measured_as_new() {
        let (_dir, data, place) = place(LINES);
        ingest(&data, &place).expect("the store works");
        assert!(matches!(ingest(&data, &place), Err(Failure::Use(_))));
        assert!(matches!(journey(&data, &place), Err(Failure::Use(_))));
    }

    #[test]
    fn a_journey_ends_in_agreement() {
        let line = |number: usize| {
            let (side, record) = (["crm", "portal"][number % 2], number % 7);
            format!(
                "{{\"side\":\"{side}\",\"record\":\"contact/{record}\",\"at_ms\":1,\"set\":{{\"city\":{number}}}}}\n"
            )
        };
        let lines: String = (0..ALONE_LINES + BATCH_LINES + 1).map(line).collect();
        let (_dir, data, place) = place(&lines);
        let gone = journey(&data, &place).expect("the store works");
        assert_eq!(["n", "questions", "left_over"].map(|name| tells(&gone, name)), [257.0, 0.0, 0.0]);
        // Alone, every edit is one write to the other side; together, what was said of a record goes in one.
        assert!((200.0..200.0 + 257.0).contains(&tells(&gone, "writes")), "{gone:?}");
        assert_eq!(gone.1, End::Done);
    }
}
