//! Calls that are to be answered, and what their events lead to.

use chrono::{DateTime, Utc};
use sea_orm::ConnectionTrait;

use super::{
    call::{Answered, Call},
    interrupted::Interrupted,
    report::{Report, Slots},
};
use crate::{
    error::{Error, Result},
    id::OrganisationId,
    metrics::Step,
    referral::{
        codes::Codes,
        event::CheckedEvent,
        referral_events::ReferralEvents,
        resolve::{Resolved, ResolvedEvent, resolve},
        rules::judge::CallEvents,
        violation::Violation,
    },
    storage::Callers,
};

/// A call that is to be answered.
pub struct OpenCall<'c> {
    pub call: &'c Call,
    pub codes: Codes<'c>,
    pub callers: Callers,
    pub answer: Option<Result<Answered>>,
}

/// What is known of a call once its events are resolved.
pub struct ResolvedCall<'c> {
    /// Which of the calls.
    pub index: usize,
    /// With the answers of the events that may not be created.
    pub slots: Slots,
    /// Those that may be.
    pub events: Vec<ResolvedEvent<'c>>,
}

pub struct ResolvedCalls<'c> {
    pub calls: Vec<ResolvedCall<'c>>,
    pub directory_version: Option<i64>,
}

/// The well-formed events of a call, each with its position in it.
type WellFormed<'c> = Vec<(usize, &'c CheckedEvent)>;

impl<'c> OpenCall<'c> {
    /// Calls of which nothing is known yet, save how many wrong codes their callers may still give.
    pub async fn open(referral_events: &'c ReferralEvents, calls: &'c [(Call, Callers)]) -> Result<Vec<Self>> {
        let well_formed = |call: &'c Call| call.events.iter().filter_map(|checked| checked.event.as_ref().ok());
        let of_each = calls.iter().map(|(call, _)| (&call.sender, well_formed(call)));
        let codes = Codes::of_each(&referral_events.guessing, of_each).await?;
        let opened = calls.iter().zip(codes);
        Ok(opened
            .map(|((call, callers), codes)| Self { call, codes, callers: callers.clone(), answer: None })
            .collect())
    }

    pub fn into_answer(self) -> Result<Answered> {
        self.answer.unwrap_or_else(|| Err(Error::internal("a call has no answer")))
    }

    /// The events to resolve, and slots with the answers of the others.
    fn well_formed(&self) -> (Slots, WellFormed<'c>) {
        let mut slots = Slots::new(self.call.events.len());
        let mut well_formed = Vec::with_capacity(self.call.events.len());
        for (position, checked) in self.call.events.iter().enumerate() {
            match &checked.event {
                Ok(event) => match self.codes.wait_of(position, event) {
                    Some(wait) => slots.unprocessed(position, vec![Violation::too_many_wrong_codes(wait)], None),
                    None => well_formed.push((position, event)),
                },
                Err(violations) => slots.unprocessed(position, violations.clone(), None),
            }
        }
        (slots, well_formed)
    }
}

impl ResolvedCall<'_> {
    pub fn events(&self, call: &Call) -> CallEvents<'_> {
        CallEvents {
            events: &self.events,
            all_or_nothing: call.options.all_or_nothing,
            has_failed: self.slots.any_failed(),
        }
    }

    pub fn into_report(self, call: &Call) -> Result<Report> {
        self.slots.into_report(&call.events)
    }
}

impl ReferralEvents {
    /// Resolves the well-formed events of the calls that have no answer yet, and answers the others, those that cannot be
    /// resolved, and those of which nothing is told, for too many wrong codes were given. The wrong codes are counted the
    /// first time, outside of a transaction. A call of which nothing can be told is refused.
    pub(super) async fn resolve<'c, C: ConnectionTrait>(
        &self,
        connection: &C,
        organisation_id: OrganisationId,
        calls: &mut [OpenCall<'c>],
        now: DateTime<Utc>,
    ) -> Result<ResolvedCalls<'c>, Interrupted> {
        let mut open = Vec::with_capacity(calls.len());
        for (index, call) in calls.iter().enumerate().filter(|(_, call)| call.answer.is_none()) {
            open.push((index, call.well_formed()));
        }
        let all: WellFormed<'c> = open.iter().flat_map(|(_, (_, well_formed))| well_formed.iter().copied()).collect();
        let timer = Callers::current().timer(Step::Resolve);
        let Resolved { events: outcomes, directory_versions } =
            resolve(connection, organisation_id, &self.hasher, &all, now).await?;
        drop(timer);
        let directory_version = directory_versions.first().copied();
        if directory_versions.iter().any(|version| Some(*version) != directory_version) {
            return Err(Interrupted::DirectoryChanged);
        }
        let mut outcomes = outcomes.into_iter();
        let mut resolved = Vec::with_capacity(open.len());
        for (index, (mut slots, well_formed)) in open {
            let OpenCall { call, codes, answer, .. } = &mut calls[index];
            let mut outcomes: Vec<_> = outcomes.by_ref().take(well_formed.len()).collect();
            codes.withhold(&well_formed, &mut outcomes).await?;
            if let Some(wait) = codes.wait_of_all(call.events.iter().map(|checked| checked.event.as_ref().ok())) {
                *answer = Some(Err(Codes::refusal(wait)));
                continue;
            }
            let mut events = Vec::with_capacity(outcomes.len());
            for ((position, _), outcome) in well_formed.into_iter().zip(outcomes) {
                match outcome {
                    Ok(event) => events.push(event),
                    Err(violations) => slots.unprocessed(position, violations, None),
                }
            }
            resolved.push(ResolvedCall { index, slots, events });
        }
        Ok(ResolvedCalls { calls: resolved, directory_version })
    }
}
