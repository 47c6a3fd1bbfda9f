//! State of everything the server depends on, derived from its regular calls.

use std::time::Duration;

use tokio::time::timeout;

use super::{App, DependencyState, ServerState, SystemState, WatchView};
use crate::clients::Probe;

/// How long the database may take to answer. The other states are known, so that nothing else is waited for.
const DATABASE_DEADLINE: Duration = Duration::from_secs(2);

/// An external system: its name, whether there is a port for it, and whether a setting makes it real.
type System = (&'static str, bool, bool);

impl App {
    /// State of everything the server depends on. Ready means that requests are served: the database answers,
    /// and the clusters were listed since the start, or have been waited for long enough. An external system
    /// that fails delays work and is reported, but does not make the server unready.
    pub async fn readiness(&self) -> ServerState {
        let database = database(self.parts.store.ping()).await;
        let ready = database.state == DependencyState::Ok && self.may_decide();
        let outside = &self.parts.outside;
        let probes = outside.probes();
        let settings = &self.parts.settings;
        let karmada = settings.karmada.kubeconfig.is_some();
        let systems: [System; 6] = [
            ("karmada", true, karmada),
            ("helm", true, karmada),
            ("registry", true, karmada),
            ("monitoring", outside.has_rules(), settings.monitoring.kubeconfig.is_some()),
            ("prometheus", outside.has_metrics(), settings.monitoring.prometheus_url.is_some()),
            ("submariner", outside.has_networks(), settings.submariner.kubeconfig.is_some()),
        ];
        let systems = systems.into_iter().map(|system| {
            let probe = probes.iter().find(|probe| probe.system == system.0);
            self.dependency(system, probe)
        });
        let dependencies = std::iter::once(database).chain(systems).collect();
        let watch = |state| WatchView { stale: outside.is_stale(&state), state };
        let watches = outside.watches().into_iter().map(watch).collect();
        ServerState { ready, simulated: self.is_simulated(), dependencies, watches }
    }

    fn dependency(&self, (name, available, real): System, probe: Option<&Probe>) -> SystemState {
        let last_error = probe.and_then(|probe| probe.last_error.clone());
        let last_success = probe.and_then(|probe| probe.last_success);
        let state = match (available, &last_error, last_success) {
            (false, ..) => DependencyState::NotConfigured,
            _ if self.is_simulated() && !real => DependencyState::Simulated,
            (true, Some(_), _) => DependencyState::Failing,
            (true, None, Some(_)) => DependencyState::Ok,
            (true, None, None) => DependencyState::Unknown,
        };
        SystemState { name, state, last_success, message: last_error }
    }
}

/// State of the database by its answer to a ping.
async fn database(ping: impl Future<Output = crate::store::Result<()>>) -> SystemState {
    let answer = match timeout(DATABASE_DEADLINE, ping).await {
        Ok(answer) => answer.map_err(|error| error.to_string()),
        Err(_elapsed) => Err(format!("no answer within {} s", DATABASE_DEADLINE.as_secs())),
    };
    SystemState {
        name: "database",
        state: if answer.is_ok() { DependencyState::Ok } else { DependencyState::Failing },
        last_success: answer.is_ok().then(crate::model::now),
        message: answer.err(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_database_that_does_not_answer_is_told_before_a_probe_gives_up() {
        // The pool would wait ten seconds for a connection.
        let state = timeout(Duration::from_secs(5), database(std::future::pending())).await.unwrap();
        assert!(matches!(state.state, DependencyState::Failing));
        assert_eq!(state.message.as_deref(), Some("no answer within 2 s"));
    }
}
