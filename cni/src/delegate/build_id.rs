//! Whether a file is this executable: the same file, or a copy of the same build.

use std::fs::{File, Metadata};
use std::io;
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::Path;

/// An installer links our file to many names or copies it. In doubt (unreadable, no build ID) the
/// answer is no: executing the file is always right.
pub fn is_own_build(file: &Path) -> bool {
    let own = Path::new("/proc/self/exe");
    let (Ok(theirs), Ok(ours)) = (std::fs::metadata(file), std::fs::metadata(own)) else {
        return false;
    };
    same_file(&theirs, &ours)
        || (theirs.size() == ours.size()
            && matches!((of_file(file), of_file(own)), (Some(a), Some(b)) if a == b))
}

fn same_file(a: &Metadata, b: &Metadata) -> bool {
    (a.dev(), a.ino()) == (b.dev(), b.ino())
}

fn of_file(path: &Path) -> Option<Vec<u8>> {
    build_id(&File::open(path).ok()?)
}

/// What the parser reads: a file, or bytes in tests.
trait ReadAt {
    fn read_exact_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<()>;
}

impl ReadAt for File {
    fn read_exact_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<()> {
        FileExt::read_exact_at(self, buffer, offset)
    }
}

/// More program headers than this, or more bytes of notes, no linker writes.
const MAX_HEADERS: u16 = 64;
const MAX_NOTES: u64 = 64 * 1024;
/// `p_type` of a segment of notes, and `n_type` of the build ID (`elf(5)`).
const PT_NOTE: u32 = 4;
const NT_GNU_BUILD_ID: u32 = 3;
/// Sizes of the ELF header and of a program header in 64-bit files.
const EHDR_SIZE: usize = 64;
const PHDR_SIZE: usize = 56;
/// Magic, 64-bit, little-endian: what our executables are. Others are executed.
const IDENT: [u8; 6] = [0x7f, b'E', b'L', b'F', 2, 1];

/// The GNU build ID (`elf(5)`, notes), `None` for a file that has none or is damaged.
fn build_id(file: &impl ReadAt) -> Option<Vec<u8>> {
    let mut header = [0; EHDR_SIZE];
    file.read_exact_at(&mut header, 0).ok()?;
    if !header.starts_with(&IDENT) {
        return None;
    }
    let (offset, size, count) = (
        u64_at(&header, 32)?,
        u16_at(&header, 54)?,
        u16_at(&header, 56)?,
    );
    if usize::from(size) < PHDR_SIZE || count > MAX_HEADERS {
        return None;
    }
    (0..u64::from(count)).find_map(|index| {
        let mut segment = [0; PHDR_SIZE];
        let at = offset.checked_add(index * u64::from(size))?;
        file.read_exact_at(&mut segment, at).ok()?;
        build_id_in_segment(file, &segment)
    })
}

fn build_id_in_segment(file: &impl ReadAt, segment: &[u8]) -> Option<Vec<u8>> {
    let (kind, offset, size) = (
        u32_at(segment, 0)?,
        u64_at(segment, 8)?,
        u64_at(segment, 32)?,
    );
    if kind != PT_NOTE || size > MAX_NOTES {
        return None;
    }
    let mut notes = vec![0; usize::try_from(size).ok()?];
    file.read_exact_at(&mut notes, offset).ok()?;
    let alignment = if u64_at(segment, 48)? == 8 { 8 } else { 4 };
    build_id_in_notes(&notes, alignment)
}

/// Notes are name size, description size, type, name, description, the last two padded.
fn build_id_in_notes(mut notes: &[u8], alignment: usize) -> Option<Vec<u8>> {
    loop {
        let name_size = usize::try_from(u32_at(notes, 0)?).ok()?;
        let description_size = usize::try_from(u32_at(notes, 4)?).ok()?;
        let kind = u32_at(notes, 8)?;
        let name = notes.get(12..)?.get(..name_size)?;
        let begin = 12usize
            .checked_add(name_size)?
            .checked_next_multiple_of(alignment)?;
        let description = notes.get(begin..)?.get(..description_size)?;
        if kind == NT_GNU_BUILD_ID && name == b"GNU\0" && !description.is_empty() {
            return Some(description.to_vec());
        }
        let end = begin
            .checked_add(description_size)?
            .checked_next_multiple_of(alignment)?;
        notes = notes.get(end..)?;
    }
}

fn u16_at(bytes: &[u8], at: usize) -> Option<u16> {
    Some(u16::from_le_bytes(bytes.get(at..at + 2)?.try_into().ok()?))
}

fn u32_at(bytes: &[u8], at: usize) -> Option<u32> {
    Some(u32::from_le_bytes(bytes.get(at..at + 4)?.try_into().ok()?))
}

fn u64_at(bytes: &[u8], at: usize) -> Option<u64> {
    Some(u64::from_le_bytes(bytes.get(at..at + 8)?.try_into().ok()?))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    impl ReadAt for Vec<u8> {
        fn read_exact_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<()> {
            let begin = usize::try_from(offset).map_err(|_| io::ErrorKind::UnexpectedEof)?;
            let end = begin
                .checked_add(buffer.len())
                .ok_or(io::ErrorKind::UnexpectedEof)?;
            buffer.copy_from_slice(self.get(begin..end).ok_or(io::ErrorKind::UnexpectedEof)?);
            Ok(())
        }
    }

    fn note(name: &[u8], kind: u32, description: &[u8]) -> Vec<u8> {
        let size = |bytes: &[u8]| u32::try_from(bytes.len()).unwrap().to_le_bytes();
        let mut note = [size(name), size(description), kind.to_le_bytes()].concat();
        for part in [name, description] {
            note.extend(part);
            note.resize(note.len().next_multiple_of(4), 0);
        }
        note
    }

    /// An ELF file with one segment of notes.
    fn elf(notes: &[u8]) -> Vec<u8> {
        let mut file = vec![0; EHDR_SIZE + PHDR_SIZE];
        file[..6].copy_from_slice(&IDENT);
        file[32..40].copy_from_slice(&(EHDR_SIZE as u64).to_le_bytes());
        file[54..56].copy_from_slice(&(PHDR_SIZE as u16).to_le_bytes());
        file[56..58].copy_from_slice(&1u16.to_le_bytes());
        let segment = &mut file[EHDR_SIZE..];
        segment[..4].copy_from_slice(&PT_NOTE.to_le_bytes());
        segment[8..16].copy_from_slice(&((EHDR_SIZE + PHDR_SIZE) as u64).to_le_bytes());
        segment[32..40].copy_from_slice(&(notes.len() as u64).to_le_bytes());
        segment[48..56].copy_from_slice(&4u64.to_le_bytes());
        file.extend(notes);
        file
    }

    #[test]
    fn finds_the_id_behind_other_notes() {
        let id = note(b"GNU\0", NT_GNU_BUILD_ID, b"0123456789");
        assert_eq!(build_id(&elf(&id)).unwrap(), b"0123456789");
        let notes = [note(b"GNU\0", 1, b"abi"), note(b"Go\0\0", 3, b"other"), id].concat();
        assert_eq!(build_id(&elf(&notes)).unwrap(), b"0123456789");
    }

    #[test]
    fn damaged_files_have_no_id() {
        let good = elf(&note(b"GNU\0", NT_GNU_BUILD_ID, b"0123456789"));
        for cut in 0..good.len() - 2 {
            assert_eq!(build_id(&good[..cut].to_vec()), None, "cut at {cut}");
        }
        for (what, at, bytes) in [
            ("not ELF", 0, &[0u8][..]),
            ("32 bits", 4, &[1]),
            ("big-endian", 5, &[2]),
            ("program headers beyond the end", 32, &[0xff; 8]),
            ("small program headers", 54, &[8, 0]),
            ("too many program headers", 56, &[0xff, 0xff]),
            ("no program headers", 56, &[0, 0]),
            ("another segment", EHDR_SIZE, &[1]),
            ("notes beyond the end", EHDR_SIZE + 8, &[0xff; 8]),
            ("too many notes", EHDR_SIZE + 32, &[0xff; 8]),
            ("huge name", EHDR_SIZE + PHDR_SIZE, &[0xff; 4]),
            ("huge description", EHDR_SIZE + PHDR_SIZE + 4, &[0xff; 4]),
            ("empty description", EHDR_SIZE + PHDR_SIZE + 4, &[0; 4]),
        ] {
            let mut bad = good.clone();
            bad[at..at + bytes.len()].copy_from_slice(bytes);
            assert_eq!(build_id(&bad), None, "{what}");
        }
    }

    #[test]
    fn this_executable_is_its_own_build_also_when_copied() {
        let own = std::env::current_exe().unwrap();
        assert!(is_own_build(&own));
        let dir = tempfile::tempdir().unwrap();
        let copy = dir.path().join("copy");
        std::fs::copy(&own, &copy).unwrap();
        assert!(is_own_build(&copy), "the linker writes no build ID");
        let link = dir.path().join("link");
        std::os::unix::fs::symlink(&copy, &link).unwrap();
        assert!(is_own_build(&link));
        assert!(!is_own_build(Path::new("/bin/true")));
        assert!(!is_own_build(&dir.path().join("missing")));
        let size = std::fs::metadata(&own).unwrap().len();
        File::create(dir.path().join("same-size"))
            .unwrap()
            .set_len(size)
            .unwrap();
        assert!(!is_own_build(&dir.path().join("same-size")));
    }

    proptest! {
        #[test]
        fn never_panics(notes in proptest::collection::vec(any::<u8>(), 0..200), at in 0usize..150, byte: u8) {
            let _ = build_id(&notes);
            let mut file = elf(&notes);
            if let Some(place) = file.get_mut(at) {
                *place = byte;
            }
            let _ = build_id(&file);
        }
    }
}
