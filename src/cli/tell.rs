//! How commands speak to people: tables, progress, complaints.

use std::{
    io::{self, IsTerminal, Write},
    time::Duration,
};

use comfy_table::{ContentArrangement, LineStyle, Table, presets};
use indicatif::{ProgressBar, ProgressStyle};
use serde::Serialize;

use super::failure::Failure;

/// Says something on standard error.
pub fn complain<T: AsRef<str>>(lines: &[T]) {
    let mut err = io::stderr().lock();
    for line in lines {
        // If standard error is closed there is nobody to tell, and no reason to stop.
        if writeln!(err, "{}", plain(line.as_ref())).is_err() {
            return;
        }
    }
}

/// A text as a terminal may show it: what could move the cursor is written out.
pub fn plain(text: &str) -> String {
    if !text.chars().any(char::is_control) {
        return text.to_owned();
    }
    text.chars().fold(String::with_capacity(text.len() + 8), |mut shown, c| {
        match c.is_control() {
            true => shown.extend(c.escape_default()),
            false => shown.push(c),
        }
        shown
    })
}

/// Writes one JSON value on a line of its own.
pub fn json(out: &mut dyn Write, value: &impl Serialize) -> Result<(), Failure> {
    serde_json::to_writer(&mut *out, value).map_err(io::Error::from)?;
    Ok(out.write_all(b"\n")?)
}

/// How wide a table is where there is no terminal to ask.
const PLAIN_WIDTH: u16 = 160;

/// Writes a table that fits the terminal; cells come row by row.
pub fn table(out: &mut dyn Write, head: &[&str], rows: impl IntoIterator<Item = Vec<String>>) -> Result<(), Failure> {
    let mut table = Table::new();
    table
        .load_style(presets::NOTHING.header_separator(LineStyle::none().fill('─').junction('─')))
        .set_content_arrangement(ContentArrangement::Dynamic);
    if !io::stdout().is_terminal() {
        table.set_width(PLAIN_WIDTH);
    }
    if !head.is_empty() {
        table.set_header(head.to_vec());
    }
    for row in rows {
        table.add_row(row.iter().map(|cell| plain(cell)).collect::<Vec<_>>());
    }
    Ok(writeln!(out, "{table}")?)
}

/// How far long work is, on standard error, where that is a terminal.
pub struct Progress(ProgressBar);

impl Progress {
    /// Work of known length; a length of 0 is not known.
    pub fn of(what: &'static str, all: u64, in_bytes: bool) -> Self {
        if !io::stderr().is_terminal() {
            return Progress(ProgressBar::hidden());
        }
        let counts =
            if in_bytes { "{bytes}/{total_bytes} {bytes_per_sec}" } else { "{human_pos}/{human_len} {per_sec}" };
        let form = match all {
            0 => "{msg} {spinner} {human_pos} {elapsed}".to_owned(),
            _ => format!("{{msg}} [{{bar:30}}] {counts} {{eta}}"),
        };
        let bar = if all == 0 { ProgressBar::new_spinner() } else { ProgressBar::new(all) };
        let style = ProgressStyle::with_template(&form).unwrap_or_else(|_| ProgressStyle::default_bar());
        bar.set_style(style.progress_chars("=> "));
        bar.set_message(what);
        bar.enable_steady_tick(Duration::from_millis(250));
        Progress(bar)
    }

    /// So much is done.
    pub fn at(&self, done: u64) {
        self.0.set_position(done);
    }

    /// What is being done now.
    pub fn doing(&self, what: &'static str) {
        self.0.set_message(what);
    }

    /// So much is done, of so much.
    pub fn at_of(&self, done: u64, all: u64) {
        self.0.set_length(all);
        self.0.set_position(done);
    }

    /// Says something without disturbing the bar.
    pub fn complain<T: AsRef<str>>(&self, lines: &[T]) {
        self.0.suspend(|| complain(lines));
    }

    /// Takes the bar away.
    pub fn end(&self) {
        self.0.finish_and_clear();
    }
}

/// A number of bytes for people.
pub fn bytes(count: u64) -> String {
    indicatif::HumanBytes(count).to_string()
}

/// A number for people, with its thousands apart.
pub fn count(number: u64) -> String {
    indicatif::HumanCount(number).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_could_move_the_cursor_is_written_out() {
        assert_eq!(plain("a\u{1b}[2Jb\u{9b}c\nd"), "a\\u{1b}[2Jb\\u{9b}c\\nd");
        assert_eq!(plain("Grüße, 東京"), "Grüße, 東京");
    }
}
