//! Two hashes that say whether stores agree: of what records are, and of why.

use super::Reader;
use crate::{
    codec,
    engine::EngineError,
    id::{Digest, Hashing, RecordId},
    merge::{Existence, Record},
};

impl Reader {
    /// The hash of all records: whether they exist, and the fields that are not cleared.
    ///
    /// Equal for two stores exactly if their records are. While events are taken in it is the hash of no one moment;
    /// as of a sequence it is.
    ///
    /// # Errors
    /// If a record cannot be read.
    pub fn state_hash(&self) -> Result<Digest, EngineError> {
        self.hash(Hashing::new("syncline 1 state"), put_state)
    }

    /// The hash of all verdicts: each field's candidates with who said them and when, which one won, and why.
    ///
    /// # Errors
    /// As [`Reader::state_hash`].
    pub fn verdict_hash(&self) -> Result<Digest, EngineError> {
        self.hash(Hashing::new("syncline 1 verdicts"), put_verdicts)
    }

    fn hash(&self, mut hashing: Hashing, put: fn(&mut Hashing, &RecordId, &Record)) -> Result<Digest, EngineError> {
        for id in self.ids() {
            let id = id?;
            if let Some((record, _)) = self.record(&id)? {
                put(&mut hashing, &id, &record);
            }
        }
        Ok(hashing.digest())
    }
}

fn put_state(hashing: &mut Hashing, id: &RecordId, record: &Record) {
    let existence = match record.existence {
        Existence::Alive => 0,
        Existence::Deleted => 1,
        Existence::Disputed => 2,
    };
    hashing.update_sized(id.as_bytes()).update_sized(&[existence]);
    for field in record.real_fields().filter(|field| !field.value().is_null()) {
        hashing.update_sized(field.name.as_bytes()).update_sized(field.value().as_bytes());
    }
}

fn put_verdicts(hashing: &mut Hashing, id: &RecordId, record: &Record) {
    hashing.update_sized(id.as_bytes());
    for field in &record.fields {
        hashing.update_sized(field.name.as_bytes()).update_sized(field.reason.name().as_bytes());
        if let Some(merged) = &field.merged {
            hashing.update_sized(merged.as_bytes());
        }
        hashing.update_sized(&field.winner.to_le_bytes());
        for candidate in &field.candidates {
            let said = (&candidate.origin.side, candidate.said_at, candidate.said_seq, &candidate.author);
            hashing.update_sized(&codec::encode(&said)).update_sized(candidate.value.as_bytes());
        }
    }
}
