//! Variables in a container's command, arguments and environment.

/// The text with `$(NAME)` replaced by the value of that variable.
///
/// As in Kubernetes: what has no value stays as it is; `$$` is a dollar sign, so that `$$(NAME)` is the text
/// `$(NAME)`; any other dollar sign is itself.
pub fn expand<'v>(text: &str, value_of: impl Fn(&str) -> Option<&'v str>) -> String {
    let mut expanded = String::with_capacity(text.len());
    let mut rest = text;
    while let Some((before, after)) = rest.split_once('$') {
        expanded.push_str(before);
        rest = after;
        if let Some(after) = rest.strip_prefix('$') {
            expanded.push('$');
            rest = after;
        } else if let Some((name, after)) = name_in_parentheses(rest) {
            match value_of(name) {
                Some(value) => expanded.push_str(value),
                None => expanded.extend(["$(", name, ")"]),
            }
            rest = after;
        } else {
            expanded.push('$');
        }
    }
    expanded.push_str(rest);
    expanded
}

/// The name after a dollar sign, and what follows it.
fn name_in_parentheses(text: &str) -> Option<(&str, &str)> {
    text.strip_prefix('(')?.split_once(')')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn variables_are_replaced_as_in_kubernetes() {
        let value_of = |name: &str| match name {
            "A" => Some("1"),
            "EMPTY" => Some(""),
            "NESTED" => Some("$(A)"),
            _ => None,
        };
        for (text, expanded) in [
            ("$(A)", "1"),
            ("-$(A)-$(A)$(EMPTY)-", "-1-1-"),
            ("$$(A)", "$(A)"),
            ("$$$(A)", "$1"),
            ("$$$$(A)", "$$(A)"),
            ("$(NESTED)", "$(A)"),
            ("$(UNKNOWN)$()", "$(UNKNOWN)$()"),
            ("$A ${A} $(A", "$A ${A} $(A"),
            ("cost: 5$", "cost: 5$"),
            ("a)$(b", "a)$(b"),
            ("", ""),
        ] {
            assert_eq!(expand(text, value_of), expanded, "{text}");
        }
    }
}
