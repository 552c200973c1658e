// Keys of the desk. Each action has one, which a person may change; digits choose reasons.

const DEFAULTS = {
  accept: "a",
  reject: "x",
  unsure: "e",
  undo: "z",
  hide: " ",
  fit: "f",
  original: "g",
  contour: "o",
  comment: "m",
  help: "?",
};
// Digits are reasons, and on these Streamlit has something of its own.
const TAKEN = /^([0-9rc]|escape|tab|enter|shift|control|alt|meta)$/;

const storageKey = (name) => `cdm-inspect-keys:${name}`;

export class Keys {
  constructor() {
    this.bound = { ...DEFAULTS };
    this.name = "";
  }

  /** The keys of a person, as this browser knows them. */
  login(name) {
    this.name = name;
    this.bound = { ...DEFAULTS };
    try {
      const kept = JSON.parse(localStorage.getItem(storageKey(name)) ?? "{}");
      for (const action of Object.keys(DEFAULTS)) {
        if (typeof kept[action] === "string") this.bound[action] = kept[action];
      }
    } catch (error) {
      // A browser that keeps nothing has the usual keys.
    }
  }

  /** Give an action another key; false where it cannot be had. */
  change(action, key) {
    if (TAKEN.test(key) || key.length !== 1) return false;
    if (Object.entries(this.bound).some(([other, held]) => other !== action && held === key)) {
      return false;
    }
    this.bound[action] = key;
    this.save();
    return true;
  }

  reset() {
    this.bound = { ...DEFAULTS };
    this.save();
  }

  save() {
    try {
      localStorage.setItem(storageKey(this.name), JSON.stringify(this.bound));
    } catch (error) {
      // They hold until the page is closed.
    }
  }

  /** What a key means: an action, `{reason: n}`, or null. */
  meaning(event) {
    const key = plainKey(event);
    if (/^[1-9]$/.test(key)) return { reason: Number(key) };
    const found = Object.entries(this.bound).find(([, held]) => held === key);
    return found ? { action: found[0] } : null;
  }
}

/** The character of a key, also from a numeric pad, full-width, or under a Japanese input method. */
export function plainKey(event) {
  if (event.key === "Process" || event.key === "Unidentified") {
    const pressed = /^(?:Key|Digit|Numpad)([A-Z0-9])$/.exec(event.code);
    return pressed ? pressed[1].toLowerCase() : "";
  }
  return event.key.normalize("NFKC").toLowerCase();
}

/** How a key is written on a button. */
export function keyName(key, words) {
  return key === " " ? words.space : key.toUpperCase();
}

/** Whether somebody is writing, so that letters are letters. */
export function isWriting(event) {
  const target = event.composedPath()[0];
  if (!(target instanceof HTMLElement)) return false;
  if (target.isContentEditable || /^(TEXTAREA|SELECT)$/.test(target.tagName)) return true;
  return target instanceof HTMLInputElement && !/^(range|checkbox|radio|button)$/.test(target.type);
}
