// Small things every part of the page needs: making elements, writing numbers. Knows nothing of MuDaR.

/** The one element that matches, or an error that names what is missing. */
export function find(selector, root = document) {
  const found = root.querySelector(selector);
  if (!found) throw new Error(`nothing matches ${selector}`);
  return found;
}

/** make("button.quiet", {type: "button", onclick}, "text", child): null children are left out. */
export function make(spec, props = {}, ...children) {
  const [tag, ...classes] = spec.split(".");
  const node = document.createElement(tag);
  if (classes.length) node.className = classes.join(" ");
  for (const [name, value] of Object.entries(props)) {
    if (name.includes("-") || name === "role" || name === "for") node.setAttribute(name, value);
    else node[name] = value;
  }
  node.append(...children.filter((child) => child !== null && child !== undefined));
  return node;
}

export const clamp = (x, low, high) => Math.min(Math.max(x, low), high);

/** 75.4 → "1:15" */
export function clock(seconds) {
  const whole = Math.max(0, Math.floor(seconds + 1e-6));
  return `${Math.floor(whole / 60)}:${String(whole % 60).padStart(2, "0")}`;
}

/** 0.834 → "83 %"; what is not a number is a dash. */
export const percent = (share) => (Number.isFinite(share) ? `${Math.round(share * 100)} %` : "–");
export const fixed = (x, digits = 2) => (Number.isFinite(x) ? x.toFixed(digits).replace("-", "−") : "–");
export const bpm = (x) => (x > 0 ? `${Math.round(x)} bpm` : "tempo unknown");

export const calm = () => matchMedia("(prefers-reduced-motion: reduce)").matches;

/** Calls `work` once, `wait_ms` after the last call. */
export function settle(work, wait_ms) {
  let timer = 0;
  return (...args) => {
    clearTimeout(timer);
    timer = setTimeout(work, wait_ms, ...args);
  };
}
