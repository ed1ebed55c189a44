// The dance's and the song's panel: drop or choose a file, upload, analyse, then play it over its score.
// Knows one kind of item; what to do with the item is the caller's (`onItem`).

import { getItem, mediaUrl, upload } from "./api.js";
import { bpm, clock, find, make } from "./dom.js";
import { Marks } from "./marks.js";
import { Origin, originOf } from "./origin.js";
import { Part } from "./part.js";
import { paintMarks, paintRhythm, paintWhole } from "./score.js";
import { Timeline } from "./timeline.js";
import { showProblem, Work } from "./work.js";

const UPLOAD_SHARE = 0.15; // of the bar; the rest is the job

const NO_RHYTHM = { times_s: [], strengths: [], curve: [], fps: 15 };

/** The same rhythm with its strongest at 1: a timid model's strokes are drawn as tall as a bold one's. */
function toFullHeight(rhythm) {
  const scaled = (values) => {
    const most = values.reduce((a, b) => Math.max(a, b), 0);
    return most > 0 ? values.map((value) => value / most) : values;
  };
  return { ...rhythm, strengths: scaled(rhythm.strengths), curve: scaled(rhythm.curve) };
}

export class Panel {
  /** `onItem(item | null)`; `useInstead(file)` offers a file to the other panel; `onFiles(files, kind)`: several. */
  constructor(root, kind, { onItem, useInstead, onFiles }) {
    Object.assign(this, { root, kind, onItem, useInstead, item: null, objectUrl: null, lastFile: null });
    this.media = find("video, audio", root);
    this.trouble = find(".trouble", root);
    this.work = new Work(find(".work", root), this.trouble, { waysOut: (problem) => this.#waysOut(problem) });
    const colour = (view) => view.colours[kind];
    this.timeline = new Timeline(find("canvas", root), this.media, {
      label: `${kind === "dance" ? "Strokes of the dance" : "Onsets of the song"}; arrow keys move through it`,
      paint: (view) => this.#paintScore(view, colour(view)),
      paintOverview: (view, close) => {
        paintWhole(view, this.#drawn(), colour(view), close);
        this.part?.paint(view);
      },
    });
    const { media, timeline, trouble } = this;
    const onKept = (rhythm) => this.show({ ...this.item, rhythm, tempo_bpm: rhythm.tempo_bpm }, { keepMedia: true });
    this.marks = new Marks(find(".marks", root), kind, { root, media, timeline, trouble, onKept });
    const origin = root.querySelector(".origin");
    this.origin = origin && new Origin(origin, { trouble, onKept });
    const part = root.querySelector(".part");
    this.part = part && new Part(part, { media, timeline });
    for (const input of root.querySelectorAll("input[type=file]")) {
      input.addEventListener("change", () => {
        if (input.files.length > 1) onFiles([...input.files], kind);
        else if (input.files[0]) this.send(input.files[0]);
        input.value = ""; // so that choosing the same file again is a change
      });
    }
    this.media.addEventListener("error", () => this.#unplayable(true));
    this.media.addEventListener("loadeddata", () => this.#unplayable(false));
    this.#paintState();
  }

  /** Whether a file is on its way here. */
  get busy() {
    return Boolean(this.work.running);
  }

  /** Uploads a file, follows its job, and shows the item it became. */
  async send(file) {
    this.lastFile = file;
    this.#preview(file);
    const item = await this.work.run(async ({ signal, show, job }) => {
      show("upload", 0);
      const answer = await upload(file, this.kind, { signal, onShare: (share) => show("upload", share * UPLOAD_SHARE) });
      const result = await job(answer.job_id, UPLOAD_SHARE);
      const made = result.items.find((made) => made.kind === this.kind) ?? result.items[0];
      return getItem(made.id);
    });
    if (this.lastFile !== file) return; // another file took its place meanwhile
    if (item) this.show(item, { keepMedia: true });
    else this.#restore();
  }

  /** Shows an item of the library that is being analysed, when it is. */
  async wait(item) {
    this.wanted = item.id;
    this.lastFile = null;
    this.#source(mediaUrl(item.id));
    this.#busy(item.title);
    const made = await this.work.run(async ({ job, show }) => {
      show("queued", 0);
      await job(item.job_id);
      return getItem(item.id);
    });
    if (this.wanted !== item.id || this.lastFile) return;
    if (made) this.show(made, { keepMedia: true });
    else this.#restore();
  }

  /** Shows an item of the library; `at_s` is where to go in it. */
  async open(itemId, at_s = 0) {
    this.lastFile = null;
    this.work.leave();
    if (this.item?.id === itemId) {
      this.wanted = null;
      this.timeline.seek(at_s);
      return;
    }
    this.wanted = itemId;
    const still = () => this.wanted === itemId && !this.lastFile; // nothing else was asked for meanwhile
    try {
      const item = await getItem(itemId);
      if (still()) this.show(item, { at_s });
    } catch (problem) {
      if (!still()) return;
      showProblem(this.trouble, problem);
      if (!this.item) this.onItem(null);
    }
  }

  show(item, { keepMedia = false, at_s = 0 } = {}) {
    this.item = { ...item, rhythm: toFullHeight(item.rhythm ?? NO_RHYTHM) };
    this.marks.show(this.item);
    this.part?.show(this.item);
    this.origin?.show(this.item);
    showProblem(this.trouble, null);
    if (!keepMedia) this.#source(mediaUrl(item.id));
    this.timeline.show(item.duration_s);
    if (at_s) this.timeline.seek(at_s);
    this.#paintState();
    this.onItem(this.item);
  }

  clear() {
    this.item = null;
    this.marks.show(null);
    this.part?.show(null);
    this.origin?.show(null);
    this.timeline.show(0);
    this.media.removeAttribute("src");
    this.media.load();
    this.#paintState();
    this.onItem(null);
  }

  /** The rhythm without what is being marked by hand. */
  #drawn() {
    const { rhythm } = this.item;
    return this.marks.active ? { ...rhythm, [this.marks.words.field]: [] } : rhythm;
  }

  #paintScore(view, colour) {
    paintRhythm(view, this.#drawn(), colour, { mirrored: this.kind === "music" });
    if (this.marks.active) paintMarks(view, this.marks.marks, this.kind === "music" ? view.colours.ink : colour);
    this.part?.paint(view);
  }

  /** The clip is on the stage at once, straight from the disk; its score comes when the service has seen it. */
  #preview(file) {
    const url = URL.createObjectURL(file);
    this.#source(url);
    this.objectUrl = url;
    this.#busy(file.name);
  }

  #busy(name) {
    this.marks.leave();
    this.root.dataset.state = "busy";
    find(".facts", this.root).replaceChildren(make("span.title", {}, name));
  }

  #restore() {
    if (this.item) {
      this.#source(mediaUrl(this.item.id));
      this.timeline.wake();
    } else {
      this.media.removeAttribute("src");
      this.media.load();
    }
    this.#paintState();
  }

  #source(url) {
    if (this.objectUrl) URL.revokeObjectURL(this.objectUrl);
    this.objectUrl = null;
    this.#unplayable(false);
    this.media.src = url;
  }

  #unplayable(is) {
    find(".unplayable", this.root).hidden = !is || !this.media.getAttribute("src");
  }

  #paintState() {
    const { item, root } = this;
    root.dataset.state = item ? "ready" : "empty";
    find(".replace", root).hidden = !item;
    const facts = item ? this.#facts(item) : [];
    find(".facts", root).replaceChildren(
      make("span.title", { title: item?.title ?? "" }, item ? item.title || item.id : ""),
      make("span", {}, facts.join("  ·  ")));
  }

  /** Of points set by hand, the tempo that was found before says nothing. */
  #facts({ rhythm, tempo_bpm, duration_s }) {
    const { field, points } = this.marks.words;
    if (rhythm.edited && originOf(rhythm) !== "sound") return [clock(duration_s), `${rhythm[field].length} ${points} by hand`];
    return [bpm(tempo_bpm), clock(duration_s), `${rhythm.times_s.length} ${this.kind === "dance" ? "strokes" : "onsets"}`];
  }

  #waysOut(problem) {
    const file = this.lastFile;
    if (!file) return [];
    if (problem.code === "no_video_stream") return [["Use it as the song", () => this.#hand(file)]];
    if (problem.code === "unreachable") return [["Try again", () => this.send(file)]];
    return [];
  }

  #hand(file) {
    showProblem(this.trouble, null);
    this.useInstead(file);
  }
}
