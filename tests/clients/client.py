"""The documented call by Python's gRPC, of which it knows nothing but what reflection tells."""

import json
import pathlib
import sys

import grpc
from google.protobuf import json_format
from google.protobuf.descriptor_pool import DescriptorPool
from google.protobuf.message_factory import GetMessageClass
from grpc_reflection.v1alpha.proto_reflection_descriptor_database import ProtoReflectionDescriptorDatabase
from grpc_status import rpc_status
from google.rpc import error_details_pb2

example = json.loads((pathlib.Path(__file__).parent / "example.json").read_text())
channel = grpc.insecure_channel(sys.argv[1])
pool = DescriptorPool(ProtoReflectionDescriptorDatabase(channel))


def call(service, method, request, token=None, compression=None):
    rpc = pool.FindServiceByName(f"referral.v1.{service}").FindMethodByName(method)
    stub = channel.unary_unary(
        f"/referral.v1.{service}/{method}",
        request_serializer=lambda message: message.SerializeToString(),
        response_deserializer=GetMessageClass(rpc.output_type).FromString,
    )
    message = json_format.ParseDict(request, GetMessageClass(rpc.input_type)())
    metadata = [("authorization", f"Bearer {token}")] if token else []
    return stub(message, metadata=metadata, compression=compression, timeout=30)


credentials = {"organisation": "demo", "username": "demo", "password": "demo"}
token = call("AuthenticationService", "CreateToken", credentials).token

answer = call("ReferralEventService", "BulkCreateReferralEvents", example, token)
assert [event.request_unique_identifier for event in answer.processed_customer_events_set] == ["125", "124"], answer
assert [event.error_code for event in answer.unprocessed_customer_events_set] == [
    "ReferredByAnotherParticipantException"
], answer

rehearsal = dict(example, validate_only=True)
answer = call("ReferralEventService", "BulkCreateReferralEvents", rehearsal, token, grpc.Compression.Gzip)
assert answer.summary.requested == 3, answer

try:
    call("ReferralEventService", "BulkCreateReferralEvents", {}, token)
    raise AssertionError("a call without events was not refused")
except grpc.RpcError as error:
    assert error.code() == grpc.StatusCode.INVALID_ARGUMENT, error
    details = rpc_status.from_call(error).details
    info, bad = error_details_pb2.ErrorInfo(), error_details_pb2.BadRequest()
    assert details[0].Unpack(info) and info.reason == "MissingMandatoryAttributeException", details
    assert details[1].Unpack(bad) and bad.field_violations[0].field == "referral_customer_events_set", details
