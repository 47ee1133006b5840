//! A chunk of a load: a bulk call under a key of its own.

use std::cmp::Ordering;

use axum::http::{HeaderMap, HeaderValue};
use prost::Message;

use super::super::{
    admission::Load,
    api::{Answer, Api, CreateCall, in_queue, limit_of_bulk, read_events},
    convert::bulk_response,
    fields::{ByDefault, Fields},
    head::Head,
    raw::RawEvent,
    request::{self, IDEMPOTENCY_KEY_HEADER},
};
use crate::{
    contract::{BulkCreateReferralEventsResponse, LoadChunkResponse, MAXIMUM_ANSWER_SIZE},
    error::{Error, ErrorKind, Result},
    id::OrganisationId,
    metrics::CallRecord,
    referral::{Options, Report},
};

/// The name of the calls under idempotency keys.
const METHOD: &str = "load";
/// What comes between the id of a load and an offset: no id has it, so that no load's keys are among those of another.
const SEPARATOR: char = ' ';
/// The character after it.
const AFTER_SEPARATOR: char = '!';
const MAXIMUM_ID_LENGTH: usize = 128;
/// What an answer to a chunk has beside the answer to the call, at most.
const ROOM_FOR_OFFSETS: usize = 64;

/// A load that is open.
pub struct OpenLoad {
    pub id: LoadId,
    pub organisation_id: OrganisationId,
    pub options: Options,
    pub fields_set: Vec<String>,
    /// Where it goes on, as far as this stream knows; `None` where a rehearsal has not begun.
    pub next_offset: Option<u64>,
}

/// The events of a chunk, which are not yet read.
pub struct Chunk {
    pub offset: u64,
    pub events: Vec<RawEvent>,
    pub number_of_events: usize,
}

/// The caller's name for a load.
pub struct LoadId(String);

impl LoadId {
    pub fn new(id: String) -> Result<Self> {
        let is_fine = id.len() <= MAXIMUM_ID_LENGTH && id.bytes().all(|byte| byte.is_ascii_graphic());
        is_fine.then_some(Self(id)).ok_or_else(|| {
            let message = format!("The load_id is one text of 1 to {MAXIMUM_ID_LENGTH} characters of visible ASCII.");
            Error::new(ErrorKind::MalformedRequest, message).at_field("load_id")
        })
    }

    /// The key of the chunk that begins at an offset: the keys of a load are in the order of their offsets.
    fn key(&self, offset: u64) -> String {
        format!("{}{SEPARATOR}{offset:020}", self.0)
    }

    fn offset_of(key: &str) -> Option<u64> {
        key.rsplit_once(SEPARATOR)?.1.parse().ok()
    }
}

impl OpenLoad {
    /// Carries a chunk out where the load goes on there, and repeats its answer where it was carried out before.
    pub async fn answer(&mut self, api: &Api, head: Head, chunk: Chunk) -> Result<LoadChunkResponse> {
        let Chunk { offset, events, number_of_events } = chunk;
        let head = Head { headers: self.headers_of(&head.headers, offset)?, ..head };
        let mut next_offset = self.next_offset.unwrap_or(offset);
        if offset != next_offset && !self.options.validate_only {
            // Another stream may have moved it.
            next_offset = self.find_next_offset(api).await?;
        }
        let call = CreateCall {
            // It is known by the header.
            token: None,
            events,
            number_of_events,
            fields_set: self.fields_set.clone(),
            options: self.options,
        };
        let answer = match offset.cmp(&next_offset) {
            Ordering::Equal => api.load_chunk(&head, call).await?,
            Ordering::Less if !self.options.validate_only => {
                api.repeat_chunk(&head, call).await?.ok_or_else(|| out_of_range(offset, next_offset))?
            }
            _ => return Err(out_of_range(offset, next_offset)),
        };
        let end = offset.saturating_add(number_of_events as u64);
        self.next_offset = Some(next_offset.max(end));
        let Answer { message, is_repeated } = answer;
        let BulkCreateReferralEventsResponse {
            processed_customer_events_set,
            unprocessed_customer_events_set,
            summary,
        } = message;
        Ok(LoadChunkResponse {
            offset: Some(offset),
            next_offset: Some(end),
            summary,
            processed_customer_events_set,
            unprocessed_customer_events_set,
            replayed: Some(is_repeated),
        })
    }

    /// The headers of a call with the key of the chunk.
    fn headers_of(&self, headers: &HeaderMap, offset: u64) -> Result<HeaderMap> {
        let mut headers = headers.clone();
        let key = HeaderValue::from_str(&self.id.key(offset)).map_err(Error::internal)?;
        headers.insert(IDEMPOTENCY_KEY_HEADER, key);
        Ok(headers)
    }

    /// Where the load goes on: where its last chunk ended.
    pub async fn find_next_offset(&self, api: &Api) -> Result<u64> {
        let LoadId(id) = &self.id;
        let (after, before) = (format!("{id}{SEPARATOR}"), format!("{id}{AFTER_SEPARATOR}"));
        let last = api.referral_events.find_last_answer(self.organisation_id, METHOD, (&after, &before)).await?;
        let Some((key, answer)) = last else { return Ok(0) };
        let offset = LoadId::offset_of(&key).ok_or_else(|| Error::internal("a key of a load has no offset"))?;
        let kept = BulkCreateReferralEventsResponse::decode(answer.as_slice()).map_err(Error::internal)?;
        let events = kept.summary.and_then(|summary| summary.requested);
        let events =
            events.ok_or_else(|| Error::internal("an answer of a load does not say how many events it has"))?;
        Ok(offset.saturating_add(events.into()))
    }
}

impl Api {
    async fn load_chunk(
        &self,
        head: &Head,
        call: CreateCall<RawEvent>,
    ) -> Result<Answer<BulkCreateReferralEventsResponse>> {
        let fields = |fields_set: &[String]| Fields::of_bulk(fields_set, ByDefault::Everything);
        let respond = |report: &Report| Ok(bulk_response(report, MAXIMUM_ANSWER_SIZE - ROOM_FOR_OFFSETS));
        let (fields, mut answer) = self.create(head, call, METHOD, fields, limit_of_bulk, respond).await?;
        fields.keep_in_bulk(&mut answer.message)?;
        Ok(answer)
    }

    /// The answer that is kept for a chunk, if there is one. With other content it is refused.
    async fn repeat_chunk(
        &self,
        head: &Head,
        call: CreateCall<RawEvent>,
    ) -> Result<Option<Answer<BulkCreateReferralEventsResponse>>> {
        let caller = self.caller(head, call.token).await?;
        limit_of_bulk(call.number_of_events)?;
        let Some(key) = request::idempotency_key(&head.headers)? else { return Ok(None) };
        let _permit = in_queue(&self.reads, &caller, Load::Other(call.number_of_events)).await?;
        let events = read_events(call.events).await;
        let kept = self.referral_events.find_answer(caller.organisation_id, (METHOD, &key), &events, call.options);
        let Some(kept) = kept.await? else { return Ok(None) };
        CallRecord::current().note(|facts| facts.is_repeated = true);
        let mut message = BulkCreateReferralEventsResponse::decode(kept.as_slice()).map_err(Error::internal)?;
        Fields::of_bulk(&call.fields_set, ByDefault::Everything)?.keep_in_bulk(&mut message)?;
        Ok(Some(Answer { message, is_repeated: true }))
    }
}

fn out_of_range(offset: u64, next_offset: u64) -> Error {
    let message = format!("The load goes on at the offset {next_offset}; no chunk of it begins at {offset}.");
    Error::new(ErrorKind::OffsetOutOfRange, message).at_field("offset").next_is(next_offset)
}
