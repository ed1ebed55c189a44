// Before and after side by side: the original, silent, runs at its own speed beside the result and its song.
// Knows two video elements; what they show is the caller's.

const DRIFT_S = 0.12; // further apart than this, the original is set right

export class Compare {
  constructor(button, stage, was, now) {
    Object.assign(this, { button, stage, was, now, start_s: 0 });
    button.addEventListener("click", () => this.set(this.was.hidden));
    for (const event of ["play", "pause", "seeked", "timeupdate", "ratechange"]) {
      now.addEventListener(event, () => this.#keepUp());
    }
  }

  /** `url` of the original, and its second that the result begins with. */
  load(url, start_s) {
    Object.assign(this, { url, start_s });
    this.button.hidden = !url;
    this.set(false);
  }

  set(on) {
    if (on && this.was.getAttribute("src") !== this.url) this.was.src = this.url;
    this.was.hidden = !on;
    this.stage.classList.toggle("both", on);
    this.button.setAttribute("aria-pressed", String(on));
    this.#keepUp();
  }

  #keepUp() {
    const { was, now } = this;
    if (was.hidden) return was.pause();
    const goal = this.start_s + now.currentTime;
    was.playbackRate = now.playbackRate;
    if (Math.abs(was.currentTime - goal) > (now.paused ? 0.01 : DRIFT_S)) was.currentTime = goal;
    if (now.paused || was.ended) was.pause();
    else if (was.paused) was.play().catch(() => {});
    return undefined;
  }
}
