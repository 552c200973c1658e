// Building the page. Text is always text: nothing here reads markup from data.

/** An element with properties, listeners (`onclick` ...) and children. */
export function el(tag, properties = {}, ...children) {
  const node = document.createElement(tag);
  for (const [name, value] of Object.entries(properties)) {
    if (name.startsWith("on")) node.addEventListener(name.slice(2), value);
    else if (name.startsWith("aria-") || name.startsWith("data-") || name === "role") {
      node.setAttribute(name, value);
    } else node[name] = value;
  }
  node.append(...children.filter((child) => child !== null && child !== undefined));
  return node;
}

/** `template` with `{name}` replaced. */
export function fill(template, values) {
  return template.replace(/\{(\w+)\}/g, (whole, name) => values[name] ?? whole);
}

/** A button that can be pressed with a glove. */
export function button(text, onclick, properties = {}) {
  const kept = { type: "button", textContent: text, onclick, onpointerdown: leaveFocus, ...properties };
  return el("button", kept);
}

/** Pressed by hand a button takes no focus, or the next key would press it; no text keeps it either. */
function leaveFocus(event) {
  event.preventDefault();
  const focused = event.currentTarget.getRootNode().activeElement ?? document.activeElement;
  if (/^(INPUT|SELECT|TEXTAREA)$/.test(focused?.tagName)) focused.blur();
}

/** A score or threshold with four digits that count, however small it is. */
export function figure(value, language) {
  return value.toLocaleString(language, { minimumSignificantDigits: 4, maximumSignificantDigits: 4 });
}
