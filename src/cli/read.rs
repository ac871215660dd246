//! What records say.

use std::io::Write;

use super::{
    args::Records,
    failure::{End, Failure},
    open::Place,
    tell,
};
use crate::{
    id::RecordId,
    merge::{Existence, Record},
};

/// Lists all records.
pub fn records(args: &Records, place: &Place, out: &mut dyn Write) -> Result<End, Failure> {
    let open = place.open()?;
    let mut rows = Vec::new();
    for id in open.engine.all_ids()? {
        let Some(record) = open.engine.resolved(&id)? else { continue };
        if record.existence == Existence::Deleted || record.fields.is_empty() {
            continue;
        }
        if place.json {
            line(out, &id, &record)?;
        } else if rows.len() < args.most {
            rows.push(vec![id.to_string()]);
        }
    }
    if !place.json {
        tell::table(out, &["record"], rows)?;
    }
    open.close()?;
    Ok(End::Done)
}

fn line(out: &mut dyn Write, id: &RecordId, record: &Record) -> Result<(), Failure> {
    let fields: Vec<String> = record
        .real_fields()
        .filter(|field| !field.value().is_null())
        .map(|field| format!("{}:{}", crate::value::quote(&field.name), field.value().to_json()))
        .collect();
    Ok(writeln!(out, "{{\"record\":{},\"fields\":{{{}}}}}", crate::value::quote(id), fields.join(","))?)
}
