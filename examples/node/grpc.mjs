// Creates referral events by grpc-js, with the contract read as it runs:
//
//     npm install @grpc/grpc-js @grpc/proto-loader
//     node examples/node/grpc.mjs [ADDRESS] [FOLDER OF THE CONTRACT]

import { createRequire } from "node:module";
import { randomUUID } from "node:crypto";
import { setTimeout as sleep } from "node:timers/promises";

// What is installed where this is run.
const require = createRequire(`${process.cwd()}/`);
const grpc = require("@grpc/grpc-js");
const loader = require("@grpc/proto-loader");
const protobuf = require("protobufjs");

const [address = "127.0.0.1:50051", folder = "proto"] = process.argv.slice(2);
const files = ["referral/v1/referral_event_service.proto", "referral/v1/authentication_service.proto"];
const options = { includeDirs: [folder], keepCase: true, arrays: true };
const { referral } = grpc.loadPackageDefinition(loader.loadSync(files, options));
const errors = new protobuf.Root();
errors.resolvePath = (_, file) => `${folder}/${file}`;
errors.loadSync(["google/rpc/status.proto", "google/rpc/error_details.proto"]);

const ATTEMPTS = 6;
// After these it is not known whether the call was carried out, or it may be later.
const WORTH_A_RETRY = [grpc.status.UNAVAILABLE, grpc.status.DEADLINE_EXCEEDED, grpc.status.INTERNAL];

// How long to wait, in seconds; undefined where sending again is of no use.
function waitBeforeRetry(error, attempt) {
  const [status] = error.metadata?.get("grpc-status-details-bin") ?? [];
  const details = status ? errors.lookupType("google.rpc.Status").decode(status).details : [];
  const info = details.find((detail) => detail.type_url.endsWith("/google.rpc.RetryInfo"));
  if (info) {
    const { retryDelay } = errors.lookupType("google.rpc.RetryInfo").decode(info.value);
    return Number(retryDelay.seconds) + retryDelay.nanos / 1e9;
  }
  if (WORTH_A_RETRY.includes(error.code)) return Math.min(10, 0.2 * 2 ** attempt) * (0.5 + Math.random());
  return undefined;
}

class Client {
  #credentials;
  #token;
  #validUntil = 0;

  constructor(credentials) {
    const insecure = grpc.credentials.createInsecure();
    this.#credentials = credentials;
    this.authentication = new referral.v1.AuthenticationService(address, insecure);
    // 2 is gzip: what is large had better be compressed.
    this.events = new referral.v1.ReferralEventService(address, insecure, {
      "grpc.default_compression_algorithm": 2,
    });
  }

  // Sends a request until it is answered; answers the response, and the metadata.
  async #send(service, method, request, metadata) {
    for (let attempt = 1; ; attempt++) {
      try {
        return await new Promise((resolve, reject) => {
          let headers;
          const deadline = Date.now() + 30_000;
          const call = service[method](request, metadata, { deadline }, (error, response) =>
            error ? reject(error) : resolve({ response, headers }),
          );
          call.on("metadata", (metadata) => (headers = metadata));
        });
      } catch (error) {
        const wait = waitBeforeRetry(error, attempt);
        if (wait === undefined || attempt === ATTEMPTS) throw error;
        console.log(`waits ${wait.toFixed(1)} s: ${error.details}`);
        await sleep(wait * 1000);
      }
    }
  }

  async #login() {
    const { response } = await this.#send(this.authentication, "CreateToken", this.#credentials, new grpc.Metadata());
    this.#token = response.token;
    this.#validUntil = Date.now() + (response.expires_in - 60) * 1000;
  }

  async call(service, method, request, key) {
    const send = () => {
      const metadata = new grpc.Metadata();
      metadata.set("authorization", `Bearer ${this.#token}`);
      if (key) metadata.set("idempotency-key", key);
      return this.#send(service, method, request, metadata);
    };
    if (Date.now() >= this.#validUntil) await this.#login();
    try {
      return await send();
    } catch (error) {
      if (error.code !== grpc.status.UNAUTHENTICATED) throw error;
    }
    // It was released, or its user has a new password.
    await this.#login();
    return send();
  }

  close() {
    this.authentication.close();
    this.events.close();
  }
}

const event = (name, referred, referrer) => ({
  request_unique_identifier: name,
  performed_by_unit_identifier: { name: "Admin Unit" },
  performed_on: { seconds: Date.parse("2016-06-22T15:00:00Z") / 1000 },
  referred_rewards_participant_identifier: { number: referred },
  referred_by_rewards_participant_identifier: { number: referrer },
});

const client = new Client({ organisation: "demo", username: "demo", password: "demo" });
const { authentication, events } = client;
const bulk = {
  referral_customer_events_set: [
    event("125", "RP0000000017", "RP0000000010"),
    event("124", "RP0000000014", "RP0000000012"),
    event("123", "RP0000000004", "RP0000000010"),
  ],
};
// One key a call, the same however often it is sent.
const key = randomUUID();
const { response } = await client.call(events, "BulkCreateReferralEvents", bulk, key);
for (const { request_unique_identifier: name, number } of response.processed_customer_events_set) {
  console.log(`${name}: created as number ${number}`);
}
for (const { request_unique_identifier: name, error_code, retryable } of response.unprocessed_customer_events_set) {
  console.log(`${name}: ${error_code}, ${retryable ? "may be sent again" : "is not to be sent again"}`);
}
const again = await client.call(events, "BulkCreateReferralEvents", bulk, key);
console.log(`sent again: replayed ${again.headers.get("idempotency-replayed")[0] ?? "false"}`);

await client.call(authentication, "ReleaseToken", {});
// The next call takes a new token.
let listed = 0;
let pages = 0;
let page_token;
do {
  const request = { number_of_results: 4, fields_set: ["number"], page_token };
  const { response: page } = await client.call(events, "ListReferralEvents", request);
  listed += page.customer_events_set.length;
  pages += 1;
  page_token = page.next_page_token;
} while (page_token);
console.log(`listed: ${listed} events in ${pages} pages`);
client.close();
