"""Creates referral events by Python's gRPC, of which it knows nothing but what the server tells of itself:

    pip install grpcio grpcio-reflection grpcio-status
    python examples/python/reflection.py [ADDRESS]
"""

import random
import sys
import time
import uuid

import grpc
from google.protobuf import json_format
from google.protobuf.descriptor_pool import DescriptorPool
from google.protobuf.message_factory import GetMessageClass
from google.rpc import error_details_pb2
from grpc_reflection.v1alpha.proto_reflection_descriptor_database import ProtoReflectionDescriptorDatabase
from grpc_status import rpc_status

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


class Client:
    def __init__(self, address, **credentials):
        self.channel = grpc.insecure_channel(address)
        self.pool = DescriptorPool(ProtoReflectionDescriptorDatabase(self.channel))
        self.credentials = credentials
        self.token, self.valid_until = None, 0

    def send(self, method, request, metadata):
        """Sends a request, a dict, until it is answered; answers a dict, and the metadata."""
        service, name = method.split("/")
        rpc = self.pool.FindServiceByName(f"referral.v1.{service}").FindMethodByName(name)
        stub = self.channel.unary_unary(
            f"/referral.v1.{method}",
            request_serializer=lambda message: message.SerializeToString(),
            response_deserializer=GetMessageClass(rpc.output_type).FromString,
        )
        message = json_format.ParseDict(request, GetMessageClass(rpc.input_type)())
        for attempt in range(ATTEMPTS):
            try:
                # Compressed, as what is large had better be.
                response, call = stub.with_call(
                    message, metadata=metadata, timeout=30, compression=grpc.Compression.Gzip
                )
                answer = json_format.MessageToDict(response, preserving_proto_field_name=True)
                return answer, dict(call.initial_metadata())
            except grpc.RpcError as error:
                wait = wait_before_retry(error, attempt)
                if wait is None or attempt == ATTEMPTS - 1:
                    raise
                print(f"waits {wait:.1f} s: {error.details()}")
                time.sleep(wait)

    def login(self):
        answer, _ = self.send("AuthenticationService/CreateToken", self.credentials, [])
        self.token, self.valid_until = answer["token"], time.monotonic() + answer["expires_in"] - 60

    def call(self, method, request, key=None):
        key = [("idempotency-key", key)] if key else []
        if time.monotonic() >= self.valid_until:
            self.login()
        try:
            return self.send(method, request, [("authorization", f"Bearer {self.token}"), *key])
        except grpc.RpcError as error:
            if error.code() != grpc.StatusCode.UNAUTHENTICATED:
                raise
        # It was released, or its user has a new password.
        self.login()
        return self.send(method, request, [("authorization", f"Bearer {self.token}"), *key])


def event(name, referred, referrer):
    return {
        "request_unique_identifier": name,
        "performed_by_unit_identifier": {"name": "Admin Unit"},
        "performed_on": "2016-06-22T15:00:00Z",
        "referred_rewards_participant_identifier": {"number": referred},
        "referred_by_rewards_participant_identifier": {"number": referrer},
    }


def main(address):
    client = Client(address, organisation="demo", username="demo", password="demo")
    request = {
        "referral_customer_events_set": [
            event("125", "RP0000000017", "RP0000000010"),
            event("124", "RP0000000014", "RP0000000012"),
            event("123", "RP0000000004", "RP0000000010"),
        ]
    }
    # One key a call, the same however often it is sent.
    key = str(uuid.uuid4())
    response, _ = client.call("ReferralEventService/BulkCreateReferralEvents", request, key)
    for processed in response.get("processed_customer_events_set", []):
        print(f"{processed['request_unique_identifier']}: created as number {processed['number']}")
    for unprocessed in response.get("unprocessed_customer_events_set", []):
        again = "may be sent again" if unprocessed["retryable"] else "is not to be sent again"
        print(f"{unprocessed['request_unique_identifier']}: {unprocessed['error_code']}, {again}")
    _, metadata = client.call("ReferralEventService/BulkCreateReferralEvents", request, key)
    print(f"sent again: replayed {metadata.get('idempotency-replayed', 'false')}")

    client.call("AuthenticationService/ReleaseToken", {})
    # The next call takes a new token.
    listed, pages = 0, 0
    request = {"number_of_results": 4, "fields_set": ["number"]}
    while True:
        page, _ = client.call("ReferralEventService/ListReferralEvents", request)
        listed, pages = listed + len(page.get("customer_events_set", [])), pages + 1
        if "next_page_token" not in page:
            break
        request["page_token"] = page["next_page_token"]
    print(f"listed: {listed} events in {pages} pages")


main(sys.argv[1] if len(sys.argv) > 1 else "127.0.0.1:50051")
