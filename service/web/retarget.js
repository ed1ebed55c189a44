// The form: how to move the dance, and the button. Starts the job, follows it, hands its result on.

import { retarget } from "./api.js";
import { find, fixed } from "./dom.js";
import { showProblem, Work } from "./work.js";

const OWN_LIMITS = { dtw: ["0.67", "1.5"], acceleration: ["no limit", "no limit"], shift: ["1", "1"] };

export class Retarget {
  /** `onStart(jobId)`, `onResult(result, {dance, music, fresh})`; `part()` says which part of the song is used. */
  constructor(root, { onStart, onResult, part }) {
    Object.assign(this, { root, onStart, onResult, part, dance: null, music: null, accent: null });
    this.form = find("form", root);
    this.button = find(".primary", root);
    this.trouble = find(".trouble", root);
    this.work = new Work(find(".work", root), this.trouble, { waysOut: (problem) => this.#waysOut(problem) });
    const accent = find("#accent", root);
    accent.addEventListener("input", () => {
      this.accent = Number(accent.value); // untouched, it is the service's to choose
      find(".accent output", root).textContent = fixed(this.accent);
    });
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
    const wrong = this.#fieldsWrong();
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
    const settings = this.part();
    if (this.accent !== null) settings.accent = this.accent;
    for (const name of ["method", "on", "interpolation"]) settings[name] = data.get(name);
    if (settings.on === "every_nth") settings.nth = Number(data.get("nth"));
    // What is left empty is the method's own, which the service knows best.
    for (const name of ["min_speed", "max_speed", "original_gain_db"]) {
      if (data.get(name)) settings[name] = Number(data.get(name));
    }
    return settings;
  }

  #fieldsWrong() {
    const wrong = ["nth", "min_speed", "max_speed"].filter((name) => {
      const input = this.form.elements[name];
      input.setAttribute("aria-invalid", String(!input.checkValidity()));
      return !input.checkValidity();
    });
    if (!wrong.length) return null;
    find("details", this.root).open ||= wrong[0] !== "nth";
    this.form.elements[wrong[0]].focus();
    if (wrong[0] === "nth") return { message: "One beat in how many?", hint: "A whole number from 1 to 16." };
    const hint = "Slowest is 0.05 to 1, fastest is 1 to 20. Leave one empty for the method's own.";
    return { message: "These speed limits leave no room.", hint };
  }

  #paint() {
    const ready = this.dance && this.music;
    const data = new FormData(this.form);
    const [slowest, fastest] = OWN_LIMITS[data.get("method")];
    find(".nth", this.root).hidden = data.get("on") !== "every_nth";
    this.form.elements.min_speed.placeholder = slowest;
    this.form.elements.max_speed.placeholder = fastest;
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
