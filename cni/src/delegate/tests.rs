//! The same plugin in-process and executed.

use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};

use super::*;
use crate::{Detachment, Interface, IpConfig, Route, SpecVersion, ValidAttachment};

/// An IPAM plugin with one address, or none.
#[derive(Default)]
struct Ipam {
    empty: bool,
    deleted: AtomicUsize,
}

impl Plugin for Ipam {
    fn name(&self) -> &'static str {
        "test-ipam"
    }

    fn role(&self) -> Role {
        Role::Ipam
    }

    fn versions(&self) -> &'static [SpecVersion] {
        SpecVersion::ALL.split_last().unwrap().1
    }

    fn schema(&self) -> crate::PluginSchema {
        crate::PluginSchema::of::<()>("a stub", "{}")
    }

    fn add(&self, _call: &Call<'_>, _attachment: &Attachment) -> Result<AddResult, Error> {
        if self.empty {
            return Ok(AddResult::default());
        }
        let address = "10.0.0.2/8".parse().unwrap();
        Ok(AddResult {
            interfaces: vec![Interface {
                mtu: Some(1500),
                ..Interface::default()
            }],
            ips: vec![IpConfig {
                address,
                gateway: None,
                interface: None,
            }],
            routes: vec![Route {
                mtu: Some(1400),
                ..Route::new("10.0.0.0/8".parse().unwrap(), None)
            }],
            ..AddResult::default()
        })
    }

    fn del(&self, _call: &Call<'_>, _attachment: &Detachment) -> Result<(), Error> {
        self.deleted.fetch_add(1, Ordering::Relaxed);
        Ok(())
    }

    fn check(&self, _: &Call<'_>, _: &Attachment) -> Result<(), Error> {
        Ok(())
    }

    fn status(&self, _: &Call<'_>) -> Result<(), Error> {
        Ok(())
    }

    fn gc(&self, _: &Call<'_>, valid: Option<&[ValidAttachment]>) -> Result<(), Error> {
        Err(Error::new(123, format!("{:?}", valid.map(<[_]>::len))))
    }
}

fn attachment() -> Attachment {
    Attachment {
        container_id: "ctr1".parse().unwrap(),
        ifname: "eth0".parse().unwrap(),
        netns: "/run/netns/pod".into(),
    }
}

fn env_of(path: &Path) -> Env {
    [
        ("CNI_COMMAND", "ADD"),
        ("CNI_PATH", path.to_str().unwrap()),
        ("PATH", "/usr/bin:/bin"),
    ]
    .map(|(key, value)| (key.to_owned(), value.to_owned()))
    .into()
}

fn call<'a>(
    env: &'a Env,
    registry: &'a [&'a dyn Plugin],
    version: SpecVersion,
    stdin: &'a [u8],
) -> Call<'a> {
    Call {
        network: "net".parse().unwrap(),
        version,
        stdin,
        env,
        registry,
    }
}

/// A directory that holds a shell script as `test-ipam`.
fn foreign(body: &str) -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("test-ipam");
    std::fs::write(&path, format!("#!/bin/sh\n{body}\n")).unwrap();
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).unwrap();
    dir
}

#[test]
fn our_own_build_runs_in_process_and_a_foreign_file_is_executed() {
    let ipam = Ipam::default();
    let registry: [&dyn Plugin; 1] = [&ipam];
    let own = tempfile::tempdir().unwrap();
    std::fs::copy(
        std::env::current_exe().unwrap(),
        own.path().join("test-ipam"),
    )
    .unwrap();
    std::fs::copy(
        std::env::current_exe().unwrap(),
        own.path().join("unregistered"),
    )
    .unwrap();
    let other = foreign("exit 1");
    let resolve = |name: &str, dirs: &[&Path]| {
        let path: Vec<PathBuf> = dirs.iter().map(|dir| dir.to_path_buf()).collect();
        resolve(name, Role::Ipam, &path, &registry).unwrap()
    };
    assert!(matches!(
        resolve("test-ipam", &[own.path()]),
        Delegate::InProcess(_)
    ));
    assert!(matches!(
        resolve("test-ipam", &[own.path(), other.path()]),
        Delegate::InProcess(_)
    ));
    assert!(matches!(
        resolve("test-ipam", &[other.path(), own.path()]),
        Delegate::Executable(_)
    ));
    assert!(matches!(
        resolve("unregistered", &[own.path()]),
        Delegate::Executable(_)
    ));
}

#[test]
fn in_process_results_are_those_that_a_caller_would_read() {
    let (ipam, env) = (Ipam::default(), env_of(Path::new("/")));
    let registry: [&dyn Plugin; 1] = [&ipam];
    let add = |version| {
        let call = call(&env, &registry, version, b"{}");
        Delegate::InProcess(&ipam)
            .add(&call, &attachment())
            .unwrap()
    };
    let current = add(SpecVersion::V1_0_0);
    assert_eq!(
        (current.interfaces[0].mtu, current.routes[0].mtu),
        (Some(1500), Some(1400))
    );
    let listed = add(SpecVersion::V0_4_0);
    assert_eq!(
        (listed.interfaces[0].mtu, listed.routes[0].mtu),
        (None, Some(1400))
    );
    let legacy = add(SpecVersion::V0_1_0);
    assert_eq!((legacy.interfaces.len(), legacy.routes[0].mtu), (0, None));
}

#[test]
fn in_process_adds_that_cannot_be_told_are_taken_back() {
    let (ipam, env) = (
        Ipam {
            empty: true,
            ..Ipam::default()
        },
        env_of(Path::new("/")),
    );
    let registry: [&dyn Plugin; 1] = [&ipam];
    let call = call(&env, &registry, SpecVersion::V0_2_0, b"{}");
    let error = Delegate::InProcess(&ipam)
        .add(&call, &attachment())
        .unwrap_err();
    assert_eq!(error.msg, "cannot convert: no valid IP addresses");
    assert_eq!(ipam.deleted.load(Ordering::Relaxed), 1);
}

#[test]
fn in_process_calls_pass_the_version_gates() {
    let (ipam, env) = (Ipam::default(), env_of(Path::new("/")));
    let registry: [&dyn Plugin; 1] = [&ipam];
    let delegate = Delegate::InProcess(&ipam);
    let newest = call(&env, &registry, SpecVersion::V1_1_0, b"{}");
    let error = delegate.add(&newest, &attachment()).unwrap_err();
    assert_eq!(
        (error.code, error.msg.as_str()),
        (1, "incompatible CNI versions")
    );
    let error = delegate.gc(&newest).unwrap_err();
    assert_eq!(error.msg, "plugin version does not allow GC");
    let old = call(&env, &registry, SpecVersion::V0_3_1, b"{}");
    let error = delegate.check(&old, &attachment()).unwrap_err();
    assert_eq!(error.msg, "config version does not allow CHECK");
    delegate.del(&old, &(&attachment()).into()).unwrap();
}

#[test]
fn executed_delegates_see_the_call_and_are_read_by_their_own_version() {
    let script = r#"[ "$CNI_COMMAND $CNI_CONTAINERID $CNI_IFNAME $CNI_NETNS $EXTRA" = "ADD ctr1 eth0 /run/netns/pod x" ] || exit 1
[ "$(cat)" = '{"name": "net"}' ] || exit 2
echo '{"cniVersion":"0.2.0","ip4":{"ip":"10.0.0.3/8"}}'"#;
    let dir = foreign(script);
    let mut env = env_of(dir.path());
    env.insert("CNI_COMMAND".into(), "DEL".into());
    env.insert("EXTRA".into(), "x".into());
    let call = call(&env, &[], SpecVersion::V1_0_0, br#"{"name": "net"}"#);
    let result = call
        .ipam_delegate("test-ipam")
        .unwrap()
        .add(&call, &attachment())
        .unwrap();
    assert_eq!(result.ips[0].address.to_string(), "10.0.0.3/8");
}

#[test]
fn executed_delegates_are_told_the_command() {
    let dir = foreign(r#"printf '{"code":111,"msg":"%s"}' "$CNI_COMMAND"; exit 1"#);
    let env = env_of(dir.path());
    let call = call(&env, &[], SpecVersion::V1_1_0, b"{}");
    let delegate = call.ipam_delegate("test-ipam").unwrap();
    for (outcome, command) in [
        (delegate.add(&call, &attachment()).map(|_| ()), "ADD"),
        (delegate.del(&call, &(&attachment()).into()), "DEL"),
        (delegate.check(&call, &attachment()), "CHECK"),
        (delegate.gc(&call), "GC"),
        (delegate.status(&call), "STATUS"),
    ] {
        let error = outcome.unwrap_err();
        assert_eq!((error.code, error.msg.as_str()), (111, command));
    }
}

#[test]
fn a_plugin_of_another_role_is_no_delegate() {
    let ipam = Ipam::default();
    let registry: [&dyn Plugin; 1] = [&ipam];
    let dir = foreign("exit 0");
    std::fs::copy(dir.path().join("test-ipam"), dir.path().join("ptp")).unwrap();
    let env = env_of(dir.path());
    let call = call(&env, &registry, SpecVersion::V1_1_0, b"{}");
    assert!(call.ipam_delegate("test-ipam").is_ok());
    assert!(call.interface_delegate("ptp").is_ok());
    for refused in [
        call.ipam_delegate("ptp"),
        call.interface_delegate("test-ipam"),
    ] {
        assert_eq!(refused.err().unwrap().code, crate::code::INVALID_CONFIG);
    }
}

#[test]
fn an_executed_delegate_gets_no_namespace_where_there_is_none() {
    let dir = foreign(r#"[ "$CNI_NETNS" = "" ] && [ -n "${CNI_NETNS+set}" ]"#);
    let mut env = env_of(dir.path());
    env.insert("CNI_NETNS".into(), "/proc/self/ns/net".into());
    let call = call(&env, &[], SpecVersion::V1_1_0, b"{}");
    let delegate = call.ipam_delegate("test-ipam").unwrap();
    let gone = Detachment {
        netns: None,
        ..Detachment::from(&attachment())
    };
    delegate.del(&call, &gone).unwrap();
}

#[test]
fn gc_is_not_passed_on_where_it_is_disabled() {
    let dir = foreign("exit 1");
    let (ipam, env) = (Ipam::default(), env_of(dir.path()));
    let call = call(&env, &[], SpecVersion::V1_0_0, br#"{"disableGC":true}"#);
    for delegate in [
        Delegate::InProcess(&ipam),
        call.ipam_delegate("test-ipam").unwrap(),
    ] {
        delegate.gc(&call).unwrap();
    }
}

#[test]
fn output_that_is_no_result_names_the_plugin() {
    let env_dir = foreign("echo '{\"ips\":5}'");
    let env = env_of(env_dir.path());
    let call = call(&env, &[], SpecVersion::V1_0_0, b"{}");
    let error = call
        .ipam_delegate("test-ipam")
        .unwrap()
        .add(&call, &attachment())
        .unwrap_err();
    let file = env_dir.path().join("test-ipam");
    let text = format!(
        "plugin {} printed no valid result: json: cannot unmarshal number 5 into key \"ips\" of type array",
        file.display()
    );
    assert_eq!((error.code, error.msg), (999, text));
}
