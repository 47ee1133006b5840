// Creates referral events by connect-es, over gRPC or, as a browser does it, over gRPC-Web:
//
//     npm install @connectrpc/connect @connectrpc/connect-node @bufbuild/protobuf @bufbuild/buf
//     npx buf build proto -o contract.binpb
//     node examples/node/connect.mjs [ADDRESS] [DESCRIPTOR SET] [grpc | grpc-web]
//
// Here the contract is read as it runs; protoc-gen-es makes code of it, with types.

import { readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { randomUUID } from "node:crypto";
import { setTimeout as sleep } from "node:timers/promises";

// What is installed where this is run.
const require = createRequire(`${process.cwd()}/`);
const { createFileRegistry, fromBinary, fromJson } = require("@bufbuild/protobuf");
const { FileDescriptorSetSchema } = require("@bufbuild/protobuf/wkt");
const { Code, ConnectError, createClient } = require("@connectrpc/connect");
const { compressionGzip, createGrpcTransport, createGrpcWebTransport } = require("@connectrpc/connect-node");

const [address = "127.0.0.1:50051", descriptors = "contract.binpb", protocol = "grpc"] = process.argv.slice(2);
const registry = createFileRegistry(fromBinary(FileDescriptorSetSchema, readFileSync(descriptors)));
const retryInfo = registry.getMessage("google.rpc.RetryInfo");
const authenticationService = registry.getService("referral.v1.AuthenticationService");
const eventService = registry.getService("referral.v1.ReferralEventService");

const ATTEMPTS = 6;
// After these it is not known whether the call was carried out, or it may be later.
const WORTH_A_RETRY = [Code.Unavailable, Code.DeadlineExceeded, Code.Internal];

// How long to wait, in seconds; undefined where sending again is of no use.
function waitBeforeRetry(error, attempt) {
  const [info] = error.findDetails(retryInfo);
  if (info) return Number(info.retryDelay.seconds) + info.retryDelay.nanos / 1e9;
  if (WORTH_A_RETRY.includes(error.code)) return Math.min(10, 0.2 * 2 ** attempt) * (0.5 + Math.random());
  return undefined;
}

async function send(call) {
  for (let attempt = 1; ; attempt++) {
    try {
      return await call();
    } catch (failure) {
      const error = ConnectError.from(failure);
      const wait = waitBeforeRetry(error, attempt);
      if (wait === undefined || attempt === ATTEMPTS) throw error;
      console.log(`waits ${wait.toFixed(1)} s: ${error.rawMessage}`);
      await sleep(wait * 1000);
    }
  }
}

class Client {
  #credentials;
  #token;
  #validUntil = 0;

  constructor(credentials) {
    const options = { baseUrl: `http://${address}`, defaultTimeoutMs: 30_000, sendCompression: compressionGzip };
    const transport =
      protocol === "grpc-web"
        ? createGrpcWebTransport({ ...options, httpVersion: "1.1" })
        : createGrpcTransport(options);
    this.#credentials = credentials;
    this.authentication = createClient(authenticationService, transport);
    this.events = createClient(eventService, transport);
  }

  async #login() {
    const answer = await send(() => this.authentication.createToken(this.#credentials));
    this.#token = answer.token;
    this.#validUntil = Date.now() + (answer.expiresIn - 60) * 1000;
  }

  // Makes a call, which takes the options that it is given.
  async call(call, key) {
    let headers;
    const once = () =>
      send(() =>
        call({
          headers: { authorization: `Bearer ${this.#token}`, ...(key && { "idempotency-key": key }) },
          onHeader: (received) => (headers = received),
        }),
      );
    if (Date.now() >= this.#validUntil) await this.#login();
    try {
      return { response: await once(), headers };
    } catch (error) {
      if (error.code !== Code.Unauthenticated) throw error;
    }
    // It was released, or its user has a new password.
    await this.#login();
    return { response: await once(), headers };
  }
}

const event = (name, referred, referrer) => ({
  requestUniqueIdentifier: name,
  performedByUnitIdentifier: { name: "Admin Unit" },
  performedOn: "2016-06-22T15:00:00Z",
  referredRewardsParticipantIdentifier: { number: referred },
  referredByRewardsParticipantIdentifier: { number: referrer },
});

const client = new Client({ organisation: "demo", username: "demo", password: "demo" });
const { authentication, events } = client;
const bulk = fromJson(eventService.method.bulkCreateReferralEvents.input, {
  referralCustomerEventsSet: [
    event("125", "RP0000000017", "RP0000000010"),
    event("124", "RP0000000014", "RP0000000012"),
    event("123", "RP0000000004", "RP0000000010"),
  ],
});
// One key a call, the same however often it is sent.
const key = randomUUID();
const { response } = await client.call((options) => events.bulkCreateReferralEvents(bulk, options), key);
for (const { requestUniqueIdentifier: name, number } of response.processedCustomerEventsSet) {
  console.log(`${name}: created as number ${number}`);
}
for (const { requestUniqueIdentifier: name, errorCode, retryable } of response.unprocessedCustomerEventsSet) {
  console.log(`${name}: ${errorCode}, ${retryable ? "may be sent again" : "is not to be sent again"}`);
}
const again = await client.call((options) => events.bulkCreateReferralEvents(bulk, options), key);
console.log(`sent again: replayed ${again.headers.get("idempotency-replayed") ?? "false"}`);

await client.call((options) => authentication.releaseToken({}, options));
// The next call takes a new token.
let listed = 0;
let pages = 0;
let pageToken;
do {
  const request = { numberOfResults: 4, fieldsSet: ["number"], pageToken };
  const { response: page } = await client.call((options) => events.listReferralEvents(request, options));
  listed += page.customerEventsSet.length;
  pages += 1;
  pageToken = page.nextPageToken;
} while (pageToken);
console.log(`listed: ${listed} events in ${pages} pages`);
