//! The calls that look back on events, and the one that cancels an event.

use prost::Message;

use super::{
    admission::Load,
    api::{Api, in_queue, sender},
    convert::{instant, size_within, unboxed},
    customer_event::{CANCELLED, customer_event},
    fields::Fields,
    head::Head,
};
use crate::{
    contract::{
        CancelReferralEventRequest, CancelReferralEventResponse, CustomerEvent, CustomerEventIdentifier,
        GetReferralEventRequest, GetReferralEventResponse, ListReferralEventsRequest, ListReferralEventsResponse,
        MAXIMUM_ANSWER_SIZE,
    },
    error::Result,
    referral::{EventIdentifier, FilterRequest, ListRequest, event::PartyIdentifiers},
};

/// More bytes than it takes.
const SIZE_OF_A_PAGE_TOKEN: usize = 1024;
/// What a list costs, in events that are created.
pub(super) const COST_OF_A_LIST: usize = 200;

impl Api {
    pub async fn get_referral_event(
        &self,
        head: &Head,
        request: GetReferralEventRequest,
    ) -> Result<GetReferralEventResponse> {
        let caller = self.caller(head, request.token).await?;
        let fields = Fields::of::<CustomerEvent>(&request.fields_set)?;
        let permit = in_queue(&self.reads, &caller, Load::Other(1)).await?;
        let identifier = unboxed(request.customer_event_identifier);
        let event = self.referral_events.get(caller.organisation_id, identifier, permit).await?;
        let mut event = customer_event(event);
        fields.keep(std::slice::from_mut(&mut event))?;
        Ok(GetReferralEventResponse { customer_event: Some(event) })
    }

    pub async fn list_referral_events(
        &self,
        head: &Head,
        mut request: ListReferralEventsRequest,
    ) -> Result<ListReferralEventsResponse> {
        let caller = self.caller(head, request.token.take()).await?;
        let fields = Fields::of::<CustomerEvent>(&request.fields_set)?;
        let permit = in_queue(&self.reads, &caller, Load::Other(COST_OF_A_LIST)).await?;
        let mut listed = self.referral_events.list(sender(head, &caller), request.into(), permit).await?;
        let numbers: Vec<_> = listed.events.iter().map(|event| event.identity.number).collect();
        let mut customer_events_set: Vec<_> = listed.events.drain(..).map(customer_event).collect();
        fields.keep(&mut customer_events_set)?;
        let room = how_many_have_room(&customer_events_set);
        let cut_after = (room < numbers.len()).then(|| numbers.get(room - 1)).flatten();
        customer_events_set.truncate(room);
        Ok(ListReferralEventsResponse {
            customer_events_set,
            next_page_token: listed.next_page_token(cut_after.copied()),
        })
    }

    pub async fn cancel_referral_event(
        &self,
        head: &Head,
        request: CancelReferralEventRequest,
    ) -> Result<CancelReferralEventResponse> {
        let caller = self.caller(head, request.token).await?;
        caller.require_creation()?;
        let permit = in_queue(&self.writes, &caller, Load::Other(1)).await?;
        let identifier = unboxed(request.customer_event_identifier);
        let reason = request.cancellation_reason;
        let cancelled = self.referral_events.cancel(sender(head, &caller), identifier, reason, permit).await?;
        Ok(CancelReferralEventResponse {
            id: Some(cancelled.id.to_string()),
            number: Some(cancelled.number.to_string()),
            life_cycle_state: Some(CANCELLED.to_owned()),
        })
    }
}

/// How many events have room in one answer, one at least.
pub(super) fn how_many_have_room<M: Message>(events: &[M]) -> usize {
    let mut size = SIZE_OF_A_PAGE_TOKEN;
    let has_room = |event: &&M| {
        size += size_within(*event);
        size <= MAXIMUM_ANSWER_SIZE
    };
    events.iter().take_while(has_room).count().max(1)
}

impl From<CustomerEventIdentifier> for EventIdentifier {
    fn from(identifier: CustomerEventIdentifier) -> Self {
        Self {
            id: identifier.id,
            number: identifier.number,
            external_system_reference_number: identifier.external_system_reference_number,
            external_system: identifier.external_system,
        }
    }
}

impl From<ListReferralEventsRequest> for ListRequest {
    fn from(request: ListReferralEventsRequest) -> Self {
        let filter = FilterRequest {
            referred: PartyIdentifiers {
                accounts_receivable: unboxed(request.referred_accounts_receivable_identifier),
                rewards_participant: unboxed(request.referred_rewards_participant_identifier),
            },
            referred_by: PartyIdentifiers {
                accounts_receivable: unboxed(request.referred_by_accounts_receivable_identifier),
                rewards_participant: unboxed(request.referred_by_rewards_participant_identifier),
            },
            referred_or_referred_by: PartyIdentifiers {
                accounts_receivable: unboxed(request.referred_or_referred_by_accounts_receivable_identifier),
                rewards_participant: unboxed(request.referred_or_referred_by_rewards_participant_identifier),
            },
            classification: unboxed(request.classification_identifier),
            performed_by_business_unit: unboxed(request.performed_by_business_unit_identifier),
            performed_by_unit: unboxed(request.performed_by_unit_identifier),
            performed_by_tap: unboxed(request.performed_by_tap_identifier),
            performed_by_device: unboxed(request.performed_by_device_identifier),
            external_system: request.external_system,
            external_system_reference_number: request.external_system_reference_number,
            life_cycle_state: request.life_cycle_state,
            request_id: request.request_id,
            created_by: request.created_by,
            cancelled_by: request.cancelled_by,
            performed_on_from: request.performed_on_from.map(instant),
            performed_on_to: request.performed_on_to.map(instant),
            created_on_from: request.created_on_from.map(instant),
            created_on_to: request.created_on_to.map(instant),
        };
        Self {
            filter,
            order: request.order,
            number_of_results: request.number_of_results,
            page_token: request.page_token,
        }
    }
}
