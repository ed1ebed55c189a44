// Which part of the song is used: from which second, and for how long at most. Set in fields, at the playhead,
// or by its handle on the score. Knows no request; `settings` is what a retargeting is asked with.

import { clamp, clock, find } from "./dom.js";

const NEAR_PX = 10; // of the handle: a pointer here means it
const SHORTEST_S = 1;

/** "1:23.5" or "83.5" → 83.5; an empty text is null, what is no time is NaN. */
export function secondsOf(text) {
  if (!text.trim()) return null;
  const parts = text.trim().replace(",", ".").split(":");
  if (parts.length > 3 || !parts.every((part) => /^\d+(\.\d*)?$/.test(part))) return NaN;
  return parts.reduce((sum, part) => sum * 60 + Number(part), 0);
}

const timeText = (time_s) => `${clock(time_s)}.${Math.floor((time_s % 1) * 10 + 1e-6)}`;

export class Part {
  constructor(root, { media, timeline }) {
    Object.assign(this, { root, media, timeline, item: null, start_s: 0, most_s: null });
    [this.from, this.most] = [find("[name=part_from]", root), find("[name=part_most]", root)];
    this.from.addEventListener("change", () => this.#read());
    this.most.addEventListener("change", () => this.#read());
    find(".here", root).addEventListener("click", () => this.set(media.currentTime, this.most_s));
    find(".all", root).addEventListener("click", () => this.set(0, null));
    timeline.handles = this;
  }

  /** Another song begins with the whole of it. */
  show(item) {
    const same = item && this.item?.id === item.id;
    this.item = item;
    this.root.hidden = !item;
    if (!same) this.set(0, null);
  }

  set(start_s, most_s) {
    const end_s = this.item?.duration_s ?? 0;
    this.start_s = clamp(start_s, 0, Math.max(0, end_s - SHORTEST_S));
    this.most_s = most_s === null ? null : Math.max(SHORTEST_S, most_s);
    this.from.value = this.start_s ? timeText(this.start_s) : "";
    this.most.value = this.most_s === null ? "" : String(Math.round(this.most_s * 10) / 10);
    for (const input of [this.from, this.most]) input.setAttribute("aria-invalid", "false");
    find(".all", this.root).hidden = !this.start_s && this.most_s === null;
    this.timeline.wake();
  }

  /** What differs from the whole song, in the service's words. */
  get settings() {
    const settings = {};
    if (this.start_s) settings.music_start_s = this.start_s;
    if (this.most_s !== null) settings.max_duration_s = this.most_s;
    return settings;
  }

  #read() {
    const [start_s, most_s] = [secondsOf(this.from.value), secondsOf(this.most.value)];
    this.from.setAttribute("aria-invalid", String(Number.isNaN(start_s)));
    this.most.setAttribute("aria-invalid", String(Number.isNaN(most_s)));
    if (!Number.isNaN(start_s) && !Number.isNaN(most_s)) this.set(start_s ?? 0, most_s);
  }

  /** Timeline's handles: whether the pointer is on one. */
  takes(view, x) {
    return this.start_s > 0 && Math.abs(view.x(this.start_s) - x) <= NEAR_PX;
  }

  grab() {}

  drag(view, x) {
    this.set(Math.round(view.time(x) * 10) / 10, this.most_s);
  }

  release() {}

  /** What is not used lies under a veil. */
  paint(view) {
    if (!this.start_s) return;
    const { g, colours } = view;
    const x = view.x(this.start_s);
    g.globalAlpha = 0.7;
    g.fillStyle = colours.panel;
    g.fillRect(0, view.top, Math.max(0, x), view.height);
    g.globalAlpha = 1;
    g.fillStyle = colours.ink;
    g.fillRect(x - 1, view.top, 2, view.height);
    g.fillRect(x - 1, view.top + view.height / 2 - 11, 8, 22);
  }
}
