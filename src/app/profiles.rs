//! Scaling profiles of services: how much load their replicas handle.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::change::Change;
use super::{App, RequestContext};
use crate::config::ScalingProfile;
use crate::error::{Error, Result};
use crate::model::ProfileRecord;
use crate::model::event::{PROFILE_DELETED, PROFILE_SET};

impl App {
    /// All profiles: those set through the interface, and those of the configuration that they do not
    /// replace.
    ///
    /// # Errors
    /// The database failed.
    pub async fn profiles(&self) -> Result<BTreeMap<String, ScalingProfile>> {
        let mut profiles = self.parts.settings.scaling.profiles.clone();
        profiles.extend(self.stored_profiles().await?);
        Ok(profiles)
    }

    /// The profile of a service.
    ///
    /// # Errors
    /// There is none.
    pub async fn profile(&self, service: &str) -> Result<ScalingProfile> {
        let missing = || Error::NotFound { kind: "profile", name: service.to_owned() };
        self.profiles().await?.remove(service).ok_or_else(missing)
    }

    /// Sets the profile of a service, for every graph that has a service of that name.
    ///
    /// # Errors
    /// A field is out of bounds.
    pub async fn set_profile(
        &self,
        service: &str,
        document: &Value,
        context: &RequestContext,
    ) -> Result<ScalingProfile> {
        let invalid = |message: String| {
            // Messages begin with the field they are about.
            let field = message.split([':', ' ']).next().unwrap_or_default().to_owned();
            Error::invalid(format!("/{field}"), message)
        };
        let profile = ScalingProfile::read(document).map_err(invalid)?;
        let mut change = Change::begin(&self.parts, context.cause()).await?;
        change.tx.put_profile(service, &profile.to_value(), change.at).await?;
        let data = json!({ "profile": profile.to_value() });
        let event = change.cause.profile_event(PROFILE_SET, service, data);
        change.commit("profile", &event).await?;
        Ok(profile)
    }

    /// Forgets the profile that was set for a service; that of the configuration counts again.
    ///
    /// # Errors
    /// None was set.
    pub async fn delete_profile(&self, service: &str, context: &RequestContext) -> Result<()> {
        let mut change = Change::begin(&self.parts, context.cause()).await?;
        if !change.tx.delete_profile(service).await? {
            return Err(Error::NotFound { kind: "profile", name: service.to_owned() });
        }
        let event = change.cause.profile_event(PROFILE_DELETED, service, Value::Null);
        change.commit("profile", &event).await
    }

    pub(super) async fn stored_profiles(&self) -> Result<BTreeMap<String, ScalingProfile>> {
        let read = |record: ProfileRecord| match ScalingProfile::read(&record.profile) {
            Ok(profile) => Some((record.service, profile)),
            Err(error) => {
                tracing::warn!("the profile of {} in the database cannot be read: {error}", record.service);
                None
            }
        };
        Ok(self.parts.store.profiles().await?.into_iter().filter_map(read).collect())
    }
}
