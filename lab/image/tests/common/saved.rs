//! Archives as strangers may write them, byte by byte, as `docker save` has them.

use serde_json::json;
use sha2::{Digest as _, Sha256};
use tar::{EntryType, Header};

/// The archive of a layer.
#[derive(Clone, Default)]
pub(crate) struct Layer(Vec<u8>);

impl Layer {
    /// A member with this content; nothing of it is checked.
    pub(crate) fn add(self, kind: EntryType, name: &[u8], link: &[u8], content: &[u8]) -> Self {
        self.sized(kind, name, link, content, content.len() as u64)
    }

    /// The same with a size that the header only claims.
    pub(crate) fn sized(
        mut self,
        kind: EntryType,
        name: &[u8],
        link: &[u8],
        content: &[u8],
        size: u64,
    ) -> Self {
        let mut header = Header::new_gnu();
        let fields = header.as_gnu_mut().unwrap();
        fields.name[..name.len()].copy_from_slice(name);
        fields.linkname[..link.len()].copy_from_slice(link);
        header.set_entry_type(kind);
        header.set_mode(0o755);
        header.set_uid(0);
        header.set_gid(0);
        header.set_mtime(1);
        header.set_size(size);
        if kind.is_character_special() {
            header.set_device_major(0).unwrap();
            header.set_device_minor(0).unwrap();
        }
        header.set_cksum();
        self.0.extend(header.as_bytes());
        self.0.extend(content);
        self.0.resize(self.0.len().next_multiple_of(512), 0);
        self
    }

    pub(crate) fn file(self, name: &str) -> Self {
        self.add(EntryType::Regular, name.as_bytes(), b"", b"content\n")
    }

    pub(crate) fn directory(self, name: &str) -> Self {
        self.add(EntryType::Directory, name.as_bytes(), b"", b"")
    }

    pub(crate) fn symlink(self, name: &str, target: &str) -> Self {
        self.add(EntryType::Symlink, name.as_bytes(), target.as_bytes(), b"")
    }

    pub(crate) fn link(self, name: &str, target: &str) -> Self {
        self.add(EntryType::Link, name.as_bytes(), target.as_bytes(), b"")
    }

    /// A PAX record for the next member.
    pub(crate) fn record(self, key: &str, value: &str) -> Self {
        self.records(record(key, value).as_bytes())
    }

    /// A PAX record for all members from here on.
    pub(crate) fn globals(self, key: &str, value: &str) -> Self {
        let record = record(key, value);
        self.add(EntryType::XGlobalHeader, b"globals", b"", record.as_bytes())
    }

    pub(crate) fn records(self, records: &[u8]) -> Self {
        self.add(EntryType::XHeader, b"records", b"", records)
    }

    /// With the end of an archive.
    pub(crate) fn bytes(&self) -> Vec<u8> {
        [&self.0[..], &[0; 1024]].concat()
    }
}

fn record(key: &str, value: &str) -> String {
    let rest = format!(" {key}={value}\n");
    let digits = (1..).find(|digits| (rest.len() + digits).to_string().len() == *digits);
    format!("{}{rest}", rest.len() + digits.unwrap())
}

/// One image of `docker save`.
pub(crate) fn saved(tag: &str, layers: &[Vec<u8>]) -> Vec<u8> {
    let diff_ids: Vec<String> = layers.iter().map(|layer| digest(layer)).collect();
    saved_as(tag, layers, &configuration(&diff_ids), "config.json")
}

pub(crate) fn configuration(diff_ids: &[String]) -> String {
    json!({
        "architecture": oci_spec::image::Arch::default().to_string(),
        "os": "linux",
        "config": {
            "Env": ["PATH=/bin", "EMPTY=", "EQUALS=a=b"], "Entrypoint": ["/bin/busybox"], "Cmd": ["sh", "-c"],
            "WorkingDir": "/srv", "User": "1000:1000", "StopSignal": "SIGINT", "Volumes": null,
        },
        "rootfs": { "type": "layers", "diff_ids": diff_ids },
    })
    .to_string()
}

pub(crate) fn saved_as(tag: &str, layers: &[Vec<u8>], config: &str, config_name: &str) -> Vec<u8> {
    let names: Vec<String> = (0..layers.len())
        .map(|index| format!("{index}/layer.tar"))
        .collect();
    let manifest =
        json!([{ "Config": config_name, "RepoTags": [tag], "Layers": names }]).to_string();
    let mut archive = Layer::default();
    for (name, layer) in names.iter().zip(layers) {
        archive = archive.add(EntryType::Regular, name.as_bytes(), b"", layer);
    }
    archive
        .add(
            EntryType::Regular,
            config_name.as_bytes(),
            b"",
            config.as_bytes(),
        )
        .add(
            EntryType::Regular,
            b"manifest.json",
            b"",
            manifest.as_bytes(),
        )
        .bytes()
}

pub(crate) fn digest(bytes: &[u8]) -> String {
    let hex: String = Sha256::digest(bytes)
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect();
    format!("sha256:{hex}")
}
