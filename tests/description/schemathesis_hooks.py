"""What schemathesis must be told of the service to get past its first answers, and what it is to look at beside its own
checks."""

import json
import os
import urllib.request

import schemathesis

CREDENTIALS = {"organisation": "demo", "username": "demo", "password": "demo"}
# How what cannot be read is refused. What is as the schema has it can be read; but no schema tells all the rules that the
# contract's comments have, so it may be refused with another code.
UNREADABLE = {"MalformedRequestException", "UnknownAttributeException", "MalformedEventException"}


def login():
    request = urllib.request.Request(
        f"http://{os.environ['ADDRESS']}/authentication/token", json.dumps(CREDENTIALS).encode()
    )
    with urllib.request.urlopen(request) as response:
        return json.load(response)["data"]["token"]


# To log in is made to take long, so it is done as rarely as can be.
token = login()


def with_digits(value):
    """To a schema 7.0 is an integer; the service reads a one-time password that is a number by its digits alone."""
    if isinstance(value, list):
        return [with_digits(item) for item in value]
    if isinstance(value, dict):
        return {name: with_digits(item) for name, item in value.items()}
    return int(value) if isinstance(value, float) and value.is_integer() else value


@schemathesis.hook
def before_call(context, case, kwargs):
    # A caller that waits for a nanosecond is told that its time is over: that is the answer, and no fault.
    case.headers.pop("grpc-timeout", None)
    # Of two tokens that differ the call is refused, and no more is to be learnt from it.
    if isinstance(case.body, dict):
        case.body.pop("token", None)
        case.body = with_digits(case.body)
    case.query.pop("token", None)


# For each call anew, as far as schemathesis is concerned.
@schemathesis.auth(refresh_interval=None)
class Token:
    """A token that is valid, also after one was released."""

    def get(self, case, context):
        return login() if case.operation.path == "/authentication/token/release" else token

    def set(self, case, data, context):
        case.headers["authorization"] = f"Bearer {data}"


@schemathesis.check
def refused_as_described(context, response, case):
    described = case.operation.definition.raw["responses"].get(str(response.status_code))
    # That there are no other statuses is a check of schemathesis.
    if described is None or response.status_code == 200:
        return
    code = response.json()["status"]["code"]
    assert code in described["x-error-codes"], f"{code} is not described"
    if case.meta is not None and case.meta.generation.mode.is_positive:
        assert code not in UNREADABLE, f"{code} refuses what is as the schema has it"
