//! What a notification says, as statements.
//!
//! | event | statement |
//! |---|---|
//! | `creation`, `restore` | create, restore; what the record shows is not in it, so it is read |
//! | `deletion` | delete |
//! | `privacyDeletion` | delete, for the reason [`PRIVACY`]; its twin `deletion` says the same once more, in any order |
//! | `propertyChange` | edit of one field |
//! | `merge` | absorb, once for each record that is no more; the survivor is read, since HubSpot says nothing of what became of its properties |
//! | `associationChange` | associate or dissociate, [labelled](label) by the association's type |
//!
//! Nothing is left out. What the manifest does not know, and what lacks the members that its meaning hangs on, becomes an edit
//! without words whose source is the notification, under a kind of the side's own such as `crm:tickets` where we have none.
//!
//! A record is named by HubSpot's own id ([`Translation::record`]): which records are one is for links and absorbs to say. Each
//! loser of a merge is deleted as well, in a notification of its own; that is a delete of the loser, not of the survivor.
//! HubSpot's `eventId` is not unique and its `attemptNumber` counts deliveries, so a statement is known again by what it says.

use super::{author::author, object, webhook::Notification};
use crate::{
    clock::Millis,
    event::{Author, Detail, Draft, Kind},
    field::Misfit,
    id::{FieldName, RecordId},
    rulebook::EXISTENCE,
    side::translate::Translation,
    value::Value,
};

/// Why a record was deleted whose owner asked to be forgotten; such a delete is not undone.
pub const PRIVACY: &str = "privacy deletion";
/// The role of the other record in an absorb.
pub const MERGED: &str = "merged";
/// What the label of a primary association ends in: HubSpot tells of it beside the plain one.
pub const PRIMARY: &str = " (primary)";

/// The record under which a notification is kept that names none.
const NAMELESS: &str = "hubspot:unknown/unknown";
/// Members that differ from one delivery of a notification to the next.
const DELIVERY: &[&str] = &["attemptNumber", "eventId", "subscriptionId"];
/// Members that the statement itself holds.
const SAID: &[&str] = &[
    "associationRemoved",
    "associationType",
    "fromObjectId",
    "isPrimaryAssociation",
    "mergedObjectIds",
    "newObjectId",
    "objectId",
    "occurredAt",
    "portalId",
    "primaryObjectId",
    "propertyName",
    "toObjectId",
];

/// What a notification says, and what has to follow.
#[derive(Clone, Debug, Default)]
pub struct Statement {
    /// The statements.
    pub drafts: Vec<Draft>,
    /// The records that have to be read, because the notification does not say all that changed.
    pub rereads: Vec<Reread>,
    /// Why the statement has no words, if so.
    pub unmapped: Option<Unmapped>,
    /// The field whose value does not fit its type; the value is kept as it is.
    pub misfit: Option<(FieldName, Misfit)>,
}

/// A record that has to be read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reread {
    /// The record.
    pub record: RecordId,
    /// HubSpot's id for it.
    pub link: Box<str>,
}

/// Why a notification is kept without being understood.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Unmapped {
    /// The manifest has no such kind.
    Kind,
    /// The manifest has no such field.
    Property,
    /// An event of a type that has no meaning here.
    Event,
    /// It lacks members that its meaning hangs on.
    Incomplete,
}

impl Unmapped {
    /// One word for counters.
    pub fn name(self) -> &'static str {
        match self {
            Unmapped::Kind => "kind",
            Unmapped::Property => "property",
            Unmapped::Event => "event",
            Unmapped::Incomplete => "incomplete",
        }
    }
}

/// The label of an association: its type, and whether it is the primary one of its kind.
pub fn label(association: &str, is_primary: bool) -> String {
    format!("{association}{}", if is_primary { PRIMARY } else { "" })
}

impl Notification {
    /// What it says in our terms; `app` is our app's id, by which our own writes are known, and `now` dates it if HubSpot does not.
    pub fn statement(&self, translation: &Translation, app: Option<&str>, now: Millis) -> Statement {
        let event = self.event();
        let (named, action) = event.split_once('.').unwrap_or((&event, ""));
        let numbered = self.text("objectTypeId");
        let theirs = if named == "object" { numbered.as_deref().unwrap_or_default() } else { named };
        let step = translation.manifest().side(translation.side()).map_or(1, |side| side.clock.resolution_ms().max(1));
        let at = self.occurred_at().map_or(now, |at| at.in_steps_of(step));
        let author = author(self.text("changeSource").as_deref(), self.id("sourceId").as_deref(), None, app);
        let hearing = Hearing { notification: self, translation, theirs, at, author };
        let said = match (action, translation.kind_of(theirs)) {
            ("associationChange", kind) => hearing.association(kind),
            ("creation" | "deletion" | "privacyDeletion" | "restore" | "propertyChange" | "merge", None) => {
                Err(Unmapped::Kind)
            }
            ("creation", Some(kind)) => hearing.existence(kind, Kind::Create, Detail::None),
            ("restore", Some(kind)) => hearing.existence(kind, Kind::Restore, Detail::None),
            ("deletion", Some(kind)) => hearing.existence(kind, Kind::Delete, Detail::None),
            ("privacyDeletion", Some(kind)) => {
                hearing.existence(kind, Kind::Delete, Detail::Reason(PRIVACY.to_owned()))
            }
            ("propertyChange", Some(kind)) => hearing.property(kind),
            ("merge", Some(kind)) => hearing.merge(kind),
            _ => Err(Unmapped::Event),
        };
        said.unwrap_or_else(|why| hearing.unmapped(why))
    }
}

/// A notification with what is needed to understand it.
struct Hearing<'a> {
    notification: &'a Notification,
    translation: &'a Translation,
    /// HubSpot's name for the type of the record.
    theirs: &'a str,
    at: Millis,
    author: Author,
}

impl Hearing<'_> {
    /// A statement about a record of HubSpot's; an id that cannot be part of a name counts as missing.
    fn about(&self, kind: Kind, of: &str, link: &str) -> Result<Draft, Unmapped> {
        let record = self.translation.record(of, link).map_err(|_| Unmapped::Incomplete)?;
        let mut draft = Draft::new(kind, record, self.translation.origin(link), self.at, self.author.clone());
        draft.coarse = self.notification.occurred_at().is_none();
        let left_out: Vec<&str> = SAID.iter().chain(&["propertyValue"]).copied().collect();
        draft.source = Some(self.notification.json_without(&left_out, None));
        Ok(draft)
    }

    fn object(&self) -> Result<Box<str>, Unmapped> {
        self.notification.id("objectId").ok_or(Unmapped::Incomplete)
    }

    fn reread(&self, of: &str, link: &str) -> Option<Reread> {
        let record = self.translation.record(of, link).ok()?;
        Some(Reread { record, link: link.into() })
    }

    fn existence(&self, of: &str, kind: Kind, detail: Detail) -> Result<Statement, Unmapped> {
        let link = self.object()?;
        let mut draft = self.about(kind, of, &link)?;
        draft.words = vec![(FieldName::new(EXISTENCE).expect("a good name"), Value::bool(kind != Kind::Delete))];
        draft.detail = detail;
        // Whether the properties of a new record are told one by one as well, HubSpot does not say; and what looks deleted may
        // have been merged, which a look at it tells, also where the notification of the merger is late or lost.
        let for_good = kind == Kind::Delete && draft.detail != Detail::None;
        let rereads = self.reread(of, &link).filter(|_| !for_good).into_iter().collect();
        Ok(Statement { drafts: vec![draft], rereads, ..Statement::default() })
    }

    fn property(&self, of: &str) -> Result<Statement, Unmapped> {
        let link = self.object()?;
        let property = self.notification.text("propertyName").ok_or(Unmapped::Incomplete)?;
        let field = self.translation.field_of(of, &property).ok_or(Unmapped::Property)?;
        let value = self.notification.property_value().ok_or(Unmapped::Incomplete)?;
        let heard = self.translation.hear_text(of, &field, Some(&value));
        let mut draft = self.about(Kind::Edit, of, &link)?;
        draft.words = vec![(field.clone(), heard.value)];
        if let Some(misfit) = &heard.misfit {
            draft.source = Some(self.notification.json_without(SAID, Some(("misfit", &misfit.to_string()))));
        }
        let misfit = heard.misfit.map(|misfit| (field, misfit));
        Ok(Statement { drafts: vec![draft], misfit, ..Statement::default() })
    }

    /// HubSpot may let the two live on under a third id, and then none of the two is left.
    fn merge(&self, of: &str) -> Result<Statement, Unmapped> {
        let primary = self.notification.id("primaryObjectId");
        let minted = self.notification.id("newObjectId").filter(|id| &**id != "0");
        let survivor = minted.or(primary.clone()).ok_or(Unmapped::Incomplete)?;
        let mut losers: Vec<Box<str>> = primary.into_iter().collect();
        losers.extend(self.notification.ids("mergedObjectIds"));
        losers.sort();
        losers.dedup();
        losers.retain(|loser| *loser != survivor);
        if losers.is_empty() {
            return Err(Unmapped::Incomplete);
        }
        let absorb = |loser: &str| {
            let mut draft = self.about(Kind::Absorb, of, &survivor)?;
            let record = self.translation.record(of, loser).map_err(|_| Unmapped::Incomplete)?;
            draft.detail = Detail::Other { record, label: MERGED.to_owned() };
            Ok(draft)
        };
        let drafts = losers.iter().map(|loser| absorb(loser)).collect::<Result<_, Unmapped>>()?;
        Ok(Statement { drafts, rereads: self.reread(of, &survivor).into_iter().collect(), ..Statement::default() })
    }

    /// Both ends are told by the association's type, or by type numbers beside it where HubSpot sends those.
    fn association(&self, of: Option<&str>) -> Result<Statement, Unmapped> {
        let notification = self.notification;
        let named = notification.text("associationType");
        let ends = named.as_deref().and_then(|named| named.split_once("_TO_"));
        let end = |number: &str, named: Option<&str>| notification.text(number).or_else(|| named.map(Into::into));
        let from = end("fromObjectTypeId", ends.map(|ends| ends.0));
        let to = end("toObjectTypeId", ends.map(|ends| ends.1)).ok_or(Unmapped::Incomplete)?;
        let of = match &from {
            Some(from) => self.translation.kind_of(from),
            None => of,
        };
        let (of, other) = of.zip(self.translation.kind_of(&to)).ok_or(Unmapped::Kind)?;
        let link = notification.id("fromObjectId").ok_or(Unmapped::Incomplete)?;
        let other_link = notification.id("toObjectId").ok_or(Unmapped::Incomplete)?;
        let removed = notification.truth("associationRemoved").ok_or(Unmapped::Incomplete)?;
        let is_primary = notification.truth("isPrimaryAssociation").unwrap_or(false);
        let named = named.unwrap_or_else(|| {
            let word = |name: &str| object::singular(name).unwrap_or(name).to_ascii_uppercase();
            format!("{}_TO_{}", word(from.as_deref().unwrap_or(self.theirs)), word(&to)).into()
        });
        let mut draft = self.about(if removed { Kind::Dissociate } else { Kind::Associate }, of, &link)?;
        let record = self.translation.record(other, &other_link).map_err(|_| Unmapped::Incomplete)?;
        draft.detail = Detail::Other { record, label: label(&named, is_primary) };
        // What refers to the other end follows from this, and of that HubSpot tells nothing.
        let mut rereads = Vec::new();
        if self.refers(of, other) {
            rereads.extend(self.reread(of, &link));
        }
        if self.refers(other, of) {
            rereads.extend(self.reread(other, &other_link));
        }
        Ok(Statement { drafts: vec![draft], rereads, ..Statement::default() })
    }

    /// Whether records of a kind have a field that names one of another.
    fn refers(&self, of: &str, other: &str) -> bool {
        let is_reference = |field: &FieldName| {
            let spec = self.translation.manifest().field(of, field);
            spec.is_some_and(|spec| spec.kind.refers_to() == Some(other))
        };
        self.translation.fields(of).any(|(field, _)| is_reference(field))
    }

    /// A notification that is kept as it is.
    fn unmapped(&self, why: Unmapped) -> Statement {
        let of = self.translation.kind_of(self.theirs);
        // A kind of ours has no colon in its name, so what is not mapped is never taken for one of its records.
        let side = self.translation.side();
        let named = of.map_or_else(|| format!("{side}:{}", object::plural(self.theirs)), str::to_owned);
        let link = self.notification.id("objectId").or_else(|| self.notification.id("fromObjectId"));
        let link = link
            .or_else(|| self.notification.id("primaryObjectId"))
            .filter(|_| !self.theirs.is_empty() && !named.contains('/'));
        let known = link.as_deref().and_then(|link| Some((self.translation.record(&named, link).ok()?, link)));
        let (record, link) = match &known {
            Some((record, link)) => (record.clone(), *link),
            None => (RecordId::new(NAMELESS).expect("a good name"), "unknown"),
        };
        let mut draft = Draft::new(Kind::Edit, record, self.translation.origin(link), self.at, self.author.clone());
        draft.coarse = self.notification.occurred_at().is_none();
        draft.source = Some(self.notification.json_without(DELIVERY, None));
        // What lacks something is about a record that we hold, and something of it has changed.
        let held = of.zip(known).filter(|_| why == Unmapped::Incomplete);
        let rereads = held.and_then(|(of, (_, link))| self.reread(of, link)).into_iter().collect();
        Statement { drafts: vec![draft], rereads, unmapped: Some(why), misfit: None }
    }
}
