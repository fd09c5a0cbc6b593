//! Chained plugins: they work on what the plugins before them in the list made.

use cni::{AddResult, Call};

use crate::check::Mismatch;

/// The result of the plugins before this one, which must be there.
///
/// # Errors
/// There is none; it cannot be read.
pub fn previous(call: &Call<'_>) -> Result<AddResult, cni::Error> {
    let previous = call.prev_result()?;
    previous.ok_or_else(|| cni::Error::internal(Mismatch::NoPrevResult))
}

/// ADD of a chained plugin: does its work on the previous result and passes that on unchanged.
///
/// # Errors
/// As [`previous`]; those of the work.
pub fn pass_on(
    call: &Call<'_>,
    work: impl FnOnce(&AddResult) -> Result<(), cni::Error>,
) -> Result<AddResult, cni::Error> {
    let previous = previous(call)?;
    work(&previous)?;
    Ok(previous)
}

#[cfg(test)]
mod tests {
    use cni::{SpecVersion, invocation::Env};

    use super::*;

    fn with_call<T>(stdin: &str, f: impl FnOnce(&Call<'_>) -> T) -> T {
        let env = Env::new();
        f(&Call {
            network: "net".parse().unwrap(),
            version: SpecVersion::V1_0_0,
            stdin: stdin.as_bytes(),
            env: &env,
            registry: &[],
        })
    }

    #[test]
    fn a_previous_result_is_demanded_before_the_work() {
        for stdin in ["{}", r#"{"prevResult": null}"#] {
            let error = with_call(stdin, |call| pass_on(call, |_| panic!("no work"))).unwrap_err();
            assert_eq!(
                (error.code, error.msg.as_str()),
                (999, "Required prevResult missing")
            );
        }
        let unreadable = r#"{"prevResult": {"ips": [{"address": "bad"}]}}"#;
        let error = with_call(unreadable, |call| pass_on(call, |_| Ok(()))).unwrap_err();
        assert!(
            error.msg.contains("invalid CIDR address: bad"),
            "{}",
            error.msg
        );
    }

    #[test]
    fn the_previous_result_is_passed_on_unchanged_unless_the_work_fails() {
        let stdin = r#"{"prevResult": {"interfaces": [{"name": "eth0", "sandbox": "/x"}],
            "ips": [{"address": "10.0.0.2/8", "gateway": "10.0.0.1", "interface": 0}],
            "routes": [{"dst": "0.0.0.0/0"}], "dns": {"nameservers": ["10.0.0.1"]}}}"#;
        let given = with_call(stdin, |call| call.prev_result().unwrap().unwrap());
        let mut seen = None;
        let passed = with_call(stdin, |call| {
            pass_on(call, |previous| {
                seen = Some(previous.clone());
                Ok(())
            })
        });
        assert_eq!((seen, passed.unwrap()), (Some(given.clone()), given));
        let failing = |_: &AddResult| Err(cni::Error::msg("no"));
        assert_eq!(
            with_call(stdin, |call| pass_on(call, failing))
                .unwrap_err()
                .msg,
            "no"
        );
    }
}
