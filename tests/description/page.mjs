// The page of the description in a browser: it asks nobody else, breaks no rule of its policy, and makes a call.
// Arguments: the address, the browser.

import assert from "node:assert";
import { createRequire } from "node:module";

const { chromium } = createRequire(`${process.cwd()}/`)("playwright-core");
const [address, executablePath] = process.argv.slice(2);
const origin = `http://${address}`;

const browser = await chromium.launch({ executablePath, args: ["--no-sandbox"] });
const page = await browser.newPage();
const complaints = [];
page.on("console", (message) => complaints.push(message.text()));
page.on("pageerror", (error) => complaints.push(error.message));
page.on("requestfailed", (request) => complaints.push(`failed: ${request.url()}`));
page.on("request", (request) => {
  const url = request.url();
  if (!url.startsWith(`${origin}/`) && !url.startsWith("data:")) complaints.push(`asked elsewhere: ${url}`);
});

await page.goto(origin);
await page.click('a[href="/docs"]');
const login = page.locator("#operations-AuthenticationService-CreateToken");
await login.locator(".opblock-summary-control").click();
await login.getByText("Try it out").click();
await login.getByRole("button", { name: "Execute", exact: true }).click();
const answer = login.locator(".live-responses-table .highlight-code").first();
await answer.waitFor();
const [token] = (await answer.innerText()).match(/eyJ[\w.-]+/);

await page.getByRole("button", { name: "Authorize" }).click();
await page.locator(".auth-container input").first().fill(token);
await page.locator(".auth-container button[type=submit]").first().click();
await page.locator(".btn-done").first().click();
const bulk = page.locator("#operations-ReferralEventService-BulkCreateReferralEvents");
await bulk.locator(".opblock-summary-control").click();
await bulk.getByText("Try it out").click();
await bulk.getByRole("button", { name: "Execute", exact: true }).click();
await bulk.locator(".live-responses-table").getByText("ReferredByAnotherParticipantException").first().waitFor();

assert.deepEqual(complaints, []);
await browser.close();
