//! Many tenants in one process: nothing of one is reachable through another.

use syncline::{
    engine::Engine,
    event::Author,
    history::{Edit, Principal},
    id::{FieldName, RecordId, Seq, SideName},
    value::Value,
};

fn manifest(tenant: &str) -> String {
    format!(
        "syncline: 1\ntenant: {tenant}\nsides:\n  crm: {{ connector: none }}\n  portal: {{ connector: none }}\n\
         defaults:\n  rule: last_write_wins\nrecords:\n  contact:\n    fields:\n      phone: {{ type: string }}\n"
    )
}

fn say(engine: &Engine, record: &str, phone: &str) {
    let record = RecordId::new(record).expect("a good name");
    let edit = Edit::of(record, SideName::new("crm").expect("a good name"))
        .set(FieldName::new("phone").expect("a good name"), Value::text(phone))
        .by(Author::user(phone));
    engine.edit(&Principal::operator(), edit).expect("it is taken");
}

#[test]
fn isolation_no_read_of_a_tenant_shows_anything_of_another() {
    let dir = tempfile::tempdir().expect("a directory");
    let engines: Vec<Engine> = ["acme", "globex"]
        .iter()
        .map(|tenant| {
            let builder = Engine::builder(dir.path().join(tenant)).manifest(manifest(tenant));
            builder.open().expect("it opens").0
        })
        .collect();
    say(&engines[0], "contact/1", "acme-shared");
    say(&engines[1], "contact/1", "globex-shared");
    say(&engines[1], "contact/2", "globex-only");
    for (engine, foreign) in engines.iter().zip(["globex", "acme"]) {
        let read = engine.read(&Principal::operator());
        let mut seen = Vec::new();
        for record in ["contact/1", "contact/2"] {
            seen.push(format!("{:?}", read.get(record).expect("read")));
            seen.push(format!("{:?}", read.history(record, None).expect("read")));
            seen.push(format!("{:?}", read.why(record, "phone").expect("read").map(|why| why.sentence)));
            seen.push(format!("{:?}", read.blame(record).expect("read")));
            let shown = read
                .get(record)
                .expect("read")
                .map(|view| view.fields.iter().map(|f| f.value.to_json()).collect::<Vec<_>>());
            seen.push(format!("{shown:?}"));
        }
        seen.push(format!("{:?}", read.conflicts().expect("read")));
        let (changes, _) = read.changes_since(Seq(0), 100).expect("read");
        seen.extend(changes.iter().flat_map(|change| change.fields.iter().map(|(_, value)| value.to_json())));
        assert!(seen.iter().any(|text| text.contains(engine.tenant())), "the tenant's own values are read");
        assert!(!seen.iter().any(|text| text.contains(foreign)), "{foreign} shows through {}", engine.tenant());
    }
    assert!(engines[0].read(&Principal::operator()).get("contact/2").expect("read").is_none());
    let version = engines[1].read(&Principal::operator()).get("contact/1").expect("read").expect("it is there").version;
    let foreign = Edit::of(RecordId::new("contact/1").expect("good"), SideName::new("crm").expect("good"))
        .set(FieldName::new("phone").expect("good"), Value::text("x"))
        .seen(version);
    assert!(engines[0].edit(&Principal::operator(), foreign).is_err(), "a version token of another tenant is refused");
}
