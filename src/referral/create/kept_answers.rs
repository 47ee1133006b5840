//! The answers that are kept for the repeats of calls with an idempotency key.

use std::time::Duration;

use chrono::{DateTime, Utc};
use sea_orm::DbErr;

use super::{
    attempt::Attempt,
    call::{Answered, Idempotency, Options},
    fingerprint::canonical,
    interrupted::Interrupted,
    open_calls::OpenCall,
    report::Report,
};
use crate::{
    error::{Error, ErrorKind, Result},
    id::OrganisationId,
    referral::{event::EventRequest, referral_events::ReferralEvents},
    storage::{Transaction, entity::idempotency_key, idempotency, users},
};

impl Attempt<'_> {
    /// The answers that were kept for calls of the same idempotency key and content, by which of the calls they are for.
    pub(super) async fn find_answers(&self, calls: &[OpenCall<'_>]) -> Result<Vec<(usize, Result<Answered>)>, DbErr> {
        let open = calls.iter().enumerate().filter(|(_, call)| call.answer.is_none());
        let named: Vec<(usize, &Idempotency, &[Vec<u8>])> = open
            .filter_map(|(index, open)| {
                let (idempotency, fingerprints) = open.call.idempotency.as_ref()?;
                Some((index, idempotency, fingerprints.as_slice()))
            })
            .collect();
        let keys: Vec<(&str, &str)> =
            named.iter().map(|(_, Idempotency { key, method, .. }, _)| (*method, key.as_str())).collect();
        if keys.is_empty() {
            return Ok(Vec::new());
        }
        let kept = idempotency::find_many(
            self.referral_events.database.reader(),
            self.organisation_id,
            &keys,
            self.kept_since(),
        )
        .await?;
        let answer = |kept: idempotency::Kept| {
            let (index, _, fingerprints) = *named.get(usize::try_from(kept.position).ok()?)?;
            let is_same = fingerprints.contains(&kept.fingerprint);
            Some((index, if is_same { Ok(Answered::Before(kept.answer)) } else { Err(key_reused()) }))
        };
        Ok(kept.into_iter().filter_map(answer).collect())
    }

    /// Keeps the answers for repeats of the calls that have an idempotency key and an answer to keep; says whether there
    /// were any.
    pub(super) async fn keep_answers(
        &self,
        transaction: &Transaction,
        calls: &[OpenCall<'_>],
        reports: &[(usize, Report)],
    ) -> Result<bool, Interrupted> {
        let to_keep = |(index, report): &(usize, Report)| {
            let (Idempotency { key, method, encode }, fingerprints) = calls[*index].call.idempotency.as_ref()?;
            Some(idempotency_key::Model {
                organisation_id: self.organisation_id,
                method: (*method).to_owned(),
                idempotency_key: key.clone(),
                fingerprint: fingerprints.first()?.clone(),
                answer: encode(report)?,
                created_on: self.now,
            })
        };
        let answers: Vec<idempotency_key::Model> = reports.iter().filter_map(to_keep).collect();
        let count = answers.len() as u64;
        if count > 0 && idempotency::keep(transaction, answers, self.kept_since()).await? < count {
            return Err(Interrupted::Raced);
        }
        Ok(count > 0)
    }

    fn kept_since(&self) -> DateTime<Utc> {
        self.referral_events.kept_since(self.now)
    }
}

impl ReferralEvents {
    /// What was kept under a key, without carrying anything out; with other content the key is refused.
    pub async fn find_answer(
        &self,
        organisation_id: OrganisationId,
        (method, key): (&str, &str),
        requests: &[EventRequest],
        options: Options,
    ) -> Result<Option<Vec<u8>>> {
        let since = self.kept_since(self.clock.now());
        let kept = idempotency::find_many(self.database.reader(), organisation_id, &[(method, key)], since).await?;
        let Some(kept) = kept.into_iter().next() else { return Ok(None) };
        let fingerprints = self.hasher.fingerprints(organisation_id, &canonical(requests, options));
        if fingerprints.contains(&kept.fingerprint) { Ok(Some(kept.answer)) } else { Err(key_reused()) }
    }

    /// The last of a method's keys between two others under which an answer is kept, and that answer.
    pub async fn find_last_answer(
        &self,
        organisation_id: OrganisationId,
        method: &str,
        between: (&str, &str),
    ) -> Result<Option<(String, Vec<u8>)>> {
        let since = self.kept_since(self.clock.now());
        let last = idempotency::find_last(self.database.reader(), organisation_id, method, between, since).await?;
        Ok(last.map(|last| (last.idempotency_key, last.answer)))
    }

    fn kept_since(&self, now: DateTime<Utc>) -> DateTime<Utc> {
        now - self.settings.idempotency_retention
    }

    /// Removes the answers that are kept for longer than they need be, in steps so small that no call waits for them.
    pub async fn remove_old_answers(&self) -> Result<()> {
        const STEP: u32 = 200;
        let since = self.kept_since(self.clock.now());
        for organisation_id in users::list_organisation_ids(self.database.reader()).await? {
            // A step may remove fewer than it could: another replica's took the same, or a call has just renewed one.
            while idempotency::remove_old(self.database.writer(), organisation_id, since, STEP).await? > 0 {
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
        }
        Ok(())
    }
}

fn key_reused() -> Error {
    let message = "The idempotency key was used before with another content.";
    Error::new(ErrorKind::IdempotencyKeyReused, message)
}
