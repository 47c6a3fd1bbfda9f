//! Every setting of the server, with its default and its unit.
//!
//! Layers, later ones win: the defaults, the YAML file named by `SMO_CONFIG`, the environment (and `.env`),
//! command-line flags. The whole is validated before anything starts, and every fault is reported at once.
//!
//! `table` is the one list of settings: key, variable, meaning, how to read and how to show it. Reading the
//! file, the environment and the flags, the check for unknown names, `smo config`, `Debug`,
//! `docs/configuration.md` and `config/smo.example.yaml` all follow from it, so they cannot disagree.
//! [`load()`] is pure: it is given the variables, the home folder and a function that reads files. No value
//! of a secret is ever shown.

mod calls;
mod clusters;
mod connections;
mod database;
mod descriptor;
mod document;
mod helm;
mod http;
mod intent_rules;
mod load;
mod log;
mod mode;
mod monitoring;
mod placement;
mod reconcile;
mod scaling;
mod section;
mod setting;
mod settings;
mod sources;
mod strategies;
mod table;
mod value;

pub use calls::CallSettings;
pub use clusters::ClusterLabels;
pub use connections::{KarmadaSettings, KubeconfigSettings, Mode, ObjectLabels, SubmarinerSettings};
pub use document::{example, reference};
pub use helm::{HelmSettings, RepositoryLogin};
pub use http::HttpSettings;
pub use intent_rules::{AttributeRequirement, IntentRule, RuleTest};
pub use load::{Loaded, language, load};
pub use log::LogSettings;
pub use monitoring::MonitoringSettings;
pub use placement::{PlacementLimits, PlacementSettings, ProjectPlacement};
pub use reconcile::ReconcileSettings;
pub use scaling::{ScalingCompat, ScalingProfile, ScalingSettings, StepLimit};
pub use settings::Settings;
pub use sources::{ConfigErrors, Flag, Sources};
pub(crate) use strategies::check_strategy;
pub use strategies::{ExternalStrategies, ExternalStrategy, IntentHandler};
