//! On whose behalf something is read or said.

use std::fmt;

use crate::{event::Author, event::AuthorKind, id::RecordId};

/// On whose behalf something is read or said.
///
/// What a role may see and say is in the manifest's `permissions`, and is looked up anew at every call: a role that the
/// manifest does not have sees nothing. There is one way around permissions, [`Principal::operator`].
#[derive(Clone, PartialEq, Eq)]
pub struct Principal(Acts);

#[derive(Clone, PartialEq, Eq)]
enum Acts {
    Operator,
    As { role: Box<str>, who: Who },
}

/// The person behind a role.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Who {
    /// The person's id, as the portal knows it: the author of what the person says.
    pub user: Box<str>,
    /// The person's own record; without one no record is the person's own.
    pub contact: Option<RecordId>,
    /// The person's company; without one no record is of the person's company.
    pub company: Option<RecordId>,
}

impl Principal {
    /// Whoever runs the store: may see and say everything, and speaks for whom it names.
    pub fn operator() -> Principal {
        Principal(Acts::Operator)
    }

    /// A person in a role of the manifest.
    ///
    /// The embedding program vouches for both: nothing here checks that the person is who it is said to be.
    pub fn of(role: &str, who: Who) -> Principal {
        Principal(Acts::As { role: role.into(), who })
    }

    /// Whether this is the operator.
    pub fn is_operator(&self) -> bool {
        self.role().is_none()
    }

    /// The role and the person in it; `None`: the operator.
    pub fn role(&self) -> Option<(&str, &Who)> {
        match &self.0 {
            Acts::Operator => None,
            Acts::As { role, who } => Some((role, who)),
        }
    }

    /// Who has said what this principal says; only the operator's claim counts.
    pub(super) fn author(&self, claimed: Author) -> Author {
        let Some((_, who)) = self.role() else { return claimed };
        let id = |record: &Option<RecordId>| record.as_ref().map(|record| Box::from(&**record));
        Author { kind: AuthorKind::User, id: who.user.clone(), contact: id(&who.contact), company: id(&who.company) }
    }
}

impl Who {
    /// A person without a record and a company.
    pub fn user(id: &str) -> Who {
        Who { user: id.into(), ..Who::default() }
    }

    /// Names the person's own record.
    pub fn contact(mut self, record: RecordId) -> Who {
        self.contact = Some(record);
        self
    }

    /// Names the person's company.
    pub fn company(mut self, record: RecordId) -> Who {
        self.company = Some(record);
        self
    }
}

impl fmt::Debug for Principal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Acts::Operator => f.write_str("Principal::operator"),
            Acts::As { role, .. } => write!(f, "Principal::of({role:?}, ..)"),
        }
    }
}

impl fmt::Debug for Who {
    /// Says which records are named and not who the person is: a user's id is often an address.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Who { user: _, contact, company } = self;
        f.debug_struct("Who").field("contact", contact).field("company", company).finish_non_exhaustive()
    }
}
