//! Lines of a file, one at a time, however long they are.

use std::{
    fs::File,
    io::{self, BufRead, BufReader, Read},
    path::{Path, PathBuf},
};

use super::failure::Failure;
use crate::capture::neutral::{self, LINE_BYTES_MAX, Line};

const READ_BYTES: usize = 1 << 18;

/// A line's number and its bytes; of a line that is too long only how many.
pub type Numbered<'a> = (u64, Result<&'a [u8], usize>);

/// The lines of a file, or of standard input.
pub struct Lines {
    path: PathBuf,
    input: Box<dyn BufRead + Send>,
    bytes: Vec<u8>,
    /// The line in `bytes` was looked at and is still to be read.
    held: bool,
    skipped: usize,
    number: u64,
    read: u64,
    length: u64,
}

impl Lines {
    /// Opens a file; `-` is standard input.
    pub fn open(path: &Path) -> Result<Self, Failure> {
        let failed = |source| Failure::Read { path: path.to_owned(), source };
        let (input, length): (Box<dyn BufRead + Send>, u64) = if path == Path::new("-") {
            (Box::new(BufReader::with_capacity(READ_BYTES, io::stdin())), 0)
        } else {
            let file = File::open(path).map_err(failed)?;
            let found = file.metadata().map_err(failed)?;
            if found.is_dir() {
                return Err(failed(io::ErrorKind::IsADirectory.into()));
            }
            (Box::new(BufReader::with_capacity(READ_BYTES, file)), found.len())
        };
        Ok(Lines::over(path, input, length))
    }

    fn over(path: &Path, input: Box<dyn BufRead + Send>, length: u64) -> Self {
        let (path, bytes) = (path.to_owned(), Vec::new());
        Lines { path, input, bytes, held: false, skipped: 0, number: 0, read: 0, length }
    }

    /// The file's name, for people.
    pub fn name(&self) -> String {
        if self.path == Path::new("-") { "standard input".to_owned() } else { self.path.display().to_string() }
    }

    /// The file's length in bytes; 0 if that is not known.
    pub fn length(&self) -> u64 {
        self.length
    }

    /// How many bytes were read.
    pub fn read_bytes(&self) -> u64 {
        self.read
    }

    /// The next line; `None` at the end.
    pub fn next(&mut self) -> Result<Option<Numbered<'_>>, Failure> {
        if !std::mem::take(&mut self.held) && !self.fill()? {
            return Ok(None);
        }
        let line = if self.skipped > 0 { Err(self.skipped) } else { Ok(&self.bytes[..]) };
        Ok(Some((self.number, line)))
    }

    /// The tenant and the key, if the first line is that of an export; the line stays to be read.
    pub fn peek_export(&mut self) -> Result<Option<(String, String)>, Failure> {
        self.held = self.held || self.fill()?;
        match neutral::parse(&self.bytes) {
            Ok(Some(Line::Export { tenant, key })) if self.held => Ok(Some((tenant, key))),
            _ => Ok(None),
        }
    }

    /// Reads a line; false at the end.
    fn fill(&mut self) -> Result<bool, Failure> {
        let failed = |source| Failure::Read { path: self.path.clone(), source };
        self.bytes.clear();
        self.skipped = 0;
        // One byte more for the line's end.
        let most = LINE_BYTES_MAX as u64 + 1;
        let got = self.input.by_ref().take(most).read_until(b'\n', &mut self.bytes).map_err(failed)?;
        let mut read = got;
        if got as u64 == most && self.bytes.last() != Some(&b'\n') {
            read += self.input.skip_until(b'\n').map_err(failed)?;
            self.skipped = read;
            self.bytes = Vec::new();
        }
        self.read += read as u64;
        self.number += 1;
        Ok(read > 0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines(text: impl AsRef<[u8]>) -> Vec<(u64, Result<usize, usize>)> {
        let input = Box::new(io::Cursor::new(text.as_ref().to_vec()));
        let mut lines = Lines::over(Path::new("x"), input, 0);
        let mut found = Vec::new();
        while let Some((number, line)) = lines.next().expect("memory does not fail") {
            found.push((number, line.map(|line| line.trim_ascii().len())));
        }
        found
    }

    #[test]
    fn lines_are_numbered_from_one_and_the_last_needs_no_end() {
        assert_eq!(lines("a\r\n\nbcd"), [(1, Ok(1)), (2, Ok(0)), (3, Ok(3))]);
        assert_eq!(lines(""), []);
    }

    #[test]
    fn a_line_that_is_too_long_is_passed_over_and_the_next_one_is_read() {
        let mut text = vec![b'x'; LINE_BYTES_MAX + 5];
        text.extend_from_slice(b"\nab\n");
        assert_eq!(lines(text), [(1, Err(LINE_BYTES_MAX + 6)), (2, Ok(2))]);
        let mut text = vec![b'x'; LINE_BYTES_MAX];
        text.extend_from_slice(b"\nab\n");
        assert_eq!(lines(text), [(1, Ok(LINE_BYTES_MAX)), (2, Ok(2))]);
    }

    #[test]
    fn a_peeked_line_is_read_again() {
        let input = Box::new(io::Cursor::new(b"{\"syncline_export\":1,\"tenant\":\"t\",\"key\":\"00\"}\nb".to_vec()));
        let mut lines = Lines::over(Path::new("x"), input, 0);
        let found = lines.peek_export().expect("memory does not fail");
        assert_eq!(found, Some(("t".to_owned(), "00".to_owned())));
        let numbers: Vec<u64> =
            std::iter::from_fn(|| lines.next().expect("memory does not fail").map(|(number, _)| number)).collect();
        assert_eq!(numbers, [1, 2]);
    }
}
