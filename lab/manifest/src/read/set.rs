//! The objects of a set of files.

use std::collections::{BTreeMap, BTreeSet};

use serde::Deserialize;
use serde::de::{DeserializeOwned, IgnoredAny};

use super::Source;
use super::left_out::LeftOut;
use super::tree::{self, Node, Place, Value};
use super::typed::typed;
use crate::path::Path;
use crate::problem::{Complaint, Problem, Refused};
use crate::{Metadata, Pod, VolumeSource, Workload, check};

/// What was read so far.
#[derive(Default)]
pub(super) struct Set {
    pods: Vec<Found<Pod>>,
    config_maps: Vec<Found<ConfigMap>>,
    /// The names of those that could not be read: they are there.
    unread_config_maps: Vec<String>,
    problems: Vec<Misplaced>,
}

/// An object and where it stands.
struct Found<T> {
    origin: Origin,
    object: T,
    /// What did not fit, and is told.
    left_out: LeftOut,
}

/// Where an object stands.
struct Origin {
    /// The number of the file.
    file: usize,
    /// As it is written.
    node: Node,
    /// From the document's root.
    path: Path,
}

/// A complaint with the number of its file and its place there.
struct Misplaced {
    file: usize,
    place: Place,
    complaint: Complaint,
}

/// Files by name.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct ConfigMap {
    #[serde(rename = "apiVersion")]
    _api_version: crate::ApiVersion,
    #[serde(rename = "kind")]
    _kind: IgnoredAny,
    metadata: Metadata,
    #[serde(default)]
    data: BTreeMap<String, String>,
}

/// Objects in one document.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct List {
    #[serde(rename = "apiVersion")]
    _api_version: crate::ApiVersion,
    #[serde(rename = "kind")]
    _kind: IgnoredAny,
    #[serde(rename = "items")]
    _items: Vec<IgnoredAny>,
}

impl Set {
    /// Takes in what a file has.
    pub(super) fn read(&mut self, file: usize, source: &Source) {
        match tree::documents(&source.text) {
            Ok(documents) => {
                for node in documents {
                    let path = Path::default();
                    self.take(Origin { file, node, path });
                }
            }
            Err((place, message)) => self.problems.push(Misplaced {
                file,
                place,
                complaint: Complaint {
                    field: Path::default(),
                    message,
                },
            }),
        }
    }

    fn take(&mut self, origin: Origin) {
        let kind = match kind(&origin.node) {
            Ok(kind) => kind.to_owned(),
            Err(complaint) => return self.complain(&origin, complaint),
        };
        match kind.as_str() {
            "Pod" => {
                let pod = self.object(origin);
                self.pods.extend(pod);
            }
            "ConfigMap" => {
                let name = written_name(&origin.node).map(str::to_owned);
                match self.object(origin) {
                    Some(config_map) => self.config_maps.push(config_map),
                    None => self.unread_config_maps.extend(name),
                }
            }
            "List" => {
                let list = self.object::<List>(origin);
                list.into_iter()
                    .for_each(|list| self.take_items(list.origin));
            }
            other => {
                let message = format!(
                    "the lab does not carry out {}: it reads Pod, ConfigMap and List",
                    other.escape_debug()
                );
                let field = Path::default().field("kind");
                self.complain(&origin, Complaint { field, message });
            }
        }
    }

    fn take_items(&mut self, list: Origin) {
        let path = list.path.field("items");
        let items = list.node.into_field("items").map(Node::into_elements);
        for (number, node) in items.into_iter().flatten().enumerate() {
            self.take(Origin {
                file: list.file,
                node,
                path: path.element(number),
            });
        }
    }

    /// An object, without what does not fit and is complained of.
    fn object<T: DeserializeOwned>(&mut self, origin: Origin) -> Option<Found<T>> {
        let reading = typed(&origin.node);
        for complaint in reading.complaints {
            self.complain(&origin, complaint);
        }
        Some(Found {
            origin,
            object: reading.value?,
            left_out: reading.left_out,
        })
    }

    /// Notes what rules say of an object, but for what follows from what is told already.
    fn complain_of<T>(&mut self, found: &Found<T>, complaints: Vec<Complaint>) {
        for complaint in complaints {
            let field = found.left_out.in_document(&complaint.field);
            if !found.left_out.may_explain(&field) {
                let message = complaint.message;
                self.complain(&found.origin, Complaint { field, message });
            }
        }
    }

    /// Notes a complaint about an object.
    fn complain(&mut self, about: &Origin, complaint: Complaint) {
        self.problems.push(Misplaced {
            file: about.file,
            place: tree::place(&about.node, &complaint.field),
            complaint: Complaint {
                field: about.path.join(&complaint.field),
                message: complaint.message,
            },
        });
    }

    /// The pods, when nothing is wrong with anything; `further` are rules for pods beside this crate's.
    pub(super) fn workloads(
        mut self,
        sources: &[Source],
        further: &dyn Fn(&Pod) -> Vec<Complaint>,
    ) -> Result<Vec<Workload>, Refused> {
        let pods = std::mem::take(&mut self.pods);
        let config_maps = std::mem::take(&mut self.config_maps);
        let unread = std::mem::take(&mut self.unread_config_maps);
        let read = config_maps.iter().map(Found::name);
        let there: BTreeSet<&str> = read.chain(unread.iter().map(String::as_str)).collect();
        for pod in &pods {
            self.complain_of(pod, check::pod(&pod.object, &there));
            self.complain_of(pod, further(&pod.object));
        }
        for map in &config_maps {
            let complaints = check::config_map(&map.object.metadata, &map.object.data);
            self.complain_of(map, complaints);
        }
        self.complain_of_twins(&pods);
        self.complain_of_twins(&config_maps);
        if self.problems.is_empty() {
            Ok(joined(pods, config_maps))
        } else {
            Err(self.refused(sources))
        }
    }

    /// Two objects of one kind and name.
    fn complain_of_twins<T>(&mut self, all: &[Found<T>])
    where
        Found<T>: Named,
    {
        let mut seen = BTreeSet::new();
        for each in all.iter().filter(|each| !seen.insert(each.name())) {
            let field = Path::default().field("metadata").field("name");
            let message = format!("{:?} is there already", each.name());
            self.complain(&each.origin, Complaint { field, message });
        }
    }

    /// In the order of the files.
    fn refused(mut self, sources: &[Source]) -> Refused {
        self.problems.sort_by_key(|each| (each.file, each.place));
        let problem =
            |each: Misplaced| Problem::at(&sources[each.file], each.place, each.complaint);
        Refused(self.problems.into_iter().map(problem).collect())
    }
}

/// What has a name of its own among its kind.
trait Named {
    fn name(&self) -> &str;
}

impl Named for Found<Pod> {
    fn name(&self) -> &str {
        &self.object.metadata.name
    }
}

impl Named for Found<ConfigMap> {
    fn name(&self) -> &str {
        &self.object.metadata.name
    }
}

/// What an object is called, whatever else is in it.
fn written_name(node: &Node) -> Option<&str> {
    match &node.field("metadata")?.field("name")?.value {
        Value::Text(name) => Some(name),
        _ => None,
    }
}

/// What a document says it is.
fn kind(node: &Node) -> Result<&str, Complaint> {
    let complaint = |field, message: &str| Complaint {
        field,
        message: message.to_owned(),
    };
    let root = Path::default();
    match node.field("kind").map(|kind| &kind.value) {
        Some(Value::Text(kind)) => Ok(kind),
        Some(_) => Err(complaint(root.field("kind"), "this has to be text")),
        None if matches!(node.value, Value::Map(_)) => {
            Err(complaint(root.field("kind"), "this field is required"))
        }
        None => Err(complaint(root, "this is no object with fields")),
    }
}

/// Each pod with the ConfigMaps that it names.
fn joined(pods: Vec<Found<Pod>>, config_maps: Vec<Found<ConfigMap>>) -> Vec<Workload> {
    let by_name: BTreeMap<String, BTreeMap<String, String>> = config_maps
        .into_iter()
        .map(|map| (map.object.metadata.name, map.object.data))
        .collect();
    let workload = |found: Found<Pod>| {
        let volumes = found.object.spec.volumes.iter();
        let named = volumes.filter_map(|volume| match &volume.source {
            VolumeSource::ConfigMap(items) => by_name.get_key_value(&items.name),
            _ => None,
        });
        Workload {
            config_maps: named
                .map(|(name, data)| (name.clone(), data.clone()))
                .collect(),
            pod: found.object,
        }
    };
    pods.into_iter().map(workload).collect()
}
