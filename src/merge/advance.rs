//! The short way: takes one more event into a resolved record without looking at the others.
//!
//! It is taken where the outcome is certain from the record alone: the event is the newest on its
//! side's line, or names alone decide. In every other case it says so, and the caller folds the record anew. A property holds the two ways equal.

use std::sync::Arc;

use crate::{
    event::{Detail, Event, Header, Kind},
    id::{FieldName, SideName},
    merge::{
        fold::{Heard, is_counted, line_class, may_echo, tells_of_end},
        judge,
        line::{Entry, Line, Parents},
        record::{Candidate, Field, InFlight, Reason, Record, Shown, SideState, Told, Waiting},
        sides::ended,
    },
    rulebook::Rulebook,
    value::Value,
};

/// What became of an event.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Advance {
    /// The record has taken it in.
    Done,
    /// The record has to be folded anew, with the event whether or not the line holds it by now.
    Refold,
}

/// Takes `heard`, which the line does not hold yet, into the record if that can be done the short way.
pub fn advance(record: &mut Record, line: &mut Line, heard: &Heard, book: &Rulebook) -> Advance {
    let header = &heard.event.header;
    let awaited = record.waiting.iter().any(|waiting| waiting.names.contains(&header.said));
    let set_aside = !record.contradicted.is_empty() || !record.copies.is_empty();
    let on_line = line_class(header.kind).is_some();
    let under_others = record.side(&header.origin.side).is_some_and(|state| {
        // Where a side has merged records, what is said of those that ended has a place of its own.
        let merged = !state.gone.is_empty();
        // What it shows is known under one of its ids.
        let [known, named] = [&state.link, &header.origin.link];
        merged || on_line && known.is_some() && named.is_some() && known != named
    });
    let odd = set_aside || under_others || book.is_void(&header.said) || line.find(&header.said).is_some();
    let wakes = !record.timed && header.seen.is_some() && matches!(header.kind, Kind::Edit | Kind::Create);
    if odd || awaited && !wakes || record.unheard.contains(&header.said) {
        return Advance::Refold;
    }
    let Some(parents) = parents(record, line, header) else {
        let entry = push(record, line, heard, &[]);
        record.waiting.push(Waiting::new(entry, &heard.event));
        return Advance::Done;
    };
    match header.kind {
        Kind::Edit | Kind::Create | Kind::Observe | Kind::Decide => {
            match say(record, line, heard, Slot::New(parents), book) {
                Advance::Done if awaited => wake(record, line, book),
                other => other,
            }
        }
        Kind::Sent | Kind::Receipt | Kind::Settled => report(record, line, heard, book),
        Kind::Delete | Kind::Restore | Kind::Refused | Kind::Parked | Kind::Released => Advance::Refold,
        Kind::Link | Kind::Unlink | Kind::Absorb => Advance::Refold,
        Kind::Associate | Kind::Dissociate | Kind::Manifest | Kind::Clock => {
            push(record, line, heard, &parents);
            record.aside = record.aside.max(Some(header.said_at));
            Advance::Done
        }
    }
}

/// Takes in all that waited for what has come by now.
fn wake(record: &mut Record, line: &mut Line, book: &Rulebook) -> Advance {
    loop {
        let ready = record.waiting.iter().enumerate().find_map(|(at, waiting)| {
            let parents = parents(record, line, &waiting.event()?.header)?;
            Some((at, parents))
        });
        let Some((at, parents)) = ready else {
            let forgotten = record.waiting.iter().any(|waiting| waiting.event().is_none());
            return if forgotten { Advance::Refold } else { Advance::Done };
        };
        let waiting = record.waiting.remove(at);
        let Entry { seq, place, .. } = line.entries()[waiting.entry as usize];
        let Some(event) = waiting.into_event() else { return Advance::Refold };
        if !matches!(event.header.kind, Kind::Edit | Kind::Create | Kind::Observe | Kind::Decide) {
            return Advance::Refold;
        }
        let entry = line.position(seq).expect("what waits is on the line");
        if say(record, line, &Heard { seq, place, event }, Slot::Waited(entry, parents), book) == Advance::Refold {
            return Advance::Refold;
        }
    }
}

/// Where a statement stands on the line, and what it names.
enum Slot {
    New(Parents),
    Waited(u32, Parents),
}

impl Slot {
    fn parents(&self) -> &[u32] {
        match self {
            Slot::New(parents) | Slot::Waited(_, parents) => parents,
        }
    }

    fn fill(self, record: &mut Record, line: &mut Line, heard: &Heard) -> u32 {
        match self {
            Slot::New(parents) => push(record, line, heard, &parents),
            Slot::Waited(entry, parents) => {
                line.link(entry, &parents);
                entry
            }
        }
    }
}

/// The entries that the event names; `None` if one is missing or waits itself.
fn parents(record: &Record, line: &Line, header: &Header) -> Option<Parents> {
    let mut parents = Parents::new();
    for said in header.seen.iter().flatten() {
        let parent = line.find(said)?;
        if record.waiting.iter().any(|waiting| waiting.entry == parent) {
            return None;
        }
        if !parents.contains(&parent) {
            parents.push(parent);
        }
    }
    Some(parents)
}

fn push(record: &mut Record, line: &mut Line, heard: &Heard, parents: &[u32]) -> u32 {
    record.last = heard.seq;
    line.push(Entry { said: heard.event.header.said, seq: heard.seq, place: heard.place }, parents)
}

/// Takes words of a side or a person.
fn say(record: &mut Record, line: &mut Line, heard: &Heard, slot: Slot, book: &Rulebook) -> Advance {
    let header = &heard.event.header;
    let connected = has_shadow(record, book, &header.origin.side);
    let on_line = line_class(header.kind).is_some();
    let newest = record.side(&header.origin.side).is_none_or(|state| header.said_at > state.newest);
    let by_names = header.seen.is_some() && !record.timed;
    let unknown = header.kind == Kind::Observe && !connected;
    let named_aside = header.seen.is_some() && record.aside.is_some_and(|aside| aside >= header.said_at);
    if unknown || named_aside || tells_of_end(&heard.event) {
        return Advance::Refold;
    }
    let timeless = by_names && !connected;
    if record.mortal || on_line && !newest && !timeless {
        return if !record.mortal && is_late_echo(record, heard) {
            take_echo(record, line, heard, slot)
        } else {
            Advance::Refold
        };
    }
    let depth = Depth { parents: slot.parents(), by_names };
    if !by_names && header.seen.is_some() && !names_all(record, header) {
        return Advance::Refold;
    }
    let Some(plans) = plan(record, line, heard, &depth, connected && on_line, book) else {
        return Advance::Refold;
    };
    let entry = slot.fill(record, line, heard);
    record.timed |= header.seen.is_none();
    if on_line {
        touch(record, header);
    }
    let mut own = !connected || !on_line;
    let mut told = None;
    for (plan, (name, value)) in plans.into_iter().zip(heard.event.words()) {
        if connected && on_line {
            own |= shown_mut(record.side_mut(&header.origin.side), name).take(header, value, header.said_at);
        }
        if let Change::Word { superseded } = plan {
            let told = Arc::clone(told.get_or_insert_with(|| Told::of(header)));
            carry_out(record, &superseded, name, Candidate::of(entry, told, value), header.record.kind(), book);
        }
    }
    record.echoes += u32::from(!own && may_echo(header));
    Advance::Done
}

/// How an event relates to candidates: what it names, and whether that is all there is to know.
struct Depth<'a> {
    parents: &'a [u32],
    by_names: bool,
}

/// What a statement does to one of its fields.
enum Change {
    /// Nothing: it is an echo, or does not count.
    None,
    /// It takes the place of these of the field's candidates, ascending, and stands beside the others.
    Word { superseded: Vec<u32> },
}

fn carry_out(record: &mut Record, superseded: &[u32], name: &FieldName, new: Candidate, kind: &str, book: &Rulebook) {
    let at = match record.fields.binary_search_by(|known| known.name.cmp(name)) {
        Ok(at) => at,
        Err(at) => {
            let field =
                Field { name: name.clone(), candidates: Vec::new(), winner: 0, reason: Reason::Only, merged: None };
            record.fields.insert(at, field);
            at
        }
    };
    let field = &mut record.fields[at];
    field.merged = None;
    match superseded {
        [] => judge::insert(&mut field.candidates, new, book),
        // Mostly the newest is followed by a newer one: then none of the others moves.
        [only] if judge::fits(&field.candidates, *only as usize, &new, book) => {
            field.candidates[*only as usize] = new;
        }
        _ => {
            let mut place = 0;
            field.candidates.retain(|_| {
                place += 1;
                superseded.binary_search(&(place - 1)).is_err()
            });
            judge::insert(&mut field.candidates, new, book);
        }
    }
    let ruling = judge::judge(kind, name, &field.candidates, book);
    (field.winner, field.reason) = (ruling.winner as u32, ruling.reason);
}

/// What each word does; `None` where the record has to be folded anew.
fn plan(
    record: &Record,
    line: &Line,
    heard: &Heard,
    depth: &Depth,
    echoes: bool,
    book: &Rulebook,
) -> Option<Vec<Change>> {
    let (event, header) = (&heard.event, &heard.event.header);
    let kind = header.record.kind();
    let mut changes = Vec::with_capacity(header.fields.len());
    for (name, value) in event.words() {
        let is_word = !echoes || is_word(record, header, name, value);
        let counts = header.kind == Kind::Decide || is_counted(kind, name, event, book);
        if !is_word || !counts {
            changes.push(Change::None);
            continue;
        }
        let candidates = record.field(name).map_or(&[][..], |field| &field.candidates);
        let merges = book.may_merge(kind, name);
        if merges && header.seen.is_none() && !builds_on_own(record, header, name, candidates) {
            return None;
        }
        let gone = |(at, candidate): (u32, &Candidate)| supersedes(line, header, depth, candidate).then_some(at);
        let superseded: Vec<u32> = (0..).zip(candidates).filter_map(gone).collect();
        if superseded.len() < candidates.len() && merges {
            return None;
        }
        changes.push(Change::Word { superseded });
    }
    Some(changes)
}

/// Whether the side's own candidates are what it showed when this was said, rather than what a write of ours replaced.
fn builds_on_own(record: &Record, header: &Header, name: &FieldName, candidates: &[Candidate]) -> bool {
    let side = &header.origin.side;
    let told = |candidate: &Candidate| candidate.known.iter().any(|(known, _)| known == side);
    let shown = record.side(side).and_then(|state| state.shown(name));
    let is_shown = |candidate: &Candidate| {
        shown.is_none_or(|shown| !shown.by_us && shown.at == candidate.said_at) && candidates.len() == 1
    };
    let own = candidates.iter().filter(|candidate| candidate.origin == header.origin);
    own.into_iter().all(|candidate| told(candidate) || is_shown(candidate))
}

fn supersedes(line: &Line, header: &Header, depth: &Depth, candidate: &Candidate) -> bool {
    match (&header.seen, depth.by_names) {
        (Some(_), true) => depth.parents.iter().any(|parent| line.saw(*parent, candidate.entry)),
        (Some(seen), false) => seen.contains(&candidate.said),
        (None, _) => {
            candidate.origin == header.origin || candidate.known.iter().any(|(side, _)| *side == header.origin.side)
        }
    }
}

/// Whether an event names every candidate of its fields, so that no clock has to be asked.
fn names_all(record: &Record, header: &Header) -> bool {
    let seen = header.seen.as_deref().unwrap_or_default();
    let candidates = header.fields.iter().filter_map(|name| record.field(name)).flat_map(|field| &field.candidates);
    candidates.into_iter().all(|candidate| seen.contains(&candidate.said))
}

fn is_word(record: &Record, header: &Header, name: &FieldName, value: &Value) -> bool {
    let shown = record.side(&header.origin.side).and_then(|state| state.shown(name)).cloned();
    shown.unwrap_or_else(|| Shown::nothing(name)).take(header, value, header.said_at)
}

/// Whether every word repeats a write of ours that is the newest on its field, and comes after it.
fn is_late_echo(record: &Record, heard: &Heard) -> bool {
    let header = &heard.event.header;
    let plain = matches!(header.kind, Kind::Edit) && !header.author.is_another() && !header.fields.is_empty();
    let Some(state) = record.side(&header.origin.side).filter(|_| plain) else { return false };
    let repeats = |(name, value): (&FieldName, &Value)| {
        state.shown(name).is_some_and(|shown| {
            let same = shown.newest.as_ref() == Some(value) && shown.by_us && shown.at <= header.said_at;
            same && shown.pending.is_none() && !shown.doubt
        })
    };
    let explicit = header.seen.as_ref().is_some_and(|seen| !seen.is_empty());
    let linked = header.origin.link.is_none() || header.origin.link == state.link;
    !explicit && linked && heard.event.words().all(repeats)
}

fn take_echo(record: &mut Record, line: &mut Line, heard: &Heard, slot: Slot) -> Advance {
    let header = &heard.event.header;
    slot.fill(record, line, heard);
    record.timed |= header.seen.is_none();
    record.echoes += 1;
    touch(record, header);
    for (name, value) in heard.event.words() {
        shown_mut(record.side_mut(&header.origin.side), name).take(header, value, header.said_at);
    }
    Advance::Done
}

/// Takes what became of a write, or that none was needed.
fn report(record: &mut Record, line: &mut Line, heard: &Heard, book: &Rulebook) -> Advance {
    let header = &heard.event.header;
    let newest = record.side(&header.origin.side).is_none_or(|state| header.said_at > state.newest);
    let repeats = header.carries.iter().flatten().any(|said| record.repeats.binary_search(said).is_ok());
    // What it says of a time that has passed may make an echo of a word.
    let is_late = matches!(heard.event.payload.detail, Detail::Took { .. });
    // What came to nothing was never on its way.
    let nothing = header.kind == Kind::Receipt && header.fields.is_empty() && !ended(&heard.event).is_empty();
    // Where something was deleted, what is said of one of a side's ids may have a place of its own.
    let may_end = record.mortal || tells_of_end(&heard.event);
    if !newest || repeats || is_late || nothing || may_end {
        return Advance::Refold;
    }
    let connected = has_shadow(record, book, &header.origin.side);
    if !connected && header.kind != Kind::Settled {
        return Advance::Refold;
    }
    let Some(mut in_flight) = still_open(record, line, &heard.event) else { return Advance::Refold };
    let entry = push(record, line, heard, &[]);
    touch(record, header);
    let state = record.side_mut(&header.origin.side);
    if let (Kind::Sent, Some(key)) = (header.kind, heard.event.payload.detail.write_key()) {
        let (key, fields) = (key.to_owned(), header.fields.clone());
        in_flight.push(InFlight { key, entry, at: header.said_at, fields });
    }
    state.in_flight = in_flight;
    if connected {
        for (name, value) in heard.event.words() {
            shown_mut(state, name).take(header, value, header.said_at);
        }
    }
    if header.kind != Kind::Sent {
        learn(record, line, header);
    }
    Advance::Done
}

/// The writes of which nothing is known even after this event; `None` where it does not name those that it ends.
fn still_open(record: &Record, line: &Line, event: &Event) -> Option<Vec<InFlight>> {
    let state = record.side(&event.header.origin.side);
    let mut open = state.map(|state| state.in_flight.clone()).unwrap_or_default();
    let ends = ended(event);
    let is_named = |write: &InFlight| ends.contains(&line.entries()[write.entry as usize].said);
    let before = open.len();
    open.retain(|write| !is_named(write));
    let names_all = before - open.len() == ends.len();
    // A receipt ends every write before it that left when outcomes did not name them yet.
    let is_certain = event.header.kind != Kind::Receipt || open.is_empty();
    (names_all && is_certain).then_some(open)
}

/// Notes that a side has learned of words.
fn learn(record: &mut Record, line: &Line, header: &Header) {
    record.timed |= !header.fields.is_empty();
    for said in header.carries.iter().flatten().filter(|said| line.find(said).is_none()) {
        if let Err(at) = record.unheard.binary_search(said) {
            record.unheard.insert(at, *said);
        }
    }
    let side = &header.origin.side;
    for (name, carries) in header.fields.iter().zip(&header.carries) {
        let Ok(at) = record.fields.binary_search_by(|field| field.name.cmp(name)) else { continue };
        for candidate in record.fields[at].candidates.iter_mut().filter(|c| carries.contains(&c.said)) {
            if !candidate.known.iter().any(|(known, _)| known == side) {
                let place = candidate.known.partition_point(|(known, _)| known < side);
                candidate.known.insert(place, (side.clone(), header.said_at));
            }
        }
    }
}

/// Notes an event's time and, where it says one, the side's id.
fn touch(record: &mut Record, header: &Header) {
    let state = record.side_mut(&header.origin.side);
    state.newest = state.newest.max(header.said_at);
    if header.origin.link.is_some() && (header.kind.is_said() || header.kind == Kind::Receipt) {
        state.link.clone_from(&header.origin.link);
    }
}

fn shown_mut<'a>(state: &'a mut SideState, name: &FieldName) -> &'a mut Shown {
    let at = match state.shows.binary_search_by(|shown| shown.field.cmp(name)) {
        Ok(at) => at,
        Err(at) => {
            state.shows.insert(at, Shown::nothing(name));
            at
        }
    };
    &mut state.shows[at]
}

/// Whether the record keeps what the side shows: without it no echo can be told.
fn has_shadow(record: &Record, book: &Rulebook, side: &SideName) -> bool {
    let connected = book.newest().sides.get(side).is_some_and(|spec| spec.connected);
    connected || record.side(side).is_some_and(|state| !state.shows.is_empty())
}
