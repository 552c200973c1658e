// A heat map as a coloured, half-transparent picture with the contour of the threshold.
//
// The server gives the map in grey, 0 to twice the threshold; 128 is the threshold itself. What
// lies below half the threshold stays clear. The contour is white with a black edge, since no fill
// colour shows on every surface.

const SIDE = 768; // longest side of the drawn map, pixels
const THRESHOLD = 128;

// Stops of the scales, evenly spaced: cividis and viridis as published, and grey.
const SCALES = {
  cividis: ["00224e", "123570", "3b496c", "575d6d", "707173", "8a8678", "a59c74", "c3b369", "e1cc55", "fee838"],
  viridis: ["440154", "482878", "3e4989", "31688e", "26828e", "1f9e89", "35b779", "6ece58", "b5de2b", "fde725"],
  grey: ["000000", "ffffff"],
};

const tables = new Map();

/** 256 colours of a scale, three bytes each. */
function table(name) {
  if (!tables.has(name)) {
    const stops = SCALES[name].map((hex) => [0, 2, 4].map((at) => parseInt(hex.slice(at, at + 2), 16)));
    const colours = new Uint8Array(256 * 3);
    for (let value = 0; value < 256; value += 1) {
      const place = (value / 255) * (stops.length - 1);
      const low = Math.min(stops.length - 2, Math.floor(place));
      for (let channel = 0; channel < 3; channel += 1) {
        const [from, to] = [stops[low][channel], stops[low + 1][channel]];
        colours[value * 3 + channel] = Math.round(from + (to - from) * (place - low));
      }
    }
    tables.set(name, colours);
  }
  return tables.get(name);
}

/** The scale as a picture for a legend. */
export function legend(name) {
  const colours = table(name);
  const canvas = Object.assign(document.createElement("canvas"), { width: 256, height: 1 });
  const picture = new ImageData(256, 1);
  for (let value = 0; value < 256; value += 1) {
    picture.data.set(colours.subarray(value * 3, value * 3 + 3), value * 4);
    picture.data[value * 4 + 3] = 255;
  }
  canvas.getContext("2d").putImageData(picture, 0, 0);
  return canvas;
}

export const scaleNames = Object.keys(SCALES);

/** Values of a grey map, enlarged smoothly; made once a part. */
export function readMap(image) {
  const enlarge = SIDE / Math.max(image.naturalWidth, image.naturalHeight);
  const width = Math.round(image.naturalWidth * enlarge);
  const height = Math.round(image.naturalHeight * enlarge);
  const canvas = new OffscreenCanvas(width, height);
  const context = canvas.getContext("2d", { willReadFrequently: true });
  context.imageSmoothingQuality = "high";
  context.drawImage(image, 0, 0, width, height);
  const rgba = context.getImageData(0, 0, width, height).data;
  const values = new Uint8Array(width * height);
  for (let index = 0; index < values.length; index += 1) values[index] = rgba[index * 4];
  return { width, height, values };
}

/** Draw a map's fill on one canvas and its contour on another, so that each can be hidden alone. */
export function paint(map, fillCanvas, contourCanvas, scale) {
  const { width, height, values } = map;
  const colours = table(scale);
  const filled = new ImageData(width, height);
  const drawn = new ImageData(width, height);
  for (let y = 0, index = 0; y < height; y += 1) {
    for (let x = 0; x < width; x += 1, index += 1) {
      const value = values[index];
      if (value > 64) {
        filled.data.set(colours.subarray(value * 3, value * 3 + 3), index * 4);
        filled.data[index * 4 + 3] = Math.min(255, (value - 64) * 4);
      }
      // Two pixels of white inside the edge, two of black outside of it.
      const isInside = value >= THRESHOLD;
      if (isEdge(values, x, y, width, height, isInside)) {
        const shade = isInside ? 255 : 0;
        drawn.data.set([shade, shade, shade, 255], index * 4);
      }
    }
  }
  for (const [canvas, picture] of [[fillCanvas, filled], [contourCanvas, drawn]]) {
    canvas.width = width;
    canvas.height = height;
    canvas.getContext("2d").putImageData(picture, 0, 0);
  }
}

function isEdge(values, x, y, width, height, isInside) {
  const index = y * width + x;
  for (let step = 1; step <= 2; step += 1) {
    if (x >= step && values[index - step] >= THRESHOLD !== isInside) return true;
    if (x + step < width && values[index + step] >= THRESHOLD !== isInside) return true;
    if (y >= step && values[index - step * width] >= THRESHOLD !== isInside) return true;
    if (y + step < height && values[index + step * width] >= THRESHOLD !== isInside) return true;
  }
  return false;
}
