//! Which numbers of a source are used: pages of 256, so that neighbours share a key and hardly take space.

use super::packed::{put_step, take_step};
use crate::id::Seq;

/// How many numbers a page holds.
pub const PAGE: u64 = 256;

/// For each number of a page the sequence of its event.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
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

    /// Packs the page: which numbers are used as a bit each, and their sequences as steps, most of them one byte.
    pub fn pack(&self) -> Vec<u8> {
        let mut bytes = vec![0; PAGE as usize / 8];
        let mut before = 0;
        for (offset, seq) in &self.used {
            bytes[usize::from(*offset / 8)] |= 1 << (offset % 8);
            put_step(&mut bytes, before, seq.0);
            before = seq.0;
        }
        bytes
    }

    /// Reads a packed page; `None` if the bytes are not those of one.
    pub fn unpack(bytes: &[u8]) -> Option<Self> {
        let (bits, mut steps) = bytes.split_at_checked(PAGE as usize / 8)?;
        let mut used = Vec::new();
        let mut before = 0;
        for offset in (0..=u8::MAX).filter(|offset| bits[usize::from(offset / 8)] & 1 << (offset % 8) != 0) {
            before = take_step(&mut steps, before)?;
            used.push((offset, Seq(before)));
        }
        steps.is_empty().then_some(Pages { used })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_page_comes_back_and_a_part_of_it_does_not() {
        let mut page = Pages::default();
        for (offset, seq) in [(7, 900), (0, 12), (255, 13), (8, 901)] {
            page.set(offset, Seq(seq));
        }
        let bytes = page.pack();
        assert_eq!(Pages::unpack(&bytes), Some(page));
        for cut in 0..bytes.len() {
            assert_eq!(Pages::unpack(&bytes[..cut]), None, "cut to {cut} bytes");
        }
    }
}
