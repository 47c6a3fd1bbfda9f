//! One setting: its names, its meaning, and how it is read and shown.

use serde_json::Value;

use super::settings::Settings;

/// Reads a value into the settings; the error names the cause, the caller adds the setting.
pub(super) type Apply = fn(&mut Settings, &Value) -> Result<(), String>;
/// Shows the value as a file would state it, passwords masked.
pub(super) type Show = fn(&Settings) -> Value;

/// One setting.
pub(super) struct Setting {
    /// Key in a configuration file, sections separated by dots.
    pub(super) key: &'static str,
    /// Environment variable; `None` for values that are too large for one.
    pub(super) variable: Option<&'static str>,
    /// Its meaning in Markdown, for the documentation and the example file.
    pub(super) meaning: &'static str,
    /// Reads it.
    pub(super) apply: Apply,
    /// Shows it.
    pub(super) show: Show,
    /// The default in words, for one that follows from other settings or from the machine.
    pub(super) derived_default: Option<&'static str>,
    /// YAML of a value that differs from the default, for the example file.
    pub(super) example: Option<&'static str>,
}

impl Setting {
    /// A setting that is read and shown in its own way; [`row!`] is for the others.
    pub(super) const fn new(
        key: &'static str,
        variable: Option<&'static str>,
        meaning: &'static str,
        apply: Apply,
        show: Show,
    ) -> Self {
        Self { key, variable, meaning, apply, show, derived_default: None, example: None }
    }

    /// States in words which default holds; the example file leaves the value open.
    pub(super) const fn derived_default(mut self, words: &'static str) -> Self {
        self.derived_default = Some(words);
        self
    }

    /// Adds YAML of a value, which the example file shows as a comment.
    pub(super) const fn example(mut self, yaml: &'static str) -> Self {
        self.example = Some(yaml);
        self
    }
}

/// A setting for a field of [`Settings`] whose type reads and shows itself.
macro_rules! row {
    ($key:literal, $variable:expr, $($field:ident).+, $meaning:literal) => {
        Setting::new(
            $key,
            $variable,
            $meaning,
            |settings, value| {
                settings.$($field).+ = Parse::parse(value)?;
                Ok(())
            },
            |settings| settings.$($field).+.show(),
        )
    };
}
pub(super) use row;
