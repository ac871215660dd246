//! Who made a change, by what HubSpot says of its source.
//!
//! Notifications say it under `changeSource` and `sourceId`, the history of a property under `sourceType`, `sourceId` and
//! `updatedByUserId`, in the same words; one author has to be one in both.

use crate::event::{Author, AuthorKind};

/// What a user's id begins with, where it stands among ids of other things.
const USER: &str = "userId:";

/// The author of a change; `app` is our app's id, by which our own writes are known.
///
/// It is ours only where an integration of that id wrote it: what a workflow made of a write of ours is no echo of it.
pub fn author(source: Option<&str>, id: Option<&str>, user: Option<&str>, app: Option<&str>) -> Author {
    let given = |text: &&str| !text.is_empty();
    let (source, id, user) = (source.filter(given), id.filter(given), user.filter(given));
    let user = id.and_then(|id| id.strip_prefix(USER)).or(user);
    let (kind, named) = match (source, id) {
        (Some("INTEGRATION"), Some(id)) if !id.starts_with(USER) => {
            (if app == Some(id) { AuthorKind::Ours } else { AuthorKind::Integration }, id)
        }
        (Some("INTEGRATION"), None) => (AuthorKind::Integration, "INTEGRATION"),
        (None, None) if user.is_none() => (AuthorKind::Unnamed, ""),
        (source, id) => match user {
            Some(user) => (AuthorKind::User, user),
            None => {
                let by_person = source.is_some_and(|source| source.starts_with("CRM_UI") || source == "USER");
                let kind = if by_person { AuthorKind::User } else { AuthorKind::System };
                (kind, id.or(source).unwrap_or_default())
            }
        },
    };
    Author { kind, id: named.into(), ..Author::default() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_author_is_who_hubspot_names() {
        let cases = [
            (Some("INTEGRATION"), Some("54321"), None, AuthorKind::Ours, "54321"),
            (Some("INTEGRATION"), Some("9"), Some("4"), AuthorKind::Integration, "9"),
            (Some("INTEGRATION"), Some("userId:4"), None, AuthorKind::User, "4"),
            (Some("INTEGRATION"), None, None, AuthorKind::Integration, "INTEGRATION"),
            // A workflow that our write set off is no echo, whatever it names as its source.
            (Some("AUTOMATION_PLATFORM"), Some("54321"), None, AuthorKind::System, "54321"),
            (Some("CRM_UI"), Some("userId:4"), None, AuthorKind::User, "4"),
            (Some("CRM_UI"), None, Some("4"), AuthorKind::User, "4"),
            (Some("CRM_UI_BULK_ACTION"), None, None, AuthorKind::User, "CRM_UI_BULK_ACTION"),
            (Some("IMPORT"), Some("77"), None, AuthorKind::System, "77"),
            (Some("HUBSPOT_INTERNAL"), Some("CompanyInsights"), None, AuthorKind::System, "CompanyInsights"),
            (None, Some("77"), None, AuthorKind::System, "77"),
            (Some(""), Some(""), None, AuthorKind::Unnamed, ""),
        ];
        for (source, id, user, kind, named) in cases {
            let found = author(source, id, user, Some("54321"));
            assert_eq!((found.kind, &*found.id), (kind, named), "{source:?} {id:?} {user:?}");
        }
        assert_eq!(author(Some("INTEGRATION"), Some("54321"), None, None).kind, AuthorKind::Integration);
    }
}
