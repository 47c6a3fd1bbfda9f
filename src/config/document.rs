//! Prints the settings: those in effect as YAML, the reference for operators, and the example file.
//!
//! `docs/configuration.md` and `config/smo.example.yaml` are the results of [`reference()`] and
//! [`example()`]; `make lint` compares them.

use std::fmt;

use serde_json::{Map, Value, json};

use super::database::ORIGINAL_DATABASE;
use super::load::UNUSED;
use super::mode::REAL_OR_SIMULATED;
use super::setting::Setting;
use super::settings::Settings;
use super::table::SETTINGS;

/// A section of the reference: the settings from the first one of a group to the next section.
pub(super) struct Section {
    /// The group: the part of keys before the dot, or a key without one.
    pub(super) group: &'static str,
    /// Heading.
    title: &'static str,
    /// Introduction in Markdown; may be empty.
    text: &'static str,
}

const fn section(group: &'static str, title: &'static str, text: &'static str) -> Section {
    Section { group, title, text }
}

/// The sections, in the order of the settings. A group without one belongs to the section before it.
pub(super) const SECTIONS: &[Section] = &[
    section("listen", "Server", ""),
    section("http", "Connections and requests", ""),
    section(
        "mode",
        "Outside systems",
        "See [Real or simulated](#real-or-simulated) for the mode and the defaults.",
    ),
    section("monitoring", "Monitoring", ""),
    section("helm", "Helm", ""),
    section(
        "calls",
        "Calls to outside systems",
        "A quick call is a list, query or patch. [failures.md](failures.md) has the delays after each kind of failure.",
    ),
    section("reconcile", "Reconciliation", ""),
    section("placement", "Placement", "See [decisions.md](decisions.md#placement)."),
    section("scaling", "Scaling", "See [decisions.md](decisions.md#scaling)."),
    section("clusters", "Clusters", "See [decisions.md](decisions.md#attributes-of-clusters)."),
    section("intents", "Descriptors", ""),
    section("log", "Log", ""),
    section("simulation_file", "Simulation and tests", ""),
];

/// Width of comments in the example file.
const WIDTH: usize = 120;

const INTRODUCTION: &str = "\
# Configuration

<!-- Printed by `smo config --reference` from src/config/table.rs; `make documents` writes it. -->

Settings come from several layers, later ones win: the defaults, a YAML file (`SMO_CONFIG` or `--config`;
[`config/smo.example.yaml`](../config/smo.example.yaml) has every key with its default), a file of variables (the one
that `DOTENV_PATH` names, otherwise `.env` in the current folder if there is one), the environment, and the flags of
`smo serve`. `smo config` prints the settings in effect, with passwords masked.

- All errors are reported at once, and the server does not start. An unknown key, or an unknown variable that begins
  with `SMO_`, is an error that names the nearest known one. (Exempt are `SMO_SERVICE_*` and `SMO_PORT*`,
  which Kubernetes sets for a Service named `smo`; `SMO_URL`, the server that `smo graph` asks; and `SMO_TESTBED_*`.)
- An empty variable, or a key without a value, counts as not set.
- Booleans are `true`, `yes`, `y`, `on`, `1`, or `false`, `no`, `n`, `off`, `0`, in any case.
- Durations are seconds (`60`, `0.2`) or texts such as `200ms`, `90s`, `5m`, `1h30m`.
- A kubeconfig is the name of a file below `~/.kube`, or an absolute path.
";

const EXAMPLE_HEADER: &str = "\
# Every setting of smo with its default; printed by `smo config --example`. Name the file by SMO_CONFIG or --config, and
# leave out keys that stay at their defaults. Variables win over the file, flags win over both. A key without a value
# counts as not set. Durations are seconds or texts such as 200ms, 90s, 5m. A kubeconfig is the name of a file below
# ~/.kube, or an absolute path. docs/configuration.md lists the variables.
";

/// The reference of all settings, in Markdown.
#[must_use]
pub fn reference() -> String {
    let defaults = Settings::default();
    let mut page = INTRODUCTION.to_owned();
    let mut previous = "";
    for setting in SETTINGS {
        let group = group(setting.key);
        if let Some(section) = SECTIONS.iter().find(|section| section.group == group && group != previous) {
            page += &format!("\n## {}\n\n", section.title);
            if !section.text.is_empty() {
                page += &format!("{}\n\n", section.text);
            }
            page += "| variable | key | default | meaning |\n|---|---|---|---|\n";
        }
        previous = group;
        let variable = setting.variable.map_or_else(String::new, code);
        page += &format!(
            "| {variable} | `{}` | {} | {} |\n",
            setting.key,
            default(setting, &defaults),
            setting.meaning
        );
    }
    page += &format!("\n{REAL_OR_SIMULATED}\n");
    page += "## Variables of the original SMO\n\nAll of them are accepted. Besides those in the tables:\n\n";
    page += "| variable | meaning |\n|---|---|\n";
    for (variables, meaning) in ORIGINAL_DATABASE.iter().chain(UNUSED) {
        let names: Vec<String> = variables.iter().copied().map(code).collect();
        page += &format!("| {} | {meaning} |\n", names.join(", "));
    }
    page += "| `HOME` | The folder of `.kube`. |\n";
    page += "| `DOTENV_PATH` | A file of variables, read instead of `.env`; it must be there. |\n";
    page += "| `KUBECONFIG` | The default kubeconfig, as for `kubectl`. |\n";
    page
}

/// The part of a key before the dot, or the whole key without one.
pub(super) fn group(key: &str) -> &str {
    key.split('.').next().unwrap_or(key)
}

fn code(text: &str) -> String {
    format!("`{text}`")
}

/// The default of a setting as the reference shows it.
fn default(setting: &Setting, defaults: &Settings) -> String {
    if let Some(words) = setting.derived_default {
        return words.to_owned();
    }
    match (setting.show)(defaults) {
        Value::Null => String::new(),
        Value::String(text) => code(&text),
        // A mapping that has a variable is shown as the variable would state it.
        Value::Object(map) if setting.variable.is_some() => {
            let pairs =
                map.iter().map(|(name, value)| format!("{name}={}", value.as_str().unwrap_or_default()));
            code(&pairs.collect::<Vec<_>>().join(","))
        }
        Value::Object(map) if !map.is_empty() => "see the example".to_owned(),
        other => code(&other.to_string()),
    }
}

/// A configuration file that states every key with its default.
#[must_use]
pub fn example() -> String {
    let defaults = Settings::default();
    let mut file = EXAMPLE_HEADER.to_owned();
    let mut open = None;
    for setting in SETTINGS {
        let (section, name) = match setting.key.split_once('.') {
            Some((section, name)) => (Some(section), name),
            None => (None, setting.key),
        };
        if section.is_none() || section != open {
            file.push('\n');
        }
        if let Some(section) = section.filter(|section| Some(*section) != open) {
            file += &format!("{section}:\n");
        }
        open = section;
        let indent = if section.is_some() { "  " } else { "" };
        comment(&mut file, indent, setting);
        let value = if setting.derived_default.is_some() { Value::Null } else { (setting.show)(&defaults) };
        file += &indented(&entry(name, &value), indent);
    }
    file
}

/// The meaning of a setting and an example of its value, as comments.
fn comment(file: &mut String, indent: &str, setting: &Setting) {
    let mut line = format!("{indent}#");
    for word in setting.meaning.replace('`', "").split_whitespace() {
        if line.chars().count() + 1 + word.chars().count() > WIDTH {
            *file += &format!("{line}\n");
            line = format!("{indent}#");
        }
        line += &format!(" {word}");
    }
    *file += &format!("{line}\n");
    if let Some(example) = setting.example {
        *file += &format!("{indent}# Example:\n{}", indented(example, &format!("{indent}#   ")));
    }
}

/// A key with its value in YAML; nothing follows the key of a value that is absent.
fn entry(name: &str, value: &Value) -> String {
    if value.is_null() { format!("{name}:\n") } else { yaml(&json!({ name: value })) }
}

fn indented(text: &str, indent: &str) -> String {
    text.lines().map(|line| format!("{indent}{line}\n")).collect()
}

/// JSON is YAML too, should the writer refuse.
fn yaml(value: &Value) -> String {
    let options = serde_saphyr::ser_options! { prefer_block_scalars: false };
    serde_saphyr::to_string_with_options(value, options).unwrap_or_else(|_| value.to_string())
}

impl Settings {
    /// The effective settings as YAML with the keys of a configuration file, passwords masked.
    #[must_use]
    pub fn to_yaml(&self) -> String {
        let mut root = Map::new();
        for setting in SETTINGS {
            let value = (setting.show)(self);
            match setting.key.split_once('.') {
                None => drop(root.insert(setting.key.to_owned(), value)),
                Some((section, key)) => {
                    let section = root.entry(section).or_insert_with(|| json!({}));
                    if let Value::Object(section) = section {
                        section.insert(key.to_owned(), value);
                    }
                }
            }
        }
        yaml(&Value::Object(root))
    }
}

/// Shows every setting as `smo config` does: without secrets.
impl fmt::Debug for Settings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_map().entries(SETTINGS.iter().map(|setting| (setting.key, (setting.show)(self)))).finish()
    }
}
