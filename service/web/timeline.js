// A canvas that follows a media element: sharp at any pixel ratio, a window that moves with the playhead,
// an overview of the whole below it, seeking by pointer and keys. What is painted is the caller's (score.js).

import { calm, clamp, clock } from "./dom.js";

const PIXELS_PER_SECOND = 44; // close enough that ticks 1/15 s apart stay apart
const OVERVIEW_PX = 26;

export class Timeline {
  /** `paint(view)` and `paintOverview(view)` draw between view.t0 and view.t1; times are in seconds. */
  constructor(canvas, media, { label, paint, paintOverview = null }) {
    Object.assign(this, { canvas, media, paint, paintOverview, duration_s: 0, t0: 0, held: null, frame: 0 });
    // A tool gets the pointer in place of the playhead: grab, drag, release (marks.js); handles where they take it.
    this.tool = this.handles = this.using = null;
    canvas.tabIndex = 0;
    canvas.setAttribute("role", "slider");
    canvas.setAttribute("aria-label", label);
    canvas.setAttribute("aria-valuemin", "0");
    new ResizeObserver(() => this.wake()).observe(canvas);
    matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => this.wake());
    for (const event of ["play", "pause", "seeking", "seeked", "timeupdate", "loadedmetadata"]) {
      media.addEventListener(event, () => this.wake());
    }
    canvas.addEventListener("pointerdown", (event) => this.#grab(event));
    canvas.addEventListener("pointermove", (event) => this.held && this.#move(event));
    for (const event of ["pointerup", "pointercancel"]) canvas.addEventListener(event, () => this.#release());
    canvas.addEventListener("keydown", (event) => this.#key(event));
  }

  show(duration_s) {
    this.duration_s = duration_s;
    this.t0 = 0;
    this.canvas.setAttribute("aria-valuemax", duration_s.toFixed(1));
    this.wake();
  }

  /** Draw at the next frame, and go on while something moves. */
  wake() {
    this.frame ||= requestAnimationFrame(() => {
      this.frame = 0;
      if (this.#draw()) this.wake();
    });
  }

  #draw() {
    const { canvas, media, duration_s } = this;
    const [width, height] = [canvas.clientWidth, canvas.clientHeight];
    if (!width || !height) return false;
    const ratio = devicePixelRatio || 1;
    const [pixelsWide, pixelsHigh] = [Math.round(width * ratio), Math.round(height * ratio)];
    if (canvas.width !== pixelsWide || canvas.height !== pixelsHigh) {
      canvas.width = pixelsWide;
      canvas.height = pixelsHigh;
    }
    const g = canvas.getContext("2d");
    g.setTransform(ratio, 0, 0, ratio, 0, 0);
    g.clearRect(0, 0, width, height);
    if (!duration_s) return false;

    const now = clamp(media.currentTime || 0, 0, duration_s);
    const span = Math.min(duration_s, Math.max(4, width / PIXELS_PER_SECOND));
    const goal = clamp(now - span * 0.35, 0, duration_s - span);
    const gap = goal - this.t0;
    if (!this.held) this.t0 += media.paused && !calm() && Math.abs(gap) > 0.01 ? gap * 0.25 : gap;
    const tall = duration_s > span && this.paintOverview ? height - OVERVIEW_PX : height;
    const colours = palette(canvas);
    const close = new View(g, width, 0, tall, this.t0, this.t0 + span, now, colours, !media.paused);
    this.paint(close);
    if (tall < height) this.paintOverview(new View(g, width, tall, height, 0, duration_s, now, colours, false), close);
    this.close = close;
    canvas.setAttribute("aria-valuenow", now.toFixed(1));
    canvas.setAttribute("aria-valuetext", `${clock(now)} of ${clock(duration_s)}`);
    return !media.paused || (!this.held && Math.abs(goal - this.t0) > 0.01);
  }

  #grab(event) {
    if (!this.close || event.button) return;
    const overview = this.close.bottom < this.canvas.clientHeight && event.offsetY > this.close.bottom;
    // The window stands still while it is held, or the point under the finger would run away.
    this.held = overview ? [0, this.duration_s] : [this.close.t0, this.close.t1];
    this.canvas.setPointerCapture(event.pointerId);
    const handles = this.handles?.takes(this.close, event.offsetX) ? this.handles : null;
    this.using = overview ? null : (this.tool ?? handles);
    if (this.using) this.using.grab(this.close, event.offsetX);
    else this.#seekTo(event);
  }

  #move(event) {
    if (this.using) this.using.drag(this.close, event.offsetX);
    else this.#seekTo(event);
  }

  #seekTo(event) {
    const [start, end] = this.held;
    this.seek(start + (end - start) * clamp(event.offsetX / this.canvas.clientWidth, 0, 1));
  }

  #release() {
    if (this.using) this.using.release();
    this.held = this.using = null;
    this.wake();
  }

  #key(event) {
    const steps = { ArrowLeft: -1 / 15, ArrowRight: 1 / 15, PageDown: -2, PageUp: 2, Home: -Infinity, End: Infinity };
    const step = steps[event.key];
    if (event.key === " ") this.media.paused ? this.media.play().catch(() => {}) : this.media.pause();
    else if (step !== undefined) this.seek(this.media.currentTime + step * (event.shiftKey ? 15 : 1));
    else return;
    event.preventDefault();
  }

  seek(time_s) {
    this.media.currentTime = clamp(time_s, 0, Math.max(0, this.duration_s - 0.02));
    this.wake();
  }
}

/** A rectangle of the canvas that shows t0..t1. */
export class View {
  constructor(g, width, top, bottom, t0, t1, now, colours, playing) {
    Object.assign(this, { g, width, top, bottom, t0, t1, now, colours, playing });
  }
  get height() {
    return this.bottom - this.top;
  }
  x(time_s) {
    return ((time_s - this.t0) / (this.t1 - this.t0)) * this.width;
  }
  time(x) {
    return this.t0 + (x / this.width) * (this.t1 - this.t0);
  }
  /** The indices of the sorted `times_s` that show, with one more on each side. */
  range(times_s) {
    return [Math.max(0, lowerBound(times_s, this.t0) - 1), Math.min(times_s.length, lowerBound(times_s, this.t1) + 1)];
  }
}

export function lowerBound(sorted, value) {
  let [low, high] = [0, sorted.length];
  while (low < high) {
    const middle = (low + high) >> 1;
    if (sorted[middle] < value) low = middle + 1;
    else high = middle;
  }
  return low;
}

/** The page's colours, as the style sheet has them in this light. */
export function palette(node) {
  const style = getComputedStyle(node);
  const names = ["ink", "soft", "line", "dance", "music", "pair", "panel", "well"];
  return Object.fromEntries(names.map((name) => [name, style.getPropertyValue(`--${name}`).trim()]));
}
