import assert from "node:assert/strict";
import { afterEach, test } from "node:test";

import { Outbox } from "../../../apps/cdm_inspect_review/components/desk/outbox.js";
import { open, settled } from "./browser.js";

const TANAKA = { token: "t", name: "tanaka" };
const SUZUKI = { token: "s", name: "suzuki" };
const made = [];

afterEach(() => made.splice(0).forEach((outbox) => outbox.end()));

function outboxOf(session = TANAKA, plant = "plant") {
  const answers = [];
  const outbox = new Outbox(plant, (kept, answer) => answers.push([kept.decision.client_id, answer.status]), () => {});
  made.push(outbox);
  outbox.login(session);
  return { outbox, answers };
}

const decision = (client_id, part = 1, version = 0) => ({
  client_id, inspection_id: part, version, decision: "accept",
});

test("a decision is kept until it is durable, and sent with its age", async () => {
  const asked = open();
  const { outbox, answers } = outboxOf();
  outbox.add(decision("one"));
  assert.deepEqual([...outbox.undecided], [1]);
  assert.equal(Object.keys(localStorage).length, 1);
  await settled();
  assert.deepEqual(answers, [["one", "stored"]]);
  assert.equal(asked[0].token, "t");
  assert.ok(asked[0].decision.waited_ms >= 0);
  assert.equal(outbox.undecided.size, 0);
  assert.equal(Object.keys(localStorage).length, 0);
});

test("while the server is away nothing is lost, also by a reload, and the order stays", async () => {
  let isAway = true;
  const asked = open({ answer: () => (isAway ? new Error("away") : { status: "stored" }) });
  const { outbox } = outboxOf();
  for (const name of ["one", "two", "three"]) outbox.add(decision(name, name.length + asked.length));
  await settled();
  assert.equal(outbox.state, "unreachable");
  assert.equal(outbox.waiting.length, 3);
  outbox.end();
  isAway = false;
  const { answers } = outboxOf(); // the page was loaded anew
  await settled();
  assert.deepEqual(answers.map(([name]) => name), ["one", "two", "three"]);
});

test("of one part nothing overtakes an earlier decision", async () => {
  let failures = 2;
  open({
    answer: ({ client_id }) => {
      if (client_id !== "first" || failures === 0) return { status: "stored" };
      failures -= 1;
      return { http: 500, error: "busy" };
    },
  });
  const { outbox, answers } = outboxOf();
  outbox.add(decision("first", 1, 0));
  outbox.add(decision("undo", 1, 1));
  outbox.add(decision("other", 2, 0));
  await settled();
  await outbox.send();
  assert.deepEqual(answers, [["other", "stored"]]);
  await outbox.send();
  assert.deepEqual(answers.map(([name]) => name), ["other", "first", "undo"]);
});

test("what the server refuses is said and not sent again", async () => {
  const asked = open({ answer: () => ({ http: 422, kind: "InvalidOption", error: "no such part" }) });
  const { outbox, answers } = outboxOf();
  outbox.add(decision("one"));
  await settled();
  await outbox.send();
  assert.deepEqual(answers, [["one", "refused"]]);
  assert.equal(asked.length, 1);
});

test("what somebody left at the end of a session waits for them and hides no part", async () => {
  open({ answer: (sent, token) => (token === "t" ? { http: 401 } : { status: "stored" }) });
  const { outbox, answers } = outboxOf();
  outbox.add(decision("left"));
  await settled();
  assert.equal(outbox.state, "logged-out");
  outbox.login(SUZUKI);
  await settled();
  assert.equal(outbox.undecided.size, 0); // the part is for others
  assert.equal(outbox.waiting.length, 1);
  outbox.add(decision("hers", 2));
  await settled();
  assert.deepEqual(answers, [["hers", "stored"]]);
  outbox.login({ token: "t2", name: "tanaka" });
  await settled();
  assert.deepEqual(answers.at(-1), ["left", "stored"]);
});

test("decisions of another plant under the same address stay where they are", async () => {
  let isAway = true;
  open({ answer: () => (isAway ? new Error("away") : { status: "stored" }) });
  outboxOf(TANAKA, "one").outbox.add(decision("mine"));
  await settled();
  isAway = false;
  const { outbox } = outboxOf(TANAKA, "two");
  assert.equal(outbox.waiting.length, 0);
});

test("a browser that keeps nothing still sends", async () => {
  open({ refuses: true });
  const { outbox, answers } = outboxOf();
  outbox.add(decision("one"));
  await settled();
  assert.equal(outbox.isKept, false);
  assert.deepEqual(answers, [["one", "stored"]]);
});

test("damaged entries of the storage are passed over", async () => {
  const asked = open();
  localStorage.setItem("cdm-inspect-decision:plant:x", "no json");
  localStorage.setItem("cdm-inspect-decision:plant:y", "{}");
  const { outbox } = outboxOf();
  await settled();
  assert.equal(outbox.waiting.length, 0);
  assert.equal(asked.length, 0);
});
