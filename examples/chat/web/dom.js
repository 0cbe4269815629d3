// The few things the page needs to make elements. Text always becomes a text
// node; nothing here, or anywhere else in the page, parses HTML.
import { hue, initials } from "./text.js";

// h makes an element. Props whose names begin with "on" are listeners, dataset
// is an object, booleans toggle an attribute; everything else is an attribute.
export function h(tag, props = {}, ...children) {
  const el = document.createElement(tag);
  for (const [name, value] of Object.entries(props)) {
    if (value === undefined || value === null || value === false) continue;
    if (name.startsWith("on")) el.addEventListener(name.slice(2), value);
    else if (name === "dataset") Object.assign(el.dataset, value);
    else el.setAttribute(name, value === true ? "" : value);
  }
  el.append(...children.filter((c) => c !== null && c !== undefined && c !== false));
  return el;
}

export const $ = (id) => document.getElementById(id);

const SVG = "http://www.w3.org/2000/svg";
const PATHS = {
  back: "M15 5l-7 7 7 7",
  close: "M6 6l12 12M18 6L6 18",
  plus: "M12 5v14M5 12h14",
  people: "M9 11a3.5 3.5 0 100-7 3.5 3.5 0 000 7zM2.5 20c.4-3.6 3-5.5 6.5-5.5s6.1 1.900 6.500 5.500M16 4.300a3.500 3.500 0 010 6.400M18 14.900c2 .7 3.200 2.400 3.500 5.100",
  frames: "M4 6h9M4 12h16M4 18h12M17 4l3 2-3 2",
  send: "M4.500 12L20 4.500 15.500 20l-3.500-6.500zM12 13.500L20 4.500",
  edit: "M4 20l1-4.500L16.500 4 20 7.500 8.500 19z",
  trash: "M5 7h14M10 7V4.500h4V7M7 7l1 12.500h8L17 7M10.500 11v5M13.500 11v5",
  check: "M5 12.500l4.500 4.500L19 7.500",
  clock: "M12 4a8 8 0 100 16 8 8 0 000-16zM12 8v4.300l2.800 1.700",
  alert: "M12 4a8 8 0 100 16 8 8 0 000-16zM12 8v5M12 15.800v.2",
  retry: "M19 12a7 7 0 11-2.200-5.100M19 4v4h-4",
  down: "M12 5v14M6 13l6 6 6-6",
  leave: "M14 5h5v14h-5M10 8l-4 4 4 4M6 12h9",
  second: "M4 5h11v9H4zM9 18h11V9M12 8v3M10.500 9.500h-2",
};

export function icon(name, cls = "") {
  const svg = document.createElementNS(SVG, "svg");
  svg.setAttribute("viewBox", "0 0 24 24");
  svg.setAttribute("aria-hidden", "true");
  svg.setAttribute("class", `icon ${cls}`.trim());
  const path = document.createElementNS(SVG, "path");
  path.setAttribute("d", PATHS[name]);
  svg.append(path);
  return svg;
}

export function iconButton(name, label, onclick, props = {}) {
  return h("button", { type: "button", class: "icon-button", "aria-label": label, title: label, onclick, ...props }, icon(name));
}

// avatar is a user's picture, which is their initials on their own colour.
export function avatar(user, cls = "") {
  const el = h("span", { class: `avatar ${cls}`.trim(), "aria-hidden": "true" }, initials(user?.name || user?.id || "?"));
  el.style.setProperty("--hue", hue(user?.id || ""));
  return el;
}

// put replaces what is in an element only where it differs from what key says,
// so that nothing is announced or loses its focus for no reason.
export function put(el, key, make) {
  if (el.dataset.key === key) return;
  el.dataset.key = key;
  el.replaceChildren(...[make()].flat().filter((c) => c !== null && c !== undefined && c !== false));
}
