"""The documented call by a client that openapi-python-client has made of the description.

Arguments: the address, the folder of the client."""

import sys

sys.path.insert(0, sys.argv[2])

from referral_events_client import AuthenticatedClient, Client
from referral_events_client.api.authentication_service import create_token
from referral_events_client.api.referral_event_service import bulk_create_referral_events, get_referral_event
from referral_events_client.models import (
    BulkCreateReferralEventsAnswer,
    BulkCreateReferralEventsRequest,
    CreateTokenRequest,
    Refusal,
    ReferralCustomerEvent,
)

address = f"http://{sys.argv[1]}"
credentials = CreateTokenRequest(organisation="demo", username="demo", password="demo")
token = create_token.sync(client=Client(base_url=address), body=credentials).data.token
client = AuthenticatedClient(base_url=address, token=token)


def event(name, referred, referrer):
    return ReferralCustomerEvent.from_dict(
        {
            "request_unique_identifier": name,
            "performed_by_unit_identifier": {"name": "Admin Unit"},
            "performed_on": "2016-06-22T15:00:00",
            "referred_rewards_participant_identifier": {"number": referred},
            "referred_by_rewards_participant_identifier": {"number": referrer},
        }
    )


events = [
    event("125", "RP0000000017", "RP0000000010"),
    event("124", "RP0000000014", "RP0000000012"),
    event("123", "RP0000000004", "RP0000000010"),
]
answer = bulk_create_referral_events.sync(
    client=client, body=BulkCreateReferralEventsRequest(referral_customer_events_set=events)
)
assert isinstance(answer, BulkCreateReferralEventsAnswer), answer
processed = [(event.request_unique_identifier, event.number) for event in answer.data.processed_customer_events_set]
assert processed == [("125", "8"), ("124", "9")], processed
unprocessed = [(event.request_unique_identifier, event.error_code) for event in answer.data.unprocessed_customer_events_set]
assert unprocessed == [("123", "ReferredByAnotherParticipantException")], unprocessed

shown = get_referral_event.sync(client=client, customer_event_identifier_number="8", fields_set=["number", "performed_on"])
assert (shown.data.number, shown.data.performed_on.isoformat()) == ("8", "2016-06-22T15:00:00+00:00"), shown

request = BulkCreateReferralEventsRequest(referral_customer_events_set=events, fields_set="numbers")
refused = bulk_create_referral_events.sync(client=client, body=request)
assert isinstance(refused, Refusal) and refused.status.code == "InvalidFieldsSetException", refused
