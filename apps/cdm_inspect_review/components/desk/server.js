// Asking the server. Every request ends: by an answer, or by `Unreachable`.

const TIMEOUT_MS = 10_000;

/** The server did not answer, or has trouble that passes. */
export class Unreachable extends Error {
  constructor(message, isAway) {
    super(message);
    this.isAway = isAway; // nobody has answered at all
  }
}

/** The server does not do it: `kind` is a name of the catalogue, if it has said one. */
export class Refused extends Error {
  constructor({ kind, error }, status) {
    super(error ?? `HTTP ${status}`);
    this.kind = kind;
  }
}

/** The token is no longer good: somebody has to log in. */
export class LoggedOut extends Error {}

async function ask(path, token, options = {}) {
  let answer;
  try {
    answer = await fetch(`/cdm/desk/${path}`, {
      ...options,
      headers: { "x-desk-token": token, "content-type": "application/json" },
      signal: AbortSignal.timeout(TIMEOUT_MS),
      credentials: "same-origin",
      redirect: "error",
    });
  } catch (error) {
    throw new Unreachable(String(error), true);
  }
  if (answer.status === 401) throw new LoggedOut();
  let found;
  try {
    found = await answer.json();
  } catch (error) {
    throw new Unreachable(`HTTP ${answer.status}`, false);
  }
  if (answer.status >= 500) throw new Unreachable(found.error ?? `HTTP ${answer.status}`, false);
  if (!answer.ok) throw new Refused(found, answer.status);
  return found;
}

export const take = (token, asked) =>
  ask("take", token, { method: "POST", body: JSON.stringify(asked) });

export const decide = (token, decision) =>
  ask("decisions", token, { method: "POST", body: JSON.stringify(decision) });

export const alike = (token, number) => ask(`alike/${number}`, token);

export const limitSamples = (token, line) =>
  ask(`limit-samples?line=${encodeURIComponent(line)}`, token);

/** As the page goes away; nobody waits for the answer. */
export function release(token, holder) {
  fetch("/cdm/desk/release", {
    method: "POST",
    keepalive: true,
    headers: { "x-desk-token": token, "content-type": "application/json" },
    body: JSON.stringify({ holder }),
  }).catch(() => {});
}
