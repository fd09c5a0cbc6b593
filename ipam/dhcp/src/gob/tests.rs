use proptest::prelude::*;

use super::*;

fn object<const N: usize>(fields: [(&str, Value); N]) -> Value {
    Value::Struct(fields.map(|(name, value)| (name.to_owned(), value)).into())
}

fn read_all(bytes: &[u8]) -> Result<Vec<Value>, GobError> {
    let (mut reader, mut bytes) = (Reader::default(), bytes.to_vec());
    let mut values = Vec::new();
    while let Some(value) = reader.next(&mut bytes)? {
        values.push(value);
    }
    Ok(values)
}

const POINT: Kind = Kind::Struct("Point", &[("X", Kind::Int), ("Y", Kind::Int)]);

#[test]
fn the_documentation_s_example_is_written_and_read() {
    // encoding/gob: struct { X, Y int } with 22 and 33, "Encoding Details", first type number 65.
    let expected = [
        0x1f, 0xff, 0x81, 0x03, 0x01, 0x01, 0x05, 0x50, 0x6f, 0x69, 0x6e, 0x74, 0x01, 0xff, 0x82,
        0x00, 0x01, 0x02, 0x01, 0x01, 0x58, 0x01, 0x04, 0x00, 0x01, 0x01, 0x59, 0x01, 0x04, 0x00,
        0x00, 0x00, 0x07, 0xff, 0x82, 0x01, 0x2c, 0x01, 0x42, 0x00,
    ];
    let value = object([("X", Value::Int(22)), ("Y", Value::Int(33))]);
    let written = Writer::default().value(POINT, &value);
    // The documentation's dump counts the description as 0x1f bytes.
    assert_eq!(written, expected);
    assert_eq!(read_all(&expected).unwrap(), [value]);
}

#[test]
fn numbers_have_the_documented_forms() {
    let kind = Kind::Struct("N", &[("U", Kind::Uint), ("I", Kind::Int)]);
    for (unsigned, signed) in [
        (1, -1),
        (127, 63),
        (128, 64),
        (255, -129),
        (256, i64::MIN),
        (u64::MAX, i64::MAX),
    ] {
        let value = object([("U", Value::Uint(unsigned)), ("I", Value::Int(signed))]);
        assert_eq!(
            read_all(&Writer::default().value(kind, &value)).unwrap(),
            [value]
        );
    }
}

#[test]
fn types_are_described_once_and_values_come_in_pieces() {
    let kind = Kind::Struct(
        "L",
        &[
            ("Points", Kind::Slice(&POINT)),
            ("Names", Kind::Slice(&Kind::Text)),
        ],
    );
    let value = object([
        (
            "Points",
            Value::List(vec![object([("Y", Value::Int(1))]), object([])]),
        ),
        ("Names", Value::List(vec![Value::Bytes(b"a".to_vec())])),
    ]);
    let mut writer = Writer::default();
    let (first, second) = (writer.value(kind, &value), writer.value(kind, &value));
    assert!(second.len() < first.len());
    let (mut reader, mut waiting, mut found) = (Reader::default(), Vec::new(), Vec::new());
    for byte in first.into_iter().chain(second) {
        waiting.push(byte);
        found.extend(reader.next(&mut waiting).unwrap());
    }
    assert_eq!((found, waiting), (vec![value.clone(), value], vec![]));
}

#[test]
fn what_is_no_gob_is_refused() {
    assert_eq!(
        read_all(&[0xf7, 0, 0, 0, 0, 0, 0, 0, 0, 0]),
        Err(GobError::Number)
    );
    assert_eq!(
        read_all(&[0xfc, 0x7f, 0, 0, 0]),
        Err(GobError::TooLong(0x7f00_0000))
    );
    assert_eq!(
        read_all(&[3, 0xff, 0x90, 0]),
        Err(GobError::UnknownType(72))
    );
    assert_eq!(read_all(b"GET / HTTP/1.0\r\n\r\n").unwrap_or_default(), []);
}

proptest! {
    #[test]
    fn never_panics(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
        let _ = read_all(&bytes);
    }

    #[test]
    fn a_damaged_stream_never_panics(place in 0_usize..60, byte: u8) {
        let value = object([("X", Value::Int(22)), ("Y", Value::Int(-33))]);
        let mut bytes = Writer::default().value(POINT, &value);
        if let Some(at) = bytes.get_mut(place) {
            *at = byte;
        }
        let _ = read_all(&bytes);
    }
}
