//! From a plugin's name to its file.

use std::path::PathBuf;

use crate::Error;

/// The first directory's regular file of that name; symbolic links are followed, the execute bit
/// is not looked at. Empty entries of the path are passed over.
///
/// # Errors
/// Code 999: no name, a name with `/`, no directories, no such file.
pub(crate) fn find(plugin_type: &str, path: &[PathBuf]) -> Result<PathBuf, Error> {
    if plugin_type.is_empty() {
        return Err(Error::msg("no plugin name provided"));
    }
    if plugin_type.contains('/') {
        return Err(Error::msg(format!("invalid plugin name: {plugin_type}")));
    }
    if path.is_empty() {
        return Err(Error::msg("no paths provided"));
    }
    let directories = path
        .iter()
        .filter(|directory| !directory.as_os_str().is_empty());
    directories
        .map(|directory| directory.join(plugin_type))
        .find(|file| std::fs::metadata(file).is_ok_and(|metadata| metadata.is_file()))
        .ok_or_else(|| {
            let directories: Vec<String> = path
                .iter()
                .map(|directory| directory.display().to_string())
                .collect();
            Error::msg(format!(
                "failed to find plugin \"{plugin_type}\" in path [{}]",
                directories.join(" ")
            ))
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_regular_file_wins() {
        let dir = tempfile::tempdir().unwrap();
        let [a, b] = ["a", "b"].map(|name| dir.path().join(name));
        std::fs::create_dir_all(a.join("plugin")).unwrap();
        std::fs::create_dir_all(&b).unwrap();
        std::fs::write(b.join("real"), "").unwrap();
        std::os::unix::fs::symlink(b.join("real"), b.join("plugin")).unwrap();
        let path = [PathBuf::new(), a.clone(), b.clone()];
        assert_eq!(find("plugin", &path).unwrap(), b.join("plugin"));
        std::os::unix::fs::symlink("nowhere", a.join("real")).unwrap();
        assert_eq!(find("real", &path).unwrap(), b.join("real"));
    }

    #[test]
    fn says_what_was_looked_for_and_where() {
        let path = [
            PathBuf::from("/nonexistent/a"),
            PathBuf::from("/nonexistent/b"),
        ];
        for (name, path, message) in [
            ("", &path[..], "no plugin name provided"),
            ("../x", &path, "invalid plugin name: ../x"),
            ("x", &[], "no paths provided"),
            (
                "nope",
                &path,
                "failed to find plugin \"nope\" in path [/nonexistent/a /nonexistent/b]",
            ),
        ] {
            let error = find(name, path).unwrap_err();
            assert_eq!((error.code, error.msg.as_str()), (999, message));
        }
    }
}
