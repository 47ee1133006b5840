//! The call that lists the events that were not created.

use super::{
    admission::Load,
    api::{Api, in_queue},
    convert::instant,
    fields::Fields,
    head::Head,
    look_back::{COST_OF_A_LIST, how_many_have_room},
};
use crate::{
    contract::{ListUnprocessedEventsRequest, ListUnprocessedEventsResponse, UnprocessedEvent, date::timestamp},
    error::Result,
    referral::{self, UnprocessedListRequest},
};

impl Api {
    pub async fn list_unprocessed_events(
        &self,
        head: &Head,
        mut request: ListUnprocessedEventsRequest,
    ) -> Result<ListUnprocessedEventsResponse> {
        let caller = self.caller(head, request.token.take()).await?;
        let fields = Fields::of::<UnprocessedEvent>(&request.fields_set)?;
        let permit = in_queue(&self.reads, &caller, Load::Other(COST_OF_A_LIST)).await?;
        let organisation_id = caller.organisation_id;
        let mut listed = self.referral_events.list_unprocessed(organisation_id, request.into(), permit).await?;
        let ids: Vec<_> = listed.events.iter().map(|event| event.id).collect();
        let mut unprocessed_events_set: Vec<_> = listed.events.drain(..).map(unprocessed_event).collect();
        fields.keep(&mut unprocessed_events_set)?;
        let room = how_many_have_room(&unprocessed_events_set);
        let cut_after = (room < ids.len()).then(|| ids.get(room - 1)).flatten();
        unprocessed_events_set.truncate(room);
        let next_page_token = listed.next_page_token(cut_after.copied());
        Ok(ListUnprocessedEventsResponse { unprocessed_events_set, next_page_token })
    }
}

/// The event as the contract has it.
fn unprocessed_event(event: referral::UnprocessedEvent) -> UnprocessedEvent {
    UnprocessedEvent {
        request_unique_identifier: event.request_unique_identifier,
        error_codes: event.error_codes.split(',').map(str::to_owned).collect(),
        error_description: Some(event.error_description),
        index: u32::try_from(event.event_index).ok(),
        external_system: event.external_system,
        external_system_reference_number: event.external_system_reference_number,
        request_id: Some(event.request_id),
        created_by: Some(event.created_by),
        created_on: Some(timestamp(event.created_on)),
    }
}

impl From<ListUnprocessedEventsRequest> for UnprocessedListRequest {
    fn from(request: ListUnprocessedEventsRequest) -> Self {
        Self {
            request_id: request.request_id,
            error_code: request.error_code,
            request_unique_identifier: request.request_unique_identifier,
            external_system: request.external_system,
            external_system_reference_number: request.external_system_reference_number,
            created_on_from: request.created_on_from.map(instant),
            created_on_to: request.created_on_to.map(instant),
            number_of_results: request.number_of_results,
            page_token: request.page_token,
        }
    }
}
