// The result: the video, in one sentence how well it sits on the song, where it landed, and the report under Details.

import { exportUrl, mediaUrl } from "./api.js";
import { Compare } from "./compare.js";
import { clock, find, fixed, make, percent } from "./dom.js";
import { counted, landed, paintDuet, paintMap } from "./duet.js";
import { palette, Timeline } from "./timeline.js";

const MEASURES = [
  [(report) => report.onsets_hit, "Onsets hit", "Share of the song's onsets with a stroke within one frame"],
  [(report) => report.beats_hit, "Beats hit", "Share of the song's beats with a stroke within one frame"],
  [(report) => report.independent?.beats_hit, "Beats hit, as seen",
    "Share of the beats on which the picture brakes, by a detector that knows neither the strokes nor the plan"],
  [(report) => report.beat_alignment, "Beat alignment", "Mean closeness of strokes to beats, with a 50 ms bell"],
];

/** By the octave: how often the dance strikes for one beat of the song. */
const TEMPI = {
  0.5: "The dance moves at half the song's tempo, so it aims at every second beat.",
  2: "The dance moves at twice the song's tempo, so it strikes between the beats too.",
};

const ORIGINS = {
  sound: "The dance's beat was taken from the clip's own sound.",
  picture: "The dance's beat was taken from its picture.",
  hand: "The dance's beat was marked by hand.",
};

const EXPORTS = [["otio", "Timeline (OTIO)"], ["markers.csv", "Markers (CSV)"], ["csv", "Every frame (CSV)"]];

/** Only these follow one another; the report's other stages run side by side within them. */
const wall_s = (stage_s) => ["plan", "render", "report"].reduce((sum, name) => sum + (stage_s[name] ?? 0), 0);

export class Result {
  constructor(root) {
    this.root = root;
    this.video = find("#result-video", root);
    this.compare = new Compare(find(".compare", root), find(".stage", root), find(".was", root), this.video);
    this.score = null;
    this.timeline = new Timeline(find(".duet canvas", root), this.video, {
      label: "Strokes and onsets of the result; arrow keys move through it",
      paint: (view) => paintDuet(view, this.score),
    });
    this.map = find(".map canvas", root);
    const paint = () => this.#paintMap();
    new ResizeObserver(paint).observe(this.map);
    matchMedia("(prefers-color-scheme: dark)").addEventListener("change", paint);
    find(".details", root).addEventListener("toggle", paint);
    for (const event of ["seeked", "timeupdate"]) this.video.addEventListener(event, paint);
    this.video.addEventListener("error", () => this.#unplayable(true));
    this.video.addEventListener("loadeddata", () => this.#unplayable(false));
  }

  /** `dance` and `music` are the items, with their rhythms; `fresh` results play at once. */
  show(result, { dance, music, fresh }) {
    const { report = {} } = result;
    this.root.hidden = false;
    this.#unplayable(false);
    this.video.src = result.video_url;
    this.compare.load(dance && mediaUrl(dance.id), report.time_map?.source_s[0] ?? 0);
    const link = find(".download", this.root);
    link.href = result.video_url;
    link.download = `${dance?.title ?? "dance"} on ${music?.title ?? "song"}.mp4`;
    this.#exports(result);
    find(".facts", this.root).textContent = `${dance?.title ?? "The dance"} on ${music?.title ?? "the song"}`;
    this.#verdict(report, result);
    this.#table(report);
    this.#facts(report, result);
    this.score = landed(report, music?.rhythm);
    for (const figure of this.root.querySelectorAll("figure")) figure.hidden = !this.score;
    this.timeline.show(this.score ? result.duration_s : 0);
    this.#paintMap();
    if (fresh && document.visibilityState === "visible") this.video.play().catch(() => {});
  }

  hide() {
    this.video.pause();
    this.root.hidden = true;
  }

  /** One sentence that anybody can check by ear, then what else a person would ask first. */
  #verdict(report, { duration_s }) {
    const count = counted(report);
    const start_s = report.offset_s ?? 0;
    const kept = report.dance_kept;
    const rest = [
      kept && `The dance keeps ${fixed(kept.kept)} of its relation to the beat (1 is as in the clip; by chance ${fixed(kept.chance)}).`,
      report.on === "beats" && TEMPI[report.tempo?.octave],
      ORIGINS[report.rhythm_from],
      duration_s && `Song ${clock(start_s)}\u2013${clock(start_s + duration_s)}.`,
    ].filter(Boolean);
    find(".verdict", this.root).replaceChildren(
      count ? make("strong", {}, `${count.after} of ${count.of} ${count.points} land within a frame.`) : "",
      count ? `Before: ${count.before}. By chance: ${count.chance}.` : "");
    find(".besides", this.root).replaceChildren(...rest.map((words) => make("li", {}, words)));
  }

  #table(report) {
    const rows = MEASURES.filter(([of]) => of(report)).map(([of, name, title]) => {
      const { before, after, chance } = of(report);
      const cell = (value, kind) => {
        const bar = make("i");
        bar.style.width = `${Math.min(1, Math.max(0, value || 0)) * 100}%`;
        return make(`td.${kind}`, {}, percent(value), make("span.bar", { "aria-hidden": "true" }, bar));
      };
      return make("tr", { title }, make("th", { scope: "row" }, name),
        cell(before, "before"), cell(after, "after"), cell(chance, "chance"));
    });
    find("tbody", this.root).replaceChildren(...rows);
  }

  #facts(report, result) {
    const { landing_error_ms: landing, speed, tempo, stage_s } = report;
    const ms = (x) => (Number.isFinite(x) ? `${x.toFixed(0)} ms` : "–");
    const facts = [
      ["Strokes given a place", report.knots],
      ["Landing error", Number.isFinite(landing?.p50) && `${ms(landing.p50)} typical, ${ms(landing.p95)} at worst (p95)`],
      ["Speed", speed && `${fixed(speed.p1)}× to ${fixed(speed.p99)}×, mostly ${fixed(speed.p50)}×`],
      ["Source used", report.source_used !== undefined && percent(report.source_used)],
      ["Frames", report.duplicate_share !== undefined &&
        `${percent(report.duplicate_share)} duplicates, ${percent(report.interpolated_share)} in between`],
      ["Tempo", tempo?.dance && tempo?.music && `${Math.round(tempo.dance)} to ${Math.round(tempo.music)} bpm`],
      ["Sound and picture", report.av_length_difference_ms !== undefined &&
        `end ${ms(Math.abs(report.av_length_difference_ms))} apart`],
      ["Made in", stage_s && `${fixed(wall_s(stage_s), 1)} s for ${fixed(result.duration_s, 1)} s of video`],
    ];
    const shown = facts.filter(([, value]) => value);
    find("dl", this.root).replaceChildren(
      ...shown.map(([name, value]) => make("div", {}, make("dt", {}, name), make("dd", {}, value))));
  }

  /** What an editing program reads, and the report as a picture. */
  #exports({ video_url, report_url }) {
    const link = (href, words) => make("a", { href, download: "" }, words);
    const links = EXPORTS.map(([form, words]) => link(exportUrl(video_url, form), words));
    if (report_url) links.push(link(report_url, "Report (PNG)"));
    find(".exports", this.root).replaceChildren(...links);
  }

  #unplayable(is) {
    find(".unplayable", this.root).hidden = !is;
  }

  #paintMap() {
    const { map, score } = this;
    const [width, height] = [map.clientWidth, map.clientHeight];
    if (!score || !width || !height) return;
    const ratio = devicePixelRatio || 1;
    map.width = Math.round(width * ratio);
    map.height = Math.round(height * ratio);
    const g = map.getContext("2d");
    g.setTransform(ratio, 0, 0, ratio, 0, 0);
    paintMap(g, width, height, score, this.video.currentTime, palette(map));
  }
}
