// The documented call by Node: connect-es over gRPC and gRPC-Web, and grpc-js.
// Arguments: the address, the contract's descriptor set, the folder of its files.

import assert from "node:assert";
import { readFileSync } from "node:fs";
import { createRequire } from "node:module";

const require = createRequire(`${process.cwd()}/`);
const { createFileRegistry, fromBinary, fromJson, toJson } = require("@bufbuild/protobuf");
const { FileDescriptorSetSchema } = require("@bufbuild/protobuf/wkt");
const { Code, ConnectError, createClient } = require("@connectrpc/connect");
const connectNode = require("@connectrpc/connect-node");
const grpc = require("@grpc/grpc-js");
const loader = require("@grpc/proto-loader");

const [address, descriptors, folder] = process.argv.slice(2);
const example = JSON.parse(readFileSync(new URL("example.json", import.meta.url)));
const credentials = { organisation: "demo", username: "demo", password: "demo" };

const registry = createFileRegistry(fromBinary(FileDescriptorSetSchema, readFileSync(descriptors)));
const events = registry.getService("referral.v1.ReferralEventService");
const authentication = registry.getService("referral.v1.AuthenticationService");
const bulk = events.method.bulkCreateReferralEvents;
const errorInfo = registry.getMessage("google.rpc.ErrorInfo");

let first = true;
for (const [create, options] of [
  [connectNode.createGrpcTransport, {}],
  [connectNode.createGrpcTransport, { sendCompression: connectNode.compressionGzip }],
  [connectNode.createGrpcWebTransport, { httpVersion: "1.1" }],
  [connectNode.createGrpcWebTransport, { httpVersion: "2", sendCompression: connectNode.compressionGzip }],
]) {
  const transport = create({ baseUrl: `http://${address}`, compressMinBytes: 0, ...options });
  const { token } = await createClient(authentication, transport).createToken(credentials);
  const headers = { authorization: `Bearer ${token}` };
  const client = createClient(events, transport);
  const request = fromJson(bulk.input, first ? example : { ...example, validateOnly: true });
  const answer = toJson(bulk.output, await client.bulkCreateReferralEvents(request, { headers }));
  if (first) {
    assert.deepEqual(answer.processedCustomerEventsSet.map((event) => event.requestUniqueIdentifier), ["125", "124"]);
    assert.equal(answer.unprocessedCustomerEventsSet[0].errorCode, "ReferredByAnotherParticipantException");
  }
  assert.equal(answer.summary.requested, 3);
  first = false;
  await assert.rejects(client.bulkCreateReferralEvents({}, { headers }), (error) => {
    assert.equal(ConnectError.from(error).code, Code.InvalidArgument);
    assert.equal(error.findDetails(errorInfo)[0].reason, "MissingMandatoryAttributeException");
    return true;
  });
}

const file = "referral/v1/referral_event_service.proto";
const contract = loader.loadSync([file, "referral/v1/authentication_service.proto"], {
  includeDirs: [folder],
  keepCase: true,
});
const { referral } = grpc.loadPackageDefinition(contract);
const promise = (client, method, request, ...rest) =>
  new Promise((resolve, reject) =>
    client[method](request, ...rest, (error, answer) => (error ? reject(error) : resolve(answer))),
  );
const insecure = grpc.credentials.createInsecure();
const login = new referral.v1.AuthenticationService(address, insecure);
const { token } = await promise(login, "CreateToken", credentials);
const metadata = new grpc.Metadata();
metadata.set("authorization", `Bearer ${token}`);
// 2 is gzip.
const client = new referral.v1.ReferralEventService(address, insecure, { "grpc.default_compression_algorithm": 2 });
const timestamps = (event) => ({ ...event, performed_on: { seconds: Date.parse(event.performed_on) / 1000, nanos: 0 } });
const request = {
  referral_customer_events_set: example.referral_customer_events_set.map(timestamps),
  validate_only: true,
};
const answer = await promise(client, "BulkCreateReferralEvents", request, metadata);
assert.equal(answer.summary.requested, 3);
await assert.rejects(promise(client, "BulkCreateReferralEvents", {}, metadata), (error) => {
  assert.equal(error.code, grpc.status.INVALID_ARGUMENT);
  assert.ok(error.metadata.get("grpc-status-details-bin")[0].includes("MissingMandatoryAttributeException"));
  return true;
});
login.close();
client.close();
