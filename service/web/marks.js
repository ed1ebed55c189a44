// Strokes of a dance, or beats of a song, by hand: tapped while it plays, or set on the score with the pointer.
// Changes a list of seconds; only Keep tells the service, and the service can bring back what it had found.
// Until then the list is a draft of this browser: a reload, or another item in between, does not lose it.

import { editRhythm, restoreRhythm } from "./api.js";
import { clamp, make } from "./dom.js";
import { showProblem } from "./work.js";

const NEAR_PX = 8; // of a mark: a pointer here means it
const STILL_PX = 3; // a pointer that moved no further has clicked
const SAME_S = 0.15; // a tap this near to an older mark puts it right
const RUN_S = 3; // taps further apart are not of one run
const LEAST_GAP_S = 0.04;
const FEWEST = 2;
const MOST_STEPS = 50; // that a draft can undo after a reload

const WORDS = {
  dance: { points: "strokes", field: "times_s", even: "Moves each to where the others and the body say it was meant" },
  music: { points: "beats", field: "beats_s", even: "Moves each towards where the others say it was meant" },
};

/** The list after a tap at `time_s`. Taps of one run take the place of the marks between them, as a new take does. */
export function tapped(marks, time_s, last_s) {
  const start = last_s !== null && time_s > last_s && time_s - last_s < RUN_S ? last_s : time_s - SAME_S;
  const kept = marks.filter((mark) => mark <= start || mark > time_s + SAME_S);
  return sorted([...kept, time_s]);
}

/** Ascending, none nearer to the one before than a body could move. */
export function sorted(marks) {
  const ascending = [...marks].sort((a, b) => a - b);
  return ascending.filter((mark, i) => i === 0 || mark - ascending[i - 1] >= LEAST_GAP_S);
}

const draftName = (item) => `mudar-draft-${item.id}`;

/** {marks, before, after} as it was left, or null; a draft of an older rhythm is none. */
function readDraft(item) {
  try {
    const draft = JSON.parse(localStorage.getItem(draftName(item)));
    return draft?.edition === (item.rhythm.edition ?? 0) ? draft : null;
  } catch {
    return null; // a browser that keeps nothing, or a draft that is damaged
  }
}

function writeDraft(item, draft) {
  try {
    if (draft) localStorage.setItem(draftName(item), JSON.stringify({ ...draft, edition: item.rhythm.edition ?? 0 }));
    else localStorage.removeItem(draftName(item));
  } catch {
    // The page works without: only a reload would lose the draft.
  }
}

export class Marks {
  /** `host` gets the buttons; `onKept(rhythm)` is told the record that the service answers. */
  constructor(host, kind, { root, media, timeline, trouble, onKept }) {
    Object.assign(this, { host, root, media, timeline, trouble, onKept, words: WORDS[kind] });
    Object.assign(this, { item: null, marks: null, before: [], after: [], held: null, last_s: null, byEar: false });
    const button = (spec, onclick, ...text) => make(spec, { type: "button", onclick }, ...text);
    // The finger's way down is the beat, not its way up; a click without a pointer is a key's.
    this.tapper = button("button.tap", (event) => event.detail || this.tap(), "Tap ", make("kbd", {}, "T"));
    this.tapper.addEventListener("pointerdown", (event) => event.button || this.tap());
    this.opener = button("button.quiet.open", () => this.open(), `Mark the ${this.words.points} by hand`);
    this.undoer = button("button.undo", () => this.#step(this.before, this.after), "Undo");
    this.redoer = button("button.redo", () => this.#step(this.after, this.before), "Redo");
    this.keeper = button("button.keep", () => this.#keep(), "Keep");
    this.finder = button("button.quiet.found", () => this.#send(() => restoreRhythm(this.item.id)), "As found");
    this.evener = make("input", { type: "checkbox", checked: true });
    this.count = make("span.count", { role: "status" });
    this.bench = make("div.by-hand", { hidden: true, role: "group", "aria-label": `${this.words.points} by hand` },
      (this.drafted = make("p.drafted", { hidden: true }, "This is your draft: it is not used until you keep it.")),
      make("p.how", {}, "Play, and tap T on each. Or click the score to add one, click a mark to take it away (Delete at the playhead), drag it to move it."),
      make("div.tools", {},
        this.tapper, this.undoer, this.redoer,
        button("button.clear", () => this.#change([]), "Clear"),
        make("label.even", { title: this.words.even }, this.evener, "Even out taps")),
      make("div.ends", {}, this.count, this.finder,
        button("button.quiet.leave", () => this.#discard(), "Cancel"), this.keeper));
    host.append(this.opener, this.bench);
    document.addEventListener("keydown", (event) => this.#key(event));
  }

  get active() {
    return this.marks !== null;
  }

  /** Another item, or none; a draft of it is taken up again. */
  show(item) {
    this.leave();
    this.item = item;
    this.host.hidden = !item;
    const draft = item && readDraft(item);
    if (draft) this.open(draft);
  }

  open(draft = null) {
    this.marks = draft?.marks ?? sorted(this.item.rhythm[this.words.field] ?? []);
    const { before = [], after = [], byEar = false } = draft ?? {};
    Object.assign(this, { before, after, byEar, last_s: null });
    this.drafted.hidden = !draft;
    this.timeline.tool = this;
    if (!draft) this.timeline.canvas.focus({ preventScroll: true });
    this.#paint();
  }

  leave() {
    this.marks = this.timeline.tool = this.held = null;
    this.#paint();
  }

  #discard() {
    writeDraft(this.item, null);
    this.leave();
  }

  /** A mark where the playhead is. */
  tap() {
    const now = this.#inside(this.media.currentTime);
    this.byEar = true;
    this.#change(tapped(this.marks, now, this.last_s));
    this.last_s = now;
  }

  /** Without the mark at the playhead, if there is one. */
  remove() {
    const away = this.marks.map((mark) => Math.abs(mark - this.media.currentTime));
    const nearest = away.indexOf(Math.min(...away));
    if (away[nearest] <= SAME_S) this.#change(this.marks.filter((_, i) => i !== nearest));
  }

  /** Timeline's tool: the pointer goes down on the score at `x` of `view`. */
  grab(view, x) {
    const near = this.marks.findIndex((mark) => Math.abs(view.x(mark) - x) <= NEAR_PX);
    const time_s = this.#inside(view.time(x));
    this.held = { from: x, moved: near < 0, mark: near < 0 ? time_s : this.marks[near], rest: [...this.marks] };
    if (near >= 0) this.held.rest.splice(near, 1);
    else this.#change(sorted([...this.marks, time_s]));
  }

  drag(view, x) {
    if (!this.held.moved && Math.abs(x - this.held.from) <= STILL_PX) return;
    if (!this.held.moved) this.#remember();
    Object.assign(this.held, { moved: true, mark: this.#inside(view.time(x)) });
    this.marks = sorted([...this.held.rest, this.held.mark]);
    this.#paint();
  }

  release() {
    if (this.held && !this.held.moved) this.#change(this.held.rest);
    this.held = null;
    this.#draft();
  }

  #inside(time_s) {
    return Math.round(clamp(time_s, 0, this.item.duration_s) * 1000) / 1000;
  }

  #change(marks) {
    this.#remember();
    this.marks = marks;
    this.#draft();
    this.#paint();
  }

  #remember() {
    this.before.push(this.marks);
    this.after = [];
    this.last_s = null;
  }

  /** Back to the last list of `from`; this one goes to the end of `to`. */
  #step(from, to) {
    if (!from.length) return;
    to.push(this.marks);
    this.marks = from.pop();
    this.last_s = null;
    this.#draft();
    this.#paint();
  }

  #draft() {
    const { marks, before, after, byEar } = this;
    if (marks) writeDraft(this.item, { marks, before: before.slice(-MOST_STEPS), after: after.slice(-MOST_STEPS), byEar });
  }

  #keep() {
    // A song's or a dance's first beats of bars are those of the old beats.
    const edit = { [this.words.field]: this.marks, downbeats_s: [], even: this.byEar && this.evener.checked };
    return this.#send(() => editRhythm(this.item.id, edit));
  }

  async #send(request) {
    const { item } = this;
    try {
      const rhythm = await request();
      writeDraft(item, null);
      if (this.item === item) this.onKept(rhythm);
    } catch (problem) {
      if (this.item === item) showProblem(this.trouble, problem);
    }
  }

  /** One of two panels hears a tap: the one that plays, or that has the focus. */
  #key(event) {
    const typing = event.target.closest?.("input:not([type=checkbox]):not([type=range]), select, textarea");
    if (!this.active || typing || event.altKey) return undefined;
    if (this.media.paused && !this.root.contains(document.activeElement)) return undefined;
    if (event.ctrlKey || event.metaKey) {
      if (event.key.toLowerCase() !== "z") return undefined;
      if (event.shiftKey) this.#step(this.after, this.before);
      else this.#step(this.before, this.after);
      return event.preventDefault();
    }
    if (event.key === "Escape") this.#discard();
    else if (event.key.toLowerCase() === "t" && !event.repeat) this.tap();
    else if (event.key === "Delete" || event.key === "Backspace") this.remove();
    else return undefined;
    return event.preventDefault();
  }

  #paint() {
    const { active } = this;
    this.bench.hidden = !active;
    this.opener.hidden = active;
    if (active) {
      const count = this.marks.length;
      this.count.textContent = `${count} ${this.words.points}`;
      this.keeper.disabled = count < FEWEST;
      this.undoer.disabled = !this.before.length;
      this.redoer.disabled = !this.after.length;
      this.finder.hidden = !this.item.rhythm.edited;
    }
    this.timeline.wake();
  }
}
