//! Deployment of graphs: validates a descriptor, places its services, and records the desired state.

use std::collections::BTreeMap;
use std::sync::Arc;

use chrono::{DateTime, Utc};
use serde_json::json;

use super::change::Change;
use super::ledger::until_uncontended;
use super::planner::Decided;
use super::{Accepted, App, RequestContext, service_names};
use crate::config::check_strategy;
use crate::error::{Error, Result};
use crate::hdag::{
    self, Descriptor, Finding, Format, ParseError, Parsed, is_dns_label, release_values,
    service_import_clusters,
};
use crate::model::event;
use crate::model::now;
use crate::model::owner_of;
use crate::model::{Desired, GraphRecord, ServiceRecord, ServiceState};

/// Longest namespace that Kubernetes takes.
const NAMESPACE_LENGTH: usize = 63;

/// The outcome of recording a graph.
enum Recorded {
    New(GraphRecord),
    Exists(GraphRecord),
}

impl App {
    /// Deploys the graph of a descriptor.
    ///
    /// Posting the same descriptor again changes nothing, but retries failed operations.
    ///
    /// # Errors
    /// Invalid descriptor or project, too many descriptors at once, name taken, infeasible placement, stale state,
    /// release owned by someone else.
    pub async fn deploy_graph(
        &self,
        project: &str,
        text: String,
        format: Format,
        context: &RequestContext,
    ) -> Result<Accepted> {
        let namespace = self.namespace_of(project)?;
        let mut parsed = self.parse_descriptor(text, format).await?;
        let descriptor = parsed.descriptor;
        parsed.warnings.extend(bounds_without_scaling(&descriptor, self.parts.settings.scaling.enabled));
        self.refuse_unknown_scaling(&descriptor)?;
        if let Some(existing) = self.parts.store.graph(&descriptor.id).await? {
            return self.deploy_again(existing, project, &descriptor, parsed.warnings, context).await;
        }
        self.until_clusters_known().await;
        self.refuse_foreign_releases(&namespace, &descriptor).await?;
        let expected = self.expected_services(project, &namespace, &descriptor).await?;
        let recorded = self.place_and_record(&descriptor, &expected, project, &namespace, context).await?;
        let graph = match recorded {
            Recorded::New(graph) => graph,
            // Another request with the same name was faster.
            Recorded::Exists(existing) => {
                return self.deploy_again(existing, project, &descriptor, parsed.warnings, context).await;
            }
        };
        tracing::info!(graph.name = %graph.name, project, "graph {} accepted", graph.name);
        let progress = self.wake_and_wait(&graph, context).await;
        let view = self.get_graph(&graph.name).await?;
        Ok(Accepted { view, completed: progress.done, warnings: parsed.warnings, unchanged: false })
    }

    /// Parses and checks a descriptor on a thread of its own: of a large one that takes a while.
    async fn parse_descriptor(&self, text: String, format: Format) -> Result<Parsed> {
        let settings = Arc::clone(&self.parts.settings);
        let parse = move || hdag::parse(&text, format, &settings.intents, &settings.limits);
        self.parsing.run(parse).await?.map_err(invalid_descriptor)
    }

    /// Refuses a descriptor that names a scaling strategy which does not exist.
    fn refuse_unknown_scaling(&self, descriptor: &Descriptor) -> Result<()> {
        let Some(name) = &descriptor.scaling.strategy else { return Ok(()) };
        let external = &self.parts.settings.scaling.external;
        check_strategy(&name.as_str().into(), external)
            .map_err(|message| Error::invalid("/hdaGraph/smo/scaling/strategy", message))
    }

    /// Decides the placement and records the graph; again, a bounded number of times, when others took its
    /// capacity.
    async fn place_and_record(
        &self,
        descriptor: &Descriptor,
        expected: &[ServiceRecord],
        project: &str,
        namespace: &str,
        context: &RequestContext,
    ) -> Result<Recorded> {
        until_uncontended(|| self.try_to_record(descriptor, expected, project, namespace, context)).await
    }

    /// The services of a new graph, with what their charts bring as far as they can be rendered now.
    async fn expected_services(
        &self,
        project: &str,
        namespace: &str,
        descriptor: &Descriptor,
    ) -> Result<Vec<ServiceRecord>> {
        let graph = graph_record(descriptor, project, namespace.to_owned(), None, now());
        // Where they go is not known yet: charts that propagate themselves are rendered for any cluster.
        let cluster = self.parts.store.clusters().await?.into_iter().next().map(|cluster| cluster.name);
        let any = |cluster: &String| {
            descriptor.services.iter().map(|service| (service.id.clone(), cluster.clone())).collect()
        };
        let assignment = cluster.as_ref().filter(|_| !descriptor.intent.use_static_placement).map(any);
        let services = service_records(&graph, descriptor, assignment.as_ref(), &[]);
        Ok(self.with_charts(&graph, services).await)
    }

    async fn try_to_record(
        &self,
        descriptor: &Descriptor,
        expected: &[ServiceRecord],
        project: &str,
        namespace: &str,
        context: &RequestContext,
    ) -> Result<Recorded> {
        if let Some(existing) = self.parts.store.graph(&descriptor.id).await? {
            return Ok(Recorded::Exists(existing));
        }
        let at = now();
        let decided = if descriptor.intent.use_static_placement {
            None
        } else {
            Some(self.decide_placement(project, descriptor, expected, at).await?)
        };
        let graph = graph_record(descriptor, project, namespace.to_owned(), decided.as_ref(), at);
        match self.record_new(&graph, descriptor, expected, decided, context).await {
            Ok(()) => Ok(Recorded::New(graph)),
            // The name may have been taken since it was looked up, by the same descriptor perhaps.
            Err(Error::Conflict(message)) => match self.parts.store.graph(&descriptor.id).await? {
                Some(existing) => Ok(Recorded::Exists(existing)),
                None => Err(Error::Conflict(message)),
            },
            Err(error) => Err(error),
        }
    }

    /// A descriptor whose graph exists: accepted when it is identical.
    async fn deploy_again(
        &self,
        existing: GraphRecord,
        project: &str,
        descriptor: &Descriptor,
        warnings: Vec<Finding>,
        context: &RequestContext,
    ) -> Result<Accepted> {
        let name = &existing.name;
        if existing.desired == Desired::Deleted {
            return Err(Error::Conflict(format!(
                "graph {name:?} is being deleted; post it again when it is gone"
            )));
        }
        if existing.project != project {
            return Err(Error::Conflict(format!("graph {name:?} exists in project {:?}", existing.project)));
        }
        if existing.document_digest != hdag::digest(&descriptor.document) {
            let message = format!("graph {name:?} exists with another descriptor; delete it first");
            return Err(Error::Conflict(message));
        }
        let progress = self.wake_and_wait(&existing, context).await;
        let view = self.get_graph(name).await?;
        if !progress.done {
            tracing::info!(
                graph.name = %name,
                "graph {name} posted again; not every release is in the desired state yet"
            );
        }
        Ok(Accepted { view, completed: progress.done, warnings, unchanged: true })
    }

    /// The namespace of a project's releases.
    fn namespace_of(&self, project: &str) -> Result<String> {
        if let Some(namespace) = &self.parts.settings.namespace {
            return Ok(namespace.clone());
        }
        if is_dns_label(project, NAMESPACE_LENGTH) {
            return Ok(project.to_owned());
        }
        let message = format!(
            "project {project:?} cannot be a namespace: it must be a DNS-1123 label of at most {NAMESPACE_LENGTH} \
             characters; use such a name, or set SMO_NAMESPACE to one namespace for all projects"
        );
        Err(Error::invalid("/project", message))
    }

    /// Refuses a graph whose releases would collide with foreign releases of the same name. When Karmada does
    /// not answer, the reconciler checks later, and never touches foreign releases either.
    async fn refuse_foreign_releases(&self, namespace: &str, descriptor: &Descriptor) -> Result<()> {
        let owner = owner_of(&descriptor.id);
        let names: Vec<&str> = descriptor.services.iter().map(|service| service.id.as_str()).collect();
        let releases = match self.parts.outside.releases(namespace, &owner, &names).await {
            Ok(releases) => releases,
            Err(error) if error.kind.is_transient() => return Ok(()),
            Err(error) => return Err(error.into()),
        };
        let foreign = releases.iter().find(|release| {
            descriptor.service(&release.name).is_some() && release.owner.as_deref() != Some(&owner)
        });
        let Some(release) = foreign else { return Ok(()) };
        let owners = self.parts.store.release_owners(namespace, std::slice::from_ref(&release.name)).await?;
        let whose = owners.first().map_or_else(
            || "was not made by smo".to_owned(),
            |(_, graph)| format!("belongs to graph {graph:?}"),
        );
        let name = &release.name;
        Err(Error::Conflict(format!("release {name:?} exists in namespace {namespace:?} and {whose}")))
    }

    async fn record_new(
        &self,
        graph: &GraphRecord,
        descriptor: &Descriptor,
        expected: &[ServiceRecord],
        decided: Option<Decided>,
        context: &RequestContext,
    ) -> Result<()> {
        let assignment = match &decided {
            Some(decided) => Some(&decided.plan()?.assignment),
            None => None,
        };
        let services = service_records(graph, descriptor, assignment, expected);
        let mut change = Change::begin_new(&self.parts, &graph.name, context.cause()).await?;
        change.tx.insert_graph(graph).await?;
        change.tx.insert_services(&services).await?;
        let data = json!({ "project": graph.project, "services": service_names(&services), "placement": assignment });
        if let Some(decided) = &decided {
            change.tx.insert_decision(&decided.record).await?;
            change.tx.require_capacity();
        }
        let at = graph.created_at;
        change
            .tx
            .insert_revision(&graph.name, &graph.project, &graph.document, graph.decision_id, at)
            .await?;
        let event = change.cause.graph_event(event::GRAPH_CREATED, &graph.name, data);
        change.commit("create", &event).await?;
        if let Some(decided) = &decided {
            self.decide_shadows(decided, descriptor, &graph.project);
        }
        Ok(())
    }
}

/// Warnings of bounds of all replicas, which only scaling looks at, in a graph that is not scaled.
fn bounds_without_scaling(descriptor: &Descriptor, by_default: bool) -> Vec<Finding> {
    let intent = &descriptor.intent;
    if descriptor.scaling.enabled.unwrap_or(by_default) || !intent.high_availability {
        return Vec::new();
    }
    let bounds = [
        ("minReplicasOverall", intent.min_replicas_overall),
        ("maxReplicasOverall", intent.max_replicas_overall),
    ];
    let warning = |(field, _)| {
        let message = format!(
            "{field} has no effect while the graph is not scaled; scaling is switched on by \
             hdaGraph.smo.scaling.enabled, by POST /graphs/NAME/scaling or by SCALING_ENABLED"
        );
        Finding::new(format!("/hdaGraph/hdaGraphIntent/highAvailability/{field}"), message)
    };
    bounds.into_iter().filter(|(_, bound)| bound.is_some()).map(warning).collect()
}

fn invalid_descriptor(error: ParseError) -> Error {
    match error {
        ParseError::TooLarge(message) => Error::TooLarge(message),
        ParseError::Invalid(findings) => {
            let detail = match findings.as_slice() {
                [only] => format!("the descriptor is invalid: {}", only.message),
                several => format!("the descriptor is invalid in {} places", several.len()),
            };
            Error::Invalid { detail, findings }
        }
    }
}

fn graph_record(
    descriptor: &Descriptor,
    project: &str,
    namespace: String,
    decided: Option<&Decided>,
    at: DateTime<Utc>,
) -> GraphRecord {
    GraphRecord {
        name: descriptor.id.clone(),
        project: project.to_owned(),
        namespace,
        document: descriptor.document.clone(),
        document_digest: hdag::digest(&descriptor.document),
        desired: Desired::Running,
        generation: 1,
        observed_generation: 0,
        version: 1,
        static_placement: decided.is_none(),
        decision_id: decided.map(|decided| decided.record.id),
        conditions: Vec::new(),
        scaling_requested: descriptor.scaling.enabled,
        scaling_enabled: None,
        rescheduled_at: None,
        created_at: at,
        updated_at: at,
    }
}

fn service_records(
    graph: &GraphRecord,
    descriptor: &Descriptor,
    assignment: Option<&BTreeMap<String, String>>,
    expected: &[ServiceRecord],
) -> Vec<ServiceRecord> {
    let imports =
        assignment.map(|assignment| service_import_clusters(descriptor, assignment)).unwrap_or_default();
    let record = |(position, service): (i64, &hdag::Service)| {
        let cluster = assignment.and_then(|assignment| assignment.get(&service.id)).cloned();
        let import_clusters = imports.get(&service.id).map(Vec::as_slice).unwrap_or_default();
        let values = release_values(service, cluster.as_deref(), import_clusters);
        let expected = expected.iter().find(|record| record.name == service.id);
        let mut record = ServiceRecord {
            graph: graph.name.clone(),
            name: service.id.clone(),
            position,
            namespace: graph.namespace.clone(),
            needs: service.needs,
            trigger: service.trigger.clone(),
            triggered: false,
            cluster,
            chart: service.chart.clone(),
            artifact_type: service.artifact_type.clone(),
            implementer: service.implementer.clone(),
            values,
            propagation: service.propagation,
            import_clusters: import_clusters.to_vec(),
            scaled_workload: service.scaling.workload.clone(),
            replicas_decided: None,
            scaled_at: None,
            state: ServiceState::Deploying,
            ready: false,
            replicas_observed: None,
            replicas_ready: None,
            workloads: expected.map(|record| record.workloads.clone()).unwrap_or_default(),
            manifest: expected.and_then(|record| record.manifest.clone()),
            conditions: Vec::new(),
        };
        record.state = record.initial_state();
        record
    };
    (0..).zip(&descriptor.services).map(record).collect()
}
