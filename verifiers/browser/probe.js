// Runs in every page before the page's own code, and sees what WebGL draws. All that the page could replace is taken
// here first, and nothing but the host knows the name `PROBE`, a constant that a page can neither list nor assign.
const PROBE = (() => {
  "use strict";
  const COLUMNS = 48, ROWS = 36, SAMPLE_EVERY_MS = 12, MOST_SAMPLES = 64, MOST_CANVASES = 8, MOST_ERRORS = 10;
  const HEX = [];
  for (let i = 0; i < 256; i++) HEX[i] = (i < 16 ? "0" : "") + i.toString(16);

  const { apply } = Reflect;
  const { requestAnimationFrame, queueMicrotask, addEventListener } = window;
  const { now } = Performance.prototype, clock = performance;
  const { slice } = String.prototype;
  const { get: known, set: remember } = WeakMap.prototype;
  const { clearRect, drawImage, getImageData } = CanvasRenderingContext2D.prototype;
  const { getBoundingClientRect, checkVisibility } = Element.prototype;
  const getter = (type, name) => Object.getOwnPropertyDescriptor(type.prototype, name).get;
  const rectangle = ["x", "y", "width", "height"];
  const edges = [0, 1, 2, 3].map((i) => getter(DOMRectReadOnly, rectangle[i]));
  const sizes = [getter(HTMLCanvasElement, "width"), getter(HTMLCanvasElement, "height")];
  const isConnected = getter(Node, "isConnected");
  const pixelsOf = getter(ImageData, "data");
  const messageOf = getter(ErrorEvent, "message");
  const visibly = { opacityProperty: true, visibilityProperty: true };
  const mean = document.createElement("canvas");
  mean.width = COLUMNS;
  mean.height = ROWS;
  const small = mean.getContext("2d", { willReadFrequently: true });
  small.imageSmoothingQuality = "medium";

  // Filled, because setting a new element would call a setter that the page put on Array.prototype.
  const canvases = [], errors = [];
  for (let i = 0; i < MOST_CANVASES; i++) canvases[i] = null;
  for (let i = 0; i < MOST_ERRORS; i++) errors[i] = "";
  const records = new WeakMap();
  let canvasCount = 0, errorCount = 0, sampled = -SAMPLE_EVERY_MS, looking = false, counting = false;

  function note(context, canvas, count) {
    if (!(count > 0)) return;
    let record = apply(known, records, [context]);
    if (record === undefined) {
      record = { canvas, draws: 0, frames: 0, fresh: false, shown: false, samples: "", kept: 0 };
      apply(remember, records, [context, record]);
      if (canvasCount < MOST_CANVASES) canvases[canvasCount++] = record;
    }
    record.draws += 1;
    record.fresh = record.shown = true;
    if (!looking && apply(now, clock, []) - sampled >= SAMPLE_EVERY_MS) {
      looking = true;
      apply(queueMicrotask, window, [look]);
    }
    if (!counting) {
      counting = true;
      apply(requestAnimationFrame, window, [countFrame]);
    }
  }

  // Right after the function that draws: its picture is still in the buffer, before the browser shows and clears it.
  function look() {
    looking = false;
    sampled = apply(now, clock, []);
    for (let i = 0; i < canvasCount; i++) {
      const record = canvases[i];
      if (!record.fresh || record.kept >= MOST_SAMPLES) continue;
      record.fresh = false;
      record.samples += " " + sampled + ":" + thumbnail(record.canvas);
      record.kept += 1;
    }
  }

  // Once for each frame that the browser shows, however often the page draws; until it draws no more.
  function countFrame() {
    counting = false;
    listen();
    for (let i = 0; i < canvasCount; i++) {
      if (!canvases[i].shown) continue;
      canvases[i].frames += 1;
      canvases[i].shown = false;
      counting = true;
    }
    if (counting) apply(requestAnimationFrame, window, [countFrame]);
  }

  function thumbnail(canvas) {
    let text = "";
    try {
      apply(clearRect, small, [0, 0, COLUMNS, ROWS]);
      apply(drawImage, small, [canvas, 0, 0, COLUMNS, ROWS]);
      const pixels = apply(pixelsOf, apply(getImageData, small, [0, 0, COLUMNS, ROWS]), []);
      for (let i = 0; i < COLUMNS * ROWS * 4; i += 4) text += HEX[pixels[i]] + HEX[pixels[i + 1]] + HEX[pixels[i + 2]];
    } catch {
      return "";
    }
    return text;
  }

  function place(canvas) {
    let text = "";
    try {
      const box = apply(getBoundingClientRect, canvas, []);
      const seen = apply(isConnected, canvas, []) && apply(checkVisibility, canvas, [visibly]);
      for (let i = 0; i < 4; i++) text += (seen ? apply(edges[i], box, []) : 0) + " ";
      return text + apply(sizes[0], canvas, []) + " " + apply(sizes[1], canvas, []);
    } catch {
      return "0 0 0 0 0 0"; // Not on the page, such as an OffscreenCanvas.
    }
  }

  function wrap(owner, name, countAt, canvasOf) {
    const original = owner[name];
    if (typeof original !== "function") return;
    const wrapped = {
      [name](...given) {
        const canvas = apply(canvasOf, this, []);
        const count = given[countAt];
        note(this, canvas, typeof count === "number" ? count : count?.length);
        return apply(original, this, given);
      },
    }[name];
    owner[name] = wrapped;
  }

  for (const type of [WebGLRenderingContext, WebGL2RenderingContext]) {
    const canvasOf = getter(type, "canvas");
    wrap(type.prototype, "drawArrays", 2, canvasOf);
    wrap(type.prototype, "drawElements", 1, canvasOf);
    wrap(type.prototype, "drawArraysInstanced", 2, canvasOf);
    wrap(type.prototype, "drawElementsInstanced", 1, canvasOf);
    wrap(type.prototype, "drawRangeElements", 3, canvasOf);
    const getExtension = type.prototype.getExtension;
    type.prototype.getExtension = function (name) {
      const extension = apply(getExtension, this, [name]);
      if (extension === null || apply(known, records, [extension])) return extension;
      apply(remember, records, [extension, true]);
      const canvas = apply(canvasOf, this, []);
      const extensionCanvas = () => canvas;
      if (name === "ANGLE_instanced_arrays") {
        wrap(extension, "drawArraysInstancedANGLE", 2, extensionCanvas);
        wrap(extension, "drawElementsInstancedANGLE", 1, extensionCanvas);
      } else if (name === "WEBGL_multi_draw") {
        wrap(extension, "multiDrawArraysWEBGL", 3, extensionCanvas);
        wrap(extension, "multiDrawElementsWEBGL", 1, extensionCanvas);
        wrap(extension, "multiDrawArraysInstancedWEBGL", 3, extensionCanvas);
        wrap(extension, "multiDrawElementsInstancedWEBGL", 1, extensionCanvas);
      }
      return extension;
    };
  }

  // The first listeners of the window: `window.onerror = () => true` hides an error from the console, not from them.
  function onError(event) {
    let message = "";
    try {
      message = apply(messageOf, event, []);
    } catch {
      return; // An event of the page's own making.
    }
    report(message);
  }
  function onRejection() {
    report("Uncaught (in promise)");
  }
  function report(message) {
    if (errorCount < MOST_ERRORS) errors[errorCount] = apply(slice, message, [0, 300]);
    errorCount += 1;
  }
  function listen() { // Again and again: document.open() removes listeners.
    apply(addEventListener, window, ["error", onError]);
    apply(addEventListener, window, ["unhandledrejection", onRejection]);
  }
  listen();

  // No JSON and no joins: both run code that a page can replace.
  return {
    read() {
      let text = "" + errorCount;
      for (let i = 0; i < canvasCount; i++) {
        const record = canvases[i];
        text += "\n" + record.draws + " " + record.frames + " " + place(record.canvas) + record.samples;
        record.samples = "";
        record.kept = 0;
      }
      return text;
    },
    error(i) {
      return i < MOST_ERRORS ? errors[i] : "";
    },
  };
})();
