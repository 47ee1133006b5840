// Creates referral events over REST, with nothing but what Node 18 or later has:
//
//     node examples/node/fetch.mjs [ADDRESS]

import { setTimeout as sleep } from "node:timers/promises";
import { randomUUID } from "node:crypto";

const ATTEMPTS = 6;

class Refused extends Error {
  constructor(status) {
    super(`${status.code}: ${status.message}`);
    this.code = status.code;
  }
}

class Client {
  #credentials;
  #token;
  #validUntil = 0;

  constructor(address, credentials) {
    this.at = `http://${address}/`;
    this.#credentials = credentials;
  }

  // Sends a request until it is answered; answers the data, and the headers.
  async #send(path, request, headers) {
    for (let attempt = 1; ; attempt++) {
      let reason;
      let wait = Math.min(10, 0.2 * 2 ** attempt) * (0.5 + Math.random());
      try {
        const response = await fetch(this.at + path, {
          method: "POST",
          headers: { "content-type": "application/json", ...headers },
          body: JSON.stringify(request),
          signal: AbortSignal.timeout(30_000),
        });
        const { data, status } = await response.json();
        if (status.code === "OK") return { data, headers: response.headers };
        const after = response.headers.get("retry-after");
        if (after) wait = Number(after);
        else if (response.status < 500) throw new Refused(status);
        reason = new Refused(status);
      } catch (error) {
        // The connection broke, or the time was over: what became of the call is not known.
        if (error instanceof Refused) throw error;
        reason = error;
      }
      if (attempt === ATTEMPTS) throw reason;
      console.log(`waits ${wait.toFixed(1)} s: ${reason.message}`);
      await sleep(wait * 1000);
    }
  }

  async #login() {
    const { data } = await this.#send("authentication/token", this.#credentials);
    this.#token = data.token;
    this.#validUntil = Date.now() + (data.expires_in - 60) * 1000;
  }

  async call(path, request, key) {
    const send = () =>
      this.#send(path, request, {
        authorization: `Bearer ${this.#token}`,
        ...(key && { "idempotency-key": key }),
      });
    if (Date.now() >= this.#validUntil) await this.#login();
    try {
      return await send();
    } catch (error) {
      if (error.code !== "InvalidTokenException") throw error;
    }
    // It was released, or its user has a new password.
    await this.#login();
    return send();
  }
}

const event = (name, referred, referrer) => ({
  request_unique_identifier: name,
  performed_by_unit_identifier: { name: "Admin Unit" },
  performed_on: "2016-06-22T15:00:00",
  referred_rewards_participant_identifier: { number: referred },
  referred_by_rewards_participant_identifier: { number: referrer },
});

const credentials = { organisation: "demo", username: "demo", password: "demo" };
const client = new Client(process.argv[2] ?? "127.0.0.1:50051", credentials);
const bulk = {
  referral_customer_events_set: [
    event("125", "RP0000000017", "RP0000000010"),
    event("124", "RP0000000014", "RP0000000012"),
    event("123", "RP0000000004", "RP0000000010"),
  ],
  // Without these, REST answers the documented fields alone.
  fields_set: ["request_unique_identifier", "number", "error_code", "retryable"],
};
// One key a call, the same however often it is sent.
const key = randomUUID();
const { data } = await client.call("customer_events/bulk/referrals/create", bulk, key);
for (const { request_unique_identifier: name, number } of data.processed_customer_events_set) {
  console.log(`${name}: created as number ${number}`);
}
for (const { request_unique_identifier: name, error_code, retryable } of data.unprocessed_customer_events_set) {
  console.log(`${name}: ${error_code}, ${retryable ? "may be sent again" : "is not to be sent again"}`);
}
const again = await client.call("customer_events/bulk/referrals/create", bulk, key);
console.log(`sent again: replayed ${again.headers.get("idempotency-replayed") ?? "false"}`);

await client.call("authentication/token/release", {});
// The next call takes a new token.
let listed = 0;
let pages = 0;
let page_token;
do {
  const request = { number_of_results: 4, fields_set: ["number"], page_token };
  const { data: page } = await client.call("customer_events/referrals/list", request);
  listed += page.customer_events_set.length;
  pages += 1;
  page_token = page.next_page_token;
} while (page_token);
console.log(`listed: ${listed} events in ${pages} pages`);
