// What a rhythm looks like: the curve, ticks as tall and strong as their strokes, beats as dots, the playhead.
// Pure painting on a View; knows no element and no request.

import { clock } from "./dom.js";

const CLOCK_PX = 16; // room for the seconds under everything

/** Strokes rise from a floor (dance) or stand on both sides of a middle line (music). */
export function paintRhythm(view, rhythm, colour, { mirrored = false, playhead = true } = {}) {
  const beats_px = 12;
  const floor = view.bottom - CLOCK_PX - beats_px;
  const middle = mirrored ? (view.top + 14 + floor) / 2 : floor;
  const reach = middle - (view.top + 14);
  paintCurve(view, rhythm, colour, middle, reach, mirrored ? -0.9 : 0);
  line(view, middle);
  paintTicks(view, rhythm.times_s, rhythm.strengths, colour, middle, reach, mirrored);
  paintBeats(view, rhythm, view.bottom - CLOCK_PX - 3);
  paintSeconds(view);
  if (playhead) paintPlayhead(view);
}

/** Marks under a hand: all equally tall, with a handle. */
export function paintMarks(view, marks, colour) {
  const { g } = view;
  const [start, end] = view.range(marks);
  g.fillStyle = colour;
  for (let i = start; i < end; i++) {
    const x = view.x(marks[i]);
    g.fillRect(x - 0.75, view.top + 14, 1.5, view.height - 14 - CLOCK_PX);
    g.beginPath();
    g.arc(x, view.top + 14, 4.5, 0, 7);
    g.fill();
  }
}

/** The same, small: for the whole length, with the window that the close-up shows. */
export function paintWhole(view, rhythm, colour, close) {
  const { g } = view;
  g.fillStyle = view.colours.line;
  g.fillRect(0, view.top, view.width, 1);
  g.globalAlpha = 0.55;
  g.fillStyle = view.colours.well;
  g.fillRect(view.x(close.t0), view.top + 1, view.x(close.t1) - view.x(close.t0), view.height - 1);
  g.globalAlpha = 1;
  paintTicks(view, rhythm.times_s, rhythm.strengths, colour, view.bottom - 3, view.height - 8, false, 1);
  paintPlayhead(view, false);
}

function paintCurve(view, rhythm, colour, base, reach, below) {
  const { g } = view;
  const { curve, fps } = rhythm;
  if (!curve?.length) return;
  const first = Math.max(0, Math.floor(view.t0 * fps) - 1);
  const last = Math.min(curve.length - 1, Math.ceil(view.t1 * fps) + 1);
  if (last <= first) return;
  g.beginPath();
  g.moveTo(view.x(first / fps), base);
  for (let i = first; i <= last; i++) g.lineTo(view.x(i / fps), base - curve[i] * reach * 0.9);
  if (below) for (let i = last; i >= first; i--) g.lineTo(view.x(i / fps), base - curve[i] * reach * below);
  else g.lineTo(view.x(last / fps), base);
  g.closePath();
  g.globalAlpha = 0.16;
  g.fillStyle = colour;
  g.fill();
  g.globalAlpha = 1;
}

/** Height and colour both say how strong; a tick that the playhead has just passed glows. */
export function paintTicks(view, times_s, strengths, colour, base, reach, mirrored = false, width = 2.5) {
  const { g } = view;
  const [start, end] = view.range(times_s);
  g.strokeStyle = g.fillStyle = colour;
  g.lineCap = "round";
  for (let i = start; i < end; i++) {
    const strength = Math.min(1, Math.max(0.06, strengths[i] ?? 1));
    const x = view.x(times_s[i]);
    const tall = reach * strength;
    const since = view.now - times_s[i];
    const glow = view.playing && since >= 0 && since < 0.25 ? 1 - since / 0.25 : 0;
    g.globalAlpha = Math.min(1, 0.28 + 0.72 * strength + glow * 0.3);
    g.lineWidth = width + glow * 2;
    g.beginPath();
    g.moveTo(x, mirrored ? base + tall * 0.9 : base);
    g.lineTo(x, base - tall * (mirrored ? 0.9 : 1));
    g.stroke();
  }
  g.globalAlpha = 1;
}

export function paintBeats(view, rhythm, y) {
  const beats = rhythm.beats_s ?? [];
  const strong = new Set((rhythm.downbeats_s ?? []).map((time) => Math.round(time * 50)));
  const { g } = view;
  const [start, end] = view.range(beats);
  g.fillStyle = view.colours.soft;
  for (let i = start; i < end; i++) {
    const key = Math.round(beats[i] * 50);
    const down = strong.has(key) || strong.has(key - 1) || strong.has(key + 1);
    g.globalAlpha = down ? 1 : 0.55;
    g.beginPath();
    g.arc(view.x(beats[i]), y, down ? 3 : 1.8, 0, 7);
    g.fill();
  }
  g.globalAlpha = 1;
}

export function paintSeconds(view) {
  const { g } = view;
  const span = view.t1 - view.t0;
  const step = [1, 2, 5, 10, 15, 30, 60, 120, 300, 600].find((s) => (s / span) * view.width >= 56) ?? 1200;
  g.font = `11px ${getComputedStyle(document.body).fontFamily}`;
  g.fillStyle = view.colours.soft;
  g.textAlign = "left";
  for (let time = Math.ceil(view.t0 / step) * step; time < view.t1; time += step) {
    const x = view.x(time);
    if (x < view.width - 30) g.fillText(clock(time), x + (x < 4 ? 4 : 0), view.bottom - 2);
  }
}

export function paintPlayhead(view, handle = true) {
  const { g } = view;
  const x = Math.min(Math.max(view.x(view.now), 1), view.width - 1);
  g.fillStyle = view.colours.ink;
  g.fillRect(x - 0.75, view.top, 1.5, view.height - (handle ? CLOCK_PX : 0));
  if (!handle) return;
  g.beginPath();
  g.moveTo(x - 5, view.top);
  g.lineTo(x + 5, view.top);
  g.lineTo(x, view.top + 7);
  g.fill();
}

export function line(view, y) {
  view.g.fillStyle = view.colours.line;
  view.g.fillRect(0, Math.round(y), view.width, 1);
}
