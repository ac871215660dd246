//! Which numbers of a source are used: pages of 256, so that neighbours share a key and hardly take space.

use serde::{Deserialize, Serialize};

use crate::{
    codec::{self, CodecError},
    id::Seq,
};

/// How many numbers a page holds.
pub const PAGE: u64 = 256;

/// For each number of a page the sequence of its event.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Pages {
    /// Offset in the page and sequence, ascending by offset.
    used: Vec<(u8, Seq)>,
}

impl Pages {
    /// The page of a number, and the number's offset in it.
    pub fn place(number: u64) -> (u64, u8) {
        (number / PAGE, (number % PAGE) as u8)
    }

    /// The event that bears the number at this offset.
    pub fn get(&self, offset: u8) -> Option<Seq> {
        self.used.binary_search_by_key(&offset, |(offset, _)| *offset).ok().map(|at| self.used[at].1)
    }

    /// Notes the event that bears the number at this offset.
    pub fn set(&mut self, offset: u8, seq: Seq) {
        match self.used.binary_search_by_key(&offset, |(offset, _)| *offset) {
            Ok(at) => self.used[at].1 = seq,
            Err(at) => self.used.insert(at, (offset, seq)),
        }
    }

    /// Packs the page: sequences as differences, most of them one byte.
    pub fn pack(&self) -> Vec<u8> {
        let mut before = 0;
        let packed: Vec<(u8, i64)> = self
            .used
            .iter()
            .map(|(offset, seq)| {
                let difference = seq.0 as i64 - before;
                before = seq.0 as i64;
                (*offset, difference)
            })
            .collect();
        codec::encode(&packed)
    }

    /// Reads a packed page.
    ///
    /// # Errors
    /// If the bytes are not those of a page.
    pub fn unpack(bytes: &[u8]) -> Result<Self, CodecError> {
        let packed: Vec<(u8, i64)> = codec::decode(bytes)?;
        let mut before = 0;
        let used = packed.into_iter().map(|(offset, difference)| {
            before += difference;
            (offset, Seq(before as u64))
        });
        Ok(Pages { used: used.collect() })
    }
}
