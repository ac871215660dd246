//! What records are.

use std::io::Write;

use super::{
    args::{Asked, Get, Records},
    failure::{End, Failure},
    open::Place,
    tell,
};
use crate::{
    event::Author,
    history::{Principal, Reader, RecordView},
    id::SideName,
    merge::Existence,
    value::{Value, quote},
};

/// The longest value in a table, in characters.
const CELL_CHARS_MAX: usize = 200;

/// Lists all records.
pub fn records(args: &Records, place: &Place, out: &mut dyn Write) -> Result<End, Failure> {
    let open = place.open()?;
    let mut rows = Vec::new();
    let (mut is_whole, mut more) = (true, false);
    for record in reader(&open.engine, &args.asked)?.records() {
        match record {
            Ok(record) if record.existence == Existence::Deleted => {}
            Ok(record) if place.json => line(out, &record)?,
            Ok(_) if rows.len() == args.most => {
                more = true;
                break;
            }
            Ok(record) => rows.push(row(&record)),
            Err(why) => {
                is_whole = false;
                tell::complain(&Failure::from(why).to_lines());
            }
        }
    }
    if !place.json {
        tell::table(out, &["record", "fields", "conflicts", "newest"], rows)?;
        if more {
            tell::complain(&[format!("note: only the first {} are shown; --most shows more, --json all", args.most)]);
        }
    }
    open.close()?;
    Ok(End::well(is_whole))
}

/// A reader for whoever runs the store, as of the position that was asked for.
pub fn reader(engine: &crate::engine::Engine, asked: &Asked) -> Result<Reader, Failure> {
    Ok(engine.read(&Principal::operator()).at(asked.position()?))
}

/// A record in the form that other stores' records are compared in: without cleared fields, values as they were said.
fn line(out: &mut dyn Write, record: &RecordView) -> Result<(), Failure> {
    let fields = record.fields.iter().filter(|field| !field.value.is_null());
    write!(out, "{{\"record\":{},\"fields\":{{", quote(&record.record))?;
    for (at, field) in fields.enumerate() {
        let comma = if at == 0 { "" } else { "," };
        write!(out, "{comma}{}:{}", quote(&field.name), field.value.to_json())?;
    }
    Ok(out.write_all(b"}}\n")?)
}

fn row(record: &RecordView) -> Vec<String> {
    let set = record.fields.iter().filter(|field| !field.value.is_null()).count();
    let open = record.fields.iter().filter(|field| field.conflict).count();
    let newest = record.fields.iter().map(|field| field.said_at).max();
    let newest = newest.map_or_else(String::new, |at| at.to_string());
    vec![record.record.to_string(), set.to_string(), open.to_string(), newest]
}

/// Shows one record.
pub fn get(args: &Get, place: &Place, out: &mut dyn Write) -> Result<End, Failure> {
    let open = place.open()?;
    let found = reader(&open.engine, &args.asked)?.get(&args.record)?;
    open.close()?;
    let Some(record) = found else { return Ok(no_record(&args.record)) };
    if place.json {
        tell::json(out, &record)?;
        return Ok(End::Done);
    }
    let rows = record.fields.iter().map(|field| {
        let mark = match (field.disputed, field.conflict) {
            (true, _) => "disputed",
            (false, true) => "conflict",
            (false, false) => "",
        };
        let shown: Vec<&str> = field.shown_on.iter().map(|side| &**side).collect();
        let mut row = vec![field.name.to_string(), cell(&field.value), who(&field.side, &field.author)];
        row.extend([field.said_at.to_string(), field.reason.name().to_owned(), mark.to_owned(), shown.join(", ")]);
        row
    });
    tell::table(out, &["field", "value", "said by", "at", "by", "", "shown on"], rows)?;
    let state = match record.existence {
        Existence::Alive => None,
        Existence::Deleted => Some("this record is deleted"),
        Existence::Disputed => Some("whether this record exists is disputed; see `syncline why RECORD existence`"),
    };
    if let Some(state) = state {
        writeln!(out, "{state}")?;
    }
    writeln!(out, "version {}", record.version)?;
    Ok(End::Done)
}

/// Says that there is no such record.
pub fn no_record(record: &str) -> End {
    tell::complain(&[format!("error: nothing is known of a record {record}")]);
    End::Wrong
}

/// A value for a table: long ones are cut.
pub fn cell(value: &Value) -> String {
    let text = value.as_text().map_or_else(|| value.to_json(), str::to_owned);
    match text.char_indices().nth(CELL_CHARS_MAX) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text,
    }
}

/// A side and whoever spoke there.
pub fn who(side: &SideName, author: &Author) -> String {
    match &*author.id {
        "" => side.to_string(),
        id if id.starts_with(&**side) => id.to_owned(),
        id => format!("{side}: {id}"),
    }
}
