//! One change, by its id, through every step.

use std::{
    collections::BTreeMap,
    fmt::Debug,
    sync::{Arc, Mutex},
};

use serde_json::json;
use syncline::{event::Kind, history::Principal, sim::portal::By};
use tracing::{
    Dispatch, Subscriber,
    field::{Field, Visit},
    span::{Attributes, Id, Record},
};
use tracing_subscriber::{
    Layer,
    layer::{Context, SubscriberExt},
    registry::LookupSpan,
};

use super::house::{House, traced};

/// A span with its fields.
#[derive(Clone)]
struct Told {
    name: &'static str,
    within: Option<Place>,
    fields: BTreeMap<&'static str, String>,
}

impl Visit for Told {
    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        self.fields.insert(field.name(), format!("{value:?}").trim_matches('"').to_owned());
    }
}

/// Keeps every span, in the order in which they began.
#[derive(Clone, Default)]
struct Spans {
    told: Arc<Mutex<Vec<Told>>>,
}

/// The place of a span among all.
#[derive(Clone, Copy)]
struct Place(usize);

impl Spans {
    fn all(&self) -> Vec<Told> {
        self.told.lock().expect("sound").clone()
    }
}

impl<S: Subscriber + for<'a> LookupSpan<'a>> Layer<S> for Spans {
    fn on_new_span(&self, attributes: &Attributes<'_>, id: &Id, context: Context<'_, S>) {
        let span = context.span(id).expect("it was just made");
        let within = span.parent().and_then(|parent| parent.extensions().get::<Place>().copied());
        let mut told = Told { name: attributes.metadata().name(), within, fields: BTreeMap::new() };
        attributes.record(&mut told);
        let mut all = self.told.lock().expect("sound");
        span.extensions_mut().insert(Place(all.len()));
        all.push(told);
    }

    fn on_record(&self, id: &Id, values: &Record<'_>, context: Context<'_, S>) {
        let place = context.span(id).and_then(|span| span.extensions().get::<Place>().copied());
        let Place(at) = place.expect("it was noted when it was made");
        values.record(&mut self.told.lock().expect("sound")[at]);
    }
}

/// The names of the spans that speak of an id, each where it comes first.
fn steps(all: &[Told], id: &str) -> Vec<&'static str> {
    let mut steps = Vec::new();
    for told in all.iter().filter(|told| told.fields.values().any(|text| text.contains(id))) {
        if !steps.contains(&told.name) {
            steps.push(told.name);
        }
    }
    steps
}

#[test]
fn one_change_can_be_followed_by_its_id_through_spans_metrics_and_history() {
    let spans = Spans::default();
    let dispatch = Dispatch::new(tracing_subscriber::registry().with(spans.clone()));
    traced(&dispatch, async {
        let house = House::new().await;
        let by = By::user("7");
        let id = house.portal.create("customer", json!({"email": "ana@example.com", "phone": "1"}), &by);
        house.settle().await;
        let began = spans.all().len();
        house.portal.edit("customer", &id, json!({"phone": "2"}), &by).expect("there");
        house.settle().await;

        let record = format!("contact/portal:{id}");
        let engine = house.tenant.engine();
        let edited = |(event, _): &(syncline::event::Event, _)| {
            event.header.kind == Kind::Edit && *event.header.origin.side == *"portal"
        };
        let stored = engine.stored().map(|stored| stored.expect("the log is sound"));
        let edit = stored.filter(edited).last().expect("the portal's edit is in the log").0;
        let said = edit.header.said.to_string();
        let all = spans.all();
        let own = &all[began..];
        assert_eq!(steps(own, &said), ["capture", "log", "merge", "project", "send", "receipt"], "{said}");

        // The webhook that brought it is what its capture stands in, and the call that took it there goes by the write's key.
        let capture = own.iter().find(|told| told.name == "capture" && told.fields.get("said") == Some(&said));
        let request = capture.and_then(|told| told.within).map(|Place(at)| &all[at]).expect("within a request");
        assert_eq!((request.name, request.fields["route"].as_str()), ("request", "/hooks/{side}"));
        let sent = own.iter().find(|told| told.name == "send").expect("found above");
        assert_eq!(sent.fields["side"], "crm");
        assert_eq!(steps(own, &sent.fields["write"])[..3], ["send", "deliver", "receipt"]);

        let metrics = house.metrics().await;
        for counted in [
            r#"syncline_webhook_events_total{outcome="new",source="portal",tenant="acme",type="edit"}"#,
            r#"syncline_crm_requests_total{crm="hubspot",op="update",status_class="2xx"}"#,
            r#"syncline_crm_request_duration_seconds_count{crm="hubspot",op="update"}"#,
            r#"syncline_crm_requests_total{crm="portal",op="list",status_class="2xx"}"#,
        ] {
            assert!(metrics.contains(counted), "{counted} is not in {metrics}");
        }
        let read = engine.read(&Principal::operator());
        let story = read.history(&record, Some("phone")).expect("open").expect("it is there");
        let kinds: Vec<Kind> = story.iter().map(|change| change.kind).collect();
        for kind in [Kind::Edit, Kind::Sent, Kind::Receipt] {
            assert!(kinds.contains(&kind), "{kind:?} is not in {kinds:?}");
        }
        house.end().await;
    });
}

/// What is read back, and why, is counted by a family that nothing fed.
#[test]
fn records_that_are_read_back_are_counted_by_why() {
    traced(&Dispatch::none(), async {
        use syncline::sim::hubspot::{By as User, Fault, Order};
        let house = House::new().await;
        let set = [("email", "ana@example.com"), ("phone", "1")];
        let contact = house.account.create("contacts", &set, &User::user(7)).expect("taken");
        house.settle().await;
        let id = house.portal.ids("customer").pop().expect("the portal was told");
        house.account.order(Order::next(Fault::LoseAnswer, 1).with("contacts.patch"));
        house.portal.edit("customer", &id, json!({"phone": "2"}), &By::user("7")).expect("there");
        house.settle().await;
        assert_eq!(house.account.shows("contacts", contact, "phone").as_deref(), Some("2"));
        let metrics = house.metrics().await;
        assert!(metrics.contains(r#"syncline_resyncs_total{reason="in_doubt"} 1"#), "{metrics}");
        house.tenant.reconcile(None, None).await.expect("the store works");
        let metrics = house.metrics().await;
        assert!(metrics.contains(r#"syncline_resyncs_total{reason="reconcile"}"#), "{metrics}");
        house.end().await;
    });
}
