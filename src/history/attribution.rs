//! Who is behind a word that a side said in our name.
//!
//! A side that puts our write into its own form tells of it later, as a change by our app. What it tells is still what a
//! person said: the one whose word the write carried there.

use super::{Reader, story::Story};
use crate::{
    engine::EngineError,
    event::{Author, AuthorKind, Event, Kind},
    id::FieldName,
    merge::record::Candidate,
};

impl Reader {
    /// The author of a word on a field; for one in our name, the person whose word we had sent.
    pub(super) fn person(
        &self,
        story: &Story,
        field: &FieldName,
        candidate: &Candidate,
    ) -> Result<Author, EngineError> {
        let own = || story.permit.author(&self.engine, &candidate.author);
        if candidate.author.kind != AuthorKind::Ours {
            return Ok(own());
        }
        let (_, events) = story.events(self)?;
        let at = events[candidate.entry as usize].seq;
        let is_ours =
            |event: &Event| event.header.kind == Kind::Sent && event.header.origin.side == candidate.origin.side;
        let sent = events.iter().filter(|heard| heard.seq < at && is_ours(&heard.event));
        let sent = sent.filter(|heard| heard.event.header.fields.contains(field)).max_by_key(|heard| heard.seq);
        let Some(header) = sent.map(|heard| &heard.event.header) else { return Ok(own()) };
        let place = header.fields.iter().position(|named| named == field);
        let carried = place.and_then(|place| header.carries.get(place)).into_iter().flatten();
        let words = carried.filter_map(|said| story.line.find(said)).map(|entry| &events[entry as usize].event);
        // The word that was sent, not one of those that it overruled.
        let value = place.and_then(|place| sent.and_then(|heard| heard.event.payload.values.get(place)));
        let is_sent = |event: &&Event| event.words().any(|(name, word)| name == field && Some(word) == value);
        let author =
            words.filter(is_sent).map(|event| &event.header.author).find(|author| author.kind == AuthorKind::User);
        Ok(author.map_or_else(own, |author| story.permit.author(&self.engine, author)))
    }
}
