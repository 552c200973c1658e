// Pictures of parts, fetched and decoded before they are needed.

import { readMap } from "./overlay.js";

const KEPT = 16;

/** It cannot be had now, and perhaps a little later. */
export class Later extends Error {
  constructor(status = 0) {
    super(`HTTP ${status}`);
    this.isExpired = status === 401 || status === 403; // under this address it never comes
  }
}

/** A decoded picture; null where there is none that could be shown. */
export async function load(address) {
  if (!address) return null;
  const image = await decoded(address);
  if (image) return image;
  // Missing or damaged, or is the server away?
  let answer;
  let data;
  try {
    answer = await fetch(address);
    data = await answer.blob();
  } catch (error) {
    throw new Later();
  }
  if (answer.status === 404) return null;
  if (!answer.ok) throw new Later(answer.status);
  // It is here now, and kept by the browser: what failed may have been that one request.
  const again = await decoded(address);
  if (again) return again;
  if (await isPicture(data)) throw new Later();
  return null;
}

/** The picture under an address; null if it cannot be fetched or shown. */
async function decoded(address) {
  const image = new Image();
  image.src = address;
  try {
    await image.decode();
    return image;
  } catch (error) {
    return null;
  }
}

async function isPicture(data) {
  try {
    (await createImageBitmap(data)).close();
    return true;
  } catch (error) {
    return false;
  }
}

export class Pictures {
  constructor() {
    this.parts = new Map(); // number of the part → { ready, found }
  }

  /**
   * Pictures of a part: `{photo, restoration, map}`, null where there is none.
   * Throws `Later` where one is there and cannot be had now.
   */
  of(part) {
    const known = this.parts.get(part.id);
    if (known) return known.ready;
    const entry = { found: null };
    entry.ready = this.fetch(part).then(
      (found) => (entry.found = found),
      (error) => {
        // It is asked for again the next time.
        if (this.parts.get(part.id) === entry) this.parts.delete(part.id);
        throw error;
      },
    );
    entry.ready.catch(() => {}); // whoever waits for it gets the error
    this.parts.set(part.id, entry);
    if (this.parts.size > KEPT) this.parts.delete(this.parts.keys().next().value);
    return entry.ready;
  }

  /** The same, if they are here already; else null. */
  now(part) {
    return this.parts.get(part.id)?.found ?? null;
  }

  /** Ask for them anew. */
  forget(part) {
    this.parts.delete(part.id);
  }

  async fetch(part) {
    const [photo, restoration, map] = await Promise.all([
      load(part.pictures.photo),
      load(part.pictures.restoration),
      load(part.pictures.map),
    ]);
    return { photo, restoration, map: map && readMap(map) };
  }
}
