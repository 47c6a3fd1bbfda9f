//! Labels that an installation of `smo` puts on its objects, by which it recognises them and leaves foreign
//! objects alone.

use std::collections::BTreeMap;

use super::{ClientError, ClientErrorKind, Result};
use crate::config::ObjectLabels;
use crate::hdag::is_label_value;

/// The marks of one installation.
#[derive(Debug, Clone)]
pub struct Marks {
    /// Id of the installation.
    pub installation: String,
    /// Names of the labels.
    pub labels: ObjectLabels,
}

impl Marks {
    /// The labels of an object that belongs to the graph `owner`.
    pub(super) fn of<'a>(&'a self, owner: &'a str) -> [(&'a str, &'a str); 2] {
        [(&self.labels.installation, &self.installation), (&self.labels.graph, owner)]
    }

    /// The graph of this installation that owns an object with these labels; `None` when it belongs to
    /// another installation or to none. Objects from the time before installations had ids belong to the
    /// graph that they name.
    pub(super) fn owner(&self, labels: &BTreeMap<String, String>) -> Option<String> {
        labels.get(&self.labels.graph).filter(|_| !self.is_foreign(labels)).cloned()
    }

    /// Whether an object with these labels is one of another installation.
    pub(super) fn is_foreign(&self, labels: &BTreeMap<String, String>) -> bool {
        labels.get(&self.labels.installation).is_some_and(|installation| *installation != self.installation)
    }

    /// Checks that these texts are valid values of labels.
    ///
    /// # Errors
    /// `Invalid` when one cannot be.
    pub(super) fn check(&self, owner: &str, digest: &str) -> Result<()> {
        let values = self.of(owner).into_iter().chain([(self.labels.digest.as_str(), digest)]);
        match values.into_iter().find(|(_, value)| !is_label_value(value)) {
            None => Ok(()),
            Some((label, value)) => {
                let message = format!("{value:?} cannot be the value of label {label}");
                Err(ClientError::new("helm", ClientErrorKind::Invalid, message))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn marks(installation: &str) -> Marks {
        Marks { installation: installation.to_owned(), labels: ObjectLabels::default() }
    }

    fn labels(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
        pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
    }

    #[test]
    fn an_object_is_known_by_the_installation_that_made_it_and_by_no_other() {
        let made = labels(&marks("one").of("g"));
        assert_eq!(marks("one").owner(&made).as_deref(), Some("g"));
        assert_eq!(marks("other").owner(&made), None);
        assert_eq!(marks("one").owner(&labels(&[("app", "x")])), None);
    }

    #[test]
    fn an_object_from_before_installations_had_ids_belongs_to_its_graph() {
        assert_eq!(marks("one").owner(&labels(&[("smo-graph", "g")])).as_deref(), Some("g"));
    }
}
