// One piece of long work on the page: its stage, its bar, its Cancel, and what went wrong. Knows no route but a job's.

import { cancelJob, follow, Problem } from "./api.js";
import { find, make, percent } from "./dom.js";

const WORDS = {
  "": "Working",
  queued: "Waiting for a worker",
  upload: "Uploading",
  probe: "Reading the file",
  starting: "Starting",
  model: "Loading the model",
  decode: "Decoding",
  listen: "Listening",
  watch: "Watching the motion",
  network: "Understanding it",
  rhythm: "Finding the rhythm",
  storing: "Filing it",
  plan: "Finding the warp",
  render: "Rendering",
  done: "Finishing",
};

/** A stage's name in words for people; a stage we have no word for is shown as it is. */
export function stageWords(stage) {
  const known = WORDS[stage];
  return known ?? stage.charAt(0).toUpperCase() + stage.slice(1).replaceAll("_", " ");
}

/** Shows one problem in `host`, with its hint, an optional way out, and Dismiss; `null` clears it. */
export function showProblem(host, problem, ways = []) {
  host.replaceChildren();
  host.hidden = !problem;
  if (!problem) return;
  const dismiss = make("button.quiet", { type: "button", onclick: () => showProblem(host, null) }, "Dismiss");
  host.append(
    make("p.detail", {}, problem.message),
    problem.hint ? make("p.hint", {}, problem.hint) : "",
    make("p.ways", {}, ...ways.map(([text, onclick]) => make("button", { type: "button", onclick }, text)), dismiss),
  );
}

export class Work {
  /** `root` holds .stage-name, .share, progress, button.cancel; `trouble` gets the problems. */
  constructor(root, trouble, { waysOut = () => [] } = {}) {
    this.root = root;
    this.trouble = trouble;
    this.waysOut = waysOut;
    this.running = null;
    find("button.cancel", root).addEventListener("click", () => this.cancel());
  }

  /** Runs `task(handle)`; gives its value, or null when it was cancelled or failed (and then says why). */
  async run(task) {
    this.leave();
    const abort = new AbortController();
    const mine = (this.running = { abort, jobId: null });
    showProblem(this.trouble, null);
    this.root.hidden = false;
    try {
      return await task({
        signal: abort.signal,
        show: (stage, share) => this.running === mine && this.show(stage, share),
        job: (jobId, from) => this.#follow(mine, jobId, from),
      });
    } catch (error) {
      if (error.name === "AbortError") return null;
      if (!(error instanceof Problem)) console.error(error);
      if (this.running === mine) showProblem(this.trouble, error, this.waysOut(error));
      return null;
    } finally {
      if (this.running === mine) {
        this.running = null;
        this.root.hidden = true;
      }
    }
  }

  /** Follows a job, its share scaled into `from`..1 of the bar. */
  async #follow(mine, jobId, from = 0) {
    mine.jobId = jobId;
    const onJob = (job) => {
      if (this.running !== mine) return;
      this.show(job.state === "queued" ? "queued" : (job.stage ?? ""), from + (1 - from) * (job.progress ?? 0));
    };
    if (mine.cancelled) cancelJob(jobId).catch(() => {}); // cancelled before the job had a name
    return follow(jobId, onJob, mine.abort.signal);
  }

  /** Stops waiting at once, and tells the service to stop too. */
  cancel() {
    if (this.running) this.running.cancelled = true;
    const jobId = this.leave();
    if (jobId) cancelJob(jobId).catch(() => {});
  }

  /** Stops waiting; a job goes on without us (its id is the answer), an upload ends. */
  leave() {
    if (!this.running) return null;
    const { abort, jobId } = this.running;
    this.running = null;
    this.root.hidden = true;
    abort.abort();
    return jobId;
  }

  show(stage, share) {
    const words = stageWords(stage);
    find("progress", this.root).value = share;
    find(".share", this.root).textContent = percent(share);
    // The live region changes with the stage only: a screen reader should not count percents aloud.
    const name = find(".stage-name", this.root);
    if (name.textContent !== words) name.textContent = words;
  }
}
