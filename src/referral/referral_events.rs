//! The referral events of a database, and what holds for all calls about them.

use std::time::Duration;

use super::{create::Groups, rules::release::Release, unprocessed::Journal};
use crate::{
    clock::Clock,
    guessing::Guessing,
    id::OrganisationId,
    secret::CodeHasher,
    storage::{
        Database,
        access_tokens::{self, StaleHash},
    },
};

/// What holds for the calls of all callers.
#[derive(Clone, Debug)]
pub struct ReferralSettings {
    /// Lets referrals form circles.
    pub allow_circles: bool,
    /// Which attributes there are, and which are mandatory.
    pub release: Release,
    /// How long the answers of calls with an idempotency key are kept.
    pub idempotency_retention: Duration,
    /// How many events of calls that wait are created in one transaction, at most.
    pub maximum_group: usize,
    /// How long unprocessed events are kept; not at all where it is zero.
    pub unprocessed_retention: Duration,
}

impl Default for ReferralSettings {
    fn default() -> Self {
        Self {
            allow_circles: false,
            release: Release::default(),
            idempotency_retention: Duration::from_secs(7 * 24 * 3600),
            maximum_group: 1000,
            unprocessed_retention: Duration::from_secs(7 * 24 * 3600),
        }
    }
}

/// Creates events, answers those that are there, and cancels them.
#[derive(Clone)]
pub struct ReferralEvents {
    pub(super) database: Database,
    pub(super) hasher: CodeHasher,
    pub(super) settings: ReferralSettings,
    pub(super) guessing: Guessing,
    pub(super) clock: Clock,
    pub(super) groups: Groups,
    pub(super) journal: Journal,
}

impl ReferralEvents {
    pub fn new(
        database: Database,
        hasher: CodeHasher,
        settings: ReferralSettings,
        guessing: Guessing,
        clock: Clock,
    ) -> Self {
        let groups = Groups::new(settings.maximum_group);
        Self { database, hasher, settings, guessing, clock, groups, journal: Journal::default() }
    }

    pub fn release(&self) -> Release {
        self.settings.release
    }

    /// Has codes that were used stored by their hashes of the newest key, in nobody's way. Where it fails, they are when
    /// they are used again.
    pub(super) fn renew_hashes(&self, organisation_id: OrganisationId, stale: Vec<StaleHash>) {
        if stale.is_empty() {
            return;
        }
        let database = self.database.clone();
        tokio::spawn(async move {
            let renewed = access_tokens::renew_hashes(database.side_writer(), organisation_id, &stale).await;
            if let Err(error) = renewed {
                tracing::debug!(%error, "codes keep their hashes of an older key");
            }
        });
    }
}
