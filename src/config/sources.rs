//! Where settings come from: the file, the environment with `.env`, and the flags, put together by key.
//!
//! A name that does not exist is a fault: a typo must not leave a setting at its default.

use std::collections::BTreeMap;
use std::fmt;
use std::io;
use std::path::{Path, PathBuf};

use serde_json::{Map, Value};

use super::table::SETTINGS;

/// Variable that names the configuration file.
pub(super) const CONFIG_VARIABLE: &str = "SMO_CONFIG";
/// Variable of the original that names a file of variables.
const DOTENV_VARIABLE: &str = "DOTENV_PATH";
/// That file when it is not set; it need not be there.
const DOTENV: &str = ".env";
/// Beginnings of variables that are no settings of the server: Kubernetes sets some for a Service named
/// `smo`, the others belong to the client commands and the test bed.
const NO_SETTINGS: [&str; 4] = ["SMO_SERVICE_", "SMO_PORT", "SMO_URL", "SMO_TESTBED_"];

/// Where settings come from.
pub struct Sources<'a> {
    /// Environment variables, those of `.env` included.
    pub env: BTreeMap<String, String>,
    /// The user's home folder, for kubeconfigs.
    pub home: Option<PathBuf>,
    /// Configuration file named on the command line; wins over `SMO_CONFIG`.
    pub config_file: Option<PathBuf>,
    /// Settings given on the command line.
    pub flags: Vec<Flag>,
    /// Reads a file.
    pub read: &'a dyn Fn(&Path) -> io::Result<String>,
}

/// A setting given on the command line.
#[derive(Debug, Clone)]
pub struct Flag {
    /// The flag as typed, such as `--listen`.
    pub name: &'static str,
    /// Key of the setting.
    pub key: &'static str,
    /// The value as typed.
    pub value: String,
}

/// Everything that is wrong with the configuration.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConfigErrors(pub Vec<String>);

impl fmt::Display for ConfigErrors {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the configuration is wrong:")?;
        self.0.iter().try_for_each(|error| write!(f, "\n  - {error}"))
    }
}

impl std::error::Error for ConfigErrors {}

impl Sources<'static> {
    /// The environment of this process, with the file that `DOTENV_PATH` names, or `.env` of the current folder, below
    /// it.
    ///
    /// # Errors
    /// The file cannot be read, or is malformed; or `DOTENV_PATH` names one that is not there.
    pub fn of_process(config_file: Option<PathBuf>, flags: Vec<Flag>) -> Result<Self, ConfigErrors> {
        let lossy = |text: std::ffi::OsString| text.to_string_lossy().into_owned();
        let process = std::env::vars_os().map(|(name, value)| (lossy(name), lossy(value))).collect();
        let env = with_dotenv(process).map_err(|message| ConfigErrors(vec![message]))?;
        let home = env.get("HOME").map(PathBuf::from).or_else(std::env::home_dir);
        let home = home.filter(|home| !home.as_os_str().is_empty());
        Ok(Self { env, home, config_file, flags, read: &read_file })
    }
}

/// The variables of a process, and below them those of its `.env`.
fn with_dotenv(process: BTreeMap<String, String>) -> Result<BTreeMap<String, String>, String> {
    let named = process.get(DOTENV_VARIABLE).filter(|path| !path.trim().is_empty());
    let mut env = match named {
        Some(path) => dotenv(path).map_err(|message| format!("{DOTENV_VARIABLE}: {message}"))?,
        None => match dotenv(DOTENV) {
            Err(message) if Path::new(DOTENV).exists() => return Err(message),
            pairs => pairs.unwrap_or_default(),
        },
    };
    env.extend(process);
    Ok(env)
}

fn dotenv(path: &str) -> Result<BTreeMap<String, String>, String> {
    let wrong = |error: dotenvy::Error| match error {
        // The error of a line repeats the line, which may hold a password.
        dotenvy::Error::LineParse(_, at) => format!("{path}: a line is malformed at its character {at}"),
        other => format!("{path}: {other}"),
    };
    dotenvy::from_path_iter(path).map_err(wrong)?.map(|pair| pair.map_err(wrong)).collect()
}

fn read_file(path: &Path) -> io::Result<String> {
    std::fs::read_to_string(path)
}

/// A value of one layer, and the name of its origin in messages.
pub(super) struct Given {
    /// As it was given.
    pub(super) value: Value,
    /// Such as `SMO_WAIT`, `--listen` or `wait in smo.yaml`.
    pub(super) origin: String,
}

/// The winning value of each key.
pub(super) type GivenByKey = BTreeMap<&'static str, Given>;

/// Puts the layers together: file < environment < flags.
pub(super) fn merge(sources: &Sources<'_>, errors: &mut Vec<String>) -> GivenByKey {
    let mut given = GivenByKey::new();
    let named = sources.config_file.clone().map(|path| ("--config", path));
    let by_variable = sources.env.get(CONFIG_VARIABLE).map(|path| (CONFIG_VARIABLE, PathBuf::from(path)));
    if let Some((origin, path)) = named.or(by_variable)
        && let Err(message) = read_yaml(&path, sources.read, &mut given, errors)
    {
        errors.push(format!("{origin}: {message}"));
    }
    for row in SETTINGS {
        let Some(variable) = row.variable else { continue };
        if let Some(text) = sources.env.get(variable) {
            let value = Value::String(text.clone());
            given.insert(row.key, Given { value, origin: variable.to_owned() });
        }
    }
    for flag in &sources.flags {
        let value = Value::String(flag.value.clone());
        given.insert(flag.key, Given { value, origin: flag.name.to_owned() });
    }
    given
}

fn read_yaml(
    path: &Path,
    read: &dyn Fn(&Path) -> io::Result<String>,
    given: &mut GivenByKey,
    errors: &mut Vec<String>,
) -> Result<(), String> {
    let text = read(path).map_err(|error| format!("cannot read {}: {error}", path.display()))?;
    // `yes` and `no` stay texts, so that they can be names; settings that are booleans take the texts.
    let options = serde_saphyr::options! { strict_booleans: true, with_snippet: false };
    let document: Option<Value> = serde_saphyr::from_str_with_options(&text, options)
        .map_err(|error| format!("{} is not valid YAML: {error}", path.display()))?;
    match document.unwrap_or_default() {
        Value::Null => {}
        Value::Object(root) => flatten(&root, "", path, given, errors),
        _ => return Err(format!("{} holds no mapping of settings", path.display())),
    }
    Ok(())
}

/// Walks the sections of a file. A key without a value counts as not given.
fn flatten(
    section: &Map<String, Value>,
    prefix: &str,
    path: &Path,
    given: &mut GivenByKey,
    errors: &mut Vec<String>,
) {
    for (name, value) in section {
        let key = format!("{prefix}{name}");
        let inner = format!("{key}.");
        if let Some(row) = SETTINGS.iter().find(|row| row.key == key) {
            if !value.is_null() {
                let origin = format!("{key} in {}", path.display());
                given.insert(row.key, Given { value: value.clone(), origin });
            }
        } else if SETTINGS.iter().any(|row| row.key.starts_with(&inner)) {
            match value {
                Value::Null => {}
                Value::Object(section) => flatten(section, &inner, path, given, errors),
                _ => errors.push(format!("{key} in {} must be a mapping", path.display())),
            }
        } else {
            let known = SETTINGS.iter().map(|row| row.key);
            errors.push(format!("unknown key {key:?} in {}{}", path.display(), suggestion(&key, known)));
        }
    }
}

/// Reports variables that begin with `SMO_` and name no setting.
pub(super) fn refuse_unknown_variables(env: &BTreeMap<String, String>, errors: &mut Vec<String>) {
    let known = || SETTINGS.iter().filter_map(|row| row.variable).chain([CONFIG_VARIABLE]);
    for name in env.keys().filter(|name| name.starts_with("SMO_")) {
        if NO_SETTINGS.iter().any(|prefix| name.starts_with(prefix)) || known().any(|known| known == name) {
            continue;
        }
        let ours = known().filter(|known| known.starts_with("SMO_"));
        errors.push(format!("unknown variable {name}{}", suggestion(name, ours)));
    }
}

/// Names the known name that is nearest to a wrong one.
fn suggestion<'a>(wrong: &str, known: impl Iterator<Item = &'a str>) -> String {
    // A key without its section is a common slip, so the last part is compared as well.
    let last = |name: &str| name.rsplit('.').next().unwrap_or_default().to_owned();
    let distance = |name: &&str| {
        let whole = strsim::damerau_levenshtein(wrong, name);
        whole.min(strsim::damerau_levenshtein(&last(wrong), &last(name)) + 1)
    };
    known.min_by_key(distance).map_or_else(String::new, |name| format!("; did you mean {name}?"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn process(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
        pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
    }

    #[test]
    fn the_file_that_dotenv_path_names_lies_below_the_environment() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("flask.env");
        let path = file.to_str().unwrap();
        std::fs::write(&file, "# of the original\nHOME=/home/fork\nDB_USER='u'\nSCALING_ENABLED=y\n")
            .unwrap();
        let env = with_dotenv(process(&[("DOTENV_PATH", path), ("DB_USER", "process")])).unwrap();
        assert_eq!((env["HOME"].as_str(), env["DB_USER"].as_str()), ("/home/fork", "process"));
        assert_eq!(env["SCALING_ENABLED"], "y");

        std::fs::write(&file, "DB_PASSWORD='hush\n").unwrap();
        let message = with_dotenv(process(&[("DOTENV_PATH", path)])).unwrap_err();
        assert!(message.starts_with("DOTENV_PATH: ") && message.contains("flask.env: a line is malformed"));
        assert!(!message.contains("hush"), "{message}");
    }

    #[test]
    fn a_named_file_must_be_there_and_an_empty_name_names_none() {
        let message = with_dotenv(process(&[("DOTENV_PATH", "/nowhere/flask.env")])).unwrap_err();
        assert!(message.starts_with("DOTENV_PATH: /nowhere/flask.env: "), "{message}");
        assert_eq!(with_dotenv(process(&[("DOTENV_PATH", " ")])).unwrap()["DOTENV_PATH"], " ");
    }
}
