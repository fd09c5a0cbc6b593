//! DNS settings from a resolv.conf (man 5 resolv.conf).
use std::path::Path;

use cni::Dns;
use files::Links;

use crate::Error;

/// Reads `path`, a regular file of at most 1 MiB. A missing file is an error.
pub(crate) fn read(path: &Path) -> Result<Dns, Error> {
    let bytes =
        files::read(path, Links::Follow).map_err(|source| Error::file("open", path, source))?;
    Ok(parse(&String::from_utf8_lossy(&bytes)))
}

/// Comments, unknown keywords and lines without a value are skipped. `nameserver`, `search` and
/// `options` accumulate over lines; the last `domain` wins.
fn parse(text: &str) -> Dns {
    let mut dns = Dns::default();
    for line in text.lines().map(str::trim) {
        if line.starts_with(['#', ';']) {
            continue;
        }
        let mut fields = line.split_whitespace().map(str::to_owned);
        let Some(keyword) = fields.next() else {
            continue;
        };
        let mut values = fields.peekable();
        let Some(first) = values.peek().cloned() else {
            continue;
        };
        match keyword.as_str() {
            "nameserver" => dns.nameservers.push(first),
            "domain" => dns.domain = first,
            "search" => dns.search.extend(values),
            "options" => dns.options.extend(values),
            _ => {}
        }
    }
    dns
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keywords_accumulate_and_the_last_domain_wins() {
        let dns = parse(
            "# c\n; d\nnameserver 1.1.1.1 2.2.2.2\nnameserver 2001:db8::53\n  domain a.test\n\
             domain b.test x\nsearch s1 s2\nsearch s3\noptions ndots:5 rotate\noptions timeout:1\n\
             nameserver\nsortlist 1.2.3.4\nNAMESERVER 3.3.3.3\nnameserver 4.4.4.4 # tail\n",
        );
        assert_eq!(dns.nameservers, ["1.1.1.1", "2001:db8::53", "4.4.4.4"]);
        assert_eq!(dns.domain, "b.test");
        assert_eq!(dns.search, ["s1", "s2", "s3"]);
        assert_eq!(dns.options, ["ndots:5", "rotate", "timeout:1"]);
    }

    #[test]
    fn a_missing_file_is_named() {
        let error = read(Path::new("/nonexistent/resolv.conf")).unwrap_err();
        assert_eq!(
            error.text(),
            "open /nonexistent/resolv.conf: no such file or directory"
        );
    }

    #[test]
    fn what_is_no_file_is_named() {
        for (path, what) in [("/dev/zero", "a device"), ("/", "a directory")] {
            let error = read(Path::new(path)).unwrap_err();
            let text = format!("open {path}: it is {what}, not a regular file");
            assert_eq!(error.text(), text);
        }
    }
}
