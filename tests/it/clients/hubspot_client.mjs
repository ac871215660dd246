// Talks to a pretend HubSpot account through HubSpot's own client for Node, which judges every answer.
//
// Usage: node hubspot_client.mjs URL SECRET, with the client's folder in NODE_CLIENT. Ends with 0 if all is as HubSpot has it.

import assert from "node:assert/strict";
import http from "node:http";
import { createRequire } from "node:module";

const [url, secret] = process.argv.slice(2);
const require = createRequire(`${process.env.NODE_CLIENT}/`);
const { Client, Signature } = require("@hubspot/api-client");
const client = new Client({ accessToken: "any", basePath: url, numberOfApiCallRetries: 0 });

async function control(path, body) {
  const answer = await fetch(`${url}/_sim${path}`, { method: "POST", body: JSON.stringify(body) });
  assert.equal(answer.status, 200, await answer.clone().text());
  return answer.json();
}

async function refused(status, call) {
  const error = await call().then(() => assert.fail(`${status} was due`), (error) => error);
  assert.equal(error.code, status, String(error));
  return error.body;
}

async function records() {
  const contacts = client.crm.contacts.basicApi;
  const made = await contacts.create({ properties: { email: "node@example.com", phone: "1" }, associations: [] });
  await contacts.update(made.id, { properties: { phone: "2" } });
  const read = await contacts.getById(made.id, ["phone", "email"], ["phone"]);
  assert.equal(read.properties.email, "node@example.com");
  assert.deepEqual(read.propertiesWithHistory.phone.map((one) => one.value), ["2", "1"]);
  assert.ok(read.updatedAt instanceof Date);
  const clash = await refused(409, () => contacts.create({ properties: { email: "node@example.com" } }));
  assert.match(clash.message, new RegExp(`Existing ID: ${made.id}$`));
  const batch = await client.crm.contacts.batchApi.read({
    inputs: [{ id: made.id }, { id: "999" }], properties: ["phone"], propertiesWithHistory: [],
  });
  assert.equal(batch.numErrors, 1);
  assert.equal(batch.results[0].properties.phone, "2");
  const found = await client.crm.contacts.searchApi.doSearch({
    filterGroups: [{ filters: [{ propertyName: "email", operator: "EQ", value: "node@example.com" }] }],
    properties: ["email"], limit: 1,
  });
  assert.equal(found.total, 1);
  const company = await client.crm.companies.basicApi.create({
    properties: { name: "Node & Co" },
    associations: [{ to: { id: made.id }, types: [{ associationCategory: "HUBSPOT_DEFINED", associationTypeId: 280 }] }],
  });
  const tied = await client.crm.associations.v4.basicApi.getPage("contacts", made.id, "companies");
  assert.equal(String(tied.results[0].toObjectId), company.id);
  const property = await client.crm.properties.coreApi.getByName("contacts", "lifecyclestage");
  assert.ok(property.options.some((option) => option.value === "customer"));
}

async function limits() {
  await control("/faults", { fault: "rate_limit", policy: "SECONDLY", next: 1, op: "contacts.list" });
  // Its limiter knows the limit by its message, and tries again by itself.
  const patient = new Client({ accessToken: "any", basePath: url, numberOfApiCallRetries: 2 });
  const page = await patient.crm.contacts.basicApi.getPage(1);
  assert.equal(page.results.length, 1);
}

async function oauthAndRaw() {
  const given = await client.oauth.tokensApi.create("refresh_token", undefined, undefined, "id", "secret", "refresh");
  assert.equal(given.expiresIn, 1800);
  const answer = await client.apiRequest({ path: "/crm/v3/objects/contacts?limit=1" });
  assert.equal((await answer.json()).results.length, 1);
}

async function webhooks() {
  const heard = [];
  let wake;
  const target = http.createServer((request, response) => {
    let body = "";
    request.setEncoding("utf8");
    request.on("data", (part) => (body += part));
    request.on("end", () => {
      heard.push({ headers: request.headers, body });
      response.writeHead(200).end();
      wake();
    });
  });
  await new Promise((done) => target.listen(0, "127.0.0.1", done));
  const uri = `http://127.0.0.1:${target.address().port}/hooks?tenant=a`;
  const told = new Promise((done) => (wake = done));
  await control("/settings", { webhooks_to: uri, signatures: ["v1", "v3"], signature_ahead_ms: 0 });
  const { now_ms } = await control("/clock", {});
  await control("/settings", { signature_ahead_ms: Date.now() - now_ms });
  await control("/edit", { kind: "contacts", set: { firstname: "Zoë — 😀" } });
  await told;
  const { headers, body } = heard[0];
  const old = Signature.isValid({ signatureVersion: "v1", signature: headers["x-hubspot-signature"], clientSecret: secret, requestBody: body });
  assert.ok(old, "v1 does not hold");
  const holds = (requestBody) => Signature.isValid({
    signatureVersion: "v3", signature: headers["x-hubspot-signature-v3"], method: "POST", clientSecret: secret, requestBody,
    url: uri, timestamp: Number(headers["x-hubspot-request-timestamp"]),
  });
  assert.ok(holds(body), "v3 does not hold");
  assert.ok(!holds(`${body} `), "v3 holds for another body");
  target.close();
}

await records();
await limits();
await oauthAndRaw();
await webhooks();
console.log("HubSpot's Node client agrees");
