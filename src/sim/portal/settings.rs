//! How a pretend portal behaves.

use serde::{Deserialize, Serialize};

use super::rules::{Refuse, Reshape};

/// Everything about a portal that can be set, before it is made and, over `/_sim/settings`, while it runs.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Settings {
    /// What all chance follows from.
    pub seed: u64,
    /// Where its messages go; none: they wait.
    pub webhooks_to: Option<String>,
    /// How far its clock is ahead, in milliseconds: in times of changes and in `Date`, not in signatures.
    pub ahead_ms: i64,
    /// Whether it tells changes that we made.
    pub tells_ours: bool,
    /// Whether it names us as the author of those.
    pub names_us: bool,
    /// Whether it answers `syncline.read`, `syncline.list` and `syncline.changed`; otherwise 501.
    pub answers_questions: bool,
    /// Whether it says when each field changed; otherwise only when the record did.
    pub field_times: bool,
    /// How many older values of a field it remembers.
    pub remembers: usize,
    /// A field that no two living records of a kind share: a second one is refused with 409.
    pub unique: Option<String>,
    /// Values that it refuses.
    pub refuse: Vec<Refuse>,
    /// Values that it puts into another form.
    pub reshape: Vec<Reshape>,
    /// What the delays between attempts are multiplied with; at 1 they are spread over three days.
    pub retry_scale: f64,
    /// How long a message may take to be answered, in milliseconds of real time.
    pub patience_ms: u64,
    /// How many messages are under way at once.
    pub at_once: usize,
}

impl Default for Settings {
    fn default() -> Self {
        Settings {
            seed: 1,
            webhooks_to: None,
            ahead_ms: 0,
            tells_ours: true,
            names_us: true,
            answers_questions: true,
            field_times: true,
            remembers: 20,
            unique: None,
            refuse: Vec::new(),
            reshape: Vec::new(),
            retry_scale: 1.0,
            patience_ms: 15_000,
            at_once: 4,
        }
    }
}
