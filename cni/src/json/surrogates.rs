//! Escapes of half a surrogate pair, which stand for no character.

use std::borrow::Cow;

/// How an escape of a UTF-16 unit begins, and its length.
const UNIT: &str = "\\u";
const UNIT_LENGTH: usize = 6;
/// What stands in the place of one that is no character.
const REPLACEMENT: &str = "\\ufffd";

/// JSON with U+FFFD in place of each half that stands alone, as the reference reads it (Go's
/// `encoding/json`); other readers refuse it.
pub(super) fn without_lone(text: Cow<'_, str>) -> Cow<'_, str> {
    if !text.contains(UNIT) {
        return text;
    }
    let mut whole = String::with_capacity(text.len());
    let mut rest: &str = &text;
    while let Some(at) = rest.find('\\') {
        let (before, escape) = rest.split_at(at);
        whole.push_str(before);
        let length = length(escape);
        let is_lone = length == UNIT_LENGTH && unit(escape).is_some_and(is_surrogate);
        whole.push_str(if is_lone {
            REPLACEMENT
        } else {
            &escape[..length]
        });
        rest = &escape[length..];
    }
    whole.push_str(rest);
    whole.into()
}

/// Bytes of the escape that the text begins with: of a whole pair those of both.
fn length(escape: &str) -> usize {
    let Some(first) = unit(escape) else {
        let escaped = escape.chars().nth(1);
        return 1 + escaped.map_or(0, char::len_utf8);
    };
    let second = unit(&escape[UNIT_LENGTH..]);
    let is_pair = (0xd800..0xdc00).contains(&first)
        && second.is_some_and(|second| (0xdc00..0xe000).contains(&second));
    if is_pair {
        2 * UNIT_LENGTH
    } else {
        UNIT_LENGTH
    }
}

fn unit(escape: &str) -> Option<u16> {
    let digits = escape.strip_prefix(UNIT)?.get(..4)?;
    let is_hex = digits.bytes().all(|byte| byte.is_ascii_hexdigit());
    u16::from_str_radix(digits, 16).ok().filter(|_| is_hex)
}

fn is_surrogate(unit: u16) -> bool {
    (0xd800..0xe000).contains(&unit)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn halves_that_stand_alone_are_replaced() {
        for (text, expected) in [
            (r#""\ud800""#, r#""\ufffd""#),
            (r#""\uDC00\ud800x""#, r#""\ufffd\ufffdx""#),
            (r#""\ud800\ud83d\ude00""#, r#""\ufffd\ud83d\ude00""#),
            (r#""\ud83d\ude00\u00e4""#, r#""\ud83d\ude00\u00e4""#),
            (r#""\\ud800 \n\"""#, r#""\\ud800 \n\"""#),
            (r#""\\\ud800""#, r#""\\\ufffd""#),
            (r#""\ud8""#, r#""\ud8""#),
            (r#""\u+123 ä\ä \u"#, r#""\u+123 ä\ä \u"#),
            ("\"\\", "\"\\"),
        ] {
            assert_eq!(without_lone(text.into()), expected, "{text}");
        }
    }
}
