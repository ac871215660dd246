//! The record's Automerge document: the only door to Automerge.
//!
//! The document is built from a [`Fold`], never edited: every change is made on exactly what its author had
//! seen, so Automerge's own conflict set on a field is the field's set of candidates. Where
//! names alone tell what was seen, an event is one change, on a line of its origin. Where times
//! take part, what an author had seen differs from field to field, so each word is a change of its own.
//! Merged fields live in objects that a fixed genesis change makes, so that two sides that fill a field for the
//! first time fill the same object. Operations are numbered from what the change had seen, so the same set
//! of events gives the same heads in every store.

use std::{
    collections::{BTreeMap, HashMap},
    num::NonZeroU64,
};

use automerge::{
    ActorId, Automerge, Change, ChangeHash, ExpandedChange, ObjId, ObjType, ROOT, ReadDoc, ScalarValue,
    legacy::{self, Key, ObjectId, OpId},
    transaction::{CommitOptions, Transactable},
};

use crate::{
    event::{Header, Origin},
    field::FieldType,
    id::{FieldName, Hashing},
    merge::{
        before::Before,
        fold::{Fold, Word},
        record::{Reason, Record},
        text::{self, Splice},
    },
    value::{Value, View},
};

/// A document that cannot be built or does not say what the record says.
#[derive(Debug, thiserror::Error)]
pub enum DocumentError {
    /// Automerge refused a change that this build made, or panicked on it.
    #[error("the record's document cannot be built")]
    Build(#[source] automerge::AutomergeError),
    /// The conflict set of a field is not its candidates.
    #[error("the document's conflict set of {field} has {found} words, the record has {due} candidates")]
    Candidates {
        /// The field.
        field: FieldName,
        /// How many the document has.
        found: usize,
        /// How many the record has.
        due: usize,
    },
    /// A merged field has another value in the document.
    #[error("the document's {field} is not what the record shows")]
    Merged {
        /// The field.
        field: FieldName,
    },
}

/// A record's document, with what ties it to the events.
pub struct Document {
    doc: Automerge,
    /// How many changes it took.
    pub changes: usize,
    /// The operation of each word: field, event, operation.
    operations: HashMap<(FieldName, u32), OpId>,
    merged: BTreeMap<FieldName, FieldType>,
}

impl Document {
    /// Builds the document of a fold.
    ///
    /// # Errors
    /// If Automerge refuses a change.
    pub fn build(fold: &Fold, record: &Record) -> Result<Self, DocumentError> {
        let mut builder = Builder::new(fold, record);
        if record.timed {
            builder.by_words()
        } else {
            builder.by_events()
        }
        let mut doc = Automerge::new();
        let changes = builder.changes.len();
        doc.apply_changes(builder.changes).map_err(DocumentError::Build)?;
        let mut document = Document { doc, changes, operations: builder.operations, merged: builder.merged };
        for (name, kind) in document.merged.clone() {
            let words = &fold.words[&name];
            let before = fold.before(&name);
            let one = merged_document(fold, &name, &kind, words, &before).map_err(DocumentError::Build)?;
            document.changes += words.len() + 1;
            document.doc.apply_changes(one.get_changes(&[])).map_err(DocumentError::Build)?;
        }
        Ok(document)
    }

    /// The document's heads, in hex, ascending: equal for equal sets of events.
    pub fn heads(&self) -> Vec<String> {
        let mut heads: Vec<String> = self.doc.get_heads().iter().map(ToString::to_string).collect();
        heads.sort();
        heads
    }

    /// The document in Automerge's own format.
    pub fn save(&self) -> Vec<u8> {
        self.doc.save()
    }

    /// Checks that conflict sets are candidates, and that merged fields agree.
    ///
    /// # Errors
    /// With the first field that differs.
    pub fn check(&self, record: &Record) -> Result<(), DocumentError> {
        for field in &record.fields {
            if let Some(kind) = self.merged.get(&field.name) {
                self.check_merged(&field.name, kind, field.value())?;
                continue;
            }
            let found = self.doc.get_all(ROOT, &*field.name).map_err(DocumentError::Build)?;
            let due = |entry: u32| {
                let operation = self.operations.get(&(field.name.clone(), entry))?;
                Some(ObjId::Id(operation.0, operation.1.clone(), 0))
            };
            let agrees = |(value, id): &(automerge::Value, ObjId)| {
                let candidate = field.candidates.iter().find(|candidate| due(candidate.entry).as_ref() == Some(id));
                candidate.is_some_and(|candidate| *value == automerge::Value::from(scalar(&candidate.value)))
            };
            if found.len() != field.candidates.len() || !found.iter().all(agrees) {
                let (found, due) = (found.len(), field.candidates.len());
                return Err(DocumentError::Candidates { field: field.name.clone(), found, due });
            }
        }
        Ok(())
    }

    fn check_merged(&self, name: &FieldName, kind: &FieldType, due: &Value) -> Result<(), DocumentError> {
        let shown = read_merged(&self.doc, name, kind).map_err(DocumentError::Build)?;
        if shown == *due { Ok(()) } else { Err(DocumentError::Merged { field: name.clone() }) }
    }
}

struct Builder<'f, 'a> {
    fold: &'f Fold<'a>,
    changes: Vec<Change>,
    operations: HashMap<(FieldName, u32), OpId>,
    /// The change of each event, with the highest operation that it or its ancestors made.
    made: HashMap<u32, (ChangeHash, u64)>,
    merged: BTreeMap<FieldName, FieldType>,
    words: HashMap<u32, Vec<(&'a FieldName, &'a Value)>>,
}

impl<'f, 'a> Builder<'f, 'a> {
    fn new(fold: &'f Fold<'a>, record: &Record) -> Self {
        let merged = record.fields.iter().filter(|field| field.reason == Reason::Merge);
        let merged: BTreeMap<_, _> = merged.map(|field| (field.name.clone(), fold.merged_kind(field))).collect();
        let mut words: HashMap<u32, Vec<_>> = HashMap::new();
        for (name, said) in fold.words.iter().filter(|(name, _)| !merged.contains_key(**name)) {
            said.iter().for_each(|word| words.entry(word.event).or_default().push((*name, word.value)));
        }
        Builder { fold, changes: Vec::new(), operations: HashMap::new(), made: HashMap::new(), merged, words }
    }

    /// One change an event, in a line of its origin: what it had seen is what it names.
    fn by_events(&mut self) {
        let fold = self.fold;
        let mut candidates: HashMap<&FieldName, Vec<u32>> = HashMap::new();
        let mut lines: HashMap<&Origin, Vec<Open>> = HashMap::new();
        let reach = fold.line();
        for at in fold.canonical_order() {
            let header = &fold.heard[at as usize].event.header;
            let words = self.words.remove(&at).unwrap_or_default();
            let deps: Vec<(ChangeHash, u64)> =
                fold.named[at as usize].iter().filter_map(|parent| self.made.get(parent).copied()).collect();
            // A line is continued only by an event that had seen its end; dead ends are left behind.
            let lines = lines.entry(&header.origin).or_default();
            let mut open = match lines.iter().rposition(|open| reach.saw(at, open.last)) {
                Some(line) => lines.remove(line),
                None => Open { actor: actor(header, "line"), seq: 0, last: at },
            };
            (open.seq, open.last) = (open.seq + 1, at);
            let (actor, seq) = (open.actor.clone(), open.seq);
            lines.push(open);
            if lines.len() > OPEN_LINES_MAX {
                lines.remove(0);
            }
            let preds = words.iter().map(|(name, _)| {
                let held = candidates.entry(name).or_default();
                let (known, kept) = held.iter().partition(|other| reach.saw(at, **other));
                *held = kept;
                held.push(at);
                known
            });
            let preds: Vec<Vec<u32>> = preds.collect();
            self.push_change(at, actor, seq, deps, &words, &preds);
        }
    }

    /// One change a word: what its author had seen of that field.
    fn by_words(&mut self) {
        let fold = self.fold;
        let all: Vec<&FieldName> = fold.words.keys().copied().filter(|name| !self.merged.contains_key(*name)).collect();
        let mut rank = vec![u32::MAX - 1; fold.heard.len()];
        fold.canonical_order().into_iter().zip(0..).for_each(|(at, place)| rank[at as usize] = place);
        for name in all {
            let before = fold.before(name);
            let values: HashMap<u32, &Value> = fold.words[name].iter().map(|word| (word.event, word.value)).collect();
            let mut held: Vec<u32> = Vec::new();
            self.made.clear();
            for at in before.ranked_order(&rank).into_iter().filter(|at| values.contains_key(at)) {
                let known = fold.supersedes(&before, at, name, &held);
                held.retain(|other| !known.contains(other));
                held.push(at);
                let deps = known.iter().filter_map(|other| self.made.get(other).copied()).collect();
                let header = &fold.heard[at as usize].event.header;
                self.push_change(at, actor(header, name), 1, deps, &[(name, values[&at])], &[known]);
            }
        }
    }

    fn push_change(
        &mut self,
        at: u32,
        actor: ActorId,
        seq: u64,
        deps: Vec<(ChangeHash, u64)>,
        words: &[(&FieldName, &Value)],
        preds: &[Vec<u32>],
    ) {
        let start = 1 + deps.iter().map(|(_, highest)| *highest).max().unwrap_or(0);
        let operations = words.iter().zip(preds).zip(start..).map(|(((name, value), preds), counter)| {
            let id = |other: &u32| self.operations[&((*name).clone(), *other)].clone();
            let pred: Vec<OpId> = preds.iter().map(id).collect();
            self.operations.insert(((*name).clone(), at), OpId::new(counter, &actor));
            legacy::Op {
                action: legacy::OpType::Put(scalar(value)),
                obj: ObjectId::Root,
                key: Key::Map((***name).into()),
                pred: pred.into(),
                insert: false,
            }
        });
        let operations: Vec<legacy::Op> = operations.collect();
        let mut hashes: Vec<ChangeHash> = deps.iter().map(|(hash, _)| *hash).collect();
        hashes.sort();
        hashes.dedup();
        let change = Change::from(ExpandedChange {
            operations,
            actor_id: actor,
            hash: None,
            seq,
            start_op: NonZeroU64::new(start).expect("operations are numbered from 1"),
            time: self.fold.heard[at as usize].event.header.said_at.0 / 1000,
            message: None,
            deps: hashes,
            extra_bytes: Vec::new(),
            author: None,
        });
        self.made.insert(at, (change.hash(), start + words.len() as u64 - 1));
        self.changes.push(change);
    }
}

/// An Automerge actor's line of changes, each of which had seen the one before.
struct Open {
    actor: ActorId,
    seq: u64,
    last: u32,
}

/// How many lines of one origin are looked through for one to continue.
const OPEN_LINES_MAX: usize = 4;

/// An actor that sorts by plain content first: time and side, then what tells lines apart.
fn actor(header: &Header, line: &str) -> ActorId {
    let mut bytes = header.said_at.0.wrapping_add(i64::MIN).to_be_bytes().to_vec();
    bytes.extend_from_slice(header.origin.side.as_bytes());
    let digest =
        Hashing::new("syncline 1 document actor").update_sized(&header.said.0).update_sized(line.as_bytes()).digest();
    bytes.extend_from_slice(&digest.0[..16]);
    ActorId::from(bytes)
}

/// A value as Automerge keeps it: whole numbers as such, everything that would lose its spelling as canonical bytes.
fn scalar(value: &Value) -> ScalarValue {
    match value.view() {
        View::Null => ScalarValue::Null,
        View::Bool(truth) => ScalarValue::Boolean(truth),
        View::Text(text) => ScalarValue::Str(text.into()),
        View::Number(text) => match text.parse::<i64>() {
            Ok(number) if number.to_string() == text => ScalarValue::Int(number),
            _ => ScalarValue::Bytes(value.as_bytes().to_vec()),
        },
        _ => ScalarValue::Bytes(value.as_bytes().to_vec()),
    }
}

/// The text that all words on a field make together, by characters.
pub(super) fn merged_text(fold: &Fold, name: &FieldName, words: &[Word], before: &Before) -> Value {
    let kind = FieldType::LongText;
    let merged = merged_document(fold, name, &kind, words, before).and_then(|doc| read_merged(&doc, name, &kind));
    merged.expect("changes made on documents of this build apply")
}

/// The change that makes a merged field's object; the same bytes in every store.
fn genesis(name: &FieldName, kind: &FieldType) -> Change {
    let digest = Hashing::new("syncline 1 document genesis").update_sized(name.as_bytes()).digest();
    let action = match kind {
        FieldType::Counter => legacy::OpType::Put(ScalarValue::counter(0)),
        FieldType::Set | FieldType::References(_) => legacy::OpType::Make(ObjType::Map),
        _ => legacy::OpType::Make(ObjType::Text),
    };
    let make = legacy::Op {
        action,
        obj: ObjectId::Root,
        key: Key::Map((**name).into()),
        pred: Vec::new().into(),
        insert: false,
    };
    Change::from(ExpandedChange {
        operations: vec![make],
        actor_id: ActorId::from(&digest.0[..16]),
        hash: None,
        seq: 1,
        start_op: NonZeroU64::MIN,
        time: 0,
        message: None,
        deps: Vec::new(),
        extra_bytes: Vec::new(),
        author: None,
    })
}

/// A document with nothing but one merged field: each word is a difference against what its author had seen.
fn merged_document(
    fold: &Fold,
    name: &FieldName,
    kind: &FieldType,
    words: &[Word],
    before: &Before,
) -> Result<Automerge, automerge::AutomergeError> {
    let genesis = genesis(name, kind);
    let mut doc = Automerge::new();
    doc.apply_changes([genesis.clone()])?;
    let values: HashMap<u32, &Value> = words.iter().map(|word| (word.event, word.value)).collect();
    let shown = fold.shown_before(name);
    let mut made: HashMap<u32, ChangeHash> = HashMap::new();
    for at in before.order().into_iter().filter(|at| values.contains_key(at)) {
        let seen = before.of([at].into_iter());
        let mut heads: Vec<ChangeHash> =
            made.iter().filter(|(other, _)| seen[**other as usize]).map(|(_, hash)| *hash).collect();
        heads.push(genesis.hash());
        heads.sort();
        let header = &fold.heard[at as usize].event.header;
        let mut fork = doc.fork_at(&heads)?.with_actor(actor(header, name));
        let options = CommitOptions::default().with_time(header.said_at.0 / 1000);
        let mut transaction = fork.transaction();
        put_merged(&mut transaction, name, kind, values[&at], shown.get(&at).copied())?;
        // A word that changes nothing still is a change, so that it is part of the history.
        let (hash, _) = transaction.commit_with(options);
        let hash = match hash {
            Some(hash) => hash,
            None => fork.empty_commit(CommitOptions::default().with_time(header.said_at.0 / 1000)),
        };
        made.insert(at, hash);
        doc.apply_changes(fork.get_change_by_hash(&hash))?;
    }
    Ok(doc)
}

/// Puts a word into a merged field. `shown` is what its author's side showed him, where that is known.
fn put_merged(
    doc: &mut impl Transactable,
    name: &FieldName,
    kind: &FieldType,
    value: &Value,
    shown: Option<&Value>,
) -> Result<(), automerge::AutomergeError> {
    let now = read_merged(doc, name, kind)?;
    match kind {
        FieldType::Counter => {
            let by = value.as_i64().unwrap_or(0).wrapping_sub(now.as_i64().unwrap_or(0));
            if by != 0 { doc.increment(ROOT, &**name, by) } else { Ok(()) }
        }
        FieldType::Set | FieldType::References(_) => {
            let (old, new) = (elements(&now), elements(value));
            let object = object(doc, name)?;
            for gone in old.iter().filter(|element| !new.contains(element)) {
                doc.delete(&object, gone.to_json())?;
            }
            for come in new.iter().filter(|element| !old.contains(element)) {
                doc.put(&object, come.to_json(), true)?;
            }
            Ok(())
        }
        _ => {
            let plain = |value: &Value| value.as_text().unwrap_or_default().to_owned();
            let shown = shown.map_or_else(|| plain(&now), plain);
            splice(doc, name, text::changes(&plain(&now), &shown, &plain(value)))
        }
    }
}

fn splice(
    doc: &mut impl Transactable,
    name: &FieldName,
    splices: Vec<Splice>,
) -> Result<(), automerge::AutomergeError> {
    let object = object(doc, name)?;
    // From the end, so that earlier positions stay what they are.
    for Splice { at, gone, come } in splices.into_iter().rev() {
        doc.splice_text(&object, at, gone as isize, &come)?;
    }
    Ok(())
}

fn object(doc: &impl ReadDoc, name: &FieldName) -> Result<ObjId, automerge::AutomergeError> {
    Ok(doc.get(ROOT, &**name)?.expect("the genesis change made the object").1)
}

fn elements(value: &Value) -> Vec<Value> {
    match value.view() {
        View::List(elements) => elements.collect(),
        _ => Vec::new(),
    }
}

fn read_merged(doc: &impl ReadDoc, name: &FieldName, kind: &FieldType) -> Result<Value, automerge::AutomergeError> {
    let (shown, object) = doc.get(ROOT, &**name)?.expect("the genesis change made the object");
    Ok(match kind {
        FieldType::Counter => Value::integer(shown.as_i64().unwrap_or(0)),
        FieldType::Set | FieldType::References(_) => {
            let mut elements: Vec<Value> =
                doc.keys(&object).map(|key| Value::from_json(&key).expect("keys are JSON of this build")).collect();
            elements.sort();
            Value::list(&elements)
        }
        _ => Value::text(&doc.text(&object)?),
    })
}
