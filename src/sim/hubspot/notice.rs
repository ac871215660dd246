//! What webhooks say of a happening.

use serde_json::{Map, Value, json};

use super::{
    association::Tied,
    book::By,
    change::{Happening, Told},
    state::State,
};
use crate::clock::Millis;

/// Properties that cannot be subscribed.
const UNTOLD: [&str; 2] = ["num_unique_conversion_events", "hs_lastmodifieddate"];

impl State {
    /// Tells happenings; `at` is when they are said to have happened, if not now.
    pub fn tell(&mut self, told: Vec<Told>, by: &By, at: Option<Millis>) {
        for one in told {
            let (name, type_id) = self.named(one.kind);
            let (event, body) = match one.what {
                Happening::Created => ("creation", json!({"objectId": one.id, "changeFlag": "CREATED"})),
                Happening::Deleted => ("deletion", json!({"objectId": one.id, "changeFlag": "DELETED"})),
                Happening::Restored => ("restore", json!({"objectId": one.id, "changeFlag": "RESTORED"})),
                // HubSpot has this one for contacts alone.
                Happening::PrivacyDeleted if self.book.kinds[one.kind].singular != "contact" => continue,
                Happening::PrivacyDeleted => ("privacyDeletion", json!({"objectId": one.id})),
                Happening::Merged { primary, losers, moved } => (
                    "merge",
                    json!({"objectId": one.id, "primaryObjectId": primary, "mergedObjectIds": losers,
                           "newObjectId": one.id, "numberOfPropertiesMoved": moved}),
                ),
                Happening::Changed { property, value } => {
                    if UNTOLD.contains(&property.as_str()) {
                        continue;
                    }
                    let mut body = json!({"objectId": one.id, "propertyName": property, "propertyValue": value});
                    if type_id.is_some() {
                        body["isSensitive"] = json!(false);
                    }
                    ("propertyChange", body)
                }
            };
            self.notify(&name, event, type_id.as_deref(), body, by, at);
        }
    }

    /// Tells what became of associations, from both ends.
    pub fn tell_ties(&mut self, tied: &[Tied], by: &By, at: Option<Millis>) {
        for one in tied {
            let capital = |kind: usize| self.book.kinds[kind].singular.to_uppercase();
            let body = json!({
                "associationType": format!("{}_TO_{}", capital(one.from.0), capital(one.to.0)),
                "fromObjectId": one.from.1,
                "toObjectId": one.to.1,
                "associationRemoved": one.removed,
                "isPrimaryAssociation": one.is_primary,
            });
            let (name, type_id) = self.named(one.from.0);
            // Associations are told as made by a `USER` where a user made them.
            let by = if by.user.is_some() { By { source: "USER".into(), ..by.clone() } } else { by.clone() };
            self.notify(&name, "associationChange", type_id.as_deref(), body, &by, at);
        }
    }

    /// The first word of a kind's event types, and its type id where that is the generic one.
    fn named(&self, kind: usize) -> (String, Option<String>) {
        let kind = &self.book.kinds[kind];
        let has_own =
            ["contact", "company", "deal", "ticket", "product", "line_item"].contains(&kind.singular.as_str());
        match has_own && !self.settings.generic_hooks {
            true => (kind.singular.clone(), None),
            false => ("object".to_owned(), Some(kind.type_id.clone())),
        }
    }

    fn notify(&mut self, name: &str, event: &str, type_id: Option<&str>, body: Value, by: &By, at: Option<Millis>) {
        let full = format!("{name}.{event}");
        let property = body["propertyName"].as_str();
        let Some(subscription) = self.hooks.subscription(&full, property, type_id) else { return };
        let Value::Object(mut body) = body else { return };
        let at = at.unwrap_or_else(|| self.said()).0;
        let occurred = if self.settings.whole_seconds { at - at.rem_euclid(1000) } else { at };
        let header = json!({
            "subscriptionId": subscription,
            "portalId": self.settings.account,
            "appId": self.settings.app,
            "occurredAt": occurred,
            "subscriptionType": full,
            "changeSource": by.source,
        });
        body.extend(header.as_object().cloned().unwrap_or_else(Map::new));
        if let Some(id) = &by.id {
            body.insert("sourceId".into(), json!(id));
        }
        if let Some(type_id) = type_id {
            body.insert("objectTypeId".into(), json!(type_id));
        }
        if by.source == "INTEGRATION" && by.id.as_deref() == Some(self.settings.app.to_string().as_str()) {
            self.hooks.counts.echoes += 1;
        }
        let fate = self.faults.of_notice(&full);
        let due = self.now.plus(self.settings.hook_delay_ms);
        self.hooks.push(body, due, fate);
    }
}
