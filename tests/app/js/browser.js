// What the desk's modules need of a browser, made of what Node has.

/** A storage that keeps texts, or refuses to. */
export class Storage {
  constructor(refuses = false) {
    Object.defineProperty(this, "refuses", { value: refuses, writable: true, enumerable: false });
  }

  getItem(name) {
    if (this.refuses) throw new Error("refused");
    return Object.hasOwn(this, name) ? this[name] : null;
  }

  setItem(name, text) {
    if (this.refuses) throw new Error("refused");
    this[name] = String(text);
  }

  removeItem(name) {
    if (this.refuses) throw new Error("refused");
    delete this[name];
  }
}

/** A fresh browser for a test: storage, document, and a server that answers as said. */
export function open({ refuses = false, answer = () => ({ status: "stored", version: 1 }) } = {}) {
  const asked = [];
  globalThis.localStorage = new Storage(refuses);
  globalThis.document = new EventTarget();
  globalThis.HTMLElement = class {};
  globalThis.HTMLInputElement = class extends HTMLElement {};
  globalThis.fetch = async (path, { body, headers }) => {
    const decision = JSON.parse(body);
    asked.push({ path, decision, token: headers["x-desk-token"] });
    const found = await answer(decision, headers["x-desk-token"], asked.length);
    if (found instanceof Error) throw found;
    const status = found.http ?? 200;
    return { status, ok: status < 400, json: async () => found };
  };
  return asked;
}

/** Let everything that is under way come to its end. */
export async function settled() {
  for (let i = 0; i < 50; i += 1) await new Promise((done) => setImmediate(done));
}
