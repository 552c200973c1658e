// Pictures of parts, fetched and decoded before they are needed.

import { readMap } from "./overlay.js";

const KEPT = 16;

async function load(address) {
  if (!address) return null;
  const image = new Image();
  image.decoding = "async";
  image.src = address;
  try {
    await image.decode();
  } catch (error) {
    return null; // missing, damaged, or the server is away
  }
  return image;
}

export class Pictures {
  constructor() {
    this.parts = new Map(); // number of the part → { ready, found }
  }

  /** Pictures of a part: `{photo, restoration, map}`, null where there is none. */
  of(part) {
    const known = this.parts.get(part.id);
    if (known) return known.ready;
    const entry = { found: null };
    entry.ready = this.fetch(part).then((found) => {
      entry.found = found;
      // What could not be had is asked for again the next time.
      if (part.pictures.photo && !found.photo) this.parts.delete(part.id);
      return found;
    });
    this.parts.set(part.id, entry);
    if (this.parts.size > KEPT) this.parts.delete(this.parts.keys().next().value);
    return entry.ready;
  }

  /** The same, if they are here already; else null. */
  now(part) {
    return this.parts.get(part.id)?.found ?? null;
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

export { load };
