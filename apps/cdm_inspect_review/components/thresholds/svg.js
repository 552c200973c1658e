// Pieces of a drawing. Text is always text: nothing here reads markup from data.

const SVG = "http://www.w3.org/2000/svg";

/** A shape with attributes. */
export function shape(name, attributes) {
  const made = document.createElementNS(SVG, name);
  for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
  return made;
}

/** A piece of text. */
export function text(content, { anchor = "start", ...attributes }) {
  const made = shape("text", { ...attributes, "text-anchor": anchor });
  made.textContent = content;
  return made;
}
