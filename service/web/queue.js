// Files that wait their turn: each is uploaded and analysed like one in a panel, then stands in the library.
// Knows no panel; one file is on its way at a time, in the order they came.

import { cancelJob, follow, Problem, upload } from "./api.js";
import { make, percent } from "./dom.js";
import { stageWords } from "./work.js";

const UPLOAD_SHARE = 0.15; // of the bar; the rest is the job

export class Queue {
  /** `onDone()` is told when a file has become an item. */
  constructor(root, { onDone }) {
    Object.assign(this, { root, onDone, waiting: [], current: null });
    this.list = root.querySelector("ul");
  }

  get length() {
    return this.list.children.length;
  }

  /** Takes a file to the end of the queue. */
  add(file, kind) {
    const bar = make("progress", { max: 1, value: 0, "aria-label": `Progress of ${file.name}` });
    const entry = { file, kind, bar, abort: null, jobId: null, words: make("span.facts"), ways: make("span.ways") };
    entry.row = make("li", {}, make("span.title", { title: file.name }, file.name), entry.words, entry.bar, entry.ways);
    this.list.append(entry.row);
    this.waiting.push(entry);
    this.#offer(entry, [["Cancel", () => this.#cancel(entry)]]);
    this.#paint();
    this.#next();
  }

  async #next() {
    if (this.current || !this.waiting.length) return;
    const entry = (this.current = this.waiting.shift());
    this.#paint();
    entry.abort = new AbortController();
    const { signal } = entry.abort;
    const show = (stage, share) => {
      entry.bar.value = share;
      entry.words.textContent = `${stageWords(stage)}, ${percent(share)}`;
    };
    try {
      const answer = await upload(entry.file, entry.kind, { signal, onShare: (share) => show("upload", share * UPLOAD_SHARE) });
      entry.jobId = answer.job_id;
      await follow(entry.jobId, (job) => {
        const share = UPLOAD_SHARE + (1 - UPLOAD_SHARE) * (job.progress ?? 0);
        show(job.state === "queued" ? "queued" : (job.stage ?? ""), share);
      }, signal);
      this.#drop(entry);
      this.onDone();
    } catch (error) {
      if (error.name === "AbortError") this.#drop(entry);
      else this.#fail(entry, error);
    }
    this.current = null;
    this.#next();
  }

  /** A file that failed stays until somebody has read why. */
  #fail(entry, error) {
    if (!(error instanceof Problem)) console.error(error);
    entry.row.classList.add("failed");
    entry.bar.hidden = true;
    entry.words.textContent = [error.message, error.hint].filter(Boolean).join(" ");
    this.#offer(entry, [
      ["Try again", () => (this.#drop(entry), this.add(entry.file, entry.kind))],
      ["Dismiss", () => this.#drop(entry)],
    ]);
  }

  #cancel(entry) {
    entry.abort?.abort();
    if (entry.jobId) cancelJob(entry.jobId).catch(() => {});
    this.waiting = this.waiting.filter((other) => other !== entry);
    this.#drop(entry);
  }

  #offer(entry, ways) {
    entry.ways.replaceChildren(...ways.map(([text, onclick]) =>
      make("button.quiet", { type: "button", onclick, "aria-label": `${text}: ${entry.file.name}` }, text)));
  }

  #drop(entry) {
    entry.row.remove();
    this.#paint();
  }

  #paint() {
    this.root.hidden = !this.length;
    this.waiting.forEach((entry, i) => (entry.words.textContent = i ? `${i + 1} in line` : "Next"));
  }
}
