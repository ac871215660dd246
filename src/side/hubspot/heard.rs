//! What a body says for one account: all its statements, what is to be read after them, and what was counted.

use super::{
    statement::Reread,
    webhook::{self, BodyError, Fault},
};
use crate::{clock::Millis, event::Draft, side::translate::Translation};

/// What one account is told by a body.
#[derive(Debug, Default)]
pub struct Heard {
    /// The statements, in the order of the body.
    pub drafts: Vec<Draft>,
    /// The records that have to be read once the statements are taken, each once.
    pub rereads: Vec<Reread>,
    /// How many notifications are kept without being understood.
    pub unmapped: u64,
    /// How many values do not fit their field's type; they came in as they are.
    pub misfits: u64,
    /// How many notifications are another account's, and were left out.
    pub foreign: u64,
    /// What could not be given to any account.
    pub faults: Vec<Fault>,
}

/// Reads a body, whole or an account's part of it, for the account and the app that the manifest names for the side.
///
/// Where the manifest names no account all notifications are taken; where it names no app, no write is known as ours.
///
/// # Errors
/// If the body as a whole cannot be read.
pub fn read(body: &[u8], translation: &Translation, now: Millis) -> Result<Heard, BodyError> {
    let side = translation.manifest().side(translation.side());
    let account = side.and_then(|side| side.account.as_deref());
    let app = side.and_then(|side| side.app.as_deref());
    let batch = webhook::split(body)?;
    let mut heard = Heard { faults: batch.faults, ..Heard::default() };
    for (portal, notifications) in batch.accounts {
        if account.is_some_and(|account| account != portal) {
            heard.foreign += notifications.len() as u64;
            continue;
        }
        for notification in notifications {
            let statement = notification.statement(translation, app, now);
            heard.drafts.extend(statement.drafts);
            heard.unmapped += u64::from(statement.unmapped.is_some());
            heard.misfits += u64::from(statement.misfit.is_some());
            for reread in statement.rereads {
                if !heard.rereads.contains(&reread) {
                    heard.rereads.push(reread);
                }
            }
        }
    }
    Ok(heard)
}
