//! One layer: an archive becomes a directory as overlayfs stacks it.
//!
//! What an archive marks as removed by names (image-spec, "Whiteouts") overlayfs marks by a character device
//! 0/0, and by `trusted.overlay.opaque` (without root `user.overlay.opaque`) on a directory that hides those below it
//! (kernel documentation, filesystems/overlayfs). Names are resolved as if the layers below were merged, as umoci and
//! containerd do: links in them are followed, within the image; directories that the archive uses and does not
//! describe are as they are there.

mod attributes;
mod lower;
mod tree;

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::ffi::{OsStr, OsString};
use std::io::{self, Read, Seek as _, SeekFrom, Write as _};
use std::os::unix::ffi::{OsStrExt as _, OsStringExt as _};
use std::path::{Component, Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::archive::{Archive, Input, Kind, Member};
use crate::limits::{LeftOut, Meter};
use attributes::Attributes;
pub(crate) use lower::{Lower, Unpacked};
use tree::{Found, Tree};

/// What begins the name of a mark of something removed.
const WHITEOUT: &[u8] = b".wh.";
/// The mark of a directory that hides what is below it.
const OPAQUE: &[u8] = b".wh..wh..opq";

/// Directories within directories: deeper than any, and few enough to be removed with the descriptors that a
/// process has.
const MOST_DEPTH: usize = 256;
/// Symbolic links in one path, as in the kernel.
const MOST_LINKS: usize = 40;

/// What the store knows of an unpacked layer.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Summary {
    /// Bytes of its files.
    pub bytes: u64,
    /// Members of its archive, and directories that none of them describes.
    pub entries: u64,
    /// Whether it would be another one above other layers.
    pub asked_below: bool,
    /// Whether the archive describes the root directory.
    pub describes_root: bool,
    /// Whether the root directory is described, by it or by one below it.
    pub has_root: bool,
    /// Whether nothing below is seen.
    pub hides_all: bool,
}

/// Unpacks an archive into the empty directory `path`, above the layers `lower`.
///
/// # Errors
/// The archive's, with the member that is at fault; it leads out of the image; a limit is reached.
pub(crate) fn unpack(
    archive: &mut Archive<impl Input>,
    path: &Path,
    lower: &Lower<'_>,
    meter: &Meter<'_>,
) -> Result<Summary, Fault> {
    let mut layer = Layer::new(path, lower, meter).map_err(Fault::of_layer)?;
    while let Some(member) = archive.next().map_err(Fault::of_layer)? {
        layer
            .add(&member, archive)
            .map_err(|source| Fault::of(&member, source))?;
    }
    layer.finish().map_err(Fault::of_layer)
}

/// Why a layer was not unpacked.
#[derive(Debug)]
pub(crate) struct Fault {
    /// The member that is at fault.
    pub member: Option<String>,
    pub source: io::Error,
}

impl Fault {
    fn of_layer(source: io::Error) -> Self {
        Self {
            member: None,
            source,
        }
    }

    fn of(member: &Member, source: io::Error) -> Self {
        Self {
            member: Some(member.path.escape_ascii().to_string()),
            source,
        }
    }
}

struct Layer<'a, 'w> {
    tree: Tree,
    lower: &'a Lower<'a>,
    meter: &'a Meter<'w>,
    /// All directories of the layer, with what they get at the end: their content changes their times.
    directories: BTreeMap<PathBuf, Attributes>,
    /// Those of them that hide what is below.
    opaque: BTreeSet<PathBuf>,
    /// Devices 0/0.
    whiteouts: BTreeSet<PathBuf>,
    summary: Summary,
    buffer: Vec<u8>,
}

/// What a path leads to, in the layer or below it.
enum Node {
    Missing,
    Directory,
    Link(Vec<u8>),
    Other,
}

/// What becomes of directories that are missing on the way.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Missing {
    /// They are made.
    Make,
    /// The way ends.
    Leave,
}

impl<'a, 'w> Layer<'a, 'w> {
    fn new(path: &Path, lower: &'a Lower<'a>, meter: &'a Meter<'w>) -> io::Result<Self> {
        Ok(Self {
            tree: Tree::open(path)?,
            lower,
            meter,
            directories: BTreeMap::from([(PathBuf::new(), Attributes::of_new_directory())]),
            opaque: BTreeSet::new(),
            whiteouts: BTreeSet::new(),
            summary: Summary::default(),
            buffer: vec![0; 1 << 16],
        })
    }

    fn add(&mut self, member: &Member, data: &mut impl Read) -> io::Result<()> {
        self.count_entry()?;
        let path = components(&member.path)?;
        let Some((name, parents)) = path.split_last() else {
            return self.describe_root(member);
        };
        if name.as_bytes() == OPAQUE {
            return self.hide_below(parents);
        }
        if let Some(hidden) = name.as_bytes().strip_prefix(WHITEOUT) {
            return self.hide(parents, hidden);
        }
        let at = self.directory(parents, Missing::Make)?.unwrap_or_default();
        self.put(&at.join(name), member, data)
    }

    fn count_entry(&mut self) -> io::Result<()> {
        self.summary.entries += 1;
        self.meter.take_entries(1)
    }

    fn describe_root(&mut self, member: &Member) -> io::Result<()> {
        if member.kind != Kind::Directory {
            return Err(refused("the root of the image is no directory"));
        }
        self.directories
            .insert(PathBuf::new(), Attributes::of(member)?);
        self.summary.describes_root = true;
        Ok(())
    }

    fn put(&mut self, at: &Path, member: &Member, data: &mut impl Read) -> io::Result<()> {
        let attributes = Attributes::of(member)?;
        if member.kind == Kind::Directory {
            self.make_directory(at)?;
            self.directories.insert(at.to_owned(), attributes);
            return Ok(());
        }
        let link = match member.kind {
            Kind::HardLink => Some(self.link_target(at, &member.link)?),
            _ => None,
        };
        self.clear(at)?;
        match member.kind {
            Kind::Directory => {}
            Kind::Regular => self.write(at, member, data)?,
            Kind::Symlink => self.tree.make_symlink(at, &member.link)?,
            Kind::CharacterDevice if member.device == (0, 0) => {
                return Err(refused(
                    "the device 0/0 is overlayfs's mark of something removed",
                ));
            }
            Kind::CharacterDevice | Kind::BlockDevice | Kind::Fifo => {
                let made = self.tree.make_node(at, member.kind, member.device);
                match made {
                    Err(refused) if self.has_no_devices(&refused) => return Ok(()),
                    made => made?,
                }
            }
            // A name more; what it names has its attributes.
            Kind::HardLink => return self.tree.link(&link.unwrap_or_default(), at),
        }
        let is_symlink = member.kind == Kind::Symlink;
        self.tree.set(at, &attributes, is_symlink, self.meter)
    }

    /// Nobody but the machine's root makes devices; if that is told, it is none.
    fn has_no_devices(&self, refused: &io::Error) -> bool {
        let count = |left_out: &mut LeftOut| left_out.devices += 1;
        refused.kind() == io::ErrorKind::PermissionDenied && self.meter.leave_out(count)
    }

    fn write(&mut self, at: &Path, member: &Member, data: &mut impl Read) -> io::Result<()> {
        let mut file = self.tree.make_file(at)?;
        self.summary.bytes = self.summary.bytes.saturating_add(member.size);
        let Some(extents) = &member.extents else {
            return copy(data, &mut file, member.size, &mut self.buffer);
        };
        let stored: u64 = extents.iter().map(|extent| extent.length).sum();
        // What is read is counted where it is read.
        self.meter.take_bytes(member.size.saturating_sub(stored))?;
        for extent in extents {
            file.seek(SeekFrom::Start(extent.offset))?;
            copy(data, &mut file, extent.length, &mut self.buffer)?;
        }
        file.set_len(member.size)
    }

    /// Where a hard link leads to: a file of this layer. One of a layer below is copied into it first.
    fn link_target(&mut self, at: &Path, link: &[u8]) -> io::Result<PathBuf> {
        let missing = || {
            refused(format!(
                "it links to {}, which is not there",
                link.escape_ascii()
            ))
        };
        let path = components(link)?;
        let Some((name, parents)) = path.split_last() else {
            return Err(refused("it links to the root directory"));
        };
        let parent = self
            .directory(parents, Missing::Leave)?
            .ok_or_else(missing)?;
        let target = parent.join(name);
        if target == at {
            return Err(refused("it links to itself"));
        }
        match self.tree.stat(&target)? {
            Found::Whiteout => Err(missing()),
            Found::Directory => Err(refused(format!(
                "it links to {}, which is a directory",
                link.escape_ascii()
            ))),
            Found::Symlink | Found::Other => Ok(target),
            Found::Nothing => {
                let below = self.below(&target)?.ok_or_else(missing)?;
                self.copy_up(&below, &parent, &target)?;
                Ok(target)
            }
        }
    }

    fn copy_up(&mut self, below: &Path, parent: &Path, target: &Path) -> io::Result<()> {
        self.make_parents(parent)?;
        let metadata = std::fs::symlink_metadata(below)?;
        let is_symlink = metadata.is_symlink();
        self.meter.take_bytes(metadata.len())?;
        self.summary.bytes += self.tree.copy(below, target)?;
        self.tree
            .set(target, &Attributes::read(below)?, is_symlink, self.meter)
    }

    /// An opaque mark in a directory.
    fn hide_below(&mut self, parents: &[OsString]) -> io::Result<()> {
        // Where there is nothing, nothing is hidden.
        if let Some(at) = self.directory(parents, Missing::Leave)? {
            self.make_parents(&at)?;
            self.opaque.insert(at);
        }
        Ok(())
    }

    /// The mark that `name` was removed. It concerns the layers below, and nothing of this one, in whatever
    /// order the archive has them.
    fn hide(&mut self, parents: &[OsString], name: &[u8]) -> io::Result<()> {
        if matches!(name, b"" | b"." | b"..") {
            return Err(refused("it marks no name as removed"));
        }
        // AUFS's own files.
        if name.starts_with(WHITEOUT) {
            return Ok(());
        }
        let Some(parent) = self.directory(parents, Missing::Leave)? else {
            return Ok(());
        };
        let at = parent.join(OsStr::from_bytes(name));
        match self.tree.stat(&at)? {
            Found::Directory => {
                self.opaque.insert(at);
            }
            Found::Nothing if self.below(&at)?.is_some() => {
                self.make_parents(&parent)?;
                self.tree.make_whiteout(&at)?;
                self.whiteouts.insert(at);
            }
            _ => {}
        }
        Ok(())
    }

    /// The directory that components lead to, without links. With [`Missing::Make`] it is made.
    fn directory(&mut self, path: &[OsString], missing: Missing) -> io::Result<Option<PathBuf>> {
        let mut at = PathBuf::new();
        let mut links = 0;
        let mut rest: VecDeque<OsString> = path.iter().cloned().collect();
        while let Some(part) = rest.pop_front() {
            if part == ".." {
                if !at.pop() {
                    return Err(refused("a symbolic link on its way leads out of the image"));
                }
                continue;
            }
            let next = at.join(&part);
            if next.components().count() > MOST_DEPTH {
                return Err(too_deep());
            }
            match self.node(&next)? {
                Node::Directory => at = next,
                Node::Missing if missing == Missing::Make => at = next,
                Node::Missing => return Ok(None),
                Node::Other => {
                    let next = next.as_os_str().as_bytes().escape_ascii();
                    return Err(refused(format!("{next} is no directory")));
                }
                Node::Link(target) => {
                    links += 1;
                    if links > MOST_LINKS {
                        return Err(refused("too many symbolic links are on its way"));
                    }
                    if target.starts_with(b"/") {
                        at = PathBuf::new();
                    }
                    for part in target_components(&target).into_iter().rev() {
                        rest.push_front(part);
                    }
                }
            }
        }
        if missing == Missing::Make {
            self.make_parents(&at)?;
        }
        Ok(Some(at))
    }

    fn node(&mut self, at: &Path) -> io::Result<Node> {
        if self.directories.contains_key(at) {
            return Ok(Node::Directory);
        }
        Ok(match self.tree.stat(at)? {
            Found::Directory => Node::Directory,
            Found::Symlink => Node::Link(self.tree.read_link(at)?),
            Found::Whiteout => Node::Missing,
            Found::Other => Node::Other,
            Found::Nothing => match self.below(at)? {
                None => Node::Missing,
                Some(below) => {
                    let kind = std::fs::symlink_metadata(&below)?.file_type();
                    match () {
                        () if kind.is_dir() => Node::Directory,
                        () if kind.is_symlink() => {
                            Node::Link(std::fs::read_link(&below)?.into_os_string().into_vec())
                        }
                        () => Node::Other,
                    }
                }
            },
        })
    }

    /// What the layers below have there, unless this one hides it.
    fn below(&mut self, at: &Path) -> io::Result<Option<PathBuf>> {
        self.summary.asked_below = true;
        let mut above = at.ancestors().skip(1);
        let is_hidden = self.whiteouts.contains(at)
            || above.any(|path| self.opaque.contains(path) || self.whiteouts.contains(path));
        match is_hidden {
            true => Ok(None),
            false => self.lower.find(at),
        }
    }

    /// Makes the directories of a path that leads through no link, those that are below as they are there.
    fn make_parents(&mut self, path: &Path) -> io::Result<()> {
        let mut at = PathBuf::new();
        for part in path.components() {
            at.push(part);
            if self.directories.contains_key(&at) {
                continue;
            }
            let attributes = match self.below(&at)? {
                Some(below) => Attributes::read(&below)?,
                None => Attributes::of_new_directory(),
            };
            self.count_entry()?;
            self.make_directory(&at)?;
            self.directories.insert(at.clone(), attributes);
        }
        Ok(())
    }

    /// A directory, whatever is there. One in the place of something else hides what is below.
    fn make_directory(&mut self, at: &Path) -> io::Result<()> {
        match self.tree.stat(at)? {
            Found::Directory => return Ok(()),
            Found::Nothing => {}
            _ => {
                self.clear(at)?;
                self.opaque.insert(at.to_owned());
            }
        }
        self.tree.make_directory(at)
    }

    /// Removes what this layer has there.
    fn clear(&mut self, at: &Path) -> io::Result<()> {
        match self.tree.stat(at)? {
            Found::Nothing => return Ok(()),
            Found::Directory => {
                self.forget(at);
            }
            _ => {
                self.whiteouts.remove(at);
            }
        }
        self.tree.remove(at)
    }

    /// What is noted of a directory and of all that is in it.
    fn forget(&mut self, at: &Path) {
        let from = self.directories.range(at.to_owned()..);
        for path in within(at, from.map(|(path, _)| path)) {
            self.directories.remove(&path);
        }
        for marks in [&mut self.opaque, &mut self.whiteouts] {
            for path in within(at, marks.range(at.to_owned()..)) {
                marks.remove(&path);
            }
        }
    }

    fn finish(mut self) -> io::Result<Summary> {
        self.remove_needless_whiteouts()?;
        self.inherit_root()?;
        self.summary.hides_all = self.opaque.remove(Path::new(""));
        for at in &self.opaque {
            self.tree.make_opaque(at)?;
        }
        // What is in a directory before the directory.
        for (at, attributes) in self.directories.iter().rev() {
            self.tree.set(at, attributes, false, self.meter)?;
        }
        Ok(self.summary)
    }

    /// Below a directory that hides all, they would be seen where names are listed.
    fn remove_needless_whiteouts(&self) -> io::Result<()> {
        for at in &self.whiteouts {
            if at.ancestors().any(|path| self.opaque.contains(path)) {
                self.tree.remove(at)?;
            }
        }
        Ok(())
    }

    /// The topmost layer's root directory is the image's.
    fn inherit_root(&mut self) -> io::Result<()> {
        let described = self.summary.describes_root;
        self.summary.has_root = described || self.lower.has_root();
        if !described && self.lower.has_root() {
            self.summary.asked_below = true;
            if let Some(below) = self.lower.find(Path::new(""))? {
                self.directories
                    .insert(PathBuf::new(), Attributes::read(&below)?);
            }
        }
        Ok(())
    }
}

/// Of paths in their order, `at` and what is below it, which stand side by side.
fn within<'a>(at: &Path, from: impl Iterator<Item = &'a PathBuf>) -> Vec<PathBuf> {
    from.take_while(|path| path.starts_with(at))
        .cloned()
        .collect()
}

/// The parts of a member's name, none of which leads anywhere else.
fn components(path: &[u8]) -> io::Result<Vec<OsString>> {
    let path = Path::new(OsStr::from_bytes(path));
    if path.as_os_str().is_empty() {
        return Err(refused("a member without a name"));
    }
    let parts = path.components().filter(|part| *part != Component::CurDir);
    let parts = parts.map(|part| match part {
        Component::Normal(part) if part.as_bytes().contains(&0) => {
            Err(refused("there is a zero byte in its name"))
        }
        Component::Normal(part) => Ok(part.to_owned()),
        Component::ParentDir => Err(refused("it leads out of the image by \"..\"")),
        _ => Err(refused(format!(
            "{} is absolute; names in a layer are relative to the image's root",
            path.as_os_str().as_bytes().escape_ascii()
        ))),
    });
    let parts = parts.collect::<io::Result<Vec<_>>>()?;
    match parts.len() > MOST_DEPTH {
        true => Err(too_deep()),
        false => Ok(parts),
    }
}

/// The parts of a link's target, `..` among them.
fn target_components(target: &[u8]) -> Vec<OsString> {
    let parts = Path::new(OsStr::from_bytes(target)).components();
    let parts = parts.filter(|part| matches!(part, Component::Normal(_) | Component::ParentDir));
    parts.map(|part| part.as_os_str().to_owned()).collect()
}

fn copy(
    data: &mut impl Read,
    file: &mut std::fs::File,
    length: u64,
    buffer: &mut [u8],
) -> io::Result<()> {
    let mut left = length;
    while left > 0 {
        let wanted = usize::try_from(left).map_or(buffer.len(), |left| left.min(buffer.len()));
        match data.read(&mut buffer[..wanted])? {
            0 => return Err(crate::archive::ends_early()),
            read => {
                file.write_all(&buffer[..read])?;
                left -= read as u64;
            }
        }
    }
    Ok(())
}

fn refused(why: impl Into<String>) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, why.into())
}

fn too_deep() -> io::Error {
    refused(format!("it is deeper than {MOST_DEPTH} directories"))
}
