import assert from "node:assert/strict";
import { beforeEach, test } from "node:test";

import { Keys, isWriting, keyName, plainKey } from "../../../apps/cdm_inspect_review/components/desk/keys.js";
import { open } from "./browser.js";

beforeEach(() => open());

const pressed = (key, code = "") => ({ key, code });

test("a key is the same from every keyboard", () => {
  for (const event of [
    pressed("a"),
    pressed("A"),
    pressed("ａ"), // full-width
    pressed("Process", "KeyA"), // under a Japanese input method
    pressed("Unidentified", "KeyA"),
  ]) {
    assert.equal(plainKey(event), "a");
  }
  assert.equal(plainKey(pressed("Process", "Numpad3")), "3");
  assert.equal(plainKey(pressed("Process", "Enter")), "");
});

test("digits are reasons, letters are actions, the rest is nothing", () => {
  const keys = new Keys();
  assert.deepEqual(keys.meaning(pressed("3")), { reason: 3 });
  assert.deepEqual(keys.meaning(pressed("x")), { action: "reject" });
  assert.deepEqual(keys.meaning(pressed(" ")), { action: "hide" });
  assert.equal(keys.meaning(pressed("0")), null);
  assert.equal(keys.meaning(pressed("q")), null);
});

test("a key that is taken cannot be had", () => {
  const keys = new Keys();
  keys.login("tanaka");
  for (const key of ["1", "r", "c", "escape", "x", "ab", ""]) {
    assert.equal(keys.change("accept", key), false, key);
  }
  assert.equal(keys.change("accept", "j"), true);
  assert.deepEqual(keys.meaning(pressed("j")), { action: "accept" });
  assert.equal(keys.meaning(pressed("a")), null);
});

test("each person has keys of their own, and reset brings back the usual ones", () => {
  const keys = new Keys();
  keys.login("tanaka");
  keys.change("accept", "j");
  keys.login("suzuki");
  assert.equal(keys.bound.accept, "a");
  keys.login("tanaka");
  assert.equal(keys.bound.accept, "j");
  keys.reset();
  const again = new Keys();
  again.login("tanaka");
  assert.equal(again.bound.accept, "a");
});

test("damaged or foreign storage leaves the usual keys", () => {
  for (const text of ["no json", "null", '{"accept": 7, "other": "j"}']) {
    localStorage.setItem("cdm-inspect-keys:tanaka", text);
    const keys = new Keys();
    keys.login("tanaka");
    assert.equal(keys.bound.accept, "a");
    assert.equal("other" in keys.bound, false);
  }
  open({ refuses: true });
  const keys = new Keys();
  keys.login("tanaka");
  assert.equal(keys.change("accept", "j"), true); // until the page is closed
  assert.equal(keys.bound.accept, "j");
});

test("the space bar has a name on buttons", () => {
  assert.equal(keyName(" ", { space: "Space" }), "Space");
  assert.equal(keyName("a", {}), "A");
});

test("letters are letters where somebody writes", () => {
  const at = (target) => isWriting({ composedPath: () => [target] });
  const node = (tagName, facts = {}) => Object.assign(new HTMLElement(), { tagName }, facts);
  const input = (type) => Object.assign(new HTMLInputElement(), { tagName: "INPUT", type });
  assert.equal(at({}), false);
  assert.equal(at(node("DIV")), false);
  assert.equal(at(node("DIV", { isContentEditable: true })), true);
  assert.equal(at(node("TEXTAREA")), true);
  assert.equal(at(node("SELECT")), true);
  assert.equal(at(input("text")), true);
  assert.equal(at(input("range")), false);
  assert.equal(at(input("checkbox")), false);
});
