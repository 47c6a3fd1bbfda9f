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
    /// The environment of this process, with `.env` of the current folder below it.
    ///
    /// # Errors
    /// There is a `.env` that cannot be read.
    pub fn of_process(config_file: Option<PathBuf>, flags: Vec<Flag>) -> Result<Self, ConfigErrors> {
        let wrong = |error: dotenvy::Error| ConfigErrors(vec![format!(".env: {error}")]);
        let mut env = BTreeMap::new();
        match dotenvy::from_path_iter(".env") {
            Err(error) if error.not_found() => {}
            Err(error) => return Err(wrong(error)),
            Ok(pairs) => {
                for pair in pairs {
                    // The error of a line repeats the line, which may hold a password.
                    let (name, value) = pair.map_err(|error| match error {
                        dotenvy::Error::LineParse(_, at) => {
                            ConfigErrors(vec![format!(".env: a line is malformed at its character {at}")])
                        }
                        other => wrong(other),
                    })?;
                    env.insert(name, value);
                }
            }
        }
        let lossy = |text: std::ffi::OsString| text.to_string_lossy().into_owned();
        env.extend(std::env::vars_os().map(|(name, value)| (lossy(name), lossy(value))));
        let home = std::env::home_dir().filter(|home| !home.as_os_str().is_empty());
        Ok(Self { env, home, config_file, flags, read: &read_file })
    }
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
