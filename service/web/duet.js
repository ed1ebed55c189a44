// The result as a picture: where strokes landed in the output and which beats they met, the speed above them,
// and the time map itself. All from the report. Pure arithmetic and painting; knows no element.

import { clock } from "./dom.js";
import { line, paintPlayhead, paintSeconds, paintTicks } from "./score.js";
import { lowerBound } from "./timeline.js";

const FPS = 25; // for a report that does not tell its frame rate
const SLACK_S = 1e-4; // the report's seconds are rounded to this
const SAME_S = 0.002;
const SECONDS_PX = 16; // room for the seconds under the picture

/** What the report says of the output, on its clock; null for a report that does not say where it landed.
 *
 * The targets are the points that were to be met; one is met when a stroke lies within a frame of it, as in the
 * report's own count. Strengths are the song's, for a report has none.
 */
export function landed(report, music) {
  if (!report.time_map || !report.strokes || !report.beats) return null;
  const { output_s, source_s } = report.time_map;
  const offset_s = report.offset_s ?? 0;
  const frame_s = 1 / (report.fps ?? FPS);
  const targets = targetsOf(report);
  const strokes = report.strokes.output_s;
  const onsets = { times_s: report.onsets?.output_s ?? [], strengths: [] };
  onsets.strengths = onsets.times_s.map((time_s) => strengthAt(music, time_s + offset_s));
  return {
    output_s, source_s, onsets, strokes,
    downbeats_s: (music?.downbeats_s ?? []).map((time_s) => time_s - offset_s),
    hits: strokes.map((time_s) => nearest(time_s, targets) <= frame_s + SLACK_S),
    targets,
    met: targets.map((time_s) => nearest(time_s, strokes) <= frame_s + SLACK_S),
    landings: report.landings ?? { output_s: [], source_s: [] },
    speed: speeds(output_s, source_s),
  };
}

/** The points of the song that were to be met, and what they are called. */
const meetsOnsets = (report) => report.on === "onsets" || !report.beats?.output_s.length;
const targetsOf = (report) => (meetsOnsets(report) ? report.onsets : report.beats)?.output_s ?? [];

/** {points, of, after, before, chance}: the report's shares as numbers of beats (or onsets); null if it has none. */
export function counted(report) {
  const shares = meetsOnsets(report) ? report.onsets_hit : report.beats_hit;
  const of = targetsOf(report).length;
  if (!shares || !of) return null;
  const number = (share) => Math.round(share * of);
  const { before, after, chance } = shares;
  return {
    points: meetsOnsets(report) ? "onsets" : "beats", of,
    after: number(after), before: number(before), chance: number(chance),
  };
}

function strengthAt(music, time_s) {
  const times = music?.times_s ?? [];
  const right = lowerBound(times, time_s - SAME_S);
  return Math.abs((times[right] ?? Infinity) - time_s) <= SAME_S ? music.strengths[right] : 0.5;
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

/** Strokes above, onsets below; between them the beats, full where a stroke meets them and hollow where none does. */
export function paintDuet(view, score) {
  if (!score) return;
  const { g, colours } = view;
  const speed_px = 34;
  const top = view.top + speed_px + 14;
  const floor = view.bottom - SECONDS_PX;
  const middle = (top + floor) / 2;
  const reach = (floor - top) / 2 - 9;
  paintSpeed(view, score, view.top + 8, speed_px);
  line(view, middle);
  paintTicks(view, score.strokes, score.hits.map((hit) => (hit ? 1 : 0.3)), colours.dance, middle - 9, reach);
  paintTicks(view, score.onsets.times_s, score.onsets.strengths, colours.music, middle + 9, -reach, false, 2);
  paintTargets(view, score, middle);
  paintSeconds(view);
  paintPlayhead(view);
}

function paintTargets(view, { targets, met, downbeats_s }, y) {
  const { g, colours } = view;
  const [start, end] = view.range(targets);
  g.lineWidth = 1.5;
  for (let i = start; i < end; i++) {
    const radius = nearest(targets[i], downbeats_s) <= SAME_S ? 5.5 : 4;
    g.beginPath();
    g.arc(view.x(targets[i]), y, radius, 0, 7);
    g.fillStyle = met[i] ? colours.pair : colours.panel;
    g.strokeStyle = met[i] ? colours.pair : colours.soft;
    g.fill();
    g.stroke();
  }
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

/** Output time to the right, source time upward; a dot for each stroke that was promised a place. */
export function paintMap(g, width, height, score, now, colours) {
  const { output_s, source_s, landings } = score;
  const [left, bottom, top] = [40, height - 20, 8];
  const [s0, s1] = [source_s[0], source_s.at(-1)];
  const x = (time_s) => left + (time_s / output_s.at(-1)) * (width - left - 8);
  const y = (time_s) => bottom - ((time_s - s0) / Math.max(s1 - s0, 1e-6)) * (bottom - top);
  g.clearRect(0, 0, width, height);
  g.font = `11px ${getComputedStyle(document.body).fontFamily}`;
  g.fillStyle = colours.soft;
  g.textAlign = "center";
  for (const time_s of rounded(0, output_s.at(-1))) g.fillText(clock(time_s), x(time_s), height - 5);
  g.textAlign = "right";
  for (const time_s of rounded(s0, s1)) g.fillText(clock(time_s), left - 6, y(time_s) + 4);
  g.textAlign = "left";
  g.strokeStyle = colours.line;
  g.lineWidth = 1;
  g.strokeRect(left, top, width - left - 8, bottom - top);
  g.setLineDash([4, 4]); // the clip at its own speed
  g.strokeStyle = colours.soft;
  g.beginPath();
  g.moveTo(x(0), y(s0));
  g.lineTo(x(Math.min(s1 - s0, output_s.at(-1))), y(Math.min(s1, s0 + output_s.at(-1))));
  g.stroke();
  g.setLineDash([]);
  g.strokeStyle = colours.dance;
  g.lineWidth = 2;
  g.beginPath();
  output_s.forEach((time_s, i) => g.lineTo(x(time_s), y(source_s[i])));
  g.stroke();
  g.fillStyle = colours.pair;
  landings.output_s.forEach((time_s, i) => {
    if (time_s >= 0 && time_s <= output_s.at(-1)) dot(g, x(time_s), y(landings.source_s[i]), 2.5);
  });
  g.fillStyle = colours.ink;
  dot(g, x(now), y(interpolate(now, output_s, source_s)), 4.5);
}

/** At most six round seconds between two times. */
function rounded(from_s, to_s) {
  const step = [1, 2, 5, 10, 15, 30, 60, 120, 300].find((s) => (to_s - from_s) / s <= 6) ?? 600;
  const first = Math.ceil(from_s / step);
  return Array.from({ length: Math.floor(to_s / step) - first + 1 }, (_, i) => (first + i) * step);
}

function dot(g, x, y, radius) {
  g.beginPath();
  g.arc(x, y, radius, 0, 7);
  g.fill();
}
