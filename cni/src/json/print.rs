//! Printing as Go's `encoding/json` prints, which users of the reference plugins compare with.

use serde_json::Number;

use super::Node;

/// 4-space indent, no newline at the end.
pub(crate) fn pretty(node: &Node) -> String {
    let mut out = String::with_capacity(256);
    write(&mut out, node, Some(0));
    out
}

/// No white space.
pub(crate) fn compact(node: &Node) -> String {
    let mut out = String::with_capacity(256);
    write(&mut out, node, None);
    out
}

/// `indent`: the level of the value, or `None` for no white space at all.
fn write(out: &mut String, node: &Node, indent: Option<usize>) {
    match node {
        Node::Null => out.push_str("null"),
        Node::Bool(value) => out.push_str(if *value { "true" } else { "false" }),
        Node::Number(number) => out.push_str(&number_text(number)),
        Node::String(text) => write_string(out, text),
        Node::Array(items) => write_items(out, items, indent, ['[', ']'], write),
        Node::Object(entries) => {
            write_items(
                out,
                entries,
                indent,
                ['{', '}'],
                |out, (key, value), level| {
                    write_string(out, key);
                    out.push_str(if level.is_some() { ": " } else { ":" });
                    write(out, value, level);
                },
            );
        }
    }
}

fn write_items<T>(
    out: &mut String,
    items: &[T],
    indent: Option<usize>,
    [open, close]: [char; 2],
    mut write_item: impl FnMut(&mut String, &T, Option<usize>),
) {
    out.push(open);
    let inner = indent.map(|level| level + 1);
    for (place, item) in items.iter().enumerate() {
        if place > 0 {
            out.push(',');
        }
        new_line(out, inner);
        write_item(out, item, inner);
    }
    if !items.is_empty() {
        new_line(out, indent);
    }
    out.push(close);
}

fn new_line(out: &mut String, indent: Option<usize>) {
    if let Some(level) = indent {
        out.push('\n');
        out.extend(std::iter::repeat_n("    ", level));
    }
}

/// Whole numbers print without a point, also where they were written with one; very large and
/// very small ones with an exponent.
fn number_text(number: &Number) -> String {
    let Some(float) = number.as_f64().filter(|_| number.is_f64()) else {
        return number.to_string();
    };
    let size = float.abs();
    if size != 0.0 && !(1e-6..1e21).contains(&size) {
        let text = format!("{float:e}");
        if text.contains("e-") {
            text
        } else {
            text.replace('e', "e+")
        }
    } else {
        float.to_string()
    }
}

fn write_string(out: &mut String, text: &str) {
    out.push('"');
    for c in text.chars() {
        match c {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            '\u{8}' => out.push_str("\\b"),
            '\u{c}' => out.push_str("\\f"),
            '<' | '>' | '&' | '\u{2028}' | '\u{2029}' | '\0'..='\u{1f}' => {
                out.push_str(&format!("\\u{:04x}", u32::from(c)));
            }
            _ => out.push(c),
        }
    }
    out.push('"');
}

/// Text in double quotes as Go's `%q` quotes it; messages of the protocol hold such parts.
pub(crate) fn go_quote(text: &str) -> String {
    let mut out = String::with_capacity(text.len() + 2);
    out.push('"');
    for c in text.chars() {
        match c {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            '\u{7}' => out.push_str("\\a"),
            '\u{8}' => out.push_str("\\b"),
            '\u{b}' => out.push_str("\\v"),
            '\u{c}' => out.push_str("\\f"),
            '\0'..='\u{1f}' | '\u{7f}' => out.push_str(&format!("\\x{:02x}", u32::from(c))),
            c if c.is_control() => out.push_str(&format!("\\u{:04x}", u32::from(c))),
            _ => out.push(c),
        }
    }
    out.push('"');
    out
}

/// A list of quoted texts as Go prints it: `["a" "b"]`.
pub(crate) fn go_quote_list<'a>(texts: impl IntoIterator<Item = &'a str>) -> String {
    let quoted: Vec<String> = texts.into_iter().map(go_quote).collect();
    format!("[{}]", quoted.join(" "))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn indents_by_four_and_keeps_empty_containers_short() {
        let node = Node::parse(br#"{"a":[1,{"b":[]}],"c":{}}"#).unwrap();
        assert_eq!(
            pretty(&node),
            "{\n    \"a\": [\n        1,\n        {\n            \"b\": []\n        }\n    ],\n    \"c\": {}\n}"
        );
        assert_eq!(compact(&node), r#"{"a":[1,{"b":[]}],"c":{}}"#);
    }

    #[test]
    fn escapes_what_go_escapes() {
        let node = Node::from("<nil> & \u{2028} \u{1} \u{8} \u{7f} é \" \\ /");
        assert_eq!(
            compact(&node),
            "\"\\u003cnil\\u003e \\u0026 \\u2028 \\u0001 \\b \u{7f} é \\\" \\\\ /\""
        );
    }

    #[test]
    fn numbers_print_as_go_prints_them() {
        for (text, printed) in [
            ("1500", "1500"),
            ("1500.0", "1500"),
            ("-1.5", "-1.5"),
            ("1e20", "100000000000000000000"),
            ("1e21", "1e+21"),
            ("1e-7", "1e-7"),
            ("0.000001", "0.000001"),
            ("18446744073709551615", "18446744073709551615"),
        ] {
            assert_eq!(compact(&Node::parse(text.as_bytes()).unwrap()), printed);
        }
    }

    #[test]
    fn quotes_as_go_quotes() {
        assert_eq!(go_quote("a\"b\\\n\u{1}"), r#""a\"b\\\n\x01""#);
        assert_eq!(go_quote_list(["a", "b"]), r#"["a" "b"]"#);
    }

    proptest! {
        #[test]
        fn printed_text_reads_back(text in any::<String>()) {
            let node = Node::Array(vec![Node::String(text)]);
            prop_assert_eq!(&Node::parse(compact(&node).as_bytes()).unwrap(), &node);
            prop_assert_eq!(&Node::parse(pretty(&node).as_bytes()).unwrap(), &node);
        }
    }
}
