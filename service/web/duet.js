// The result as a picture: strokes in their new places standing on the song's onsets, the speed above them,
// and the time map itself. Pure arithmetic and painting; knows no element.

import { lowerBound } from "./timeline.js";
import { line, paintBeats, paintPlayhead, paintSeconds, paintTicks } from "./score.js";

const FPS = 25; // for a report that does not tell its frame rate

/** Both rhythms on the output's clock: strokes through the inverse time map, the song shifted by its offset. */
export function retimed(report, dance, music) {
  const { output_s, source_s } = report.time_map;
  const offset_s = report.offset_s ?? 0;
  const end_s = output_s.at(-1);
  const strokes = { times_s: [], strengths: [], source_s: [] };
  (dance?.times_s ?? []).forEach((time_s, i) => {
    if (time_s < source_s[0] || time_s > source_s.at(-1)) return;
    strokes.times_s.push(interpolate(time_s, source_s, output_s));
    strokes.strengths.push(dance.strengths[i]);
    strokes.source_s.push(time_s);
  });
  const shift = (times) => (times ?? []).map((time_s) => time_s - offset_s);
  const onsets = { times_s: [], strengths: [] };
  shift(music?.times_s).forEach((time_s, i) => {
    if (time_s < 0 || time_s > end_s) return;
    onsets.times_s.push(time_s);
    onsets.strengths.push(music.strengths[i]);
  });
  const heard = shift(music?.beats_s).filter((time_s) => time_s >= 0 && time_s <= end_s);
  const beats = { beats_s: heard, downbeats_s: shift(music?.downbeats_s) };
  const targets = [...onsets.times_s, ...beats.beats_s].sort((a, b) => a - b);
  const frame_s = 1 / (report.fps ?? FPS); // met means within a frame, as in the report
  const met = strokes.times_s.filter((time_s) => nearest(time_s, targets) <= frame_s);
  return { output_s, source_s, strokes, onsets, beats, met, speed: speeds(output_s, source_s) };
}

function interpolate(x, xs, ys) {
  const right = Math.min(Math.max(lowerBound(xs, x), 1), xs.length - 1);
  const [x0, x1] = [xs[right - 1], xs[right]];
  return x1 > x0 ? ys[right - 1] + ((x - x0) / (x1 - x0)) * (ys[right] - ys[right - 1]) : ys[right];
}

function nearest(time_s, sorted) {
  const right = lowerBound(sorted, time_s);
  return Math.min(time_s - (sorted[right - 1] ?? -Infinity), (sorted[right] ?? Infinity) - time_s);
}

const speeds = (output_s, source_s) =>
  output_s.slice(1).map((time_s, i) => (source_s[i + 1] - source_s[i]) / Math.max(time_s - output_s[i], 1e-6));

export function paintDuet(view, score) {
  if (!score) return;
  const { g, colours } = view;
  const speed_px = 34;
  const floor = view.bottom - 28;
  const top = view.top + speed_px + 14;
  const middle = (top + floor) / 2;
  const reach = (floor - top) / 2;
  paintSpeed(view, score, view.top + 8, speed_px);
  paintTicks(view, score.strokes.times_s, score.strokes.strengths, colours.dance, middle - 4, reach - 6);
  paintTicks(view, score.onsets.times_s, score.onsets.strengths, colours.music, middle + 4, 6 - reach);
  line(view, middle);
  const [start, end] = view.range(score.met);
  g.fillStyle = colours.pair;
  for (let i = start; i < end; i++) {
    g.beginPath();
    g.arc(view.x(score.met[i]), middle, 4, 0, 7);
    g.fill();
  }
  paintBeats(view, score.beats, view.bottom - 20);
  paintSeconds(view);
  paintPlayhead(view);
}

/** Speed on a logarithmic scale around 1×, so that twice and half lie equally far. */
function paintSpeed(view, score, top, height) {
  const { g, colours } = view;
  const y = (speed) => top + height * (0.5 - Math.log2(Math.min(2, Math.max(0.5, speed))) / 2);
  g.fillStyle = colours.line;
  g.fillRect(0, y(1), view.width, 1);
  g.strokeStyle = colours.ink;
  g.globalAlpha = 0.7;
  g.lineWidth = 1.5;
  g.beginPath();
  const [start, end] = view.range(score.output_s);
  for (let i = start; i < Math.min(end, score.speed.length); i++) g.lineTo(view.x(score.output_s[i]), y(score.speed[i]));
  g.stroke();
  g.globalAlpha = 1;
  g.fillStyle = colours.soft;
  g.font = `11px ${getComputedStyle(document.body).fontFamily}`;
  g.fillText("1×", 4, y(1) - 4);
}

/** Output time to the right, source time upward; hairlines are the strokes and the beats that the map joins. */
export function paintMap(g, width, height, score, now, colours) {
  const { output_s, source_s } = score;
  const [left, bottom, top] = [4, height - 4, 4];
  const [s0, s1] = [source_s[0], source_s.at(-1)];
  const x = (time_s) => left + (time_s / output_s.at(-1)) * (width - left - 4);
  const y = (time_s) => bottom - ((time_s - s0) / Math.max(s1 - s0, 1e-6)) * (bottom - top);
  g.clearRect(0, 0, width, height);
  const rule = (colour, alpha, x0, y0, x1, y1) => {
    g.strokeStyle = colour;
    g.globalAlpha = alpha;
    g.lineWidth = 1;
    g.beginPath();
    g.moveTo(x0, y0);
    g.lineTo(x1, y1);
    g.stroke();
  };
  for (const time_s of score.beats.beats_s) rule(colours.music, 0.28, x(time_s), top, x(time_s), bottom);
  score.strokes.source_s.forEach((time_s, i) => {
    rule(colours.dance, 0.12 + 0.3 * score.strokes.strengths[i], left, y(time_s), width - 4, y(time_s));
  });
  rule(colours.soft, 0.5, x(0), y(s0), x(output_s.at(-1)), y(s1));
  g.globalAlpha = 1;
  g.strokeStyle = colours.ink;
  g.lineWidth = 2;
  g.beginPath();
  output_s.forEach((time_s, i) => g.lineTo(x(time_s), y(source_s[i])));
  g.stroke();
  g.fillStyle = colours.pair;
  for (const time_s of score.met) dot(g, x(time_s), y(interpolate(time_s, output_s, source_s)), 3);
  g.fillStyle = colours.ink;
  dot(g, x(now), y(interpolate(now, output_s, source_s)), 4.5);
}

function dot(g, x, y, radius) {
  g.beginPath();
  g.arc(x, y, radius, 0, 7);
  g.fill();
}
