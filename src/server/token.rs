//! Who may call the API: bearer tokens, each for one side and one role, kept as hashes beside the store.
//!
//! A token is `slt_ID_SECRET`: the id finds its entry, the secret is 32 random bytes of which only the BLAKE3 is kept. The
//! file `tokens.json` is written whole, under a lock, by `syncline token`; the server looks before each request whether
//! it has changed, so that a revoked token is refused from then on.

use std::{
    collections::BTreeMap,
    fs::{self, File, OpenOptions},
    io::{self, Write},
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError},
    time::SystemTime,
};

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use secrecy::{ExposeSecret, SecretString, zeroize::Zeroize};
use serde::{Deserialize, Serialize};
use subtle::ConstantTimeEq;

use crate::{
    clock::Millis,
    id::{Digest, Hashing, RecordId, SideName, to_hex},
};

const FILE: &str = "tokens.json";
const START: &str = "slt_";
const FORMAT: u32 = 1;

/// What a token stands for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Token {
    /// Names it, for lists and logs.
    pub id: String,
    /// The side for which it speaks.
    pub side: SideName,
    /// Its role in the manifest; `None`: an operator, who may do everything.
    pub role: Option<String>,
    /// The user whose it is; `None`: each request names its own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub user: Option<String>,
    /// The contact whose it is; `None`: each request names its own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub contact: Option<RecordId>,
    /// The company whose it is; `None`: each request names its own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub company: Option<RecordId>,
    /// When it was made.
    pub created_ms: Millis,
    /// When it was revoked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub revoked_ms: Option<Millis>,
    /// The hash of its secret.
    hash: String,
}

/// For whom a token is to be made.
#[derive(Clone, Debug)]
pub struct NewToken {
    /// The side for which it speaks.
    pub side: SideName,
    /// Its role; `None`: an operator.
    pub role: Option<String>,
    /// The user whose it is.
    pub user: Option<String>,
    /// The contact whose it is.
    pub contact: Option<RecordId>,
    /// The company whose it is.
    pub company: Option<RecordId>,
}

#[derive(Serialize, Deserialize)]
struct Stored {
    format: u32,
    tokens: Vec<Token>,
}

/// Why the tokens cannot be read or written.
#[derive(Debug, thiserror::Error)]
pub enum TokenError {
    /// The disk failed.
    #[error("cannot {doing} {}", path.display())]
    Io {
        /// What was tried.
        doing: &'static str,
        /// With which file.
        path: PathBuf,
        /// Why not.
        #[source]
        source: io::Error,
    },
    /// The file is not one of ours.
    #[error("{} is not a list of tokens of this version: line {line}, column {column}", path.display())]
    Form {
        /// The file.
        path: PathBuf,
        /// The line.
        line: usize,
        /// The column.
        column: usize,
    },
    /// There is no such token.
    #[error("there is no token {0}")]
    Unknown(String),
}

/// What tells a file from its successor.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Stamp(Option<(SystemTime, u64, u64)>);

#[derive(Default)]
struct Known {
    stamp: Option<Stamp>,
    tokens: Arc<BTreeMap<String, Arc<Token>>>,
}

/// The tokens of a store. Clones share what was read.
#[derive(Clone)]
pub struct Tokens {
    dir: PathBuf,
    known: Arc<Mutex<Known>>,
}

impl Tokens {
    /// The tokens of the store in a directory; the file need not be there yet.
    ///
    /// # Errors
    /// If it is there and cannot be read.
    pub fn open(store: &Path) -> Result<Tokens, TokenError> {
        let tokens = Tokens { dir: store.to_owned(), known: Arc::default() };
        tokens.read()?;
        Ok(tokens)
    }

    fn path(&self) -> PathBuf {
        self.dir.join(FILE)
    }

    fn failed(&self, doing: &'static str, source: io::Error) -> TokenError {
        TokenError::Io { doing, path: self.path(), source }
    }

    fn stamp(&self) -> Result<Stamp, TokenError> {
        match fs::metadata(self.path()) {
            Ok(there) => {
                let changed = there.modified().map_err(|why| self.failed("look at", why))?;
                Ok(Stamp(Some((changed, there.len(), inode(&there)))))
            }
            Err(why) if why.kind() == io::ErrorKind::NotFound => Ok(Stamp(None)),
            Err(why) => Err(self.failed("look at", why)),
        }
    }

    fn read(&self) -> Result<Vec<Token>, TokenError> {
        let path = self.path();
        let text = match fs::read(&path) {
            Ok(text) => text,
            Err(why) if why.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            Err(why) => return Err(self.failed("read", why)),
        };
        let form = |line, column| TokenError::Form { path: path.clone(), line, column };
        let stored: Stored = serde_json::from_slice(&text).map_err(|why| form(why.line(), why.column()))?;
        if stored.format == FORMAT { Ok(stored.tokens) } else { Err(form(1, 1)) }
    }

    /// The tokens by id, read anew if the file has changed.
    fn current(&self) -> Result<Arc<BTreeMap<String, Arc<Token>>>, TokenError> {
        // Taken before the file is read, so that a change in between is seen the next time.
        let stamp = self.stamp()?;
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        if known.stamp != Some(stamp) {
            let tokens = self.read()?;
            known.tokens = Arc::new(tokens.into_iter().map(|token| (token.id.clone(), Arc::new(token))).collect());
            known.stamp = Some(stamp);
        }
        Ok(known.tokens.clone())
    }

    /// The token that a text is, unless it was revoked; `None` if it is none.
    ///
    /// Takes the same time for an unknown id as for a wrong secret, but for the look-up.
    ///
    /// # Errors
    /// If the file cannot be read.
    pub fn find(&self, text: &str) -> Result<Option<Arc<Token>>, TokenError> {
        let tokens = self.current()?;
        let (id, secret) = text.strip_prefix(START).and_then(|rest| rest.split_once('_')).unwrap_or_default();
        let token = tokens.get(id);
        let due = token.map_or_else(|| "0".repeat(64), |token| token.hash.clone());
        let same = bool::from(hash(secret).as_bytes().ct_eq(due.as_bytes()));
        Ok(token.filter(|token| same && token.revoked_ms.is_none()).cloned())
    }

    /// Whether a token is there and not revoked.
    ///
    /// # Errors
    /// If the file cannot be read.
    pub fn is_live(&self, id: &str) -> Result<bool, TokenError> {
        Ok(self.current()?.get(id).is_some_and(|token| token.revoked_ms.is_none()))
    }

    /// All tokens, revoked ones included, the oldest first.
    ///
    /// # Errors
    /// If the file cannot be read.
    pub fn list(&self) -> Result<Vec<Token>, TokenError> {
        self.read()
    }

    /// Makes a token and returns the text that is shown once and kept nowhere.
    ///
    /// # Errors
    /// If the file cannot be read or written.
    pub fn create(&self, new: NewToken, now: Millis) -> Result<(Token, SecretString), TokenError> {
        let (mut id, mut secret) = ([0; 8], [0; 32]);
        getrandom::fill(&mut id)
            .and_then(|()| getrandom::fill(&mut secret))
            .map_err(|_| self.failed("get random bytes for", io::Error::from(io::ErrorKind::Other)))?;
        let id = to_hex(&id);
        let random = &mut secret;
        let secret = SecretString::from(URL_SAFE_NO_PAD.encode(*random));
        random.zeroize();
        let NewToken { side, role, user, contact, company } = new;
        let hash = hash(secret.expose_secret());
        let token = Token { id, side, role, user, contact, company, created_ms: now, revoked_ms: None, hash };
        self.change(|tokens| {
            tokens.push(token.clone());
            Ok(())
        })?;
        // Of its full length from the start: a text that grows leaves copies of itself behind.
        let parts = [START, &token.id, "_", secret.expose_secret()];
        let mut text = String::with_capacity(parts.iter().map(|part| part.len()).sum());
        parts.iter().for_each(|part| text.push_str(part));
        Ok((token, SecretString::from(text)))
    }

    /// Revokes a token; one that was revoked already stays as it is.
    ///
    /// # Errors
    /// If there is none of this id, or the file cannot be read or written.
    pub fn revoke(&self, id: &str, now: Millis) -> Result<Token, TokenError> {
        let mut revoked = None;
        self.change(|tokens| {
            let token = tokens.iter_mut().find(|token| token.id == id);
            let token = token.ok_or_else(|| TokenError::Unknown(id.to_owned()))?;
            token.revoked_ms.get_or_insert(now);
            revoked = Some(token.clone());
            Ok(())
        })?;
        Ok(revoked.expect("a change without an error has found its token"))
    }

    /// Reads, changes and writes the file, one process at a time.
    ///
    /// # After a crash
    /// The file is as it was, or as it was to be.
    fn change(&self, change: impl FnOnce(&mut Vec<Token>) -> Result<(), TokenError>) -> Result<(), TokenError> {
        let lock = File::create(self.dir.join("tokens.lock")).map_err(|why| self.failed("lock", why))?;
        lock.lock().map_err(|why| self.failed("lock", why))?;
        let mut tokens = self.read()?;
        change(&mut tokens)?;
        let text = serde_json::to_vec_pretty(&Stored { format: FORMAT, tokens });
        let text = text.map_err(|why| self.failed("write", why.into()))?;
        let fresh = self.dir.join("tokens.new");
        self.write(&fresh, &text).map_err(|why| self.failed("write", why))
    }

    fn write(&self, fresh: &Path, text: &[u8]) -> io::Result<()> {
        let mut options = OpenOptions::new();
        options.write(true).create(true).truncate(true);
        #[cfg(unix)]
        std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
        let mut file = options.open(fresh)?;
        file.write_all(text)?;
        file.sync_all()?;
        fs::rename(fresh, self.path())?;
        File::open(&self.dir)?.sync_all()
    }
}

/// The hash under which a secret is kept. Secrets are random and long, so a fast hash will do.
fn hash(secret: &str) -> String {
    let Digest(bytes) = Hashing::new("syncline api token").update(secret.as_bytes()).digest();
    to_hex(&bytes)
}

#[cfg(unix)]
fn inode(there: &fs::Metadata) -> u64 {
    std::os::unix::fs::MetadataExt::ino(there)
}

#[cfg(not(unix))]
fn inode(_: &fs::Metadata) -> u64 {
    0
}

#[cfg(test)]
mod tests {
    use super::*;

    fn new(role: Option<&str>) -> NewToken {
        NewToken {
            side: SideName::new("portal").expect("good"),
            role: role.map(str::to_owned),
            user: None,
            contact: Some(RecordId::new("contact/1").expect("good")),
            company: None,
        }
    }

    #[test]
    fn a_token_is_found_by_its_text_alone_until_it_is_revoked() {
        let dir = tempfile::tempdir().expect("a directory");
        let tokens = Tokens::open(dir.path()).expect("no file is no tokens");
        let (token, text) = tokens.create(new(Some("staff")), Millis(5)).expect("made");
        // As the server has it: opened before, told nothing.
        let found = tokens.find(text.expose_secret()).expect("read").expect("known");
        assert_eq!(*found, token);
        let mut wrong = text.expose_secret().to_owned();
        let last = wrong.pop().expect("not empty");
        wrong.push(if last == 'A' { 'B' } else { 'A' });
        for wrong in [wrong.as_str(), "", "slt_", "slt__", &format!("slt_{}_", token.id), &token.id] {
            assert!(tokens.find(wrong).expect("read").is_none(), "{wrong}");
        }
        let other = Tokens::open(dir.path()).expect("read");
        assert_eq!(other.revoke(&token.id, Millis(9)).expect("known").revoked_ms, Some(Millis(9)));
        assert!(tokens.find(text.expose_secret()).expect("read").is_none(), "it was revoked by another process");
        assert_eq!(other.revoke(&token.id, Millis(10)).expect("known").revoked_ms, Some(Millis(9)));
    }

    #[test]
    fn the_secret_is_neither_in_the_file_nor_in_debug_output() {
        let dir = tempfile::tempdir().expect("a directory");
        let tokens = Tokens::open(dir.path()).expect("no file is no tokens");
        let (token, text) = tokens.create(new(None), Millis(5)).expect("made");
        let secret = text.expose_secret().splitn(3, '_').nth(2).expect("three parts").to_owned();
        let file = fs::read_to_string(dir.path().join(FILE)).expect("written");
        assert!(!file.contains(&secret) && !format!("{token:?} {text:?}").contains(&secret));
        assert_eq!(tokens.list().expect("read"), [token]);
    }

    #[test]
    fn a_file_that_is_not_ours_is_an_error_and_lets_nobody_in() {
        let dir = tempfile::tempdir().expect("a directory");
        let tokens = Tokens::open(dir.path()).expect("no file is no tokens");
        let (_, text) = tokens.create(new(None), Millis(5)).expect("made");
        fs::write(dir.path().join(FILE), "{\"format\":1,\n\"tokens\":[{}]}").expect("written");
        let why = tokens.find(text.expose_secret()).expect_err("damaged").to_string();
        assert!(why.ends_with("line 2, column 12"), "{why}");
        assert!(matches!(Tokens::open(dir.path()), Err(TokenError::Form { .. })));
    }

    #[test]
    fn an_unknown_token_cannot_be_revoked() {
        let dir = tempfile::tempdir().expect("a directory");
        let tokens = Tokens::open(dir.path()).expect("no file is no tokens");
        assert!(matches!(tokens.revoke("77", Millis(0)), Err(TokenError::Unknown(id)) if id == "77"));
    }
}
