//! Propagation policies of releases whose charts bring none, and what carries their Services to other clusters.
//!
//! Everything is named after the release and marked as this installation's. The objects with these marks are
//! watched, so that a policy that somebody changed or removed is written again.

mod objects;

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use async_trait::async_trait;
use k8s_openapi::api::core::v1::Namespace;
use kube::api::{
    Api, ApiResource, DeleteParams, DynamicObject, GroupVersionKind, Patch, PatchParams, PostParams,
};
use kube::runtime::watcher::{Event, watcher};
use kube::{Client, ResourceExt};
use serde_json::{Value, json};
use tokio::sync::broadcast;
use tokio_util::task::AbortOnDropHandle;

pub(super) use self::objects::release_of_policy;
use self::objects::{Kind, PolicyObject};
use crate::clients::kubernetes::failure;
use crate::clients::marks::Marks;
use crate::clients::mirror::{Change, Mirror, ObjectKey};
use crate::clients::observed::Observed;
use crate::clients::watch::{WatchHealth, config, follow, monitored};
use crate::clients::{
    ClientError, ClientErrorKind, PropagationPolicies, PropagationSpec, ReleaseKey, Result, WatchReport,
};
use crate::model::ManifestObject;

const FIELD_MANAGER: &str = "smo";
/// Names the release that an object belongs to, as `NAMESPACE/NAME`.
const RELEASE: &str = "smo-release";

/// Policies of a Karmada.
pub struct KarmadaPropagation {
    client: Client,
    marks: Marks,
    observed: Arc<Observed<PolicyIndex, ReleaseKey>>,
    health: Vec<Arc<WatchHealth>>,
    _watches: Vec<AbortOnDropHandle<()>>,
}

impl KarmadaPropagation {
    /// Starts watching.
    ///
    /// Must be called within a tokio runtime; the watches end when this is dropped.
    #[must_use]
    pub fn start(client: Client, marks: Marks) -> Self {
        let observed = Observed::new(PolicyIndex::default());
        let watch = |kind: Kind| {
            let (health, target) = (WatchHealth::new("karmada", kind.plural()), Arc::clone(&observed));
            let api = Api::<DynamicObject>::all_with(monitored(&client, &health), &resource(kind));
            let events =
                watcher(api, config(&format!("{}={}", marks.labels.installation, marks.installation)));
            let watch = follow(Arc::clone(&health), events, move |event| {
                target.take(event, |index, event| index.apply(kind, event));
            });
            (health, watch)
        };
        let (health, watches) = Kind::ALL.into_iter().map(watch).unzip();
        Self { client, marks, observed, health, _watches: watches }
    }

    fn require_complete(&self) -> Result<()> {
        self.health.iter().try_for_each(|health| health.require_complete())
    }

    fn api(&self, kind: Kind, namespace: &str) -> Api<DynamicObject> {
        let (client, resource) = (self.client.clone(), resource(kind));
        match kind.is_namespaced() {
            true => Api::namespaced_with(client, namespace, &resource),
            false => Api::all_with(client, &resource),
        }
    }

    /// Karmada has to have a namespace before a policy can be in it; Helm would make it later. One that the chart
    /// brings is made as Helm would have it, or Helm would refuse it as foreign.
    async fn ensure_namespace(&self, name: &str, wanted: &PropagationSpec) -> Result<()> {
        let namespaces = Api::<Namespace>::all(self.client.clone());
        let mut namespace = Namespace::default();
        namespace.metadata.name = Some(name.to_owned());
        let is_it = |object: &ManifestObject| {
            object.id.kind == "Namespace"
                && object.id.api_version == "v1"
                && object.id.name == name
                && !object.hook
        };
        if wanted.manifest.objects.iter().any(is_it) {
            let text = |(name, value): (&str, &str)| (name.to_owned(), value.to_owned());
            namespace.metadata.labels = Some([text(("app.kubernetes.io/managed-by", "Helm"))].into());
            let ReleaseKey { namespace: home, name: release } = &wanted.release;
            let marks = [("meta.helm.sh/release-name", release), ("meta.helm.sh/release-namespace", home)];
            namespace.metadata.annotations =
                Some(marks.into_iter().map(|(name, value)| text((name, value.as_str()))).collect());
        }
        let failed = |error| failure("karmada", &format!("cannot make the namespace {name}"), error);
        if namespaces.get_metadata_opt(name).await.map_err(failed)?.is_some() {
            return Ok(());
        }
        match namespaces.create(&PostParams::default(), &namespace).await.map_err(failed) {
            Err(error) if error.kind == ClientErrorKind::Conflict => Ok(()),
            made => made.map(drop),
        }
    }

    async fn write(&self, wanted: &PropagationSpec, object: &PolicyObject) -> Result<()> {
        let (api, name) = (self.api(object.kind, &object.key.0), &object.key.1);
        let failed = |error| failure("karmada", &format!("cannot write the {}", object.told()), error);
        let manifest = self.manifest(wanted, object);
        match self.observed.read(|index| index.get(object).map(|known| object.is_in(&known.content))) {
            Some(true) => return Ok(()),
            Some(false) => {}
            None => {
                let field_manager = Some(FIELD_MANAGER.to_owned());
                let params = PostParams { field_manager, ..PostParams::default() };
                match api.create(&params, &manifest).await.map_err(failed) {
                    // Another installation sends the definition to all members, too.
                    Err(error) if error.kind == ClientErrorKind::Conflict && object.is_shared => {
                        return Ok(());
                    }
                    Err(error) if error.kind == ClientErrorKind::Conflict => {
                        self.refuse_foreign(&api, object).await?;
                    }
                    made => return made.map(drop),
                }
            }
        }
        let params = PatchParams::apply(FIELD_MANAGER).force();
        api.patch(name, &params, &Patch::Apply(&manifest)).await.map(drop).map_err(failed)
    }

    fn manifest(&self, wanted: &PropagationSpec, object: &PolicyObject) -> DynamicObject {
        let mut manifest = DynamicObject::new(&object.key.1, &resource(object.kind));
        let ReleaseKey { namespace, name } = &wanted.release;
        if object.kind.is_namespaced() {
            manifest.metadata.namespace = Some(object.key.0.clone());
        }
        if !object.is_shared {
            let release = (RELEASE.to_owned(), format!("{namespace}/{name}"));
            manifest.metadata.annotations = Some(BTreeMap::from([release]));
        }
        manifest.metadata.labels = Some(self.labels(wanted, object));
        manifest.data.clone_from(&object.content);
        manifest
    }

    /// A definition's policy belongs to no release, since others may need the definition too.
    fn labels(&self, wanted: &PropagationSpec, object: &PolicyObject) -> BTreeMap<String, String> {
        let marks = self.marks.of(&wanted.owner);
        let count = if object.is_shared { 1 } else { marks.len() };
        marks.into_iter().take(count).map(|(name, value)| (name.to_owned(), value.to_owned())).collect()
    }

    async fn refuse_foreign(&self, api: &Api<DynamicObject>, object: &PolicyObject) -> Result<()> {
        let found = api.get_metadata_opt(&object.key.1).await;
        let found = found
            .map_err(|error| failure("karmada", &format!("cannot read the {}", object.told()), error))?;
        let is_ours = |labels: &BTreeMap<String, String>| {
            labels.get(&self.marks.labels.installation) == Some(&self.marks.installation)
        };
        match found {
            Some(found) if !is_ours(found.labels()) => {
                let message =
                    format!("the {} exists and was not made by this installation of smo", object.told());
                Err(ClientError::new("karmada", ClientErrorKind::Conflict, message))
            }
            _ => Ok(()),
        }
    }

    async fn delete(&self, kind: Kind, key: &ObjectKey) -> Result<()> {
        let deleted = self.api(kind, &key.0).delete(&key.1, &DeleteParams::default()).await;
        match deleted
            .map_err(|error| failure("karmada", &format!("cannot delete the {kind} {}", key.1), error))
        {
            Err(error) if error.kind != ClientErrorKind::NotFound => Err(error),
            _ => Ok(()),
        }
    }

    async fn shown(
        &self,
        release: &ReleaseKey,
        done: &str,
        is_shown: impl Fn(&PolicyIndex) -> bool,
    ) -> Result<()> {
        let shown = self.observed.until(is_shown).await;
        shown.map_err(|_| {
            self.health[0].not_shown(&format!("the policies of release {} are {done}", release.name))
        })
    }
}

fn resource(kind: Kind) -> ApiResource {
    let (group, version) = kind.group_version();
    ApiResource::from_gvk(&GroupVersionKind::gvk(group, version, kind.as_str()))
}

#[async_trait]
impl PropagationPolicies for KarmadaPropagation {
    async fn is_applied(&self, wanted: &PropagationSpec) -> Result<bool> {
        self.require_complete()?;
        let objects = objects::of(wanted);
        Ok(self.observed.read(|index| index.shows(&wanted.release, &objects)))
    }

    async fn exist(&self, release: &ReleaseKey) -> Result<bool> {
        self.require_complete()?;
        Ok(self.observed.read(|index| index.by_release.contains_key(release)))
    }

    async fn apply(&self, wanted: &PropagationSpec) -> Result<()> {
        self.require_complete()?;
        let objects = objects::of(wanted);
        let namespaces: BTreeSet<&str> =
            objects.iter().map(|object| object.key.0.as_str()).filter(|name| !name.is_empty()).collect();
        for namespace in namespaces {
            self.ensure_namespace(namespace, wanted).await?;
        }
        for object in &objects {
            self.write(wanted, object).await?;
        }
        for (kind, key) in self.observed.read(|index| index.others(&wanted.release, &objects)) {
            self.delete(kind, &key).await?;
        }
        self.shown(&wanted.release, "written", |index| index.shows(&wanted.release, &objects)).await
    }

    async fn remove(&self, release: &ReleaseKey) -> Result<()> {
        self.require_complete()?;
        for (kind, key) in self.observed.read(|index| index.others(release, &[])) {
            self.delete(kind, &key).await?;
        }
        self.shown(release, "removed", |index| !index.by_release.contains_key(release)).await
    }

    fn changes(&self) -> broadcast::Receiver<ReleaseKey> {
        self.observed.changes()
    }

    fn watches(&self) -> Vec<WatchReport> {
        self.health.iter().map(|health| health.state()).collect()
    }
}

/// The objects of this installation, by release.
#[derive(Default)]
struct PolicyIndex {
    objects: HashMap<Kind, Mirror<PolicyState>>,
    by_release: HashMap<ReleaseKey, BTreeSet<(Kind, ObjectKey)>>,
}

#[derive(PartialEq)]
struct PolicyState {
    /// `None` for one that several releases share.
    release: Option<ReleaseKey>,
    /// All but its metadata.
    content: Value,
}

impl PolicyState {
    fn of(object: &DynamicObject) -> Self {
        let release = object.annotations().get(RELEASE).and_then(|release| release.split_once('/'));
        let release =
            release.map(|(namespace, name)| ReleaseKey { namespace: namespace.into(), name: name.into() });
        // The status says nothing about what is wanted.
        let content = object.data.get("spec").map_or_else(|| json!({}), |spec| json!({ "spec": spec }));
        Self { release, content }
    }
}

impl PolicyIndex {
    fn apply(&mut self, kind: Kind, event: Event<DynamicObject>) -> BTreeSet<ReleaseKey> {
        let mirror = self.objects.entry(kind).or_default();
        let mut touched = BTreeSet::new();
        for Change { key, before } in mirror.apply(event, |object| Some(PolicyState::of(object))) {
            let (after, entry) = (mirror.get(&key).and_then(|state| state.release.clone()), (kind, key));
            if let Some(release) = before.and_then(|state| state.release) {
                if let Some(objects) = self.by_release.get_mut(&release) {
                    objects.remove(&entry);
                    if objects.is_empty() {
                        self.by_release.remove(&release);
                    }
                }
                touched.insert(release);
            }
            if let Some(release) = after {
                self.by_release.entry(release.clone()).or_default().insert(entry);
                touched.insert(release);
            } else {
                // Of no graph, but whoever waits for it looks again.
                touched.insert(ReleaseKey { namespace: String::new(), name: String::new() });
            }
        }
        touched
    }

    fn get(&self, object: &PolicyObject) -> Option<&PolicyState> {
        self.objects.get(&object.kind)?.get(&object.key)
    }

    /// The objects of a release besides these.
    fn others(&self, release: &ReleaseKey, objects: &[PolicyObject]) -> Vec<(Kind, ObjectKey)> {
        let is_wanted = |(kind, key): &(Kind, ObjectKey)| {
            objects.iter().any(|object| object.kind == *kind && object.key == *key)
        };
        self.by_release
            .get(release)
            .into_iter()
            .flatten()
            .filter(|entry| !is_wanted(entry))
            .cloned()
            .collect()
    }

    /// Whether a release has these objects and no others. Shared ones, which may be another installation's, are
    /// written first: they are there if the others are.
    fn shows(&self, release: &ReleaseKey, objects: &[PolicyObject]) -> bool {
        let is_there =
            |object: &PolicyObject| self.get(object).is_some_and(|known| object.is_in(&known.content));
        objects.iter().filter(|object| !object.is_shared).all(is_there)
            && self.others(release, objects).is_empty()
    }
}
