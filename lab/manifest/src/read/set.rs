//! The objects of a set of files.

use std::collections::{BTreeMap, BTreeSet};

use serde::Deserialize;
use serde::de::{DeserializeOwned, IgnoredAny};

use super::Source;
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
    problems: Vec<Misplaced>,
}

/// An object and where it stands.
struct Found<T> {
    origin: Origin,
    object: T,
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
                let config_map = self.object(origin);
                self.config_maps.extend(config_map);
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

    fn object<T: DeserializeOwned>(&mut self, origin: Origin) -> Option<Found<T>> {
        match typed(&origin.node) {
            Ok(object) => Some(Found { origin, object }),
            Err(complaints) => {
                for complaint in complaints {
                    self.complain(&origin, complaint);
                }
                None
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

    /// The pods, when nothing is wrong with anything.
    pub(super) fn workloads(mut self, sources: &[Source]) -> Result<Vec<Workload>, Refused> {
        let pods = std::mem::take(&mut self.pods);
        let config_maps = std::mem::take(&mut self.config_maps);
        let there: BTreeSet<&str> = config_maps.iter().map(Found::name).collect();
        for pod in &pods {
            for complaint in check::pod(&pod.object, &there) {
                self.complain(&pod.origin, complaint);
            }
        }
        for map in &config_maps {
            for complaint in check::config_map(&map.object.metadata, &map.object.data) {
                self.complain(&map.origin, complaint);
            }
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
