//! Graphs: deploy, list, show, start, stop, delete, history.
//!
//! A change is answered 200 when its work is done and 202 while it continues; the graph then reports its
//! progress.

use axum::Json;
use axum::extract::State;
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use super::body::DescriptorBody;
use super::extract::{Context, GraphPath, Parameters, PreferHeader, ProjectPath};
use super::graph_view::{Graph, GraphStatus};
use super::problem::{ApiError, CommonErrors, DecisionErrors, InputFinding, Problem};
use crate::app::{Accepted, App, Deletion, GraphPage};
use crate::error::Error;
use crate::model::{Desired, EventRecord, GraphFilter};

const TAG: &str = "graphs";
/// Largest page.
const LARGEST_PAGE: i64 = 1000;
/// Size of a page of events when none is asked for.
const EVENTS_PAGE: i64 = 100;
/// All but RFC 3986's unreserved characters.
const RESERVED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');
const PREFERENCE_APPLIED: HeaderName = HeaderName::from_static("preference-applied");

/// The messages of the answer to a change.
struct Messages {
    done: &'static str,
    going_on: &'static str,
}

const DEPLOY: Messages =
    Messages { done: "Graph deployment successful", going_on: "Graph deployment started" };
/// A graph that is posted again while it is stopped stays so.
const DEPLOY_STOPPED: Messages =
    Messages { done: "Graph exists and is stopped", going_on: "Graph exists and is being stopped" };
const START: Messages = Messages { done: "Graph started", going_on: "Graph start accepted" };
const STOP: Messages = Messages { done: "Graph stopped", going_on: "Graph stop accepted" };
const DELETE: Messages = Messages { done: "Removal successful", going_on: "Removal started" };

/// A descriptor as it can be posted in JSON.
#[derive(ToSchema)]
#[serde(untagged)]
#[expect(dead_code, reason = "only describes the body in the document")]
pub enum DeployGraphRequest {
    /// The descriptor itself.
    Descriptor(DescriptorDocument),
    /// The descriptor as YAML text in a JSON string.
    Text(String),
}

/// A descriptor.
#[derive(ToSchema)]
#[expect(dead_code, reason = "only describes the body in the document")]
pub struct DescriptorDocument {
    /// The graph in the HDAG information model.
    #[schema(rename = "hdaGraph", value_type = BTreeMap<String, serde_json::Value>, example = json!({
        "id": "hello-world",
        "services": [{
            "id": "hello-world",
            "deployment": {"trigger": {"auto": {"dependencies": []}}, "intent": {"compute": {"cpu": "light"}}},
            "artifact": {"ociImage": "oci://registry.example/nephele/hello-world"}
        }]
    }))]
    hda_graph: serde_json::Value,
}

/// Deploy a graph.
///
/// The descriptor is checked as a whole, its services are placed, and the desired state is recorded; then the
/// answer waits until Helm has accepted every release, for a limited time. The same descriptor again changes
/// nothing; another one under the same name is refused.
#[utoipa::path(
    post, path = "/project/{project}/graphs", operation_id = "deploy_graph", tag = TAG,
    params(ProjectPath, PreferHeader),
    request_body(description = "The descriptor, at most 1 MiB unless configured otherwise", content(
        (DeployGraphRequest = "application/json"),
        (DescriptorDocument = "application/yaml"),
        (DescriptorDocument = "application/x-yaml"),
        (DescriptorDocument = "text/yaml"),
        (DescriptorDocument = "text/x-yaml"),
    )),
    responses(
        (status = 200, description = "All releases are installed, or the same graph was stopped before and stays so", body = Graph),
        (status = 202, description = "Accepted; the work goes on", body = Graph,
            headers(("Location" = String, description = "Where the graph tells how far it is"))),
        DecisionErrors,
        (status = 409, description = "The name is taken by another descriptor, a release of that name is not ours, \
            or no placement is feasible (`explanation` says what is missing where)",
            body = Problem, content_type = "application/problem+json"),
        CommonErrors
    )
)]
pub(super) async fn deploy_graph(
    State(app): State<App>,
    ProjectPath { project }: ProjectPath,
    Context(context): Context,
    body: DescriptorBody,
) -> Result<Response, ApiError> {
    let accepted = app.deploy_graph(&project, body.text, body.format, &context).await?;
    let Accepted { view, completed, warnings, unchanged } = accepted;
    let is_stopped = unchanged && view.graph.desired == Desired::Stopped;
    let messages = if is_stopped { &DEPLOY_STOPPED } else { &DEPLOY };
    let graph = Graph::from(view).with_warnings(warnings.into_iter().map(InputFinding::from));
    Ok(changed(graph, completed, context.respond_async, messages))
}

/// List the graphs of a project.
#[utoipa::path(
    get, path = "/project/{project}/graphs", operation_id = "list_project_graphs", tag = TAG,
    params(ProjectPath, PageParameters),
    responses(
        (status = 200, description = "Graphs of the project by name", body = [Graph], headers(
            ("Link" = Option<String>, description = "Address of the next page with `rel=\"next\"`; absent on the last page")
        )),
        CommonErrors
    )
)]
pub(super) async fn list_project_graphs(
    State(app): State<App>,
    ProjectPath { project }: ProjectPath,
    Parameters(PageParameters { after, limit }): Parameters<PageParameters>,
) -> Result<Response, ApiError> {
    let path = format!("/project/{}/graphs", encoded(&project));
    let parameters = ListGraphsParameters { after, limit, ..ListGraphsParameters::default() };
    let filter = GraphFilter { project: Some(project), ..parameters.filter() };
    list(&app, &filter, |next| parameters.link_to(&path, next)).await
}

/// Which page of a list to show.
#[derive(Debug, Default, Clone, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(super) struct PageParameters {
    /// Only names after this one; the header `Link` holds the address of the next page.
    #[param(nullable = false, example = "brussels")]
    after: Option<String>,
    /// Maximum number of entries; all by default.
    #[param(nullable = false, minimum = 1, maximum = 1000, example = 50)]
    limit: Option<i64>,
}

/// Which graphs to list.
#[derive(Debug, Default, Clone, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(super) struct ListGraphsParameters {
    /// Only of this project.
    #[param(nullable = false, example = "nephele")]
    project: Option<String>,
    /// Only with this status.
    #[param(nullable = false, example = "Running")]
    status: Option<GraphStatus>,
    /// Only names after this one; the header `Link` holds the address of the next page.
    #[param(nullable = false, example = "brussels")]
    after: Option<String>,
    /// Maximum number of entries; all by default.
    #[param(nullable = false, minimum = 1, maximum = 1000, example = 50)]
    limit: Option<i64>,
}

/// List graphs of all projects.
#[utoipa::path(
    get, path = "/graphs", operation_id = "list_graphs", tag = TAG, params(ListGraphsParameters),
    responses(
        (status = 200, description = "Graphs by name", body = [Graph], headers(
            ("Link" = Option<String>, description = "Address of the next page with `rel=\"next\"`; absent on the last page")
        )),
        CommonErrors
    )
)]
pub(super) async fn list_graphs(
    State(app): State<App>,
    Parameters(parameters): Parameters<ListGraphsParameters>,
) -> Result<Response, ApiError> {
    list(&app, &parameters.filter(), |next| parameters.link_to("/graphs", next)).await
}

/// A page of graphs; `link` makes the address of the next one.
async fn list(app: &App, filter: &GraphFilter, link: impl Fn(&str) -> String) -> Result<Response, ApiError> {
    in_page("limit", filter.limit)?;
    let GraphPage { graphs, next } = app.list_graphs(filter).await?;
    let mut headers = HeaderMap::new();
    if let Some(link) = next.and_then(|next| HeaderValue::from_str(&link(&next)).ok()) {
        headers.insert(header::LINK, link);
    }
    Ok((headers, Json(graphs.into_iter().map(Graph::from).collect::<Vec<_>>())).into_response())
}

impl ListGraphsParameters {
    fn filter(&self) -> GraphFilter {
        GraphFilter {
            project: self.project.clone(),
            desired: self.status.map(Into::into),
            after: self.after.clone(),
            limit: self.limit,
        }
    }

    /// RFC 8288 link to the page of a list after the name `next`.
    fn link_to(&self, path: &str, next: &str) -> String {
        let status = self.status.map(|status| format!("{status:?}"));
        let limit = self.limit.map(|limit| limit.to_string());
        let parameters = [
            ("project", self.project.as_deref()),
            ("status", status.as_deref()),
            ("after", Some(next)),
            ("limit", limit.as_deref()),
        ];
        let pair = |(name, value): (&str, Option<&str>)| Some(format!("{name}={}", encoded(value?)));
        let query: Vec<_> = parameters.into_iter().filter_map(pair).collect();
        format!("<{path}?{}>; rel=\"next\"", query.join("&"))
    }
}

/// Show a graph.
#[utoipa::path(
    get, path = "/graphs/{name}", operation_id = "get_graph", tag = TAG, params(GraphPath),
    responses((status = 200, description = "The graph", body = Graph), CommonErrors)
)]
pub(super) async fn get_graph(
    State(app): State<App>,
    GraphPath { name }: GraphPath,
) -> Result<Json<Graph>, ApiError> {
    Ok(Json(app.get_graph(&name).await?.into()))
}

/// Start a stopped graph: install its services again, conditional ones once their event happens again.
///
/// They go where they were; when one of its clusters is gone, down or full, the graph is placed again.
#[utoipa::path(
    post, path = "/graphs/{name}/start", operation_id = "start_graph", tag = TAG,
    params(GraphPath, PreferHeader),
    responses(
        (status = 200, description = "All releases are installed", body = Graph),
        (status = 202, description = "Accepted; the work goes on", body = Graph),
        DecisionErrors,
        CommonErrors
    )
)]
pub(super) async fn start_graph(
    State(app): State<App>,
    GraphPath { name }: GraphPath,
    Context(context): Context,
) -> Result<Response, ApiError> {
    let Accepted { view, completed, .. } = app.start_graph(&name, &context).await?;
    Ok(changed(view.into(), completed, context.respond_async, &START))
}

/// Stop a graph: uninstall its services and keep its record.
#[utoipa::path(
    post, path = "/graphs/{name}/stop", operation_id = "stop_graph", tag = TAG,
    params(GraphPath, PreferHeader),
    responses(
        (status = 200, description = "Nothing of it runs any more", body = Graph),
        (status = 202, description = "Accepted; the work goes on", body = Graph),
        CommonErrors
    )
)]
pub(super) async fn stop_graph(
    State(app): State<App>,
    GraphPath { name }: GraphPath,
    Context(context): Context,
) -> Result<Response, ApiError> {
    let Accepted { view, completed, .. } = app.stop_graph(&name, &context).await?;
    Ok(changed(view.into(), completed, context.respond_async, &STOP))
}

/// Answer to a delete whose work is done.
#[derive(Debug, Serialize, ToSchema)]
pub struct DeleteGraphResponse {
    /// Name of the removed graph.
    #[schema(example = "brussels")]
    name: String,
    /// Description of the outcome.
    #[schema(example = "Removal successful")]
    message: &'static str,
}

/// Delete a graph: uninstall its services, then remove its record.
#[utoipa::path(
    delete, path = "/graphs/{name}", operation_id = "delete_graph", tag = TAG,
    params(GraphPath, PreferHeader),
    responses(
        (status = 200, description = "Everything is gone", body = DeleteGraphResponse),
        (status = 202, description = "Accepted; the work goes on", body = Graph),
        CommonErrors
    )
)]
pub(super) async fn delete_graph(
    State(app): State<App>,
    GraphPath { name }: GraphPath,
    Context(context): Context,
) -> Result<Response, ApiError> {
    let Deletion { name, remaining } = app.delete_graph(&name, &context).await?;
    Ok(match remaining {
        None => Json(DeleteGraphResponse { name, message: DELETE.done }).into_response(),
        Some(view) => changed(view.into(), false, context.respond_async, &DELETE),
    })
}

/// Which events to list.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(super) struct ListEventsParameters {
    /// Only events after this sequence number.
    #[param(nullable = false, minimum = 0, example = 0)]
    after: Option<i64>,
    /// Maximum number of entries; 100 by default.
    #[param(nullable = false, minimum = 1, maximum = 1000, example = 100)]
    limit: Option<i64>,
}

/// List the events of a graph, oldest first; of a deleted one too.
#[utoipa::path(
    get, path = "/graphs/{name}/events", operation_id = "list_graph_events", tag = TAG,
    params(GraphPath, ListEventsParameters),
    responses((status = 200, description = "Events by sequence number", body = [EventRecord]), CommonErrors)
)]
pub(super) async fn list_graph_events(
    State(app): State<App>,
    GraphPath { name }: GraphPath,
    Parameters(ListEventsParameters { after, limit }): Parameters<ListEventsParameters>,
) -> Result<Json<Vec<EventRecord>>, ApiError> {
    in_page("limit", limit)?;
    let after = after.unwrap_or(0);
    if after < 0 {
        return Err(Error::invalid("/after", "after must not be negative").into());
    }
    Ok(Json(app.graph_events(&name, after, limit.unwrap_or(EVENTS_PAGE)).await?))
}

/// The answer to a change of intent.
fn changed(graph: Graph, completed: bool, respond_async: bool, messages: &Messages) -> Response {
    let name = graph.name().to_owned();
    let message = if completed { messages.done } else { messages.going_on };
    answer(&name, graph.with_message(message), completed, respond_async)
}

/// 200 for work that is done; 202, with the location where the graph reports its progress, for work that
/// continues.
pub(super) fn answer(name: &str, body: impl Serialize, completed: bool, respond_async: bool) -> Response {
    if completed {
        return Json(body).into_response();
    }
    let mut headers = HeaderMap::new();
    let location = format!("/graphs/{}", encoded(name));
    headers.extend(HeaderValue::from_str(&location).ok().map(|value| (header::LOCATION, value)));
    if respond_async {
        headers.insert(PREFERENCE_APPLIED, HeaderValue::from_static("respond-async"));
    }
    (StatusCode::ACCEPTED, headers, Json(body)).into_response()
}

pub(super) fn in_page(name: &str, limit: Option<i64>) -> Result<(), Error> {
    match limit {
        Some(limit) if !(1..=LARGEST_PAGE).contains(&limit) => Err(Error::invalid(
            format!("/{name}"),
            format!("{name} must be a number from 1 to {LARGEST_PAGE}, not {limit}"),
        )),
        _ => Ok(()),
    }
}

fn encoded(text: &str) -> String {
    utf8_percent_encode(text, RESERVED).to_string()
}

#[cfg(test)]
mod tests {
    use super::super::graph_view::tests::view;
    use super::*;
    use crate::hdag::Finding;

    async fn body(response: Response) -> serde_json::Value {
        let body = axum::body::to_bytes(response.into_body(), usize::MAX).await.unwrap();
        serde_json::from_slice(&body).unwrap()
    }

    #[tokio::test]
    async fn work_that_is_done_is_answered_200() {
        let warning = Finding::new("/hdaGraph/odd", "unknown field");
        let graph = Graph::from(view()).with_warnings([warning.into()]);
        let response = changed(graph, true, false, &DEPLOY);
        assert_eq!(response.status(), StatusCode::OK);
        assert!(response.headers().get(header::LOCATION).is_none());
        let body = body(response).await;
        assert_eq!(body["message"], "Graph deployment successful");
        assert_eq!(body["warnings"][0]["pointer"], "/hdaGraph/odd");
    }

    #[tokio::test]
    async fn work_that_goes_on_is_answered_202_with_the_place_to_look_at() {
        let mut view = view();
        view.graph.name = "a b?".to_owned();
        let response = changed(view.into(), false, true, &STOP);
        assert_eq!(response.status(), StatusCode::ACCEPTED);
        assert_eq!(response.headers()[header::LOCATION], "/graphs/a%20b%3F");
        assert_eq!(response.headers()[PREFERENCE_APPLIED], "respond-async");
        let body = body(response).await;
        assert_eq!(body["message"], "Graph stop accepted");
        assert!(body.get("warnings").is_none());
    }

    #[test]
    fn the_link_to_the_next_page_keeps_the_filter_and_encodes_names() {
        let parameters = ListGraphsParameters {
            project: Some("a b".to_owned()),
            status: Some(GraphStatus::Running),
            after: Some("old".to_owned()),
            limit: Some(2),
        };
        assert_eq!(
            parameters.link_to("/graphs", "grün&1"),
            "</graphs?project=a%20b&status=Running&after=gr%C3%BCn%261&limit=2>; rel=\"next\""
        );
    }

    #[test]
    fn pages_have_bounds() {
        assert!(in_page("limit", None).is_ok());
        assert!(in_page("limit", Some(1000)).is_ok());
        assert!(in_page("limit", Some(0)).is_err());
        assert!(in_page("limit", Some(1001)).is_err());
    }
}
