//! From YAML to a tree that knows the place of every key and value.
//!
//! The tree is deliberately poorer than YAML: scalars stay the text that was written, so `0123` keeps
//! its zero, and there are no tags. Aliases share what they name, and what all of them together would
//! unfold to is bounded, so a small text cannot become a large tree.

use std::{
    borrow::Cow,
    collections::{HashMap, HashSet},
    rc::Rc,
};

use serde_saphyr::granit_parser::{ErrorKind, Event, Marker, Parser, ScalarStyle, ScanError, Span, options};

use super::fault::{At, Faults};

/// The most nodes that a manifest may unfold to.
const NODES_MAX: usize = 200_000;
/// The deepest nesting that is read; a manifest needs about eight levels.
const DEPTH_MAX: usize = 32;

/// A value and where it begins.
#[derive(Clone, Debug)]
pub(super) struct Node {
    pub at: At,
    pub value: Value,
    /// The nodes in it with all aliases unfolded, itself included.
    size: usize,
}

/// What a node holds.
#[derive(Clone, Debug)]
pub(super) enum Value {
    /// Nothing, `~` or `null`.
    Null,
    /// A text as written.
    Text {
        text: String,
        /// Whether it was written without quotes.
        plain: bool,
    },
    /// A sequence.
    List(Vec<Rc<Node>>),
    /// A mapping in the order of the text, each key once.
    Map(Vec<(Key, Rc<Node>)>),
}

/// A mapping's key and where it stands.
#[derive(Clone, Debug)]
pub(super) struct Key {
    pub at: At,
    pub text: String,
}

/// A collection that is not closed yet.
struct Open {
    at: At,
    anchor: usize,
    kind: OpenKind,
}

enum OpenKind {
    List(Vec<Rc<Node>>),
    Map {
        entries: Vec<(Key, Rc<Node>)>,
        lines: HashMap<String, usize>,
        merged: Vec<(At, Rc<Node>)>,
        key: Option<Awaiting>,
    },
}

/// The key whose value comes next.
enum Awaiting {
    Key(Key),
    /// `<<`: the value's entries are taken over.
    Merge(At),
    /// A key that was a fault already: its value is read and forgotten.
    Nothing,
}

struct Builder<'a> {
    open: Vec<Open>,
    anchors: HashMap<usize, Rc<Node>>,
    root: Option<Rc<Node>>,
    faults: &'a mut Faults,
}

/// Reads one YAML document; `None` where it is not YAML, or too large, and the reason is among the faults.
pub(super) fn tree(text: &str, faults: &mut Faults) -> Option<Rc<Node>> {
    let limits = options! { emit_comments: false, flow_nesting_limit: DEPTH_MAX, block_nesting_limit: DEPTH_MAX };
    let mut builder = Builder { open: Vec::new(), anchors: HashMap::new(), root: None, faults };
    let mut documents = 0;
    for next in Parser::new_from_str_with_options(text, limits) {
        let (event, span) = match next {
            Ok(next) => next,
            Err(error) => {
                syntax_fault(&error, builder.faults);
                return None;
            }
        };
        if matches!(event, Event::DocumentStart(..)) {
            documents += 1;
            if documents > 1 {
                builder.faults.add(at(&span.start), "a second document begins here", "keep one manifest a file");
                return None;
            }
        }
        builder.take(event, span)?;
    }
    builder.root
}

impl Builder<'_> {
    /// Takes the next event in; `None` if reading has to stop.
    fn take(&mut self, event: Event<'_>, span: Span) -> Option<()> {
        let here = at(&span.start);
        if event.tag().is_some() {
            self.faults.add(
                here,
                "tags have no meaning in a manifest",
                "leave the tag out; quote a text to keep it a text",
            );
        }
        match event {
            Event::Scalar(text, style, anchor, _) => {
                let plain = style == ScalarStyle::Plain;
                let node = Rc::new(Node { at: here, value: scalar(text, plain), size: 1 });
                self.close(node, anchor)
            }
            Event::SequenceStart(_, anchor, _) => {
                self.open.push(Open { at: here, anchor, kind: OpenKind::List(Vec::new()) });
                Some(())
            }
            Event::MappingStart(_, anchor, _) => {
                let kind = OpenKind::Map { entries: Vec::new(), lines: HashMap::new(), merged: Vec::new(), key: None };
                self.open.push(Open { at: here, anchor, kind });
                Some(())
            }
            Event::SequenceEnd | Event::MappingEnd => {
                let open = self.open.pop().expect("the parser closes only what it opened");
                let value = match open.kind {
                    OpenKind::List(list) => Value::List(list),
                    OpenKind::Map { entries, merged, .. } => Value::Map(self.merge(entries, merged)),
                };
                let size = 1 + match &value {
                    Value::List(list) => list.iter().map(|node| node.size).sum::<usize>(),
                    Value::Map(map) => map.iter().map(|(_, node)| 1 + node.size).sum(),
                    Value::Null | Value::Text { .. } => 0,
                };
                self.close(Rc::new(Node { at: open.at, value, size }), open.anchor)
            }
            Event::Alias(anchor) => match self.anchors.get(&anchor).cloned() {
                Some(node) => self.close(node, 0),
                None => {
                    self.faults.add(here, "this alias stands within what it names", "move it out of there");
                    None
                }
            },
            _ => Some(()),
        }
    }

    /// Hands a whole node to the collection it stands in.
    fn close(&mut self, node: Rc<Node>, anchor: usize) -> Option<()> {
        if node.size > NODES_MAX {
            let what = format!("this unfolds to more than {NODES_MAX} values");
            self.faults.add(node.at, what, "use fewer aliases");
            return None;
        }
        if anchor != 0 {
            self.anchors.insert(anchor, Rc::clone(&node));
        }
        match self.open.last_mut() {
            None => self.root = Some(node),
            Some(Open { kind: OpenKind::List(list), .. }) => list.push(node),
            Some(Open { kind: OpenKind::Map { entries, lines, merged, key }, .. }) => match key.take() {
                None => *key = Some(awaiting(&node, lines, self.faults)),
                Some(Awaiting::Key(key)) => entries.push((key, node)),
                Some(Awaiting::Merge(at)) => merged.push((at, node)),
                Some(Awaiting::Nothing) => {}
            },
        }
        Some(())
    }

    /// A mapping's entries and those it takes over with `<<`; its own win, then the earlier ones.
    fn merge(&mut self, mut entries: Vec<(Key, Rc<Node>)>, merged: Vec<(At, Rc<Node>)>) -> Vec<(Key, Rc<Node>)> {
        if merged.is_empty() {
            return entries;
        }
        let mut known: HashSet<String> = entries.iter().map(|(key, _)| key.text.clone()).collect();
        for (at, node) in merged {
            let sources = match &node.value {
                Value::List(list) => list.clone(),
                _ => vec![node],
            };
            for source in sources {
                let Value::Map(map) = &source.value else {
                    self.faults.add(
                        at,
                        "`<<` takes over something that is not a mapping",
                        "write `<<: *NAME` with the name of a mapping",
                    );
                    continue;
                };
                for (key, node) in map {
                    if known.insert(key.text.clone()) {
                        entries.push((key.clone(), Rc::clone(node)));
                    }
                }
            }
        }
        entries
    }
}

/// What becomes of the value after this key; `lines` has the lines of the keys before it.
fn awaiting(node: &Node, lines: &mut HashMap<String, usize>, faults: &mut Faults) -> Awaiting {
    match &node.value {
        Value::Text { text, plain: true } if text == "<<" => Awaiting::Merge(node.at),
        Value::Text { text, .. } => match lines.get(text) {
            Some(first) => {
                let hint = format!("keep one of the two; the first is on line {first}");
                faults.add(node.at, format!("the key `{text}` is written twice"), hint);
                Awaiting::Nothing
            }
            None => {
                lines.insert(text.clone(), node.at.line);
                Awaiting::Key(Key { at: node.at, text: text.clone() })
            }
        },
        Value::Null | Value::List(_) | Value::Map(_) => {
            faults.add(
                node.at,
                "this key is not a text",
                "keys are plain words; quote one that looks like something else",
            );
            Awaiting::Nothing
        }
    }
}

fn scalar(text: Cow<'_, str>, plain: bool) -> Value {
    match &*text {
        "" | "~" | "null" | "Null" | "NULL" if plain => Value::Null,
        _ => Value::Text { text: text.into_owned(), plain },
    }
}

fn at(marker: &Marker) -> At {
    At { line: marker.line(), column: marker.col() + 1 }
}

fn syntax_fault(error: &ScanError, faults: &mut Faults) {
    let hint = match error.kind() {
        ErrorKind::TabNotAllowed
        | ErrorKind::TabInBlockIndentation
        | ErrorKind::TabInIndentation
        | ErrorKind::TabAtBlockScalarStart
        | ErrorKind::TabInPlainScalar => "indent with spaces, not with tabs",
        ErrorKind::MissingAnchorOrAliasName => "a `*` alone has to be quoted: \"*\"",
        ErrorKind::UnknownAnchor => {
            "write `&NAME` before the value that the alias means, above this line; a `*` for the rest is quoted: \"*\""
        }
        ErrorKind::UnclosedFlowCollection { .. }
        | ErrorKind::UnexpectedEofFlowMapping
        | ErrorKind::UnexpectedEofFlowSequence
        | ErrorKind::ExpectedFlowMappingSeparator
        | ErrorKind::ExpectedFlowSequenceSeparator
        | ErrorKind::MisplacedFlowCollectionEnd
        | ErrorKind::MismatchedFlowCollectionEnd { .. } => "check the braces, brackets and commas from here upwards",
        ErrorKind::UnclosedQuotedScalar => "close the quotation mark",
        ErrorKind::RecursionLimitExceeded => "a manifest has no such depth",
        _ => "check the indentation, and quote texts with special characters",
    };
    faults.add(at(error.marker()), format!("this is not YAML: {}", error.kind()), hint);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> (Option<Rc<Node>>, Vec<String>) {
        let mut faults = Faults::default();
        let tree = tree(text, &mut faults);
        (tree, faults.into_sorted().iter().map(ToString::to_string).collect())
    }

    /// The tree in one line, so that a test can say what it expects.
    fn show(node: &Node) -> String {
        match &node.value {
            Value::Null => "null".to_owned(),
            Value::Text { text, plain: true } => text.clone(),
            Value::Text { text, plain: false } => format!("'{text}'"),
            Value::List(list) => format!("[{}]", list.iter().map(|node| show(node)).collect::<Vec<_>>().join(" ")),
            Value::Map(map) => {
                let entries: Vec<_> = map.iter().map(|(key, node)| format!("{}:{}", key.text, show(node))).collect();
                format!("{{{}}}", entries.join(" "))
            }
        }
    }

    fn shown(text: &str) -> String {
        let (tree, faults) = read(text);
        assert_eq!(faults, [] as [&str; 0]);
        show(&tree.expect("a text without faults gives a tree"))
    }

    #[test]
    fn scalars_stay_as_written() {
        assert_eq!(shown("a: 007\nb: '~'\nc:\nd: 1.50\ne: no"), "{a:007 b:'~' c:null d:1.50 e:no}");
    }

    #[test]
    fn aliases_and_merges_unfold() {
        assert_eq!(shown("a: &x { p: 1, q: 2 }\nb: *x\nc: { <<: *x, q: 3 }"), "{a:{p:1 q:2} b:{p:1 q:2} c:{q:3 p:1}}");
        assert_eq!(
            shown("a: &x { p: 1 }\nb: &y { p: 2, r: 4 }\nc: { <<: [*x, *y] }"),
            "{a:{p:1} b:{p:2 r:4} c:{p:1 r:4}}"
        );
    }

    #[test]
    fn an_aliased_node_keeps_the_place_of_its_text() {
        let (tree, _) = read("a: &x\n  p: 1\nb: *x");
        let Some(Value::Map(map)) = tree.as_deref().map(|node| &node.value) else { panic!("a mapping was written") };
        assert_eq!(map[1].1.at, At { line: 2, column: 3 });
        assert_eq!(map[1].0.at, At { line: 3, column: 1 });
    }

    #[test]
    fn columns_count_characters() {
        let (_, faults) = read("ä: { é: 1, é: 2 }");
        assert_eq!(faults, ["1:12: the key `é` is written twice; keep one of the two; the first is on line 1"]);
    }

    #[test]
    fn a_text_that_would_unfold_without_bound_is_refused() {
        let mut text = "l0: &l0 [x, x, x, x, x, x, x, x, x, x]\n".to_owned();
        for level in 1..12 {
            let aliases = vec![format!("*l{}", level - 1); 10].join(", ");
            text.push_str(&format!("l{level}: &l{level} [{aliases}]\n"));
        }
        let (tree, faults) = read(&text);
        assert!(tree.is_none());
        assert_eq!(faults, ["6:9: this unfolds to more than 200000 values; use fewer aliases"]);
    }

    #[test]
    fn an_alias_cannot_stand_within_itself() {
        assert_eq!(read("a: &x [1, *x]").1, ["1:11: this alias stands within what it names; move it out of there"]);
    }

    #[test]
    fn deep_nesting_is_refused_and_not_recursed_into() {
        let (tree, faults) = read(&"[".repeat(100_000));
        assert!(tree.is_none());
        assert_eq!(faults.len(), 1);
        assert!(faults[0].contains("a manifest has no such depth"), "{faults:?}");
    }

    #[test]
    fn windows_line_ends_and_a_byte_order_mark_are_read() {
        assert_eq!(shown("\u{feff}a: 1\r\nb:\r\n  - 2\r\n"), "{a:1 b:[2]}");
    }
}
