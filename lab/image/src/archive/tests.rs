use proptest::prelude::*;
use tar::{Builder, Header as TarHeader};

use super::*;

impl Input for &[u8] {}

/// An archive of GNU tar's forms and PAX's, with names too long for a header.
fn archive() -> Vec<u8> {
    let mut builder = Builder::new(Vec::new());
    let records = [
        ("path", &b"a/b"[..]),
        ("SCHILY.xattr.user.a", b"x"),
        ("mtime", b"1.5"),
        ("size", b"4"),
    ];
    builder.append_pax_extensions(records).unwrap();
    let mut header = TarHeader::new_ustar();
    header.set_size(4);
    builder
        .append_data(&mut header, "short", &b"data"[..])
        .unwrap();
    let runs = [
        ("GNU.sparse.size", &b"100"[..]),
        ("GNU.sparse.map", b"0,2,50,2"),
    ];
    builder.append_pax_extensions(runs).unwrap();
    builder
        .append_data(&mut header, "sparse", &b"data"[..])
        .unwrap();
    let map = [
        ("GNU.sparse.major", &b"1"[..]),
        ("GNU.sparse.realsize", b"100"),
    ];
    builder.append_pax_extensions(map).unwrap();
    let content = [&b"1\n96\n4\n"[..], &[0; 505], b"data"].concat();
    header.set_size(content.len() as u64);
    builder
        .append_data(&mut header, "mapped", &content[..])
        .unwrap();
    let mut header = TarHeader::new_gnu();
    header.set_size(0);
    header.set_entry_type(EntryType::Symlink);
    let long = "l".repeat(200);
    builder.append_link(&mut header, &long, &long).unwrap();
    builder.into_inner().unwrap()
}

/// All members with their data.
fn read_all(bytes: &[u8]) -> io::Result<Vec<(Member, Vec<u8>)>> {
    let mut archive = Archive::new(bytes);
    let mut all = Vec::new();
    while let Some(member) = archive.next()? {
        let mut data = Vec::new();
        archive.read_to_end(&mut data)?;
        all.push((member, data));
    }
    Ok(all)
}

#[test]
fn members_are_what_records_say() {
    let all = read_all(&archive()).unwrap();
    let names: Vec<_> = all
        .iter()
        .map(|(member, _)| member.path.escape_ascii().to_string())
        .collect();
    assert_eq!(names, ["a/b", "sparse", "mapped", "l".repeat(200).as_str()]);
    assert_eq!(all[0].0.attributes, [(b"user.a".to_vec(), b"x".to_vec())]);
    assert_eq!(
        (all[0].0.mtime.nanoseconds, all[0].1.as_slice()),
        (500_000_000, &b"data"[..])
    );
    let extent = |offset, length| Extent { offset, length };
    assert_eq!(all[1].0.extents, Some(vec![extent(0, 2), extent(50, 2)]));
    assert_eq!(
        (&all[2].0.extents, all[2].1.as_slice()),
        (&Some(vec![extent(96, 4)]), &b"data"[..])
    );
    assert_eq!(all[3].0.link, "l".repeat(200).as_bytes());
}

proptest! {
    /// Whatever is changed, the end is a list or an error, and data are no more than there are bytes.
    #[test]
    fn a_changed_archive_is_read_or_refused(changes in prop::collection::vec((0_usize..8192, any::<u8>()), 1..20)) {
        let mut bytes = archive();
        let length = bytes.len();
        for (at, byte) in changes {
            bytes[at % length] = byte;
        }
        // Else nearly all of them would be refused for a header's sum.
        for block in bytes.chunks_exact_mut(512) {
            let mut header = TarHeader::new_old();
            header.as_mut_bytes().copy_from_slice(block);
            if header.as_ustar().is_some() || header.as_gnu().is_some() {
                header.set_cksum();
                block.copy_from_slice(header.as_bytes());
            }
        }
        if let Ok(all) = read_all(&bytes) {
            let data: usize = all.iter().map(|(_, data)| data.len()).sum();
            prop_assert!(data <= length);
        }
    }
}

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
    older.update(records).unwrap();
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
