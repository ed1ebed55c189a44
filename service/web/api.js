// The service as functions (DESIGN: contracts). The only file that names its routes; knows no element of the page.

/** What the service answers when it will not: problem+json, or a failed job's error, in one form. */
export class Problem extends Error {
  constructor({ code = "unknown", detail = "", hint = "", status = 0 } = {}) {
    super(detail || "Something went wrong.");
    this.code = code;
    this.hint = hint;
    this.status = status;
  }
}

const UNREACHABLE = {
  code: "unreachable",
  detail: "The service does not answer.",
  hint: "Check that it is running, then try again.",
};
const unreachable = () => new Problem(UNREACHABLE);

function problemOf(status, body) {
  if (body && body.code) return new Problem({ ...body, status });
  return new Problem({ status, detail: `The service answered ${status}.` });
}

async function call(method, path, { json, signal } = {}) {
  const init = { method, signal, headers: { accept: "application/json" } };
  if (json !== undefined) {
    init.body = JSON.stringify(json);
    init.headers["content-type"] = "application/json";
  }
  let answer;
  try {
    answer = await fetch(path, init);
  } catch (error) {
    throw error.name === "AbortError" ? error : unreachable();
  }
  const body = await answer.json().catch(() => null);
  if (!answer.ok) throw problemOf(answer.status, body);
  return body;
}

const id = encodeURIComponent;

export const listItems = (kind, cursor) =>
  call("GET", `/items?kind=${kind}&limit=50${cursor ? `&cursor=${id(cursor)}` : ""}`);
export const getItem = (itemId) => call("GET", `/items/${id(itemId)}?include=rhythm`);
export const deleteItem = (itemId) => call("DELETE", `/items/${id(itemId)}`);
const rhythmOf = (itemId) => `/items/${id(itemId)}/rhythm`;
export const editRhythm = (itemId, edit) => call("PUT", rhythmOf(itemId), { json: edit });
export const restoreRhythm = (itemId) => call("DELETE", rhythmOf(itemId));
/** What else a retargeting leaves, by the address of its video. */
export const exportUrl = (videoUrl, form) => `${videoUrl.replace(/\.mp4$/, "")}/export?format=${id(form)}`;
export const mediaUrl = (itemId) => `/items/${id(itemId)}/media`;
/** The parts that are not ready yet, by name: an empty list means ready. */
export async function notReady() {
  const answer = await fetch("/health/ready").catch(() => Promise.reject(unreachable()));
  const { checks = {} } = await answer.json().catch(() => ({}));
  const missing = Object.keys(checks).filter((name) => !checks[name].ok);
  return answer.ok ? [] : missing.length ? missing : ["service"];
}
export const retarget = (request) => call("POST", "/retarget", { json: request });
export const getJob = (jobId) => call("GET", `/jobs/${id(jobId)}`);
export const cancelJob = (jobId) => call("DELETE", `/jobs/${id(jobId)}`);

/** `lambda` null asks for the model's own default; the answer's query says which it was. */
export function retrieve(kind, itemId, { lambda = null, k = 12, signal } = {}) {
  return call("POST", "/retrieve", { json: { [`${kind}_id`]: itemId, k, lambda }, signal });
}

/** Sends a file; `onShare(0..1)` while its bytes leave. XHR, because fetch does not tell how far an upload is. */
export function upload(file, kind, { onShare, signal }) {
  return new Promise((resolve, reject) => {
    const request = new XMLHttpRequest();
    const form = new FormData();
    // Fields before the file, so that a server that streams the body knows them first.
    form.append("kind", kind);
    form.append("title", file.name.replace(/\.[^.]+$/, ""));
    form.append("file", file);
    request.open("POST", "/embed");
    request.responseType = "json";
    request.upload.onprogress = (event) => event.lengthComputable && onShare(event.loaded / event.total);
    request.onload = () =>
      request.status < 300 ? resolve(request.response) : reject(problemOf(request.status, request.response));
    request.onerror = () => reject(unreachable());
    request.onabort = () => reject(new DOMException("cancelled", "AbortError"));
    signal.addEventListener("abort", () => request.abort(), { once: true });
    request.send(form);
  });
}

const ended = (job) => job.state === "done" || job.state === "failed" || job.state === "cancelled";

/** Follows a job to its end: events while they come, long polling when they do not. Gives its result or throws. */
export async function follow(jobId, onJob, signal) {
  const job = (await listen(jobId, onJob, signal)) ?? (await poll(jobId, onJob, signal));
  if (job.state === "done") return job.result;
  if (job.state === "cancelled") throw new DOMException("cancelled", "AbortError");
  throw new Problem(job.error ?? {});
}

/** The ended job, or null when the event stream breaks before that. */
function listen(jobId, onJob, signal) {
  return new Promise((resolve) => {
    const source = new EventSource(`/jobs/${id(jobId)}/events`);
    const close = (job) => {
      source.close();
      resolve(job);
    };
    const take = (event) => {
      if (!event.data) return close(null);
      const job = JSON.parse(event.data);
      onJob(job);
      if (ended(job)) close(job);
    };
    for (const name of ["message", "job", "progress", "state", "end"]) source.addEventListener(name, take);
    source.onerror = () => close(null);
    signal?.addEventListener("abort", () => close(null), { once: true });
  });
}

async function poll(jobId, onJob, signal) {
  for (let pause_ms = 250; ; ) {
    if (signal?.aborted) throw new DOMException("cancelled", "AbortError");
    try {
      const job = await call("GET", `/jobs/${id(jobId)}?wait=1`, { signal });
      onJob(job);
      if (ended(job)) return job;
      pause_ms = 250;
    } catch (error) {
      // A restarted service forgets no job: keep asking, less and less often.
      if (!(error instanceof Problem) || (error.code !== "unreachable" && error.status < 500)) throw error;
      pause_ms = Math.min(pause_ms * 2, 8000);
    }
    await new Promise((wake) => setTimeout(wake, pause_ms));
  }
}
