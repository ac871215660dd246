//! The shared data sets.

use std::{io::Read, path::Path};

/// A data set, unpacked.
pub fn read(name: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/it/data").join(name);
    let file = std::fs::File::open(&path).expect("the data set is in the repository");
    let mut text = String::new();
    flate2::read::GzDecoder::new(file).read_to_string(&mut text).expect("the data set is whole");
    text
}

/// The small shared workload, in arrival order.
pub fn workload() -> String {
    read("workload-10k.jsonl.gz")
}
