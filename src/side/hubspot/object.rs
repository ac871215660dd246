//! What HubSpot calls its types of objects: one has a name in paths, one in events, one in associations, and a number.

/// The types whose names differ from place to place: `objectTypeId`, the name in paths, the name in events.
///
/// An association's type has the last one in capitals. Types that are not listed, custom objects among them, go by the name
/// or number that the manifest gives.
const TYPES: [(&str, &str, &str); 6] = [
    ("0-1", "contacts", "contact"),
    ("0-2", "companies", "company"),
    ("0-3", "deals", "deal"),
    ("0-5", "tickets", "ticket"),
    ("0-7", "products", "product"),
    ("0-8", "line_items", "line_item"),
];

/// The name in paths of a type, however it is named; a name that is not known stays as it is.
pub fn plural(name: &str) -> &str {
    let is_named = |&&(id, plural, singular): &&(&str, &str, &str)| {
        name == id || name == plural || name.eq_ignore_ascii_case(singular)
    };
    TYPES.iter().find(is_named).map_or(name, |(_, plural, _)| plural)
}

/// The name in events of a type, however it is named; `None`: its events are the generic `object.*` with its number.
pub fn singular(name: &str) -> Option<&'static str> {
    let plural = plural(name);
    TYPES.iter().find(|(_, known, _)| *known == plural).map(|(_, _, singular)| *singular)
}

/// The number of a type, however it is named, where it is one of HubSpot's own.
pub fn type_id(name: &str) -> Option<&'static str> {
    let plural = plural(name);
    TYPES.iter().find(|(_, known, _)| *known == plural).map(|(id, _, _)| *id)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_type_has_one_name_whatever_it_is_called() {
        for name in ["0-8", "line_items", "line_item", "LINE_ITEM"] {
            assert_eq!((plural(name), singular(name), type_id(name)), ("line_items", Some("line_item"), Some("0-8")));
        }
        for name in ["2-3465404", "p_cars", "", "0-11"] {
            assert_eq!((plural(name), singular(name), type_id(name)), (name, None, None));
        }
    }
}
