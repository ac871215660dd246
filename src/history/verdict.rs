//! Why a field is what it is: what won, by which rule, and what it won against.

use std::fmt;

use serde::Serialize;

use super::{
    EXISTENCE_NAME, Reader, inner_name, json,
    sentence::{self, Stand},
    shown_name,
    story::Story,
};
use crate::{
    clock::Millis,
    engine::EngineError,
    event::{Author, AuthorKind, Kind},
    field::{DeleteRule, Rule},
    id::{EventId, FieldName, RecordId, Seq, SideName},
    merge::{
        Existence, Field, Fold, Part, Reason, judge,
        record::{Candidate, Told},
    },
    rulebook::{EXISTENCE, PERSON},
    value::Value,
};

/// A word that was weighed.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Word {
    /// The side that said it; `person` for a decision.
    pub side: SideName,
    /// Who said it.
    pub author: Author,
    /// When, by the side's clock.
    #[serde(flatten, serialize_with = "json::said_at")]
    pub said_at: Millis,
    /// What it says the field is.
    #[serde(serialize_with = "json::value")]
    pub value: Value,
    /// Its event's place in the log.
    pub seq: Seq,
    /// Its event's id.
    #[serde(serialize_with = "json::printed")]
    pub id: EventId,
}

/// Why a field has its value.
#[derive(Clone, PartialEq, Serialize)]
pub struct Verdict {
    /// The record.
    pub record: RecordId,
    /// The field, or `existence`.
    pub field: FieldName,
    /// Its value; null where it is cleared. For existence, whether the record exists.
    #[serde(serialize_with = "json::value")]
    pub value: Value,
    /// By what it was decided.
    #[serde(serialize_with = "json::reason")]
    pub reason: Reason,
    /// The rule in force for it, as a manifest spells it.
    pub rule: String,
    /// Whether a person is to decide.
    pub disputed: bool,
    /// The word that won, or the newest one where there is no winner.
    pub winner: Word,
    /// The words that did not know of the winner, the newest first; for a decision, those that it settled; for a
    /// deletion, also the edits that stand against it.
    pub others: Vec<Word>,
    /// All of it in a sentence.
    pub sentence: String,
}

impl fmt::Debug for Verdict {
    // The sentence says the values.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut shown = f.debug_struct("Verdict");
        shown.field("record", &self.record).field("field", &self.field).field("value", &self.value);
        shown.field("reason", &self.reason).field("rule", &self.rule).field("disputed", &self.disputed);
        shown.field("winner", &self.winner).field("others", &self.others).finish_non_exhaustive()
    }
}

/// Who last changed a field.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Blame {
    /// The field, or `existence`.
    pub field: FieldName,
    /// Its value; null where it is cleared.
    #[serde(serialize_with = "json::value")]
    pub value: Value,
    /// The side that said it.
    pub side: SideName,
    /// Who said it.
    pub author: Author,
    /// When, by the side's clock.
    #[serde(flatten, serialize_with = "json::said_at")]
    pub said_at: Millis,
    /// The event's place in the log.
    pub seq: Seq,
    /// The event's id.
    #[serde(serialize_with = "json::printed")]
    pub id: EventId,
}

impl Reader {
    /// Why a field, or `existence`, is what it is; `None` if nothing that counts was said of it.
    ///
    /// # Errors
    /// If an event that was weighed is damaged, with its sequence.
    pub fn why(&self, record: &str, field: &str) -> Result<Option<Verdict>, EngineError> {
        let Ok(id) = RecordId::new(record) else { return Ok(None) };
        let Some(story) = self.story(&id)? else { return Ok(None) };
        match story.record.field(inner_name(field)) {
            Some(field) => self.verdict(&id, &story, field).map(Some),
            None => Ok(None),
        }
    }

    /// Who last changed each field of a record, ascending by field; `None` if nothing that counts was said of it.
    ///
    /// # Errors
    /// If a winning event is damaged, with its sequence.
    pub fn blame(&self, record: &str) -> Result<Option<Vec<Blame>>, EngineError> {
        let Ok(id) = RecordId::new(record) else { return Ok(None) };
        let Some(story) = self.story(&id)?.filter(Story::is_said) else { return Ok(None) };
        let blame = |field: &Field| {
            let Word { side, author, said_at, seq, id, .. } = self.word(&story, &field.name, field.winner())?;
            let (field, value) = (shown_name(&field.name), field.value().clone());
            Ok(Blame { field, value, side, author, said_at, seq, id })
        };
        story.record.fields.iter().map(blame).collect::<Result<Vec<_>, _>>().map(Some)
    }

    /// All fields whose candidates differ, decided by a rule or disputed, and records whose existence is disputed;
    /// ascending by record.
    ///
    /// # Errors
    /// If a record cannot be read, or an event that was weighed is damaged, with its sequence.
    pub fn conflicts(&self) -> Result<Vec<Verdict>, EngineError> {
        let mut verdicts = Vec::new();
        for id in self.ids() {
            let id = id?;
            let open = |field: &&Field, existence: Existence| match &*field.name {
                EXISTENCE => existence == Existence::Disputed,
                _ => field.is_conflict(),
            };
            let Some((record, _)) = self.record(&id)? else { continue };
            if !record.fields.iter().any(|field| open(&field, record.existence)) {
                continue;
            }
            let Some(story) = self.story(&id)? else { continue };
            for field in story.record.fields.iter().filter(|field| open(field, story.record.existence)) {
                verdicts.push(self.verdict(&id, &story, field)?);
            }
        }
        Ok(verdicts)
    }

    fn verdict(&self, id: &RecordId, story: &Story, field: &Field) -> Result<Verdict, EngineError> {
        if *field.name == *EXISTENCE {
            return self.existence_verdict(id, story, field);
        }
        let winner = self.word(story, &field.name, field.winner())?;
        let losers = (0..).zip(&field.candidates).filter(|(at, _)| *at != field.winner);
        let mut others =
            losers.map(|(_, loser)| self.word(story, &field.name, loser)).collect::<Result<Vec<_>, _>>()?;
        let decision = self.decision(story, field)?;
        let rule = judge::spec_for(id.kind(), &field.name, &field.candidates, &story.book).map(|spec| &spec.rule);
        let today = story.book.newest().field(id.kind(), &field.name).map(|spec| &spec.rule);
        let parts = match field.reason {
            Reason::Merge => self.parts(story, field)?,
            _ => Vec::new(),
        };
        if let Some((_, settled)) = &decision {
            others.clone_from(settled);
        }
        let case = sentence::Case {
            record: id,
            field: &field.name,
            value: field.value(),
            reason: field.reason,
            rule,
            today,
            winner: &winner,
            others: &others,
            decision: decision.as_ref().map(|(why, _)| why.as_str()),
            parts: &parts,
            book: &story.book,
        };
        let sentence = sentence::of_field(&case);
        Ok(Verdict {
            record: id.clone(),
            field: field.name.clone(),
            value: field.value().clone(),
            reason: field.reason,
            rule: spelled(rule),
            disputed: field.is_disputed(),
            winner,
            others,
            sentence,
        })
    }

    fn existence_verdict(&self, id: &RecordId, story: &Story, field: &Field) -> Result<Verdict, EngineError> {
        let dead = field.candidates.iter().any(|candidate| candidate.value == Value::bool(false));
        let mut said = Vec::with_capacity(field.candidates.len());
        for candidate in &field.candidates {
            let (event, seq, read) = story.event(self, candidate.entry)?;
            let why = super::change::detail(&read.payload.detail);
            said.push(Stand {
                word: self.word_of(story, &field.name, candidate, seq, event)?,
                kind: read.header.kind,
                why,
            });
        }
        if dead {
            let (ids, events) = story.events(self)?;
            for at in Fold::new(events, &story.book).opponents(field) {
                let heard = &events[at as usize];
                let header = &heard.event.header;
                if !header.fields.iter().any(|field| story.permit.reads(id.kind(), field)) {
                    continue;
                }
                let edit = Candidate::of(at, Told::of(header), &Value::bool(true));
                let word = self.word_of(story, &field.name, &edit, heard.seq, ids[at as usize])?;
                said.push(Stand { word, kind: Kind::Edit, why: None });
            }
        }
        let corrected = |stand: &Stand| story.book.corrected(&stand.word.side, stand.word.said_at);
        let newest = said.iter().map(corrected).max().unwrap_or_default();
        let deletes = story.book.at(newest).kind(id.kind()).map(|kind| kind.deletes).unwrap_or_default();
        let existence = story.record.existence;
        let sentence = sentence::of_existence(id, existence, deletes, &said, &story.book);
        let won = match existence {
            Existence::Alive => said.iter().position(|stand| stand.word.value == Value::bool(true)),
            Existence::Deleted => said.iter().position(|stand| stand.word.value == Value::bool(false)),
            Existence::Disputed => None,
        };
        let winner = said.remove(won.unwrap_or(0)).word;
        Ok(Verdict {
            record: id.clone(),
            field: FieldName::new(EXISTENCE_NAME).expect("a good name"),
            value: Value::bool(existence != Existence::Deleted),
            reason: field.reason,
            rule: spelled_deletes(deletes).to_owned(),
            disputed: existence == Existence::Disputed,
            winner,
            others: said.into_iter().map(|stand| stand.word).collect(),
            sentence,
        })
    }

    fn word(&self, story: &Story, field: &FieldName, candidate: &Candidate) -> Result<Word, EngineError> {
        let (id, seq, _) = story.event(self, candidate.entry)?;
        self.word_of(story, field, candidate, seq, id)
    }

    fn word_of(
        &self,
        story: &Story,
        field: &FieldName,
        candidate: &Candidate,
        seq: Seq,
        id: EventId,
    ) -> Result<Word, EngineError> {
        Ok(Word {
            side: candidate.origin.side.clone(),
            author: self.person(story, field, candidate)?,
            said_at: candidate.said_at,
            value: candidate.value.clone(),
            seq,
            id,
        })
    }

    /// If a person's decision is all that stands: why it was taken, and the words on the field that it settled.
    fn decision(&self, story: &Story, field: &Field) -> Result<Option<(String, Vec<Word>)>, EngineError> {
        let winner = field.winner();
        if field.reason != Reason::Only || *winner.origin.side != *PERSON {
            return Ok(None);
        }
        let (_, _, event) = story.event(self, winner.entry)?;
        let (kind, permit) = (event.header.record.kind(), &story.permit);
        // A decision of our own repeats what a side said of all its fields; a person's is his own word on the one.
        let ours = event.header.author.kind == AuthorKind::Ours && !permit.reads_all(kind);
        let may_tell = !ours || event.header.fields.iter().all(|field| permit.reads(kind, field));
        let why = super::change::detail(&event.payload.detail).filter(|_| may_tell).unwrap_or_default();
        let mut settled = Vec::new();
        for said in event.header.seen.iter().flatten() {
            let Some(entry) = story.line.find(said) else { continue };
            let (_, _, event) = story.event(self, entry)?;
            let said = event.words().find(|(name, _)| **name == field.name);
            settled.extend(said.map(|(_, value)| Candidate::of(entry, Told::of(&event.header), value)));
        }
        judge::rank(&mut settled, &story.book);
        let settled =
            settled.iter().map(|candidate| self.word(story, &field.name, candidate)).collect::<Result<Vec<_>, _>>()?;
        Ok(Some((why, settled)))
    }

    /// What each candidate brought into a merged field: the winner first, then the others in order.
    fn parts(&self, story: &Story, field: &Field) -> Result<Vec<Part>, EngineError> {
        let (_, events) = story.events(self)?;
        let parts = Fold::new(events, &story.book).parts(field);
        let winner = std::iter::once(field.winner());
        let losers = (0..).zip(&field.candidates).filter(|(at, _)| *at != field.winner).map(|(_, loser)| loser);
        let part_of = |candidate: &Candidate| parts.iter().find(|(at, _)| *at == candidate.entry);
        Ok(winner.chain(losers).filter_map(part_of).map(|(_, part)| part.clone()).collect())
    }
}

/// A rule as a manifest spells it; fields without an entry go by the last write.
pub(super) fn spelled(rule: Option<&Rule>) -> String {
    let tied = |word: &str, side: &SideName| format!("{word}: {{ authority: {side} }}");
    match rule {
        Some(Rule::Authority(side)) => format!("authority: {side}"),
        Some(Rule::LastWriteWins(Some(side))) => tied("last_write_wins", side),
        Some(Rule::FirstWriteWins(Some(side))) => tied("first_write_wins", side),
        Some(Rule::FirstWriteWins(None)) => "first_write_wins".to_owned(),
        Some(Rule::Merge) => "merge".to_owned(),
        Some(Rule::Max) => "max".to_owned(),
        Some(Rule::Min) => "min".to_owned(),
        Some(Rule::Manual) => "manual".to_owned(),
        Some(Rule::LastWriteWins(None)) | None => "last_write_wins".to_owned(),
    }
}

/// What a kind's deletes mean, as a manifest spells it.
fn spelled_deletes(deletes: DeleteRule) -> &'static str {
    match deletes {
        DeleteRule::DeleteWins => "deletes: delete_wins",
        DeleteRule::EditWins => "deletes: edit_wins",
        DeleteRule::Manual => "deletes: manual",
    }
}
