// The shelf at the side: what is kept, newest first, to pick from and to delete. Knows nothing of what a pick does.

import { deleteItem, listItems } from "./api.js";
import { clock, find, make } from "./dom.js";
import { showProblem } from "./work.js";

const STATES = { queued: "waiting", running: "being analysed", failed: "could not be analysed", cancelled: "cancelled" };
const ON_ITS_WAY = new Set(["queued", "running"]);
const LOOK_AGAIN_MS = 3000; // while something here is on its way
const SURE_MS = 4000; // how long a delete button asks before it forgets

export class Library {
  /** `onPick(item)` and `onDelete(item)`. */
  constructor(root, { onPick, onDelete }) {
    Object.assign(this, { root, onPick, onDelete, cursors: {} });
    this.trouble = find(".trouble", root);
    const wide = matchMedia("(min-width: 1100px)");
    const details = find("details", root);
    const fit = () => (details.open = wide.matches);
    wide.addEventListener("change", fit);
    fit();
    for (const shelf of root.querySelectorAll(".shelf")) {
      find(".more", shelf).addEventListener("click", () => this.#load(shelf, this.cursors[shelf.dataset.kind]));
    }
  }

  /** Opens it where it is folded, for something here wants to be seen. */
  reveal() {
    find("details", this.root).open = true;
  }

  /** Reads both shelves again. */
  async refresh() {
    clearTimeout(this.later);
    await Promise.all([...this.root.querySelectorAll(".shelf")].map((shelf) => this.#load(shelf, null)));
    const waiting = [...this.root.querySelectorAll(".shelf li")].some((row) => ON_ITS_WAY.has(row.item.state));
    clearTimeout(this.later);
    if (waiting) this.later = setTimeout(() => this.refresh(), LOOK_AGAIN_MS);
  }

  async #load(shelf, cursor) {
    const { kind } = shelf.dataset;
    try {
      const page = await listItems(kind, cursor);
      const list = find("ul", shelf);
      // A row that did not change stays the same element, and with it the focus and a question asked on it.
      const before = new Map([...list.children].map((row) => [JSON.stringify(row.item), row]));
      const rows = page.items.map((item) => before.get(JSON.stringify(item)) ?? this.#row(item));
      if (cursor) list.append(...rows);
      else if (rows.length !== before.size || rows.some((row, i) => row !== list.children[i])) list.replaceChildren(...rows);
      this.cursors[kind] = page.next_cursor ?? null;
      showProblem(this.trouble, null);
    } catch (problem) {
      showProblem(this.trouble, problem, [["Try again", () => this.refresh()]]);
    }
    this.#count(shelf);
    this.mark(this.open ?? {});
  }

  #count(shelf) {
    find(".none", shelf).hidden = find("ul", shelf).children.length > 0;
    find(".more", shelf).hidden = !this.cursors[shelf.dataset.kind];
    const many = (kind) => {
      const count = this.root.querySelectorAll(`[data-kind=${kind}] li`).length;
      return `${count}${this.cursors[kind] ? "+" : ""}`;
    };
    const [dances, songs] = [many("dance"), many("music")];
    const name = (count, one) => `${count} ${one}${count === "1" ? "" : "s"}`;
    find(".counts", this.root).textContent = `${name(dances, "dance")}, ${name(songs, "song")}`;
  }

  /** Whether anything of this kind is here and analysed. */
  has(kind) {
    return [...this.root.querySelectorAll(`[data-kind=${kind}] li`)].some((row) => row.item.state === "ready");
  }

  #row(item) {
    const tempo = item.tempo_bpm ? `${Math.round(item.tempo_bpm)} bpm` : "no tempo";
    const facts = [item.state === "ready" ? tempo : (STATES[item.state] ?? "not analysed"), clock(item.duration_s ?? 0)];
    const pick = make("button.pick", { type: "button", title: item.title, onclick: () => this.onPick(item) },
      make("span.title", {}, item.title || item.id), make("span.facts", {}, facts.join("  ·  ")));
    const remove = make("button.quiet.remove", { type: "button", "aria-label": `Delete ${item.title || item.id}` }, "×");
    pick.disabled = item.state !== "ready" && !ON_ITS_WAY.has(item.state);
    const row = make("li", {}, pick, remove);
    row.item = item;
    remove.addEventListener("click", () => this.#remove(row, remove));
    return row;
  }

  /** The first press asks, the second deletes: no dialog, no slip. */
  async #remove(row, button) {
    if (!button.classList.contains("sure")) {
      button.classList.add("sure");
      button.textContent = "Delete?";
      const forget = () => {
        button.classList.remove("sure");
        button.textContent = "×";
      };
      button.addEventListener("blur", forget, { once: true });
      setTimeout(forget, SURE_MS);
      return;
    }
    try {
      await deleteItem(row.item.id);
    } catch (problem) {
      if (problem.code !== "unknown_item") return showProblem(this.trouble, problem);
    }
    const shelf = row.closest(".shelf");
    const next = (row.nextElementSibling ?? row.previousElementSibling)?.querySelector(".pick");
    row.remove();
    (next ?? find("summary", this.root)).focus();
    this.#count(shelf);
    return this.onDelete(row.item);
  }

  /** Which items stand in the panels now. */
  mark(open) {
    this.open = open;
    for (const row of this.root.querySelectorAll(".shelf li")) {
      find(".pick", row).setAttribute("aria-pressed", String(open[row.item.kind] === row.item.id));
    }
  }
}
