import assert from "node:assert/strict";
import { beforeEach, test } from "node:test";

import { Attendance } from "../../../apps/cdm_inspect_review/components/desk/attendance.js";
import { open } from "./browser.js";

let now = 0;

beforeEach(() => {
  open();
  now = 0;
  performance.now = () => now;
});

test("five minutes without a sign are an absence, and any sign ends it", () => {
  let signs = 0;
  const attendance = new Attendance(() => (signs += 1));
  now = 5 * 60_000 - 1;
  assert.equal(attendance.isOver, false);
  now = 5 * 60_000;
  assert.equal(attendance.isOver, true);
  for (const sign of ["pointerdown", "pointermove", "wheel", "keydown"]) {
    now += 10 * 60_000;
    assert.equal(attendance.isOver, true);
    document.dispatchEvent(new Event(sign));
    assert.equal(attendance.isOver, false, sign);
  }
  assert.equal(signs, 4);
  attendance.end();
});

test("whoever hears of a sign finds the absence over", () => {
  const seen = [];
  const attendance = new Attendance(() => seen.push(attendance.isOver));
  now = 60 * 60_000;
  document.dispatchEvent(new Event("keydown"));
  assert.deepEqual(seen, [false]);
  attendance.end();
});

test("at the end nothing is heard any more", () => {
  let signs = 0;
  new Attendance(() => (signs += 1)).end();
  document.dispatchEvent(new Event("keydown"));
  assert.equal(signs, 0);
});
