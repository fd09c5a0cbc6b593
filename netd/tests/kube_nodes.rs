//! Nodes of a Kubernetes cluster, each with the real netd, and a double of the API server between them.
#![cfg(feature = "kube")]
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "tests fail by panicking"
)]

mod apiserver;
mod common;
mod nodes;

use std::path::PathBuf;
use std::process::Command;

use apiserver::{ApiServer, Tls};
use nodes::{
    Cluster, DUAL_HOST_GW, DUAL_VXLAN, HOST_GW, Netd, VXLAN, add_bridge, ping, problems, sh,
    wait_for,
};

const SERVER: &str = "192.168.50.254:6443";

/// A cluster whose nodes n1 and n2 the API server knows.
struct Kube {
    api: ApiServer,
    cluster: Cluster,
    config: PathBuf,
}

impl Kube {
    fn new(config: &str) -> Option<Self> {
        Self::with(config, None)
    }

    fn with(config: &str, tls: Option<fn(&Cluster) -> Tls>) -> Option<Self> {
        let cluster = Cluster::new(config, 2)?;
        sh("ip addr add 192.168.50.254/24 dev br0");
        let path = cluster.dir().join("net-conf.json");
        std::fs::write(&path, config).unwrap();
        let tls = tls.map(|tls| tls(&cluster));
        let kube = Self {
            api: ApiServer::listen(SERVER, tls),
            cluster,
            config: path,
        };
        kube.register(1);
        kube.register(2);
        Some(kube)
    }

    /// What kubelet and controller manager do.
    fn register(&self, n: u8) {
        let (v4, v6) = (format!("10.100.{n}.0/24"), format!("fd00:100:0:{n}::/64"));
        self.api.add_node(&name(n), &[&v4, &v6]);
    }

    fn command(&self, n: u8, arguments: &[&str]) -> Command {
        let url = self.api.url();
        let config = self.config.to_str().unwrap();
        let own = [
            "-kube-subnet-mgr",
            "-kube-api-url",
            &url,
            "-net-config-path",
            config,
        ];
        let mut command = self.cluster.command(n, &[&own[..], arguments].concat());
        command.env("NODE_NAME", name(n));
        command
    }

    fn spawn(&self, n: u8, arguments: &[&str]) -> Netd {
        Netd {
            child: self.command(n, arguments).spawn().expect("start netd"),
            node: n,
        }
    }

    fn start(&self, n: u8) -> Netd {
        let netd = self.spawn(n, &[]);
        self.cluster.wait_ready(&netd);
        netd
    }

    fn mac(&self, n: u8) -> String {
        let link = sh(&format!("ip -n n{n} -o link show flannel.1"));
        link.split("link/ether ").nth(1).expect("a MAC")[..17].to_owned()
    }
}

fn name(n: u8) -> String {
    format!("node-{n}.example")
}

#[test]
fn nodes_become_peers_over_vxlan() {
    become_peers(VXLAN, false);
}

#[test]
fn nodes_become_peers_over_host_gw() {
    become_peers(HOST_GW, false);
}

#[test]
fn nodes_become_peers_over_both_families() {
    become_peers(DUAL_VXLAN, true);
}

#[test]
fn nodes_become_peers_over_both_families_without_a_tunnel() {
    become_peers(DUAL_HOST_GW, true);
}

fn become_peers(config: &str, dual: bool) {
    let Some(kube) = Kube::new(config) else {
        return;
    };
    let (api, cluster) = (&kube.api, &kube.cluster);
    let _one = kube.start(1);
    let _two = kube.start(2);
    assert_eq!(cluster.subnet(1), "10.100.1.0/24");
    for n in [1, 2] {
        add_bridge(cluster, n, dual);
    }
    let keys: &[&str] = match dual {
        true => &["FLANNEL_SUBNET", "FLANNEL_IPV6_SUBNET"],
        false => &["FLANNEL_SUBNET"],
    };
    let reach = || {
        for key in keys {
            ping(cluster, 1, 2, key);
            ping(cluster, 2, 1, key);
        }
    };
    reach();
    wait_for("the server's answers to be counted", || {
        let metrics = sh(&format!(
            "curl -s --unix-socket {} http://netd/metrics",
            cluster.dir().join("n1.sock").display()
        ));
        let count = metrics
            .lines()
            .find_map(|line| line.strip_prefix("netd_store_duration_seconds_count "));
        count.expect("the metric") != "0"
    });
    for n in [1, 2] {
        wait_for("the condition", || api.condition(&name(n)).is_some());
    }
    let status = cluster.status(1).unwrap();
    assert_eq!(
        status["store"]["name"],
        format!("Kubernetes http://{SERVER}")
    );
    assert_eq!(status["lease"]["expires_in"], serde_json::Value::Null);
    assert_eq!(status["peers"]["known"], 1);
    assert_eq!(problems(&status), [""; 0]);

    // The server is away: everything stays, and nothing is lost of what happens meanwhile.
    let routes = cluster.routes(1);
    assert!(!routes.is_empty());
    api.go_away();
    let up = |wanted: bool| {
        wait_for("the store's state", || {
            cluster
                .status(1)
                .is_some_and(|s| s["store"]["up"] == wanted)
        });
    };
    up(false);
    reach();
    assert_eq!(cluster.routes(1), routes);
    api.compact();
    api.come_back();
    up(true);
    assert_eq!(cluster.routes(1), routes);

    // The node is deleted: its peer goes.
    api.remove_node(&name(2));
    wait_for("the routes to go", || cluster.routes(1).is_empty());
    wait_for("the node without a lease to say so", || {
        cluster.status(2).is_some_and(|status| {
            let no_node = |what: &String| what.contains("the cluster has no node node-2.example");
            status["level"] == "degraded" && problems(&status).iter().any(no_node)
        })
    });
    // Registered anew, it is a peer again without a restart of anything.
    kube.register(2);
    wait_for("the routes to come", || cluster.routes(1) == routes);
    reach();
}

/// 4.10: flanneld up to now has a random MAC where the prefix has a slash (W21).
#[test]
fn a_device_made_anew_gets_the_mac_that_was_published() {
    let Some(kube) = Kube::new(VXLAN) else { return };
    let prefix = ["-kube-annotation-prefix", "example.com/net"];
    let one = kube.spawn(1, &prefix);
    kube.cluster.wait_ready(&one);
    let mac = kube.mac(1);
    wait_for("the condition", || kube.api.condition(&name(1)).is_some());
    one.stop("TERM");
    let patches = kube.api.count("PATCH");
    sh("ip -n n1 link del flannel.1");
    let one = kube.spawn(1, &prefix);
    kube.cluster.wait_ready(&one);
    assert_eq!(kube.mac(1), mac);
    one.stop("TERM");
    // A device that is there keeps its own, and that is published.
    sh("ip -n n1 link set flannel.1 address 02:00:00:00:00:42");
    let one = kube.spawn(1, &prefix);
    kube.cluster.wait_ready(&one);
    assert_eq!(kube.mac(1), "02:00:00:00:00:42");
    assert_eq!(
        kube.api.count("PATCH"),
        patches + 1,
        "the other restart wrote nothing"
    );
}

/// W17: exit status 4, and whoever runs netd starts it again.
#[test]
fn another_pod_cidr_ends_netd_and_the_next_one_has_it() {
    let Some(kube) = Kube::new(VXLAN) else { return };
    let mut one = kube.start(1);
    kube.api.edit(&name(1), |node| {
        node["spec"] = serde_json::json!({ "podCIDR": "10.100.77.0/24" });
    });
    let ended = one.child.wait().unwrap();
    assert_eq!(ended.code(), Some(4), "{}", kube.cluster.log(1));
    let log = kube.cluster.log(1);
    assert!(
        log.contains("10.100.77.0/24 in place of 10.100.1.0/24"),
        "{log}"
    );
    let _one = kube.start(1);
    wait_for("the new subnet", || {
        kube.cluster.subnet(1) == "10.100.77.0/24"
    });
}

/// W20, and what an operator sees meanwhile; W23, where that is asked for.
#[test]
fn netd_waits_for_a_pod_cidr_and_says_so_and_tells_when_it_fails_later() {
    let Some(kube) = Kube::new(VXLAN) else { return };
    kube.api
        .edit(&name(1), |node| node["spec"] = serde_json::json!({}));
    let programs = kube.cluster.dir().join("programs");
    std::fs::create_dir(&programs).unwrap();
    for program in ["ip", "iptables", "iptables-restore"] {
        let found = sh(&format!("command -v {program}"));
        std::os::unix::fs::symlink(found.trim(), programs.join(program)).unwrap();
    }
    let masquerade = ["-ip-masq", "-iptables-resync", "1"];
    let failing = ["-kube-network-unavailable-after", "1s"];
    let mut command = kube.command(1, &[&masquerade[..], &failing].concat());
    let child = command.env("PATH", &programs).spawn().unwrap();
    let one = Netd { child, node: 1 };
    wait_for("the reason", || {
        kube.cluster.status(1).is_some_and(|status| {
            status["ready"] == false
                && problems(&status)
                    .iter()
                    .any(|what| what.contains("has no podCIDR"))
        })
    });
    kube.api.edit(&name(1), |node| {
        node["spec"]["podCIDR"] = "10.100.9.0/24".into()
    });
    kube.cluster.wait_ready(&one);
    assert_eq!(kube.cluster.subnet(1), "10.100.9.0/24");

    let condition = |status: &str| {
        let mut found = None;
        wait_for(&format!("the condition to be {status}"), || {
            found = kube.api.condition(&name(1));
            found.as_ref().is_some_and(|told| told["status"] == status)
        });
        found.expect("the condition")
    };
    condition("False");
    let (here, away) = (programs.join("iptables"), programs.join("away"));
    std::fs::rename(&here, &away).unwrap();
    let told = condition("True");
    assert_eq!(told["reason"], "NetdIsNotReady");
    let message = told["message"].as_str().unwrap();
    assert!(
        message.contains("firewall rules cannot be kept"),
        "{message}"
    );
    std::fs::rename(&away, &here).unwrap();
    assert_eq!(condition("False")["reason"], "FlannelIsUp");
    assert_eq!(one.stop("TERM").code(), Some(0));
}

/// A peer that cannot be one is named in the status, with the reason.
#[test]
fn the_status_names_nodes_that_are_no_peers() {
    let Some(kube) = Kube::new(VXLAN) else { return };
    kube.api
        .add_peer("broken", &["10.100.50.0/24"], "vxlan", "null", "nowhere");
    kube.api.add_peer(
        "other",
        &["10.100.51.0/24"],
        "wireguard",
        "null",
        "192.168.50.51",
    );
    let _one = kube.start(1);
    wait_for("both reasons", || {
        let told = kube
            .cluster
            .status(1)
            .map(|status| problems(&status).join("\n"));
        let told = told.unwrap_or_default();
        told.contains("node/broken")
            && told.contains("public-ip is \"nowhere\"")
            && told.contains("wireguard")
    });
    kube.api
        .annotate("broken", &[("kube-subnet-manager", None)]);
    wait_for("the end of one", || {
        let told = kube
            .cluster
            .status(1)
            .map(|status| problems(&status).join("\n"));
        told.is_some_and(|told| !told.contains("node/broken"))
    });
}

#[test]
fn cleanup_takes_the_annotations_away() {
    let Some(kube) = Kube::new(VXLAN) else { return };
    kube.start(1).stop("TERM");
    assert!(kube.api.annotation(&name(1), "public-ip").is_some());
    let socket = kube.cluster.dir().join("n1.sock");
    let cleanup = nodes::program("ip")
        .args([
            "netns",
            "exec",
            "n1",
            env!("CARGO_BIN_EXE_netd"),
            "cleanup",
            "-lease",
            "-kube-subnet-mgr",
        ])
        .args(["-kube-api-url", &kube.api.url(), "-net-config-path"])
        .arg(&kube.config)
        .arg("-subnet-file")
        .arg(kube.cluster.subnet_file(1))
        .arg("-status-socket")
        .arg(socket)
        .env("NODE_NAME", name(1))
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&cleanup.stdout).into_owned();
    assert!(
        cleanup.status.success(),
        "{said}{}",
        String::from_utf8_lossy(&cleanup.stderr)
    );
    assert!(said.contains("lease 10.100.1.0/24 in Kubernetes"), "{said}");
    assert_eq!(kube.api.annotation(&name(1), "public-ip"), None);
    assert_eq!(kube.api.annotation(&name(1), "kube-subnet-manager"), None);
}

#[test]
fn doctor_asks_the_api_server() {
    let Some(kube) = Kube::new(VXLAN) else { return };
    let doctor = || {
        let output = nodes::program("ip")
            .args([
                "netns",
                "exec",
                "n1",
                env!("CARGO_BIN_EXE_netd"),
                "doctor",
                "-v",
                "-kube-subnet-mgr",
            ])
            .args(["-kube-api-url", &kube.api.url(), "-net-config-path"])
            .arg(&kube.config)
            .env("NODE_NAME", name(1))
            .output()
            .unwrap();
        String::from_utf8(output.stdout).unwrap()
    };
    let said = doctor();
    let well = said
        .lines()
        .any(|line| line.starts_with("ok") && line.contains("store:"));
    assert!(well, "{said}");
    kube.api.remove_node(&name(1));
    assert!(doctor().contains("no node node-1.example"), "{}", doctor());
}

/// As in the manifest: the pod's name alone, its service account, TLS, and a token that rotates.
#[test]
fn a_pod_needs_nothing_but_its_service_account() {
    let tls = |cluster: &Cluster| {
        common::make_certificates(cluster.dir());
        Tls::new(cluster.dir(), false)
    };
    let Some(kube) = Kube::with(VXLAN, Some(tls)) else {
        return;
    };
    let account = PathBuf::from("/var/run/secrets/kubernetes.io/serviceaccount");
    std::fs::create_dir_all(&account).unwrap();
    std::fs::write(account.join("token"), "first").unwrap();
    std::fs::write(account.join("namespace"), "kube-flannel").unwrap();
    std::fs::copy(kube.cluster.dir().join("ca.pem"), account.join("ca.crt")).unwrap();
    kube.api.set_token("first");
    kube.api
        .add_pod("kube-flannel", "kube-flannel-ds-1", Some(&name(1)));
    let config = kube.config.to_str().unwrap();
    let mut command = kube
        .cluster
        .command(1, &["-kube-subnet-mgr", "-net-config-path", config]);
    command
        .env("POD_NAME", "kube-flannel-ds-1")
        .env("POD_NAMESPACE", "kube-flannel")
        .env("KUBERNETES_SERVICE_HOST", "192.168.50.254")
        .env("KUBERNETES_SERVICE_PORT", "6443");
    let one = Netd {
        child: command.spawn().unwrap(),
        node: 1,
    };
    kube.cluster.wait_ready(&one);
    wait_for("the condition", || kube.api.condition(&name(1)).is_some());
    // The kubelet writes a new token, and the old one ends.
    std::fs::write(account.join("token"), "second").unwrap();
    kube.api.set_token("second");
    kube.api.cut_watches();
    kube.api.add_peer(
        "late",
        &["10.100.60.0/24"],
        "vxlan",
        r#"{"VNI":1,"VtepMAC":"02:00:00:00:00:60"}"#,
        "192.168.50.60",
    );
    wait_for("the late peer", || {
        kube.cluster
            .routes(1)
            .iter()
            .any(|route| route.contains("10.100.60.0/24"))
    });
    // Nothing more than the role of the manifest allows.
    for seen in kube.api.seen() {
        let allowed = [
            "GET /api/v1/nodes",
            "PATCH /api/v1/nodes/node-1.example/status",
            "GET /api/v1/namespaces/kube-flannel/pods/",
        ];
        assert!(
            allowed.iter().any(|line| seen.line.starts_with(line)),
            "{}",
            seen.line
        );
        assert!(seen.authorization.starts_with("Bearer "));
    }
}

#[test]
fn what_is_missing_at_the_start_is_named() {
    let Some(kube) = Kube::new(VXLAN) else { return };
    let config = kube.config.to_str().unwrap();
    let url = kube.api.url();
    for (arguments, words) in [
        (vec!["-kube-api-url", url.as_str()], "NODE_NAME"),
        (vec![], "-kubeconfig-file"),
        (vec!["-kubeconfig-file", "/nowhere"], "/nowhere"),
    ] {
        let mut all = vec!["-kube-subnet-mgr", "-net-config-path", config];
        all.extend(&arguments);
        let mut command = kube.cluster.command(1, &all);
        if !arguments.contains(&"-kube-api-url") {
            command.env("NODE_NAME", name(1));
        }
        let ended = command.status().unwrap();
        assert_eq!(ended.code(), Some(1));
        let log = kube.cluster.log(1);
        assert!(log.contains(words), "{words}: {log}");
    }
    // A configuration that is missing is waited for.
    std::fs::remove_file(&kube.config).unwrap();
    let one = kube.spawn(1, &[]);
    let waits = || {
        let told = kube
            .cluster
            .status(1)
            .map(|status| problems(&status).join("\n"));
        told.is_some_and(|told| told.contains("put one at") && told.contains("net-conf.json"))
    };
    wait_for("the place of the configuration", waits);
    std::fs::write(&kube.config, VXLAN).unwrap();
    kube.cluster.wait_ready(&one);
}
