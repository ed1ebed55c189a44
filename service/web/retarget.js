// The form: how to move the dance, and the button. Starts the job, follows it, hands its result on.

import { retarget } from "./api.js";
import { find, fixed } from "./dom.js";
import { showProblem, Work } from "./work.js";

export class Retarget {
  /** `onStart(jobId)`, `onResult(result, {dance, music, fresh})`. */
  constructor(root, { onStart, onResult }) {
    Object.assign(this, { root, onStart, onResult, dance: null, music: null });
    this.form = find("form", root);
    this.button = find(".primary", root);
    this.trouble = find(".trouble", root);
    this.work = new Work(find(".work", root), this.trouble, { waysOut: (problem) => this.#waysOut(problem) });
    const accent = find("#accent", root);
    accent.addEventListener("input", () => (find(".accent output", root).textContent = fixed(Number(accent.value))));
    this.form.addEventListener("input", () => this.#paint());
    this.form.addEventListener("submit", (event) => {
      event.preventDefault();
      this.start();
    });
    this.#paint();
  }

  changed(kind, item) {
    this[kind] = item;
    this.#paint();
  }

  async start() {
    const { dance, music } = this;
    if (!dance || !music) return;
    const wrong = this.#limitsWrong();
    if (wrong) return showProblem(this.trouble, wrong);
    await this.#run({ dance, music, fresh: true }, async (job) => {
      const { job_id } = await retarget({ dance_id: dance.id, music_id: music.id, ...this.#settings() });
      this.onStart(job_id);
      return job(job_id);
    });
  }

  /** Takes up a job that was started before the page was loaded. */
  resume(jobId) {
    return this.#run({ dance: this.dance, music: this.music, fresh: false }, (job) => job(jobId));
  }

  async #run(about, task) {
    this.button.disabled = true;
    const result = await this.work.run(({ job, show }) => {
      show("queued", 0);
      return task(job);
    });
    this.#paint();
    if (result) this.onResult(result, about);
  }

  #settings() {
    const data = new FormData(this.form);
    return {
      method: data.get("method"),
      accent: Number(data.get("accent")),
      min_speed: Number(data.get("min_speed")),
      max_speed: Number(data.get("max_speed")),
      interpolation: data.get("interpolation"),
    };
  }

  #limitsWrong() {
    const { min_speed, max_speed } = this.#settings();
    const fine = min_speed > 0 && min_speed <= 1 && max_speed >= 1;
    for (const name of ["min_speed", "max_speed"]) this.form.elements[name].setAttribute("aria-invalid", String(!fine));
    if (fine) return null;
    find("details", this.root).open = true;
    return { message: `A speed from ${min_speed} to ${max_speed} leaves no room.`, hint: "Slowest lies above 0 and up to 1, fastest is 1 or more." };
  }

  #paint() {
    const ready = this.dance && this.music;
    this.button.disabled = !ready || Boolean(this.work.running);
    const missing = this.dance ? "Add a song first." : this.music ? "Add a clip first." : "Add a clip and a song first.";
    find("#go-help", this.root).textContent = ready ? `${this.dance.title} on ${this.music.title}` : missing;
  }

  #waysOut(problem) {
    if (problem.code === "retarget_refused") {
      return [["Show the speed limits", () => {
        find("details", this.root).open = true;
        this.form.elements.min_speed.focus();
        showProblem(this.trouble, null);
      }]];
    }
    return problem.code === "unreachable" ? [["Try again", () => this.start()]] : [];
  }
}
