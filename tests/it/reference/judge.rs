//! Verdicts of the naive fold: what wins, what merging makes, whether the record lives, what is parked.

use std::{
    cmp::Reverse,
    collections::{BTreeMap, BTreeSet},
};

use syncline::{
    event::{Header, Kind},
    field::{DeleteRule, FieldType, Rule},
    id::{SaidId, SideName},
    rulebook::EXISTENCE,
    value::{Value, View},
};

use super::{PlainField, Reading, Square, Word};

impl Reading<'_> {
    /// The greatest rank wins among last writes.
    fn rank(&self, word: &Word, authority: Option<&SideName>) -> impl Ord + use<> {
        (word.corrected, authority == Some(self.side(word.by)), self.tie(word))
    }

    /// What decides at equal times: plain content, and the name only between words that look the same to everybody.
    fn tie(&self, word: &Word) -> impl Ord + use<> {
        let Header { origin, said_at, said_seq, author, said, .. } = self.told[word.by].header.clone();
        (origin.side.clone(), said_seq, word.value.as_bytes().to_vec(), author, origin, said_at, said)
    }

    pub fn judge(&self, field: &str, words: &[Word]) -> (PlainField, SaidId) {
        let mut candidates = self.candidates(field, words);
        let newest = candidates.iter().map(|word| word.corrected).max().expect("a field with words has a candidate");
        let spec = self.spec(newest, field);
        let authority = match &spec.rule {
            Rule::LastWriteWins(side) | Rule::FirstWriteWins(side) => side.as_ref(),
            _ => None,
        };
        candidates.sort_by_key(|word| Reverse(self.rank(word, None)));
        let differ = candidates.iter().any(|word| word.value != candidates[0].value);
        let merges =
            matches!(spec.kind, FieldType::LongText | FieldType::Set | FieldType::References(_) | FieldType::Counter);
        let (winner, reason) = match &spec.rule {
            _ if candidates.len() == 1 => (candidates[0], "only"),
            _ if !differ => (candidates[0], "agreement"),
            Rule::Merge if merges => (candidates[0], "merge"),
            Rule::Authority(side) => match candidates.iter().find(|word| self.side(word.by) == side) {
                Some(word) => (*word, "authority"),
                None => (candidates[0], "last_write"),
            },
            Rule::LastWriteWins(_) => (self.last(&candidates, authority), "last_write"),
            Rule::Merge => (candidates[0], "last_write"),
            Rule::FirstWriteWins(_) => (self.first(&candidates, authority), "first_write"),
            Rule::Max => extreme(&candidates, "max"),
            Rule::Min => extreme(&candidates, "min"),
            Rule::Manual => (candidates[0], "manual"),
        };
        let value = match (reason, &spec.kind) {
            ("merge", FieldType::LongText) => None,
            ("merge", FieldType::Set | FieldType::References(_)) => Some(self.merged_set(field, words).to_json()),
            ("merge", _) => Some(self.merged_counter(field, words).to_string()),
            _ => Some(winner.value.to_json()),
        };
        let print = |word: &&Word| {
            let header = &self.told[word.by].header;
            let side = header.origin.side.to_string();
            (side, header.said_at.0, header.author.id.to_string(), word.value.to_json())
        };
        let disputed = reason == "manual";
        let candidates = candidates.iter().map(print).collect();
        let plain = PlainField { value, candidates, reason: reason.to_owned(), disputed };
        (plain, self.told[winner.by].header.said)
    }

    fn last<'w>(&self, candidates: &[&'w Word], authority: Option<&SideName>) -> &'w Word {
        candidates.iter().max_by_key(|word| self.rank(word, authority)).expect("there are candidates")
    }

    fn first<'w>(&self, candidates: &[&'w Word], authority: Option<&SideName>) -> &'w Word {
        let order = |word: &&&Word| {
            let by_authority = authority == Some(self.side(word.by));
            (word.corrected, Reverse(by_authority), Reverse(self.tie(word)))
        };
        candidates.iter().min_by_key(order).expect("there are candidates")
    }

    /// The words on the field with, for each, those before it.
    fn ancestry<'w>(&self, field: &str, words: &'w [Word]) -> (Vec<&'w Word>, Square) {
        let before = self.happened_before(field, words);
        let on_field: Vec<&Word> = words.iter().filter(|word| word.field == field).collect();
        let mut square = Square::new(on_field.len());
        for (a, one) in on_field.iter().enumerate() {
            let after = (0..on_field.len()).filter(|b| before.has(one.by, on_field[*b].by));
            after.for_each(|b| square.set(a, b));
        }
        (on_field, square)
    }

    fn merged_counter(&self, field: &str, words: &[Word]) -> i128 {
        let (on_field, before) = self.ancestry(field, words);
        let mut differences: BTreeMap<usize, i128> = BTreeMap::new();
        for word in eldest_first(&before) {
            let known: i128 =
                differences.iter().filter(|(other, _)| before.has(**other, word)).map(|(_, add)| add).sum();
            differences.insert(word, number(&on_field[word].value) - known);
        }
        differences.values().sum()
    }

    fn merged_set(&self, field: &str, words: &[Word]) -> Value {
        let (on_field, before) = self.ancestry(field, words);
        let mut adds: BTreeMap<usize, BTreeSet<Value>> = BTreeMap::new();
        let mut removes: BTreeMap<usize, BTreeSet<Value>> = BTreeMap::new();
        let together = |of: &dyn Fn(usize) -> bool,
                        adds: &BTreeMap<usize, BTreeSet<Value>>,
                        removes: &BTreeMap<usize, BTreeSet<Value>>| {
            let mut set = BTreeSet::new();
            for (adder, added) in adds.iter().filter(|(adder, _)| of(**adder)) {
                for element in added {
                    let gone = removes
                        .iter()
                        .any(|(other, removed)| of(*other) && before.has(*adder, *other) && removed.contains(element));
                    if !gone {
                        set.insert(element.clone());
                    }
                }
            }
            set
        };
        for word in eldest_first(&before) {
            let known = together(&|other| before.has(other, word), &adds, &removes);
            let said = elements(&on_field[word].value);
            adds.insert(word, said.difference(&known).cloned().collect());
            removes.insert(word, known.difference(&said).cloned().collect());
        }
        Value::list(&together(&|_| true, &adds, &removes))
    }

    pub fn existence(&self, words: &[Word]) -> &'static str {
        let candidates = self.candidates(EXISTENCE, words);
        let gone: Vec<&Word> = candidates.iter().copied().filter(|word| word.value == Value::bool(false)).collect();
        if gone.is_empty() {
            return "alive";
        }
        let made = candidates.iter().any(|word| word.value == Value::bool(true));
        let of_existence = self.happened_before(EXISTENCE, words);
        let mut against: Vec<usize> = Vec::new();
        for edit in words.iter().filter(|word| word.field != EXISTENCE).map(|word| word.by) {
            let after = gone.iter().any(|delete| of_existence.has(delete.by, edit));
            let known = gone.iter().any(|delete| self.known(edit, delete.by, words));
            if !after && !known {
                against.push(edit);
            }
        }
        if !made && against.is_empty() {
            return "deleted";
        }
        let times = candidates.iter().map(|word| word.by).chain(against);
        let newest = times.map(|by| self.corrected(by)).max().expect("there is a delete");
        match self.book.at(newest).kind(self.kind_of_record()).map(|kind| kind.deletes).unwrap_or_default() {
            DeleteRule::DeleteWins => "deleted",
            DeleteRule::EditWins => "alive",
            DeleteRule::Manual => "disputed",
        }
    }

    /// Whether the delete knew all that the edit says of fields: its side's own words also where a write had replaced them.
    ///
    /// On its own side it knew all that was said of what had been merged into the record.
    fn known(&self, edit: usize, delete: usize, words: &[Word]) -> bool {
        let other_id = self.told[edit].header.origin != self.told[delete].header.origin;
        if other_id && self.side(edit) == self.side(delete) && self.is_merged_away(edit) {
            return true;
        }
        words
            .iter()
            .filter(|word| word.by == edit && word.field != EXISTENCE)
            .all(|word| self.relation(&word.field, words, false).has(edit, delete))
    }

    pub fn parked(&self, winners: &BTreeMap<&str, SaidId>) -> BTreeSet<(String, String)> {
        let mut parked = BTreeSet::new();
        for (by, event) in self.told.iter().enumerate() {
            if !matches!(event.header.kind, Kind::Refused | Kind::Parked) {
                continue;
            }
            for field in &event.header.fields {
                let carried = self.carries(by, field).unwrap_or_default();
                let of_winner = winners.get(&**field).is_some_and(|winner| carried.contains(winner));
                let released = self.told.iter().any(|other| {
                    other.header.kind == Kind::Released
                        && other.header.origin.side == event.header.origin.side
                        && other.header.fields.contains(field)
                        && other.header.said_at >= event.header.said_at
                });
                if (carried.is_empty() || of_winner) && !released {
                    parked.insert((self.side(by).to_string(), field.to_string()));
                }
            }
        }
        parked
    }
}

fn extreme<'w>(ranked: &[&'w Word], rule: &'static str) -> (&'w Word, &'static str) {
    let mut best: Option<&Word> = None;
    for word in ranked.iter().filter(|word| !word.value.is_null()) {
        let better = best.is_none_or(|best| match rule {
            "max" => word.value.compare(&best.value).is_gt(),
            _ => word.value.compare(&best.value).is_lt(),
        });
        if better {
            best = Some(word);
        }
    }
    best.map_or((ranked[0], "last_write"), |best| (best, rule))
}

/// All words in an order in which none comes ahead of one before it.
fn eldest_first(before: &Square) -> Vec<usize> {
    let mut order: Vec<usize> = (0..before.count).collect();
    order.sort_by_key(|word| (0..before.count).filter(|other| before.has(*other, *word)).count());
    order
}

fn number(value: &Value) -> i128 {
    match value.view() {
        View::Number(text) => text.parse().expect("a counter's words are whole numbers"),
        View::Null => 0,
        _ => panic!("a counter's words are whole numbers"),
    }
}

fn elements(value: &Value) -> BTreeSet<Value> {
    match value.view() {
        View::List(elements) => elements.collect(),
        View::Null => BTreeSet::new(),
        _ => panic!("a set's words are lists"),
    }
}
