//! The language: descriptor types, parsing, validation, and the translation of intents to units.
//!
//! Pure: text in, typed data or located findings out. Knows nothing of HTTP, the store or clusters. A
//! [`Descriptor`] that left this module is valid as a whole: names are safe for command lines and Kubernetes,
//! references resolve, dependencies have no cycle. Input is hostile until then: size, depth, aliases, expressions
//! and findings are bounded, so that the largest text takes less than a second (`benches/descriptors.rs`).

mod chart;
mod digest;
mod expression;
mod intents;
mod model;
mod naming;
mod order;
mod parameters;
mod quantity;
mod read;
mod report;
mod resources;
mod rules;
mod scaling;
mod tree;
mod values;
mod version;

#[cfg(test)]
mod tests;

use serde::Deserialize;
use serde_json::Value;
use thiserror::Error;

pub use chart::{ChartSource, is_profile_key};
pub use digest::digest;
pub use expression::check_expression;
pub use intents::{Classes, IntentMapping, MAX_PATH};
pub use model::{
    Descriptor, Event, EventCondition, GraphIntent, Latency, LatencyQos, PlacementWishes, Propagation,
    RateSource, ScalingRequest, ScalingWishes, Service, Trigger,
};
pub use naming::{is_dns_label, is_label_value, slug, split_tag};
pub use order::dependency_order;
pub use parameters::{
    MAX_REPLICAS, MAX_WEIGHT, PARAMETERS, Parameters, SolveLimits, WEIGHTS, Weights, check_alpha, check_beta,
    check_replicas, check_weight,
};
pub use quantity::{
    QuantityError, bytes, cores_text, count, millicores, ram_rounded, ram_text, storage_rounded, storage_text,
};
pub use report::{pretty, pretty_warnings};
pub use resources::{Dimension, Resources};
pub use rules::{
    alert_expression, check_window, longest_duration, parse_duration, rate_query, without_template,
};
pub use scaling::{
    MAX_SCALING_WEIGHT, StepDown, StepUp, Steps, WhenAbsent, check_scaling_weight, check_target_utilisation,
    check_thresholds, utilisation_of_tolerance,
};
use tree::Places;
pub use tree::escape_pointer;
pub use values::{release_values, service_import_clusters, without_placement};
pub use version::{VersionRange, parse_version};

/// JSON Schema of a descriptor (draft 2020-12). It accepts every descriptor that [`parse`] accepts;
/// references between services, expressions and quantities are checked by [`parse`] only.
pub const SCHEMA: &str = include_str!("../../docs/hdag.schema.json");

/// The two spellings of a descriptor.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// JSON.
    Json,
    /// YAML 1.1 as `PyYAML` writes and reads it.
    Yaml,
}

/// An error or warning about the input, with its place.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    /// JSON pointer (RFC 6901) into the document.
    pub pointer: String,
    /// The fault, naming the value and the accepted ones.
    pub message: String,
    /// Line and column, when the document was read from text.
    pub location: Option<Location>,
}

impl Finding {
    /// A finding without a place in the text.
    pub fn new(pointer: impl Into<String>, message: impl Into<String>) -> Self {
        Self { pointer: pointer.into(), message: message.into(), location: None }
    }
}

/// A place in a text, counted from 1.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Location {
    /// Line.
    pub line: usize,
    /// Column in characters.
    pub column: usize,
}

/// Maximum size of a descriptor.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Limits {
    /// Bytes of the text.
    pub max_bytes: usize,
    /// Services of one graph.
    pub max_services: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self { max_bytes: 1024 * 1024, max_services: 1000 }
    }
}

/// A valid descriptor with its warnings.
#[derive(Debug, Clone, PartialEq)]
pub struct Parsed {
    /// The descriptor.
    pub descriptor: Descriptor,
    /// Unknown fields, and defaults that may surprise.
    pub warnings: Vec<Finding>,
}

/// Why a text is not a descriptor.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum ParseError {
    /// The text is longer than [`Limits::max_bytes`]; it was not read.
    #[error("{0}")]
    TooLarge(String),
    /// Everything that is wrong with it; never empty.
    #[error("{}", summary(.0))]
    Invalid(Vec<Finding>),
}

fn summary(findings: &[Finding]) -> String {
    match findings {
        [] => "descriptor is invalid".to_owned(),
        [only] => only.message.clone(),
        [first, rest @ ..] => format!("{} (and {} more)", first.message, rest.len()),
    }
}

/// Reads a descriptor from a text whose single top key is `hdaGraph`.
///
/// # Errors
/// The text is too long, or is not a valid descriptor; all findings are collected in one pass.
pub fn parse(
    text: &str,
    format: Format,
    mapping: &IntentMapping,
    limits: &Limits,
) -> Result<Parsed, ParseError> {
    if text.len() > limits.max_bytes {
        return Err(ParseError::TooLarge(format!(
            "descriptor has {} bytes; at most {} are allowed",
            text.len(),
            limits.max_bytes
        )));
    }
    let read = match format {
        Format::Json => tree::from_json(text).map(|value| (value, Places::Json(text))),
        Format::Yaml => tree::from_yaml(text).map(|(value, spans)| (value, Places::Read(spans))),
    };
    let (value, places) = read.map_err(|finding| ParseError::Invalid(vec![finding]))?;
    read::text(value, places, mapping, limits).map_err(ParseError::Invalid)
}

/// Reads a stored descriptor: the value under `hdaGraph`.
///
/// # Errors
/// The document is not a valid descriptor (under these limits and this mapping).
pub fn from_document(
    document: Value,
    mapping: &IntentMapping,
    limits: &Limits,
) -> Result<Parsed, Vec<Finding>> {
    read::document(document, mapping, limits)
}
