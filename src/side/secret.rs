//! Where a side's secrets come from: the places that a manifest names, read when the side is opened.
//!
//! What is read goes straight into a [`SecretString`]: it is wiped from memory when it is let go, and nothing prints it. Errors
//! name the place alone.

use std::{ffi::OsString, fs, io::Read, path::PathBuf};

use secrecy::SecretString;

use crate::manifest::Secret;

/// The longest secret, in bytes.
pub const SECRET_BYTES_MAX: u64 = 1 << 16;

/// Why a secret cannot be had.
#[derive(Debug, thiserror::Error)]
pub enum SecretError {
    /// The environment variable is not there.
    #[error("the environment variable {0} is not set")]
    NotSet(String),
    /// The file cannot be read.
    #[error("the file {} cannot be read", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// Larger than any secret is.
    #[error("{0} holds more than {SECRET_BYTES_MAX} bytes: that is no secret")]
    TooLong(String),
    /// Nothing in it: with an empty secret anybody could sign.
    #[error("{0} is empty")]
    Empty(String),
    /// Not UTF-8.
    #[error("{0} is not UTF-8 text")]
    NotText(String),
}

/// Reads the secret in a place.
///
/// White space at the end of a file is not part of it: editors put a line end there.
///
/// # Errors
/// If there is none in that place, or what is there cannot be one.
pub fn read(place: &Secret) -> Result<SecretString, SecretError> {
    read_from(place, |name| std::env::var_os(name))
}

/// Reads all of several secrets, in their order: the one that signs first, then older ones that are still accepted.
///
/// # Errors
/// With the first that cannot be had; while secrets change hands, an older one that is gone has to be taken out of the manifest.
pub fn read_all(places: &[Secret]) -> Result<Vec<SecretString>, SecretError> {
    places.iter().map(read).collect()
}

/// As [`read`], with the environment as an argument.
///
/// # Errors
/// As [`read`].
pub fn read_from(place: &Secret, env: impl Fn(&str) -> Option<OsString>) -> Result<SecretString, SecretError> {
    let (named, text) = match place {
        Secret::Env(name) => {
            let named = format!("the environment variable {name}");
            let found = env(name).ok_or_else(|| SecretError::NotSet(name.clone()))?;
            if found.len() as u64 > SECRET_BYTES_MAX {
                return Err(SecretError::TooLong(named));
            }
            let text = found.into_string().map_err(|_| SecretError::NotText(named.clone()))?;
            (named, SecretString::from(text))
        }
        Secret::File(path) => (format!("the file {path}"), file(path)?),
    };
    if secrecy::ExposeSecret::expose_secret(&text).trim().is_empty() {
        return Err(SecretError::Empty(named));
    }
    Ok(text)
}

fn file(path: &str) -> Result<SecretString, SecretError> {
    let wrong = |source| SecretError::File { path: path.into(), source };
    let opened = fs::File::open(path).map_err(wrong)?;
    // Room for all of it from the start: a buffer that grows would leave copies behind.
    let mut bytes = Vec::with_capacity(SECRET_BYTES_MAX as usize + 1);
    opened.take(SECRET_BYTES_MAX + 1).read_to_end(&mut bytes).map_err(wrong)?;
    if bytes.len() as u64 > SECRET_BYTES_MAX {
        return Err(SecretError::TooLong(format!("the file {path}")));
    }
    let mut text = String::from_utf8(bytes).map_err(|_| SecretError::NotText(format!("the file {path}")))?;
    text.truncate(text.trim_end().len());
    Ok(SecretString::from(text))
}

#[cfg(test)]
mod tests {
    use secrecy::ExposeSecret;

    use super::*;

    fn env(name: &str) -> Option<OsString> {
        match name {
            "TOKEN" => Some("pat-na1-1234".into()),
            "BLANK" => Some(" ".into()),
            "HUGE" => Some("x".repeat(1 << 17).into()),
            _ => None,
        }
    }

    fn from_env(name: &str) -> Result<SecretString, SecretError> {
        read_from(&Secret::Env(name.into()), env)
    }

    fn written(bytes: &[u8]) -> Result<SecretString, SecretError> {
        let dir = tempfile::tempdir().expect("a folder");
        let path = dir.path().join("secret");
        fs::write(&path, bytes).expect("written");
        read_from(&Secret::File(path.display().to_string()), env)
    }

    #[test]
    fn a_secret_is_what_stands_in_its_place() {
        assert_eq!(from_env("TOKEN").expect("set").expose_secret(), "pat-na1-1234");
        assert_eq!(written(b"s3cret with space\r\n\n").expect("there").expose_secret(), "s3cret with space");
    }

    #[test]
    fn a_place_without_a_secret_is_named_and_its_content_is_not() {
        let told = |read: Result<SecretString, SecretError>| read.expect_err("no secret").to_string();
        assert_eq!(told(from_env("ELSE")), "the environment variable ELSE is not set");
        assert_eq!(told(from_env("BLANK")), "the environment variable BLANK is empty");
        assert!(told(from_env("HUGE")).starts_with("the environment variable HUGE holds more than 65536 bytes"));
        assert!(told(written(b"\n")).ends_with(" is empty"));
        assert!(told(written(b"\xffabc")).ends_with(" is not UTF-8 text"));
        assert!(told(written(&[b'x'; (1 << 16) + 1])).ends_with("that is no secret"));
        let missing = read(&Secret::File("no/such/file".into()));
        assert_eq!(told(missing), "the file no/such/file cannot be read");
        let all = [Secret::File("no/such/file".into()), Secret::Env("ELSE".into())];
        assert!(read_all(&all).is_err());
    }

    #[test]
    fn debug_output_hides_it() {
        assert!(!format!("{:?}", from_env("TOKEN").expect("set")).contains("1234"));
    }
}
