//! Pods as Kubernetes writes them down: the part of `v1/Pod` that the lab carries out, as types.
//!
//! Field names, defaults and meanings are those of the Kubernetes API (`core/v1`, "Pod"). A field that is not
//! here does not exist for the lab: a manifest that has it is refused, never obeyed in part. [`read()`] makes
//! [`Workload`]s of files; [`read_document`] reads another kind of file in the same manner.

mod annotations;
mod check;
mod clock;
mod container;
mod expand;
mod network;
mod path;
mod pod;
mod probe;
mod problem;
mod quantity;
mod read;
mod security;
mod volume;

pub use annotations::{Annotations, CPUSET, IO_READ, IO_WRITE, Processors};
pub use check::{LEAST_MEMORY, wrong_with_key, wrong_with_value};
pub use clock::ClockOffsets;

pub use container::{
    Container, ContainerPort, EnvVar, ImagePullPolicy, Lifecycle, Protocol, Resources,
    SidecarPolicy,
};
pub use expand::expand;
pub use network::{
    FIRST_INTERFACE, FIRST_NETWORK, NETWORK_STATUS, NETWORKS, NO_NETWORK, NetworkSelection,
    Networks, NetworksError,
};
pub use path::Path;
pub use pod::{ApiVersion, HostAlias, Kind, Metadata, Pod, PodSpec, RestartPolicy, Workload};
pub use probe::{Exec, Handler, HttpGet, HttpHeader, Port, Probe, Scheme, Sleep, TcpSocket};
pub use problem::{Complaint, Problem, Refused};
pub use quantity::{Quantity, QuantityError};
pub use read::{Source, read, read_checked, read_document};
pub use security::{Capabilities, PodSecurity, SeccompProfile, SeccompType, Security, Sysctl};
pub use volume::{
    ConfigMapItems, EmptyDir, HostPath, HostPathType, Medium, Volume, VolumeMount, VolumeSource,
};

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_manifest_has_kubernetes_names_and_defaults() {
        let written = serde_json::json!({
            "apiVersion": "v1", "kind": "Pod",
            "metadata": { "name": "web", "labels": { "app": "web" } },
            "spec": {
                "hostPID": true,
                "volumes": [
                    { "name": "data", "emptyDir": {} },
                    { "name": "page", "configMap": { "name": "page" } },
                ],
                "containers": [{
                    "name": "httpd", "command": ["httpd", "-f"],
                    "volumeMounts": [{ "name": "data", "mountPath": "/www" }],
                    "resources": { "limits": { "cpu": 0.5, "memory": "64Mi" } },
                    "livenessProbe": { "httpGet": { "path": "/", "port": 80 }, "periodSeconds": 2 },
                    "securityContext": { "capabilities": { "drop": ["ALL"] } },
                }],
            },
        });
        let pod: Pod = serde_json::from_value(written).unwrap();
        assert_eq!(pod.spec.restart_policy, RestartPolicy::Always);
        assert!(pod.spec.host_pid);
        let container = &pod.spec.containers[0];
        assert_eq!(container.resources.limits["cpu"].thousandths(), 500);
        let probe = container.liveness_probe.as_ref().unwrap();
        assert_eq!((probe.period_seconds, probe.timeout_seconds), (2, 1));
        assert_eq!((probe.success_threshold, probe.failure_threshold), (1, 3));
        assert!(matches!(&probe.handler, Handler::HttpGet(get) if get.port == Port::Number(80)));
        let again: Pod = serde_json::from_value(serde_json::to_value(&pod).unwrap()).unwrap();
        assert_eq!(again, pod);
    }

    #[test]
    fn unknown_fields_are_refused() {
        for field in ["affinity", "tolerations", "dnsPolicy"] {
            let written = serde_json::json!({
                "apiVersion": "v1", "kind": "Pod", "metadata": { "name": "web" },
                "spec": { "containers": [], field: {} },
            });
            let refused = serde_json::from_value::<Pod>(written).unwrap_err();
            assert!(refused.to_string().contains(field), "{refused}");
        }
    }
}
