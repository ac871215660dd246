//! How records came to be what they are.

use std::io::Write;

use super::{
    args::{Conflicts, Get, History, Why},
    failure::{End, Failure},
    open::Place,
    read::{cell, no_record, reader, who},
    tell,
};
use crate::history::{Change, Standing, Verdict};

/// How many losing words a row of conflicts shows.
const OTHERS_MAX: usize = 3;

/// Shows what was said of a record, or of one of its fields, in order.
pub fn history(args: &History, place: &Place, out: &mut dyn Write) -> Result<End, Failure> {
    let open = place.open()?;
    let found = reader(&open.engine, &args.asked)?.history(&args.record, args.field.as_deref())?;
    open.close()?;
    let Some(changes) = found else { return Ok(no_record(&args.record)) };
    if place.json {
        changes.iter().try_for_each(|change| tell::json(out, change))?;
    } else {
        history_table(&changes, out)?;
    }
    Ok(End::Done)
}

/// Writes changes as a table.
pub fn history_table(changes: &[Change], out: &mut dyn Write) -> Result<(), Failure> {
    tell::table(out, &["event", "at", "who", "", "field", "was", "said", ""], changes.iter().map(row))
}

fn row(change: &Change) -> Vec<String> {
    let standing = match change.standing {
        Standing::Wins => "stands",
        Standing::Overruled => "overruled",
        Standing::Superseded => "superseded",
        Standing::Echo => "echo",
        Standing::NotCounted => "not counted",
        Standing::Waits => "waits",
        Standing::OtherCopy => "other copy",
        Standing::Engine => "",
    };
    vec![
        change.seq.to_string(),
        change.said_at.to_string(),
        who(&change.side, &change.author),
        change.kind.name().to_owned(),
        change.field.to_string(),
        cell(&change.old),
        cell(&change.new),
        standing.to_owned(),
    ]
}

/// Says why a field has its value.
pub fn why(args: &Why, place: &Place, out: &mut dyn Write) -> Result<End, Failure> {
    let open = place.open()?;
    let found = reader(&open.engine, &args.asked)?.why(&args.record, &args.field)?;
    open.close()?;
    match found {
        None => {
            tell::complain(&[format!("error: nothing is known of {} of {}", args.field, args.record)]);
            return Ok(End::Wrong);
        }
        Some(verdict) if place.json => tell::json(out, &verdict)?,
        Some(verdict) => writeln!(out, "{}", tell::plain(&verdict.sentence))?,
    }
    Ok(End::Done)
}

/// Shows who last changed each field of a record.
pub fn blame(args: &Get, place: &Place, out: &mut dyn Write) -> Result<End, Failure> {
    let open = place.open()?;
    let found = reader(&open.engine, &args.asked)?.blame(&args.record)?;
    open.close()?;
    let Some(lines) = found else { return Ok(no_record(&args.record)) };
    if place.json {
        lines.iter().try_for_each(|line| tell::json(out, line))?;
        return Ok(End::Done);
    }
    let rows = lines.iter().map(|line| {
        let mut row = vec![line.field.to_string(), cell(&line.value), who(&line.side, &line.author)];
        row.extend([line.said_at.to_string(), line.seq.to_string()]);
        row
    });
    tell::table(out, &["field", "value", "said by", "at", "event"], rows)?;
    Ok(End::Done)
}

/// Lists the fields whose candidates differ.
pub fn conflicts(args: &Conflicts, place: &Place, out: &mut dyn Write) -> Result<End, Failure> {
    let open = place.open()?;
    let found = reader(&open.engine, &args.asked)?.conflicts()?;
    open.close()?;
    let wanted = found.iter().filter(|verdict| verdict.disputed || !args.disputed);
    if place.json {
        wanted.into_iter().try_for_each(|verdict| tell::json(out, verdict))?;
    } else {
        tell::table(out, &["record", "field", "value", "by", "against"], wanted.map(conflict))?;
    }
    Ok(End::Done)
}

fn conflict(verdict: &Verdict) -> Vec<String> {
    let other = |word: &crate::history::Word| format!("{} ({})", cell(&word.value), who(&word.side, &word.author));
    let mut others: Vec<String> = verdict.others.iter().take(OTHERS_MAX).map(other).collect();
    if let Some(more) = verdict.others.len().checked_sub(OTHERS_MAX).filter(|more| *more > 0) {
        others.push(format!("and {more} more"));
    }
    let rule = if verdict.disputed { format!("{}: to be decided", verdict.rule) } else { verdict.rule.clone() };
    let (record, field) = (verdict.record.to_string(), verdict.field.to_string());
    vec![record, field, cell(&verdict.value), rule, others.join("; ")]
}
