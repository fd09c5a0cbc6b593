//! Reads tar archives one member after the other, as they come from strangers.
//!
//! The layout of headers is the crate tar's. Its own iteration is not used for layers: it splits PAX records
//! at newlines, which values of extended attributes may hold, does not know PAX's sparse files, and reads
//! names of any length into memory.

mod fields;
mod pax;
mod sparse;

use std::io::{self, Read};

use tar::{EntryType, Header};

use pax::Records;
pub(crate) use sparse::Extent;

const BLOCK: u64 = 512;

/// Names and PAX records of one member may take this much, 1 MiB (Go's archive/tar has the same limit).
const DESCRIPTION_LIMIT: u64 = 1 << 20;

/// No file is larger, and sums of two such sizes are still numbers.
const MOST_DATA: u64 = i64::MAX as u64;

/// What a member is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Regular,
    Directory,
    Symlink,
    HardLink,
    CharacterDevice,
    BlockDevice,
    Fifo,
}

/// A point in time: seconds since 1970 and nanoseconds after them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Time {
    pub seconds: i64,
    pub nanoseconds: u32,
}

/// A member of an archive, without its data.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Member {
    pub path: Vec<u8>,
    pub link: Vec<u8>,
    pub kind: Kind,
    /// Permissions, setuid, setgid and sticky bit.
    pub mode: u32,
    pub uid: u32,
    pub gid: u32,
    pub mtime: Time,
    /// Major and minor number.
    pub device: (u32, u32),
    /// Bytes of the file.
    pub size: u64,
    /// Where the data that the archive has belongs, if that is not the whole file.
    pub extents: Option<Vec<Extent>>,
    /// Names and values of extended attributes.
    pub attributes: Vec<(Vec<u8>, Vec<u8>)>,
}

/// Where an archive comes from.
pub(crate) trait Input: Read + Sized {
    /// Passes over bytes.
    ///
    /// # Errors
    /// There are fewer (`UnexpectedEof`).
    fn skip(&mut self, bytes: u64) -> io::Result<()> {
        let skipped = io::copy(&mut self.by_ref().take(bytes), &mut io::sink())?;
        match skipped == bytes {
            true => Ok(()),
            false => Err(ends_early()),
        }
    }
}

/// A reader of members.
pub(crate) struct Archive<R> {
    input: R,
    /// Bytes that were read or passed over.
    position: u64,
    /// Bytes of the member's data that were not read.
    data: u64,
    /// Bytes that fill its last block.
    padding: u64,
    globals: Records,
}

/// What precedes a member's header.
#[derive(Default)]
struct Description {
    records: Records,
    path: Option<Vec<u8>>,
    link: Option<Vec<u8>>,
    is_there: bool,
}

impl<R: Input> Archive<R> {
    pub(crate) fn new(input: R) -> Self {
        Self {
            input,
            position: 0,
            data: 0,
            padding: 0,
            globals: Records::default(),
        }
    }

    /// Where the data of the member begins, directly after [`Archive::next`].
    pub(crate) fn position(&self) -> u64 {
        self.position
    }

    pub(crate) fn into_inner(self) -> R {
        self.input
    }

    /// The next member; `None` at the archive's end.
    ///
    /// # Errors
    /// The input's; what is no tar archive, ends early, or is described by more than 1 MiB.
    pub(crate) fn next(&mut self) -> io::Result<Option<Member>> {
        let mut described = Description::default();
        loop {
            self.pass(self.data + self.padding)?;
            let Some(header) = self.header()? else {
                return match described.is_there {
                    true => Err(ends_early()),
                    false => Ok(None),
                };
            };
            match header.entry_type() {
                EntryType::XGlobalHeader => {
                    let records = self.describing(&header)?;
                    self.globals.update(Records::parse(&records)?)?;
                    continue;
                }
                EntryType::XHeader => {
                    let records = self.describing(&header)?;
                    described.records.update(Records::parse(&records)?)?;
                }
                EntryType::GNULongName => described.path = Some(self.long_name(&header)?),
                EntryType::GNULongLink => described.link = Some(self.long_name(&header)?),
                _ => return self.member(&header, described).map(Some),
            }
            described.is_there = true;
        }
    }

    fn pass(&mut self, bytes: u64) -> io::Result<()> {
        (self.data, self.padding) = (0, 0);
        if bytes > 0 {
            self.input.skip(bytes)?;
            self.position = self.position.saturating_add(bytes);
        }
        Ok(())
    }

    /// `None` at the end: a block of zeros, or nothing at all.
    fn header(&mut self) -> io::Result<Option<Header>> {
        let mut header = Header::new_old();
        if !self.block(header.as_mut_bytes())? || header.as_bytes().iter().all(|&byte| byte == 0) {
            return Ok(None);
        }
        fields::check_sum(&header)?;
        Ok(Some(header))
    }

    /// Whether there was another block.
    fn block(&mut self, block: &mut [u8; BLOCK as usize]) -> io::Result<bool> {
        let mut filled = 0;
        while filled < block.len() {
            match self.input.read(&mut block[filled..]) {
                Ok(0) if filled == 0 => return Ok(false),
                Ok(0) if self.position == 0 => {
                    return Err(invalid("no tar archive: it is shorter than a header"));
                }
                Ok(0) => return Err(ends_early()),
                Ok(read) => filled += read,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        self.position += BLOCK;
        Ok(true)
    }

    /// The data of a member that describes another one.
    fn describing(&mut self, header: &Header) -> io::Result<Vec<u8>> {
        self.begin_data(fields::unsigned(&header.as_old().size, "size")?);
        check_length(self.data)?;
        let mut bytes = Vec::new();
        self.read_to_end(&mut bytes)?;
        Ok(bytes)
    }

    fn long_name(&mut self, header: &Header) -> io::Result<Vec<u8>> {
        let mut name = self.describing(header)?;
        name.truncate(
            name.iter()
                .position(|&byte| byte == 0)
                .unwrap_or(name.len()),
        );
        Ok(name)
    }

    fn begin_data(&mut self, bytes: u64) {
        self.data = bytes;
        self.padding = bytes.wrapping_neg() % BLOCK;
    }

    fn member(&mut self, header: &Header, described: Description) -> io::Result<Member> {
        let mut records = self.globals.clone();
        records.update(described.records)?;
        let old = header.as_old();
        let kind = kind(header)?;
        let number = |key: &str, field: &[u8], name| match records.number(key)? {
            Some(number) => Ok(number),
            None => fields::unsigned(field, name),
        };
        let stored = match kind {
            Kind::Regular => number("size", &old.size, "size")?,
            // Their headers may name a size, but no data follow (as Go's archive/tar and GNU tar have it).
            _ => 0,
        };
        if stored > MOST_DATA {
            return Err(invalid(format!("a member of {stored} bytes")));
        }
        let mut member = Member {
            path: described
                .path
                .or_else(|| records.text("path"))
                .unwrap_or_else(|| header.path_bytes().into_owned()),
            link: described
                .link
                .or_else(|| records.text("linkpath"))
                .or_else(|| header.link_name_bytes().map(|link| link.into_owned()))
                .unwrap_or_default(),
            kind,
            mode: (fields::unsigned(&old.mode, "mode")? & 0o7777) as u32,
            uid: id(number("uid", &old.uid, "uid")?)?,
            gid: id(number("gid", &old.gid, "gid")?)?,
            mtime: match records.time("mtime")? {
                Some(time) => time,
                None => Time {
                    seconds: fields::signed(&old.mtime, "mtime")?,
                    nanoseconds: 0,
                },
            },
            device: device(header, kind)?,
            size: stored,
            extents: None,
            attributes: records.attributes(),
        };
        // Old archives have no other mark of a directory.
        if old.linkflag == [0] && member.path.ends_with(b"/") {
            member.kind = Kind::Directory;
        }
        self.begin_data(stored);
        self.read_sparse_map(header, &records, &mut member)?;
        Ok(member)
    }

    /// Where the data of a sparse file belong.
    fn read_sparse_map(
        &mut self,
        header: &Header,
        records: &Records,
        member: &mut Member,
    ) -> io::Result<()> {
        if header.entry_type() == EntryType::GNUSparse {
            let stored = self.data;
            let (size, extents) = sparse::of_header(header, || {
                let mut block = [0; BLOCK as usize];
                match self.block(&mut block)? {
                    true => Ok(block),
                    false => Err(ends_early()),
                }
            })?;
            sparse::check(&extents, size, stored)?;
            (member.size, member.extents) = (size, Some(extents));
        } else if let Some(described) = sparse::of_records(records)? {
            if let Some(path) = described.path {
                member.path = path;
            }
            let extents = match described.extents {
                Some(extents) => extents,
                None => sparse::of_data(self)?,
            };
            sparse::check(&extents, described.size, self.data)?;
            (member.size, member.extents) = (described.size, Some(extents));
        }
        Ok(())
    }
}

/// The data of the member, as the archive has them.
impl<R: Input> Read for Archive<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let wanted = usize::try_from(self.data).map_or(buffer.len(), |left| left.min(buffer.len()));
        if wanted == 0 {
            return Ok(0);
        }
        let read = self.input.read(&mut buffer[..wanted])?;
        if read == 0 {
            return Err(ends_early());
        }
        self.data -= read as u64;
        self.position += read as u64;
        Ok(read)
    }
}

/// Of what describes a member.
fn check_length(bytes: u64) -> io::Result<()> {
    match bytes > DESCRIPTION_LIMIT {
        true => Err(invalid(
            "names and attributes of one member are longer than 1 MiB",
        )),
        false => Ok(()),
    }
}

fn kind(header: &Header) -> io::Result<Kind> {
    Ok(match header.entry_type() {
        EntryType::Regular | EntryType::Continuous | EntryType::GNUSparse => Kind::Regular,
        EntryType::Directory => Kind::Directory,
        EntryType::Symlink => Kind::Symlink,
        EntryType::Link => Kind::HardLink,
        EntryType::Char => Kind::CharacterDevice,
        EntryType::Block => Kind::BlockDevice,
        EntryType::Fifo => Kind::Fifo,
        other => {
            let mark = char::from(other.as_byte());
            return Err(invalid(format!(
                "{} is of the unknown kind {mark:?}",
                header.path_bytes().escape_ascii()
            )));
        }
    })
}

/// Only devices have the fields filled for certain.
fn device(header: &Header, kind: Kind) -> io::Result<(u32, u32)> {
    if !matches!(kind, Kind::CharacterDevice | Kind::BlockDevice) {
        return Ok((0, 0));
    }
    let (major, minor) = match (header.as_ustar(), header.as_gnu()) {
        (Some(ustar), _) => (&ustar.dev_major, &ustar.dev_minor),
        (_, Some(gnu)) => (&gnu.dev_major, &gnu.dev_minor),
        _ => return Err(invalid("a device without numbers")),
    };
    let number = |field, name| id(fields::unsigned(field, name)?);
    Ok((
        number(major, "major number")?,
        number(minor, "minor number")?,
    ))
}

fn id(number: u64) -> io::Result<u32> {
    u32::try_from(number).map_err(|_| invalid(format!("the number {number} is too large")))
}

fn invalid(what: impl Into<String>) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, what.into())
}

pub(crate) fn ends_early() -> io::Error {
    io::Error::new(
        io::ErrorKind::UnexpectedEof,
        "the archive ends in the middle of a member",
    )
}

#[cfg(test)]
mod tests;
