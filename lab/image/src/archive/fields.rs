//! Numbers of a tar header: octal digits, or GNU's two's complement after a byte of 0x80 or 0xff.

use std::io;

use tar::Header;

use super::invalid;

/// A number that is not below zero.
pub(super) fn unsigned(field: &[u8], name: &str) -> io::Result<u64> {
    u64::try_from(signed(field, name)?)
        .map_err(|_| invalid(format!("the header's {name} is below zero")))
}

/// A number; an empty field is 0.
pub(super) fn signed(field: &[u8], name: &str) -> io::Result<i64> {
    let number = match field.first() {
        Some(first) if first & 0x80 != 0 => binary(field),
        _ => octal(field),
    };
    number.ok_or_else(|| {
        invalid(format!(
            "the header's {name} is no number: \"{}\"",
            field.escape_ascii()
        ))
    })
}

fn octal(field: &[u8]) -> Option<i64> {
    let end = field.iter().position(|&byte| byte == 0);
    let text = std::str::from_utf8(&field[..end.unwrap_or(field.len())]).ok()?;
    match text.trim() {
        "" => Some(0),
        digits => i64::from_str_radix(digits, 8).ok(),
    }
}

fn binary(field: &[u8]) -> Option<i64> {
    // The first bit is the mark, the second the sign.
    let first = field[0] & 0x7f;
    let first = if first & 0x40 != 0 {
        first | 0x80
    } else {
        first
    };
    let start = i128::from(first as i8);
    let number = field[1..].iter().try_fold(start, |number, &byte| {
        number.checked_mul(256)?.checked_add(i128::from(byte))
    })?;
    i64::try_from(number).ok()
}

/// The sum of all bytes, those of the sum as blanks; some programs take bytes as signed.
pub(super) fn check_sum(header: &Header) -> io::Result<()> {
    let said = unsigned(&header.as_old().cksum, "checksum");
    let bytes = header.as_bytes();
    let counted = || bytes[..148].iter().chain(&bytes[156..]);
    let blanks = 8 * i64::from(b' ');
    let sum = counted().map(|&byte| i64::from(byte)).sum::<i64>() + blanks;
    let signed = counted().map(|&byte| i64::from(byte as i8)).sum::<i64>() + blanks;
    match said {
        Ok(said) if i64::try_from(said).is_ok_and(|said| said == sum || said == signed) => Ok(()),
        _ => Err(invalid(
            "no tar archive, or a damaged one: a header's checksum is wrong",
        )),
    }
}
