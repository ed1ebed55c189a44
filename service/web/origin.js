// Where the strokes of a dance come from, in words: the beats of its own sound, its picture, or a hand; with a switch.

import { editRhythm } from "./api.js";
import { find, make, percent } from "./dom.js";
import { showProblem } from "./work.js";

const SAME_S = 0.002;
const CHOICES = [["sound", "Its sound"], ["picture", "Its picture"]];

/** `sound`, `picture` or `hand`; null for a record that does not tell. A person may have chosen the sound, too. */
export function originOf({ source, sound, times_s }) {
  if (!source) return null;
  const beats = sound?.beats_s ?? [];
  const same = beats.length > 1 && beats.length === times_s.length &&
    beats.every((beat, i) => Math.abs(beat - times_s[i]) <= SAME_S);
  return same ? "sound" : source;
}

/** One or two sentences for a person. */
export function originWords(rhythm) {
  const { sound } = rhythm;
  const sure = sound && `${percent(sound.confidence)} sure`;
  return {
    sound: `The beat comes from the clip's own sound, ${sure}. ${sound?.reason ?? ""}`,
    picture: sound
      ? `The beat comes from the picture. That the dance follows the clip's own sound is ${sure}. ${sound.reason}`
      : "The beat comes from the picture: the clip has no sound with a beat.",
    hand: "The beat is as you set it.",
  }[originOf(rhythm)].trim();
}

export class Origin {
  /** `onKept(rhythm)` is told the record that the service answers. */
  constructor(host, { trouble, onKept }) {
    Object.assign(this, { host, trouble, onKept, item: null });
    this.words = make("p", { role: "status" });
    const options = CHOICES.map(([value, text]) => {
      const radio = make("input", { type: "radio", name: "rhythm_from", value });
      radio.addEventListener("change", () => this.#take(value));
      return make("label", {}, radio, make("span", {}, text));
    });
    this.choice = make("fieldset.choice", {}, make("legend.unseen", {}, "Where the beat comes from"), ...options);
    host.append(this.words, this.choice);
  }

  show(item) {
    this.item = item;
    const origin = item && originOf(item.rhythm);
    this.host.hidden = !origin;
    if (!origin) return;
    this.words.textContent = originWords(item.rhythm);
    this.choice.hidden = !item.rhythm.sound?.beats_s.length;
    this.choice.disabled = false;
    for (const [value] of CHOICES) find(`[value=${value}]`, this.choice).checked = origin === value;
  }

  async #take(rhythm_from) {
    const { item } = this;
    this.choice.disabled = true;
    try {
      const rhythm = await editRhythm(item.id, { rhythm_from });
      if (this.item === item) this.onKept(rhythm);
    } catch (problem) {
      if (this.item !== item) return;
      this.show(item);
      showProblem(this.trouble, problem);
    }
  }
}
