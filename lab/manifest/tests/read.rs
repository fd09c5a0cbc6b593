//! Reading manifests: what is carried out, and what is refused with its place.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use manifest::{Complaint, Path, Source, VolumeSource, Workload, read, read_checked};

fn source(text: &str) -> Source {
    Source {
        name: "web.yaml".to_owned(),
        text: text.to_owned(),
    }
}

fn refused(text: &str) -> String {
    match read(&[source(text)]) {
        Ok(read) => panic!("this was read:\n{text}\n{read:?}"),
        Err(refused) => refused.to_string(),
    }
}

fn one(text: &str) -> Workload {
    match &read(&[source(text)]).unwrap_or_else(|refused| panic!("{text}\n{refused}"))[..] {
        [workload] => workload.clone(),
        several => panic!("{several:?}"),
    }
}

/// A pod of one container, whose spec has a further line of JSON-like YAML, and so has its container.
fn pod_with(of_spec: &str, of_container: &str) -> String {
    format!(
        "apiVersion: v1\nkind: Pod\nmetadata:\n  name: web\nspec:\n  volumes:\n  - {{name: data, emptyDir: {{}}}}\n  \
         containers:\n  - name: main\n    command: [sleep]\n    ports: [{{name: http, containerPort: 80}}]\n    \
         {of_container}\n  {of_spec}\n"
    )
}

const WEB: &str = r#"
# A comment.
apiVersion: v1
kind: Pod
metadata:
  name: web
  labels: {app: web, example.org/role: "1"}
  annotations:
    note: |
      two
      lines
spec:
  restartPolicy: OnFailure
  terminationGracePeriodSeconds: null
  hostAliases:
  volumes:
  - name: page
    configMap: {name: page, defaultMode: 0444}
  - {name: memory, emptyDir: {medium: Memory, sizeLimit: 16Mi}}
  initContainers:
  - &helper
    name: helper
    command: [sh, -c, 'echo "$(WHO)"']
    env: [{name: WHO, value: "yes"}, {name: EMPTY}]
  - <<: *helper
    name: sidecar
    restartPolicy: Always
  containers:
  - name: httpd
    command: [busybox, httpd, -f]
    ports: [{name: http, containerPort: 80, protocol: TCP}]
    resources: {limits: {cpu: 0.5, memory: 64Mi}, requests: {cpu: 100m}}
    volumeMounts: [{name: page, mountPath: /www, readOnly: true}]
    readinessProbe: {httpGet: {path: /, port: http}, periodSeconds: 2}
    lifecycle: {preStop: {sleep: {seconds: 5}}}
    securityContext: {capabilities: {add: [NET_ADMIN], drop: [ALL]}, runAsUser: 0}
---
---
kind: ConfigMap
apiVersion: v1
metadata: {name: page}
data:
  index.html: "<p>\u00e4</p>\n"
  unused: ''
---
kind: ConfigMap
apiVersion: v1
metadata: {name: other}
"#;

#[test]
fn a_pod_is_read_with_the_config_maps_that_it_names() {
    let workload = one(WEB);
    assert_eq!(workload.pod.metadata.labels["example.org/role"], "1");
    assert_eq!(workload.pod.metadata.annotations["note"], "two\nlines\n");
    let spec = &workload.pod.spec;
    assert_eq!(spec.termination_grace_period_seconds, None);
    // Octal, as Kubernetes' YAML has it.
    assert!(
        matches!(&spec.volumes[0].source, VolumeSource::ConfigMap(map) if map.default_mode == Some(0o444))
    );
    let [helper, sidecar] = &spec.init_containers[..] else {
        panic!("{spec:?}");
    };
    assert_eq!(
        (&helper.command, helper.is_sidecar()),
        (&sidecar.command, false)
    );
    assert!(sidecar.is_sidecar());
    assert_eq!(helper.env[0].value, "yes");
    let maps: Vec<&String> = workload.config_maps.keys().collect();
    assert_eq!(maps, ["page"]);
    assert_eq!(workload.config_maps["page"]["index.html"], "<p>ä</p>\n");
}

#[test]
fn lists_json_and_several_files_are_one_set() {
    let page = r#"{ "apiVersion": "v1", "kind": "List", "items": [
	{ "apiVersion": "v1", "kind": "ConfigMap", "metadata": { "name": "page" }, "data": { "a\/b": "" } } ] }"#;
    let page = page.replace("a\\/b", "a");
    let pods = |name: &str| {
        pod_with("", "")
            .replace(
                "{name: data, emptyDir: {}}",
                "{name: data, configMap: {name: page}}",
            )
            .replace("web", name)
    };
    let sources = [source(&pods("web")), source(&page), source(&pods("client"))];
    let workloads = read(&sources).unwrap();
    let names: Vec<&str> = workloads
        .iter()
        .map(|each| each.pod.metadata.name.as_str())
        .collect();
    assert_eq!(names, ["web", "client"]);
    assert!(
        workloads
            .iter()
            .all(|each| each.config_maps["page"].contains_key("a"))
    );

    let twice = read(&[source(&page), source(&pods("web")), source(&pods("web"))]);
    let said = twice.unwrap_err().to_string();
    assert_eq!(
        said,
        "web.yaml:4:3: metadata.name: \"web\" is there already"
    );
    assert_eq!(read(&[source("# nothing\n---\n")]).unwrap(), []);
}

#[test]
fn all_that_is_wrong_is_told_at_once_with_its_place() {
    assert_eq!(
        refused(include_str!("read/wrong.yaml")),
        include_str!("read/wrong.txt").trim_end()
    );
}

/// Fields that do not exist, values that do not fit, rules, and what the caller knows, in two files.
#[test]
fn one_round_has_faults_of_every_sort() {
    let first = r#"
kind: Pod
apiVersion: v1
metadata: {name: web, labels: {app: -x}}
spec:
  nodeName: n9
  hostname: A
  volumes: [{name: data, secret: {}}, {name: page, configMap: {name: page}}]
  containers:
  - {name: a, image: [x]}
  - name: B
    tty: true
    command: [5, "a\0"]
    ports: [{name: http, containerPort: many}]
    livenessProbe: {tcpSocket: {port: http}, periodSeconds: 0}
    volumeMounts: [{name: data, mountPath: /a}, {name: page, mountPath: b}]
    resources: {limits: {memory: 1Mi, cpu: -1}}
---
{kind: ConfigMap, apiVersion: v1, metadata: {name: page}, data: 1}
"#;
    let second = pod_with("hostname: B", "tyt: 1").replace("web", "client");
    let said = read_checked(&[source(first), source(&second)], |pod| {
        let field = Path::default().field("spec").field("nodeName");
        let wrong = pod.spec.node_name.as_ref().map(|name| Complaint {
            field,
            message: format!("there is no node {name}"),
        });
        wrong.into_iter().collect()
    });
    let said = said.unwrap_err().to_string();
    let expected = [
        "web.yaml:4:32: metadata.labels.app: \"-x\" is not a value of a label",
        "web.yaml:6:3: spec.nodeName: there is no node n9",
        "web.yaml:7:3: spec.hostname: \"A\" is not a name",
        "web.yaml:8:26: spec.volumes[0].secret: the lab does not carry out",
        "web.yaml:10:15: spec.containers[0].image: a list instead of text",
        "web.yaml:11:5: spec.containers[1].name: \"B\" is not a name",
        "web.yaml:12:5: spec.containers[1].tty: the lab does not carry out",
        "web.yaml:13:15: spec.containers[1].command[0]: the number 5 instead of text",
        "web.yaml:13:18: spec.containers[1].command[1]: \"a\\0\" has a character 0",
        "web.yaml:14:26: spec.containers[1].ports[0].containerPort: the text \"many\"",
        "web.yaml:15:46: spec.containers[1].livenessProbe.periodSeconds: give 1 or more",
        "web.yaml:16:62: spec.containers[1].volumeMounts[1].mountPath: \"b\" is not an absolute path",
        "web.yaml:17:26: spec.containers[1].resources.limits.memory: 1Mi is too little",
        "web.yaml:17:39: spec.containers[1].resources.limits.cpu: \"-1\" is less than nothing: give 0 or more",
        "web.yaml:19:59: data: the number 1 instead of a map",
        "web.yaml:12:5: spec.containers[0].tyt: unknown field",
        "web.yaml:13:3: spec.hostname: \"B\" is not a name",
    ];
    let lines: Vec<&str> = said.lines().collect();
    for (line, expected) in lines.iter().zip(expected) {
        assert!(line.starts_with(expected), "{line}\n{expected}");
    }
    assert_eq!(lines.len(), expected.len(), "{said}");
}

#[test]
fn what_a_pod_is_called_follows_the_rules_of_kubernetes() {
    let with = |metadata: &str| {
        let metadata = format!("  name: web\n  {metadata}");
        pod_with("", "").replacen("  name: web", &metadata, 1)
    };
    for (metadata, words) in [
        (
            "labels: {\"a b\": x}",
            "metadata.labels[\"a b\"]: \"a b\" is not a key",
        ),
        (
            "labels: {app: a/b}",
            "metadata.labels.app: \"a/b\" is not a value of a label",
        ),
        (
            "annotations: {a/b/c: x}",
            "annotations[\"a/b/c\"]: \"a/b/c\" is not a key",
        ),
    ] {
        let said = refused(&with(metadata));
        assert!(said.contains(words), "{metadata}: {said}");
    }
    let annotation = |bytes: usize| format!("annotations: {{a: \"{}\"}}", "x".repeat(bytes));
    let said = refused(&with(&annotation(256 << 10)));
    assert!(said.ends_with("have 262145 bytes: give 262144 at most"));
    one(&with(&annotation((256 << 10) - 1)));
    let read = one(&with(
        "labels: {example.org/Role: ''}\n  annotations: {Example.org/a: any of it}",
    ));
    assert_eq!(read.pod.metadata.labels["example.org/Role"], "");
}

#[test]
fn tags_that_yaml_has_not_are_refused() {
    for (line, words) in [
        ("image: !mine a", "tag"),
        ("args: !mine [a]", "tag"),
        ("env: [!<tag:example.org,2026:x> {name: A}]", "tag"),
    ] {
        let said = refused(&pod_with("", line));
        let place = said.starts_with("web.yaml:12:");
        assert!(place && said.contains(words), "{line}: {said}");
    }
    one(&pod_with("", "image: !!str 5"));
}

#[test]
fn what_is_no_yaml_is_refused_with_its_place() {
    for (text, words) in [
        (
            "a: [",
            "web.yaml:1:4: this cannot be read as YAML: unclosed bracket",
        ),
        (
            "a: *b",
            "web.yaml:1:4: this cannot be read as YAML: alias references unknown anchor",
        ),
        (
            "a:\n\t- b",
            "web.yaml:2:2: this cannot be read as YAML: tabs disallowed",
        ),
        ("? [a]\n: b", "web.yaml:1:3: this cannot be read as YAML"),
    ] {
        let said = refused(text);
        assert!(said.starts_with(words), "{text:?}: {said}");
    }
    // Deeper, and more, than a machine should follow.
    assert!(refused(&"[".repeat(100_000)).contains("limit exceeded"));
    let deep: String = (0..60)
        .map(|level| format!("{}a:\n", " ".repeat(level)))
        .collect();
    assert!(refused(&deep).contains("Depth { depth: 33 }"));
    assert!(!refused("kind: \"\\e[2J\"").contains('\u{1b}'));
    let mut bomb = "a: &a0 [x, x, x, x, x, x, x, x, x, x]\n".to_owned();
    for level in 1..9 {
        let below = format!("*a{}, ", level - 1).repeat(10);
        bomb.push_str(&format!("b{level}: &a{level} [{below}]\n"));
    }
    assert!(refused(&bomb).contains("this cannot be read as YAML"));
}

/// Line of the manifest, what it says, what is said of it.
type Rule = (&'static str, &'static str);

#[test]
fn a_pod_that_cannot_be_carried_out_is_refused() {
    let rules: &[Rule] = &[
        ("hostname: a.b", "spec.hostname: \"a.b\" is not a name"),
        ("nodeName: N1", "spec.nodeName: \"N1\" is not a name"),
        (
            "{shareProcessNamespace: true, hostPID: true}",
            "spec.shareProcessNamespace: a pod with hostPID",
        ),
        (
            "hostAliases: [{ip: 10.0.0.1, hostnames: []}]",
            "hostAliases[0].hostnames: at least one",
        ),
        (
            "hostAliases: [{ip: 10.0.0, hostnames: [a]}]",
            "hostAliases[0].ip: invalid IP address",
        ),
        (
            "initContainers: [{name: main, command: [a]}]",
            "spec.containers[0].name: \"main\" is there already",
        ),
        (
            "initContainers: [{name: a, command: [a], livenessProbe: {exec: {command: [a]}}}]",
            "initContainers[0].livenessProbe: an init container has none",
        ),
        (
            "initContainers: [{name: a, command: [a], restartPolicy: OnFailure}]",
            "restartPolicy: the text \"OnFailure\" instead of Always",
        ),
        (
            "securityContext: {runAsUser: 4294967295}",
            "spec.securityContext.runAsUser: give a number from 0 to 2147483647",
        ),
        (
            "securityContext: {supplementalGroups: [1, 2147483648]}",
            "spec.securityContext.supplementalGroups[1]: give a number from 0 to",
        ),
        (
            "securityContext: {sysctls: [{name: kernel.panic, value: '1'}]}",
            "sysctls[0].name: kernel.panic is no setting of a pod's own",
        ),
        (
            "securityContext: {sysctls: [{name: 'net..x', value: '1'}]}",
            "is not a name of a setting",
        ),
        (
            "securityContext: {sysctls: [{name: net.a, value: '1'}, {name: net.a, value: '2'}]}",
            "sysctls[1].name: \"net.a\" is there already",
        ),
        (
            "{hostNetwork: true, securityContext: {sysctls: [{name: net.a, value: '1'}]}}",
            "net.a is the node's",
        ),
        (
            "{hostIPC: true, securityContext: {sysctls: [{name: kernel.shmmax, value: '1'}]}}",
            "kernel.shmmax is the node's",
        ),
        (
            "{hostNetwork: true, hostUsers: false}",
            "spec.hostNetwork: users of the pod's own",
        ),
        (
            "{hostPID: true, hostUsers: false}",
            "spec.hostPID: users of the pod's own",
        ),
        (
            "{hostIPC: true, hostUsers: false}",
            "spec.hostIPC: users of the pod's own",
        ),
    ];
    for (line, words) in rules {
        // Several fields are written as a map.
        let lines = line
            .trim_start_matches('{')
            .replacen("true, ", "true\n  ", 1);
        let lines = if line.starts_with('{') {
            &lines[..lines.len() - 1]
        } else {
            line
        };
        let said = refused(&pod_with(lines, ""));
        assert!(
            said.contains(words) && said.lines().count() == 1,
            "{line}: {said}"
        );
    }
}

#[test]
fn a_container_that_cannot_be_carried_out_is_refused() {
    let rules: &[Rule] = &[
        (
            "restartPolicy: Always",
            "restartPolicy: only init containers",
        ),
        ("image: ''", "image: this is empty"),
        (
            "imagePullPolicy: Always",
            "imagePullPolicy: the text \"Always\" instead of one of IfNotPresent, Never",
        ),
        ("args: [\"a\\0\"]", "args[0]: \"a\\0\" has a character 0"),
        (
            "workingDir: srv",
            "workingDir: \"srv\" is not an absolute path",
        ),
        (
            "env: [{name: A=B, value: x}]",
            "env[0].name: \"A=B\" is not a name of a variable",
        ),
        (
            "volumeMounts: [{name: date, mountPath: /a}]",
            "volumeMounts[0].name: the pod has no volume \"date\"",
        ),
        (
            "volumeMounts: [{name: data, mountPath: a}]",
            "mountPath: \"a\" is not an absolute path",
        ),
        (
            "volumeMounts: [{name: data, mountPath: /}]",
            "mountPath: the root itself",
        ),
        (
            "volumeMounts: [{name: data, mountPath: /a}, {name: data, mountPath: /a/}]",
            "volumeMounts[1].mountPath: \"/a\" is there already",
        ),
        (
            "volumeMounts: [{name: data, mountPath: /a, subPath: a/../..}]",
            "subPath: \"a/../..\" leads up",
        ),
        (
            "livenessProbe: {periodSeconds: 1}",
            "livenessProbe: exactly one of exec, httpGet and tcpSocket",
        ),
        (
            "livenessProbe: {exec: {command: []}}",
            "livenessProbe.exec.command: this is empty",
        ),
        (
            "livenessProbe: {sleep: {seconds: 1}}",
            "livenessProbe.sleep: unknown field",
        ),
        (
            "livenessProbe: {tcpSocket: {port: https}}",
            "tcpSocket.port: \"https\" is no port of container \"main\": it has http",
        ),
        (
            "livenessProbe: {tcpSocket: {port: 0}}",
            "tcpSocket.port: give a number",
        ),
        (
            "livenessProbe: {tcpSocket: {port: http}, periodSeconds: 0}",
            "livenessProbe.periodSeconds: give 1 or more",
        ),
        (
            "livenessProbe: {tcpSocket: {port: http}, successThreshold: 2}",
            "successThreshold: only a readinessProbe",
        ),
        (
            "readinessProbe: {tcpSocket: {port: http}, terminationGracePeriodSeconds: 2}",
            "a readinessProbe ends no container",
        ),
        (
            "startupProbe: {httpGet: {port: http, path: a}}",
            "startupProbe.httpGet.path: give a path",
        ),
        (
            "startupProbe: {httpGet: {port: http, scheme: HTTPS}}",
            "scheme: the text \"HTTPS\" instead of HTTP",
        ),
        (
            "startupProbe: {httpGet: {port: http, httpHeaders: [{name: 'A:', value: \"b\\nc\"}]}}",
            "httpHeaders[0].name: \"A:\" is not a name of a header",
        ),
        (
            "lifecycle: {preStop: {sleep: {seconds: 31}}}",
            "preStop.sleep.seconds: give 1 to 30",
        ),
        (
            "lifecycle: {postStart: {tcpSocket: {port: 80}}}",
            "postStart.tcpSocket: a hook is exec, httpGet or sleep",
        ),
        ("lifecycle: {postStart: {}}", "postStart: exactly one of"),
        (
            "resources: {limits: {cpu: 1}, requests: {cpu: 1500m}}",
            "resources.requests.cpu: 1500m is more than the limit, 1",
        ),
        (
            "resources: {limits: {memory: 1Mi}}",
            "limits.memory: 1Mi is too little",
        ),
        (
            "resources: {limits: {cpu: 1m}}",
            "limits.cpu: 1m is less than",
        ),
        (
            "resources: {limits: {hugepages-2Mi: 4Mi}}",
            "limits.hugepages-2Mi: the lab reserves no huge pages",
        ),
        (
            "resources: {requests: {ephemeral-storage: 1Gi}}",
            "requests.ephemeral-storage: the lab cannot limit",
        ),
        (
            "resources: {limits: {example.org/gpu: 1}}",
            "limits[\"example.org/gpu\"]: a node of the lab has no such",
        ),
        (
            "resources: {requests: {memory: 16E}}",
            "requests.memory: 16E is more than any machine has: give 1Pi or less",
        ),
        (
            "resources: {limits: {cpu: 5000000}}",
            "limits.cpu: 5000000 is more than any machine has: give 10000 or less",
        ),
        (
            "securityContext: {runAsGroup: 4294967295}",
            "securityContext.runAsGroup: give a number from 0 to 2147483647",
        ),
        (
            "securityContext: {privileged: true, allowPrivilegeEscalation: false}",
            "a privileged container can always",
        ),
        (
            "securityContext: {capabilities: {add: [CAP_KILL]}}",
            "capabilities.add[0]: \"CAP_KILL\" is no capability",
        ),
        (
            "securityContext: {seccompProfile: {type: Localhost, localhostProfile: a}}",
            "localhostProfile: the lab does not carry out",
        ),
    ];
    for (line, words) in rules {
        let said = refused(&pod_with("", line));
        assert!(said.contains(words), "{line}: {said}");
        assert!(said.contains("spec.containers[0]."), "{line}: {said}");
    }
}

#[test]
fn a_volume_that_cannot_be_carried_out_is_refused() {
    let rules: &[Rule] = &[
        (
            "{name: data}",
            "spec.volumes[0]: exactly one of emptyDir, hostPath and configMap",
        ),
        (
            "{name: Data, emptyDir: {}}",
            "volumes[0].name: \"Data\" is not a name",
        ),
        (
            "{name: data, emptyDir: {}}, {name: data, emptyDir: {}}",
            "volumes[1].name: \"data\" is there already",
        ),
        (
            "{name: data, emptyDir: {sizeLimit: 1Gi}}",
            "emptyDir.sizeLimit: the lab cannot keep this on disk",
        ),
        (
            "{name: data, hostPath: {path: a}}",
            "hostPath.path: \"a\" is not an absolute path",
        ),
        (
            "{name: data, configMap: {name: page}}",
            "configMap.name: there is no ConfigMap \"page\" in these files",
        ),
        (
            "{name: data, secret: {secretName: a}}",
            "volumes[0].secret: the lab does not carry out",
        ),
    ];
    for (volumes, words) in rules {
        let manifest =
            pod_with("", "").replace("\n  - {name: data, emptyDir: {}}", &format!(" [{volumes}]"));
        let said = refused(&manifest);
        assert!(said.contains(words), "{volumes}: {said}");
    }
    let map = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: page}\ndata: {a/b: ''}\n";
    assert!(refused(map).contains("data[\"a/b\"]: \"a/b\" is not a name of a file"));
}

#[test]
fn a_config_map_has_dots_in_its_name() {
    let map = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: web.conf}\ndata: {a: b}\n";
    let pod = pod_with("", "volumeMounts: [{name: page, mountPath: /page}]").replace(
        "{name: data, emptyDir: {}}",
        "{name: page, configMap: {name: web.conf}}",
    );
    assert_eq!(
        one(&format!("{map}---\n{pod}")).config_maps["web.conf"]["a"],
        "b"
    );
}

#[test]
fn users_of_a_pods_own_are_as_many_as_the_pod_gets() {
    let own = "hostUsers: false\n  securityContext: {runAsUser: 65535, fsGroup: 65536}";
    let said = refused(&pod_with(own, "securityContext: {runAsGroup: 65536}"));
    let lines: Vec<&str> = said.lines().collect();
    let message = "give a number from 0 to 65535 in a pod with `hostUsers: false`";
    assert!(
        matches!(&lines[..], [one, two] if one.contains("containers[0].securityContext.runAsGroup") && one.ends_with(message)
            && two.contains("spec.securityContext.fsGroup") && two.ends_with(message)),
        "{said}"
    );
    let of_the_machine = own.replace("false", "true");
    one(&pod_with(
        &of_the_machine,
        "securityContext: {runAsGroup: 65536}",
    ));
}

#[test]
fn annotations_of_the_labs_own_are_refused_where_they_say_nothing() {
    let annotated = |line: &str| {
        let pod = pod_with("", "");
        pod.replace(
            "name: web\nspec",
            &format!("name: web\n  annotations: {line}\nspec"),
        )
    };
    for (line, words) in [
        (
            "{lab.podwire/boottime-offset: \"1h\"}",
            "\"1h\" is no number of seconds",
        ),
        (
            "{lab.podwire/cpuset: \"all\"}",
            "\"all\" is no list of processors: give one as \"0-1,3\"",
        ),
        (
            "{lab.podwire/uptime: \"1\"}",
            "the lab has no such annotation; it has: lab.podwire/boottime-offset",
        ),
    ] {
        let said = refused(&annotated(line));
        assert!(
            said.contains(words) && said.contains("metadata.annotations"),
            "{said}"
        );
    }
    let pod = one(&annotated(
        "{lab.podwire/boottime-offset: \"60\", other/note: x}",
    ))
    .pod;
    let all = manifest::Annotations::of(&pod.metadata.annotations).unwrap();
    assert_eq!(all.clocks.unwrap().boottime, 60);
}
