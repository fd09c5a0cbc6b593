use super::*;

#[test]
fn numbers_are_octal_or_binary() {
    for (field, number) in [
        (&b"0000755\0"[..], Some(0o755)),
        (b"    755 ", Some(0o755)),
        (b"\0\0\0\0\0\0\0\0", Some(0)),
        (b"\x80\0\0\0\0\0\0\0\0\0\x01\0", Some(256)),
        (
            b"\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xfe",
            Some(-2),
        ),
        (b"\x80\0\0\x01\0\0\0\0\0\0\0\0", None),
        (b"0000789\0", None),
        (b"\x7f\0\0\0\0\0\0\0", None),
    ] {
        assert_eq!(fields::signed(field, "size").ok(), number, "{field:?}");
    }
    let below = fields::unsigned(b"\xff\xff\xff\xff\xff\xff\xff\xff", "size").unwrap_err();
    assert_eq!(below.to_string(), "the header's size is below zero");
}

#[test]
fn records_hold_any_bytes_and_the_last_of_a_key_counts() {
    let text = b"12 path=one\n28 SCHILY.xattr.user.a=\n=\0\xff\n12 path=two\n9 mtime=\n";
    let records = Records::parse(text).unwrap();
    assert_eq!(records.text("path").unwrap(), b"two");
    assert_eq!(records.time("mtime").unwrap(), None);
    assert_eq!(
        records.attributes(),
        [(b"user.a".to_vec(), b"\n=\0\xff".to_vec())]
    );
    let mut older = Records::parse(b"12 path=old\n9 uid=12\n").unwrap();
    older.update(records);
    assert_eq!(older.text("path").unwrap(), b"two");
    assert_eq!(older.number("uid").unwrap(), Some(12));
    for text in [
        &b"x"[..],
        b"5 a=b",
        b"4 ab\n",
        b"99999999999999999999999 a=b\n",
        b"1 a=b\n",
    ] {
        assert!(Records::parse(text).is_err(), "{text:?}");
    }
}

#[test]
fn times_have_fractions_and_may_be_before_1970() {
    for (text, time) in [
        ("1", Some((1, 0))),
        ("1.5", Some((1, 500_000_000))),
        ("1.1234567899", Some((1, 123_456_789))),
        ("-1", Some((-1, 0))),
        ("-1.25", Some((-2, 750_000_000))),
        ("1.x", None),
        ("one", None),
        ("99999999999999999999", None),
    ] {
        let record = format!(" mtime={text}\n");
        let record = format!("{}{record}", record.len() + 2);
        let found = Records::parse(record.as_bytes()).unwrap().time("mtime");
        let found = found
            .ok()
            .flatten()
            .map(|time| (time.seconds, time.nanoseconds));
        assert_eq!(found, time, "{text}");
    }
}
