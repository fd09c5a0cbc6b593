//! What holds for any manifest: a pod that is written down is read as the same pod, and no text is too odd.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::collections::BTreeMap;

use manifest::*;
use proptest::collection::{btree_map, vec};
use proptest::option;
use proptest::prelude::*;

/// Text that YAML might take for something else, and any other. Neither YAML nor Kubernetes has bare control
/// characters in a document.
fn text() -> impl Strategy<Value = String> {
    let odd = [
        "",
        "yes",
        "~",
        "null",
        "0755",
        "1e3",
        "- a",
        "a: b",
        "# a",
        "{}",
        "'",
        "\"",
        "$(A)",
        " a ",
        "a\nb\n",
        "\t",
        "|",
        "*a",
        "&a",
        "!!int 1",
        "0x1F",
        "1_000",
        ".inf",
        "<<",
        "ä\u{1f600}",
        "---",
    ];
    prop_oneof![
        proptest::sample::select(odd.map(str::to_owned).to_vec()),
        "[^\\pC]{0,12}",
    ]
}

/// What a key of a label or annotation can be.
const KEY: &str = "([a-z]{1,4}\\.[a-z]{1,3}/)?[a-zA-Z0-9]([-_.a-z]{0,4}[a-z0-9])?";

/// What a label's value can be; some of it YAML might take for something else.
fn value() -> impl Strategy<Value = String> {
    let odd = [
        "", "yes", "null", "0755", "1e3", "1_000", "0x1F", "1.5", "no",
    ];
    prop_oneof![
        proptest::sample::select(odd.map(str::to_owned).to_vec()),
        "[a-zA-Z0-9]([-_.a-z]{0,4}[a-z0-9])?",
    ]
}

fn quantity(texts: &'static [&'static str]) -> impl Strategy<Value = Quantity> {
    proptest::sample::select(texts).prop_map(|text| text.parse().unwrap())
}

fn handler() -> impl Strategy<Value = Handler> {
    let port = || {
        prop_oneof![
            (1..u16::MAX).prop_map(Port::Number),
            Just(Port::Name("http".to_owned()))
        ]
    };
    let get = (
        option::of("[a-z]{1,5}"),
        port(),
        option::of("/[a-z?=]{0,5}"),
    )
        .prop_map(|(host, port, path)| HttpGet {
            host,
            port,
            path,
            scheme: Some(Scheme::Http),
            http_headers: Vec::new(),
        });
    prop_oneof![
        vec(text(), 0..3).prop_map(|words| Handler::Exec(Exec {
            command: [vec!["a".to_owned()], words].concat(),
        })),
        get.prop_map(Handler::HttpGet),
        port().prop_map(|port| Handler::TcpSocket(TcpSocket { host: None, port })),
    ]
}

fn probe() -> impl Strategy<Value = Probe> {
    let numbers = (any::<u32>(), 1..u32::MAX, 1..u32::MAX, 1..u32::MAX);
    (handler(), numbers, option::of(1..u32::MAX)).prop_map(
        |(handler, (delay, period, timeout, failures), grace)| Probe {
            handler,
            initial_delay_seconds: delay,
            period_seconds: period,
            timeout_seconds: timeout,
            success_threshold: 1,
            failure_threshold: failures,
            termination_grace_period_seconds: grace,
        },
    )
}

fn id() -> impl Strategy<Value = u32> {
    0..=i32::MAX.unsigned_abs()
}

fn security() -> impl Strategy<Value = Security> {
    let capabilities = vec(
        proptest::sample::select(vec!["ALL", "KILL", "SYS_ADMIN"]),
        0..3,
    );
    let flags = (
        option::of(any::<bool>()),
        option::of(any::<bool>()),
        option::of(id()),
    );
    (flags, option::of(capabilities)).prop_map(|((privileged, read_only, user), names)| Security {
        privileged,
        read_only_root_filesystem: read_only,
        run_as_user: user,
        capabilities: names.map(|names| Capabilities {
            add: names.iter().map(ToString::to_string).collect(),
            drop: vec!["ALL".to_owned()],
        }),
        ..Security::default()
    })
}

fn resources() -> impl Strategy<Value = Resources> {
    let memory = quantity(&["64Mi", "0.5Gi", "1e9", "100M"]);
    let cpu = quantity(&["1", "0.5", "250m"]);
    (option::of(memory), option::of(cpu)).prop_map(|(memory, cpu)| {
        let pairs = [("memory", memory), ("cpu", cpu)];
        let limits: BTreeMap<String, Quantity> = pairs
            .into_iter()
            .filter_map(|(name, amount)| Some((name.to_owned(), amount?)))
            .collect();
        Resources {
            requests: limits.clone(),
            limits,
        }
    })
}

fn container() -> impl Strategy<Value = Container> {
    let program = (
        option::of("[a-z]{1,5}"),
        vec(text(), 0..4),
        option::of("/[a-z]{0,5}"),
    );
    let variables = vec(("[ -<>-~]{1,5}", text()), 0..3);
    (
        program,
        variables,
        resources(),
        option::of(probe()),
        option::of(handler()),
        option::of(security()),
    )
        .prop_map(
            |(
                (image, args, working_dir),
                variables,
                resources,
                liveness_probe,
                post_start,
                security_context,
            )| Container {
                image,
                command: vec!["a".to_owned()],
                args,
                working_dir,
                env: variables
                    .into_iter()
                    .map(|(name, value)| EnvVar { name, value })
                    .collect(),
                ports: vec![ContainerPort {
                    name: Some("http".to_owned()),
                    container_port: 80,
                    protocol: Protocol::Sctp,
                }],
                resources,
                volume_mounts: vec![VolumeMount {
                    name: "page".to_owned(),
                    mount_path: "/page".to_owned(),
                    read_only: true,
                    sub_path: None,
                }],
                liveness_probe,
                lifecycle: Some(Lifecycle {
                    post_start: post_start.filter(|hook| !matches!(hook, Handler::TcpSocket(_))),
                    pre_stop: Some(Handler::Sleep(Sleep { seconds: 1 })),
                }),
                security_context,
                ..Container::default()
            },
        )
}

fn workload() -> impl Strategy<Value = Workload> {
    let about = (btree_map(KEY, value(), 0..3), btree_map(KEY, text(), 0..3));
    let policy = prop_oneof![
        Just(RestartPolicy::Always),
        Just(RestartPolicy::OnFailure),
        Just(RestartPolicy::Never)
    ];
    let flags = (any::<bool>(), any::<bool>(), option::of(id()));
    let data = btree_map("[a-zA-Z_-]{1,8}", text(), 0..3);
    (about, policy, flags, vec(container(), 1..3), data).prop_map(
        |(
            (labels, annotations),
            restart_policy,
            (host_network, share, user),
            mut containers,
            data,
        )| {
            for (number, container) in containers.iter_mut().enumerate() {
                container.name = format!("c{number}");
            }
            let page = ConfigMapItems {
                name: "page".to_owned(),
                default_mode: Some(0o640),
            };
            let pod = Pod {
                metadata: Metadata {
                    name: "web".to_owned(),
                    namespace: None,
                    labels,
                    annotations,
                },
                spec: PodSpec {
                    volumes: vec![Volume {
                        name: "page".to_owned(),
                        source: VolumeSource::ConfigMap(page),
                    }],
                    containers,
                    restart_policy,
                    host_network,
                    share_process_namespace: share,
                    termination_grace_period_seconds: Some(30),
                    security_context: Some(PodSecurity {
                        run_as_user: user,
                        ..PodSecurity::default()
                    }),
                    ..PodSpec::default()
                },
                ..Pod::default()
            };
            Workload {
                pod,
                config_maps: BTreeMap::from([("page".to_owned(), data)]),
            }
        },
    )
}

/// The ConfigMap of a workload, as a document.
fn page(workload: &Workload) -> serde_json::Value {
    serde_json::json!({
        "apiVersion": "v1", "kind": "ConfigMap", "metadata": { "name": "page" },
        "data": workload.config_maps["page"],
    })
}

fn source(text: String) -> Source {
    Source {
        name: "web.yaml".to_owned(),
        text,
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(100))]

    #[test]
    fn what_is_written_is_read_as_the_same(workload in workload()) {
        let page = page(&workload);
        let yaml = [
            serde_saphyr::to_string(&page).unwrap(),
            serde_saphyr::to_string(&workload.pod).unwrap(),
        ].join("---\n");
        let read_again = read(&[source(yaml.clone())]);
        prop_assert_eq!(read_again.as_deref(), Ok(&[workload.clone()][..]), "{}", yaml);
        let json = serde_json::json!({ "apiVersion": "v1", "kind": "List", "items": [&workload.pod, page] });
        let json = serde_json::to_string_pretty(&json).unwrap();
        let read_again = read(&[source(json.clone())]);
        prop_assert_eq!(read_again.as_deref(), Ok(&[workload][..]), "{}", json);
    }

    #[test]
    fn no_text_is_too_odd(text in "[-a-z:{}\\[\\]&*!|>'\"%@,?# \n\t\\PC]{0,80}") {
        let _ = read(&[source(text)]);
    }

    #[test]
    fn nor_is_a_manifest_that_was_torn(from in any::<prop::sample::Index>(), length in 0..40_usize, put in "[-a-z:{}\\[\\] \n]{0,6}") {
        let manifest: Vec<char> = include_str!("read/wrong.yaml").chars().collect();
        let from = from.index(manifest.len());
        let to = (from + length).min(manifest.len());
        let torn = manifest[..from].iter().chain(put.chars().collect::<Vec<_>>().iter()).chain(&manifest[to..]).collect();
        if let Err(refused) = read(&[source(torn)]) {
            prop_assert!(refused.0.iter().all(|problem| problem.line >= 1 && problem.column >= 1));
        }
    }
}
