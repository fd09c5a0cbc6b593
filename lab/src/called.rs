//! What this program is called, in what it says: it is installed as `podwire-lab`, and what it advises is to be typed.

use std::borrow::Cow;
use std::ffi::OsStr;
use std::path::Path;
use std::sync::OnceLock;

/// As its own texts have it.
pub(crate) const OWN: &str = "lab";

/// The name that it was called by, where that is one of a lab; a link may have any.
pub fn called() -> &'static str {
    static CALLED: OnceLock<String> = OnceLock::new();
    CALLED.get_or_init(|| {
        let path = std::env::args_os().next().unwrap_or_default();
        let name = Path::new(&path).file_name().and_then(OsStr::to_str);
        name.filter(|name| is_of_a_lab(name))
            .unwrap_or(OWN)
            .to_owned()
    })
}

fn is_of_a_lab(name: &str) -> bool {
    let is_plain = |byte: u8| byte == b'-' || byte.is_ascii_alphanumeric();
    name.ends_with(OWN) && name.bytes().all(is_plain)
}

/// A text of its own, in which commands stand between backticks, with that name.
pub fn as_called(text: &str) -> Cow<'_, str> {
    named(text, &["`"], called())
}

/// A text of its help with a name of a lab: there commands stand behind `Example: ` and each other, too.
pub(crate) fn help_as_called<'a>(text: &'a str, name: &str) -> Cow<'a, str> {
    named(text, &BEFORE_EXAMPLES, name)
}

const BEFORE_EXAMPLES: [&str; 8] = [
    "`",
    "Example: ",
    "Examples: ",
    ", ",
    "; ",
    "&& ",
    "| ",
    "\n  ",
];

/// Where a command begins behind one of these.
fn named<'a>(text: &'a str, before: &[&str], name: &str) -> Cow<'a, str> {
    if name == OWN {
        return Cow::Borrowed(text);
    }
    let mut whole = Cow::Borrowed(text);
    for before in before {
        whole = Cow::Owned(whole.replace(&format!("{before}{OWN} "), &format!("{before}{name} ")));
    }
    whole
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_advised_can_be_typed() {
        for (name, text, said) in [
            ("lab", "`lab down --lab lab`", "`lab down --lab lab`"),
            (
                "podwire-lab",
                "lab lab is up: `lab node start n1`",
                "lab lab is up: `podwire-lab node start n1`",
            ),
            (
                "podwire-lab",
                "there is no lab \"x\"; a lab has pods",
                "there is no lab \"x\"; a lab has pods",
            ),
        ] {
            assert_eq!(named(text, &["`"], name), said);
        }
        for (help, said) in [
            (
                "Examples: lab fault heal, lab fault heal n1; of a lab alone",
                "Examples: podwire-lab fault heal, podwire-lab fault heal n1; of a lab alone",
            ),
            (
                "Examples:\n  lab get pods\n  lab get events",
                "Examples:\n  podwire-lab get pods\n  podwire-lab get events",
            ),
        ] {
            assert_eq!(help_as_called(help, "podwire-lab"), said);
            assert_eq!(help_as_called(help, "lab"), help);
        }
        for (name, is_one) in [
            ("lab", true),
            ("podwire-lab", true),
            ("lab-0d1f", false),
            ("a\nlab", false),
        ] {
            assert_eq!(is_of_a_lab(name), is_one, "{name:?}");
        }
    }
}
