//! What is not believed of a portal's answers.

use axum::{Router, http::StatusCode, response::IntoResponse};
use syncline::history::Principal;

use super::*;

const MINUTE: i64 = 60_000;
const HOUR: i64 = 60 * MINUTE;

/// A portal that answers every message like this.
async fn portal_of(setting: &Setting, app: Router) -> Portal {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let url = format!("http://{}/", listener.local_addr().expect("an address"));
    tokio::spawn(async { axum::serve(listener, app).await });
    let clock = Arc::new(setting.clock.clone());
    let portal = Portal::new(&url, keys(&[SECRET]), translation(&setting.links), clock, Limits::default());
    portal.expect("an address")
}

fn alarm(portal: &Portal) -> Option<Alarm> {
    portal.alarm().map(|(alarm, _)| alarm)
}

#[tokio::test]
async fn only_501_to_a_first_page_says_that_there_are_none() {
    let setting = setting().await;
    for _ in 0..150 {
        setting.sim.create("customer", json!({}), &By::user("u1"));
    }
    let portal = &setting.portal;
    let next = portal.list("contact", None).await.expect("a page").next;
    for (status, cursor) in [404, 405, 501].into_iter().flat_map(|status| [(status, None), (status, next.as_deref())]) {
        let (due, alarmed) = match (status, cursor) {
            (501, None) => (SourceError::NotOffered, None),
            _ => (SourceError::RetryAfter(MINUTE), Some(Alarm::Address(status))),
        };
        setting.sim.order(Order::next(Fault::Status { status, retry_after: None }, 2));
        assert_eq!(portal.list("contact", cursor).await.err().as_ref(), Some(&due), "{status} {cursor:?}");
        assert_eq!(portal.changed("contact", NOW, cursor).await.err(), Some(due), "{status} {cursor:?}");
        assert_eq!(alarm(portal), alarmed, "{status} {cursor:?}");
        // It was a deploy.
        portal.list("contact", cursor).await.expect("a page");
        assert_eq!(alarm(portal), None);
    }
    // Whoever does not know the question may answer it with success, but not in the middle of a walk.
    let polite = portal_of(&setting, Router::new().fallback(|| async { "{}" })).await;
    assert_eq!(polite.list("contact", None).await.err(), Some(SourceError::NotOffered));
    assert_eq!(alarm(&polite), None);
    assert_eq!(polite.list("contact", Some("after p7")).await.err(), Some(SourceError::RetryAfter(MINUTE)));
    assert_eq!(alarm(&polite), Some(Alarm::Answer));
}

#[tokio::test]
async fn a_portal_is_left_alone_for_a_day_at_most_whatever_it_asks_for() {
    let setting = setting().await;
    // A time where a number of seconds was due, and a number without sense.
    let busy = (StatusCode::SERVICE_UNAVAILABLE, [("retry-after", "1772366400")], "").into_response();
    let never = r#"{"status": "retry", "after": 1000000000000000}"#.into_response();
    let answers = Arc::new(Mutex::new(vec![r#"{"id": "p1"}"#.into_response(), never, busy]));
    let app = Router::new().fallback(move || {
        let answer = answers.lock().expect("no panic").pop();
        async { answer.expect("it is called three times") }
    });
    let portal = portal_of(&setting, app).await;
    let dir = tempfile::tempdir().expect("a folder");
    let opened = Engine::builder(dir.path().join("store")).manifest(MANIFEST).clock(setting.clock.clone()).open();
    let (engine, _) = opened.expect("a new store opens");
    engine.set_populated(&side()).expect("the portal is empty");
    let edit = Edit::of(record("contact/crm:1"), SideName::new("crm").expect("a name"));
    let edit = edit.set(field("phone"), Value::text("1")).by(Author::user("ana"));
    engine.edit(&Principal::operator(), edit).expect("taken");
    let sender = Sender::new(engine.clone(), side(), Arc::new(portal), Default::default());
    for left in [1, 1, 0] {
        sender.step().await.expect("the store works");
        assert_eq!(engine.outbox("portal").expect("open").0, left);
        // A day, and what is added so that not all come at once.
        setting.clock.advance(28 * HOUR);
    }
    engine.close().expect("the disk works");
}

#[tokio::test]
async fn an_answer_that_took_long_does_not_tell_the_time() {
    let setting = setting().await;
    let (took, clock) = (Arc::new(Mutex::new(20_000)), setting.clock.clone());
    let turns = took.clone();
    let app = Router::new().fallback(move || {
        clock.advance(*turns.lock().expect("no panic"));
        async { ([("date", "Sun, 01 Mar 2026 12:00:00 GMT")], "{}") }
    });
    let portal = portal_of(&setting, app).await;
    let call = || async { portal.list("contact", None).await.err() };
    assert_eq!(call().await, Some(SourceError::NotOffered));
    assert_eq!(portal.ahead(), None);
    // Its clock shows noon.
    *took.lock().expect("no panic") = 1_000;
    let left = syncline::clock::Clock::now(&setting.clock);
    assert_eq!(call().await, Some(SourceError::NotOffered));
    let read = Some((left.plus(1_000), NOW.0 + 500 - (left.0 + 500)));
    assert_eq!(portal.ahead(), read);
    // It stays a reading of that time, whatever comes after.
    for more in [2_001, -1] {
        *took.lock().expect("no panic") = more;
        assert_eq!(call().await, Some(SourceError::NotOffered));
        assert_eq!(portal.ahead(), read, "{more}");
    }
}
