//! How sound bytes become unsound ones: bits, lengths, splices, repetitions, and what parsers trip over.

use syncline::send::chance::Chance;

/// The largest input that is made of a small one.
const BYTES_MAX: usize = 64 << 10;

/// Pieces of texts that have hurt parsers before.
const PIECES: [&str; 44] = [
    "null",
    "true",
    "-0",
    "0.0",
    "1e400",
    "-1e-400",
    "9223372036854775808",
    "-9223372036854775809",
    "18446744073709551616",
    "99999999999999999999999999999999999999999999",
    "1.7976931348623157e309",
    "\"\"",
    "\"\\ud800\"",
    "\"\\udc00\\ud800\"",
    "\"\\u0000\"",
    "\\",
    "\"",
    "{}",
    "[]",
    "[[[[",
    "]]]]",
    "{\"a\":",
    "},{",
    ",",
    ":",
    "\u{0}",
    "\u{feff}",
    "\u{202e}",
    "\u{1f600}",
    "e\u{301}",
    "\r\n",
    "\t",
    "%",
    "%00",
    "%2e%2e%2f",
    "%ff",
    "../",
    "&a=b",
    "?",
    "#",
    "<<: *a",
    "&a [*a, *a]",
    "!!binary ",
    "\n---\n",
];

/// Changes bytes in one to four ways; `others` are what pieces are taken from.
pub fn mutated(sound: &[u8], others: &[Vec<u8>], chance: &mut Chance) -> Vec<u8> {
    let mut bytes = sound.to_vec();
    for _ in 0..1 + chance.below(4) {
        once(&mut bytes, others, chance);
    }
    bytes.truncate(BYTES_MAX.max(sound.len()));
    bytes
}

/// One of these samples, with pieces of the others.
pub fn one_of(samples: &[Vec<u8>], chance: &mut Chance) -> Vec<u8> {
    let sound: &Vec<u8> = chance.pick(samples);
    mutated(sound, samples, chance)
}

/// As [`mutated`], of texts.
pub fn mutated_text(sound: &str, others: &[Vec<u8>], chance: &mut Chance) -> String {
    String::from_utf8_lossy(&mutated(sound.as_bytes(), others, chance)).into_owned()
}

fn place(bytes: &[u8], chance: &mut Chance) -> usize {
    chance.below(bytes.len() as u64 + 1) as usize
}

fn span(bytes: &[u8], most: u64, chance: &mut Chance) -> std::ops::Range<usize> {
    let start = place(bytes, chance);
    let end = bytes.len().min(start + chance.below(most) as usize);
    start..end
}

fn insert(bytes: &mut Vec<u8>, at: usize, piece: impl IntoIterator<Item = u8>) {
    bytes.splice(at..at, piece);
}

fn once(bytes: &mut Vec<u8>, others: &[Vec<u8>], chance: &mut Chance) {
    let at = place(bytes, chance);
    let byte = at.min(bytes.len().saturating_sub(1));
    match chance.below(14) {
        0 | 1 if !bytes.is_empty() => bytes[byte] ^= 1 << chance.below(8),
        2 if !bytes.is_empty() => bytes[byte] = chance.number() as u8,
        3 => bytes.truncate(at),
        4 => drop(bytes.drain(span(bytes, 16, chance))),
        5 => length_field(bytes, chance),
        6 => {
            let chunk = bytes[span(bytes, 64, chance)].to_vec();
            insert(bytes, at, chunk);
        }
        7 => {
            let chunk = bytes[span(bytes, 24, chance)].to_vec();
            let most = if chance.below(50) == 0 { 3000 } else { 8 };
            let times = 1 + chance.below(most) as usize;
            insert(bytes, at, chunk.repeat(times).into_iter().take(BYTES_MAX));
        }
        8 if !others.is_empty() => {
            let other = chance.pick(others);
            let chunk = other[span(other, 200, chance)].to_vec();
            bytes.splice(span(bytes, 40, chance), chunk);
        }
        9 | 10 => {
            let piece = *chance.pick(&PIECES);
            let cut = if chance.below(2) == 0 { 0..0 } else { span(bytes, 8, chance) };
            let start = if cut.is_empty() { at..at } else { cut };
            bytes.splice(start, piece.bytes());
        }
        11 => {
            let most = if chance.below(20) == 0 { 13 } else { 7 };
            let deep = 1 << chance.below(most);
            let opening = *chance.pick(&["[", "{\"a\":", "(", "- ", "&x ", "\""]);
            insert(bytes, at, opening.repeat(deep).into_bytes());
        }
        12 => numbers(bytes, chance),
        _ => insert(bytes, at, (0..1 + chance.below(8)).map(|_| chance.number() as u8).collect::<Vec<_>>()),
    }
}

/// Writes a length that is not the one: of one to eight bytes, or in the form of this store's own numbers.
fn length_field(bytes: &mut [u8], chance: &mut Chance) {
    let numbers = [0, 1, 127, 128, 250, 251, 255, 256, 65_535, 65_536, 1 << 20, 1 << 24, 1 << 31, u64::from(u32::MAX)];
    let number = match chance.below(3) {
        0 => u64::MAX - chance.below(3),
        1 => bytes.len() as u64 + chance.below(5),
        _ => *chance.pick(&numbers),
    };
    let width = *chance.pick(&[1usize, 2, 4, 8]);
    let start = place(bytes, chance);
    let mut field = number.to_le_bytes()[..width].to_vec();
    if chance.below(3) == 0 {
        field.insert(0, *chance.pick(&[251, 252, 253, 254]));
    }
    for (old, new) in bytes[start..].iter_mut().zip(field) {
        *old = new;
    }
}

/// Puts another number where one stands in a text.
fn numbers(bytes: &mut Vec<u8>, chance: &mut Chance) {
    let digits: Vec<usize> = (0..bytes.len()).filter(|at| bytes[*at].is_ascii_digit()).collect();
    if digits.is_empty() {
        return;
    }
    let start = *chance.pick(&digits);
    let end = (start..bytes.len()).find(|at| !bytes[*at].is_ascii_digit()).unwrap_or(bytes.len());
    let number = match chance.below(4) {
        0 => chance.number().to_string(),
        1 => "9".repeat(1 + chance.below(400) as usize),
        2 => "-1".to_owned(),
        _ => chance.pick(&["0", "1e9", "0.5", "00", "9223372036854775807", "253402300800000"]).to_string(),
    };
    bytes.splice(start..end, number.bytes());
}

/// The samples of a file of the corpus, one a line.
pub fn samples(text: &str) -> Vec<Vec<u8>> {
    text.lines().filter(|line| !line.is_empty()).map(|line| line.as_bytes().to_vec()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_seed_makes_the_same_bytes_and_another_one_others() {
        let others = samples("{\"a\": 17}\n[1, 2, 3]");
        let of = |seed| mutated(&others[0], &others, &mut Chance::new(seed));
        let made: std::collections::BTreeSet<Vec<u8>> = (0..1000).map(of).collect();
        assert!(made.len() > 800, "{} different ones", made.len());
        assert!((0..1000).all(|seed| of(seed) == of(seed)));
        assert!(made.iter().all(|bytes| bytes.len() <= BYTES_MAX));
    }
}
