//! Calls: tokens, limits, clocks, and what is said of them.

use std::{io, sync::atomic::AtomicU64};

use secrecy::{ExposeSecret, SecretString};

use super::*;
use crate::{
    send::{Gate, Limits},
    side::{
        SourceError,
        hubspot::{Grant, KeepToken, call::Op},
    },
};

#[derive(Default)]
struct Kept(Mutex<Vec<String>>);

impl KeepToken for Kept {
    fn keep(&self, refresh_token: &SecretString) -> io::Result<()> {
        self.0.lock().expect("a lock").push(refresh_token.expose_secret().to_owned());
        Ok(())
    }
}

fn grant(refresh_token: &str, keeper: &Arc<Kept>) -> Credential {
    Credential::Grant(Grant {
        client_id: "client".to_owned(),
        client_secret: "client & secret".into(),
        refresh_token: refresh_token.into(),
        keeper: Some(keeper.clone()),
    })
}

async fn with_grant(settings: Settings) -> (Rig, Arc<Kept>) {
    let kept = Arc::new(Kept::default());
    let credential = grant("refresh", &kept);
    let settings = Settings { strict_tokens: true, ..settings };
    (rig_with(settings, |setting| setting.credential = credential).await, kept)
}

#[tokio::test]
async fn a_token_is_renewed_before_it_ends_and_by_one_call_for_all() {
    let (rig, kept) = with_grant(Settings::default()).await;
    let ids: Vec<u64> = (0..4).map(|_| rig.contact(&[])).collect();
    let all = ids.iter().map(|id| rig.deliver(update("contact", *id, &[("phone", "1")])));
    futures_util::future::join_all(all).await.into_iter().for_each(|outcome| drop(applied(outcome)));
    assert_eq!(rig.asked("oauth.token"), 1);
    rig.clock.advance(1_679_999);
    applied(rig.deliver(update("contact", ids[0], &[("phone", "2")])).await);
    assert_eq!(rig.asked("oauth.token"), 1);
    rig.clock.advance(1);
    applied(rig.deliver(update("contact", ids[0], &[("phone", "3")])).await);
    assert_eq!(rig.asked("oauth.token"), 2);
    assert_eq!(*kept.0.lock().expect("a lock"), Vec::<String>::new(), "it stayed the same");
}

#[tokio::test]
async fn a_token_that_is_refused_early_is_renewed_and_the_call_made_again() {
    let (rig, _) = with_grant(Settings::default()).await;
    let id = rig.contact(&[]);
    rig.order(Fault::Expired, "contacts.patch");
    applied(rig.deliver(update("contact", id, &[("phone", "1")])).await);
    assert_eq!(rig.asked("oauth.token"), 2);
    assert_eq!(rig.hubspot.unauthorized_since(), None);
}

#[tokio::test]
async fn a_dead_grant_stops_and_says_so() {
    let (rig, _) = with_grant(Settings { dead_grant: true, ..Settings::default() }).await;
    let id = rig.contact(&[]);
    for _ in 0..3 {
        assert_eq!(rig.deliver(update("contact", id, &[("phone", "1")])).await, Outcome::RetryAfter(60_000));
        rig.clock.advance(60_000);
    }
    assert_eq!(rig.asked("oauth.token"), 1, "it is not tried again");
    assert_eq!(rig.hubspot.unauthorized_since(), Some(NOW));
    assert!(matches!(rig.hubspot.properties("contact").await, Err(SourceError::Refused(_))));
}

#[tokio::test]
async fn a_token_service_that_is_away_is_asked_again() {
    let (rig, _) = with_grant(Settings::default()).await;
    let id = rig.contact(&[]);
    rig.order(Fault::Status { status: 503, retry_after: Some(9) }, "oauth.token");
    assert_eq!(rig.deliver(update("contact", id, &[("phone", "1")])).await, Outcome::RetryAfter(9_000));
    applied(rig.deliver(update("contact", id, &[("phone", "1")])).await);
}

#[tokio::test]
async fn a_fixed_token_that_is_refused_is_told_until_it_is_taken_again() {
    let rig = rig().await;
    let id = rig.contact(&[]);
    rig.order(Fault::Expired, "contacts.patch");
    assert_eq!(rig.deliver(update("contact", id, &[("phone", "1")])).await, Outcome::RetryAfter(60_000));
    assert_eq!(rig.hubspot.unauthorized_since(), Some(NOW));
    applied(rig.deliver(update("contact", id, &[("phone", "1")])).await);
    assert_eq!(rig.hubspot.unauthorized_since(), None);
}

#[tokio::test]
async fn the_offset_of_hubspots_clock_is_measured() {
    let rig = rig_with(Settings { ahead_ms: 420_000, ..Settings::default() }, |_| {}).await;
    let id = rig.contact(&[]);
    for _ in 0..30 {
        applied(rig.deliver(update("contact", id, &[("phone", "1")])).await);
        rig.clock.advance(1_310);
    }
    let offset = rig.hubspot.offset();
    let (estimate, tolerance) = (offset.estimate().expect("known"), offset.tolerance().expect("known"));
    assert!((estimate - 420_000).abs() <= tolerance && tolerance < 200, "{estimate} {tolerance}");
}

#[tokio::test]
async fn calls_are_counted_by_what_and_how() {
    let rig = rig().await;
    let id = rig.contact(&[]);
    applied(rig.deliver(update("contact", id, &[("phone", "1")])).await);
    refused(rig.deliver(update("contact", id, &[("stage", "no such")])).await);
    rig.order(Fault::LoseAnswer, "contacts.patch");
    assert_eq!(rig.deliver(update("contact", id, &[("phone", "2")])).await, Outcome::Unknown);
    let counts: Vec<_> = rig.hubspot.calls().iter().map(|count| (count.op, count.class, count.count)).collect();
    assert_eq!(counts, [(Op::Update, "2xx", 1), (Op::Update, "4xx", 1), (Op::Update, "lost", 1)]);
    let quota = rig.hubspot.quota();
    assert_eq!(quota.by_urgency[0].taken, 3);
}

#[tokio::test]
async fn definitions_of_properties_come_as_they_are() {
    let rig = rig().await;
    let found = rig.hubspot.properties("contact").await.expect("an answer").expect("there are contacts");
    assert!(found.iter().any(|property| property.name == "email"));
    rig.order(Fault::Status { status: 404, retry_after: None }, "companies.properties_list");
    assert!(rig.hubspot.properties("company").await.expect("an answer").is_none());
    assert!(matches!(rig.hubspot.properties("note").await, Err(SourceError::NotOffered)));
}

/// The account's limit is our limit: calls from everywhere at once, on a clock that runs a hundred times as fast.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_limit_is_never_exceeded_and_edits_go_before_a_backfill() {
    use crate::side::Source;
    let settings = Settings { burst_max: Some(30), ..Settings::default() };
    let rig = rig_with(settings, |setting| {
        let limits = Limits { per_ten_seconds: Some(30), searches_per_second: Some(4), ..Limits::default() };
        setting.gate = Arc::new(Gate::new(limits, setting.clock.clone()));
    })
    .await;
    let ids: Vec<u64> = (0..1_200).map(|number| rig.contact(&[("phone", &number.to_string())])).collect();
    let rig = Arc::new(rig);
    let clock = rig.clock.clone();
    let runs = tokio::spawn(async move {
        loop {
            tokio::time::sleep(std::time::Duration::from_millis(2)).await;
            clock.advance(20);
        }
    });
    let (walker, hubspot) = (Arc::new(AtomicU64::new(0)), rig.hubspot.clone());
    let walked = walker.clone();
    let walk = tokio::spawn(async move {
        let mut cursor = None::<String>;
        loop {
            match hubspot.list("contact", cursor.as_deref()).await {
                Ok(page) => {
                    walked.fetch_add(page.records.len() as u64, std::sync::atomic::Ordering::Relaxed);
                    cursor = page.next;
                    if cursor.is_none() {
                        return;
                    }
                }
                Err(SourceError::RetryAfter(_)) => tokio::time::sleep(std::time::Duration::from_millis(50)).await,
                Err(why) => panic!("{why}"),
            }
        }
    });
    // Beside it an edit a second, for half a minute.
    let mut waits = Vec::new();
    for id in &ids[..30] {
        let asked = rig.clock.now();
        applied(rig.deliver(update("contact", *id, &[("phone", "new")])).await);
        waits.push(rig.clock.now().0 - asked.0);
        let due = asked.plus(1_000);
        while rig.clock.now() < due {
            tokio::time::sleep(std::time::Duration::from_millis(2)).await;
        }
    }
    walk.await.expect("it ends");
    runs.abort();
    let counts = rig.account.counts();
    assert_eq!(counts["refused"].as_object().map(serde_json::Map::len), Some(0), "{counts}");
    assert!(counts["most_in_ten_seconds"].as_u64().expect("a count") <= 30, "{counts}");
    assert!(counts["most_searches_in_a_second"].as_u64().expect("a count") <= 4, "{counts}");
    assert_eq!(walker.load(std::sync::atomic::Ordering::Relaxed), 1_200);
    assert!(waits.iter().all(|wait| *wait < 2_000), "{waits:?}");
    let quota = rig.hubspot.quota();
    assert!(quota.by_urgency[1].waited > 0, "the backfill had to wait: {quota:?}");
}
