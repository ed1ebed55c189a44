// The ranked matches: one question (this dance, or this song), a balance λ that re-asks as it moves,
// and for each answer its two parts, its tempo and which seconds match. Knows no panel but through `onChoose`.

import { retrieve } from "./api.js";
import { bpm, calm, clamp, clock, find, fixed, make, settle } from "./dom.js";
import { showProblem } from "./work.js";

export class Matches {
  /** `onChoose(kind, match)`: kind is what the match is. `stocked(kind)`: whether there is any to be found. */
  constructor(root, { onChoose, stocked }) {
    Object.assign(this, { root, onChoose, stocked, items: { dance: null, music: null }, asked: null, touched: false });
    this.slider = find("#lambda", root);
    this.list = find("ol", root);
    this.none = find(".none", root);
    this.trouble = find(".trouble", root);
    this.slider.addEventListener("input", () => {
      this.touched = true;
      this.#sayLambda();
      this.#blend();
      this.#askSoon();
    });
    this.#askSoon = settle(() => this.ask(), 90);
    for (const radio of root.querySelectorAll("[name=direction]")) {
      radio.addEventListener("change", () => {
        this.chosen = true;
        this.ask();
      });
    }
    this.#sayLambda();
    this.#direct();
  }

  #askSoon;

  /** An item came to a panel or left it. A new item is the new question, unless the other direction was chosen. */
  changed(kind, item) {
    this.items[kind] = item;
    if (!this.chosen || !this.items[this.direction]) this.#choose(this.items.dance ? "dance" : "music");
    this.#direct();
    return this.ask();
  }

  get direction() {
    return find("[name=direction]:checked", this.root).value;
  }

  #choose(kind) {
    find(`[name=direction][value=${kind}]`, this.root).checked = true;
  }

  #direct() {
    for (const kind of ["dance", "music"]) {
      find(`[name=direction][value=${kind}]`, this.root).disabled = !this.items[kind];
    }
  }

  async ask() {
    this.asked?.abort();
    const asked = (this.asked = new AbortController());
    const item = this.items[this.direction];
    if (!item) return this.#show([], "Add a clip or a song, and what goes with it appears here.");
    if (!this.stocked(this.direction === "dance" ? "music" : "dance")) return this.#show([], this.#nothing());
    const lambda = this.touched ? Number(this.slider.value) : null;
    try {
      const answer = await retrieve(this.direction, item.id, { lambda, signal: asked.signal });
      showProblem(this.trouble, null);
      const used = answer.query?.lambda;
      if (!this.touched && Number.isFinite(used)) {
        this.slider.value = used;
        this.#sayLambda();
      }
      this.#show(answer.results, this.#nothing());
    } catch (problem) {
      if (problem.name === "AbortError") return undefined;
      if (problem.code === "empty_library") return this.#show([], this.#nothing());
      this.#show([], "");
      showProblem(this.trouble, problem, [["Try again", () => this.ask()]]);
    }
    return undefined;
  }

  #nothing() {
    return `No ${this.direction === "dance" ? "song" : "dance"} to compare with yet. Drop one above.`;
  }

  #sayLambda() {
    const lambda = Number(this.slider.value);
    find("#lambda-value", this.root).textContent = `λ ${fixed(lambda)}`;
    const share = Math.round(lambda * 100);
    this.slider.setAttribute("aria-valuetext", `${share} % look and sound, ${100 - share} % rhythm`);
  }

  /** While the finger moves, the bars follow at once from the parts we know; the ranks come with the answer. */
  #blend() {
    const lambda = Number(this.slider.value);
    for (const row of this.list.children) paintBar(row, row.match, lambda);
  }

  #show(results, whenNone) {
    this.none.hidden = results.length > 0 || !whenNone;
    this.none.textContent = whenNone;
    const before = new Map([...this.list.children].map((row) => [row.match.id, row]));
    const tops = new Map([...before].map(([id, row]) => [id, row.offsetTop]));
    const rows = results.map((match, rank) => this.#row(before.get(match.id), match, rank));
    if (rows.length !== this.list.children.length || rows.some((row, i) => this.list.children[i] !== row)) {
      const focused = document.activeElement;
      this.list.replaceChildren(...rows);
      if (rows.some((row) => row.contains(focused))) focused.focus({ preventScroll: true });
    }
    if (!calm()) for (const row of rows) slide(row, tops.get(row.match.id));
    this.#mark();
  }

  #row(old, match, rank) {
    const kind = this.direction === "dance" ? "music" : "dance";
    const row = old ?? makeRow();
    row.match = match;
    find("button", row).onclick = () => this.onChoose(kind, match);
    find(".rank", row).textContent = rank + 1;
    find(".title", row).textContent = match.title || match.id;
    const [its, yours] = kind === "music" ? ["song", "clip"] : ["clip", "song"];
    const seconds = `${its} ${clock(match.start_s)} fits ${yours} ${clock(match.query_start_s)}`;
    find(".where", row).textContent = `${bpm(match.tempo_bpm)}  ·  ${seconds}`;
    paintBar(row, match, Number(this.slider.value));
    return row;
  }

  /** The row of what stands in the other panel is the chosen one. */
  #mark() {
    const other = this.items[this.direction === "dance" ? "music" : "dance"];
    for (const row of this.list.children) {
      find("button", row).setAttribute("aria-pressed", String(row.match.id === other?.id));
    }
  }
}

function makeRow() {
  return make("li", {}, make("button", { type: "button" },
    make("span.rank"), make("span.title"), make("span.where"),
    make("span.bar", { "aria-hidden": "true" }, make("i.rhythm"), make("i.look")), make("span.number")));
}

/** The stacked bar: (1−λ)·rhythm then λ·embedding, on a scale that ends at 1. */
function paintBar(row, match, lambda) {
  const rhythm = (1 - lambda) * match.rhythm_score;
  const look = lambda * match.embedding_score;
  find("i.rhythm", row).style.width = `${clamp(rhythm, 0, 1) * 100}%`;
  find("i.look", row).style.width = `${clamp(look, 0, 1) * 100}%`;
  const number = find(".number", row);
  number.textContent = fixed(rhythm + look);
  number.title = `rhythm ${fixed(match.rhythm_score)}, look and sound ${fixed(match.embedding_score)}`;
}

function slide(row, oldTop) {
  if (oldTop === undefined || oldTop === row.offsetTop) return;
  const from = { transform: `translateY(${oldTop - row.offsetTop}px)` };
  row.animate([from, { transform: "none" }], { duration: 260, easing: "cubic-bezier(.2,.8,.2,1)" });
}
