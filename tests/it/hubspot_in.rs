//! What HubSpot sends: signatures, notifications and what they say, properties beside the manifest.

mod property;
mod signature;

use std::sync::Arc;

use proptest::{prelude::*, test_runner::FileFailurePersistence};
use syncline::{
    clock::Millis,
    engine::{Engine, Said},
    event::{AuthorKind, Detail, Draft, Kind},
    id::{RecordId, SideName, TenantKey},
    manifest::Manifest,
    side::{
        Links,
        hubspot::{
            heard,
            statement::{self, Statement, Unmapped},
            webhook::{self, Batch, BodyError, FaultKind, Notification},
        },
        translate::Translation,
    },
    value::Value,
};

const MANIFEST: &str = r#"
syncline: 1
tenant: acme
sides:
  crm: { connector: hubspot, account: "62515", app: "54321", credentials: { token: env:T, webhook_secret: env:S } }
  portal: { connector: portal, deliver_to: "https://portal.example.com/hooks", credentials: { webhook_secret: env:P } }
defaults: { rule: { authority: crm } }
records:
  contact:
    sides: { crm: contacts, portal: customer }
    match_on: [email, phone]
    fields:
      email: { type: email, crm: email, portal: email, required: true }
      phone: { type: string, crm: phone, portal: phone }
      born: { type: date, crm: date_of_birth, portal: born }
      stage: { type: choice, of: [lead, customer], crm: { name: lifecyclestage, values: { customer: client } }, portal: stage, write: [crm] }
      interests: { type: set, crm: interests, portal: interests, rule: merge }
      visits: { type: integer, crm: num_visits, portal: visits }
      is_vip: { type: boolean, crm: vip, portal: vip }
      company: { type: reference, to: company, crm: primary_company, portal: companyId, write: [crm] }
  company:
    sides: { crm: companies, portal: organisation }
    fields: { name: { type: string, crm: name, portal: name } }
  deal:
    sides: { crm: deals, portal: deal }
    fields: { amount: { type: decimal, crm: amount, portal: amount } }
  line:
    sides: { crm: line_items, portal: line }
    fields: { name: { type: string, crm: name, portal: name } }
"#;

const NOW: Millis = Millis(1_800_000_000_000);

struct Unlinked;

impl Links for Unlinked {
    fn record(&self, kind: &str, side: &SideName, link: &str) -> Option<RecordId> {
        RecordId::on_side(kind, side, link).ok()
    }

    fn link(&self, _record: &RecordId, _side: &SideName) -> Option<Box<str>> {
        None
    }
}

/// What a side of this manifest says, where no record is linked with another.
pub fn unlinked(manifest: &str, side: &str) -> Translation {
    let manifest = Manifest::parse(manifest).unwrap_or_else(|faults| panic!("a good manifest, but {faults:?}"));
    Translation::new(Arc::new(manifest), SideName::new(side).expect("good"), Arc::new(Unlinked))
}

fn translation() -> Translation {
    unlinked(MANIFEST, "crm")
}

fn batch(body: &str) -> Batch {
    webhook::split(body.as_bytes()).expect("a good body")
}

fn one(notification: &str) -> Notification {
    let batch = batch(&format!("[{notification}]"));
    assert_eq!(batch.faults, []);
    batch.accounts.into_iter().next().expect("one account").1.remove(0)
}

fn said(notification: &str) -> Statement {
    one(notification).statement(&translation(), Some("54321"), NOW)
}

/// The only statement of a notification.
fn draft(notification: &str) -> Draft {
    let mut statement = said(notification);
    assert_eq!((statement.drafts.len(), statement.unmapped), (1, None), "{notification}");
    statement.drafts.remove(0)
}

/// A notification of account 1 with the members that all have.
fn notification(event: &str, rest: &str) -> String {
    format!(
        r#"{{"eventId":1,"subscriptionId":2,"portalId":1,"appId":54321,"occurredAt":1787843156000,"subscriptionType":"{event}","attemptNumber":0,{rest}}}"#
    )
}

fn words(draft: &Draft) -> Vec<String> {
    draft.words.iter().map(|(field, value)| format!("{field}={}", value.to_json())).collect()
}

fn said_id(draft: Draft) -> String {
    let key = TenantKey([7; 32]).record_key(&draft.record);
    draft.seal(&key, syncline::clock::Hlc(1)).expect("small").event.header.said.to_string()
}

/// As they were captured on the wire by third parties; what one of them left out is left out here.
const CAPTURED: [&str; 5] = [
    r#"{"eventId":4101286121,"subscriptionId":7562680,"portalId":247187887,"appId":50780459,"occurredAt":1787843156000,"subscriptionType":"contact.propertyChange","attemptNumber":1,"objectId":541935488729,"propertyName":"email","propertyValue":"x@example.com","changeSource":"INTEGRATION","sourceId":"50780459"}"#,
    r#"{"eventId":1431776902,"portalId":1,"occurredAt":1787843156000,"subscriptionType":"contact.creation","attemptNumber":0,"objectId":106651134132,"changeFlag":"CREATED","changeSource":"INTEGRATION","sourceId":"9393361"}"#,
    r#"{"eventId":2737147673,"portalId":1,"occurredAt":1787843156000,"subscriptionType":"company.deletion","attemptNumber":5,"objectId":6674551525,"changeFlag":"DELETED","changeSource":"CRM_UI_BULK_ACTION","sourceId":"userId:47812075"}"#,
    r#"{"eventId":2073333923,"portalId":50249912,"appId":36665006,"occurredAt":1786997905997,"subscriptionType":"deal.associationChange","attemptNumber":0,"changeSource":"USER","associationType":"DEAL_TO_LINE_ITEM","fromObjectId":64058987777,"toObjectId":58061514894,"associationRemoved":false,"sourceId":"userId:82088707"}"#,
    r#"{"eventId":1765889350,"portalId":1,"occurredAt":1787843156000,"subscriptionType":"object.propertyChange","objectId":546500061938,"objectTypeId":"0-1","propertyName":"email","propertyValue":"y@example.com","changeSource":"CRM_UI","sourceId":"userId:98499705","isSensitive":false}"#,
];

#[test]
fn captured_notifications_say_what_they_said() {
    let told: Vec<String> = CAPTURED
        .iter()
        .map(|text| {
            let notification = one(text);
            let ours = notification.app();
            let statement = notification.statement(&translation(), ours.as_deref(), NOW);
            assert_eq!((statement.unmapped, statement.misfit), (None, None));
            let [draft] = &statement.drafts[..] else { panic!("one statement") };
            assert_eq!(draft.origin.link.as_deref(), draft.record.split_once(':').map(|(_, link)| link));
            assert!(!draft.coarse && draft.seen.is_none());
            let other = match &draft.detail {
                Detail::Other { record, label } => format!(" {record} {label}"),
                _ => String::new(),
            };
            let author = format!("{:?} {}", draft.author.kind, draft.author.id);
            format!(
                "{} {} {} [{}]{other} by {author}",
                draft.said_at,
                draft.kind.name(),
                draft.record,
                words(draft).join(",")
            )
        })
        .collect();
    assert_eq!(
        told,
        [
            "2026-08-27T15:05:56Z edit contact/crm:541935488729 [email=\"x@example.com\"] by Ours 50780459",
            "2026-08-27T15:05:56Z create contact/crm:106651134132 [∃=true] by Integration 9393361",
            "2026-08-27T15:05:56Z delete company/crm:6674551525 [∃=false] by User 47812075",
            "2026-08-17T20:18:25.997Z associate deal/crm:64058987777 [] line/crm:58061514894 DEAL_TO_LINE_ITEM by User 82088707",
            "2026-08-27T15:05:56Z edit contact/crm:546500061938 [email=\"y@example.com\"] by User 98499705",
        ]
    );
}

#[test]
fn a_body_is_split_by_account_in_the_order_of_first_mention() {
    let batch = batch(&format!("[{}]", CAPTURED.join(",")));
    let accounts: Vec<(&str, usize)> =
        batch.accounts.iter().map(|(portal, all)| (portal.as_str(), all.len())).collect();
    assert_eq!(accounts, [("247187887", 1), ("1", 3), ("50249912", 1)]);
    for (portal, notifications) in &batch.accounts {
        assert!(notifications.iter().all(|notification| notification.portal() == portal));
        // A part is a body of its own again.
        let again = webhook::split(&webhook::join(notifications)).expect("a good body");
        assert_eq!(format!("{:?}", again.accounts), format!("{:?}", vec![(portal.clone(), notifications.clone())]));
        assert_eq!(webhook::join(&again.accounts[0].1), webhook::join(notifications));
    }
}

#[test]
fn ids_are_numbers_or_texts_and_the_type_has_two_names() {
    let text = r#"{"portalId":"1","appId":"54321","occurredAt":"1787843156000","eventType":"contact.propertyChange","objectId":"541935488729","propertyName":"phone","propertyValue":"1","surprise":{"a":[1]}}"#;
    let draft = draft(text);
    assert_eq!((&*draft.record, draft.said_at), ("contact/crm:541935488729", Millis(1_787_843_156_000)));
    assert_eq!(draft.author.kind, AuthorKind::Unnamed);
    assert_eq!(
        draft.source.as_deref(),
        Some(r#"{"appId":"54321","eventType":"contact.propertyChange","surprise":{"a":[1]}}"#)
    );
}

#[test]
fn a_merge_absorbs_every_loser_into_the_survivor_which_is_read() {
    // Without a new id the primary survives; with one, HubSpot has minted a third and the primary is gone too.
    let cases = [
        (r#""primaryObjectId":1,"mergedObjectIds":[2,3]"#, "1", vec!["2", "3"]),
        (
            r#""primaryObjectId":1,"mergedObjectIds":[2],"newObjectId":9,"numberOfPropertiesMoved":4"#,
            "9",
            vec!["1", "2"],
        ),
        (r#""primaryObjectId":1,"mergedObjectIds":[1,2,2],"newObjectId":9"#, "9", vec!["1", "2"]),
        (r#""primaryObjectId":"1","mergedObjectIds":["2"],"newObjectId":"1""#, "1", vec!["2"]),
        (r#""primaryObjectId":1,"mergedObjectIds":2,"newObjectId":0"#, "1", vec!["2"]),
    ];
    for (members, survivor, losers) in cases {
        let statement = said(&notification("contact.merge", members));
        let absorbed: Vec<&str> = statement
            .drafts
            .iter()
            .map(|draft| {
                assert_eq!((draft.kind, draft.record.to_string()), (Kind::Absorb, format!("contact/crm:{survivor}")));
                assert_eq!(draft.origin.link.as_deref(), Some(survivor));
                let Detail::Other { record, label } = &draft.detail else { panic!("another record") };
                assert_eq!(label, statement::MERGED);
                record.strip_prefix("contact/crm:").expect("of the same kind")
            })
            .collect();
        assert_eq!(absorbed, losers, "{members}");
        assert_eq!(statement.rereads.iter().map(|reread| &*reread.link).collect::<Vec<_>>(), [survivor]);
        let mut names: Vec<String> = statement.drafts.into_iter().map(said_id).collect();
        names.dedup();
        assert_eq!(names.len(), losers.len(), "each loser is a statement of its own");
    }
    for incomplete in
        [r#""mergedObjectIds":[2]"#, r#""primaryObjectId":1"#, r#""primaryObjectId":1,"mergedObjectIds":[1]"#]
    {
        assert_eq!(
            said(&notification("contact.merge", incomplete)).unmapped,
            Some(Unmapped::Incomplete),
            "{incomplete}"
        );
    }
}

#[test]
fn a_new_restored_or_deleted_record_is_read_and_one_that_is_gone_for_good_is_not() {
    for (event, kind, reads) in [
        ("contact.creation", Kind::Create, 1),
        ("object.restore", Kind::Restore, 1),
        // It may have been merged.
        ("contact.deletion", Kind::Delete, 1),
        ("contact.privacyDeletion", Kind::Delete, 0),
    ] {
        let statement = said(&notification(event, r#""objectId":5,"objectTypeId":"0-1""#));
        assert_eq!((statement.drafts[0].kind, statement.rereads.len()), (kind, reads), "{event}");
        assert_eq!(words(&statement.drafts[0]), [format!("∃={}", kind != Kind::Delete)]);
    }
}

#[test]
fn a_privacy_deletion_and_its_twin_say_the_same_and_keep_the_reason() {
    // The two come at one time, in any order and in any batch: the reason has to outlive a repetition of the plain one.
    let plain = draft(&notification("contact.deletion", r#""objectId":5"#));
    let privacy = draft(&notification("contact.privacyDeletion", r#""objectId":5"#));
    assert_eq!((words(&plain), plain.kind, &plain.record), (words(&privacy), privacy.kind, &privacy.record));
    assert_eq!(privacy.detail, Detail::Reason(statement::PRIVACY.to_owned()));
    assert_ne!(said_id(plain), said_id(privacy));
}

#[test]
fn associations_come_and_go_with_their_label() {
    let change = |rest: &str| {
        let members = format!(r#""associationType":"CONTACT_TO_COMPANY","fromObjectId":5,"toObjectId":7,{rest}"#);
        said(&notification("contact.associationChange", &members))
    };
    let label = |statement: &Statement| match &statement.drafts[0].detail {
        Detail::Other { record, label } => format!("{} {record} {label}", statement.drafts[0].kind.name()),
        _ => panic!("another record"),
    };
    let plain = change(r#""associationRemoved":false,"isPrimaryAssociation":false"#);
    let primary = change(r#""associationRemoved":false,"isPrimaryAssociation":true"#);
    assert_eq!(label(&plain), "associate company/crm:7 CONTACT_TO_COMPANY");
    assert_eq!(label(&primary), "associate company/crm:7 CONTACT_TO_COMPANY (primary)");
    assert_eq!(label(&change(r#""associationRemoved":true"#)), "dissociate company/crm:7 CONTACT_TO_COMPANY");
    // The contact's field that names its company follows, whichever end HubSpot tells it from.
    assert_eq!((plain.rereads.len(), primary.rereads.len()), (1, 1));
    let reversed =
        r#""associationType":"COMPANY_TO_CONTACT","fromObjectId":7,"toObjectId":5,"associationRemoved":false"#;
    let reversed = said(&notification("company.associationChange", reversed));
    assert_eq!((&*reversed.drafts[0].record, &*reversed.rereads[0].record), ("company/crm:7", "contact/crm:5"));
    assert_ne!(said_id(plain.drafts[0].clone()), said_id(primary.drafts[0].clone()));
    let other = plain.drafts[0].clone();
    let elsewhere = change(r#""associationRemoved":false"#).drafts.remove(0);
    assert_eq!(said_id(other), said_id(elsewhere));
    assert_eq!(change(r#""associationRemoved":null"#).unmapped, Some(Unmapped::Incomplete));
    let numbered = notification(
        "object.associationChange",
        r#""fromObjectTypeId":"0-3","toObjectTypeId":"0-8","fromObjectId":5,"toObjectId":7,"associationRemoved":false"#,
    );
    assert_eq!(label(&said(&numbered)), "associate line/crm:7 DEAL_TO_LINE_ITEM");
}

#[test]
fn values_come_in_normal_form_and_misfits_as_they_are() {
    let change = |property: &str, value: &str| {
        said(&notification(
            "contact.propertyChange",
            &format!(r#""objectId":5,"propertyName":"{property}","propertyValue":{value}"#),
        ))
    };
    let heard = |property: &str, value: &str| words(&change(property, value).drafts[0]).join(",");
    assert_eq!(heard("date_of_birth", r#""1772323200000""#), r#"born="2026-03-01""#);
    assert_eq!(heard("lifecyclestage", r#""client""#), r#"stage="customer""#);
    assert_eq!(heard("interests", r#""b;a""#), r#"interests=["a","b"]"#);
    assert_eq!(heard("phone", r#""""#), "phone=null");
    assert_eq!((heard("num_visits", "7"), heard("vip", "true")), ("visits=7".into(), "is_vip=true".into()));
    assert_eq!(heard("primary_company", r#""7""#), r#"company="company/crm:7""#);
    let misfit = change("date_of_birth", r#""1.3.2026""#);
    let (field, why) = misfit.misfit.as_ref().expect("flagged");
    assert_eq!((&**field, why.to_string()), ("born", "is not a date (YYYY-MM-DD)".into()));
    assert_eq!(words(&misfit.drafts[0]), [r#"born="1.3.2026""#]);
    let source = misfit.drafts[0].source.as_deref().expect("the notification");
    assert!(
        source.contains(r#""propertyValue":"1.3.2026""#)
            && source.ends_with(r#""misfit":"is not a date (YYYY-MM-DD)"}"#),
        "{source}"
    );
    // A change without its value is no clearing: the record is read.
    for unsaid in ["null", "null,\"x\":1"] {
        let statement = change("phone", unsaid);
        assert_eq!((statement.unmapped, statement.rereads.len()), (Some(Unmapped::Incomplete), 1));
        assert!(statement.drafts[0].words.is_empty());
    }
}

#[test]
fn a_delivery_is_known_again_whatever_its_numbers() {
    let at = |event: u32, attempt: u32, subscription: u32, rest: &str| {
        let text = format!(
            r#"{{"attemptNumber":{attempt},"eventId":{event},"subscriptionId":{subscription},"portalId":1,"occurredAt":5,"objectId":5,{rest}}}"#
        );
        said_id(said(&text).drafts.remove(0))
    };
    let mapped = r#""subscriptionType":"contact.propertyChange","propertyName":"phone","propertyValue":"1""#;
    let unmapped = r#""subscriptionType":"contact.propertyChange","propertyName":"shoe_size","propertyValue":"43""#;
    for rest in [mapped, unmapped] {
        assert_eq!(at(1, 0, 3, rest), at(2, 6, 4, rest));
    }
    assert_ne!(at(1, 0, 3, unmapped), at(1, 0, 3, &unmapped.replace("43", "44")));
    // One change may be subscribed to twice, by its own name and by the generic one.
    let generic =
        r#""subscriptionType":"object.propertyChange","objectTypeId":"0-1","propertyName":"phone","propertyValue":"1""#;
    assert_eq!(at(1, 0, 3, mapped), at(1, 0, 3, generic));
}

#[test]
fn a_store_takes_every_statement_once_however_it_is_delivered_again() {
    let dir = tempfile::tempdir().expect("a folder");
    let (engine, _) = Engine::builder(dir.path().join("store")).manifest(MANIFEST).open().expect("opened");
    let say = |body: &str| -> Vec<bool> {
        let drafts = batch(body).accounts.into_iter().flat_map(|(_, all)| all);
        let drafts = drafts.flat_map(|notification| notification.statement(&translation(), None, NOW).drafts);
        let said = engine.say(drafts.collect()).expect("taken");
        said.iter().map(|said| matches!(said, Said::New { contradicts: false, .. })).collect()
    };
    let unmapped = |property: &str| {
        notification(
            "contact.propertyChange",
            &format!(r#""objectId":5,"propertyName":"{property}","propertyValue":"1""#),
        )
    };
    let all = [
        CAPTURED[0].to_owned(),
        notification("contact.merge", r#""primaryObjectId":1,"mergedObjectIds":[2,3],"newObjectId":9"#),
        notification("contact.deletion", r#""objectId":7"#),
        notification("contact.privacyDeletion", r#""objectId":7"#),
        unmapped("shoe_size"),
        unmapped("hat_size"),
        unmapped("num_visits").replace("\"1\"", "\"a few\""),
        notification("ticket.creation", r#""objectId":5"#),
    ];
    assert_eq!(say(&format!("[{}]", all.join(","))), [true; 10]);
    // Delivered again it is regrouped, in another order, with other numbers.
    let again: Vec<String> = all.iter().rev().map(|one| one.replace("\"eventId\":1,", "\"eventId\":8,")).collect();
    let again: Vec<String> =
        again.iter().map(|one| one.replace("\"attemptNumber\":0", "\"attemptNumber\":4")).collect();
    assert_eq!(say(&format!("[{}]", again[..3].join(","))), [false; 3]);
    assert_eq!(say(&format!("[{}]", again[3..].join(","))), [false; 7]);
    engine.close().expect("closed");
}

#[test]
fn what_is_not_mapped_is_kept_whole_and_counted() {
    let cases = [
        ("ticket.creation", r#""objectId":5"#, Unmapped::Kind, "crm:tickets/crm:5", 0),
        (
            "object.propertyChange",
            r#""objectId":5,"objectTypeId":"2-77","propertyName":"a","propertyValue":"b""#,
            Unmapped::Kind,
            "crm:2-77/crm:5",
            0,
        ),
        (
            "object.propertyChange",
            r#""objectId":5,"propertyName":"a","propertyValue":"b""#,
            Unmapped::Kind,
            "hubspot:unknown/unknown",
            0,
        ),
        (
            "contact.propertyChange",
            r#""objectId":5,"propertyName":"shoe_size","propertyValue":"43""#,
            Unmapped::Property,
            "contact/crm:5",
            0,
        ),
        ("contact.propertyChange", r#""objectId":5,"propertyValue":"43""#, Unmapped::Incomplete, "contact/crm:5", 1),
        (
            "contact.propertyChange",
            r#""propertyName":"phone","propertyValue":"43""#,
            Unmapped::Incomplete,
            "hubspot:unknown/unknown",
            0,
        ),
        ("conversation.newMessage", r#""objectId":5"#, Unmapped::Event, "crm:conversation/crm:5", 0),
        ("contact.dance", r#""objectId":5"#, Unmapped::Event, "contact/crm:5", 0),
        ("contact.creation", r#""objectId":[5]"#, Unmapped::Incomplete, "hubspot:unknown/unknown", 0),
        (
            "contact.associationChange",
            r#""associationType":"CONTACT_TO_TICKET","fromObjectId":5,"toObjectId":7,"associationRemoved":false"#,
            Unmapped::Kind,
            "contact/crm:5",
            0,
        ),
        ("", r#""objectId":5"#, Unmapped::Event, "hubspot:unknown/unknown", 0),
        // A type with a slash in its name must not pass for a kind of ours.
        ("contact/x.creation", r#""objectId":5"#, Unmapped::Kind, "hubspot:unknown/unknown", 0),
    ];
    for (event, members, why, record, reads) in cases {
        let statement = said(&notification(event, members));
        assert_eq!((statement.unmapped, statement.rereads.len()), (Some(why), reads), "{event} {members}");
        let [draft] = &statement.drafts[..] else { panic!("one statement") };
        assert_eq!((draft.kind, &*draft.record, draft.words.len()), (Kind::Edit, record, 0), "{event} {members}");
        let source: serde_json::Value = serde_json::from_str(draft.source.as_deref().expect("kept")).expect("JSON");
        let due: serde_json::Value = serde_json::from_str(&format!("{{{members}}}")).expect("JSON");
        for (name, value) in due.as_object().expect("an object") {
            assert_eq!(&source[name], value, "{event} {members}");
        }
        assert_eq!(source["occurredAt"], 1_787_843_156_000u64);
    }
}

#[test]
fn our_own_writes_are_known_by_our_app() {
    let deletion = |id: &str| {
        notification("contact.deletion", &format!(r#""objectId":5,"changeSource":"INTEGRATION","sourceId":{id}"#))
    };
    let kind = |id: &str, app| one(&deletion(id)).statement(&translation(), app, NOW).drafts[0].author.kind;
    assert_eq!((kind("\"54321\"", Some("54321")), kind("54321", Some("54321"))), (AuthorKind::Ours, AuthorKind::Ours));
    assert_eq!(
        (kind("\"9\"", Some("54321")), kind("\"54321\"", None)),
        (AuthorKind::Integration, AuthorKind::Integration)
    );
}

#[test]
fn a_notification_without_its_time_is_dated_by_us_and_says_so() {
    let draft = draft(r#"{"portalId":1,"subscriptionType":"contact.deletion","objectId":5}"#);
    assert_eq!((draft.said_at, draft.coarse), (NOW, true));
}

#[test]
fn a_coarse_clock_dates_by_its_own_steps() {
    let text = MANIFEST.replace("account: \"62515\"", "account: \"62515\", clock: { resolution: 1s }");
    let manifest = Manifest::parse(&text).unwrap_or_else(|faults| panic!("a good manifest, but {faults:?}"));
    let coarse = Translation::new(Arc::new(manifest), SideName::new("crm").expect("good"), Arc::new(Unlinked));
    let statement = one(&notification("contact.deletion", r#""objectId":5"#).replace("156000", "156789"))
        .statement(&coarse, None, NOW);
    assert_eq!(statement.drafts[0].said_at, Millis(1_787_843_156_000));
    let first =
        format!(r#"{{"portalId":1,"occurredAt":"{}","objectId":5,"subscriptionType":"contact.deletion"}}"#, i64::MIN);
    assert_eq!(one(&first).statement(&coarse, None, NOW).drafts[0].said_at, Millis(i64::MIN));
}

#[test]
fn an_account_hears_its_own_and_counts_the_rest() {
    let own = |event: &str, rest: &str| notification(event, rest).replace(r#""portalId":1"#, r#""portalId":62515"#);
    let body = [
        own("contact.creation", r#""objectId":5,"changeSource":"INTEGRATION","sourceId":"54321""#),
        CAPTURED[1].to_owned(),
        own("contact.restore", r#""objectId":5"#),
        own("ticket.creation", r#""objectId":6"#),
        own("contact.propertyChange", r#""objectId":5,"propertyName":"num_visits","propertyValue":"few""#),
        "{}".to_owned(),
    ];
    let heard = heard::read(format!("[{}]", body.join(",")).as_bytes(), &translation(), NOW).expect("a good body");
    assert_eq!((heard.drafts.len(), heard.unmapped, heard.misfits, heard.foreign), (4, 1, 1, 1));
    assert_eq!((heard.rereads.len(), heard.faults.len()), (1, 1));
    assert_eq!(heard.drafts[0].author.kind, AuthorKind::Ours);
    assert_eq!(heard::read(b"{}", &translation(), NOW).expect_err("no list"), BodyError::NotArray);
}

#[test]
fn a_bad_body_says_what_and_where_and_never_what_it_holds() {
    let told = |body: &[u8]| webhook::split(body).expect_err("a bad body").to_string();
    assert_eq!(told(&vec![b' '; webhook::BODY_BYTES_MAX + 1]), "the body takes 1048577 bytes, more than 1048576");
    assert_eq!(told(b"[{\"a\":\"secret\xff\"}]"), "the body is not UTF-8 from byte 13 on");
    assert_eq!(told(b"[{\"a\":\"secret\"},\n{\"b\":}]"), "the body stops being JSON at line 2, column 6");
    for other in ["", "{}", "\"secret\"", "null"] {
        assert_eq!(told(other.as_bytes()), "the body is not a JSON array");
    }
    assert_eq!(
        told(format!("[{}1{}]", "[".repeat(16), "]".repeat(16)).as_bytes()),
        "the body is nested more than 16 deep at byte 16"
    );
    assert!(
        webhook::split(b"[{\"portalId\":1,\"a\":\"[[[[[[[[[[[[[[[[[[[[\\\"[\"}]").is_ok(),
        "brackets in texts are no nesting"
    );
    let many = format!("[{}1]", "1,".repeat(webhook::NOTIFICATIONS_MAX));
    assert_eq!(webhook::split(many.as_bytes()).expect_err("too many"), BodyError::TooMany(1001));
}

#[test]
fn a_bad_notification_does_not_cost_its_neighbours() {
    let body = format!(
        r#"[7,{},{{"objectId":5}},{{"portalId":1,"portalId":2}},{{"portalId":"acme"}},{{"portalId":-1}},{{"portalId":1,"a":"\ud800"}},{}]"#,
        CAPTURED[1], CAPTURED[2]
    );
    let batch = batch(&body);
    assert_eq!(batch.accounts[0].1.len(), 2);
    let due = [
        (0, FaultKind::NotObject),
        (2, FaultKind::Portal),
        (3, FaultKind::Twice),
        (4, FaultKind::Portal),
        (5, FaultKind::Portal),
        (6, FaultKind::Text),
    ];
    assert_eq!(batch.faults.iter().map(|fault| (fault.index, fault.what)).collect::<Vec<_>>(), due);
    assert_eq!(batch.faults[0].to_string(), "notification 0 of the body is not an object");
}

#[test]
fn debug_output_hides_what_changed() {
    let notification = one(CAPTURED[0]);
    assert_eq!(
        format!("{notification:?}"),
        "Notification { portal: \"247187887\", event: \"contact.propertyChange\", .. }"
    );
}

/// Something that looks like a notification and is not quite one.
fn odd_notification() -> impl Strategy<Value = String> {
    let odd = || {
        prop_oneof![
            3 => (-2i64..20).prop_map(|number| number.to_string()),
            1 => any::<i64>().prop_map(|number| number.to_string()),
            1 => Just("1e400".to_owned()),
            2 => "\\PC{0,6}".prop_map(|text| serde_json::to_string(&text).expect("a text")),
            1 => Just("\"\\u0001/:\"".to_owned()),
            1 => prop::sample::select(&["null", "true", "[1,\"2\",[]]", "{}", "\"0-1\"", "\"CONTACT_TO_DEAL\"", "\"_TO_\""][..]).prop_map(str::to_owned),
        ]
    };
    let name = prop::sample::select(
        &[
            "portalId",
            "appId",
            "occurredAt",
            "objectId",
            "objectTypeId",
            "propertyName",
            "propertyValue",
            "changeSource",
            "sourceId",
            "primaryObjectId",
            "mergedObjectIds",
            "newObjectId",
            "associationType",
            "fromObjectId",
            "toObjectId",
            "associationRemoved",
            "isPrimaryAssociation",
            "fromObjectTypeId",
            "toObjectTypeId",
            "other",
        ][..],
    );
    let event = (
        "(contact|company|object|deal|conversation|\\PC{0,3})?",
        "(\\.(creation|deletion|merge|restore|propertyChange|associationChange|privacyDeletion|\\PC{0,3}))?",
    )
        .prop_map(|(what, action)| serde_json::to_string(&format!("{what}{action}")).expect("a text"));
    (event, prop::collection::btree_map(name, odd(), 0..12)).prop_map(|(event, mut members)| {
        members.entry("portalId").or_insert_with(|| "1".to_owned());
        let members: Vec<String> = members.iter().map(|(name, value)| format!("\"{name}\":{value}")).collect();
        format!("{{\"subscriptionType\":{event},{}}}", members.join(","))
    })
}

fn kept_in(name: &'static str) -> ProptestConfig {
    let failure_persistence: Option<Box<dyn proptest::test_runner::FailurePersistence>> =
        Some(Box::new(FileFailurePersistence::Direct(name)));
    ProptestConfig { failure_persistence, ..ProptestConfig::default() }
}

proptest! {
    #![proptest_config(kept_in("proptest-regressions/hubspot_in.txt"))]

    #[test]
    fn no_bytes_panic(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        drop(webhook::split(&bytes));
        let mut body = CAPTURED[0].as_bytes().to_vec();
        body.splice(bytes.len().min(body.len()).., bytes);
        drop(webhook::split(&[b"[", &body[..], b"]"].concat()));
    }

    #[test]
    fn every_notification_says_something_or_is_kept(all in prop::collection::vec(odd_notification(), 1..6)) {
        let batch = webhook::split(format!("[{}]", all.join(",")).as_bytes()).expect("JSON");
        let taken: usize = batch.accounts.iter().map(|(_, all)| all.len()).sum();
        prop_assert_eq!(taken + batch.faults.len(), all.len());
        let translation = translation();
        for notification in batch.accounts.iter().flat_map(|(_, all)| all) {
            let statement = notification.statement(&translation, Some("1"), NOW);
            prop_assert!(!statement.drafts.is_empty());
            for draft in statement.drafts {
                let is_kept = draft.source.is_some() && (statement.unmapped.is_some() == (draft.words.is_empty() && draft.detail == Detail::None));
                prop_assert!(is_kept, "{:?}", statement.unmapped);
                prop_assert!(draft.source.as_deref().is_some_and(|source| Value::from_json(source).is_ok()));
                let key = TenantKey([7; 32]).record_key(&draft.record);
                prop_assert!(draft.seal(&key, syncline::clock::Hlc(1)).is_ok());
            }
        }
    }
}
