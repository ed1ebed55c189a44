// The composition: makes the parts, tells each what the others did, keeps the address bar true.
// Only this file knows them all.

import { getJob, notReady } from "./api.js";
import { calm, find } from "./dom.js";
import { Library } from "./library.js";
import { Matches } from "./matches.js";
import { Panel } from "./panel.js";
import { Queue } from "./queue.js";
import { Result } from "./result.js";
import { Retarget } from "./retarget.js";

const address = new URLSearchParams(location.hash.slice(1));

const panels = {};
for (const [kind, other] of [["dance", "music"], ["music", "dance"]]) {
  panels[kind] = new Panel(find(`#${kind}`), kind, {
    onItem: (item) => itemChanged(kind, item),
    useInstead: (file) => panels[other].send(file),
    onFiles: (files) => take(files, kind),
  });
}
const result = new Result(find("#result"));
const retarget = new Retarget(find("#retarget"), {
  part: () => panels.music.part.settings,
  onStart: (jobId) => remember("job", jobId),
  onResult: (made, about) => {
    result.show(made, about);
    if (!about.fresh) return;
    announce("The video is ready.");
    find("#result").scrollIntoView({ behavior: calm() ? "auto" : "smooth", block: "start" });
    find("#result-title").focus({ preventScroll: true });
  },
});
const matches = new Matches(find("#matches"), {
  stocked: (kind) => library.has(kind),
  onChoose: (kind, match) => {
    panels[matches.direction].timeline.seek(match.query_start_s);
    panels[kind].open(match.id, match.start_s);
  },
});
const library = new Library(find("#library"), {
  onPick: (item) => (item.state === "ready" ? panels[item.kind].open(item.id) : panels[item.kind].wait(item)),
  onDelete: (item) => {
    if (panels[item.kind].item?.id === item.id) panels[item.kind].clear();
    else matches.ask();
  },
});

const queue = new Queue(find("#queue"), {
  onDone: async () => {
    await library.refresh();
    matches.ask();
  },
});

async function itemChanged(kind, item) {
  retarget.changed(kind, item);
  remember(kind, item?.id);
  remember("job", null); // a result belongs to the pair that made it
  library.mark({ dance: panels.dance.item?.id, music: panels.music.item?.id });
  await library.refresh();
  matches.changed(kind, panels[kind].item);
}

/** The address names what is on the page, so a reload or a shared link shows it again. */
function remember(key, value) {
  if (value) address.set(key, value);
  else address.delete(key);
  const hash = address.toString();
  history.replaceState(null, "", hash ? `#${hash}` : location.pathname);
}

function announce(words) {
  find("#announce").textContent = words;
}

/** A file's own type decides; what has none is judged by the panel that it was dropped on. */
const kindOf = (file) => (file.type.startsWith("audio/") ? "music" : file.type.startsWith("video/") ? "dance" : null);

/** The first of a kind goes to its panel, if that is free; every other one is queued for the library. */
function take(files, panelKind) {
  const taken = new Set();
  for (const file of files) {
    // One file on a panel is what that panel asked for; of several, each goes where its type says.
    const kind = (files.length === 1 && panelKind) || kindOf(file) || panelKind || "dance";
    if (taken.has(kind) || panels[kind].busy) queue.add(file, kind);
    else panels[kind].send(file);
    taken.add(kind);
  }
  if (queue.length) library.reveal();
}

/** Files may be dropped anywhere; over a panel they go to that panel. */
function listenForDrops() {
  const veil = find("#veil");
  const panelAt = (event) => event.target.closest?.(".panel.item") ?? null;
  const hasFiles = (event) => event.dataTransfer?.types.includes("Files");
  const light = (panel, over) => {
    for (const kind in panels) panels[kind].root.classList.toggle("over", panels[kind].root === panel);
    veil.hidden = !over || Boolean(panel);
  };
  document.addEventListener("dragover", (event) => {
    if (!hasFiles(event)) return;
    event.preventDefault();
    event.dataTransfer.dropEffect = "copy";
    light(panelAt(event), true);
  });
  document.addEventListener("dragleave", (event) => event.relatedTarget || light(null, false));
  document.addEventListener("drop", (event) => {
    if (!hasFiles(event)) return;
    event.preventDefault();
    light(null, false);
    take([...event.dataTransfer.files], panelAt(event)?.id);
  });
  document.addEventListener("paste", (event) => {
    const files = [...(event.clipboardData?.files ?? [])];
    if (files.length) take(files, null);
  });
}

/** One sound at a time. */
document.addEventListener("play", (event) => {
  if (event.target.muted) return;
  for (const media of document.querySelectorAll("video, audio")) if (media !== event.target && !media.muted) media.pause();
}, { capture: true });

async function watchHealth() {
  const health = find("#health");
  const say = (state, words) => {
    health.dataset.state = state;
    if (health.textContent !== words) health.textContent = words;
  };
  try {
    const missing = await notReady();
    if (missing.length) say("starting", `Waiting for the ${missing.join(", ")}`);
    else say("ready", "Ready");
  } catch (problem) {
    say("down", problem.message);
  }
  setTimeout(watchHealth, health.dataset.state === "ready" ? 15000 : 2000);
}

/** What the address names: the clip, the song, and the job that was running or has ended. */
async function restore() {
  const named = Object.fromEntries(address);
  await Promise.all(["dance", "music"].map((kind) => named[kind] && panels[kind].open(named[kind])));
  if (!named.job) return;
  const job = await getJob(named.job).catch(() => null);
  if (job && (job.state === "done" || job.state === "queued" || job.state === "running")) {
    remember("job", named.job);
    retarget.resume(named.job);
  }
}

listenForDrops();
watchHealth();
library.refresh();
restore();
