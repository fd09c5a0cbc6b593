//! Names. Each function says what is wrong with one, if anything.

/// The longest label of a host name (RFC 1123).
const LONGEST_LABEL: usize = 63;
/// The longest host name.
const LONGEST_DOMAIN: usize = 253;
/// The longest name of a port (RFC 6335).
const LONGEST_PORT: usize = 15;

fn is_label(text: &str) -> bool {
    let allowed = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
    (1..=LONGEST_LABEL).contains(&text.len())
        && text.bytes().all(allowed)
        && !text.starts_with('-')
        && !text.ends_with('-')
}

/// Of pods, containers, volumes and nodes.
pub(super) fn label(text: &str) -> Option<String> {
    (!is_label(text)).then(|| {
        format!(
            "{text:?} is not a name: give 1 to {LONGEST_LABEL} lower-case letters, digits and \
             dashes, no dash first or last"
        )
    })
}

/// Of a host or a ConfigMap, with dots.
pub(super) fn domain(text: &str) -> Option<String> {
    let fits = text.len() <= LONGEST_DOMAIN && text.split('.').all(is_label);
    (!fits).then(|| format!("{text:?} is not a name: give lower-case letters, digits and dashes, with dots between them"))
}

/// Of a port.
pub(super) fn port(text: &str) -> Option<String> {
    let fits = is_label(text)
        && text.len() <= LONGEST_PORT
        && text.contains(|c: char| c.is_ascii_lowercase())
        && !text.contains("--");
    (!fits).then(|| {
        format!(
            "{text:?} is not a name of a port: give 1 to {LONGEST_PORT} lower-case letters, digits \
             and single dashes, at least one letter, no dash first or last"
        )
    })
}

/// The key of a label or annotation: a name, with a domain and `/` before it or not.
pub fn key(text: &str) -> Option<String> {
    let (domain, name) = match text.split_once('/') {
        Some((domain, name)) => (Some(domain), name),
        None => (None, text),
    };
    let fits = is_qualified(name) && domain.is_none_or(|domain| self::domain(domain).is_none());
    (!fits).then(|| {
        format!(
            "{text:?} is not a key: give 1 to {LONGEST_LABEL} letters, digits, '-', '_' and '.', a letter or digit \
             first and last, with a domain and '/' before them or not, like app or example.org/app"
        )
    })
}

/// The value of a label.
pub fn value(text: &str) -> Option<String> {
    (!text.is_empty() && !is_qualified(text)).then(|| {
        format!(
            "{text:?} is not a value of a label: give nothing, or at most {LONGEST_LABEL} letters, digits, '-', '_' \
             and '.', a letter or digit first and last"
        )
    })
}

fn is_qualified(text: &str) -> bool {
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte);
    let at_ends = [text.bytes().next(), text.bytes().last()];
    (1..=LONGEST_LABEL).contains(&text.len())
        && text.bytes().all(allowed)
        && at_ends.iter().flatten().all(u8::is_ascii_alphanumeric)
}

/// Of a file in a ConfigMap.
pub(super) fn of_file(text: &str) -> Option<String> {
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte);
    let fits = (1..=LONGEST_DOMAIN).contains(&text.len())
        && text.bytes().all(allowed)
        && text != "."
        && !text.starts_with("..");
    (!fits).then(|| {
        format!("{text:?} is not a name of a file here: give letters, digits, '-', '_' and '.'")
    })
}

/// Of an environment variable.
pub(super) fn variable(text: &str) -> Option<String> {
    let fits = !text.is_empty()
        && text
            .bytes()
            .all(|byte| (b' '..=b'~').contains(&byte) && byte != b'=');
    (!fits).then(|| {
        format!("{text:?} is not a name of a variable: give characters of ASCII without '='")
    })
}

/// Of a line in the head of an HTTP request (RFC 9110).
pub(super) fn header(text: &str) -> Option<String> {
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte);
    let fits = !text.is_empty() && text.bytes().all(allowed);
    (!fits).then(|| format!("{text:?} is not a name of a header"))
}

/// A path from the root, without `..`.
pub(super) fn absolute(text: &str) -> Option<String> {
    if !text.starts_with('/') {
        return Some(format!(
            "{text:?} is not an absolute path: begin it with '/'"
        ));
    }
    no_way_up(text)
}

/// A path in a volume.
pub(super) fn relative(text: &str) -> Option<String> {
    if text.is_empty() || text.starts_with('/') {
        return Some(format!(
            "{text:?} is not a relative path: give one without '/' at its begin"
        ));
    }
    no_way_up(text)
}

fn no_way_up(text: &str) -> Option<String> {
    if text.split('/').any(|part| part == "..") {
        return Some(format!("{text:?} leads up: give a path without \"..\""));
    }
    no_end_in(text)
}

/// What the kernel takes as the end of a text is in none.
pub(super) fn no_end_in(text: &str) -> Option<String> {
    text.contains('\0')
        .then(|| format!("{text:?} has a character 0, which ends texts"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_what_is_none() {
        type Rule = fn(&str) -> Option<String>;
        let long_label = "a".repeat(64);
        let rules: [(Rule, &[&str], &[&str]); 10] = [
            (
                label,
                &["a", "web-2", "0", &long_label[1..]],
                &["", "-a", "a-", "A", "a.b", "ä", &long_label],
            ),
            (domain, &["a", "a.b-c.org"], &["", "a..b", ".a", "A.b"]),
            (
                key,
                &["app", "A_b.c", "0", "example.org/Role", &long_label[1..]],
                &[
                    "",
                    "-a",
                    "a.",
                    "a/",
                    "/a",
                    "A.b/c",
                    "a/b/c",
                    "a b",
                    "ä",
                    &long_label,
                ],
            ),
            (
                value,
                &["", "1", "A_b.c", &long_label[1..]],
                &["-a", "a.", "a/b", "a b", "ä", &long_label],
            ),
            (
                port,
                &["http", "h2"],
                &[
                    "80",
                    "a--b",
                    "-a",
                    "sixteen-letters-",
                    "longer-than-fifteen",
                ],
            ),
            (
                of_file,
                &["a", ".env", "A_b-c.conf"],
                &["", ".", "..", "..a", "a/b"],
            ),
            (variable, &["A", "a.b", "1"], &["", "A=B", "Ä"]),
            (header, &["X-Probe"], &["", "A B", "A:"]),
            (
                absolute,
                &["/", "/a/b", "/a..b"],
                &["", "a", "/a/../b", "/a\0"],
            ),
            (relative, &["a", "a/b", "..a"], &["", "/a", "a/..", ".."]),
        ];
        for (number, (rule, good, bad)) in rules.into_iter().enumerate() {
            for text in good {
                assert_eq!(rule(text), None, "rule {number}");
            }
            for text in bad {
                assert!(rule(text).is_some(), "rule {number}: {text:?}");
            }
        }
    }
}
