//! Services: the desired release of each and its last observed state.
//!
//! Intent and observation are written by different methods, so that neither overwrites the other. A release
//! (namespace and name) belongs to one graph; a second graph is refused with the name of the first.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use serde_json::{Map, Value};
use sqlx::QueryBuilder;

use super::db::{CHUNK, Conn, Tx, micros, on};
use super::json::JsonText;
use super::{Result, Store, StoreError};
use crate::hdag::{Propagation, Resources, Trigger};
use crate::model::{Condition, Manifest, ServiceRecord, ServiceState, WorkloadUse};

const INSERT: &str =
    "INSERT INTO services (graph, name, position, namespace, needs, trigger_spec, conditional,
    triggered, cluster, chart, artifact_type, implementer, release_values, replicas_decided, state, ready,
    replicas_observed, replicas_ready, workloads, conditions, propagation, import_clusters, manifest, scaled_at,
    scaled_workload, chart_digest) ";
const OF_GRAPH: &str = "SELECT * FROM services WHERE graph = $1 ORDER BY position, name";
const UPDATE_INTENT: &str = "UPDATE services SET cluster = $3, release_values = $4, triggered = $5,
        replicas_decided = $6, import_clusters = $7, scaled_at = $8
    WHERE graph = $1 AND name = $2";
const UPDATE_OBSERVATION: &str =
    "UPDATE services SET state = $3, ready = $4, replicas_observed = $5, replicas_ready = $6,
        workloads = $7, conditions = $8, manifest = $9, chart_digest = $10
    WHERE graph = $1 AND name = $2";
const GRAPH_OF_RELEASE: &str = "SELECT graph FROM services WHERE namespace = $1 AND name = $2";
const OF_SCALED: &str = "SELECT s.* FROM services s JOIN graphs g ON g.name = s.graph
    WHERE g.desired = 'running' AND COALESCE(g.scaling_enabled, g.scaling_requested, $1)
    AND s.graph > $2 AND s.graph <= $3 ORDER BY s.graph, s.position, s.name";
const CONDITIONAL_GRAPHS: &str = "SELECT DISTINCT graph FROM services WHERE conditional ORDER BY graph";
const CONDITIONAL: &str = "SELECT s.graph, g.project FROM services s JOIN graphs g ON g.name = s.graph
    WHERE s.name = $1 AND s.conditional ORDER BY s.graph";

/// A row without its charge.
#[derive(sqlx::FromRow)]
pub(super) struct ServiceRow {
    graph: String,
    name: String,
    position: i64,
    namespace: String,
    needs: JsonText<Resources>,
    trigger_spec: JsonText<Trigger>,
    triggered: bool,
    cluster: Option<String>,
    chart: String,
    artifact_type: String,
    implementer: String,
    release_values: JsonText<Map<String, Value>>,
    replicas_decided: Option<i64>,
    #[sqlx(try_from = "String")]
    state: ServiceState,
    ready: bool,
    replicas_observed: Option<i64>,
    replicas_ready: Option<i64>,
    workloads: JsonText<Vec<WorkloadUse>>,
    conditions: JsonText<Vec<Condition>>,
    propagation: Option<String>,
    import_clusters: JsonText<Vec<String>>,
    manifest: Option<JsonText<Manifest>>,
    scaled_at: Option<DateTime<Utc>>,
    scaled_workload: Option<String>,
}

impl From<ServiceRow> for ServiceRecord {
    fn from(row: ServiceRow) -> Self {
        Self {
            graph: row.graph,
            name: row.name,
            position: row.position,
            namespace: row.namespace,
            needs: row.needs.0,
            trigger: row.trigger_spec.0,
            triggered: row.triggered,
            cluster: row.cluster,
            chart: row.chart,
            artifact_type: row.artifact_type,
            implementer: row.implementer,
            values: row.release_values.0,
            scaled_workload: row.scaled_workload,
            replicas_decided: row.replicas_decided,
            state: row.state,
            ready: row.ready,
            replicas_observed: row.replicas_observed,
            replicas_ready: row.replicas_ready,
            workloads: row.workloads.0,
            conditions: row.conditions.0,
            propagation: row.propagation.as_deref().and_then(propagation_named),
            import_clusters: row.import_clusters.0,
            manifest: row.manifest.map(|manifest| manifest.0),
            scaled_at: row.scaled_at,
        }
    }
}

fn name_of_propagation(propagation: Propagation) -> &'static str {
    match propagation {
        Propagation::Chart => "chart",
        Propagation::Managed => "managed",
    }
}

fn propagation_named(name: &str) -> Option<Propagation> {
    [Propagation::Chart, Propagation::Managed].into_iter().find(|known| name_of_propagation(*known) == name)
}

impl Store {
    /// The services of a graph in the order of its descriptor.
    ///
    /// # Errors
    /// The database failed.
    pub async fn services(&self, graph: &str) -> Result<Vec<ServiceRecord>> {
        of_graph(self.db.acquire().await?.conn(), graph).await
    }

    /// The services of several graphs, by graph and then in the order of its descriptor.
    ///
    /// # Errors
    /// The database failed.
    pub async fn services_of(&self, graphs: &[String]) -> Result<Vec<ServiceRecord>> {
        let mut connection = self.db.acquire().await?;
        let mut services = Vec::new();
        for chunk in graphs.chunks(CHUNK) {
            let rows: Vec<ServiceRow> = on!(connection.conn(), c => {
                let mut query = QueryBuilder::new("SELECT * FROM services WHERE graph IN (");
                let mut list = query.separated(", ");
                for graph in chunk {
                    list.push_bind(graph);
                }
                query.push(")").build_query_as().persistent(false).fetch_all(c).await
            })?;
            services.extend(rows.into_iter().map(ServiceRecord::from));
        }
        services.sort_by(|a, b| (&a.graph, a.position, &a.name).cmp(&(&b.graph, b.position, &b.name)));
        Ok(services)
    }

    /// The graph that owns a release.
    ///
    /// # Errors
    /// The database failed.
    pub async fn graph_of_release(&self, namespace: &str, name: &str) -> Result<Option<String>> {
        let mut connection = self.db.acquire().await?;
        Ok(on!(connection.conn(), c => sqlx::query_scalar(GRAPH_OF_RELEASE)
            .bind(namespace)
            .bind(name)
            .fetch_optional(c).await)?)
    }

    /// Those of the named releases that some graph owns: release and graph, sorted by release.
    ///
    /// # Errors
    /// The database failed.
    pub async fn release_owners(&self, namespace: &str, names: &[String]) -> Result<Vec<(String, String)>> {
        let mut connection = self.db.acquire().await?;
        let mut owners = Vec::new();
        for chunk in names.chunks(CHUNK) {
            owners.extend(owners_in(connection.conn(), namespace, chunk.iter().map(String::as_str)).await?);
        }
        owners.sort();
        owners.dedup();
        Ok(owners)
    }

    /// Names of all graphs with a conditional service, sorted.
    ///
    /// # Errors
    /// The database failed.
    pub async fn conditional_graphs(&self) -> Result<Vec<String>> {
        let mut connection = self.db.acquire().await?;
        Ok(on!(connection.conn(), c => sqlx::query_scalar(CONDITIONAL_GRAPHS).fetch_all(c).await)?)
    }

    /// The graphs that have a conditional service of that name, whatever their desired state: graph and
    /// project, sorted by graph.
    ///
    /// # Errors
    /// The database failed.
    pub async fn conditional_services(&self, service: &str) -> Result<Vec<(String, String)>> {
        let mut connection = self.db.acquire().await?;
        Ok(on!(connection.conn(), c =>
            sqlx::query_as(CONDITIONAL).bind(service).fetch_all(c).await)?)
    }
}

impl Tx {
    /// The services of a graph in the order of its descriptor.
    ///
    /// # Errors
    /// The database failed.
    pub async fn services(&mut self, graph: &str) -> Result<Vec<ServiceRecord>> {
        of_graph(self.conn(), graph).await
    }

    /// Adds the services of a graph, which must be there already.
    ///
    /// # Errors
    /// [`StoreError::Conflict`] when another graph owns one of the releases: roll back. The database failed.
    pub async fn insert_services(&mut self, services: &[ServiceRecord]) -> Result<()> {
        for chunk in services.chunks(CHUNK) {
            let inserted = insert(self.conn(), chunk).await?;
            if inserted != chunk.len() as u64 {
                return Err(self.release_conflict(chunk).await?);
            }
            chunk.iter().for_each(|service| self.touch(&service.graph));
        }
        Ok(())
    }

    /// Writes the placement and the desired release of a service: cluster, those that import it, values,
    /// whether its event has happened, replicas.
    ///
    /// # Errors
    /// [`StoreError::Version`] when the service is gone; the database failed.
    pub async fn update_service_intent(&mut self, service: &ServiceRecord) -> Result<()> {
        let updated = on!(self.conn(), c => sqlx::query(UPDATE_INTENT)
            .bind(&service.graph)
            .bind(&service.name)
            .bind(service.cluster.as_deref())
            .bind(JsonText(&service.values))
            .bind(service.triggered)
            .bind(service.replicas_decided)
            .bind(JsonText(&service.import_clusters))
            .bind(service.scaled_at.map(micros))
            .execute(c).await?.rows_affected());
        self.touch(&service.graph);
        written(updated, service)
    }

    /// Writes the observation of a service: state, readiness, replicas, workloads, conditions, manifest.
    ///
    /// # Errors
    /// [`StoreError::Version`] when the service is gone; the database failed.
    pub async fn update_service_observation(&mut self, service: &ServiceRecord) -> Result<()> {
        let updated = on!(self.conn(), c => sqlx::query(UPDATE_OBSERVATION)
            .bind(&service.graph)
            .bind(&service.name)
            .bind(service.state.as_str())
            .bind(service.ready)
            .bind(service.replicas_observed)
            .bind(service.replicas_ready)
            .bind(JsonText(&service.workloads))
            .bind(JsonText(&service.conditions))
            .bind(service.manifest.as_ref().map(JsonText))
            .bind(service.chart_digest())
            .execute(c).await?.rows_affected());
        self.touch(&service.graph);
        written(updated, service)
    }

    /// Error that names the release that is taken, and its graph.
    async fn release_conflict(&mut self, services: &[ServiceRecord]) -> Result<StoreError> {
        for service in services {
            let owner = owners_in(self.conn(), &service.namespace, [service.name.as_str()]).await?;
            if let Some((release, graph)) = owner.into_iter().find(|(_, graph)| *graph != service.graph) {
                let namespace = &service.namespace;
                return Ok(StoreError::Conflict {
                    message: format!("release {release} in namespace {namespace} belongs to graph {graph}"),
                });
            }
        }
        let graph = services.first().map_or("", |service| service.graph.as_str());
        Ok(StoreError::Conflict { message: format!("graph {graph:?} has two services of one name") })
    }
}

pub(super) async fn of_graph(conn: Conn<'_>, graph: &str) -> Result<Vec<ServiceRecord>> {
    let rows: Vec<ServiceRow> = on!(conn, c => sqlx::query_as(OF_GRAPH).bind(graph).fetch_all(c).await)?;
    Ok(rows.into_iter().map(ServiceRecord::from).collect())
}

/// The services of the running graphs that are scaled, by graph, in the order of its descriptor.
pub(super) async fn of_scaled_graphs(
    conn: Conn<'_>,
    default: bool,
    after: &str,
    last: &str,
) -> Result<BTreeMap<String, Vec<ServiceRecord>>> {
    let rows: Vec<ServiceRow> = on!(conn, c =>
        sqlx::query_as(OF_SCALED).bind(default).bind(after).bind(last).fetch_all(c).await)?;
    let mut services = BTreeMap::<String, Vec<ServiceRecord>>::new();
    for service in rows.into_iter().map(ServiceRecord::from) {
        services.entry(service.graph.clone()).or_default().push(service);
    }
    Ok(services)
}

/// Inserts all rows in one statement and returns how many it took: conflicting rows are left out, since an
/// error would end the transaction on PostgreSQL before the owner of the existing row could be queried.
async fn insert(conn: Conn<'_>, services: &[ServiceRecord]) -> Result<u64> {
    Ok(on!(conn, c => {
        let mut query = QueryBuilder::new(INSERT);
        query.push_values(services, |mut row, service| {
            row.push_bind(&service.graph)
                .push_bind(&service.name)
                .push_bind(service.position)
                .push_bind(&service.namespace)
                .push_bind(JsonText(service.needs))
                .push_bind(JsonText(&service.trigger))
                .push_bind(service.is_conditional())
                .push_bind(service.triggered)
                .push_bind(service.cluster.as_deref())
                .push_bind(&service.chart)
                .push_bind(&service.artifact_type)
                .push_bind(&service.implementer)
                .push_bind(JsonText(&service.values))
                .push_bind(service.replicas_decided)
                .push_bind(service.state.as_str())
                .push_bind(service.ready)
                .push_bind(service.replicas_observed)
                .push_bind(service.replicas_ready)
                .push_bind(JsonText(&service.workloads))
                .push_bind(JsonText(&service.conditions))
                .push_bind(service.propagation.map(name_of_propagation))
                .push_bind(JsonText(&service.import_clusters))
                .push_bind(service.manifest.as_ref().map(JsonText))
                .push_bind(service.scaled_at.map(micros))
                .push_bind(service.scaled_workload.as_deref())
                .push_bind(service.chart_digest());
        });
        query.push(" ON CONFLICT DO NOTHING").build().persistent(false).execute(c).await?.rows_affected()
    }))
}

/// Release and graph of those of the names that are taken in the namespace.
async fn owners_in<'n>(
    conn: Conn<'_>,
    namespace: &str,
    names: impl IntoIterator<Item = &'n str>,
) -> Result<Vec<(String, String)>> {
    Ok(on!(conn, c => {
        let mut query = QueryBuilder::new("SELECT name, graph FROM services WHERE namespace = ");
        query.push_bind(namespace).push(" AND name IN (");
        let mut list = query.separated(", ");
        for name in names {
            list.push_bind(name);
        }
        query.push(")").build_query_as().persistent(false).fetch_all(c).await
    })?)
}

fn written(rows: u64, service: &ServiceRecord) -> Result<()> {
    if rows == 0 {
        return Err(StoreError::Version { graph: service.graph.clone() });
    }
    Ok(())
}
