//! What the kubelet says to a runtime: the part of the container runtime interface (service
//! `runtime.v1.RuntimeService` of Kubernetes' cri-api) that attaches and detaches pods. Messages
//! have the fields that are used here, under the numbers they have there.

use std::{collections::HashMap, path::Path};

use hyper_util::rt::TokioIo;
use prost::Message;
use tokio::{net::UnixStream, runtime::Runtime};
use tonic::{
    client::Grpc,
    codegen::http::uri::PathAndQuery,
    transport::{Channel, Endpoint, Uri},
};
use tonic_prost::ProstCodec;

#[derive(Clone, PartialEq, Message)]
pub(crate) struct RunPodSandbox {
    #[prost(message, optional, tag = "1")]
    pub(crate) config: Option<Sandbox>,
}

/// `PodSandboxConfig`.
#[derive(Clone, PartialEq, Message)]
pub(crate) struct Sandbox {
    #[prost(message, optional, tag = "1")]
    pub(crate) metadata: Option<Metadata>,
    #[prost(message, repeated, tag = "5")]
    pub(crate) port_mappings: Vec<PortMapping>,
    #[prost(map = "string, string", tag = "7")]
    pub(crate) annotations: HashMap<String, String>,
    #[prost(message, optional, tag = "8")]
    pub(crate) linux: Option<Linux>,
}

#[derive(Clone, PartialEq, Message)]
pub(crate) struct Metadata {
    #[prost(string, tag = "1")]
    pub(crate) name: String,
    #[prost(string, tag = "2")]
    pub(crate) uid: String,
    #[prost(string, tag = "3")]
    pub(crate) namespace: String,
}

#[derive(Clone, PartialEq, Message)]
pub(crate) struct PortMapping {
    /// 0 TCP, 1 UDP, 2 SCTP.
    #[prost(int32, tag = "1")]
    pub(crate) protocol: i32,
    #[prost(int32, tag = "2")]
    pub(crate) container_port: i32,
    #[prost(int32, tag = "3")]
    pub(crate) host_port: i32,
    #[prost(string, tag = "4")]
    pub(crate) host_ip: String,
}

#[derive(Clone, PartialEq, Message)]
pub(crate) struct Linux {
    #[prost(string, tag = "1")]
    pub(crate) cgroup_parent: String,
}

/// The sandbox that a request or an answer is about.
#[derive(Clone, PartialEq, Message)]
pub(crate) struct Id {
    #[prost(string, tag = "1")]
    pub(crate) id: String,
}

#[derive(Clone, PartialEq, Message)]
struct Nothing {}

#[derive(Clone, PartialEq, Message)]
struct StatusAnswer {
    #[prost(message, optional, tag = "1")]
    status: Option<Status>,
}

#[derive(Clone, PartialEq, Message)]
struct Status {
    #[prost(message, optional, tag = "5")]
    network: Option<Network>,
}

#[derive(Clone, PartialEq, Message)]
struct Network {
    #[prost(string, tag = "1")]
    ip: String,
    #[prost(message, repeated, tag = "2")]
    additional: Vec<Id>,
}

/// A connection to the runtime's socket.
pub(crate) struct Cri {
    runtime: Runtime,
    channel: Channel,
}

impl Cri {
    pub(crate) fn connect(socket: &Path) -> Self {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .unwrap();
        let socket = socket.to_owned();
        // The address is never looked up: the connector goes to the socket.
        let endpoint = Endpoint::from_static("http://containerd");
        let connector = tower::service_fn(move |_: Uri| {
            let socket = socket.clone();
            async move { UnixStream::connect(socket).await.map(TokioIo::new) }
        });
        let channel = runtime
            .block_on(endpoint.connect_with_connector(connector))
            .unwrap();
        Self { runtime, channel }
    }

    fn call<A: Message + 'static, B: Message + Default + 'static>(
        &self,
        method: &str,
        request: A,
    ) -> Result<B, tonic::Status> {
        let path = format!("/runtime.v1.RuntimeService/{method}");
        let path: PathAndQuery = path.parse().unwrap();
        self.runtime.block_on(async {
            let mut client = Grpc::new(self.channel.clone());
            client.ready().await.unwrap();
            let codec = ProstCodec::<A, B>::default();
            let answer = client.unary(tonic::Request::new(request), path, codec);
            Ok(answer.await?.into_inner())
        })
    }

    /// Starts a sandbox; its ID.
    pub(crate) fn run(&self, sandbox: Sandbox) -> Result<String, tonic::Status> {
        let config = Some(sandbox);
        let answer: Id = self.call("RunPodSandbox", RunPodSandbox { config })?;
        Ok(answer.id)
    }

    /// The sandbox's addresses, as the kubelet gets them for `status.podIPs`.
    pub(crate) fn addresses(&self, id: &str) -> Vec<String> {
        let id = Id { id: id.to_owned() };
        let answer: StatusAnswer = self.call("PodSandboxStatus", id).unwrap();
        let network = answer.status.unwrap().network.unwrap();
        let further = network.additional.into_iter().map(|address| address.id);
        [network.ip].into_iter().chain(further).collect()
    }

    pub(crate) fn stop(&self, id: &str) -> Result<(), tonic::Status> {
        let id = Id { id: id.to_owned() };
        self.call::<_, Nothing>("StopPodSandbox", id).map(drop)
    }

    pub(crate) fn remove(&self, id: &str) -> Result<(), tonic::Status> {
        let id = Id { id: id.to_owned() };
        self.call::<_, Nothing>("RemovePodSandbox", id).map(drop)
    }
}
