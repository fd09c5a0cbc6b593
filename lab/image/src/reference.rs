//! Names of images, as Docker has them: `busybox` is `docker.io/library/busybox:latest`.

use oci_spec::distribution::Reference;

use crate::error::{Error, Result};

/// # Errors
/// It names no image.
pub(crate) fn parse(name: &str) -> Result<Reference> {
    Reference::try_from(name).map_err(|source| Error::Name {
        name: name.to_owned(),
        source,
    })
}

/// A name that an image may get: with a tag, and without a digest, which it would have to match.
///
/// # Errors
/// It is another name.
pub(crate) fn parse_tagged(name: &str) -> Result<Reference> {
    let reference = parse(name)?;
    match reference.digest() {
        None => Ok(reference),
        Some(_) => Err(Error::Name {
            name: name.to_owned(),
            source: oci_spec::distribution::ParseError::TagInvalidFormat,
        }),
    }
}

/// As people write it: without `docker.io/library/` and `docker.io/`.
pub(crate) fn familiar(reference: &Reference) -> String {
    let whole = reference.whole();
    let short = whole.strip_prefix("docker.io/").unwrap_or(&whole);
    // Without the registry, something like `library/a.b/c` would be read as that of registry `library`.
    match short.strip_prefix("library/") {
        Some(official) if !official.contains('/') => official.to_owned(),
        _ => short.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_have_a_full_and_a_familiar_form() {
        for (name, whole, short) in [
            (
                "busybox",
                "docker.io/library/busybox:latest",
                "busybox:latest",
            ),
            (
                "busybox:1.36",
                "docker.io/library/busybox:1.36",
                "busybox:1.36",
            ),
            (
                "index.docker.io/busybox",
                "docker.io/library/busybox:latest",
                "busybox:latest",
            ),
            ("user/app", "docker.io/user/app:latest", "user/app:latest"),
            (
                "library/busybox",
                "docker.io/library/busybox:latest",
                "busybox:latest",
            ),
            (
                "localhost/app",
                "localhost/app:latest",
                "localhost/app:latest",
            ),
            (
                "quay.io:443/a/b:c",
                "quay.io:443/a/b:c",
                "quay.io:443/a/b:c",
            ),
        ] {
            let reference = parse_tagged(name).unwrap();
            assert_eq!(
                (reference.whole(), familiar(&reference)),
                (whole.to_owned(), short.to_owned())
            );
            assert_eq!(parse(&familiar(&reference)).unwrap(), reference, "{name}");
        }
        for name in ["", "Busybox", "../busybox", "busybox:", "busybox:a/b"] {
            let refused = parse(name).unwrap_err().to_string();
            assert!(refused.contains("give one like busybox:1.36"), "{refused}");
        }
    }
}
