//! A local copy of watched objects, each reduced to its relevant fields.
//!
//! Plain data and no client: events go in and changes come out, so tests simply feed it objects.

use std::collections::HashMap;

use kube::ResourceExt;
use kube::runtime::watcher::Event;

/// Namespace and name of a watched object.
pub(super) type ObjectKey = (String, String);

/// The copy; `T` is the stored part of an object.
pub(super) struct Mirror<T> {
    current: HashMap<ObjectKey, T>,
    /// Collects a list that is being read; replaces `current` when it is complete.
    incoming: HashMap<ObjectKey, T>,
}

impl<T> Default for Mirror<T> {
    fn default() -> Self {
        Self { current: HashMap::new(), incoming: HashMap::new() }
    }
}

/// An object that changed, appeared or went.
#[derive(Debug, PartialEq)]
pub(super) struct Change<T> {
    pub(super) key: ObjectKey,
    /// The previous entry, if any.
    pub(super) before: Option<T>,
}

impl<T: PartialEq> Mirror<T> {
    /// The current entry of an object.
    pub(super) fn get(&self, key: &ObjectKey) -> Option<&T> {
        self.current.get(key)
    }

    /// All that is kept, in no order.
    pub(super) fn iter(&self) -> impl Iterator<Item = (&ObjectKey, &T)> {
        self.current.iter()
    }

    /// Applies an event and returns the changes. `reduce` extracts the stored part of an object; an object of
    /// which it keeps nothing counts as absent, also when something was kept of it before.
    pub(super) fn apply<K: ResourceExt>(
        &mut self,
        event: Event<K>,
        reduce: impl Fn(&K) -> Option<T>,
    ) -> Vec<Change<T>> {
        match event {
            Event::Init => self.incoming.clear(),
            Event::InitApply(object) => {
                if let Some(state) = reduce(&object) {
                    self.incoming.insert(key_of(&object), state);
                }
            }
            Event::InitDone => return self.replace(),
            Event::Apply(object) => {
                let key = key_of(&object);
                let after = reduce(&object);
                if self.current.get(&key) == after.as_ref() {
                    return Vec::new();
                }
                let before = match after {
                    Some(state) => self.current.insert(key.clone(), state),
                    None => self.current.remove(&key),
                };
                return vec![Change { key, before }];
            }
            Event::Delete(object) => {
                let key = key_of(&object);
                let before = self.current.remove(&key);
                return before.map(|before| Change { key, before: Some(before) }).into_iter().collect();
            }
        }
        Vec::new()
    }

    fn replace(&mut self) -> Vec<Change<T>> {
        let mut old = std::mem::replace(&mut self.current, std::mem::take(&mut self.incoming));
        let mut changed = Vec::new();
        for (key, state) in &self.current {
            let before = old.remove(key);
            if before.as_ref() != Some(state) {
                changed.push(Change { key: key.clone(), before });
            }
        }
        changed.extend(old.into_iter().map(|(key, before)| Change { key, before: Some(before) }));
        changed
    }
}

fn key_of<K: ResourceExt>(object: &K) -> ObjectKey {
    (object.namespace().unwrap_or_default(), object.name_any())
}

#[cfg(test)]
mod tests {
    use k8s_openapi::api::core::v1::ConfigMap;

    use super::*;

    /// An object that is kept as its label `kept`, if it has one.
    fn object(name: &str, kept: Option<&str>) -> ConfigMap {
        let mut object = ConfigMap::default();
        object.metadata.name = Some(name.to_owned());
        object.metadata.labels = kept.map(|kept| [("kept".to_owned(), kept.to_owned())].into());
        object
    }

    fn reduce(object: &ConfigMap) -> Option<String> {
        object.labels().get("kept").cloned()
    }

    fn key(name: &str) -> ObjectKey {
        (String::new(), name.to_owned())
    }

    #[test]
    fn an_object_that_stops_reducing_leaves() {
        let mut mirror = Mirror::default();
        mirror.apply(Event::Apply(object("a", Some("1"))), reduce);
        assert_eq!(mirror.get(&key("a")).map(String::as_str), Some("1"));
        let changes = mirror.apply(Event::Apply(object("a", None)), reduce);
        assert_eq!(changes, [Change { key: key("a"), before: Some("1".to_owned()) }]);
        assert_eq!(mirror.get(&key("a")), None);
        assert_eq!(mirror.apply(Event::Apply(object("a", None)), reduce), []);
    }

    #[test]
    fn an_object_is_deleted_whatever_its_last_state_reduces_to() {
        let mut mirror = Mirror::default();
        mirror.apply(Event::Apply(object("a", Some("1"))), reduce);
        assert_eq!(mirror.apply(Event::Delete(object("a", None)), reduce).len(), 1);
        assert_eq!(mirror.iter().count(), 0);
        assert_eq!(mirror.apply(Event::Delete(object("a", Some("1"))), reduce), []);
    }

    #[test]
    fn a_list_replaces_everything_when_it_is_complete_and_tells_only_differences() {
        let mut mirror = Mirror::default();
        for (name, kept) in [("same", "1"), ("changed", "1"), ("gone", "1")] {
            mirror.apply(Event::Apply(object(name, Some(kept))), reduce);
        }
        assert_eq!(mirror.apply(Event::Init, reduce), []);
        for (name, kept) in [("same", "1"), ("changed", "2"), ("new", "1")] {
            assert_eq!(mirror.apply(Event::InitApply(object(name, Some(kept))), reduce), []);
        }
        assert_eq!(mirror.get(&key("gone")).map(String::as_str), Some("1"), "until the list is complete");
        let mut changed: Vec<String> =
            mirror.apply(Event::InitDone, reduce).into_iter().map(|change| change.key.1).collect();
        changed.sort_unstable();
        assert_eq!(changed, ["changed", "gone", "new"]);
        assert_eq!(mirror.get(&key("gone")), None);
    }
}
