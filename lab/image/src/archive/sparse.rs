//! Sparse files: GNU's old form in the header, and the three of PAX (tar manual, "Storing Sparse Files").

use std::io::{self, Read};

use tar::{GnuExtSparseHeader, GnuSparseHeader, Header};

use super::pax::{self, Records};
use super::{Archive, BLOCK, DESCRIPTION_LIMIT, Input, fields, invalid};

/// A run of data in a file: where it begins and how many bytes it has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Extent {
    pub offset: u64,
    pub length: u64,
}

/// What PAX records say of a sparse file.
pub(super) struct Described {
    pub size: u64,
    pub path: Option<Vec<u8>>,
    /// `None` where the member's data begin with the map.
    pub extents: Option<Vec<Extent>>,
}

/// Most runs that one file may have.
const MOST_EXTENTS: usize = 1 << 16;

/// GNU's old form: four runs in the header, more in blocks after it. The file's size, and the runs.
pub(super) fn of_header(
    header: &Header,
    mut next_block: impl FnMut() -> io::Result<[u8; BLOCK as usize]>,
) -> io::Result<(u64, Vec<Extent>)> {
    let gnu = header
        .as_gnu()
        .ok_or_else(|| invalid("a sparse file with a header that is not GNU's"))?;
    let mut extents = Vec::new();
    add_runs(&mut extents, &gnu.sparse)?;
    let mut is_extended = gnu.is_extended();
    while is_extended {
        let mut more = GnuExtSparseHeader::new();
        more.as_mut_bytes().copy_from_slice(&next_block()?);
        add_runs(&mut extents, more.sparse())?;
        is_extended = more.is_extended();
    }
    Ok((fields::unsigned(&gnu.realsize, "size")?, extents))
}

fn add_runs(extents: &mut Vec<Extent>, runs: &[GnuSparseHeader]) -> io::Result<()> {
    for run in runs.iter().filter(|run| !run.is_empty()) {
        extents.push(Extent {
            offset: fields::unsigned(&run.offset, "offset of data")?,
            length: fields::unsigned(&run.numbytes, "length of data")?,
        });
    }
    check_number(extents.len())
}

/// PAX's forms 0.0, 0.1 and 1.0.
pub(super) fn of_records(records: &Records) -> io::Result<Option<Described>> {
    let size = match records.number("GNU.sparse.realsize")? {
        Some(size) => Some(size),
        None => records.number("GNU.sparse.size")?,
    };
    let is_first = records.value("GNU.sparse.major") == Some(b"1");
    let Some(size) = size else {
        return Ok(None);
    };
    let extents = match records.value("GNU.sparse.map") {
        _ if is_first => None,
        Some(map) => Some(pairs(map.split(|&byte| byte == b','))?),
        None => Some(pairs(repeated(records))?),
    };
    Ok(Some(Described {
        size,
        path: records.text("GNU.sparse.name"),
        extents,
    }))
}

/// Form 0.0 repeats two keys for each run.
fn repeated(records: &Records) -> impl Iterator<Item = &[u8]> {
    let is_run = |key: &[u8]| key == b"GNU.sparse.offset" || key == b"GNU.sparse.numbytes";
    records
        .iter()
        .filter(move |(key, _)| is_run(key))
        .map(|(_, value)| value)
}

fn pairs<'a>(numbers: impl Iterator<Item = &'a [u8]>) -> io::Result<Vec<Extent>> {
    let numbers: Option<Vec<u64>> = numbers.map(pax::number).collect();
    let numbers = numbers.filter(|numbers| numbers.len() % 2 == 0);
    let numbers =
        numbers.ok_or_else(|| invalid("the map of a sparse file is no list of numbers"))?;
    check_number(numbers.len() / 2)?;
    let pairs = numbers.chunks_exact(2);
    Ok(pairs
        .map(|pair| Extent {
            offset: pair[0],
            length: pair[1],
        })
        .collect())
}

/// Form 1.0: the data begin with lines of a number each, in whole blocks: how many runs, and each run's two.
pub(super) fn of_data<R: Input>(archive: &mut Archive<R>) -> io::Result<Vec<Extent>> {
    let mut text = Vec::new();
    let (mut lines, mut wanted) = (0, 1);
    let mut runs = None;
    while lines < wanted {
        let seen = text.len();
        let read = archive.by_ref().take(BLOCK).read_to_end(&mut text)?;
        if read as u64 != BLOCK || text.len() as u64 > DESCRIPTION_LIMIT {
            return Err(invalid("the map of a sparse file is too short or too long"));
        }
        lines += text[seen..].iter().filter(|&&byte| byte == b'\n').count();
        if lines > 0 && runs.is_none() {
            let first = text.split(|&byte| byte == b'\n').next().unwrap_or_default();
            let number = pax::number(first).and_then(|number| usize::try_from(number).ok());
            let number = number.ok_or_else(|| invalid("the map of a sparse file has no length"))?;
            check_number(number)?;
            (runs, wanted) = (Some(number), 1 + 2 * number);
        }
    }
    let numbers = text.split(|&byte| byte == b'\n').skip(1);
    pairs(numbers.take(2 * runs.unwrap_or_default()))
}

fn check_number(extents: usize) -> io::Result<()> {
    match extents > MOST_EXTENTS {
        true => Err(invalid(format!(
            "a sparse file of more than {MOST_EXTENTS} runs"
        ))),
        false => Ok(()),
    }
}

/// One run after the other, within the file, and as much data as the archive has.
pub(super) fn check(extents: &[Extent], size: u64, stored: u64) -> io::Result<()> {
    let (mut end, mut data) = (0, 0_u64);
    for extent in extents {
        let next = extent.offset.checked_add(extent.length);
        match next {
            Some(next) if extent.offset >= end && next <= size => end = next,
            _ => {
                return Err(invalid(
                    "runs of a sparse file overlap, or lie beyond its end",
                ));
            }
        }
        data = data.saturating_add(extent.length);
    }
    match data == stored {
        true => Ok(()),
        false => Err(invalid(format!(
            "a sparse file of {data} bytes of data, of which the archive has {stored}"
        ))),
    }
}
