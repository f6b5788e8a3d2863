"use strict";
// Elements are made one by one and text is set as text: nothing in a report is ever read as HTML.

function made(element, attributes, children) {
  for (const [name, value] of Object.entries(attributes)) {
    if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
    else if (value === true) element.setAttribute(name, "");
    else if (value !== false && value !== null && value !== undefined) element.setAttribute(name, value);
  }
  element.append(...children);
  return element;
}

function html(name, attributes = {}, ...children) {
  return made(document.createElement(name), attributes, children);
}

function svg(name, attributes = {}, ...children) {
  return made(document.createElementNS("http://www.w3.org/2000/svg", name), attributes, children);
}

function inColour(element, number) {
  element.style.color = element.style.stroke = `var(--c${number % 8})`;
  if (number >= 8) element.style.strokeDasharray = `${7 - (number >> 3)} 3`;
  return element;
}

// As short as can be told apart: 1,234 · 12.35k · 0.00123 · 1.2e-6
function short(value) {
  const size = Math.abs(value);
  if (size >= 1e15 || (size > 0 && size < 1e-4)) return value.toExponential(2);
  for (const [unit, letter] of [[1e12, "T"], [1e9, "G"], [1e6, "M"], [1e4, "k"]]) {
    if (size >= unit) return `${+(value / (unit === 1e4 ? 1e3 : unit)).toPrecision(4)}${letter}`;
  }
  return size >= 1000 ? Math.round(value).toLocaleString("en") : `${+value.toPrecision(4)}`;
}

function duration(seconds) {
  if (seconds < 120) return `${+seconds.toPrecision(3)} s`;
  return seconds < 7200 ? `${+(seconds / 60).toPrecision(3)} min` : `${+(seconds / 3600).toPrecision(3)} h`;
}
