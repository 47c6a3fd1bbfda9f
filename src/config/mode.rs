//! Decides which outside systems are real, and finds their kubeconfigs.
//!
//! Production must never land in the simulation by a typo. Without `SMO_MODE` the simulation is taken only
//! when no setting of a real system is present and no kubeconfig lies at the original's default place;
//! otherwise a missing kubeconfig is an error that names the path. The database does not count as a setting
//! of a real system: it is real in either mode.

use std::io;
use std::path::{Path, PathBuf};

use super::connections::{KubeconfigSettings, Mode};
use super::settings::Settings;
use super::sources::{GivenByKey, Sources};

/// The section of the documentation about the mode.
pub(super) const REAL_OR_SIMULATED: &str = "\
## Real or simulated

`SMO_MODE=real` simulates nothing: a missing kubeconfig of Karmada stops the start, naming the path.
`SMO_MODE=simulated` simulates each system without a setting. Without `SMO_MODE` the server runs on the simulated
continuum only when no setting of a real system is present (`KARMADA_KUBECONFIG`, `SUBMARINER_KUBECONFIG`,
`MONITORING_KUBECONFIG`, `PROMETHEUS_HOST`, `GRAFANA_HOST`, `NFVCL_BASE_URL`, or the same in the file) and there is no
`~/.kube/karmada-apiserver.config`; otherwise all systems are real. The database does not count: it is real in either
mode.

In real mode the kubeconfig of the monitoring cluster is by default the first file of `KUBECONFIG`, otherwise
`~/.kube/config`. If there is none, nothing can raise the event of a conditional service: the graph's condition
`RulesPublished` and `/readyz` say so.
";

/// Where the original looks for Karmada's kubeconfig, under `~/.kube`.
const DEFAULT_KARMADA: &str = "karmada-apiserver.config";
/// The default kubeconfig, under `~/.kube`.
const DEFAULT_KUBECONFIG: &str = "config";
/// Settings of real systems.
const REAL_KEYS: [&str; 4] =
    ["karmada.kubeconfig", "submariner.kubeconfig", "monitoring.kubeconfig", "monitoring.prometheus_url"];
/// Variables of real systems that are no settings yet.
const REAL_VARIABLES: [&str; 2] = ["NFVCL_BASE_URL", "GRAFANA_HOST"];

/// Decides the mode and turns kubeconfigs into paths of files that can be read.
pub(super) fn resolve(
    settings: &mut Settings,
    given: &GivenByKey,
    sources: &Sources<'_>,
    errors: &mut Vec<String>,
) {
    let files = Files { sources };
    let because = first_real_setting(given, sources);
    let default_karmada = files.under_kube(DEFAULT_KARMADA);
    if !given.contains_key("mode") {
        let lies_there = default_karmada.as_deref().is_some_and(|path| files.exists(path));
        settings.mode = if because.is_some() || lies_there { Mode::Real } else { Mode::Simulated };
    }
    let mut explicit = |key: &str, kubeconfig: &mut Option<KubeconfigSettings>| {
        let (Some(given), Some(config)) = (given.get(key), kubeconfig.as_mut()) else { return };
        match files.readable(&config.path) {
            Ok(path) => config.path = path,
            Err(message) => errors.push(format!("{}: {message}", given.origin)),
        }
    };
    explicit("karmada.kubeconfig", &mut settings.karmada.kubeconfig);
    explicit("submariner.kubeconfig", &mut settings.submariner.kubeconfig);
    explicit("monitoring.kubeconfig", &mut settings.monitoring.kubeconfig);
    if settings.mode == Mode::Simulated {
        return;
    }
    if settings.karmada.kubeconfig.is_none() {
        match default_karmada_kubeconfig(&files, default_karmada, because) {
            Ok(path) => settings.karmada.kubeconfig = Some(KubeconfigSettings { path }),
            Err(message) => errors.push(message),
        }
    }
    let existing = |path: PathBuf| files.exists(&path).then_some(KubeconfigSettings { path });
    if settings.monitoring.kubeconfig.is_none() {
        settings.monitoring.kubeconfig = files.default_kubeconfig().and_then(existing);
    }
    if settings.submariner.kubeconfig.is_none() {
        settings.submariner.kubeconfig = files.under_kube(DEFAULT_KUBECONFIG).and_then(existing);
    }
}

/// The first setting that makes the mode real, when the mode is not set.
fn first_real_setting(given: &GivenByKey, sources: &Sources<'_>) -> Option<String> {
    let by_key = REAL_KEYS.iter().find_map(|key| given.get(key)).map(|given| given.origin.clone());
    let variable = || REAL_VARIABLES.iter().find(|name| sources.env.contains_key(**name));
    by_key.or_else(|| variable().map(|name| (*name).to_owned()))
}

fn default_karmada_kubeconfig(
    files: &Files<'_>,
    default: Option<PathBuf>,
    because: Option<String>,
) -> Result<PathBuf, String> {
    let reason = because.map_or_else(String::new, |origin| format!(" (which {origin} asks for)"));
    let advice = "set KARMADA_KUBECONFIG, or SMO_MODE=simulated to run without Karmada";
    let Some(path) = default else {
        return Err(format!(
            "real mode{reason} needs a kubeconfig of Karmada, and HOME is not set; {advice}"
        ));
    };
    match (files.sources.read)(&path) {
        Ok(_) => Ok(path),
        Err(error) => Err(format!(
            "real mode{reason} needs a kubeconfig of Karmada: cannot read {}: {error}; {advice}",
            path.display()
        )),
    }
}

/// The files that settings may name.
struct Files<'a> {
    sources: &'a Sources<'a>,
}

impl Files<'_> {
    fn under_kube(&self, name: impl AsRef<Path>) -> Option<PathBuf> {
        self.sources.home.as_ref().map(|home| home.join(".kube").join(name))
    }

    /// A file that is there but cannot be read counts: hiding it would start the simulation instead.
    fn exists(&self, path: &Path) -> bool {
        match (self.sources.read)(path) {
            Ok(_) => true,
            Err(error) => !matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory),
        }
    }

    /// The path that a kubeconfig setting means: `~/.kube/NAME`, or an absolute path as it is.
    fn readable(&self, named: &Path) -> Result<PathBuf, String> {
        let path = match named.strip_prefix("~") {
            Ok(rest) => self.sources.home.as_ref().map(|home| home.join(rest)),
            Err(_) if named.is_absolute() => Some(named.to_owned()),
            Err(_) => self.under_kube(named),
        };
        let path = path.ok_or_else(|| {
            format!(
                "{} lies under the home folder, and HOME is not set; give an absolute path",
                named.display()
            )
        })?;
        match (self.sources.read)(&path) {
            Ok(_) => Ok(path),
            Err(error) => Err(format!("cannot read {}: {error}", path.display())),
        }
    }

    /// The first file of `KUBECONFIG`, else `~/.kube/config`.
    fn default_kubeconfig(&self) -> Option<PathBuf> {
        match self.sources.env.get("KUBECONFIG") {
            Some(list) => std::env::split_paths(list).find(|path| !path.as_os_str().is_empty()),
            None => self.under_kube(DEFAULT_KUBECONFIG),
        }
    }
}
