"""Creates referral events by Python's gRPC, with code that is generated from the contract:

    pip install grpcio grpcio-status grpcio-tools
    python -m grpc_tools.protoc -I proto --python_out=generated --grpc_python_out=generated proto/referral/v1/*.proto
    PYTHONPATH=generated python examples/python/generated.py [ADDRESS]
"""

import datetime
import random
import sys
import time
import uuid

import grpc
from google.rpc import error_details_pb2
from grpc_status import rpc_status
from referral.v1 import authentication_service_pb2 as authentication
from referral.v1 import authentication_service_pb2_grpc, referral_event_service_pb2_grpc
from referral.v1 import referral_event_service_pb2 as events

ATTEMPTS = 6
# After these it is not known whether the call was carried out, or it may be later.
WORTH_A_RETRY = {grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.DEADLINE_EXCEEDED, grpc.StatusCode.INTERNAL}


def wait_before_retry(error, attempt):
    """How long to wait, in seconds; None where sending again is of no use."""
    status = rpc_status.from_call(error)
    for detail in status.details if status else []:
        info = error_details_pb2.RetryInfo()
        if detail.Unpack(info):
            return info.retry_delay.ToTimedelta().total_seconds()
    if error.code() in WORTH_A_RETRY:
        return min(10, 0.2 * 2**attempt) * random.uniform(0.5, 1.5)
    return None


def with_retries(call):
    for attempt in range(ATTEMPTS):
        try:
            return call()
        except grpc.RpcError as error:
            wait = wait_before_retry(error, attempt)
            if wait is None or attempt == ATTEMPTS - 1:
                raise
            print(f"waits {wait:.1f} s: {error.details()}")
            time.sleep(wait)


class Client:
    def __init__(self, address, **credentials):
        channel = grpc.insecure_channel(address)
        self.authentication = authentication_service_pb2_grpc.AuthenticationServiceStub(channel)
        self.events = referral_event_service_pb2_grpc.ReferralEventServiceStub(channel)
        self.credentials = authentication.CreateTokenRequest(**credentials)
        self.token, self.valid_until = None, 0

    def login(self):
        answer = with_retries(lambda: self.authentication.CreateToken(self.credentials, timeout=30))
        self.token, self.valid_until = answer.token, time.monotonic() + answer.expires_in - 60

    def call(self, method, request, key=None):
        """Answers the response and its metadata."""

        def once():
            if time.monotonic() >= self.valid_until:
                self.login()
            metadata = [("authorization", f"Bearer {self.token}")]
            metadata += [("idempotency-key", key)] if key else []
            response, call = method.with_call(request, metadata=metadata, timeout=30)
            return response, dict(call.initial_metadata())

        try:
            return with_retries(once)
        except grpc.RpcError as error:
            if error.code() != grpc.StatusCode.UNAUTHENTICATED:
                raise
        # It was released, or its user has a new password.
        self.login()
        return with_retries(once)


def event(name, referred, referrer):
    event = events.ReferralCustomerEvent(request_unique_identifier=name)
    event.performed_by_unit_identifier.name = "Admin Unit"
    event.performed_on.FromDatetime(datetime.datetime(2016, 6, 22, 15))
    event.referred_rewards_participant_identifier.number = referred
    event.referred_by_rewards_participant_identifier.number = referrer
    return event


def main(address):
    client = Client(address, organisation="demo", username="demo", password="demo")
    request = events.BulkCreateReferralEventsRequest(
        referral_customer_events_set=[
            event("125", "RP0000000017", "RP0000000010"),
            event("124", "RP0000000014", "RP0000000012"),
            event("123", "RP0000000004", "RP0000000010"),
        ]
    )
    # One key a call, the same however often it is sent.
    key = str(uuid.uuid4())
    response, _ = client.call(client.events.BulkCreateReferralEvents, request, key)
    for processed in response.processed_customer_events_set:
        print(f"{processed.request_unique_identifier}: created as number {processed.number}")
    for unprocessed in response.unprocessed_customer_events_set:
        again = "may be sent again" if unprocessed.retryable else "is not to be sent again"
        print(f"{unprocessed.request_unique_identifier}: {unprocessed.error_code}, {again}")
    _, metadata = client.call(client.events.BulkCreateReferralEvents, request, key)
    print(f"sent again: replayed {metadata.get('idempotency-replayed', 'false')}")

    client.call(client.authentication.ReleaseToken, authentication.ReleaseTokenRequest())
    # The next call takes a new token.
    listed, pages = 0, 0
    request = events.ListReferralEventsRequest(number_of_results=4, fields_set=["number"])
    while True:
        page, _ = client.call(client.events.ListReferralEvents, request)
        listed, pages = listed + len(page.customer_events_set), pages + 1
        if not page.next_page_token:
            break
        request.page_token = page.next_page_token
    print(f"listed: {listed} events in {pages} pages")


main(sys.argv[1] if len(sys.argv) > 1 else "127.0.0.1:50051")
